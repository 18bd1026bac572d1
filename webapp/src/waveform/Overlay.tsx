// Another event of the same unit, chosen from the list, laid over this one.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api/client";
import { words } from "../words";
import { decoded, type Recording } from "./decode";
import type { Choice, Other } from "./EventView";

const text = words.waveform;

export interface Overlaid {
  recording: Recording;
  label: string;
}

interface Wish {
  others: Choice[];
  load: (name: string, signal: AbortSignal) => Promise<Other>;
  over: Overlaid | null;
  onOver: (over: Overlaid | null) => void;
}

export function Overlay({ others, load, over, onOver }: Wish) {
  const [trouble, setTrouble] = useState("");
  const [isReading, setReading] = useState(false);
  const [chosen, setChosen] = useState("");
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const show = async (name: string) => {
    abort.current?.abort();
    setChosen(name);
    setTrouble("");
    onOver(null);
    if (!name) return setReading(false);
    const mine = new AbortController();
    abort.current = mine;
    setReading(true);
    try {
      const { form, label } = await load(name, mine.signal);
      if (!mine.signal.aborted) onOver({ recording: decoded(form), label });
    } catch (error) {
      if (!mine.signal.aborted) setTrouble(error instanceof Problem ? `${error.title}.` : (error as Error).message);
    } finally {
      if (!mine.signal.aborted) setReading(false);
    }
  };
  return (
    <>
      <select
        class="overlay"
        aria-label={text.overlayWhich}
        value={chosen}
        onChange={(event) => void show(event.currentTarget.value)}
      >
        <option value="">{text.overlayNone}</option>
        {others.map(({ name, label }) => (
          <option key={name} value={name}>
            {label}
          </option>
        ))}
      </select>
      {over && (
        <button type="button" onClick={() => void show("")}>
          {text.overlayRemove}
        </button>
      )}
      <span role="status">{isReading ? words.fresh.reading : trouble}</span>
    </>
  );
}
