// What a list of events shows of each: shared by the unit's list and the archive's.
import { velocityText, type Velocity } from "../waveform/convert";
import { words } from "../words";
import type { ColumnId, Event } from "./choose";
import { unitTimeText } from "./stamps";
import type { Column } from "./VirtualTable";

const text = words.events;
const { unknown } = words.app;

const UNKNOWN = <span class="unknown">{unknown}</span>;

/** Return the columns of an event's stamp, peaks and project, velocities in the given unit. */
export function eventColumns(unit: Velocity): (Column<Event> & { id: ColumnId })[] {
  const velocity = (id: ColumnId, name: string, valueOf: (event: Event) => number | null) => ({
    id,
    head: text.inUnit(name, unit),
    isNumber: true,
    cell: (event: Event) => velocityText(valueOf(event), unit) ?? UNKNOWN,
  });
  return [
    { id: "key", head: text.key, cell: (event) => <code>{event.waveform_key}</code> },
    { id: "time", head: text.time, cell: (event) => unitTimeText(event.timestamp) ?? UNKNOWN },
    velocity("tran", "Tran", (event) => event.peaks.tran_in_s),
    velocity("vert", "Vert", (event) => event.peaks.vert_in_s),
    velocity("long", "Long", (event) => event.peaks.long_in_s),
    velocity("pvs", "PVS", (event) => event.peaks.vector_sum_in_s),
    { id: "mic", head: text.mic, isNumber: true, cell: (event) => event.peaks.mic_db?.toFixed(1) ?? UNKNOWN },
    {
      id: "project",
      head: text.project,
      cell: (event) => event.project ?? UNKNOWN,
      title: (event) => event.project ?? unknown,
    },
  ];
}
