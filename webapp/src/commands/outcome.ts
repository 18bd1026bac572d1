// What became of a command that was answered with a problem.
import type { Problem, Schemas } from "../api/client";

export type Outcome = Schemas["MonitorOut"]["outcome"] | "refused" | "failed";

/**
 * How a command ended that came to nothing, as far as that is known.
 *
 * Without a report it is unknown: the relay may have sent it before it went away, or a proxy between us
 * and the relay may have lost patience.
 */
export function outcomeOf(problem: Problem): "refused" | "failed" | "unknown" {
  const reported = problem.more.outcome;
  if (reported === "refused" || reported === "failed" || reported === "unknown") return reported;
  return problem.status >= 400 && problem.status < 500 ? "refused" : "unknown";
}
