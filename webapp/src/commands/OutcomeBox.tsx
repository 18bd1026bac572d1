import type { ComponentChildren } from "preact";
import type { Schemas } from "../api/client";
import { Trouble } from "../parts/Trouble";
import { words } from "../words";
import type { Giving } from "./giving";
import { outcomeOf } from "./outcome";

const text = words.commands;

interface Props<T> {
  of: Giving<T>;
  /** Reads the unit, for when it is not known what became of the command. */
  onLook?: () => void;
  children?: (done: T) => ComponentChildren;
}

/** How a command ended. An unknown one is shown as such, with a way to find out. */
export function OutcomeBox<T extends Pick<Schemas["MonitorOut"], "outcome" | "audit_number">>({ of: { isGoing, done, problem }, onLook, children }: Props<T>) {
  const outcome = problem ? outcomeOf(problem) : done?.outcome;
  // What its title and its advice would say stands in the box already.
  const isUnknown = problem?.kind === "outcome-unknown";
  const look = onLook && outcome === "unknown" && (
    <button type="button" onClick={onLook}>
      {text.look}
    </button>
  );
  return (
    <div role="status" aria-live="polite">
      {isGoing && <p>{text.going}</p>}
      {outcome && (
        <div class={`outcome ${outcome === "unknown" ? "unknown" : problem ? "bad" : ""}`}>
          <p>
            <strong>{text.outcomes[outcome]}</strong> {done?.audit_number != null && text.audit(done.audit_number)}
          </p>
          {done && children?.(done)}
          {isUnknown && <p class="detail">{problem?.message}</p>}
          {look}
        </div>
      )}
      {problem && !isUnknown && <Trouble problem={problem} />}
    </div>
  );
}
