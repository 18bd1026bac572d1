// Which part of the record is shown: arithmetic of ranges.
export interface Range {
  min: number;
  max: number;
}

/** Fewer samples than this say nothing of a waveform. */
const LEAST_SAMPLES = 8;

export function leastSpan(whole: Range, samples: number): number {
  return samples > LEAST_SAMPLES ? ((whole.max - whole.min) * LEAST_SAMPLES) / samples : whole.max - whole.min;
}

/** Return the wanted range, kept inside the whole and not narrower than `least`. */
export function kept(wanted: Range, whole: Range, least: number): Range {
  const widest = whole.max - whole.min;
  const span = Math.min(widest, Math.max(least, wanted.max - wanted.min));
  const middle = (wanted.min + wanted.max) / 2;
  const min = Math.min(whole.max - span, Math.max(whole.min, middle - span / 2));
  return { min, max: min + span };
}

/** Return the range `factor` times as wide around its middle. */
export function zoomed(shown: Range, factor: number): Range {
  const middle = (shown.min + shown.max) / 2;
  const half = ((shown.max - shown.min) * factor) / 2;
  return { min: middle - half, max: middle + half };
}

/** Return the range moved by a part of its own width, as far as the whole goes. */
export function panned(shown: Range, part: number, whole: Range): Range {
  const span = shown.max - shown.min;
  const min = Math.min(whole.max - span, Math.max(whole.min, shown.min + span * part));
  return { min, max: min + span };
}

export type Move = "left" | "right" | "in" | "out" | "whole" | "start" | "end";

const MOVES: Record<string, Move> = {
  PageUp: "left",
  PageDown: "right",
  ArrowUp: "in",
  ArrowDown: "out",
  "+": "in",
  "=": "in",
  "-": "out",
  Escape: "whole",
  "0": "whole",
  Home: "start",
  End: "end",
};

export function moveOf(key: string): Move | null {
  return MOVES[key] ?? null;
}

const ZOOM = 0.6;
const PAN = 0.2;

/** Return what is shown after a move. */
export function moved(shown: Range, move: Move, whole: Range, least: number): Range {
  switch (move) {
    case "left":
      return panned(shown, -PAN, whole);
    case "right":
      return panned(shown, PAN, whole);
    case "start":
      return panned(shown, -Infinity, whole);
    case "end":
      return panned(shown, Infinity, whole);
    case "in":
      return kept(zoomed(shown, ZOOM), whole, least);
    case "out":
      return kept(zoomed(shown, 1 / ZOOM), whole, least);
    case "whole":
      return whole;
  }
}
