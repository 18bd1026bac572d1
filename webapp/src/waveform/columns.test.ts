import { describe, expect, it } from "vitest";
import { columnsOf, firstAt } from "./columns";

describe("columns of pixels", () => {
  const at = Float64Array.from({ length: 1000 }, (_, i) => i);

  it("keep a single spike of a thousand samples", () => {
    const values = new Float64Array(1000);
    values[777] = -5;
    const { least, greatest } = columnsOf(at, values, 0, 1000, 10);
    expect(least[7]).toBe(-5);
    expect(greatest[7]).toBe(0);
    expect([...least].filter((value) => value < 0)).toHaveLength(1);
  });

  it("say where no sample lies", () => {
    const { least } = columnsOf(at, new Float64Array(100), 0, 200, 4);
    expect([...least].map(Number.isNaN)).toEqual([false, false, true, true]);
  });

  it("begin at the first sample that is not before", () => {
    expect([firstAt(at, -1), firstAt(at, 5), firstAt(at, 5.5), firstAt(at, 2000)]).toEqual([0, 5, 6, 1000]);
  });
});
