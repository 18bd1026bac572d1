// What all pages share. Each signal is one fact; who shows it is redrawn when it changes, and nothing else.
import { computed, effect, signal, type Signal } from "@preact/signals";
import type { Schemas } from "./api/client";
import { stored, store } from "./parts/remembered";

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

export const unitsOf: Signal<GroundUnit> = signal(stored("ground-unit", ["in/s", "mm/s"] as const) ?? "in/s");
export const airUnits: Signal<AirUnit> = signal(stored("air-unit", ["psi", "Pa", "dB(L)"] as const) ?? "dB(L)");

/** Keys of units that report that they are simulations. */
export const simulated: Signal<ReadonlySet<string>> = signal(new Set<string>());

/** Serial numbers by unit key, as last reported by the units. */
export const serials: Signal<ReadonlyMap<string, string>> = signal(new Map<string, string>());

const RANK: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 };

/** Whether who asks has that role, or one above it. */
export function atLeast(role: Role): boolean {
  const mine = me.value.role;
  return mine !== null && RANK[mine] >= RANK[role];
}

export const mayForce = computed(() => atLeast("operator"));

/** Note what an answer says of the unit itself. */
export function noteUnit(key: string, provenance: Schemas["ProvenanceOut"]): void {
  if (provenance.simulated === true && !simulated.value.has(key)) simulated.value = new Set([...simulated.value, key]);
  if (provenance.simulated === false && simulated.value.has(key)) {
    simulated.value = new Set([...simulated.value].filter((other) => other !== key));
  }
  if (provenance.serial && serials.value.get(key) !== provenance.serial) {
    serials.value = new Map([...serials.value, [key, provenance.serial]]);
  }
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
