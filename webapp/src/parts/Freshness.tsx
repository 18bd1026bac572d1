import type { Problem, Schemas } from "../api/client";
import { receivedAt } from "../api/device";
import { now } from "../state";
import { words } from "../words";
import { provenanceText } from "./provenance";

interface Props {
  of: Schemas["ProvenanceOut"] | null | undefined;
  onRefresh: () => void;
  /** What is refreshed, for who cannot see where the button stands. */
  what?: string;
  isReading?: boolean;
  /** Why the last try failed, when what is shown is from before it. */
  problem?: Problem | null;
}

/** Where a block's values come from and how old they are, ticking, with a button to read them anew. */
export function Freshness({ of, onRefresh, what, isReading = false, problem = null }: Props) {
  return (
    <span class="freshness">
      {of && <Age of={of} isFailing={problem !== null} />}
      <button
        type="button"
        class="quiet"
        aria-label={what ? words.fresh.refreshOf(what) : undefined}
        aria-busy={isReading}
        onClick={onRefresh}
      >
        {isReading ? words.fresh.reading : words.fresh.refresh}
      </button>
    </span>
  );
}

function Age({ of, isFailing }: { of: Schemas["ProvenanceOut"]; isFailing: boolean }) {
  const elapsedS = Math.max(0, now.value - receivedAt(of)) / 1000;
  const { text, isDoubtful } = provenanceText(of, elapsedS, isFailing, new Date(now.value));
  return <span class={isDoubtful ? "age doubtful" : "age"}>{text}</span>;
}
