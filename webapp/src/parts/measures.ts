// Numbers with their units of measure: the one place that converts and rounds them. The relay gives in/s and psi; what
// people read is chosen in the bar. A value has as many decimals as tell two neighbouring steps of the instrument apart.
import type { AirUnit, GroundUnit } from "../state";
import { words } from "../words";

export const MM_PER_INCH = 25.4;
export const PA_PER_PSI = 6894.757293168;
/** Reference of dB(L): 20 micropascal. */
const REFERENCE_PA = 20e-6;

/** Units of measure in which a sample can be drawn; a level in dB(L) is only given for a peak. */
export type SampleUnit = GroundUnit | "psi" | "Pa" | "counts";
/** Those in which the relay gives samples. */
export type GivenUnit = "in/s" | "psi" | "counts";

/** Return by what a value is multiplied on its way from the relay's unit of measure to the shown one. */
export function factorTo(from: GivenUnit, to: SampleUnit): number {
  if (from === "in/s" && to === "mm/s") return MM_PER_INCH;
  if (from === "psi" && to === "Pa") return PA_PER_PSI;
  return 1;
}

/** Return the unit of measure in which a channel's samples are drawn. */
export function sampleUnit(from: GivenUnit, velocity: GroundUnit, air: AirUnit): SampleUnit {
  if (from === "in/s") return velocity;
  if (from === "psi") return air === "psi" ? "psi" : "Pa";
  return "counts";
}

export function scaled(values: Float64Array, factor: number): Float64Array {
  return factor === 1 ? values : values.map((value) => value * factor);
}

/** The sensitive range ends at 1.25 in/s; the normal one at 10. */
const SENSITIVE_IN_S = 1.25;
/** Steps of the normal range are 0.005 in/s or 0.127 mm/s, of the sensitive one an eighth; of the air 0.25 Pa. */
const DECIMALS: Record<SampleUnit | "dB(L)", number> = {
  "in/s": 3,
  "mm/s": 1,
  psi: 5,
  Pa: 1,
  counts: 0,
  "dB(L)": 1,
};

/** Return a number as people read it; `rangeInS` is the range that its geophones were in, where that is known. */
export function numberText(value: number, unit: SampleUnit | "dB(L)", rangeInS: number | null = null): string {
  const isFine = (unit === "in/s" || unit === "mm/s") && rangeInS !== null && rangeInS <= SENSITIVE_IN_S;
  return value.toFixed(DECIMALS[unit] + (isFine ? 1 : 0)).replace(/^-(0\.?0*)$/, "$1");
}

/** Return a level in dB(L); null for no pressure at all, which has no level. */
export function decibelsOf(psi: number): number | null {
  const pa = Math.abs(psi) * PA_PER_PSI;
  return pa > 0 ? 20 * Math.log10(pa / REFERENCE_PA) : null;
}

const isNumber = (value: number | null | undefined): value is number =>
  value !== null && value !== undefined && Number.isFinite(value);

/** A number with that many decimals, or that it is not available. */
export function measured(value: number | null | undefined, unit: string, decimals: number): string {
  return isNumber(value) ? `${value.toFixed(decimals)} ${unit}`.trimEnd() : words.app.unknown;
}

/** A velocity in the chosen unit of measure, without its name; `null`: it is not known. */
export function velocityText(
  inS: number | null | undefined,
  unit: GroundUnit,
  rangeInS: number | null = null,
): string | null {
  return isNumber(inS) ? numberText(inS * factorTo("in/s", unit), unit, rangeInS) : null;
}

/** The same with the unit's name. */
export function ground(inS: number | null | undefined, unit: GroundUnit, rangeInS: number | null = null): string {
  const text = velocityText(inS, unit, rangeInS);
  return text === null ? words.app.unknown : `${text} ${unit}`;
}

/** An air pressure in the chosen unit of measure. No pressure has no level: then it is given in Pa. */
export function air(psi: number | null | undefined, unit: AirUnit): string {
  if (!isNumber(psi)) return words.app.unknown;
  if (unit === "psi") return `${numberText(psi, unit)} ${unit}`;
  const level = unit === "Pa" ? null : decibelsOf(psi);
  return level === null ? `${numberText(psi * PA_PER_PSI, "Pa")} Pa` : `${numberText(level, "dB(L)")} dB(L)`;
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
