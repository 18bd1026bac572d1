// A page of a unit that was opened by an address or a name: once the unit is known, the page has its serial number.
import { useEffect, useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { useResource } from "../data/resource";
import { Waiting } from "../parts/Waiting";
import { renameUnit } from "../route";
import { words } from "../words";
import { meantBy } from "./meant";
import { UnitFrame } from "./UnitFrame";
import { useRoster } from "./useRoster";

export function ResolvePage({ unit, rest }: { unit: Unit; rest: string }) {
  const roster = useRoster();
  const isRead = roster.body !== null || roster.problem !== null;
  const meant = isRead ? meantBy(unit, roster.body?.units ?? []) : null;
  const ask = meant && "ask" in meant ? meant.ask : null;
  const info = useResource<Schemas["InfoOut"]>(ask && { path: "/device/info", unit: ask });
  // What was answered there before may have been another unit.
  const [openedMs] = useState(Date.now);
  const answered = info.atMs >= openedMs ? (info.body?.serial ?? null) : null;
  const serial = meant && "serial" in meant ? meant.serial : answered;
  useEffect(() => {
    if (serial) renameUnit(serial, rest);
  }, [serial]);
  return (
    <UnitFrame unit={ask ?? unit} page={words.unit.overview} resources={[info]}>
      <Waiting of={info} />
    </UnitFrame>
  );
}
