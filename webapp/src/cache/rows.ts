// What `/cache/stats` says of each unit, for people. Its insides are exempt from stability, so each is looked at.
import type { Schemas } from "../api/client";

export interface Epoch {
  number: number;
  reason: string;
  /** Server time, ISO 8601; `null`: unknown. */
  beganAt: string | null;
}

export interface Row {
  key: string;
  serial: string | null;
  isSimulated: boolean;
  /** Newest first: the present one, and why each before it began. */
  epochs: Epoch[];
  isDoubted: boolean;
  /** Events of the list that is held; `null`: no list is. */
  events: number | null;
  waveforms: number;
  bytes: number | null;
  hits: number;
  asked: number;
  exchanges: number | null;
  failures: number;
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
const number = (value: unknown): number | null => (typeof value === "number" ? value : null);
const string = (value: unknown): string | null => (typeof value === "string" ? value : null);

function epochsOf(reported: unknown, at: string | null): Epoch[] {
  const now = Date.parse(at ?? "");
  return (Array.isArray(reported) ? reported : []).flatMap((one) => {
    const { epoch, reason, began_age_s: ageS } = record(one);
    if (typeof epoch !== "number" || typeof reason !== "string") return [];
    const began = typeof ageS === "number" ? new Date(now - 1000 * ageS) : null;
    return [{ number: epoch, reason, beganAt: began && !Number.isNaN(began.getTime()) ? began.toISOString() : null }];
  });
}

/** `at`: when the relay reported it, by its own clock (the header `Date`). */
export function rowsOf(stats: Schemas["StatsOut"], at: string | null): Row[] {
  const held = record(stats.cache.by_device);
  const keys = [...new Set([...Object.keys(held), ...Object.keys(stats.devices)])].sort();
  return keys.map((key) => {
    const cached = record(held[key]);
    const line = record(stats.devices[key]);
    const hits = number(line.hits) ?? 0;
    const misses = Object.values(record(line.misses)).reduce<number>((sum, count) => sum + (number(count) ?? 0), 0);
    // A unit is named by the address over which it is reached, as everywhere; it may have none.
    const route = Array.isArray(line.routes) ? string(line.routes[0]) : null;
    return {
      key: route ?? key,
      serial: string(cached.serial) ?? string(line.serial),
      isSimulated: line.simulated === true,
      epochs: epochsOf(cached.epochs, at),
      isDoubted: cached.dirty === true,
      events: number(cached.events),
      waveforms: Array.isArray(cached.waveforms) ? cached.waveforms.length : 0,
      bytes: number(cached.bytes),
      hits,
      asked: hits + misses,
      exchanges: number(line.exchanges),
      failures: number(line.failures_in_a_row) ?? 0,
    };
  });
}

/** One of the totals. */
export const totalOf = (stats: Schemas["StatsOut"], name: string): number | null => number(stats.cache[name]);
