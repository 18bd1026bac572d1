// What a list of events shows of each: shared by the unit's list and the archive's.
import { air, decibelsOf, numberText, PA_PER_PSI, velocityText } from "../parts/measures";

import type { AirUnit, GroundUnit } from "../state";
import { words } from "../words";
import type { ColumnId, Event } from "./choose";
import type { Column } from "./EventList";
import { unitTimeText } from "./stamps";
import { shareText, type Verdict, verdictText, worstVerdict } from "./verdicts";

const text = words.events;
const UNKNOWN = <span class="unknown">{words.app.unknown}</span>;

/** An event of a list, and the range of its geophones where the list says it. */
export type Listed = Event & { geo_range_in_s?: number | null; verdicts?: Verdict[] | null };

/** A peak at the end of the range was at least that: it says so, and is marked. */
function bounded(bound: ">" | null | undefined, shown: string | null) {
  if (shown === null) return UNKNOWN;
  return bound ? (
    <strong class="over-range" title={text.overRange}>
      {bound}
      {shown}
    </strong>
  ) : (
    shown
  );
}

const GROUND = [
  ["tran", "Tran", "tran_in_s"],
  ["vert", "Vert", "vert_in_s"],
  ["long", "Long", "long_in_s"],
] as const;

function airText(psi: number | null, unit: AirUnit): string | null {
  if (psi === null) return null;
  if (unit === "psi") return numberText(psi, unit);
  if (unit === "Pa") return numberText(psi * PA_PER_PSI, unit);
  const level = decibelsOf(psi);
  return level === null ? null : numberText(level, unit);
}

/** Return the columns of an event's time, peaks and project, in the given units of measure. */
export function eventColumns(unit: GroundUnit, airUnit: AirUnit): (Column<Listed> & { id: ColumnId })[] {
  const velocity = (id: ColumnId, name: string, field: (typeof GROUND)[number][2] | "vector_sum_in_s") => ({
    id,
    head: text.inUnit(name, unit),
    isNumber: true,
    cell: ({ peaks, geo_range_in_s }: Listed) =>
      bounded(peaks.bound[field], velocityText(peaks[field], unit, geo_range_in_s ?? null)),
  });
  return [
    { id: "time", head: text.time, cell: (event) => unitTimeText(event.timestamp) ?? UNKNOWN },
    velocity("pvs", "PVS", "vector_sum_in_s"),
    ...GROUND.map(([id, name, field]) => velocity(id, name, field)),
    {
      id: "mic",
      head: text.inUnit("MicL", airUnit),
      isNumber: true,
      cell: ({ peaks }) => bounded(peaks.bound.mic_psi, airText(peaks.mic_psi, airUnit)),
    },
    {
      id: "verdict",
      head: words.verdicts.head,
      isNumber: true,
      cell: (event) => <Share event={event} />,
      title: (event) => verdictText(worstVerdict(event.verdicts)),
    },
    {
      id: "project",
      head: text.project,
      cell: (event) => event.project || UNKNOWN,
      title: (event) => event.project ?? "",
    },
  ];
}

/** How much of its limit an event took: a colour says it too, and never alone. */
function Share({ event }: { event: Listed }) {
  const verdict = worstVerdict(event.verdicts);
  const share = verdict && shareText(verdict);
  if (!verdict || !share) return <span class="faint">–</span>;
  // Of the unit's peaks alone only a lower bound is known: that is no good news.
  if (verdict.outcome === "no_verdict") return <span title={words.verdicts.noVerdict}>{share}</span>;
  const isOver = verdict.outcome === "exceeds";
  return <strong class={isOver ? "alarm" : "good"}>{isOver ? words.events.over(share) : share}</strong>;
}

/** Return the channel with the largest peak; null: none is known. */
export function worst({ peaks }: Event): (typeof GROUND)[number] | null {
  let found: (typeof GROUND)[number] | null = null;
  for (const channel of GROUND) {
    const value = peaks[channel[2]];
    if (value !== null && value > (found ? (peaks[found[2]] ?? 0) : -1)) found = channel;
  }
  return found;
}

/** The channel that is nearest to its limit, and at which frequency; the largest one, where none was judged. */
function nearest(event: Listed): [(typeof GROUND)[number] | null, string] {
  const verdict = worstVerdict(event.verdicts);
  const judged = GROUND.find(([, name]) => name === verdict?.channel);
  if (!judged || verdict?.frequency_hz == null) return [worst(event), ""];
  return [judged, text.atFrequency(`${verdict.frequency_bound ?? ""}${verdict.frequency_hz.toFixed(1)}`)];
}

const TO_THE_MINUTE = "2026-04-01 00:28".length;

/** What a phone shows of an event: how strong it was, where, and when. */
export function EventCard({
  event,
  unit,
  airUnit,
  note,
}: {
  event: Listed;
  unit: GroundUnit;
  airUnit: AirUnit;
  note?: string;
}) {
  const { peaks, timestamp, geo_range_in_s: range = null } = event;
  const pvs = velocityText(peaks.vector_sum_in_s, unit, range);
  const [channel, frequency] = nearest(event);
  return (
    <>
      <span class="card-main">
        <b>{bounded(peaks.bound.vector_sum_in_s, pvs)}</b> {text.inUnit("", unit)} {words.waveform.pvs}
      </span>
      <span class="card-time">{unitTimeText(timestamp)?.slice(0, TO_THE_MINUTE) ?? words.app.unknown}</span>
      <span class="card-more">
        {channel && (
          <>
            {channel[1]} {bounded(peaks.bound[channel[2]], velocityText(peaks[channel[2]], unit, range))}
            {frequency} ·{" "}
          </>
        )}
        {peaks.bound.mic_psi ?? ""}
        {air(peaks.mic_psi, airUnit)}
      </span>
      <span class="card-note">
        {note} <Share event={event} />
      </span>
    </>
  );
}
