// A line of many samples as one least and one greatest value for each column of pixels.

export interface Columns {
  least: Float32Array;
  greatest: Float32Array;
}

/** Return the first index whose position is not before `position`. */
export function firstAt(at: Float64Array, position: number): number {
  let low = 0;
  let high = at.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at[middle]! < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Return least and greatest value in each of `count` columns from `min` to `max`; NaN where no sample lies. */
export function columnsOf(at: Float64Array, values: Float64Array, min: number, max: number, count: number): Columns {
  const least = new Float32Array(count).fill(NaN);
  const greatest = new Float32Array(count).fill(NaN);
  const end = Math.min(values.length, firstAt(at, max));
  const perPosition = count / (max - min);
  for (let i = firstAt(at, min); i < end; i++) {
    const column = Math.min(count - 1, Math.floor((at[i]! - min) * perPosition));
    const value = values[i]!;
    if (!(least[column]! <= value)) least[column] = value;
    if (!(greatest[column]! >= value)) greatest[column] = value;
  }
  return { least, greatest };
}
