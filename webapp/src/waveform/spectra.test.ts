import { expect, test } from "vitest";
import { type Line, linesOf } from "./spectra";

const line = (at: number, bins = 251): Line => ({
  name: "Tran",
  unit: "in/s",
  values: Array.from({ length: bins }, (_, k) => (k === at ? 1 : 0)),
});

test("the axis goes as far as nearly all of every line does", () => {
  expect(linesOf([line(8)], 1).endHz).toBe(50);
  expect(linesOf([line(8), line(60)], 1).endHz).toBe(100);
  expect(linesOf([line(180)], 1).endHz).toBe(250);
});

test("frequencies are multiples of the resolution, and an offset is no motion", () => {
  const { hz, endHz } = linesOf([line(0, 11)], 0.8);
  expect(hz).toHaveLength(11);
  expect(hz[10]).toBeCloseTo(8);
  expect(endHz).toBe(50);
});
