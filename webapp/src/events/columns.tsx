// What a list of events shows of each: shared by the unit's list and the archive's.
import { velocityText, type Velocity } from "../waveform/convert";
import { wordsOfViews } from "../words.views";
import type { ColumnId, Event } from "./choose";
import { unitTimeText } from "./stamps";
import type { Column } from "./VirtualTable";

const words = wordsOfViews.events;
const { unknown } = wordsOfViews.common;

const UNKNOWN = <span class="unknown">{unknown}</span>;

/** Return the columns of an event's stamp, peaks and project, velocities in the given unit. */
export function eventColumns(unit: Velocity): (Column<Event> & { id: ColumnId })[] {
  const velocity = (id: ColumnId, name: string, valueOf: (event: Event) => number | null) => ({
    id,
    head: words.inUnit(name, unit),
    isNumber: true,
    cell: (event: Event) => velocityText(valueOf(event), unit) ?? UNKNOWN,
  });
  return [
    { id: "key", head: words.key, cell: (event) => <code>{event.waveform_key}</code> },
    { id: "time", head: words.time, cell: (event) => unitTimeText(event.timestamp) ?? UNKNOWN },
    velocity("tran", "Tran", (event) => event.peaks.tran_in_s),
    velocity("vert", "Vert", (event) => event.peaks.vert_in_s),
    velocity("long", "Long", (event) => event.peaks.long_in_s),
    velocity("pvs", "PVS", (event) => event.peaks.vector_sum_in_s),
    { id: "mic", head: words.mic, isNumber: true, cell: (event) => event.peaks.mic_db?.toFixed(1) ?? UNKNOWN },
    {
      id: "project",
      head: words.project,
      cell: (event) => event.project ?? UNKNOWN,
      title: (event) => event.project ?? unknown,
    },
  ];
}
