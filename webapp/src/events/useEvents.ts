// The unit's list, asked again and again while somebody looks, and what became of it since the answer before.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { useReading, type Reading } from "../parts/reading";
import { force } from "../state";
import { changeOf, isOfMemory, type Change, type List } from "./changes";

/** The relay probes the unit's memory at each look: 12 exchanges; over a slow link `restAfter` makes looks rarer. */
const POLL_S = 15;

export interface EventsSeen {
  reading: Reading<List>;
  /** What changed last; stays until the next change, or until it was dismissed. */
  change: Change;
  /** Of whom the list was before an erase or another unit. */
  formerSerial: string | null;
  dismiss: () => void;
}

/** While a list is not whole, its beginning will do; each look reads on. */
const PARTIAL = { partial: true };

const NOTHING: Change = { is: "nothing" };

export function useEvents(unit: Unit): EventsSeen {
  const reading = useReading<List>(unit, "/device/events", POLL_S, true, PARTIAL);
  const [change, setChange] = useState<Change>(NOTHING);
  const [formerSerial, setFormer] = useState<string | null>(null);
  const last = useRef<List | null>(null);

  useEffect(() => {
    last.current = null;
    setChange(NOTHING);
  }, [keyOf(unit)]);
  useEffect(() => {
    const { body } = reading;
    if (!body) return;
    const found = last.current ? changeOf(last.current, body) : NOTHING;
    if (isOfMemory(found)) setFormer(last.current?.provenance.serial ?? null);
    // What became of the memory is not covered by a mere arrival before it was seen.
    if (found.is !== "nothing") setChange((before) => (isOfMemory(before) && !isOfMemory(found) ? before : found));
    last.current = body;
  }, [reading.body]);
  useEffect(() => {
    if (force.value) reading.again();
  }, [force.value]);

  return { reading, change, formerSerial, dismiss: () => setChange(NOTHING) };
}
