// Which events are shown, and in which order.
import type { Schemas } from "../api/client";

export type Event = Schemas["EventBase"];
export type ColumnId = "index" | "key" | "time" | "tran" | "vert" | "long" | "pvs" | "mic" | "project";

export interface Sort {
  by: ColumnId;
  isDescending: boolean;
}

/** Newest first is by place in the unit's memory: a unit's clock can be set back. */
export const NEWEST_FIRST: Sort = { by: "index", isDescending: true };

const VALUES: Record<ColumnId, (event: Event) => number | string | null> = {
  index: (event) => event.index,
  key: (event) => event.waveform_key,
  time: (event) => event.timestamp,
  tran: (event) => event.peaks.tran_in_s,
  vert: (event) => event.peaks.vert_in_s,
  long: (event) => event.peaks.long_in_s,
  pvs: (event) => event.peaks.vector_sum_in_s,
  mic: (event) => event.peaks.mic_db,
  project: (event) => event.project,
};

/** Return the events in that order; what is unknown comes last either way, equals newest first. */
export function sorted(events: readonly Event[], { by, isDescending }: Sort): Event[] {
  const valueOf = VALUES[by];
  const sign = isDescending ? -1 : 1;
  return [...events].sort((a, b) => {
    const [one, other] = [valueOf(a), valueOf(b)];
    if (one === null || other === null) return one === other ? b.index - a.index : one === null ? 1 : -1;
    if (one === other) return b.index - a.index;
    return one < other ? -sign : sign;
  });
}

/** Return the order after a click on a column: numbers begin with the largest, texts with the first. */
export function sortAfter({ by, isDescending }: Sort, clicked: ColumnId): Sort {
  if (by === clicked) return { by, isDescending: !isDescending };
  return { by: clicked, isDescending: clicked !== "key" && clicked !== "project" };
}

/** What an event must be to be shown; `null` and empty texts ask for nothing. */
export interface Filters {
  minPvsInS: number | null;
  minDb: number | null;
  /** Unit time, ISO 8601 without zone: at or after. */
  since: string;
  /** Unit time, before. */
  until: string;
  project: string;
}

export const NO_FILTERS: Filters = { minPvsInS: null, minDb: null, since: "", until: "", project: "" };

/** Return the events that match; one whose value is unknown matches no filter on it. */
export function filtered(events: readonly Event[], filters: Filters): Event[] {
  const project = filters.project.trim().toLowerCase();
  return events.filter(({ peaks, timestamp, project: own }) => {
    if (filters.minPvsInS !== null && !(peaks.vector_sum_in_s !== null && peaks.vector_sum_in_s >= filters.minPvsInS)) return false;
    if (filters.minDb !== null && !(peaks.mic_db !== null && peaks.mic_db >= filters.minDb)) return false;
    if (filters.since && !(timestamp !== null && timestamp >= filters.since)) return false;
    if (filters.until && !(timestamp !== null && timestamp < filters.until)) return false;
    return !project || (own ?? "").toLowerCase().includes(project);
  });
}

/** Return the number that was typed; null of an empty or unfinished one. */
export function numberOf(text: string): number | null {
  const number = Number(text);
  return text.trim() === "" || !Number.isFinite(number) ? null : number;
}
