import { useEffect } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { keyOf } from "../api/device";
import { useReading, type Reading } from "../parts/reading";
import { serials } from "../state";

/** Who a unit is. Read anew when another unit answers at the same address: a modem can be moved. */
export function useInfo(unit: Unit): Reading<Schemas["InfoOut"]> {
  const info = useReading<Schemas["InfoOut"]>(unit, "/device/info");
  const known = info.body?.serial;
  const now = serials.value.get(keyOf(unit));
  useEffect(() => {
    if (known !== undefined && now !== undefined && now !== known) info.again();
  }, [now]);
  return info;
}
