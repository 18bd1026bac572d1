// The events in the unit's memory, newest first, followed while somebody looks.
import { useMemo, useState } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { Freshness } from "../parts/Freshness";
import { Progress } from "../parts/Progress";
import { Trouble } from "../parts/Trouble";
import { linkTo } from "../route";
import { unitsOf } from "../state";
import { UnitHead } from "../unit/UnitHead";
import { words } from "../words";
import { isOfMemory, type Change } from "./changes";
import { filtered, NEWEST_FIRST, sortAfter, sorted, type ColumnId, type Event } from "./choose";
import { eventColumns } from "./columns";
import { FilterForm, filtersOf, NOTHING_TYPED } from "./FilterForm";
import { listed } from "./listed";
import { stampOf } from "./stamps";
import { useEvents } from "./useEvents";
import { VirtualTable } from "./VirtualTable";

const text = words.events;

export function EventsPage({ unit }: { unit: Unit }) {
  const { reading, change, formerSerial, dismiss } = useEvents(unit);
  const { body: list, problem, isReading, refresh } = reading;
  const [typed, setTyped] = useState(NOTHING_TYPED);
  const [sort, setSort] = useState(NEWEST_FIRST);
  const velocity = unitsOf.value;
  const shown = useMemo(
    () => sorted(filtered(list?.events ?? [], filtersOf(typed, velocity)), sort),
    [list, typed, sort, velocity],
  );
  const columns = useMemo(
    () => [
      { id: "index" as const, head: text.number, isNumber: true, cell: (event: Event) => event.index },
      ...eventColumns(velocity),
    ],
    [velocity],
  );
  const arrived = useMemo(() => new Set(change.is === "arrived" ? change.stamps : []), [change]);
  const key = keyOf(unit);
  return (
    <article class="events-page">
      <UnitHead unit={unit} />
      <header class="page-head">
        <h2>{text.title}</h2>
        <Freshness of={list?.provenance} onRefresh={refresh} what={text.title} isReading={isReading} problem={problem} />
      </header>
      {isOfMemory(change) && (
        <div role="alert" class="warning">
          <p>{changeText(change)}</p>
          <p>
            {formerSerial && <a href={`#/archive?serial=${encodeURIComponent(formerSerial)}`}>{text.oldRecords(formerSerial)}</a>}{" "}
            <button type="button" onClick={dismiss}>{words.app.dismiss}</button>
          </p>
        </div>
      )}
      {/* Always there, so that a reader hears what is put into it. */}
      <p role="status" class="arrivals">{change.is === "arrived" ? text.arrived(change.stamps.length) : ""}</p>
      {problem && <Trouble problem={problem} retry={refresh} />}
      {!list && !problem && (
        <>
          <p role="status">{text.asking}</p>
          <Progress unit={unit} only="events" />
        </>
      )}
      {list && (
        <>
          <FilterForm typed={typed} onTyped={setTyped} />
          <p id="events-keys" class="table-note">
            <span role="status">{countText(shown.length, list.events.length)}</span> {shown.length > 0 && <span class="keys">{text.keys}</span>}
          </p>
          <VirtualTable
            caption={text.caption}
            columns={columns}
            rows={shown}
            keyOf={stampOf}
            hrefOf={(event) => linkTo(unit, `event/${event.index}`)}
            openLabel={(event) => text.open(event.index)}
            onOpen={(event) => listed.put(key, event)}
            sort={{ ...sort, onSort: (id) => setSort(sortAfter(sort, id as ColumnId)), label: text.sortBy }}
            isMarked={(event) => arrived.has(stampOf(event))}
            describedBy="events-keys"
          />
        </>
      )}
    </article>
  );
}

function changeText(change: Change): string {
  if (change.is === "other-unit") return text.otherUnit(change.before, change.after);
  return change.is === "erased" ? text.erased : text.replaced;
}

function countText(shown: number, all: number): string {
  if (all === 0) return text.none;
  return shown === 0 ? text.noneLeft : text.shown(shown, all);
}
