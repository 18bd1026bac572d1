// What somebody must do something about, in words: the unit's state, held against what it should be.
import type { Schemas } from "../api/client";
import { duration, measured } from "../parts/measures";
import { calibrationDue } from "../parts/time";
import { words } from "../words";

type Status = Schemas["StatusOut"];

export interface Warning {
  text: string;
  /** Whether a recording may be lost if nobody acts. */
  isUrgent: boolean;
}

const text = words.unit.warnings;

/** Below this a 6 V lead battery is nearly discharged, V; below the second it is empty. Our own choice, not the maker's. */
const BATTERY_LOW_V = 6.0;
const BATTERY_EMPTY_V = 5.8;
const MEMORY_FULL = 0.9;
/** A clock that is further off than this puts events at another time than people remember, s. */
const CLOCK_OFF_S = 60;
/** Steps of the unit's clock are 1 s, and the link adds its delay. */
const CLOCK_RIGHT_S = 1.5;

/** Return what a status warns of, the urgent first. */
export function warningsOf(status: Status): Warning[] {
  const found: Warning[] = [];
  const warn = (is: boolean, words: string, isUrgent = false): void => {
    if (is) found.push({ text: words, isUrgent });
  };
  const { battery_v: battery } = status;
  const used = memoryUsed(status);
  warn(!status.monitoring, text.notMonitoring);
  if (battery !== null) {
    const isEmpty = battery < BATTERY_EMPTY_V;
    warn(battery < BATTERY_LOW_V, (isEmpty ? text.batteryEmpty : text.batteryLow)(measured(battery, "V", 2)), isEmpty);
  }
  if (used !== null) warn(used >= MEMORY_FULL, text.memory(measured(100 * used, "%", 0)), used >= 0.98);
  warn(isClockWrong(status), text.clock(clockText(status)));
  return found.sort((one, other) => Number(other.isUrgent) - Number(one.isUrgent));
}

/** Return what is wrong with a unit's calibration; `null`: nothing, or it is not known. */
export function calibrationWarning(calibratedOn: string | null, today: Date): Warning | null {
  const due = calibrationDue(calibratedOn, today);
  return due && due.days < 0 ? { text: text.calibration(due.on, -due.days), isUrgent: false } : null;
}

export function memoryUsed({ memory_total_bytes: total, memory_free_bytes: free }: Status): number | null {
  return total === null || free === null || total <= 0 ? null : (total - free) / total;
}

const isUnset = (clock: string | null): boolean => clock !== null && clock < "2000";

export function isClockWrong({ clock_device_time: clock, clock_drift_s: drift }: Status): boolean {
  return isUnset(clock) || (drift !== null && drift !== undefined && Math.abs(drift) >= CLOCK_OFF_S);
}

/** Return how far a unit's clock is off, as a person would say it. */
export function clockText(status: Status): string {
  const { clock_device_time: clock, clock_offset_s: offset, clock_drift_s: drift, clock_zone: zone } = status;
  const clockWords = words.unit.clocks;
  if (clock === null || offset == null || drift == null) return words.app.unknown;
  if (isUnset(clock)) return clockWords.unset(clock.replace("T", " "));
  const off = (seconds: number): string =>
    `${duration(Math.round(Math.abs(seconds)))} ${seconds > 0 ? clockWords.ahead : clockWords.behind}`;
  const isRight = Math.abs(drift) < CLOCK_RIGHT_S;
  if (zone != null) return isRight ? clockWords.right(zone) : clockWords.inZone(off(drift), zone);
  // Without a zone it is not known what the clock should show; whole quarters of an hour may be its zone.
  const ofUtc = clockWords.ofUtc(off(offset), offset > 0);
  return Math.abs(drift) < CLOCK_OFF_S ? clockWords.maybeRight(ofUtc) : clockWords.noZone(ofUtc);
}
