import { expect, it } from "vitest";
import { givenOf, shownOf } from "./MeasureInput";

it("takes a level in the unit in which it is typed", () => {
  expect(givenOf("5", "in/s")).toBe("5");
  expect(givenOf("5", "mm/s")).toBe("0.196850394");
  expect(Number(givenOf("120", "dB(L)"))).toBeCloseTo(0.0029008, 6);
  expect(Number(givenOf("20", "Pa"))).toBeCloseTo(0.0029008, 6);
});

it("shows the same level in each unit, and what is no number as it was typed", () => {
  for (const unit of ["in/s", "mm/s", "psi", "Pa", "dB(L)"]) {
    expect(shownOf(givenOf("7.5", unit), unit)).toBe("7.5");
    for (const text of ["", "-", "x"]) expect(shownOf(givenOf(text, unit), unit)).toBe(text);
  }
  expect(shownOf("0.5", "mm/s")).toBe("12.7");
});
