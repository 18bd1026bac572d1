// What a list of events shows of each: shared by the unit's list and the archive's.
import { velocityText, type Velocity } from "../waveform/convert";
import { words } from "../words";
import type { ColumnId, Event } from "./choose";
import { unitTimeText } from "./stamps";
import type { Column } from "./VirtualTable";

const text = words.events;
const { unknown } = words.app;

const UNKNOWN = <span class="unknown">{unknown}</span>;

/** A peak at the end of the range was at least that. */
function bounded(bound: ">" | null | undefined, shown: string | null | undefined) {
  return shown === null || shown === undefined ? UNKNOWN : (bound ?? "") + shown;
}

/** Return the columns of an event's stamp, peaks and project, velocities in the given unit. */
export function eventColumns(unit: Velocity): (Column<Event> & { id: ColumnId })[] {
  const velocity = (id: ColumnId, name: string, field: "tran_in_s" | "vert_in_s" | "long_in_s" | "vector_sum_in_s") => ({
    id,
    head: text.inUnit(name, unit),
    isNumber: true,
    cell: ({ peaks }: Event) => bounded(peaks.bound[field], velocityText(peaks[field], unit)),
  });
  return [
    { id: "key", head: text.key, cell: (event) => <code>{event.waveform_key}</code> },
    { id: "time", head: text.time, cell: (event) => unitTimeText(event.timestamp) ?? UNKNOWN },
    velocity("tran", "Tran", "tran_in_s"),
    velocity("vert", "Vert", "vert_in_s"),
    velocity("long", "Long", "long_in_s"),
    velocity("pvs", "PVS", "vector_sum_in_s"),
    { id: "mic", head: text.mic, isNumber: true, cell: ({ peaks }) => bounded(peaks.bound.mic_db, peaks.mic_db?.toFixed(1)) },
    {
      id: "project",
      head: text.project,
      cell: (event) => event.project ?? UNKNOWN,
      title: (event) => event.project ?? unknown,
    },
  ];
}
