// Units that were opened in this browser, the latest first.
import { storedText, store } from "../parts/remembered";
import { unitOf } from "../api/device";

export interface Recent {
  key: string;
  /** As the unit reported it then; `null`: it never answered. */
  serial: string | null;
  /** By this browser's clock, ms. */
  openedAt: number;
}

const NAME = "recent";
const MOST = 12;

/** What is remembered; rubbish is left out. */
export function recentOf(text: string | null): Recent[] {
  let found: unknown;
  try {
    found = JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
  if (!Array.isArray(found)) return [];
  return found.filter(
    (one: Partial<Recent> | null): one is Recent =>
      typeof one?.key === "string" &&
      unitOf(one.key) !== null &&
      (one.serial === null || typeof one.serial === "string") &&
      typeof one.openedAt === "number",
  );
}

/** The same with one unit first; a serial number that is known stays known. */
export function withUnit(before: readonly Recent[], unit: Recent): Recent[] {
  const known = before.find((one) => one.key === unit.key);
  const first = { ...unit, serial: unit.serial ?? known?.serial ?? null };
  return [first, ...before.filter((one) => one.key !== unit.key)].slice(0, MOST);
}

export const recent = (): Recent[] => recentOf(storedText(NAME));

export function remember(unit: Recent): void {
  store(NAME, JSON.stringify(withUnit(recent(), unit)));
}

export function forget(key: string): void {
  store(NAME, JSON.stringify(recent().filter((one) => one.key !== key)));
}
