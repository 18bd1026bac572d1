// Which page the address names, and how it is looked at. All of it stands behind #, so the relay serves one page.
import { signal } from "@preact/signals";
import type { Unit } from "./api/client";
import { keyOf, readsAsSerial, unitFrom } from "./api/device";
import { forSession, ofSession } from "./parts/remembered";

export type Route =
  | { page: "connect" | "archive" | "settings" | "cache" | "tokens" | "audit" | "nowhere" }
  | { page: "unit" | "events" | "commands"; unit: Unit }
  /** A page of a unit that is not named by its serial number. */
  | { page: "resolve"; unit: Unit; rest: string }
  | { page: "waveform"; unit: Unit; index: number }
  | { page: "recording"; id: string };

const OWN = ["archive", "settings", "settings/cache", "settings/tokens", "settings/audit"] as const;

/** The path of a fragment: what names the page, without how it is looked at. */
export const pathOf = (hash: string): string =>
  hash
    .replace(/^#?\/?/, "")
    .split("?")[0]!
    .replace(/\/$/, "");

/** Serial numbers that do not read as one, once a unit with it is known. */
const knownSerials = new Set<string>();

/** Whether a unit is named by its serial number, and its pages have their own addresses. */
const isBySerial = ({ unit }: Unit): boolean => unit !== undefined && (readsAsSerial(unit) || knownSerials.has(unit));

/** The page that a fragment names. A unit may stand there in any spelling, percent-encoded or not. */
export function routeOf(hash: string): Route {
  const path = pathOf(hash);
  if (path === "") return { page: "connect" };
  const own = OWN.find((one) => one === path);
  if (own) return { page: own.replace("settings/", "") as "archive" };
  const recording = /^archive\/([0-9a-f]{8,64})$/i.exec(path);
  if (recording) return { page: "recording", id: recording[1]!.toLowerCase() };
  const found = /^unit\/(.+?)(?:\/(events|commands|event\/(\d+)))?$/.exec(path);
  const unit = found ? unitFrom(decoded(found[1] ?? "")) : null;
  if (!found || !unit) return { page: "nowhere" };
  if (!isBySerial(unit)) return { page: "resolve", unit, rest: found[2] ?? "" };
  if (found[3] !== undefined) return { page: "waveform", unit, index: Number(found[3]) };
  if (found[2] === "events" || found[2] === "commands") return { page: found[2], unit };
  return { page: "unit", unit };
}

/** What follows the unit in the fragment of its page: `events`, `event/3`. */
export const restOf = (hash: string): string => pathOf(hash).split("/").slice(2).join("/");

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The fragment of a unit's page: `linkTo(unit)`, `linkTo(unit, "events")`, `linkTo(unit, "event/3")`. */
export function linkTo(unit: Unit, rest = ""): string {
  const key = encodeURIComponent(unit.unit ?? keyOf(unit)).replaceAll("%3A", ":");
  return `#/unit/${key}${rest ? `/${rest}` : ""}`;
}

/** The fragment as it is now, `#` and all. */
export const fragment = signal(globalThis.location?.hash ?? "");
export const route = signal<Route>(routeOf(fragment.value));
/** Whether another page was opened since this one was loaded: then the focus goes with it. */
export const hasMoved = signal(false);

export function followAddress(): void {
  addEventListener("hashchange", () => {
    hasMoved.value = true;
    take();
  });
}

function take(): void {
  const before = pathOf(fragment.value);
  fragment.value = location.hash;
  if (pathOf(location.hash) !== before || route.value.page === "resolve") route.value = routeOf(location.hash);
  forSession(pathOf(location.hash), location.hash);
}

/** In the address of a recording: who opens it wants to review it. */
export const REVIEW = "review";

/** How the page is looked at, as its address says. */
export const viewOf = (hash: string): URLSearchParams => new URLSearchParams(hash.split("?")[1] ?? "");

/** Change how the page is looked at, in its address; an empty text takes a parameter out. */
export function look(change: Record<string, string>): void {
  const view = viewOf(location.hash);
  for (const [name, value] of Object.entries(change)) {
    if (value === "") view.delete(name);
    else view.set(name, value);
  }
  const path = `#/${pathOf(location.hash)}`;
  history.replaceState(history.state, "", view.size ? `${path}?${view}` : path);
  take();
}

/** Give a page of a unit its own address, by serial number; the one it was opened by leaves the history. */
export function renameUnit(serial: string, rest: string): void {
  knownSerials.add(serial);
  // The browser may be elsewhere already, its event still to come: nobody is taken back.
  if (pathOf(location.hash) !== pathOf(fragment.value)) return;
  const query = location.hash.split("?")[1];
  const link = linkTo({ unit: serial }, rest);
  history.replaceState(history.state, "", query ? `${link}?${query}` : link);
  take();
}

/** The fragment of a page as it was last looked at in this tab. */
export function asLeft(link: string): string {
  return ofSession(pathOf(link)) ?? link;
}
