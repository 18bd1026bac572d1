// What all pages share. Each signal is one fact; who shows it is redrawn when it changes, and nothing else.
import { computed, effect, type Signal, signal } from "@preact/signals";
import type { Problem, Schemas } from "./api/client";
import type { Session } from "./api/session";
import { store, stored } from "./parts/remembered";

export type Role = "viewer" | "operator" | "admin";
export type GroundUnit = "in/s" | "mm/s";
export type AirUnit = "psi" | "Pa" | "dB(L)";

/** Whether every read goes to the unit. Never persisted: it must not stick silently across visits. */
export const force: Signal<boolean> = signal(false);

/** Who asks, as the relay sees it. `role` null: a token is needed. */
export const me: Signal<{ role: Role | null; csrf: string | null; name: string }> = signal({
  role: null,
  csrf: null,
  name: "",
});

/** Whether the relay was asked yet who asks. */
export const isMeKnown = signal(false);

/** Whether the dialog for a token is to be seen. */
export const wantsToken = signal(false);

/** Milliseconds of this browser's clock, once a second. Only differences of it mean anything. */
export const now: Signal<number> = signal(Date.now());

/** Return the chosen units of measure as the relay calls them. */
export const measures = (): "imperial" | "metric" => (unitsOf.value === "mm/s" ? "metric" : "imperial");

export const unitsOf: Signal<GroundUnit> = signal(stored("ground-unit", ["in/s", "mm/s"] as const) ?? "in/s");
export const airUnits: Signal<AirUnit> = signal(stored("air-unit", ["psi", "Pa", "dB(L)"] as const) ?? "dB(L)");

/** Keys of units that report that they are simulations. */
export const simulated: Signal<ReadonlySet<string>> = signal(new Set<string>());

/** Units that were not reached when they were last asked, by unit key, and why. */
export const lostUnits: Signal<ReadonlyMap<string, Problem>> = signal(new Map<string, Problem>());

/** Names of the locations where units are, by serial number. */
export const names: Signal<ReadonlyMap<string, string>> = signal(new Map<string, string>());

export function noteNames(units: readonly Pick<Schemas["UnitOut"], "serial" | "name">[]): void {
  names.value = new Map(units.flatMap(({ serial, name }) => (serial && name ? [[serial, name]] : [])));
}

/** The address over which each unit answered last, by unit key. */
export const addresses: Signal<ReadonlyMap<string, string>> = signal(new Map<string, string>());

const RANK: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 };

/** Whether who asks has that role, or one above it. */
export function atLeast(role: Role): boolean {
  const mine = me.value.role;
  return mine !== null && RANK[mine] >= RANK[role];
}

export const mayForce = computed(() => atLeast("operator"));

/** Note who asks, as the relay says it. */
export function noteSession({ role, csrf, name }: Session): void {
  me.value = { role, csrf, name };
  isMeKnown.value = true;
  wantsToken.value = role === null;
}

/** Note what an answer says of the unit itself. */
export function noteUnit(key: string, provenance: Schemas["ProvenanceOut"]): void {
  if (provenance.simulated === true && !simulated.value.has(key)) simulated.value = new Set([...simulated.value, key]);
  if (provenance.simulated === false && simulated.value.has(key)) {
    simulated.value = new Set([...simulated.value].filter((other) => other !== key));
  }
  const at = provenance.conn_key;
  if (!at.startsWith("unit:") && addresses.value.get(key) !== at)
    addresses.value = new Map([...addresses.value, [key, at]]);
}

/** Note that a unit was reached, or why it was not. */
export function noteReached(key: string, lost: Problem | null): void {
  if ((lostUnits.value.get(key) ?? null) === lost) return;
  const others = [...lostUnits.value].filter(([other]) => other !== key);
  lostUnits.value = new Map(lost ? [...others, [key, lost]] : others);
}

/** Note a failure that concerns the whole app: who asks must sign in. */
export function noteProblem(problem: Problem): void {
  if (problem.kind === "token-required") wantsToken.value = true;
}

/** Begin what runs for as long as the page is open. */
export function start(): void {
  setInterval(() => (now.value = Date.now()), 1000);
  effect(() => store("ground-unit", unitsOf.value));
  effect(() => store("air-unit", airUnits.value));
  // Who lost the right to force must not be left with a switch that says otherwise.
  effect(() => {
    if (!mayForce.value) force.value = false;
  });
}
