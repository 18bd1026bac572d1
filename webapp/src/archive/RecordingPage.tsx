// One recording of the archive: the same page as that of an event in a unit's memory, with what people made of it.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type Schemas } from "../api/client";
import { FetchAll } from "../commands/FetchAll";
import { useResource } from "../data/resource";
import { worstVerdict } from "../events/verdicts";
import { Facts } from "../parts/Facts";
import { PageTitle } from "../parts/PageTitle";
import { Troubles } from "../parts/Trouble";
import { serverTime, unitTime } from "../parts/time";
import { Waiting } from "../parts/Waiting";
import { fragment, look, REVIEW, viewOf } from "../route";
import { measures } from "../state";
import { EventView, labelOf, type Other, otherOf } from "../waveform/EventView";
import { words } from "../words";
import { Findings } from "./Findings";
import { Reviews } from "./Reviews";
import { Simulated } from "./Simulated";
import { type Row, useArchive } from "./useArchive";
import { Verdicts } from "./Verdicts";
import { ANYTHING } from "./wanted";
import "./archive.css";

const text = words.archive;
const ofWaveform = words.waveform;
type Archived = Schemas["ArchivedOut"];

const lookAt = (heading: HTMLElement | null): void => {
  heading?.focus({ preventScroll: true });
  heading?.scrollIntoView({ block: "start" });
};

export function RecordingPage({ id }: { id: string }) {
  const recording = useResource<Archived>({ path: `/archive/recordings/${id}` });
  return (
    <article class="recording-page">
      <Troubles of={[recording]} />
      <Waiting of={recording} />
      {recording.body ? (
        <Found key={id} recording={recording.body} />
      ) : (
        <PageTitle title={text.recording(id.slice(0, 12))} />
      )}
    </article>
  );
}

function Found({ recording }: { recording: Archived }) {
  const { id, serial, timestamp } = recording;
  const [content, setContent] = useState<string | undefined>(undefined);
  const { rows, row, at, isRead, reload } = useNeighbours(recording);
  const review = useRef<HTMLHeadingElement>(null);
  const isListed = row !== null;
  const hasNone = isListed && row.contents.length === 0;
  const waveform = useResource<Schemas["ArchivedWaveformOut"]>(
    !isRead || hasNone ? null : { path: `/archive/recordings/${id}/waveform`, query: { content } },
  );
  const chart = useResource<Schemas["ChartOut"]>(
    !isRead || hasNone ? null : { path: `/archive/recordings/${id}/chart`, query: { content, units: measures() } },
  );
  const analysis = useResource<Schemas["ArchivedAnalysisOut"]>(
    !isRead || hasNone ? null : { path: `/archive/recordings/${id}/analysis`, query: { content } },
  );
  const spectra = useResource<Schemas["ArchivedSpectraOut"]>(
    !isRead || hasNone ? null : { path: `/archive/recordings/${id}/spectra`, query: { content } },
  );
  const verdicts = useResource<Schemas["VerdictsOut"]>({ path: `/archive/recordings/${id}/verdicts` });
  const back = { href: `#/archive?serial=${encodeURIComponent(serial)}`, text: text.back };
  const linkOf = (other: Row | undefined) => (other ? `#/archive/${other.id}` : null);
  const loadOther = async (name: string, signal: AbortSignal): Promise<Other> => {
    const { body } = await ask<Schemas["ArchivedWaveformOut"]>("GET", `/archive/recordings/${name}/waveform`, {
      signal,
    });
    return { form: body, label: labelOf(body.serial, body) };
  };
  const isDrawn = waveform.body !== null || waveform.problem !== null || hasNone;
  useEffect(() => {
    // Who came from the unit's page to review it.
    if (!isDrawn || !viewOf(fragment.peek()).has(REVIEW)) return;
    lookAt(review.current);
    look({ [REVIEW]: "" });
  }, [isDrawn]);
  const isWithout = hasNone || waveform.problem?.kind === "no-such-record";
  const more = (
    <>
      {isWithout && <Verdicts verdicts={verdicts} />}
      <section class="block" aria-labelledby="recording-facts">
        <header>
          <h2 id="recording-facts">{text.facts}</h2>
        </header>
        <RecordingFacts recording={recording} row={row} />
      </section>
      <section class="block" aria-labelledby="recording-review">
        <header>
          <h2 id="recording-review" tabIndex={-1} ref={review}>
            {text.reviewTitle}
          </h2>
        </header>
        <Reviews id={id} />
      </section>
      <section class="block" aria-labelledby="recording-findings">
        <header>
          <h2 id="recording-findings">{text.findings}</h2>
        </header>
        <Findings id={id} />
      </section>
    </>
  );
  if (waveform.body) {
    return (
      <>
        <Contents row={row} content={content} onContent={setContent} />
        <EventView
          form={waveform.body}
          serial={serial}
          simulated={recording.simulated}
          above={back}
          // The list is newest first: what was recorded before comes after.
          previous={linkOf(rows[at + 1])}
          next={at > 0 ? linkOf(rows[at - 1]) : null}
          verdict={worstVerdict(verdicts.body?.verdicts)}
          analysis={analysis}
          chart={chart}
          spectra={spectra}
          source={{ path: `/archive/recordings/${id}`, query: { content } }}
          others={rows.filter((one) => one.id !== id && one.waveforms > 0).map((one) => otherOf(one.id, one))}
          loadOther={loadOther}
          onReview={async () => {
            lookAt(review.current);
            return "";
          }}
        >
          {more}
        </EventView>
      </>
    );
  }
  return (
    <>
      <p>
        <a href={back.href}>{back.text}</a>
      </p>
      <PageTitle title={ofWaveform.named(serial, timestamp?.replace("T", " ") ?? ofWaveform.timeUnknown)} />
      {recording.simulated && <Simulated />}
      {isWithout ? (
        <>
          <p class="note">{text.noSamples}</p>
          <FetchAll unit={{ unit: serial }} onFetched={reload} />
        </>
      ) : (
        <Troubles of={[waveform]} />
      )}
      <Waiting of={waveform} />
      <div class="columns">{more}</div>
    </>
  );
}

interface Choice {
  row: Row | null;
  content: string | undefined;
  onContent: (content: string) => void;
}

/** Which of the contents is shown, where the unit returned different ones at different times. */
function Contents({ row, content, onContent }: Choice) {
  if (!row || row.contents.length < 2) return null;
  return (
    <p>
      <label>
        {text.contents}{" "}
        <select value={content ?? row.contents[0]} onChange={(event) => onContent(event.currentTarget.value)}>
          {row.contents.map((hash, i) => (
            <option key={hash} value={hash}>
              {text.content(i + 1, hash.slice(0, 16))}
            </option>
          ))}
        </select>
      </label>{" "}
      {text.contentsWhy}
    </p>
  );
}

/** Return the recordings of the same unit, newest first, as far as this one, and this one's row; null: not known yet. */
function useNeighbours({ id, serial }: Archived): {
  rows: Row[];
  row: Row | null;
  at: number;
  isRead: boolean;
  reload: () => void;
} {
  const archive = useArchive({ ...ANYTHING, serial });
  const rows = archive.body?.events ?? [];
  const at = rows.findIndex((row) => row.id === id);
  useEffect(() => {
    if (archive.body && at < 0 && archive.readingSinceMs === null && !archive.problem) archive.more?.();
  }, [archive.body, archive.readingSinceMs]);
  return {
    rows,
    row: rows[at] ?? null,
    at,
    isRead: archive.body !== null || archive.problem !== null,
    reload: archive.reload,
  };
}

function RecordingFacts({ recording, row }: { recording: Archived; row: Row | null }) {
  return (
    <Facts
      facts={[
        [text.serial, recording.serial],
        [words.events.time, unitTime(recording.timestamp)],
        [
          text.utc,
          recording.utc === null
            ? text.utcUnknown[recording.utc_unknown ?? "no-zone"]
            : recording.utc.replace("T", " "),
        ],
        [text.readAt, serverTime(recording.read_at)],
        [text.route, recording.route],
        [text.slot, recording.index],
        [ofWaveform.project, recording.project],
        [text.archived, row && text.archivedParts(row.archived)],
        [ofWaveform.key, <code>{recording.waveform_key}</code>],
        [text.id, <code>{recording.id}</code>],
        [text.hash, <code>{recording.content_hash}</code>],
      ]}
    />
  );
}
