// What the list showed in a slot when its row was opened, so that the next page can say if it was replaced since.
import type { Schemas } from "../api/client";

let last: { key: string; event: Schemas["EventBase"] } | null = null;

export const listed = {
  put(key: string, event: Schemas["EventBase"]): void {
    last = { key, event };
  },
  /** Return it once: a later visit by a link has been promised nothing. */
  take(key: string, index: number): Schemas["EventBase"] | null {
    const found = last?.key === key && last.event.index === index ? last.event : null;
    last = null;
    return found;
  },
};
