// What is drawn: a recording in the shown units, with the scales that its channels share.

import { air as airText, factorTo, numberText, type SampleUnit, sampleUnit, scaled } from "../parts/measures";
import type { AirUnit, GroundUnit } from "../state";
import { words } from "../words";
import { type ChannelName, largest, type Recording } from "./decode";

export interface Trace {
  name: ChannelName;
  unit: SampleUnit;
  at: Float64Array;
  values: Float64Array;
  rangeInS: number | null;
  /** Where the largest magnitude lies, and what it is in words: of the air, where levels are wanted, a level. */
  peak: { at: number; value: number; text: string } | null;
}

/** Return the channels of a recording in the shown units. */
export function tracesOf(recording: Recording, velocity: GroundUnit, air: AirUnit): Trace[] {
  return recording.channels.map((channel) => {
    const unit = sampleUnit(channel.unit, velocity, air);
    const values = scaled(channel.values, factorTo(channel.unit, unit));
    const at = recording.at.subarray(0, values.length);
    const index = channel.peakIndex;
    const isLevel = unit === "Pa" && air === "dB(L)";
    const textOf = (value: number) =>
      (channel.bound ?? "") +
      (isLevel ? airText(channel.values[index!]!, air) : valueText(Math.abs(value), unit, recording.rangeInS));
    const peak = index === null ? null : { at: at[index]!, value: values[index]!, text: textOf(values[index]!) };
    return { name: channel.name, unit, at, values, rangeInS: recording.rangeInS, peak };
  });
}

/** Return how far each trace's scale goes to either side: one for all geophones, one for the air. */
export function reaches(traces: Trace[], over: Trace[]): number[] {
  const reachOf = (isAir: boolean) => {
    let most = 0;
    for (const trace of [...traces, ...over]) {
      if ((trace.name === "MicL") !== isAir) continue;
      most = Math.max(most, Math.abs(trace.values[largest(trace.values) ?? -1] ?? 0));
    }
    // A margin for the peak's mark; a flat line still needs a scale.
    return most > 0 ? most * 1.15 : 1;
  };
  const [geophones, air] = [reachOf(false), reachOf(true)];
  return traces.map((trace) => (trace.name === "MicL" ? air : geophones));
}

/** Return the channels of another recording that can lie over these: the same channel in the same unit. */
export function overlaid(traces: Trace[], other: Trace[]): (Trace | null)[] {
  return traces.map(({ name, unit }) => other.find((trace) => trace.name === name && trace.unit === unit) ?? null);
}

/** Return the whole time that a recording and what lies over it take; null when there is no sample. */
export function wholeOf(traces: Trace[]): { min: number; max: number } | null {
  let min = Infinity;
  let max = -Infinity;
  for (const { at } of traces) {
    if (!at.length) continue;
    min = Math.min(min, at[0]!);
    max = Math.max(max, at[at.length - 1]!);
  }
  return max > min ? { min, max } : null;
}

export function valueText(value: number, unit: SampleUnit, rangeInS: number | null): string {
  return `${numberText(value, unit, rangeInS)} ${unit}`;
}

export function atText(at: number, atUnit: "s" | "samples"): string {
  return atUnit === "s" ? `${at.toFixed(4)} s` : words.waveform.sampleAt(Math.round(at));
}
