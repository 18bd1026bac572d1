// The one way in which pages get data: a resource of the relay, as a page shows it: the last good answer, what became
// of the last try, and since when it is being read.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import {
  type Answer,
  type Ask,
  addressOf,
  ask,
  askAgain,
  Problem,
  type Query,
  type Schemas,
  type Unit,
} from "../api/client";
import { keyOf } from "../api/device";
import { lastAddress } from "../connect/recent";
import { force, lostUnits, mayForce, noteProblem, noteReached, noteUnit } from "../state";
import { confirmed, type Held, heldAt, hold, tookOf } from "./answers";
import { lostBy } from "./failures";
import { pauseAfter } from "./pace";
import { hear, tell } from "./tabs";

export interface Wanted {
  path: string;
  query?: Query;
  /** Of whom: then the read may be forced, and its last known values will do while there are none. */
  unit?: Unit;
  /** Ask again by itself so often, s, or more rarely where that costs the unit much. */
  everyS?: number;
  /** Of what comes in pages: how the next one is asked for, and put behind those before. */
  pages?: Pages;
  /** Of what may come as its beginning, while it is still being read. */
  beginnings?: Beginnings;
}

export interface Pages {
  /** `null`: this is the last. */
  next: (body: unknown) => Query | null;
  merge: (before: unknown, next: unknown) => unknown;
}

export interface Beginnings {
  is: (body: unknown) => boolean;
  /** Whether a beginning says nothing but what is shown already: then the whole stays until the next whole. */
  isOf: (beginning: unknown, whole: unknown) => boolean;
}

export interface Resource<T> {
  body: T | null;
  /** The newest answer, while it is only a beginning: the rest is still being read. `null`: it is whole. */
  beginning: T | null;
  /** When `body` came in or was last confirmed, by this browser's clock, ms. */
  atMs: number;
  /** Why the last try failed; `null`: it did not. */
  problem: Problem | null;
  /** Why `body` is only what was last known: the last try failed, or the unit was not reached since. */
  doubt: Problem | null;
  /** Since when it is being read, ms; `null`: it is not. */
  readingSinceMs: number | null;
  /** Read again; from the unit itself, where who asks may force. */
  refresh: () => void;
  /** Read again as the page does by itself. */
  reload: () => void;
  /** Stop waiting for the read. */
  cancel: () => void;
  /** Read the next page too; `null`: there is none. */
  more: (() => void) | null;
}

interface State<T> {
  body: T | null;
  beginning: T | null;
  atMs: number;
  problem: Problem | null;
  readingSinceMs: number | null;
}

const NOTHING = { body: null, beginning: null, atMs: 0, problem: null, readingSinceMs: null };

/** By how much a tab waits longer than the one that was answered, at least and half of the most, s. */
const LATER_S = 2;

/** How long the unit's last values are shown once it cannot be read. */
export const LAST_KNOWN_S = 10 * 365 * 86_400;

const provenanceOf = (body: unknown): Schemas["ProvenanceOut"] | undefined =>
  (body as { provenance?: Schemas["ProvenanceOut"] } | null)?.provenance;

/** Reads that led the relay to a unit, by serial number: one for all, until the relay answers for the unit. */
const leading = new Map<string, Promise<unknown>>();

/**
 * Ask for what may be known already. A relay that does not know the unit, since it was started anew, is led to where
 * this browser met it: a read by address makes it known.
 */
async function askKnowing<T>(wanted: Wanted, etag: string | null, more: Ask): Promise<Answer<T | null>> {
  const serial = wanted.unit?.unit;
  try {
    const answer = await askAgain<T>(wanted.path, etag, more);
    if (serial) leading.delete(serial);
    return answer;
  } catch (error) {
    const address = error instanceof Problem && error.kind === "unknown-unit" ? lastAddress(serial ?? null) : null;
    if (!serial || !address) throw error;
    const led = leading.get(serial) ?? ask("GET", "/device/info", { query: { ...address } });
    leading.set(serial, led);
    // Where nothing answers it is tried again; another unit that answered is met once.
    led.catch(() => leading.delete(serial));
    await led;
    return askAgain<T>(wanted.path, etag, more);
  }
}

/** Ask for an address by the tag of what is held; throws a `Problem`. */
async function fetched(wanted: Wanted, query: Query, signal: AbortSignal): Promise<Held> {
  const address = addressOf(wanted.path, { ...wanted.unit, ...wanted.query });
  const known = heldAt(address);
  const more = { query: { ...wanted.unit, ...wanted.query, ...query }, signal };
  const { body, headers } = await askKnowing<unknown>(wanted, known?.etag ?? null, more);
  const atMs = Date.now();
  const tookS = tookOf(headers);
  if (body !== null || known === null) {
    return { body, etag: headers.get("ETag"), atMs, sinceMs: atMs, tookS };
  }
  const before = provenanceOf(known.body);
  if (!before) return { ...known, atMs, tookS };
  const provenance = confirmed(before, headers, (atMs - known.atMs) / 1000);
  return { ...known, body: { ...(known.body as object), provenance }, atMs, tookS };
}

/**
 * Read a resource of a unit for a page that shows something of it, or nothing yet; throws what the last read threw.
 *
 * Who sees nothing yet takes what was last known, should the unit not be reached. That answer does not say why the
 * unit was not, so it is read again at once; who sees something learns more from a failure than from the same again.
 */
export async function readFor<T>(
  isShown: boolean,
  ask: (query: Query) => Promise<T>,
  show: (found: T) => void,
  provenance: (found: T) => Schemas["ProvenanceOut"] | undefined,
): Promise<void> {
  const found = await ask(isShown ? {} : { stale_if_error: LAST_KNOWN_S });
  show(found);
  const { why, source } = provenance(found) ?? {};
  // Of an answer that is from the unit it says that what was held before was stale.
  if (why === "stale" && source !== "device") show(await ask({}));
}

/**
 * How the rest of a beginning is asked for: not forced, since that would begin anew, and from what the relay holds, if
 * that was proven since the read of the beginning began. Otherwise it costs the unit a probe.
 */
export function restQuery({ body, atMs }: Pick<Held, "body" | "atMs">, nowMs: number): Query {
  const ageS = (provenanceOf(body)?.age_s ?? 0) + (nowMs - atMs) / 1000;
  // The relay takes less than 1 s for a forced read.
  return { max_age: Math.max(1, Math.floor(ageS)) };
}

/** Read a resource when the page opens, whenever another one is wanted, and each so many seconds; null: nothing. */
export function useResource<T>(wanted: Wanted | null): Resource<T> {
  const [state, setState] = useState<State<T>>(NOTHING);
  const going = useRef<AbortController | null>(null);
  const shown = useRef<Held | null>(null);
  /** The newest answer: what is shown, or a beginning of it. */
  const newest = useRef<Held | null>(null);
  const due = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const latest = useRef<() => void>(() => {});
  const address = wanted && addressOf(wanted.path, { ...wanted.unit, ...wanted.query });

  const show = (held: Held): void => {
    shown.current = held;
    const provenance = provenanceOf(held.body);
    if (provenance && wanted?.unit) {
      noteUnit(keyOf(wanted.unit), provenance);
      if (held.tookS > 0 && provenance.quality !== "last_known") noteReached(keyOf(wanted.unit), null);
    }
    setState((before) => ({ ...before, body: held.body as T, atMs: held.atMs, problem: null }));
  };

  const isBeginning = (held: Held | null): held is Held => !!held && !!wanted?.beginnings?.is(held.body);

  /** Take an answer, unless it is a beginning of what is shown: that stays, with its own age. */
  const receive = (held: Held): void => {
    newest.current = held;
    const beginning = isBeginning(held) ? (held.body as T) : null;
    const isShownAlready =
      beginning !== null && !!shown.current && wanted!.beginnings!.isOf(beginning, shown.current.body);
    setState((before) => ({ ...before, beginning, problem: null }));
    if (isShownAlready) return;
    hold(address!, held);
    show(held);
  };

  const schedule = (failure: Problem | null, laterS = 0): void => {
    clearTimeout(due.current);
    const everyS = wanted?.everyS;
    if (everyS === undefined) return;
    const held = newest.current;
    const unchangedS = held ? (Date.now() - held.sinceMs) / 1000 : 0;
    const pauseS = failure
      ? Math.max(everyS, failure.retryAfterS ?? 0)
      : pauseAfter(everyS, held?.tookS ?? 0, unchangedS);
    due.current = setTimeout(poll, (pauseS + laterS) * 1000);
  };

  const poll = useRef((): void => {
    // Nobody sees a hidden page; it asks when it is seen again.
    if (document.hidden) document.addEventListener("visibilitychange", poll, { once: true });
    else latest.current();
  }).current;

  const read = async (isForced: boolean, next?: Query): Promise<void> => {
    if (!wanted || !address) return;
    // A page that asks each so often must not cut off a long read that it waits for.
    if (going.current && !isForced) return;
    going.current?.abort();
    const mine = new AbortController();
    going.current = mine;
    clearTimeout(due.current);
    setState((before) => ({ ...before, readingSinceMs: before.readingSinceMs ?? Date.now() }));
    let failure: Problem | null = null;
    try {
      // What is asked of the relay alone is never forced.
      const mayForceIt = wanted.unit && !wanted.query?.only_if_cached;
      const isRest = !isForced && isBeginning(newest.current);
      const forced = mayForceIt && (isForced || force.value) ? { force: true } : {};
      const how = isRest ? restQuery(newest.current!, Date.now()) : forced;
      const take = (held: Held): void => {
        if (going.current !== mine) return;
        if (wanted.unit) tell(address, held);
        receive(held);
      };
      const ask = (query: Query): Promise<Held> => fetched(wanted, { ...query, ...how }, mine.signal);
      const pages = wanted.pages;
      if (next && pages && shown.current) {
        const page = await ask(next);
        take({ ...page, body: pages.merge(shown.current.body, page.body), etag: null });
      } else if (wanted.unit) await readFor(shown.current !== null, ask, take, ({ body }) => provenanceOf(body));
      else take(await ask({}));
    } catch (error) {
      if (going.current !== mine || mine.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      failure = error;
      noteProblem(error);
      if (wanted.unit && lostBy(error) === "unit") noteReached(keyOf(wanted.unit), error);
    }
    if (going.current !== mine) return;
    going.current = null;
    setState((before) => ({ ...before, problem: failure ?? before.problem, readingSinceMs: null }));
    schedule(failure);
  };

  /** Whether the first read is left to after the frame, since it has something to show. */
  const readsLater = useRef(false);
  // Before the frame: what is held is seen in it, and a page that has nothing to show waits for no painting.
  useLayoutEffect(() => {
    const known = address === null ? null : heldAt(address);
    shown.current = known;
    newest.current = known;
    setState({ ...NOTHING, body: (known?.body ?? null) as T | null, atMs: known?.atMs ?? 0 });
    if (address === null) return;
    readsLater.current = known !== null;
    if (known === null) void read(false);
    const stop = hear(address, (held) => {
      if (going.current) return;
      receive(held);
      // The tab that asked asks again first; should it have gone, another one does soon after.
      schedule(null, LATER_S * (1 + Math.random()));
    });
    return () => {
      stop();
      clearTimeout(due.current);
      document.removeEventListener("visibilitychange", poll);
      going.current?.abort();
      going.current = null;
    };
  }, [address, wanted?.everyS]);

  useEffect(() => {
    if (readsLater.current) void read(false);
    readsLater.current = false;
  }, [address, wanted?.everyS]);

  // In the drawing before the effect, the body of another address must not be seen.
  latest.current = () => void read(false);
  const following = state.body === null ? null : (wanted?.pages?.next(state.body) ?? null);
  const drawn = useRef(address);
  const isOther = drawn.current !== address;
  drawn.current = address;
  const seen = isOther ? NOTHING : state;
  const lost = wanted?.unit ? (lostUnits.value.get(keyOf(wanted.unit)) ?? null) : null;
  return {
    ...seen,
    doubt: seen.problem ?? lost,
    refresh: () => void read(mayForce.value),
    reload: () => void read(false),
    cancel: () => {
      going.current?.abort();
      going.current = null;
      setState((before) => ({ ...before, readingSinceMs: null }));
      schedule(null);
    },
    more: following && !isOther ? () => void read(false, following) : null,
  };
}
