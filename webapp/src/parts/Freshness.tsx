import type { Schemas } from "../api/client";
import type { Resource } from "../data/resource";
import { now } from "../state";
import { words } from "../words";
import { duration } from "./measures";
import { provenanceText } from "./provenance";

/** A read that takes longer says for how long, and can be cancelled, ms. */
const LONG_MS = 3000;

type Sourced = { provenance: Schemas["ProvenanceOut"] };

interface Props {
  of: Resource<Sourced>;
  /** What is refreshed, for those who cannot see where the button stands. */
  what: string;
}

/** Where a block's values come from and how old they are, ticking, with a button to read them anew. */
export function Freshness({ of, what }: Props) {
  const isReading = of.readingSinceMs !== null;
  const readingMs = isReading ? now.value - of.readingSinceMs! : 0;
  return (
    <span class="freshness">
      {of.body && <Age of={of} />}
      <button
        type="button"
        class="quiet"
        aria-label={(isReading ? words.fresh.readingOf : words.fresh.refreshOf)(what)}
        aria-busy={isReading}
        onClick={of.refresh}
      >
        {isReading ? words.fresh.reading : words.fresh.refresh}
      </button>
      {/* Where nothing is shown yet, the block itself says that it waits. */}
      {of.body && readingMs >= LONG_MS && (
        <>
          <span class="clock">{duration(readingMs / 1000)}</span>
          <button type="button" class="quiet" aria-label={words.fresh.cancelOf(what)} onClick={of.cancel}>
            {words.app.cancel}
          </button>
        </>
      )}
    </span>
  );
}

function Age({ of: { body, atMs, doubt } }: { of: Resource<Sourced> }) {
  const elapsedS = Math.max(0, now.value - atMs) / 1000;
  const { text, isDoubtful } = provenanceText(body!.provenance, elapsedS, doubt, new Date(now.value));
  return <span class={isDoubtful ? "age doubtful" : "age"}>{text}</span>;
}
