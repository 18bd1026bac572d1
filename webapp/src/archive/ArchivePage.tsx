// All recordings that were ever read, whether or not their unit still holds them.
import { useEffect, useMemo } from "preact/hooks";
import type { Schemas } from "../api/client";
import { FetchAll } from "../commands/FetchAll";
import { useResource } from "../data/resource";
import { isColumn, sortAfter, sorted } from "../events/choose";
import { EventCard, eventColumns } from "../events/columns";
import { type Column, EventList } from "../events/EventList";
import { unitTimeText } from "../events/stamps";
import { useView } from "../events/view";
import { PageTitle } from "../parts/PageTitle";
import { Troubles } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { fragment, look } from "../route";
import { type AirUnit, airUnits, type GroundUnit, unitsOf } from "../state";
import { words } from "../words";
import { Simulated } from "./Simulated";
import { type Row, useArchive } from "./useArchive";
import { WantedForm } from "./WantedForm";
import { lookOf, wantedOf } from "./wanted";

const text = words.archive;
const NEWEST_FIRST = { by: "time", isDescending: true } as const;

export function ArchivePage() {
  const query = fragment.value.split("?")[1] ?? "";
  const wanted = useMemo(() => wantedOf(`?${query}`), [query.replace(/&?(row|sort)=[^&]*/g, "")]);
  const units = useResource<Schemas["ArchivedUnits"]>({ path: "/archive/units" });
  const archive = useArchive(wanted);
  const { sort, setSort } = useView(NEWEST_FIRST);
  const [velocity, air] = [unitsOf.value, airUnits.value];
  const columns = useMemo(() => columnsOf(velocity, air), [velocity, air]);
  const held = archive.body;
  const isSorted = sort.by !== NEWEST_FIRST.by || !sort.isDescending;
  // An order is one of all recordings, or it would name a largest that is not.
  useEffect(() => {
    if (isSorted && archive.readingSinceMs === null && !archive.problem) archive.more?.();
  }, [isSorted, archive.body, archive.readingSinceMs]);
  const rows = useMemo(
    () => (isSorted ? (sorted(held?.events ?? [], sort) as Row[]) : (held?.events ?? [])),
    [held?.events, sort, isSorted],
  );
  return (
    <article class="archive-page">
      <PageTitle title={text.title} />
      {rows.some((row) => row.simulated) && <Simulated why={text.someSimulated} />}
      <Troubles of={[archive, units]} />
      <WantedForm
        wanted={wanted}
        units={units.body?.units ?? []}
        onWanted={(next) => look({ ...lookOf(next), row: "" })}
      />
      {wanted.serial && <FetchAll key={wanted.serial} unit={{ unit: wanted.serial }} onFetched={archive.reload} />}
      <Waiting of={archive} />
      <p role="status" class="table-note">
        {held && (rows.length ? text.loaded(rows.length, archive.more === null) : text.none)}
      </p>
      {rows.length > 0 && (
        <EventList
          caption={text.caption}
          columns={columns}
          card={(row) => <EventCard event={row} unit={velocity} airUnit={air} note={row.serial} />}
          rows={rows}
          keyOf={(row) => row.id}
          hrefOf={(row) => `#/archive/${row.id}`}
          openLabel={(row) => text.open(unitTimeText(row.timestamp) ?? words.app.unknown, row.serial)}
          sort={{
            ...sort,
            onSort: (id) => isColumn(id) && setSort(sortAfter(sort, id)),
            label: words.events.sortBy,
          }}
        />
      )}
      {archive.more && (
        <p>
          <button type="button" onClick={archive.more} disabled={archive.readingSinceMs !== null}>
            {text.older}
          </button>
        </p>
      )}
    </article>
  );
}

function columnsOf(velocity: GroundUnit, air: AirUnit): Column<Row>[] {
  const [time, ...figures] = eventColumns(velocity, air);
  return [
    // Of a recording the time is the name, and its link.
    time!,
    {
      id: "serial",
      head: text.serial,
      cell: (row) => (
        <>
          {row.serial} {row.simulated && <span class="badge">{words.app.simulated}</span>}
        </>
      ),
    },
    ...figures,
    { id: "samples", head: text.samples, cell: (row) => (row.waveforms ? text.samplesYes : text.samplesNo) },
    { id: "review", head: text.review, cell: (row) => verdictText(row.review), title: (row) => row.review?.note ?? "" },
  ];
}

/** Return what a review says of the trigger. */
export function verdictText(review: Schemas["ReviewOut"] | null): string {
  if (review === null) return text.notReviewed;
  if (review.false_trigger === null) return text.notGiven;
  return review.false_trigger ? text.falseTrigger : text.trueTrigger;
}
