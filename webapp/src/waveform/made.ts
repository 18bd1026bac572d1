// Waveforms for tests: made here from a formula, read from nowhere.
import type { WaveformForm } from "./decode";

const PEAKS = {
  tran_in_s: 0.5,
  vert_in_s: 0.4,
  long_in_s: 0.3,
  mic_psi: 0.002,
  vector_sum_in_s: 0.6,
  mic_db: 116.8,
  bound: {},
};

interface Wish {
  samples?: number;
  rateHz?: number | null;
  pretrigger?: number;
  validSamples?: number[];
  unit?: "in/s" | "counts";
  bound?: ">" | null;
}

/** Return a waveform whose channel `c` holds `(c + 1) * sin(i / 10)`, rounded as the server does. */
export function madeWaveform({
  samples = 100,
  rateHz = 1024,
  pretrigger = 25,
  validSamples,
  unit = "in/s",
  bound = null,
}: Wish = {}): WaveformForm {
  const lengths = validSamples ?? [samples, samples, samples, samples];
  const channels: WaveformForm["channels"] = {};
  ["Tran", "Vert", "Long", "MicL"].forEach((name, c) => {
    const values = Array.from({ length: lengths[c]! }, (_, i) => Number(((c + 1) * Math.sin(i / 10)).toFixed(6)));
    const isCounts = unit === "counts" && name !== "MicL";
    const peak = values.length && !isCounts ? Math.max(...values.map(Math.abs)) : null;
    const at = peak === null ? null : values.findIndex((value) => Math.abs(value) === peak);
    channels[name] = {
      unit: name === "MicL" ? "psi" : unit,
      values,
      peak,
      bound: name === "MicL" ? null : bound,
      flags: name !== "MicL" && bound ? ["over_range"] : [],
      peak_time_s: at === null || rateHz === null ? null : (at - pretrigger) / rateHz,
    };
  });
  return {
    index: 0,
    waveform_key: "01110000",
    timestamp: "2026-04-01T00:28:12",
    peaks: PEAKS,
    project: "North face",
    samples,
    announced_samples: samples,
    sample_rates_possible: rateHz === null ? [] : [1024],
    geo_ranges_possible: unit === "counts" ? [] : [10],
    setup: null,
    reasons: [],
    valid_samples: lengths,
    sample_rate_hz: rateHz,
    sample_rate_source: rateHz === null ? null : "event",
    pretrigger_samples: pretrigger,
    geo_range_in_s: unit === "counts" ? null : 10,
    geo_range_source: unit === "counts" ? null : "event",
    mode: "continuous",
    time: {
      unit: "s",
      zero: "trigger",
      start: rateHz === null ? null : -pretrigger / rateHz,
      step: rateHz === null ? null : 1 / rateHz,
      flags: [],
    },
    channels,
  };
}
