import { describe, expect, it } from "vitest";
import { decoded, largest, missing } from "./decode";
import { madeWaveform } from "./made";

describe("a decoded waveform", () => {
  it("puts the trigger at zero", () => {
    const recording = decoded(madeWaveform({ samples: 100, rateHz: 1024, pretrigger: 25 }));
    expect(recording.at[25]).toBe(0);
    expect(recording.at[0]).toBe(-25 / 1024);
    expect(recording.at[99]).toBeCloseTo(74 / 1024, 12);
    expect(recording.atUnit).toBe("s");
  });

  it("has the four channels in the unit's order, in arrays", () => {
    const recording = decoded(madeWaveform());
    expect(recording.channels.map((channel) => channel.name)).toEqual(["Tran", "Vert", "Long", "MicL"]);
    expect(recording.channels[1]!.values).toBeInstanceOf(Float64Array);
    expect(recording.channels[1]!.values[10]).toBeCloseTo(2 * Math.sin(1), 6);
  });

  it("finds the sample of each peak at the time that the server returned", () => {
    for (const { peakIndex, peakTimeS, peak, values } of decoded(madeWaveform()).channels) {
      expect(Math.abs(values[peakIndex!]!)).toBe(peak);
      expect((peakIndex! - 25) / 1024).toBeCloseTo(peakTimeS!, 9);
    }
  });

  it("counts samples from the trigger while the rate is unknown", () => {
    const recording = decoded(madeWaveform({ rateHz: null, pretrigger: 25 }));
    expect(recording.atUnit).toBe("samples");
    expect([recording.at[0], recording.at[25], recording.at[99]]).toEqual([-25, 0, 74]);
  });

  it("has no peak while the range is unknown", () => {
    const [tran, , , mic] = decoded(madeWaveform({ unit: "counts" })).channels;
    expect([tran!.unit, tran!.peak, tran!.peakIndex]).toEqual(["counts", null, null]);
    expect(mic!.peak).not.toBeNull();
  });

  it("keeps only valid samples, and counts the missing ones", () => {
    const recording = decoded(madeWaveform({ samples: 100, validSamples: [100, 90, 0, 100] }));
    expect(recording.channels.map((channel) => channel.values.length)).toEqual([100, 90, 0, 100]);
    expect(recording.channels[2]!.peakIndex).toBeNull();
    expect(missing(recording)).toBe(110);
    expect(missing(decoded(madeWaveform()))).toBe(0);
  });

  it("takes the first of equal magnitudes, whatever their sign", () => {
    expect(largest(Float64Array.of(0, -3, 3, 1))).toBe(1);
    expect(largest(new Float64Array(0))).toBeNull();
  });
});
