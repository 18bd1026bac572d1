// What `/cache/stats` says of each unit, for people. Its insides are exempt from stability, so each is looked at.
import type { Schemas } from "../api/client";

export interface Row {
  key: string;
  serial: string | null;
  isSimulated: boolean;
  epoch: number | null;
  reason: string | null;
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

export function rowsOf(stats: Schemas["StatsOut"]): Row[] {
  const held = record(stats.cache.by_device);
  const keys = [...new Set([...Object.keys(held), ...Object.keys(stats.devices)])].sort();
  return keys.map((key) => {
    const cached = record(held[key]);
    const line = record(stats.devices[key]);
    const hits = number(line.hits) ?? 0;
    const misses = Object.values(record(line.misses)).reduce<number>((sum, count) => sum + (number(count) ?? 0), 0);
    return {
      key,
      serial: string(cached.serial) ?? string(line.serial),
      isSimulated: line.simulated === true,
      epoch: number(cached.epoch),
      reason: string(cached.reason),
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
