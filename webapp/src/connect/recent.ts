// Units that were opened in this browser, the latest first.
import type { Unit } from "../api/client";
import { unitOf } from "../api/device";
import { store, storedText } from "../parts/remembered";

export interface Recent {
  /** The address over which it answered, as the relay names it; `unit:` and the serial number until that is known. */
  key: string;
  /** `null`: no unit has answered at the address yet. */
  serial: string | null;
  /** By this browser's clock, ms. */
  openedAt: number;
}

const NAME = "recent";
const MOST = 12;

/** What is remembered, each unit once; rubbish is left out. */
export function recentOf(text: string | null): Recent[] {
  let found: unknown;
  try {
    found = JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
  if (!Array.isArray(found)) return [];
  const units = found.filter(
    (one: Partial<Recent> | null): one is Recent =>
      typeof one?.key === "string" &&
      unitOf(one.key) !== null &&
      (one.serial === null || typeof one.serial === "string") &&
      typeof one.openedAt === "number",
  );
  // Earlier versions listed a unit once for each of its addresses.
  return units.filter((one, i) => units.findIndex((other) => isSame(other, one)) === i);
}

const isSame = (one: Recent, other: Recent): boolean =>
  one.serial !== null && other.serial !== null ? one.serial === other.serial : one.key === other.key;

/** The same with one unit first. */
export function withUnit(before: readonly Recent[], unit: Recent): Recent[] {
  return [unit, ...before.filter((one) => !isSame(one, unit))].slice(0, MOST);
}

export const recent = (): Recent[] => recentOf(storedText(NAME));

export function remember(unit: Recent): void {
  store(NAME, JSON.stringify(withUnit(recent(), unit)));
}

/** The address at which this browser met a unit last; null: it did not. */
export function lastAddress(serial: string | null): Unit | null {
  const known = serial === null ? undefined : recent().find((one) => one.serial === serial);
  const unit = known ? unitOf(known.key) : null;
  return unit?.unit === undefined ? unit : null;
}

export function forget(unit: Recent): void {
  store(NAME, JSON.stringify(recent().filter((one) => !isSame(one, unit))));
}
