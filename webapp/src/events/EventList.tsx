// A list of events of any length: a table where there is room for one, cards on a phone. The rows in sight are drawn,
// one of them can be reached by Tab, keys move on from it; on paper all of them are drawn.
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { isNarrow, isPrinting } from "../parts/window";
import { useRows } from "./useRows";
import "./events.css";

/** Row and head are exactly so high; the style sheet says the same. */
const ROW_PX = 30;
const CARD_PX = 72;

export interface Column<Row> {
  id: string;
  head: string;
  isNumber?: boolean;
  cell: (row: Row) => ComponentChildren;
  /** Shown in full on pointing, where the column may cut it off. */
  title?: (row: Row) => string;
}

export interface Wish<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  /** What a phone shows of a row. */
  card: (row: Row) => ComponentChildren;
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  hrefOf: (row: Row) => string;
  openLabel: (row: Row) => string;
  onOpen?: (row: Row) => void;
  sort?: { by: string; isDescending: boolean; onSort: (id: string) => void; label: (head: string) => string };
  isMarked?: (row: Row) => boolean;
  describedBy?: string;
}

export function EventList<Row>(wish: Wish<Row>) {
  return isNarrow.value && !isPrinting.value ? <Cards {...wish} /> : <Table {...wish} />;
}

function Cards<Row>({ caption, card, rows, keyOf, hrefOf, onOpen, isMarked }: Wish<Row>) {
  const { box, first, end, beforePx, afterPx, reachable, choose, onScroll, onKeyDown } = useRows(
    rows,
    keyOf,
    CARD_PX,
    0,
  );
  return (
    <div class="list-box" ref={box} onScroll={onScroll} onKeyDown={onKeyDown}>
      <ul class="cards" aria-label={caption}>
        {beforePx > 0 && <li aria-hidden="true" style={{ height: `${beforePx}px` }} />}
        {rows.slice(first, end).map((row, i) => (
          <li key={keyOf(row)} class={isMarked?.(row) ? "card is-new" : "card"}>
            <a
              href={hrefOf(row)}
              data-row={first + i}
              tabIndex={first + i === reachable ? 0 : -1}
              onFocus={() => choose(keyOf(row))}
              onClick={() => onOpen?.(row)}
            >
              {card(row)}
            </a>
          </li>
        ))}
        {afterPx > 0 && <li aria-hidden="true" style={{ height: `${afterPx}px` }} />}
      </ul>
    </div>
  );
}

function Table<Row>(wish: Wish<Row>) {
  const { caption, columns, rows, keyOf, hrefOf, openLabel, onOpen, isMarked, describedBy } = wish;
  const seen = useRows(rows, keyOf, ROW_PX, ROW_PX);
  return (
    <div class="list-box" ref={seen.box} onScroll={seen.onScroll} onKeyDown={seen.onKeyDown}>
      <table class="events-table" aria-rowcount={rows.length + 1} aria-describedby={describedBy}>
        <caption class="hidden">{caption}</caption>
        <Heads {...wish} />
        <tbody>
          <Spacer px={seen.beforePx} columns={columns.length} />
          {rows.slice(seen.first, seen.end).map((row, i) => {
            const index = seen.first + i;
            const open = () => onOpen?.(row);
            return (
              // The link in the first cell is what keyboards and screen readers have; the row is a larger target for it.
              <tr
                key={keyOf(row)}
                aria-rowindex={index + 2}
                class={isMarked?.(row) ? "is-new" : undefined}
                onClick={(event) => {
                  if ((event.target as HTMLElement).closest("a")) return;
                  open();
                  if (event.ctrlKey || event.metaKey) window.open(hrefOf(row), "_blank", "noopener");
                  else location.hash = hrefOf(row);
                }}
                onAuxClick={(event) => {
                  const isMiddle = event.button === 1 && !(event.target as HTMLElement).closest("a");
                  if (isMiddle) window.open(hrefOf(row), "_blank", "noopener");
                }}
              >
                {columns.map((column, c) => (
                  <td key={column.id} class={classOf(column)} title={column.title?.(row)}>
                    {c === 0 ? (
                      <a
                        href={hrefOf(row)}
                        aria-label={openLabel(row)}
                        data-row={index}
                        tabIndex={index === seen.reachable ? 0 : -1}
                        onFocus={() => seen.choose(keyOf(row))}
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
          <Spacer px={seen.afterPx} columns={columns.length} />
        </tbody>
      </table>
    </div>
  );
}

/** The heads, which sort. Tab leads to one of them, arrows to the others. */
function Heads<Row>({ columns, sort }: Wish<Row>) {
  const row = useRef<HTMLTableRowElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const buttons = [...row.current!.querySelectorAll("button")];
    const to = buttons[buttons.indexOf(event.target as HTMLButtonElement) + step];
    if (!to) return;
    event.preventDefault();
    to.focus();
  };
  const sortedBy = columns.some(({ id }) => id === sort?.by) ? sort?.by : columns[0]?.id;
  return (
    <thead>
      <tr aria-rowindex={1} ref={row} onKeyDown={onKeyDown}>
        {columns.map((column) => (
          <th
            key={column.id}
            scope="col"
            class={classOf(column)}
            aria-sort={sort?.by === column.id ? (sort.isDescending ? "descending" : "ascending") : undefined}
          >
            {sort ? (
              <button
                type="button"
                tabIndex={column.id === sortedBy ? 0 : -1}
                onClick={() => sort.onSort(column.id)}
                title={sort.label(column.head)}
              >
                {column.head}
                <span aria-hidden="true" class="sort-mark">
                  {sort.by === column.id ? (sort.isDescending ? "▼" : "▲") : ""}
                </span>
              </button>
            ) : (
              column.head
            )}
          </th>
        ))}
      </tr>
    </thead>
  );
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
