import { useState } from "preact/hooks";
import type { Resource } from "../data/resource";
import { now } from "../state";
import { words } from "../words";
import { duration } from "./measures";

/** Reads that are done sooner say nothing of themselves, ms. */
const SOON_MS = 1000;

interface Props {
  of: Pick<Resource<unknown>, "body" | "readingSinceMs" | "problem" | "cancel" | "reload">;
}

/** While nothing is here yet: for how long it is waited for, and how to stop; after that, how to go on. */
export function Waiting({ of: { body, readingSinceMs, problem, cancel, reload } }: Props) {
  const [isCancelled, setCancelled] = useState(false);
  if (body) return null;
  if (readingSinceMs === null) {
    if (problem || !isCancelled) return null;
    return (
      <p class="waiting" role="status">
        {words.fresh.cancelled}{" "}
        <button type="button" onClick={reload}>
          {words.trouble.again}
        </button>
      </p>
    );
  }
  const waitedMs = now.value - readingSinceMs;
  return (
    <p class="waiting">
      <span role="status">{words.fresh.waiting}</span>
      {waitedMs >= SOON_MS && (
        <>
          <span class="clock">{duration(waitedMs / 1000)}</span>
          <button
            type="button"
            onClick={() => {
              setCancelled(true);
              cancel();
            }}
          >
            {words.app.cancel}
          </button>
        </>
      )}
    </p>
  );
}
