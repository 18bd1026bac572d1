// One event of the unit's memory with its samples, read from the unit or from what the relay proved lately.
import { useEffect, useRef, useState } from "preact/hooks";
import { addressOf, ask, type Schemas, type Unit } from "../api/client";
import { keyOf } from "../api/device";
import { follow } from "../api/streams";
import { secondAfter } from "../archive/wanted";
import { heldAt } from "../data/answers";
import { LAST_KNOWN_S, type Resource, useResource } from "../data/resource";
import type { List } from "../events/changes";
import { NEWEST_FIRST, sorted } from "../events/choose";
import { listed } from "../events/listed";
import { isReplaced, stampOf } from "../events/stamps";
import { worstVerdict } from "../events/verdicts";
import { Freshness } from "../parts/Freshness";
import { PageTitle } from "../parts/PageTitle";
import { unitTime } from "../parts/time";
import { linkTo, REVIEW } from "../route";
import { measures } from "../state";
import { UnitFrame } from "../unit/UnitFrame";
import { words } from "../words";
import { DownloadProgress } from "./DownloadProgress";
import { EventView, labelOf, type Other, otherOf } from "./EventView";
import { after, NOTHING, type Progress } from "./progress";

const text = words.waveform;

/** Between two looks whether the slot still holds what is shown, s: the list's own pace, halved. */
const LOOK_S = 30;

type Form = Schemas["WaveformOut"];

export function WaveformPage({ unit, index }: { unit: Unit; index: number }) {
  const waveform = useResource<Form>({ path: `/device/event/${index}/waveform`, unit });
  const [isCancelled, setCancelled] = useState(false);
  const isReading = waveform.readingSinceMs !== null && !waveform.body;
  return (
    <UnitFrame unit={unit} page={text.title(index)} resources={[waveform]} isHeaded>
      {!waveform.body && <PageTitle title={text.title(index)} />}
      {isReading && (
        <Download
          unit={unit}
          index={index}
          sinceMs={waveform.readingSinceMs!}
          onCancel={() => {
            waveform.cancel();
            setCancelled(true);
          }}
        />
      )}
      {isCancelled && !isReading && !waveform.body && !waveform.problem && (
        <div role="status" class="note">
          <p>{text.cancelled}</p>
          <button type="button" onClick={waveform.reload}>
            {text.readAgain}
          </button>
        </div>
      )}
      {waveform.body && <Shown unit={unit} index={index} waveform={waveform} form={waveform.body} />}
    </UnitFrame>
  );
}

interface Waited {
  unit: Unit;
  index: number;
  sinceMs: number;
  onCancel: () => void;
}

function Download({ unit, index, sinceMs, onCancel }: Waited) {
  const [progress, setProgress] = useState<Progress>(NOTHING);
  useEffect(
    () => follow(unit, (step) => setProgress((before) => after(before, step, index, performance.now()))),
    [keyOf(unit), index],
  );
  return <DownloadProgress progress={progress} sinceMs={sinceMs} onCancel={onCancel} />;
}

interface Wish {
  unit: Unit;
  index: number;
  waveform: Resource<Form>;
  form: Form;
}

function Shown({ unit, index, waveform, form }: Wish) {
  const { serial, simulated } = form.provenance;
  const isGone = useReplaced(unit, index, waveform);
  const [wasListed] = useState(() => listed.take(keyOf(unit), index));
  // What the relay knows of the list already; no unit is asked for it.
  const analysis = useResource<Schemas["DeviceAnalysisOut"]>({ path: `/device/event/${index}/analysis`, unit });
  // Never forced: they are of the samples that were just read, or of those that are last known.
  const known = { ...unit, stale_if_error: LAST_KNOWN_S };
  const chart = useResource<Schemas["ChartOut"]>({
    path: `/device/event/${index}/chart`,
    query: { ...known, units: measures() },
  });
  const spectra = useResource<Schemas["DeviceSpectraOut"]>({
    path: `/device/event/${index}/spectra`,
    query: known,
  });
  // What is computed of the samples is read anew with them: the slot may have returned others under the same stamp.
  const computedOf = useRef(form);
  useEffect(() => {
    if (computedOf.current === form) return;
    computedOf.current = form;
    for (const one of [analysis, chart, spectra]) one.reload();
  }, [form]);
  const list = useResource<List>({
    path: "/device/events",
    query: { partial: true, only_if_cached: true },
    unit,
  }).body;
  const others = sorted(list?.events ?? [], NEWEST_FIRST).filter((event) => event.index !== index);
  const at = (other: number) => others.find((event) => event.index === other);
  const linkOf = (other: number) => (at(other) ? linkTo(unit, `event/${other}`) : null);
  const loadOther = async (name: string, signal: AbortSignal): Promise<Other> => {
    const more = { query: { ...unit }, signal };
    const { body } = await ask<Form>("GET", `/device/event/${name}/waveform`, more);
    if (body.provenance.serial !== serial)
      throw new Error(text.overlayOtherUnit(body.provenance.serial ?? words.app.unknown));
    return { form: body, label: labelOf(body.provenance.serial, body) };
  };
  const onReview = async (): Promise<string> => {
    const { timestamp } = form;
    const until = timestamp === null ? null : secondAfter(timestamp);
    // Nothing but its time tells the recordings of a unit apart here.
    if (serial === null || timestamp === null || until === null) return text.notArchived;
    const query = { serial, since: timestamp, until };
    const { body } = await ask<Schemas["ArchivePage"]>("GET", "/archive/events", { query });
    const row = body.events.find((one) => one.waveform_key === form.waveform_key);
    if (!row) return text.notArchived;
    location.hash = `#/archive/${row.id}?${REVIEW}=1`;
    return "";
  };
  return (
    <>
      {wasListed && stampOf(wasListed) !== stampOf(form) && (
        <p role="alert" class="warning">
          {text.otherThanListed(unitTime(wasListed.timestamp))}
        </p>
      )}
      {isGone && (
        <div role="alert" class="warning">
          <p>{text.replaced}</p>
          <p>
            <button type="button" onClick={waveform.reload}>
              {text.readNew}
            </button>{" "}
            {serial && <a href={`#/archive?serial=${encodeURIComponent(serial)}`}>{words.archive.records}</a>}
          </p>
        </div>
      )}
      <EventView
        form={form}
        serial={serial}
        simulated={simulated === true}
        isSimulatedShown
        above={{ href: linkTo(unit, "events"), text: text.back }}
        previous={linkOf(index - 1)}
        next={linkOf(index + 1)}
        freshness={<Freshness of={waveform} what={text.title(index)} />}
        verdict={worstVerdict(list?.events.find((event) => event.index === index)?.verdicts)}
        analysis={analysis}
        chart={chart}
        spectra={spectra}
        source={{
          path: `/device/event/${index}`,
          query: known,
          tag: () => heldAt(addressOf(`/device/event/${index}/waveform`, { ...unit }))?.etag ?? null,
        }}
        others={others.map((event) => otherOf(String(event.index), event))}
        loadOther={loadOther}
        onReview={onReview}
      />
    </>
  );
}

/** Look now and then whether the slot still holds the event that is shown. */
function useReplaced(unit: Unit, index: number, { body: form, atMs }: Resource<Form>): boolean {
  const event = useResource<Schemas["EventOut"]>({ path: `/device/event/${index}`, unit, everyS: LOOK_S });
  const { body, problem } = event;
  if (!form) return false;
  if (problem?.kind === "no-such-event") return true;
  // A look from before the samples were read says nothing of the slot now.
  if (!body || event.atMs < atMs) return false;
  return isReplaced({ ...form, memory: form.provenance }, { ...body, memory: body.provenance });
}
