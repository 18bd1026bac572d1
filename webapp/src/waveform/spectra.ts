// What is drawn of spectra: up to which frequency, so that nearly all of the motion is in sight.
import type { SampleUnit } from "../parts/measures";
import type { ChannelName } from "./decode";

export interface Line {
  name: ChannelName;
  unit: SampleUnit;
  /** By frequency from 0 Hz, the first of them being the offset. */
  values: number[];
}

export interface Lines {
  hz: number[];
  endHz: number;
}

/** Ends of the axis, Hz; the last one is the end of the instrument's band. */
const ENDS_HZ = [50, 100, 250] as const;
/** As much of the energy of each line must be in sight. */
const MOST = 0.99;

/** Return the frequencies of the lines' values, and up to which they are drawn. */
export function linesOf(lines: readonly Line[], resolutionHz: number): Lines {
  const count = Math.max(...lines.map(({ values }) => values.length));
  const end = ENDS_HZ.find((hz) => lines.every(({ values }) => shareBelow(values, hz / resolutionHz) >= MOST));
  return { hz: Array.from({ length: count }, (_, k) => k * resolutionHz), endHz: end ?? ENDS_HZ[2] };
}

/** Return how much of the energy of a spectrum is below a place in it; the offset is no motion. */
function shareBelow(values: readonly number[], place: number): number {
  let [below, all] = [0, 0];
  for (let k = 1; k < values.length; k++) {
    const energy = values[k]! ** 2;
    all += energy;
    if (k <= place) below += energy;
  }
  return all > 0 ? below / all : 1;
}
