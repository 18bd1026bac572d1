// A long command: the relay begins it at once, and is asked for its end, so that no proxy on the way has to wait.
import { words } from "../words";
import { type Answer, ask, Problem, problemFrom, type Query, type Schemas, type Unit } from "./client";
import { command } from "./device";

const POLL_MS = 2000;
/** Failed looks in a row, 120 s, before the page gives up; the command itself goes on at the relay. */
const MAX_LOST_POLLS = 60;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export type Operation = Schemas["OperationOut"];

export interface Follow {
  /** Called at each look: how far it is. */
  onLook?: (operation: Operation) => void;
  /** Called when a look is lost, which says nothing of the command. */
  onLost?: (problem: Problem) => void;
}

/** Give a unit a command that takes long, and return its result; throws the `Problem` that it ended with. */
export async function longCommand<T>(
  unit: Unit,
  path: string,
  query: Query = {},
  follow: Follow = {},
): Promise<Answer<T>> {
  const begun = await command<T>(unit, path, undefined, query, { Prefer: "respond-async" });
  const location = begun.headers.get("Location");
  if (!location?.startsWith("/operations/")) return begun;
  return { body: await resultOf<T>(location, follow), headers: begun.headers };
}

async function resultOf<T>(location: string, { onLook, onLost }: Follow): Promise<T> {
  for (let lost = 0; lost < MAX_LOST_POLLS; await wait(POLL_MS)) {
    try {
      const { body } = await ask<Operation>("GET", location);
      lost = 0;
      onLook?.(body);
      if (body.state === "done") return body.result as T;
      if (body.state === "failed") throw new Ended(problemFrom(body.problem ?? {}));
    } catch (error) {
      if (error instanceof Ended) throw error.problem;
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404) break;
      // A look that is lost says nothing of the command: a proxy, a relay that starts, a session that has ended.
      onLost?.(error);
      lost += 1;
    }
  }
  throw problemFrom({ ...words.trouble.operationLost, type: "outcome-unknown", outcome: "unknown" });
}

/** Carries an operation's own problem past the problems of looking at it. */
class Ended extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}
