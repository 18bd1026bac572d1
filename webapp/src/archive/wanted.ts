// Which recordings are asked for: as the address of the page says it, and as the relay is asked.
export interface Wanted {
  serial: string;
  /** Unit time, ISO 8601 without zone: at or after, and before. */
  since: string;
  until: string;
  /** In in/s; null: any. */
  minPvsInS: number | null;
  project: string;
}

export const ANYTHING: Wanted = { serial: "", since: "", until: "", minPvsInS: null, project: "" };

/** Return what a fragment such as `#/archive?serial=BE12345` asks for. */
export function wantedOf(hash: string): Wanted {
  const [, query = ""] = hash.split("?");
  const params = new URLSearchParams(query);
  const pvs = params.get("min_pvs");
  const number = pvs === null || pvs.trim() === "" ? NaN : Number(pvs);
  return {
    serial: params.get("serial") ?? "",
    since: params.get("since") ?? "",
    until: params.get("until") ?? "",
    minPvsInS: number >= 0 && Number.isFinite(number) ? number : null,
    project: params.get("project") ?? "",
  };
}

/** Return the query parameters of the relay; what asks for nothing is left out. */
export function queryOf({ serial, since, until, minPvsInS, project }: Wanted): Record<string, string> {
  const all = { serial, since, until, min_pvs: minPvsInS === null ? "" : String(minPvsInS), project: project.trim() };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
}

/** Return the same as parameters of the page's address; empty: it asks for nothing of the kind. */
export function lookOf(wanted: Wanted): Record<string, string> {
  return { serial: "", since: "", until: "", min_pvs: "", project: "", ...queryOf(wanted) };
}

/** Return the second after a unit time, in the same zoneless form; null when it is no such time. */
export function secondAfter(timestamp: string): string | null {
  // As if it were UTC, where each second is there once: the unit's clock has no zone either.
  const at = Date.parse(`${timestamp}Z`);
  return Number.isNaN(at) ? null : new Date(at + 1000).toISOString().slice(0, 19);
}
