// A line of many samples as no more than two corners for each column of pixels: its least and its greatest value.

/** Which positions are shown, and where on a canvas, in its pixels. */
export interface Window {
  min: number;
  max: number;
  left: number;
  width: number;
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

/** From so many samples in a column of pixels on, its least and greatest say all that can be seen of them. */
const MOST_PER_COLUMN = 4;

/** Draw the samples of a window, and the line to the next one beyond each of its edges, corner by corner. */
export function drawColumns(
  at: Float64Array,
  values: Float64Array,
  { min, max, left, width }: Window,
  lineTo: (x: number, value: number) => void,
): void {
  const count = Math.max(1, Math.round(width));
  const perPosition = count / (max - min);
  const first = firstAt(at, min);
  let end = firstAt(at, max);
  // What lies on the edge is shown: of a whole record its last sample.
  while (end < at.length && at[end] === max) end++;
  const xOf = (i: number) => left + (at[i]! - min) * perPosition;
  const isDense = end - first > MOST_PER_COLUMN * count;
  if (first > 0) lineTo(xOf(first - 1), values[first - 1]!);
  if (!isDense) for (let i = first; i < end; i++) lineTo(xOf(i), values[i]!);
  for (let i = first; isDense && i < end; ) {
    const column = Math.min(count - 1, Math.floor((at[i]! - min) * perPosition));
    let least = i;
    let greatest = i;
    for (i++; i < end && Math.min(count - 1, Math.floor((at[i]! - min) * perPosition)) === column; i++) {
      if (values[i]! < values[least]!) least = i;
      else if (values[i]! > values[greatest]!) greatest = i;
    }
    // In the order in which they came, so that the line goes on from column to column as the samples did.
    lineTo(left + column, values[Math.min(least, greatest)]!);
    if (least !== greatest) lineTo(left + column, values[Math.max(least, greatest)]!);
  }
  if (end < at.length) lineTo(xOf(end), values[end]!);
}
