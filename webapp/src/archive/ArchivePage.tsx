// All recordings that were ever read, whether or not their unit still holds them.
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { eventColumns } from "../events/columns";
import { VirtualTable, type Column } from "../events/VirtualTable";
import { Trouble } from "../parts/Trouble";
import { unitsOf } from "../state";
import { words } from "../words";
import { useAsked } from "../parts/asked";
import { Simulated } from "./Simulated";
import { usePages, type Row } from "./usePages";
import { fragmentOf, wantedOf } from "./wanted";
import { WantedForm } from "./WantedForm";

const text = words.archive;

export function ArchivePage() {
  const [hash, setHash] = useState(location.hash);
  const wanted = useMemo(() => wantedOf(hash), [hash]);
  const archived = useAsked<Schemas["ArchivedUnits"]>("/archive/units");
  const { held, problem, isAsking, older } = usePages(wanted);
  const velocity = unitsOf.value;
  const columns = useMemo(() => columnsOf(velocity), [velocity]);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const rows = held?.rows ?? [];
  return (
    <article class="archive-page">
      <h1>{text.title}</h1>
      {rows.some((row) => row.simulated) && <Simulated why={text.someSimulated} />}
      {archived.problem && <Trouble problem={archived.problem} retry={archived.again} />}
      <WantedForm
        wanted={wanted}
        units={archived.body?.units ?? []}
        onWanted={(next) => {
          history.replaceState(null, "", fragmentOf(next));
          setHash(location.hash);
        }}
      />
      {problem && <Trouble problem={problem} retry={older} />}
      <p role="status" class="table-note">
        {held ? (rows.length ? text.loaded(rows.length) : text.none) : isAsking ? words.fresh.reading : ""}
      </p>
      {rows.length > 0 && (
        <VirtualTable
          caption={text.caption}
          columns={columns}
          rows={rows}
          keyOf={(row) => row.id}
          hrefOf={(row) => `#/archive/${row.id}`}
          openLabel={(row) => text.open(row.id.slice(0, 12))}
        />
      )}
      {held?.cursor && (
        <p><button type="button" onClick={older} disabled={isAsking}>{text.older}</button></p>
      )}
      {held && rows.length > 0 && !held.cursor && <p class="table-note">{text.noOlder}</p>}
    </article>
  );
}

function columnsOf(velocity: "in/s" | "mm/s"): Column<Row>[] {
  return [
    { id: "id", head: text.id, cell: (row) => row.id.slice(0, 12) },
    {
      id: "serial",
      head: text.serial,
      cell: (row) => (
        <>
          {row.serial} {row.simulated && <span class="badge">{words.app.simulated}</span>}
        </>
      ),
    },
    ...eventColumns(velocity),
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
