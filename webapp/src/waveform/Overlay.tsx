// Another event of the same unit, laid over this one by its number, or its id in the archive.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api/client";
import { words } from "../words";
import { decoded, type Recording, type WaveformForm } from "./decode";

const text = words.waveform;

export interface Overlaid {
  recording: Recording;
  label: string;
}

/** Brings an event by what was typed; throws a `Problem`, or an `Error` whose message says why it will not do. */
export type Load = (name: string, signal: AbortSignal) => Promise<{ form: WaveformForm; label: string }>;

interface Wish {
  label: string;
  /** The least number; without it, an id of the archive is asked for. */
  least?: number | undefined;
  load: Load;
  over: Overlaid | null;
  onOver: (over: Overlaid | null) => void;
}

export function Overlay({ label, least, load, over, onOver }: Wish) {
  const [number, setNumber] = useState("");
  const [trouble, setTrouble] = useState("");
  const [isReading, setReading] = useState(false);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const show = async (event: Event) => {
    event.preventDefault();
    abort.current?.abort();
    const mine = (abort.current = new AbortController());
    setTrouble("");
    setReading(true);
    try {
      const { form, label: whose } = await load(number.trim(), mine.signal);
      if (!mine.signal.aborted) onOver({ recording: decoded(form), label: whose });
    } catch (error) {
      if (!mine.signal.aborted) setTrouble(error instanceof Problem ? `${error.title}. ${error.message}` : (error as Error).message);
    } finally {
      if (!mine.signal.aborted) setReading(false);
    }
  };
  return (
    <form class="overlay" onSubmit={show}>
      <label>
        {label}{" "}
        <input
          {...(least === undefined ? { type: "text", pattern: "\\s*[0-9a-fA-F]{8,64}\\s*" } : { type: "number", min: least, step: 1 })}
          required
          value={number}
          onInput={(event) => setNumber(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={isReading}>{text.overlayShow}</button>
      {over && <button type="button" onClick={() => onOver(null)}>{text.overlayRemove}</button>}
      <span role="status">{isReading ? words.fresh.reading : trouble}</span>
    </form>
  );
}
