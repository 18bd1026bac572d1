// The unit's list, asked again and again while somebody looks, and what became of it since the answer before.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { follow } from "../api/streams";
import { type Beginnings, type Resource, useResource } from "../data/resource";
import { force } from "../state";
import { type Change, changeOf, isBeginningOf, isOfMemory, type List } from "./changes";

/** The relay probes the unit's memory at each look: 12 exchanges; over a slow link `pauseAfter` makes looks rarer. */
const POLL_S = 15;

export interface EventsSeen {
  resource: Resource<List>;
  /** What changed last; stays until the next change, or until it was dismissed. */
  change: Change;
  dismiss: () => void;
}

/** While a list is not whole, its beginning will do; each look reads on. */
const PARTIAL = { partial: true };

const BEGINNINGS: Beginnings = {
  is: (body) => !(body as List).complete,
  isOf: (beginning, whole) => isBeginningOf(beginning as List, whole as List),
};

const NOTHING: Change = { is: "nothing" };

export function useEvents(unit: Unit): EventsSeen {
  const resource = useResource<List>({
    path: "/device/events",
    query: PARTIAL,
    unit,
    everyS: POLL_S,
    beginnings: BEGINNINGS,
  });
  const [change, setChange] = useState<Change>(NOTHING);
  const last = useRef<List | null>(null);

  useEffect(() => {
    last.current = null;
    setChange(NOTHING);
  }, [keyOf(unit)]);
  useEffect(() => {
    const { body } = resource;
    if (!body) return;
    const found = last.current ? changeOf(last.current, body) : NOTHING;
    // What became of the memory is not covered by a mere arrival before it was seen.
    if (found.is !== "nothing") setChange((before) => (isOfMemory(before) && !isOfMemory(found) ? before : found));
    // A beginning with more events than the whole list before is no measure for what arrives.
    if (body.complete || !last.current?.complete || isOfMemory(found)) last.current = body;
  }, [resource.body]);
  // Once the read of the rest ends, the relay has the whole list, and asking for it costs the unit a probe at most. A read
  // that failed is left to the page's own pace.
  const [readsDone, setReadsDone] = useState(0);
  const askedAfter = useRef(0);
  useEffect(
    () =>
      follow(unit, ({ kind, resource }) => {
        if (kind === "done" && resource === "events") setReadsDone((before) => before + 1);
      }),
    [keyOf(unit)],
  );
  useEffect(() => {
    if (resource.readingSinceMs !== null) return;
    if (resource.beginning && askedAfter.current !== readsDone) resource.reload();
    askedAfter.current = readsDone;
  }, [resource.beginning, resource.readingSinceMs, readsDone]);
  useEffect(() => {
    if (force.value) resource.reload();
  }, [force.value]);

  return { resource, change, dismiss: () => setChange(NOTHING) };
}
