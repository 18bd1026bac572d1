// What a failed read says of whom: the unit was not reached, the relay was not, or the reader may not.
import type { Problem } from "../api/client";

/** `other`: the unit was reached and the read failed all the same, or nobody asked it. */
export type Lost = "unit" | "relay" | "access" | "other";

const UNIT = new Set(["unit-unreachable", "unit-silent", "link-lost", "backing-off", "not-a-unit", "line-shared"]);
const RELAY = new Set(["relay-gone", "shutting-down"]);
const ACCESS = new Set(["token-required", "not-allowed", "cross-site"]);

export function lostBy({ kind, status }: Problem): Lost {
  if (UNIT.has(kind)) return "unit";
  if (ACCESS.has(kind)) return "access";
  // A proxy on the way answers for a relay that does not, in words of its own.
  if (RELAY.has(kind) || (kind === "unknown" && status >= 500)) return "relay";
  return "other";
}
