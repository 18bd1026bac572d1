import type { Schemas, Unit } from "../api/client";
import { type Resource, useResource } from "../data/resource";

export const INFO = "/device/info";

/** What a unit is, and how it records. */
export function useInfo(unit: Unit): Resource<Schemas["InfoOut"]> {
  return useResource<Schemas["InfoOut"]>({ path: INFO, unit });
}
