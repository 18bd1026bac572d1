// One event of the unit's memory with its samples, read from the unit or from what the relay proved lately.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Schemas, type Unit } from "../api/client";
import { follow, keyOf, read } from "../api/device";
import { listed } from "../events/listed";
import { isReplaced, stampOf } from "../events/stamps";
import { Freshness } from "../parts/Freshness";
import { unitTime } from "../parts/time";
import { Trouble } from "../parts/Trouble";
import { linkTo } from "../route";
import { mayForce } from "../state";
import { UnitHead } from "../unit/UnitHead";
import { words } from "../words";
import { DownloadProgress } from "./DownloadProgress";
import { after, NOTHING, type Progress } from "./progress";
import { labelOf, WaveformView } from "./WaveformView";

const text = words.waveform;

/** Between two looks whether the slot still holds what is shown: the list's own pace, halved. */
const LOOK_MS = 30_000;

type Seen =
  | { is: "reading" }
  | { is: "cancelled" }
  | { is: "failed"; problem: Problem }
  | { is: "shown"; form: Schemas["WaveformOut"] };

export function WaveformPage({ unit, index }: { unit: Unit; index: number }) {
  const key = keyOf(unit);
  const [seen, setSeen] = useState<Seen>({ is: "reading" });
  const [progress, setProgress] = useState<Progress>(NOTHING);
  const abort = useRef<AbortController | null>(null);

  const load = useCallback(
    async (isForced: boolean) => {
      abort.current?.abort();
      const mine = (abort.current = new AbortController());
      setSeen({ is: "reading" });
      setProgress(NOTHING);
      const stop = follow(unit, (step) => setProgress((before) => after(before, step, index, performance.now())));
      mine.signal.addEventListener("abort", stop);
      try {
        const { body } = await read<Schemas["WaveformOut"]>(unit, `/device/event/${index}/waveform`, {
          signal: mine.signal,
          ...(isForced ? { force: true } : {}),
        });
        if (!mine.signal.aborted) setSeen({ is: "shown", form: body });
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        setSeen({ is: "failed", problem: error });
      } finally {
        stop();
      }
    },
    [key, index],
  );
  useEffect(() => {
    void load(false);
    return () => abort.current?.abort();
  }, [load]);

  const cancel = () => {
    abort.current?.abort();
    setSeen({ is: "cancelled" });
  };
  return (
    <article class="waveform-page">
      <UnitHead unit={unit} />
      <p><a href={linkTo(unit, "events")}>{text.back}</a></p>
      <h2>{text.title(index)}</h2>
      {seen.is === "reading" && <DownloadProgress progress={progress} onCancel={cancel} />}
      {seen.is === "cancelled" && (
        <div role="status" class="note">
          <p>{text.cancelled}</p>
          <button type="button" onClick={() => void load(false)}>{text.readAgain}</button>
        </div>
      )}
      {seen.is === "failed" && <Trouble problem={seen.problem} retry={() => void load(false)} />}
      {seen.is === "shown" && <Shown unit={unit} index={index} form={seen.form} reload={(isForced) => void load(isForced)} />}
    </article>
  );
}

interface Wish {
  unit: Unit;
  index: number;
  form: Schemas["WaveformOut"];
  reload: (isForced: boolean) => void;
}

function Shown({ unit, index, form, reload }: Wish) {
  const { serial, simulated } = form.provenance;
  const isGone = useReplaced(unit, index, form);
  const [wasListed] = useState(() => listed.take(keyOf(unit), index));
  const loadOverlay = async (typed: string, signal: AbortSignal) => {
    const number = Number(typed);
    if (number === index) throw new Error(text.overlaySame);
    const { body } = await read<Schemas["WaveformOut"]>(unit, `/device/event/${number}/waveform`, { signal });
    if (body.provenance.serial !== serial) throw new Error(text.overlayOtherUnit(body.provenance.serial ?? words.app.unknown));
    return { form: body, label: labelOf(body.provenance.serial, body) };
  };
  return (
    <>
      <p class="stamp">
        {serial ?? words.app.unknown} · {unitTime(form.timestamp)}
      </p>
      <Freshness of={form.provenance} onRefresh={() => reload(mayForce.value)} what={text.title(index)} />
      {wasListed && stampOf(wasListed) !== stampOf(form) && (
        <p role="alert" class="warning">{text.otherThanListed(unitTime(wasListed.timestamp))}</p>
      )}
      {isGone && (
        <div role="alert" class="warning">
          <p>{text.replaced}</p>
          <p>
            <button type="button" onClick={() => reload(false)}>{text.readNew}</button>{" "}
            {serial && <a href={`#/archive?serial=${encodeURIComponent(serial)}`}>{words.archive.records}</a>}
          </p>
        </div>
      )}
      <WaveformView
        form={form}
        serial={serial}
        simulated={simulated === true}
        overlayLabel={text.overlayEvent}
        overlayLeast={0}
        loadOverlay={loadOverlay}
      />
    </>
  );
}

/** Look now and then whether the slot still holds the event that is shown. */
function useReplaced(unit: Unit, index: number, form: Schemas["WaveformOut"]): boolean {
  const [isGone, setGone] = useState(false);
  useEffect(() => {
    setGone(false);
    const abort = new AbortController();
    const look = async () => {
      if (document.hidden) return;
      try {
        const { body } = await read<Schemas["EventOut"]>(unit, `/device/event/${index}`, { signal: abort.signal });
        setGone(isReplaced({ ...form, memory: form.provenance }, { ...body, memory: body.provenance }));
      } catch (error) {
        // A unit that cannot be asked just now says nothing of its memory.
        if (error instanceof Problem && error.kind === "no-such-event") setGone(true);
      }
    };
    const timer = setInterval(() => void look(), LOOK_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [form]);
  return isGone;
}
