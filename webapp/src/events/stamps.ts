// Which event is which, as the relay says it: the stamp of a slot, and what a newer answer makes of it.
import type { Schemas } from "../api/client";
import type { Event as Listed } from "./choose";

type Event = Pick<Listed, "waveform_key" | "timestamp">;
/** Of which unit's memory, and which of its memories, an answer speaks. */
export type Memory = Pick<Schemas["ProvenanceOut"], "serial" | "epoch">;

export function stampOf(event: Event): string {
  return `${event.waveform_key} ${event.timestamp ?? ""}`;
}

/** Whether a slot holds another event than before. A lower epoch alone says only that the relay started anew. */
export function isReplaced(before: Event & { memory: Memory }, after: Event & { memory: Memory }): boolean {
  return (
    before.memory.serial !== after.memory.serial ||
    stampOf(before) !== stampOf(after) ||
    after.memory.epoch > before.memory.epoch
  );
}

/** Return unit time as people read it; `null` stays: the caller says that it is unknown. */
export function unitTimeText(timestamp: string | null): string | null {
  return timestamp === null ? null : timestamp.replace("T", " ");
}

/** Whether a unit's time can be right: a clock that was never set shows a year before any MiniMate Plus was sold. */
export function isCredible(timestamp: string): boolean {
  return timestamp >= "2000" && timestamp < "2100";
}
