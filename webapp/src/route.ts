// Which page the address names. All of it stands behind #, so the relay serves one page.
import { signal } from "@preact/signals";
import { keyOf, unitOf } from "./api/device";
import type { Unit } from "./api/client";

export type Route =
  | { page: "connect" | "archive" | "cache" | "nowhere" }
  | { page: "unit" | "events" | "commands"; unit: Unit }
  | { page: "waveform"; unit: Unit; index: number }
  | { page: "recording"; id: string };

/** The page that a fragment names. A unit's key may stand there as it is, or percent-encoded. */
export function routeOf(hash: string): Route {
  const path = hash.replace(/^#?\/?/, "").replace(/\/$/, "").split("?")[0] ?? "";
  if (path === "") return { page: "connect" };
  if (path === "archive" || path === "cache") return { page: path };
  const recording = /^archive\/([0-9a-f]{8,64})$/i.exec(path);
  if (recording) return { page: "recording", id: recording[1]!.toLowerCase() };
  const found = /^unit\/(.+?)(?:\/(events|commands|event\/(\d+)))?$/.exec(path);
  const unit = found ? unitOf(decoded(found[1] ?? "")) : null;
  if (!found || !unit) return { page: "nowhere" };
  if (found[3] !== undefined) return { page: "waveform", unit, index: Number(found[3]) };
  if (found[2] === "events" || found[2] === "commands") return { page: found[2], unit };
  return { page: "unit", unit };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The fragment of a unit's page: `linkTo(unit)`, `linkTo(unit, "events")`, `linkTo(unit, "event/3")`. */
export function linkTo(unit: Unit, rest = ""): string {
  const key = encodeURIComponent(keyOf(unit)).replaceAll("%3A", ":");
  return `#/unit/${key}${rest ? `/${rest}` : ""}`;
}

export const route = signal<Route>(routeOf(location.hash));

export function followAddress(): void {
  addEventListener("hashchange", () => (route.value = routeOf(location.hash)));
}
