// Which events are shown, and in which order.
import type { Schemas } from "../api/client";
import { worstVerdict } from "./verdicts";

/** What a list knows of an event, in a unit's memory or in the archive. */
export type Event = Omit<Schemas["ListedEvent"], "verdicts" | "no_verdict">;
export type ColumnId =
  | "index"
  | "key"
  | "time"
  | "tran"
  | "vert"
  | "long"
  | "pvs"
  | "mic"
  | "project"
  | "serial"
  | "samples"
  | "review"
  | "verdict";

export interface Sort {
  by: ColumnId;
  isDescending: boolean;
}

/** Newest first is by place in the unit's memory: a unit's clock can be set back. */
export const NEWEST_FIRST: Sort = { by: "index", isDescending: true };

const TEXTS = new Set<string>(["key", "project", "serial"]);
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
  verdict: (event) => worstVerdict((event as Partial<Schemas["ListedEvent"]>).verdicts)?.share_percent ?? null,
  serial: (event) => (event as Partial<Schemas["ArchivedRow"]>).serial ?? null,
  samples: (event) => (event as Partial<Schemas["ArchivedRow"]>).waveforms ?? null,
  review: (event) => (event as Partial<Schemas["ArchivedRow"]>).review?.at ?? null,
};

export const isColumn = (name: string): name is ColumnId => name in VALUES;

/** Return the events in that order; what is unknown comes last either way, equals newest first. */
export function sorted(events: readonly Event[], { by, isDescending }: Sort): Event[] {
  const compared = VALUES[by];
  const sign = isDescending ? -1 : 1;
  return [...events].sort((a, b) => {
    const [one, other] = [compared(a), compared(b)];
    if (one === null || other === null) return one === other ? b.index - a.index : one === null ? 1 : -1;
    if (one === other) return b.index - a.index;
    return one < other ? -sign : sign;
  });
}

/** Return the order after a click on a column: numbers begin with the largest, texts with the first. */
export function sortAfter({ by, isDescending }: Sort, clicked: string): Sort {
  if (!isColumn(clicked)) return { by, isDescending };
  if (by === clicked) return { by, isDescending: !isDescending };
  return { by: clicked, isDescending: !TEXTS.has(clicked) };
}

/** What an event must be to be shown; `null` and empty texts ask for nothing. */
export interface Filters {
  minPvsInS: number | null;
  minMicPsi: number | null;
  /** Unit time, ISO 8601 without zone: at or after. */
  since: string;
  /** Unit time, before. */
  until: string;
  project: string;
}

export const NO_FILTERS: Filters = { minPvsInS: null, minMicPsi: null, since: "", until: "", project: "" };

/** Return the events that match; one whose value is unknown matches no filter on it. */
export function filtered(events: readonly Event[], filters: Filters): Event[] {
  const project = filters.project.trim().toLowerCase();
  return events.filter(({ peaks, timestamp, project: own }) => {
    if (filters.minPvsInS !== null && !(peaks.vector_sum_in_s !== null && peaks.vector_sum_in_s >= filters.minPvsInS))
      return false;
    if (filters.minMicPsi !== null && !(peaks.mic_psi !== null && peaks.mic_psi >= filters.minMicPsi)) return false;
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
