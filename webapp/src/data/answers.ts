// Answers that this tab has, by their addresses: shown at once when a page comes back, and asked for again by their tags.
import type { Schemas } from "../api/client";

type Provenance = Schemas["ProvenanceOut"];

/** An answer, and when it came in. */
export interface Held {
  body: unknown;
  etag: string | null;
  /** By this browser's clock, ms. */
  atMs: number;
  /** Since when the content has been as it is, ms. */
  sinceMs: number;
  /** How long the last answer used the unit's line, s. */
  tookS: number;
}

const MOST = 24;
const answers = new Map<string, Held>();

export function heldAt(address: string): Held | null {
  return answers.get(address) ?? null;
}

export function hold(address: string, held: Held): void {
  answers.delete(address);
  answers.set(address, held);
  for (const oldest of answers.keys()) {
    if (answers.size <= MOST) break;
    answers.delete(oldest);
  }
}

/** Forget all: somebody else may be asking now. */
export function forgetAnswers(): void {
  answers.clear();
}

const UNKNOWN_AGE_S = 2 ** 31;

/** Seconds for which an answer used the unit's line, by its headers. */
export function tookOf(headers: Headers): number {
  const found = /unit;dur=(\d+)/.exec(headers.get("Server-Timing") ?? "");
  return found ? Number(found[1]) / 1000 : 0;
}

/** Return where a body comes from now that the relay confirmed it (304): what is new stands in the headers. */
export function confirmed(before: Provenance, headers: Headers, elapsedS: number): Provenance {
  const age = Number(headers.get("Age") ?? Number.NaN);
  const status = headers.get("Cache-Status") ?? "";
  const isLastKnown = status.includes("fwd-status=504");
  const wasPartial = before.quality === "partial";
  return {
    ...before,
    age_s: before.age_s === null ? null : before.age_s + elapsedS,
    checked_age_s: age >= 0 && age < UNKNOWN_AGE_S ? age : null,
    source: before.source === "disk" ? "disk" : "cache",
    why: isLastKnown ? "stale" : "hit",
    quality: isLastKnown ? "last_known" : wasPartial ? "partial" : "good",
    took_s: tookOf(headers),
  };
}
