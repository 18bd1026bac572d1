import { describe, expect, it } from "vitest";
import { drawColumns, firstAt, type Window } from "./columns";

const positions = (count: number) => Float64Array.from({ length: count }, (_, i) => i);

function corners(at: Float64Array, values: Float64Array, window: Window): [number, number][] {
  const found: [number, number][] = [];
  drawColumns(at, values, window, (x, value) => found.push([x, value]));
  return found;
}

/** Noise that is the same each time. */
function noise(count: number): Float64Array {
  let state = 1;
  return Float64Array.from({ length: count }, () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647 - 0.5;
  });
}

describe("columns of pixels", () => {
  it.each([
    ["the longest record", 53_248, 0, 53_247],
    ["a part of it", 53_248, 1234.5, 40_000.25],
    ["a part that ends between samples", 53_248, 52_000, 53_246.5],
  ])("draw least and greatest of each column, at most two corners each: %s", (_, count, min, max) => {
    const at = positions(count);
    const values = noise(count);
    const width = max - min > 10_000 ? 900 : 200;
    const drawn = corners(at, values, { min, max, left: 58, width });
    const least = new Array<number>(width).fill(Infinity);
    const greatest = new Array<number>(width).fill(-Infinity);
    values.forEach((value, i) => {
      if (at[i]! < min || at[i]! > max) return;
      const column = Math.min(width - 1, Math.floor(((at[i]! - min) * width) / (max - min)));
      least[column] = Math.min(least[column]!, value);
      greatest[column] = Math.max(greatest[column]!, value);
    });
    for (let column = 0; column < width; column++) {
      const shown = drawn.filter(([x]) => x === 58 + column).map(([, value]) => value);
      expect(shown.length).toBeLessThanOrEqual(2);
      expect([Math.min(...shown), Math.max(...shown)]).toEqual([least[column], greatest[column]]);
    }
    expect(drawn.length).toBeLessThanOrEqual(2 * width + 2);
  });

  it.each([0, 777, 53_247])("keep a single spike of a whole record, at its sample %i", (index) => {
    for (const spike of [-5, 5]) {
      const values = new Float64Array(53_248);
      values[index] = spike;
      const drawn = corners(positions(53_248), values, { min: 0, max: 53_247, left: 0, width: 800 });
      expect(drawn.filter(([, value]) => value === spike)).toHaveLength(1);
    }
  });

  it("draw a column's extremes in the order in which they came", () => {
    const values = Float64Array.from({ length: 20 }, (_, i) => (i < 10 ? [0, 3, -2][i % 3]! : [0, -2, 3][i % 3]!));
    expect(corners(positions(20), values, { min: 0, max: 20, left: 0, width: 2 })).toEqual([
      [0, 3],
      [0, -2],
      [1, -2],
      [1, 3],
    ]);
  });

  it("draw each sample where there are few, and the line beyond both edges", () => {
    const drawn = corners(positions(10), positions(10), { min: 2.5, max: 5, left: 10, width: 100 });
    expect(drawn).toEqual([
      [-10, 2],
      [30, 3],
      [70, 4],
      [110, 5],
      [150, 6],
    ]);
  });

  it("draw nothing where no sample lies", () => {
    expect(corners(positions(0), positions(0), { min: 0, max: 1, left: 0, width: 10 })).toEqual([]);
    expect(corners(positions(3), positions(3), { min: 0, max: 100, left: 0, width: 10 })).toHaveLength(3);
  });

  it("begin at the first sample that is not before", () => {
    const at = positions(1000);
    expect([firstAt(at, -1), firstAt(at, 5), firstAt(at, 5.5), firstAt(at, 2000)]).toEqual([0, 5, 6, 1000]);
  });
});
