// How often a page asks again by itself: at a pace that follows what a poll costs the unit.

/** What one open page may take of a slow unit's line: the rest is for other programs and for call-home. */
const SHARE = 0.15;
/** A read that takes longer is of a slow link, s. */
const SLOW_S = 1;
/** How long the relay keeps the link open after a read unless it is set otherwise, s. */
const KEEP_OPEN_S = 5;
/** While nothing changed for so long, s, a page asks more rarely: then an open tab costs next to nothing. */
const QUIET_AFTER_S = 300;
/** The pace of a page on which nothing changes, s. */
const QUIET_S = 60;

/**
 * How long a page waits after an answer before it asks again by itself, s.
 *
 * `everyS`: the page's own interval. `tookS`: how long the answer used the unit's line; 0 if it did not. `unchangedS`: for
 * how long nothing has changed.
 */
export function pauseAfter(everyS: number, tookS: number, unchangedS: number): number {
  const rest = tookS < SLOW_S ? 0 : (tookS + KEEP_OPEN_S) / SHARE;
  return Math.max(everyS, rest, unchangedS < QUIET_AFTER_S ? 0 : QUIET_S);
}
