// What the list showed in a slot when its row was opened, so that the next page can say if it was replaced since.
import type { Event as Listed } from "./choose";

let last: { key: string; event: Listed } | null = null;

export const listed = {
  put(key: string, event: Listed): void {
    last = { key, event };
  },
  /** Return it once: a later visit by a link has been promised nothing. */
  take(key: string, index: number): Listed | null {
    const found = last?.key === key && last.event.index === index ? last.event : null;
    last = null;
    return found;
  },
};
