// Pages of the archive, one behind the other. A cursor names a place: each recording is met exactly once.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ask, Problem, type Schemas } from "../api/client";
import { queryOf, type Wanted } from "./wanted";

export type Row = Schemas["ArchivedRow"];
const PAGE_ROWS = 200;

interface Held {
  rows: Row[];
  /** Of the next page; null: there is none. */
  cursor: string | null;
}

export interface Pages {
  held: Held | null;
  problem: Problem | null;
  isAsking: boolean;
  older: () => void;
}

export function usePages(wanted: Wanted): Pages {
  const [held, setHeld] = useState<Held | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isAsking, setAsking] = useState(false);
  const abort = useRef<AbortController | null>(null);

  const page = useCallback(
    async (before: Held | null) => {
      abort.current?.abort();
      const mine = (abort.current = new AbortController());
      setAsking(true);
      setProblem(null);
      try {
        const query = { ...queryOf(wanted), limit: PAGE_ROWS, ...(before?.cursor ? { cursor: before.cursor } : {}) };
        const { body } = await ask<Schemas["ArchivePage"]>("GET", "/archive/events", { query, signal: mine.signal });
        if (!mine.signal.aborted) setHeld({ rows: [...(before?.rows ?? []), ...body.events], cursor: body.next_cursor });
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        setProblem(error);
      } finally {
        if (!mine.signal.aborted) setAsking(false);
      }
    },
    [wanted],
  );
  useEffect(() => {
    setHeld(null);
    void page(null);
    return () => abort.current?.abort();
  }, [page]);
  return { held, problem, isAsking, older: () => void page(held) };
}
