// One thing of the relay itself, as a page shows it. It asks no unit, so it has no age: it was read when it says.
import { useEffect, useState } from "preact/hooks";
import { ask, Problem, type Ask } from "../api/client";

export interface Asked<T> {
  body: T | null;
  problem: Problem | null;
  again: () => void;
}

/** Ask for a path when the page opens, and whenever path or query are others; null: ask for nothing. */
export function useAsked<T>(path: string | null, query: Ask["query"] = {}): Asked<T> {
  const [body, setBody] = useState<T | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [turn, setTurn] = useState(0);
  const what = path === null ? null : `${path} ${JSON.stringify(query)}`;
  useEffect(() => {
    setBody(null);
    setProblem(null);
  }, [what]);
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    ask<T>("GET", path, { query, signal: abort.signal }).then(
      (answer) => {
        if (abort.signal.aborted) return;
        setBody(answer.body);
        setProblem(null);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        setProblem(error);
      },
    );
    return () => abort.abort();
  }, [what, turn]);
  return { body, problem, again: () => setTurn((before) => before + 1) };
}
