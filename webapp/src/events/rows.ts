// Which rows of a long table are drawn: those in sight, and a few around them.

export interface Rows {
  first: number;
  /** Behind the last. */
  end: number;
  /** Height of what is left out before and after, px. */
  beforePx: number;
  afterPx: number;
}

const SPARE_ROWS = 8;

export function rowsInSight(scrollTopPx: number, heightPx: number, rowPx: number, count: number): Rows {
  const top = Math.min(Math.max(0, scrollTopPx), Math.max(0, count * rowPx - heightPx));
  const first = Math.max(0, Math.floor(top / rowPx) - SPARE_ROWS);
  const end = Math.min(count, Math.ceil((top + heightPx) / rowPx) + SPARE_ROWS);
  return { first, end, beforePx: first * rowPx, afterPx: (count - end) * rowPx };
}

/** Return where to scroll so that a row is in sight below a head of `headPx`; as little as will do. */
export function scrollFor(row: number, scrollTopPx: number, heightPx: number, rowPx: number, headPx: number): number {
  const top = row * rowPx;
  if (top < scrollTopPx) return top;
  const bottom = top + rowPx + headPx;
  return bottom > scrollTopPx + heightPx ? bottom - heightPx : scrollTopPx;
}

/** Return the row that a key leads to; null: the key means nothing here. */
export function rowAfter(key: string, row: number, count: number, pageRows: number): number | null {
  const wanted: Record<string, number> = {
    ArrowDown: row + 1,
    ArrowUp: row - 1,
    PageDown: row + pageRows,
    PageUp: row - pageRows,
    Home: 0,
    End: count - 1,
  };
  const to = wanted[key];
  return to === undefined || count === 0 ? null : Math.min(count - 1, Math.max(0, to));
}
