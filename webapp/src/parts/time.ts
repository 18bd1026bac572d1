// Two clocks, and never one for the other: the unit's own, which knows no zone, and the relay's.
import { words } from "../words";

const two = (number: number): string => String(number).padStart(2, "0");

/** A time of the unit's own clock, as the unit reports it. */
export function unitTime(timestamp: string | null | undefined): string {
  return timestamp ? `${timestamp.replace("T", " ")} ${words.time.unit}` : words.app.unknown;
}

/** An instant of the relay's clock, in the zone of this browser. */
export function serverTime(iso: string | null | undefined): string {
  const at = iso ? new Date(iso) : null;
  return at && !Number.isNaN(at.getTime()) ? `${localTime(at)} ${words.time.server}` : words.app.unknown;
}

/** The same without the date, where it is of today. */
export function serverClock(at: Date, today: Date): string {
  const text = localTime(at);
  return `${text.slice(0, 10) === localTime(today).slice(0, 10) ? text.slice(11, 16) : text.slice(0, 16)} ${words.time.server}`;
}

/** An instant in the zone of this browser; whose clock it is must be shown beside it. */
export function localTime(at: Date): string {
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export interface Due {
  on: string;
  /** Whole days from today; negative: overdue. */
  days: number;
}

/** When a calibration of that date is due: a year later. `null`: the date is not known. */
export function calibrationDue(calibratedOn: string | null | undefined, today: Date): Due | null {
  const parts = /^(\d{4})-(\d{2})-(\d{2})/.exec(calibratedOn ?? "");
  if (!parts) return null;
  const [year, month, day] = parts.slice(1).map(Number) as [number, number, number];
  const lastDay = new Date(Date.UTC(year + 1, month, 0)).getUTCDate();
  const due = Date.UTC(year + 1, month - 1, Math.min(day, lastDay));
  const midnight = Date.UTC(today.getFullYear(), today.getMonth(), today.getDate());
  return { on: new Date(due).toISOString().slice(0, 10), days: Math.round((due - midnight) / 86_400_000) };
}
