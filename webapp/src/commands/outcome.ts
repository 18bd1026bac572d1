// What became of a command that was answered with a problem.
import type { Problem, Schemas } from "../api/client";

export type Outcome = Schemas["MonitorOut"]["outcome"] | "refused" | "failed";

/**
 * How a command ended that came to nothing, as far as that is known.
 *
 * Where nobody says so it is unknown: the relay may have sent it before it went away, or a proxy between us
 * and the relay may have lost patience.
 */
export function outcomeOf(problem: Problem): "refused" | "failed" | "unknown" {
  const told = problem.more.outcome;
  if (told === "refused" || told === "failed" || told === "unknown") return told;
  return problem.status >= 400 && problem.status < 500 ? "refused" : "unknown";
}
