import { useEffect } from "preact/hooks";
import type { Schemas } from "../api/client";
import { type Resource, useResource } from "../data/resource";
import { noteNames } from "../state";

/** The units that the relay knows; not asked for where it `isWanted` by nobody. */
export function useRoster(isWanted = true): Resource<Schemas["UnitsOut"]> {
  const roster = useResource<Schemas["UnitsOut"]>(isWanted ? { path: "/units" } : null);
  const units = roster.body?.units;
  useEffect(() => {
    if (units) noteNames(units);
  }, [units]);
  return roster;
}
