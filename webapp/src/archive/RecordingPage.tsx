// One recording of the archive: its samples, its facts, what was noticed, and what people made of it.
import { useState } from "preact/hooks";
import { ask, type Schemas } from "../api/client";
import { Facts } from "../parts/Facts";
import { air, ground } from "../parts/measures";
import { serverTime, unitTime } from "../parts/time";
import { Trouble } from "../parts/Trouble";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import type { Load } from "../waveform/Overlay";
import { labelOf, WaveformView } from "../waveform/WaveformView";
import { useAsked } from "../parts/asked";
import { Findings } from "./Findings";
import { Reviews } from "./Reviews";
import { Simulated } from "./Simulated";
import { secondAfter } from "./wanted";
import "./archive.css";

const text = words.archive;
const ofWaveform = words.waveform;

export function RecordingPage({ id }: { id: string }) {
  const { body, problem, again } = useAsked<Schemas["ArchivedOut"]>(`/archive/recordings/${id}`);
  const row = useRow(body);
  return (
    <article class="recording-page">
      <p>
        <a href={body ? `#/archive?serial=${encodeURIComponent(body.serial)}` : "#/archive"}>{text.back}</a>
      </p>
      <h1>
        {text.recording(id.slice(0, 12))} {body && <span class="faint">{body.serial} · {unitTime(body.timestamp)}</span>}
      </h1>
      {body?.simulated && <Simulated />}
      {problem && <Trouble problem={problem} retry={again} />}
      {!body && !problem && <p role="status">{words.fresh.reading}</p>}
      {body && (
        <>
          <Samples recording={body} row={row} />
          <div class="columns">
            <section class="block" aria-labelledby="recording-facts">
              <header><h2 id="recording-facts">{ofWaveform.facts}</h2></header>
              <RecordingFacts recording={body} row={row} />
            </section>
            <section class="block" aria-labelledby="recording-findings">
              <header><h2 id="recording-findings">{text.findings}</h2></header>
              <Findings id={body.id} />
            </section>
            <section class="block" aria-labelledby="recording-review">
              <header><h2 id="recording-review">{text.reviewTitle}</h2></header>
              <Reviews id={id} />
            </section>
          </div>
        </>
      )}
    </article>
  );
}

interface Props {
  recording: Schemas["ArchivedOut"];
  row: Row;
}

function Samples({ recording, row }: Props) {
  const { id, serial } = recording;
  const [content, setContent] = useState<string | undefined>(undefined);
  const contents = row && (row === "unsaid" ? row : row.contents);
  const hasNone = contents !== "unsaid" && contents?.length === 0;
  const { body, problem, again } = useAsked<Schemas["ArchivedWaveformOut"]>(
    contents === null || hasNone ? null : `/archive/recordings/${id}/waveform`,
    { content },
  );
  const load: Load = async (name, signal) => {
    const { body: other } = await ask<Schemas["ArchivedWaveformOut"]>("GET", `/archive/recordings/${name}/waveform`, { signal });
    if (other.id === id) throw new Error(ofWaveform.overlaySame);
    if (other.serial !== serial) throw new Error(ofWaveform.overlayOtherUnit(other.serial));
    return { form: other, label: labelOf(other.serial, other) };
  };
  if (hasNone || problem?.kind === "no-such-record") return <p class="note">{text.noSamples}</p>;
  return (
    <>
      {contents !== "unsaid" && contents !== null && contents.length > 1 && (
        <p>
          <label>
            {text.contents}{" "}
            <select value={content ?? contents[0]} onChange={(event) => setContent(event.currentTarget.value)}>
              {contents.map((hash, i) => (
                <option key={hash} value={hash}>{text.content(i + 1, hash.slice(0, 16))}</option>
              ))}
            </select>
          </label>{" "}
          {text.contentsWhy}
        </p>
      )}
      {problem && <Trouble problem={problem} retry={again} />}
      {!body && !problem && <p role="status">{words.fresh.reading}</p>}
      {body && (
        <WaveformView
          form={body}
          serial={body.serial}
          simulated={body.simulated}
          overlayLabel={ofWaveform.overlayRecording}
          loadOverlay={load}
        />
      )}
    </>
  );
}

type Row = Schemas["ArchivedRow"] | "unsaid" | null;

/**
 * Return a recording's row of the list; null: not known yet. Only the list says what is archived, and it can be
 * asked for one instant and not for an unknown one: of that it is unsaid.
 */
function useRow(recording: Schemas["ArchivedOut"] | null | undefined): Row {
  const since = recording?.timestamp ?? null;
  const until = since && secondAfter(since);
  const { body, problem } = useAsked<Schemas["ArchivePage"]>(until ? "/archive/events" : null, {
    serial: recording?.serial,
    since: since ?? undefined,
    until: until ?? undefined,
  });
  if ((recording && !until) || problem) return "unsaid";
  return body && (body.events.find((row) => row.id === recording?.id) ?? "unsaid");
}

function RecordingFacts({ recording, row }: Props) {
  const { peaks } = recording;
  return (
    <Facts
      facts={[
        [text.serial, recording.serial],
        [words.events.time, unitTime(recording.timestamp)],
        [text.utc, recording.utc === null ? text.utcUnknown[recording.utc_unknown ?? "no-zone"] : recording.utc.replace("T", " ")],
        [text.readAt, serverTime(recording.read_at)],
        [text.route, recording.route],
        [text.slot, recording.index],
        [ofWaveform.key, <code>{recording.waveform_key}</code>],
        [ofWaveform.project, recording.project],
        ["Tran", (peaks.bound.tran_in_s ?? "") + ground(peaks.tran_in_s, unitsOf.value)],
        ["Vert", (peaks.bound.vert_in_s ?? "") + ground(peaks.vert_in_s, unitsOf.value)],
        ["Long", (peaks.bound.long_in_s ?? "") + ground(peaks.long_in_s, unitsOf.value)],
        [ofWaveform.pvs, (peaks.bound.vector_sum_in_s ?? "") + ground(peaks.vector_sum_in_s, unitsOf.value)],
        ["MicL", (peaks.bound.mic_psi ?? "") + air(peaks.mic_psi, airUnits.value)],
        [text.archived, row && row !== "unsaid" && text.archivedParts(row.archived)],
        [text.id, <code>{recording.id}</code>],
        [text.hash, <code>{recording.content_hash}</code>],
      ]}
    />
  );
}
