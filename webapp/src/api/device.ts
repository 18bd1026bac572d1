// A unit, and what can be asked of it.
import { askBytes, ask, Problem, type Answer, type Ask, type Schemas, type Unit } from "./client";
import { force, me, noteUnit, wantsToken } from "../state";

export const DEFAULT_TCP_PORT = 12345;
export const DEFAULT_BAUD = 38400;

/** The name of a unit, as the relay has it: `tcp:10.0.0.5:12345`, `serial:/dev/ttyUSB0:38400`. */
export function keyOf(unit: Unit): string {
  if (unit.host !== undefined) {
    const name = unit.host.toLowerCase();
    const host = name.includes(":") ? `[${name.replace(/^\[|\]$/g, "")}]` : name;
    return `tcp:${host}:${unit.tcp_port ?? DEFAULT_TCP_PORT}`;
  }
  return `serial:${unit.port ?? ""}:${unit.baud ?? DEFAULT_BAUD}`;
}

/** The unit of such a name; a missing number is the usual one. `null`: it is no name of a unit. */
export function unitOf(key: string): Unit | null {
  const found = /^(tcp|serial):(\[[^\]\s]+\]|\S+?)(?::(\d+))?$/.exec(key);
  if (!found) return null;
  const [, kind, target, digits] = found as unknown as [string, string, string, string | undefined];
  if (kind === "tcp") {
    const port = digits === undefined ? DEFAULT_TCP_PORT : Number(digits);
    return port >= 1 && port <= 65535 ? { host: target, tcp_port: port } : null;
  }
  const baud = digits === undefined ? DEFAULT_BAUD : Number(digits);
  return baud >= 1 ? { port: target, baud } : null;
}

export interface How {
  signal?: AbortSignal;
  query?: Ask["query"];
  force?: boolean;
}

const received = new WeakMap<object, number>();

/** When an answer with this provenance came in, by this browser's clock, ms. */
export function receivedAt(provenance: object): number {
  const known = received.get(provenance);
  if (known !== undefined) return known;
  const at = Date.now();
  received.set(provenance, at);
  return at;
}

/** Ask a unit through the relay; throws a `Problem`. */
export async function read<T>(unit: Unit, path: string, how: How = {}): Promise<Answer<T>> {
  return noted(unit, () => ask<T>("GET", path, asked(unit, how)));
}

/** The same, for bytes. */
export async function readBytes(unit: Unit, path: string, how: How = {}): Promise<Answer<ArrayBuffer>> {
  return noted(unit, () => askBytes(path, asked(unit, how)));
}

/** Send a unit a command. Never sent twice: the caller decides whether to try again. */
export async function command<T>(
  unit: Unit,
  path: string,
  body?: unknown,
  query: Ask["query"] = {},
  headers: Record<string, string> = {},
): Promise<Answer<T>> {
  return noted(unit, () => change<T>("POST", path, { query: { ...unit, ...query }, body, headers }));
}

/** Change something at the relay, with the session's second secret where there is a session. */
export async function change<T>(method: string, path: string, more: Ask = {}): Promise<Answer<T>> {
  const csrf = me.value.csrf;
  return ask<T>(method, path, { ...more, headers: { ...more.headers, ...(csrf ? { "X-CSRF-Token": csrf } : {}) } });
}

function asked(unit: Unit, how: How): Ask {
  const forced = how.force === true || force.value;
  return {
    query: { ...unit, ...how.query, ...(forced ? { force: true } : {}) },
    ...(how.signal ? { signal: how.signal } : {}),
  };
}

async function noted<T>(unit: Unit, asking: () => Promise<Answer<T>>): Promise<Answer<T>> {
  try {
    const answer = await asking();
    const provenance = (answer.body as { provenance?: Schemas["ProvenanceOut"] } | undefined)?.provenance;
    if (provenance) {
      receivedAt(provenance);
      noteUnit(keyOf(unit), provenance);
    }
    return answer;
  } catch (error) {
    if (error instanceof Problem && error.kind === "token-required") wantsToken.value = true;
    throw error;
  }
}

/** How far a read or a command is. */
export interface Step {
  kind: "begun" | "step" | "done" | "failed";
  /** What is read, by the relay's name for it. */
  resource: string;
  /** What is counted. */
  what?: string;
  done?: number;
  total?: number | null;
  error?: string;
  forced?: boolean;
}

const KINDS: readonly Step["kind"][] = ["begun", "step", "done", "failed"];
const AGAIN_MS = 5000;

/** Follow a unit's reads. What was noted before comes first. Returns how to stop. */
export function follow(unit: Unit, onStep: (step: Step) => void): () => void {
  const query = new URLSearchParams(Object.entries(unit).map(([name, value]) => [name, String(value)]));
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const open = (): void => {
    source = new EventSource(`/device/progress?${query}`);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        onStep({ kind, ...(JSON.parse((event as MessageEvent<string>).data) as Omit<Step, "kind">) });
      });
    }
    const again = (): void => {
      source?.close();
      timer = setTimeout(open, AGAIN_MS);
    };
    // The relay ends the stream when it stops; without this the browser would reconnect at once, in vain.
    source.addEventListener("end", again);
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) again();
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
