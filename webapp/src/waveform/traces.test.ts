import { describe, expect, it } from "vitest";
import { decoded } from "./decode";
import { madeWaveform } from "./made";
import { overlaid, reaches, tracesOf, wholeOf } from "./traces";

const of = (wish: Parameters<typeof madeWaveform>[0], air: "psi" | "Pa" | "dB(L)" = "psi") =>
  tracesOf(decoded(madeWaveform(wish)), "mm/s", air);

describe("what is drawn", () => {
  it("has one scale for all geophones and another for the air", () => {
    const [tran, vert, long, mic] = reaches(of({}), []);
    expect([vert, long]).toEqual([tran, tran]);
    // Long is the largest geophone: 3 in/s, and the margin of the mark.
    expect(tran! / 25.4).toBeGreaterThan(3);
    expect(tran! / 25.4).toBeLessThan(3.6);
    expect(mic).toBeGreaterThan(4);
    expect(mic).toBeLessThan(5);
  });

  it("makes room for what lies over it, and for a flat line", () => {
    const small = of({ samples: 2 });
    expect(reaches(small, of({}))[0]).toBe(reaches(of({}), [])[0]);
    expect(reaches(of({ samples: 1 }), [])).toEqual([1, 1, 1, 1]);
  });

  it("says the peak of the air as a level where levels are wanted, and draws pascals", () => {
    const mic = of({}, "dB(L)")[3]!;
    expect(mic.unit).toBe("Pa");
    expect(mic.peak!.text).toMatch(/^18\d\.\d dB\(L\)$/);
    expect(of({}, "psi")[3]!.peak!.text).toMatch(/^3\.99\d+ psi$/);
  });

  it("lays over only what is in the same unit", () => {
    expect(overlaid(of({}), of({ unit: "counts" })).map((trace) => trace?.name ?? null)).toEqual([
      null,
      null,
      null,
      "MicL",
    ]);
  });

  it("spans the longest of several records", () => {
    expect(
      wholeOf([
        ...of({ rateHz: 100, pretrigger: 10, samples: 50 }),
        ...of({ rateHz: 100, pretrigger: 20, samples: 30 }),
      ]),
    ).toEqual({ min: -0.2, max: 0.39 });
    expect(wholeOf(of({ validSamples: [0, 0, 0, 0] }))).toBeNull();
  });

  it("puts each peak on its own sample", () => {
    for (const { peak, at, values } of of({})) expect(values[at.indexOf(peak!.at)]).toBe(peak!.value);
  });

  it("says of a peak at the end of the range that it was at least that", () => {
    expect(of({ bound: ">" })[0]!.peak!.text).toMatch(/^>\d/);
    expect(of({})[0]!.peak!.text).toMatch(/^\d/);
  });
});
