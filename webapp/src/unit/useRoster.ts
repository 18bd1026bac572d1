import { useEffect } from "preact/hooks";
import type { Schemas } from "../api/client";
import { type Resource, useResource } from "../data/resource";
import { noteNames } from "../state";

/** The units that the relay knows. */
export function useRoster(): Resource<Schemas["UnitsOut"]> {
  const roster = useResource<Schemas["UnitsOut"]>({ path: "/units" });
  const units = roster.body?.units;
  useEffect(() => {
    if (units) noteNames(units);
  }, [units]);
  return roster;
}
