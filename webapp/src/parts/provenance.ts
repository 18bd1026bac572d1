// The words for where a value comes from and how old it is: the same everywhere.
import type { Problem, Schemas } from "../api/client";
import { lostBy } from "../data/failures";
import { words } from "../words";
import { duration } from "./measures";
import { serverClock } from "./time";

type Provenance = Schemas["ProvenanceOut"];

export interface ProvenanceText {
  text: string;
  /** Whether the value may be out of date, so that it must not look like a good one. */
  isDoubtful: boolean;
}

/** Seconds since the unit last confirmed it, by the read itself or by a later proof; `null`: unknown. */
export function confirmedAgeS(of: Provenance): number | null {
  const ages = [of.age_s, of.checked_age_s].filter((age): age is number => age !== null);
  return ages.length ? Math.min(...ages) : null;
}

/**
 * Return in words where an answer comes from.
 *
 * `elapsedS`: since the answer came in. `problem`: why a later read of the same failed; `null`: none did.
 */
export function provenanceText(of: Provenance, elapsedS: number, problem: Problem | null, today: Date): ProvenanceText {
  const fresh = words.fresh;
  const age = (seconds: number | null): string =>
    seconds === null ? fresh.unknownAge : words.time.ago(duration(seconds + elapsedS));
  if (problem) return { text: fresh.lastKnown[lostBy(problem)](since(of, today)), isDoubtful: true };
  if (of.quality === "last_known") return { text: fresh.lastKnown.unit(since(of, today)), isDoubtful: true };
  const doubts: Partial<Record<Provenance["quality"], string>> = {
    unchecked: fresh.unchecked,
    not_verified_since_restart: fresh.notSinceRestart,
  };
  const doubt = doubts[of.quality];
  if (doubt) return { text: fresh.read(age(of.age_s), doubt), isDoubtful: true };
  if (of.source === "device") return { text: fresh.fromUnit(age(of.age_s)), isDoubtful: false };
  return { text: fresh.checked(age(confirmedAgeS(of))), isDoubtful: false };
}

/** Since when, by the relay's clock, the unit has not confirmed it. The browser's clock may be wrong. */
function since(of: Provenance, today: Date): string {
  const read = new Date(of.read_at ?? Number.NaN).getTime();
  const confirmed = confirmedAgeS(of);
  if (Number.isNaN(read)) return words.fresh.unknownSince;
  const proven = of.age_s !== null && confirmed !== null ? read + (of.age_s - confirmed) * 1000 : read;
  return serverClock(new Date(proven), today);
}
