// A command that is given once, and what became of it.
import { useState } from "preact/hooks";
import { type Answer, Problem } from "../api/client";
import { noteProblem } from "../state";

export interface Giving<T> {
  isGoing: boolean;
  done: T | null;
  problem: Problem | null;
  /** Give it; `null` when it came to a problem, or another is under way. */
  give: (order: () => Promise<Answer<T>>) => Promise<T | null>;
  clear: () => void;
}

export function useGiving<T>(): Giving<T> {
  const [isGoing, setIsGoing] = useState(false);
  const [done, setDone] = useState<T | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const clear = (): void => {
    setDone(null);
    setProblem(null);
  };
  const give = async (order: () => Promise<Answer<T>>): Promise<T | null> => {
    if (isGoing) return null;
    clear();
    setIsGoing(true);
    try {
      const { body } = await order();
      setDone(body);
      return body;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      noteProblem(error);
      setProblem(error);
      return null;
    } finally {
      setIsGoing(false);
    }
  };
  return { isGoing, done, problem, give, clear };
}
