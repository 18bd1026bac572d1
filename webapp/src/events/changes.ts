// What became of the list between two answers. The relay says when a memory was erased; what it cannot know
// (it has no database and was started anew) shows in the list itself.
import type { Schemas } from "../api/client";
import { stampOf } from "./stamps";

export type List = Schemas["EventsOut"];

export type Change =
  | { is: "nothing" }
  | { is: "arrived"; stamps: string[] }
  | { is: "erased" }
  | { is: "replaced" }
  | { is: "other-unit"; before: string; after: string };

export function changeOf(before: List, after: List): Change {
  const [old, now] = [before.provenance, after.provenance];
  if (old.serial !== null && now.serial !== null && old.serial !== now.serial) {
    return { is: "other-unit", before: old.serial, after: now.serial };
  }
  if (now.epoch > old.epoch) return { is: "erased" };
  const isThere = (i: number) => {
    const event = after.events[i];
    return event !== undefined && stampOf(event) === stampOf(before.events[i]!);
  };
  if (!before.events.every((_, i) => isThere(i))) return { is: "replaced" };
  if (!before.complete) return { is: "nothing" };
  const arrived = after.events.slice(before.events.length).map(stampOf);
  return arrived.length ? { is: "arrived", stamps: arrived } : { is: "nothing" };
}

/** Whether the memory became another one: everything that was listed before is of the past. */
export function isOfMemory(change: Change): boolean {
  return change.is === "erased" || change.is === "replaced" || change.is === "other-unit";
}
