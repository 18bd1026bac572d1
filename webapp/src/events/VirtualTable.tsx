// A table of any length: the rows in sight are drawn, one of them can be reached by Tab, keys move on from it.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { rowAfter, rowsInSight, scrollFor } from "./rows";
import "./events.css";

/** Row and head are exactly so high; the style sheet says the same. */
const ROW_PX = 30;
/** So far the box scrolls before other rows are drawn: fewer than are drawn to spare. */
const STEP_PX = 4 * ROW_PX;

export interface Column<Row> {
  id: string;
  head: string;
  isNumber?: boolean;
  cell: (row: Row) => ComponentChildren;
  /** Shown in full on pointing, where the column may cut it off. */
  title?: (row: Row) => string;
}

interface Wish<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  hrefOf: (row: Row) => string;
  openLabel: (row: Row) => string;
  onOpen?: (row: Row) => void;
  sort?: { by: string; isDescending: boolean; onSort: (id: string) => void; label: (head: string) => string };
  isMarked?: (row: Row) => boolean;
  describedBy?: string;
}

export function VirtualTable<Row>({ caption, columns, rows, keyOf, hrefOf, openLabel, onOpen, sort, isMarked, describedBy }: Wish<Row>) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(480);
  const [chosen, setChosen] = useState<string | null>(null);
  const wantsFocus = useRef<number | null>(null);

  useLayoutEffect(() => {
    const watched = new ResizeObserver(() => setHeight(box.current?.clientHeight ?? 480));
    watched.observe(box.current!);
    return () => watched.disconnect();
  }, []);

  const at = useMemo(() => Math.max(0, chosen === null ? 0 : rows.findIndex((row) => keyOf(row) === chosen)), [rows, chosen]);
  const { first, end, beforePx, afterPx } = rowsInSight(top, height, ROW_PX, rows.length);
  // The row that Tab leads to must be drawn: out of sight, the first drawn one stands in for it.
  const reachable = at >= first && at < end ? at : first;

  useLayoutEffect(() => {
    // Only in the drawing that has the wanted row: an earlier one would take the focus back.
    if (wantsFocus.current !== at) return;
    wantsFocus.current = null;
    box.current?.querySelector<HTMLElement>(`[data-row="${at}"]`)?.focus({ preventScroll: true });
  });

  const onKeyDown = (event: KeyboardEvent) => {
    const from = Number((event.target as HTMLElement).dataset.row ?? NaN);
    if (Number.isNaN(from)) return;
    const to = rowAfter(event.key, from, rows.length, Math.max(1, Math.floor(height / ROW_PX) - 2));
    if (to === null) return;
    event.preventDefault();
    const scroll = scrollFor(to, box.current!.scrollTop, height, ROW_PX, ROW_PX);
    box.current!.scrollTop = scroll;
    wantsFocus.current = to;
    setTop(stepOf(scroll));
    setChosen(keyOf(rows[to]!));
  };
  return (
    <div class="table-box" ref={box} onScroll={(event) => setTop(stepOf(event.currentTarget.scrollTop))} onKeyDown={onKeyDown}>
      <table class="events-table" aria-rowcount={rows.length + 1} aria-describedby={describedBy}>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                class={classOf(column)}
                aria-sort={sort?.by === column.id ? (sort.isDescending ? "descending" : "ascending") : undefined}
              >
                {sort ? (
                  <button type="button" onClick={() => sort.onSort(column.id)} title={sort.label(column.head)}>
                    {column.head}
                    <span aria-hidden="true" class="sort-mark">{sort.by === column.id ? (sort.isDescending ? "▼" : "▲") : ""}</span>
                  </button>
                ) : (
                  column.head
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Spacer px={beforePx} columns={columns.length} />
          {rows.slice(first, end).map((row, i) => {
            const index = first + i;
            const open = () => onOpen?.(row);
            return (
              <tr
                key={keyOf(row)}
                aria-rowindex={index + 2}
                class={isMarked?.(row) ? "is-new" : undefined}
                onClick={(event) => {
                  if ((event.target as HTMLElement).closest("a")) return;
                  open();
                  location.hash = hrefOf(row);
                }}
              >
                {columns.map((column, c) => (
                  <td key={column.id} class={classOf(column)} title={column.title?.(row)}>
                    {c === 0 ? (
                      <a
                        href={hrefOf(row)}
                        aria-label={openLabel(row)}
                        data-row={index}
                        tabIndex={index === reachable ? 0 : -1}
                        onFocus={() => setChosen(keyOf(row))}
                        onClick={open}
                      >
                        {column.cell(row)}
                      </a>
                    ) : (
                      column.cell(row)
                    )}
                  </td>
                ))}
              </tr>
            );
          })}
          <Spacer px={afterPx} columns={columns.length} />
        </tbody>
      </table>
    </div>
  );
}

function stepOf(scrollTopPx: number): number {
  return Math.floor(scrollTopPx / STEP_PX) * STEP_PX;
}

function classOf<Row>({ id, isNumber }: Column<Row>): string {
  return isNumber ? `number column-${id}` : `column-${id}`;
}

/** Keeps the scroll bar as long as the whole table. */
function Spacer({ px, columns }: { px: number; columns: number }) {
  if (px === 0) return null;
  return (
    <tr aria-hidden="true" class="spacer">
      <td colSpan={columns} style={{ height: `${px}px` }} />
    </tr>
  );
}
