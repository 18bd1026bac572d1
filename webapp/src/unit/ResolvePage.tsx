// A page of a unit that was opened by an address or a name: once the unit is known, the page has its serial number.
import { useLayoutEffect, useState } from "preact/hooks";
import { addressOf, type Schemas, type Unit } from "../api/client";
import { keyOf } from "../api/device";
import { hold } from "../data/answers";
import { type Resource, useResource } from "../data/resource";
import { Waiting } from "../parts/Waiting";
import { renameUnit } from "../route";
import { noteUnit } from "../state";
import { words } from "../words";
import { meantBy } from "./meant";
import { UnitFrame } from "./UnitFrame";
import { INFO } from "./useInfo";
import { useRoster } from "./useRoster";

/** Have the page of the serial number show at once what was answered at the address; it is asked for again there. */
function showAlsoOf(serial: string, { body, atMs }: Resource<Schemas["InfoOut"]>): void {
  if (body === null) return;
  hold(addressOf(INFO, { unit: serial }), { body, etag: null, atMs, sinceMs: atMs, tookS: 0 });
  noteUnit(keyOf({ unit: serial }), body.provenance);
}

export function ResolvePage({ unit, rest }: { unit: Unit; rest: string }) {
  // Whether a word is a name, the roster says; an address means itself.
  const isWord = unit.unit !== undefined;
  const roster = useRoster(isWord);
  const isRead = roster.body !== null || roster.problem !== null;
  const meant = isRead || !isWord ? meantBy(unit, roster.body?.units ?? []) : null;
  const ask = meant && "ask" in meant ? meant.ask : null;
  const info = useResource<Schemas["InfoOut"]>(ask && { path: INFO, unit: ask });
  // What was answered there before may have been another unit.
  const [openedMs] = useState(Date.now);
  const answered = info.atMs >= openedMs ? (info.body?.serial ?? null) : null;
  const serial = meant && "serial" in meant ? meant.serial : answered;
  useLayoutEffect(() => {
    if (!serial) return;
    if (answered) showAlsoOf(serial, info);
    renameUnit(serial, rest);
  }, [serial]);
  return (
    <UnitFrame unit={ask ?? unit} page={words.unit.overview} resources={[info]}>
      <Waiting of={info} />
    </UnitFrame>
  );
}
