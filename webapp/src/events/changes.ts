// What became of the list between two answers. The relay says when a memory was erased; what it cannot know
// (it has no database and was started anew) shows in the list itself.
import type { Schemas } from "../api/client";
import { stampOf } from "./stamps";

export type List = Schemas["EventsOut"];

export type Change = { is: "nothing" } | { is: "arrived"; stamps: string[] } | { is: "erased" } | { is: "replaced" };

export function changeOf(before: List, after: List): Change {
  if (after.provenance.epoch > before.provenance.epoch) return { is: "erased" };
  const isThere = (i: number) => {
    const event = after.events[i];
    return event !== undefined && stampOf(event) === stampOf(before.events[i]!);
  };
  // A list that is still being read says nothing of the events behind its end.
  const covered = after.complete ? before.events : before.events.slice(0, after.events.length);
  if (!covered.every((_, i) => isThere(i))) return { is: "replaced" };
  if (!before.complete || !after.complete) return { is: "nothing" };
  const arrived = after.events.slice(before.events.length).map(stampOf);
  return arrived.length ? { is: "arrived", stamps: arrived } : { is: "nothing" };
}

/**
 * Whether a list that is still being read reports only what a whole list reported: the same events of the same memory.
 * By their peaks too: under a clock that was never set, the stamp of another event may be the same.
 */
export function isBeginningOf(beginning: List, whole: List): boolean {
  const [now, then] = [beginning.provenance, whole.provenance];
  return (
    whole.complete &&
    now.serial === then.serial &&
    now.epoch === then.epoch &&
    beginning.events.length <= whole.events.length &&
    beginning.events.every((event, i) => contentOf(event) === contentOf(whole.events[i]!))
  );
}

const contentOf = (event: List["events"][number]): string => `${stampOf(event)} ${JSON.stringify(event.peaks)}`;

/** Whether the memory became another one: everything that was listed before is of the past. */
export function isOfMemory(change: Change): boolean {
  return change.is === "erased" || change.is === "replaced";
}
