// Units of measure of samples: what the server returns in in/s and psi, in the units that the reader chose.
import { MM_PER_INCH, PA_PER_PSI, decibelsOf } from "../parts/measures";

export type Velocity = "in/s" | "mm/s";
export type Air = "psi" | "Pa" | "dB(L)";
/** Units in which a sample can be drawn; a level in dB(L) is only given for a peak. */
export type SampleUnit = "in/s" | "mm/s" | "psi" | "Pa" | "counts";

/** Return by what a value is multiplied on its way from the server's unit to the shown one. */
export function factorTo(from: "in/s" | "psi" | "counts", to: SampleUnit): number {
  if (from === "in/s" && to === "mm/s") return MM_PER_INCH;
  if (from === "psi" && to === "Pa") return PA_PER_PSI;
  return 1;
}

/** Return the unit in which a channel's samples are drawn. */
export function sampleUnit(from: "in/s" | "psi" | "counts", velocity: Velocity, air: Air): SampleUnit {
  if (from === "in/s") return velocity;
  if (from === "psi") return air === "psi" ? "psi" : "Pa";
  return "counts";
}

export function scaled(values: Float64Array, factor: number): Float64Array {
  return factor === 1 ? values : values.map((value) => value * factor);
}

// One count of the normal range is 0.005 in/s here, of the sensitive one 0.0003: four digits hold both.
const DIGITS: Record<SampleUnit | "dB(L)", number> = {
  "in/s": 4,
  "mm/s": 3,
  psi: 6,
  Pa: 2,
  counts: 0,
  "dB(L)": 1,
};

/** Return a number in a unit, as people read it. */
export function numberText(value: number, unit: SampleUnit | "dB(L)"): string {
  return value.toFixed(DIGITS[unit]).replace(/^-(0\.?0*)$/, "$1");
}

/** Return a velocity or `null` in the shown unit, without the unit's name. */
export function velocityText(inS: number | null, unit: Velocity): string | null {
  return inS === null ? null : numberText(inS * factorTo("in/s", unit), unit);
}

/** Return a peak of the air channel with its unit. */
export function airPeakText(psi: number, air: Air): string {
  if (air !== "dB(L)") return `${numberText(psi * factorTo("psi", air), air)} ${air}`;
  const level = decibelsOf(psi);
  return level === null ? `${numberText(0, "Pa")} Pa` : `${numberText(level, "dB(L)")} dB(L)`;
}
