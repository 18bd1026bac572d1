// One thing of a unit, as a page shows it: the last good answer, and what became of the last try.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Schemas, type Unit } from "../api/client";
import { keyOf, read, type How } from "../api/device";
import { mayForce } from "../state";

export interface Reading<T> {
  body: T | null;
  /** Why the last try failed; `null`: it did not. */
  problem: Problem | null;
  isReading: boolean;
  /** Read again; from the unit itself, where who asks may force. */
  refresh: () => void;
  /** Read again as the page does by itself. */
  again: () => void;
}

/** How long the unit's last values are shown once it cannot be read. */
const LAST_KNOWN_S = 10 * 365 * 86_400;

interface Sourced {
  provenance: Schemas["ProvenanceOut"];
}

/**
 * Read a thing for a page that shows something of it, or nothing yet; throws what the last read threw.
 *
 * Who sees nothing yet takes what was last known, should the unit not be reached. That answer does not say why the
 * unit was not, so it is read again at once; who sees something learns more from a failure than from the same again.
 */
export async function readFor<T extends Sourced>(
  isShown: boolean,
  ask: (query: How["query"]) => Promise<T>,
  show: (body: T) => void,
): Promise<void> {
  const body = await ask(isShown ? {} : { stale_if_error: LAST_KNOWN_S });
  show(body);
  const { why, source } = body.provenance;
  // Of an answer that is from the unit it says that what was held before was stale.
  if (why === "stale" && source !== "device") show(await ask({}));
}

/** What one open page may take of a slow unit's line: the rest is for other programs and for call-home. */
const SHARE = 0.15;
/** A read that takes longer is of a slow link, s. */
const SLOW_S = 1;
/** How long the relay keeps the link open after a read unless it is set otherwise, s. */
const KEEP_OPEN_S = 5;

/** How long a page waits after an answer before it asks again by itself, s; its own interval at least. */
export function restAfter(tookS: number): number {
  return tookS < SLOW_S ? 0 : (tookS + KEEP_OPEN_S) / SHARE;
}

/** Read a thing of a unit when the page opens, and again each so many seconds. */
export function useReading<T extends Sourced>(
  unit: Unit,
  path: string,
  everyS?: number,
  isWanted = true,
  always: How["query"] = {},
): Reading<T> {
  const [body, setBody] = useState<T | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isReading, setIsReading] = useState(false);
  const going = useRef<AbortController | null>(null);
  const isShown = useRef(false);
  const notBefore = useRef(0);
  const key = keyOf(unit);

  const ask = async (how: How): Promise<void> => {
    // A page that asks each so often must not cut off a long read that it waits for.
    if (going.current && !how.force) return;
    going.current?.abort();
    const mine = (going.current = new AbortController());
    setIsReading(true);
    try {
      await readFor(
        isShown.current,
        async (query) =>
          (await read<T>(unit, path, { ...how, signal: mine.signal, query: { ...always, ...query } })).body,
        (found) => {
          if (going.current !== mine) return;
          isShown.current = true;
          notBefore.current = Date.now() + 1000 * restAfter(found.provenance.took_s);
          setBody(found);
          setProblem(null);
        },
      );
      if (going.current !== mine) return;
    } catch (error) {
      if (going.current !== mine || mine.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
    going.current = null;
    setIsReading(false);
  };

  useEffect(() => {
    setBody(null);
    setProblem(null);
    isShown.current = false;
    notBefore.current = 0;
    if (!isWanted) return;
    void ask({});
    const look = (): void => {
      if (!document.hidden && Date.now() >= notBefore.current) void ask({});
    };
    const timer = everyS === undefined ? undefined : setInterval(look, everyS * 1000);
    return () => {
      clearInterval(timer);
      going.current?.abort();
      going.current = null;
    };
  }, [key, path, everyS, isWanted]);

  return { body, problem, isReading, refresh: () => void ask({ force: mayForce.value }), again: () => void ask({}) };
}
