// Numbers with their units of measure. The relay gives in/s and psi; what people read is chosen in the bar.
import type { AirUnit, GroundUnit } from "../state";
import { words } from "../words";

export const MM_PER_INCH = 25.4;
export const PA_PER_PSI = 6894.757293168;
/** Reference of dB(L): 20 micropascal. */
const REFERENCE_PA = 20e-6;

/** Return a level in dB(L); null for no pressure at all, which has no level. */
export function decibelsOf(psi: number): number | null {
  const pa = Math.abs(psi) * PA_PER_PSI;
  return pa > 0 ? 20 * Math.log10(pa / REFERENCE_PA) : null;
}

/** A number with that many decimals, or "unknown". */
export function measured(value: number | null | undefined, unit: string, decimals: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return words.app.unknown;
  return `${value.toFixed(decimals)} ${unit}`.trimEnd();
}

/** A velocity in the unit that was chosen. */
export function ground(inS: number | null | undefined, unit: GroundUnit): string {
  if (unit === "in/s") return measured(inS, unit, 3);
  return measured(inS === null || inS === undefined ? null : inS * MM_PER_INCH, unit, 2);
}

/** An air pressure in the unit that was chosen. Of no pressure there is no level in dB(L). */
export function air(psi: number | null | undefined, unit: AirUnit): string {
  if (psi === null || psi === undefined) return words.app.unknown;
  if (unit === "psi") return measured(psi, unit, 5);
  return unit === "Pa" ? measured(psi * PA_PER_PSI, unit, 2) : measured(decibelsOf(psi), unit, 1);
}

/** A number of bytes, in kB or MB of 1000. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return words.app.unknown;
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? measured(count / 1e3, "kB", 1) : measured(count / 1e6, "MB", 2);
}

/** A length of time for people, its two largest parts at most. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}
