// A waveform as it is drawn. We read JSON and not the bare counts: samples, stamp, peaks, source of rate and range, and
// provenance come in one answer, so that they cannot be of two events when the memory is erased between two requests;
// and counts are turned into physical units once, on the server. Compressed it is no larger: the longest record a unit
// makes, 13 s at 4,096/s, takes 90 to 167 kB as JSON with gzip, and 434 kB as bare counts.
import type { Schemas } from "../api/client";

export type WaveformForm = Omit<Schemas["WaveformOut"], "provenance">;

export const NAMES = ["Tran", "Vert", "Long", "MicL"] as const;
export type ChannelName = (typeof NAMES)[number];

export interface Channel {
  name: ChannelName;
  unit: "in/s" | "psi" | "counts";
  values: Float64Array;
  /** Largest magnitude as the server returned it; null while the range is unknown. */
  peak: number | null;
  /** ">" where the channel reached the end of its range: the motion was at least its peak. */
  bound: ">" | null;
  flags: string[];
  peakTimeS: number | null;
  /** Which sample that is; null when there is no peak. */
  peakIndex: number | null;
}

export interface Recording {
  key: string;
  /** By the unit's own clock, as it was reported. */
  timestamp: string | null;
  channels: Channel[];
  /** Position of each sample from the trigger: seconds, or sample numbers while the rate is unknown. */
  at: Float64Array;
  atUnit: "s" | "samples";
  /** The range that the geophones were in; null: it is not known. */
  rangeInS: number | null;
  samples: number;
  validSamples: number[];
}

/** Return a waveform of the API as arrays. */
export function decoded(form: WaveformForm): Recording {
  const channels = NAMES.flatMap((name) => {
    const channel = form.channels[name];
    return channel ? [channelOf(name, channel)] : [];
  });
  const longest = channels.reduce((most, channel) => Math.max(most, channel.values.length), 0);
  const { start, step } = form.time;
  const isTimed = start !== null && step !== null;
  return {
    key: form.waveform_key,
    timestamp: form.timestamp,
    channels,
    at: isTimed ? positions(longest, start, step) : positions(longest, -form.pretrigger_samples, 1),
    atUnit: isTimed ? "s" : "samples",
    rangeInS: form.geo_range_in_s,
    samples: form.samples,
    validSamples: form.valid_samples,
  };
}

function positions(count: number, start: number, step: number): Float64Array {
  const at = new Float64Array(count);
  // Not by adding up: an error of the step would grow with the record.
  for (let i = 0; i < count; i++) at[i] = start + i * step;
  return at;
}

function channelOf(name: ChannelName, form: Schemas["ChannelOut"]): Channel {
  const values = Float64Array.from(form.values);
  // A microphone of which every sample is 0 heard nothing, as one that is not connected: as on paper it has no peak.
  const hasPeak = form.peak !== null && (name !== "MicL" || form.peak > 0);
  return {
    name,
    unit: form.unit,
    values,
    peak: hasPeak ? form.peak : null,
    bound: form.bound,
    flags: form.flags,
    peakTimeS: hasPeak ? form.peak_time_s : null,
    peakIndex: hasPeak ? largest(values) : null,
  };
}

/** Return where the largest magnitude is first met; null of an empty channel. */
export function largest(values: Float64Array): number | null {
  let found: number | null = null;
  let most = -1;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > most) {
      most = magnitude;
      found = i;
    }
  }
  return found;
}

/** Return how many samples are not valid, over all channels; 0 for a complete record. */
export function missing(recording: Recording): number {
  return recording.validSamples.reduce((sum, valid) => sum + (recording.samples - valid), 0);
}
