// The unit's list, asked again and again while somebody looks, and what became of it since the answer before.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Unit } from "../api/client";
import { keyOf, read } from "../api/device";
import { force } from "../state";
import { changeOf, type Change, type List } from "./changes";

/** The relay probes the unit's memory at each look: 8 to 12 exchanges, a second or two over a modem. */
const POLL_MS = 15_000;

export interface EventsSeen {
  list: List | null;
  problem: Problem | null;
  isAsking: boolean;
  /** What changed last; stays until the next change. */
  change: Change;
  /** Of whom the list was before an erase or another unit. */
  formerSerial: string | null;
  refresh: () => void;
  dismiss: () => void;
}

export function useEvents(unit: Unit): EventsSeen {
  const key = keyOf(unit);
  const [list, setList] = useState<List | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isAsking, setAsking] = useState(false);
  const [change, setChange] = useState<Change>({ is: "nothing" });
  const [formerSerial, setFormer] = useState<string | null>(null);
  const last = useRef<List | null>(null);
  const abort = useRef<AbortController | null>(null);

  const look = useCallback(
    async (isForced: boolean) => {
      // A later question overtakes an earlier one: an answer never stands behind a newer one.
      abort.current?.abort();
      const mine = (abort.current = new AbortController());
      setAsking(true);
      try {
        const { body } = await read<List>(unit, "/device/events", { signal: mine.signal, ...(isForced ? { force: true } : {}) });
        if (mine.signal.aborted) return;
        const found = last.current ? changeOf(last.current, body) : { is: "nothing" as const };
        if (found.is !== "nothing") {
          setChange((before) => (found.is === "arrived" && isOfMemory(before) ? before : found));
          if (isOfMemory(found)) setFormer(last.current?.provenance.serial ?? null);
        }
        last.current = body;
        setList(body);
        setProblem(null);
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        setProblem(error);
      } finally {
        if (!mine.signal.aborted) setAsking(false);
      }
    },
    [key],
  );

  useEffect(() => {
    last.current = null;
    setList(null);
    setChange({ is: "nothing" });
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const again = async () => {
      clearTimeout(timer);
      if (!document.hidden) await look(false);
      if (!isOver) timer = setTimeout(() => void again(), POLL_MS);
    };
    const onSight = () => void (document.hidden || again());
    document.addEventListener("visibilitychange", onSight);
    void again();
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onSight);
      abort.current?.abort();
    };
  }, [look, force.value]);

  return {
    list,
    problem,
    isAsking,
    change,
    formerSerial,
    refresh: () => void look(true),
    dismiss: () => setChange({ is: "nothing" }),
  };
}

/** Whether it is a change that must not be covered by a mere arrival before it was seen. */
export function isOfMemory(change: Change): boolean {
  return change.is === "erased" || change.is === "replaced" || change.is === "other-unit";
}
