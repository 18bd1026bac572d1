// The words for where a value comes from and how old it is.
import type { Schemas } from "../api/client";
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
 * `elapsedS`: since the answer came in. `isFailing`: a later read of the same thing failed.
 */
export function provenanceText(of: Provenance, elapsedS: number, isFailing: boolean, today: Date): ProvenanceText {
  const fresh = words.fresh;
  const age = (seconds: number | null): string =>
    seconds === null ? fresh.unknownAge : words.time.ago(duration(seconds + elapsedS));
  if (isFailing || of.quality === "last_known") {
    return { text: fresh.lastKnown(since(of, today)), isDoubtful: true };
  }
  const checked = of.checked_age_s;
  let text: string;
  if (of.source === "device") text = (of.shared ? fresh.sharedFromUnit : fresh.fromUnit)(age(of.age_s));
  else if (of.source === "cache") text = checked === null ? fresh.fromCache(age(of.age_s)) : fresh.fromCacheChecked(age(checked));
  else text = checked === null ? fresh.fromDisk(age(of.age_s)) : fresh.fromDiskChecked(age(checked));
  const doubts: Partial<Record<Provenance["quality"], string>> = {
    unchecked: fresh.unchecked,
    not_verified_since_restart: fresh.notSinceRestart,
    partial: fresh.partial,
  };
  const doubt = doubts[of.quality];
  return { text: doubt ? `${text}, ${doubt}` : text, isDoubtful: doubt !== undefined };
}

// By the relay's clock alone: the browser's may be wrong.
function since(of: Provenance, today: Date): string {
  const read = new Date(of.read_at ?? Number.NaN).getTime();
  const confirmed = confirmedAgeS(of);
  if (Number.isNaN(read)) return words.app.unknown;
  const proven = of.age_s !== null && confirmed !== null ? read + (of.age_s - confirmed) * 1000 : read;
  return serverClock(new Date(proven), today);
}
