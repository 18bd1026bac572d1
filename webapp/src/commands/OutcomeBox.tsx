import type { ComponentChildren } from "preact";
import type { Schemas } from "../api/client";
import { plainly } from "../parts/plainly";
import { Trouble } from "../parts/Trouble";
import { words } from "../words";
import type { Giving } from "./giving";
import { outcomeOf } from "./outcome";

const text = words.commands;

interface Props<T> {
  of: Giving<T>;
  /** Whether the unit now is as the command wanted it; a command that was sent and did not bring it about is not done. */
  isReached?: (done: T) => boolean;
  /** Reads the unit, for when it is not known what became of the command. */
  onLook?: () => void;
  children?: (done: T) => ComponentChildren;
}

/** How a command ended. Only success looks like it; an unknown end is shown as such, with a way to find out. */
export function OutcomeBox<T extends Pick<Schemas["MonitorOut"], "outcome" | "audit_number">>(props: Props<T>) {
  const { of, isReached = () => true, onLook, children } = props;
  const { isGoing, done, problem } = of;
  const isMissed = done !== null && (done.outcome === "done" || done.outcome === "unchanged") && !isReached(done);
  const outcome = isMissed ? "missed" : problem ? outcomeOf(problem) : done?.outcome;
  // What its title and its advice would say stands in the box already.
  const isUnknown = problem?.kind === "outcome-unknown";
  const look = onLook && (outcome === "unknown" || isMissed) && (
    <button type="button" onClick={onLook}>
      {text.look}
    </button>
  );
  return (
    <div role="status" aria-live="polite">
      {isGoing && <p>{text.going}</p>}
      {outcome && (
        <div class={`outcome ${outcome === "unknown" ? "unknown" : problem || isMissed ? "bad" : ""}`}>
          <p>
            <strong>{isMissed ? text.missed : text.outcomes[outcome]}</strong>{" "}
            {done?.audit_number != null && text.audit(done.audit_number)}
          </p>
          {done && children?.(done)}
          {isUnknown && <p class="detail">{plainly(problem?.message ?? "")}</p>}
          {look}
        </div>
      )}
      {problem && !isUnknown && <Trouble problem={problem} />}
    </div>
  );
}
