// One thing of a unit, as a page shows it: the last good answer, and what became of the last try.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Unit } from "../api/client";
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

/** How long what the unit said is worth more than nothing, once it cannot be read. */
const LAST_KNOWN_S = 10 * 365 * 86_400;

/** Read a thing of a unit when the page opens, and again each so many seconds. */
export function useReading<T>(unit: Unit, path: string, everyS?: number, isWanted = true): Reading<T> {
  const [body, setBody] = useState<T | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isReading, setIsReading] = useState(false);
  const going = useRef<AbortController | null>(null);
  const isShown = useRef(false);
  const key = keyOf(unit);

  const ask = async (how: How): Promise<void> => {
    // A page that asks each so often must not cut off a long read that it waits for.
    if (going.current && !how.force) return;
    going.current?.abort();
    const mine = (going.current = new AbortController());
    setIsReading(true);
    try {
      // Once there is something to show, why a read failed is worth more than the same again.
      const query = isShown.current ? {} : { stale_if_error: LAST_KNOWN_S };
      const answer = await read<T>(unit, path, { ...how, signal: mine.signal, query });
      if (going.current !== mine) return;
      isShown.current = true;
      setBody(answer.body);
      setProblem(null);
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
    if (!isWanted) return;
    void ask({});
    const timer = everyS === undefined ? undefined : setInterval(() => document.hidden || void ask({}), everyS * 1000);
    return () => {
      clearInterval(timer);
      going.current?.abort();
      going.current = null;
    };
  }, [key, path, everyS, isWanted]);

  return { body, problem, isReading, refresh: () => void ask({ force: mayForce.value }), again: () => void ask({}) };
}
