// The events in the unit's memory, newest first, followed while somebody looks.
import { useMemo } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { FetchAll } from "../commands/FetchAll";
import { Freshness } from "../parts/Freshness";
import { Progress } from "../parts/Progress";
import { Waiting } from "../parts/Waiting";
import { linkTo } from "../route";
import { airUnits, unitsOf } from "../state";
import { UnitFrame } from "../unit/UnitFrame";
import { words } from "../words";
import { type Change, isOfMemory } from "./changes";
import { filtered, NEWEST_FIRST, sortAfter, sorted } from "./choose";
import { EventCard, eventColumns, type Listed } from "./columns";
import { EventList } from "./EventList";
import { FilterForm, filtersOf } from "./FilterForm";
import { listed } from "./listed";
import { stampOf } from "./stamps";
import { useEvents } from "./useEvents";
import { useView } from "./view";

const text = words.events;

export function EventsPage({ unit }: { unit: Unit }) {
  const { resource, change, dismiss } = useEvents(unit);
  const list = resource.body;
  const view = useView(NEWEST_FIRST);
  const [velocity, air] = [unitsOf.value, airUnits.value];
  const shown = useMemo(
    () => sorted(filtered(list?.events ?? [], filtersOf(view.typed)), view.sort),
    [list?.events, view.typed, view.sort],
  );
  const columns = useMemo(
    () => [
      { id: "index" as const, head: text.number, isNumber: true, cell: (event: Listed) => event.index },
      ...eventColumns(velocity, air),
    ],
    [velocity, air],
  );
  const arrived = useMemo(() => new Set(change.is === "arrived" ? change.stamps : []), [change]);
  const key = keyOf(unit);
  const serial = list?.provenance.serial;
  return (
    <UnitFrame unit={unit} page={text.title} resources={[resource]}>
      <header class="page-head">
        <h2>{text.title}</h2>
        <Freshness of={resource} what={text.title} />
      </header>
      {isOfMemory(change) && (
        <div role="alert" class="warning">
          <p>{changeText(change)}</p>
          <p>
            {serial && <a href={`#/archive?serial=${encodeURIComponent(serial)}`}>{text.oldRecords(serial)}</a>}{" "}
            <button type="button" onClick={dismiss}>
              {words.app.dismiss}
            </button>
          </p>
        </div>
      )}
      {/* Always there, so that a reader hears what is put into it. */}
      <p role="status" class="arrivals">
        {change.is === "arrived" ? text.arrived(change.stamps.length) : ""}
      </p>
      <Waiting of={resource} />
      {!list && resource.readingSinceMs !== null && <Progress unit={unit} only="events" />}
      {list && (
        <>
          <FilterForm typed={view.typed} onTyped={view.setTyped} />
          <p id="events-keys" class="table-note">
            <span role="status">
              {list.complete ? countText(shown.length, list.walked) : text.reading(list.walked, list.estimate_s)}
            </span>{" "}
            {list.complete && resource.beginning && !resource.doubt && (
              <span>{text.readingAnew(resource.beginning.walked, resource.beginning.estimate_s)}</span>
            )}{" "}
            {shown.length > 0 && <span class="keys">{text.keys}</span>}
          </p>
          <EventList
            caption={text.caption}
            columns={columns}
            card={(event) => <EventCard event={event} unit={velocity} airUnit={air} />}
            rows={shown}
            keyOf={stampOf}
            hrefOf={(event) => linkTo(unit, `event/${event.index}`)}
            openLabel={(event) => text.open(event.index)}
            onOpen={(event) => listed.put(key, event)}
            sort={{
              ...view.sort,
              onSort: (id) => view.setSort(sortAfter(view.sort, id)),
              label: text.sortBy,
            }}
            isMarked={(event) => arrived.has(stampOf(event))}
            describedBy="events-keys"
          />
          <FetchAll unit={unit} />
        </>
      )}
    </UnitFrame>
  );
}

function changeText(change: Change): string {
  return change.is === "erased" ? text.erased : text.replaced;
}

function countText(shown: number, all: number): string {
  if (all === 0) return text.none;
  return shown === 0 ? text.noneLeft : text.shown(shown, all);
}
