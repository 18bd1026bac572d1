import { describe, expect, it } from "vitest";
import { kept, leastSpan, moved, moveOf, panned } from "./zoom";

const WHOLE = { min: -1, max: 9 };

describe("zoom", () => {
  it("narrows around the middle and comes back", () => {
    const near = moved({ min: 3, max: 5 }, "in", WHOLE, 0.01);
    expect((near.min + near.max) / 2).toBeCloseTo(4, 12);
    const back = moved(near, "out", WHOLE, 0.01);
    expect(back.min).toBeCloseTo(3, 12);
    expect(back.max).toBeCloseTo(5, 12);
  });

  it("never leaves the record", () => {
    expect(moved(WHOLE, "out", WHOLE, 0.01)).toEqual(WHOLE);
    expect(kept({ min: -5, max: -3 }, WHOLE, 0.01)).toEqual({ min: -1, max: 1 });
    expect(panned({ min: 7, max: 9 }, 0.5, WHOLE)).toEqual({ min: 7, max: 9 });
    expect(panned({ min: 0, max: 4 }, -0.5, WHOLE)).toEqual({ min: -1, max: 3 });
  });

  it("never shows fewer than eight samples", () => {
    const least = leastSpan(WHOLE, 1000);
    expect(least).toBeCloseTo(0.08, 12);
    const near = kept({ min: 2, max: 2 }, WHOLE, least);
    expect(near.max - near.min).toBeCloseTo(0.08, 12);
    expect(leastSpan(WHOLE, 4)).toBe(10);
  });

  it("goes to either end without changing its width", () => {
    expect(moved({ min: 3, max: 5 }, "start", WHOLE, 0.01)).toEqual({ min: -1, max: 1 });
    expect(moved({ min: 3, max: 5 }, "end", WHOLE, 0.01)).toEqual({ min: 7, max: 9 });
  });

  it("knows its keys and no other", () => {
    expect(["PageUp", "+", "-", "Escape"].map(moveOf)).toEqual(["left", "in", "out", "whole"]);
    expect(moveOf("Tab")).toBeNull();
  });
});
