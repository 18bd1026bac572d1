import { describe, expect, it } from "vitest";
import { air, decibelsOf, factorTo, numberText, sampleUnit, scaled, velocityText } from "./measures";

describe("units", () => {
  it("says a velocity in both units", () => {
    expect(velocityText(1, "mm/s")).toBe("25.4");
    expect(velocityText(0.615, "in/s")).toBe("0.615");
    expect(velocityText(null, "mm/s")).toBeNull();
  });

  it("says a pressure as a level re 20 micropascal", () => {
    expect(decibelsOf(20e-6 / 6894.757)).toBeCloseTo(0, 6);
    // The API's own example: 0.004 psi are 122.79 dB(L).
    expect(decibelsOf(0.004)).toBeCloseTo(122.79, 2);
    expect(decibelsOf(-0.004)).toBeCloseTo(122.79, 2);
    expect(decibelsOf(0)).toBeNull();
  });

  it("never draws samples in dB(L)", () => {
    expect(sampleUnit("psi", "in/s", "dB(L)")).toBe("Pa");
    expect(sampleUnit("psi", "in/s", "psi")).toBe("psi");
    expect(sampleUnit("in/s", "mm/s", "psi")).toBe("mm/s");
  });

  it("leaves counts as they are, whatever the reader chose", () => {
    expect(sampleUnit("counts", "mm/s", "Pa")).toBe("counts");
    expect(factorTo("counts", "counts")).toBe(1);
  });

  it("scales without touching what came", () => {
    const values = Float64Array.of(0, 1, -2);
    expect([...scaled(values, 25.4)]).toEqual([0, 25.4, -50.8]);
    expect([...values]).toEqual([0, 1, -2]);
  });

  it("says a peak of the air in the chosen unit, and no level of silence", () => {
    expect(air(0.004, "dB(L)")).toBe("122.8 dB(L)");
    expect(air(0.001, "Pa")).toBe("6.9 Pa");
    expect(air(0, "dB(L)")).toBe("0.0 Pa");
  });

  it("never says minus zero", () => {
    expect(numberText(-0.0001, "in/s")).toBe("0.000");
    expect(numberText(-0.4, "counts")).toBe("0");
    expect(numberText(-0.001, "in/s")).toBe("-0.001");
  });

  it("is never more precise than the instrument's step, which the range decides", () => {
    expect(velocityText(0.615, "in/s", 1.25)).toBe("0.6150");
    expect(velocityText(0.615, "mm/s", 1.25)).toBe("15.62");
    expect(velocityText(0.615, "mm/s", 10)).toBe("15.6");
    expect(numberText(0.003445, "psi", 1.25)).toBe("0.00345");
  });
});
