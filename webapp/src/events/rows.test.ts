import { describe, expect, it } from "vitest";
import { rowAfter, rowsInSight, scrollFor } from "./rows";

describe("rows in sight", () => {
  it("are few, however many there are", () => {
    const rows = rowsInSight(60_000, 600, 30, 5000);
    expect(rows.end - rows.first).toBeLessThan(50);
    expect(rows.first).toBeLessThanOrEqual(2000);
    expect(rows.end).toBeGreaterThanOrEqual(2020);
  });

  it("and the rest are as high as the whole table, wherever one is", () => {
    for (const top of [0, 17, 60_000, 149_400, 1e9, -5]) {
      const { first, end, beforePx, afterPx } = rowsInSight(top, 600, 30, 5000);
      expect(beforePx + (end - first) * 30 + afterPx).toBe(150_000);
      expect(first).toBeGreaterThanOrEqual(0);
      expect(end).toBeLessThanOrEqual(5000);
    }
  });

  it("are the last ones when the table became shorter than where one was", () => {
    expect(rowsInSight(140_000, 600, 30, 10)).toEqual({ first: 0, end: 10, beforePx: 0, afterPx: 0 });
    expect(rowsInSight(0, 600, 30, 0)).toEqual({ first: 0, end: 0, beforePx: 0, afterPx: 0 });
  });
});

describe("a chosen row", () => {
  it("is brought into sight by the shortest way, below the head", () => {
    expect(scrollFor(5, 0, 600, 30, 30)).toBe(0);
    expect(scrollFor(19, 0, 600, 30, 30)).toBe(30);
    expect(scrollFor(3, 300, 600, 30, 30)).toBe(90);
  });

  it("follows the keys and stops at the ends", () => {
    expect(rowAfter("ArrowDown", 4, 10, 20)).toBe(5);
    expect(rowAfter("ArrowUp", 0, 10, 20)).toBe(0);
    expect(rowAfter("ArrowDown", 9, 10, 20)).toBe(9);
    expect(rowAfter("PageDown", 4, 100, 20)).toBe(24);
    expect([rowAfter("Home", 4, 10, 20), rowAfter("End", 4, 10, 20)]).toEqual([0, 9]);
    expect([rowAfter("a", 4, 10, 20), rowAfter("End", 0, 0, 20)]).toEqual([null, null]);
  });
});
