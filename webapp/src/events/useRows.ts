// Which rows of a long list are drawn, where it is scrolled to, and which one of them Tab leads to.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { isPrinting } from "../parts/window";
import { fragment, look, viewOf } from "../route";
import { rowAfter, rowsInSight, scrollFor } from "./rows";

/** So many rows the box scrolls before others are drawn: fewer than are drawn to spare. */
const STEP_ROWS = 4;
/** The address says where a list is scrolled to once it has rested for so long, ms. */
const RESTED_MS = 250;

export interface Rows {
  box: { current: HTMLDivElement | null };
  first: number;
  end: number;
  beforePx: number;
  afterPx: number;
  /** The row that Tab leads to. */
  reachable: number;
  choose: (key: string) => void;
  onScroll: () => void;
  onKeyDown: (event: KeyboardEvent) => void;
}

export function useRows<Row>(rows: readonly Row[], keyOf: (row: Row) => string, rowPx: number, headPx: number): Rows {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(480);
  const [chosen, setChosen] = useState<string | null>(null);
  const wantsFocus = useRef<number | null>(null);
  const rested = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const stepOf = (scrollPx: number): number => Math.floor(scrollPx / (STEP_ROWS * rowPx)) * STEP_ROWS * rowPx;

  useLayoutEffect(() => {
    const watched = new ResizeObserver(() => setHeight(box.current?.clientHeight ?? 480));
    watched.observe(box.current!);
    // Back where it was left, as the address says.
    const row = Number(viewOf(fragment.peek()).get("row") ?? 0);
    if (row > 0 && box.current) {
      box.current.scrollTop = row * rowPx;
      setTop(stepOf(row * rowPx));
    }
    return () => {
      watched.disconnect();
      clearTimeout(rested.current);
    };
  }, [rowPx]);

  const at = useMemo(
    () => Math.max(0, chosen === null ? 0 : rows.findIndex((row) => keyOf(row) === chosen)),
    [rows, chosen],
  );
  const seen = isPrinting.value
    ? { first: 0, end: rows.length, beforePx: 0, afterPx: 0 }
    : rowsInSight(top, height, rowPx, rows.length);
  // The row that Tab leads to must be drawn: out of sight, the first one in sight stands in for it.
  const inSight = Math.min(rows.length - 1, Math.ceil(top / rowPx));
  const reachable = at >= seen.first && at < seen.end ? at : inSight;

  useLayoutEffect(() => {
    // Only in the drawing that has the wanted row: an earlier one would take the focus back.
    if (wantsFocus.current !== at) return;
    wantsFocus.current = null;
    box.current?.querySelector<HTMLElement>(`[data-row="${at}"]`)?.focus({ preventScroll: true });
  });

  const scrolled = (px: number): void => {
    setTop(stepOf(px));
    clearTimeout(rested.current);
    const path = fragment.peek().split("?")[0];
    rested.current = setTimeout(() => {
      if (fragment.peek().split("?")[0] === path) look({ row: px < rowPx ? "" : String(Math.round(px / rowPx)) });
    }, RESTED_MS);
  };
  return {
    box,
    ...seen,
    reachable,
    choose: setChosen,
    onScroll: () => box.current && scrolled(box.current.scrollTop),
    onKeyDown: (event) => {
      const from = Number((event.target as HTMLElement).dataset.row ?? Number.NaN);
      if (Number.isNaN(from)) return;
      const to = rowAfter(event.key, from, rows.length, Math.max(1, Math.floor(height / rowPx) - 2));
      if (to === null) return;
      event.preventDefault();
      box.current!.scrollTop = scrollFor(to, box.current!.scrollTop, height, rowPx, headPx);
      wantsFocus.current = to;
      scrolled(box.current!.scrollTop);
      setChosen(keyOf(rows[to]!));
    },
  };
}
