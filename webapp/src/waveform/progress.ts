// How far a download from the unit is: chunks, rate, time left, from the steps that the relay reports.

/** As the relay reports it, of any read of the unit; a stream begins with earlier steps. */
export interface Step {
  kind: string;
  resource?: string;
  what?: string;
  done?: number;
  total?: number | null;
  error?: string;
}

export interface Progress {
  phase: "waiting" | "list" | "samples";
  chunks: number;
  doneBytes: number;
  totalBytes: number | null;
  events: number;
  /** When the first chunk came, and how much was there already, to take the rate from. */
  firstMs: number | null;
  firstBytes: number;
  lastMs: number;
}

export const NOTHING: Progress = {
  phase: "waiting",
  chunks: 0,
  doneBytes: 0,
  totalBytes: null,
  events: 0,
  firstMs: null,
  firstBytes: 0,
  lastMs: 0,
};

/** Return the progress after a step; steps of other reads of the same unit change nothing. */
export function after(progress: Progress, step: Step, index: number, nowMs: number): Progress {
  const isOwn = step.resource === `waveform ${index}`;
  if (isOwn && step.kind !== "step") {
    // An end may be that of an earlier read, repeated; that of this one comes with its answer.
    return { ...NOTHING, lastMs: nowMs };
  }
  if (isOwn && step.what === "bytes") return withBytes(progress, step, nowMs);
  // The list is read within the read of a waveform, or by somebody else just before.
  if (step.kind === "step" && step.what === "events" && progress.phase !== "samples") {
    return { ...progress, phase: "list", events: step.done ?? 0, lastMs: nowMs };
  }
  return progress;
}

/** Chunks closer together than this were repeated in one go: no rate can be taken from them. */
const AT_ONCE_MS = 50;

function withBytes(progress: Progress, step: Step, nowMs: number): Progress {
  const doneBytes = step.done ?? 0;
  const isFirst = progress.firstMs === null || nowMs - progress.firstMs < AT_ONCE_MS;
  return {
    ...progress,
    phase: "samples",
    chunks: progress.chunks + 1,
    doneBytes,
    totalBytes: step.total ?? null,
    firstMs: isFirst ? nowMs : progress.firstMs,
    firstBytes: isFirst ? doneBytes : progress.firstBytes,
    lastMs: nowMs,
  };
}

/** Return bytes per second since the first chunk; null while there is only one. */
export function rateOf(progress: Progress): number | null {
  if (progress.firstMs === null) return null;
  const tookMs = progress.lastMs - progress.firstMs;
  const bytes = progress.doneBytes - progress.firstBytes;
  return tookMs > 0 && bytes > 0 ? (bytes * 1000) / tookMs : null;
}

/** Return how many seconds are left at that rate; null while it is unknown. */
export function leftS(progress: Progress): number | null {
  const rate = rateOf(progress);
  if (rate === null || progress.totalBytes === null) return null;
  return Math.max(0, (progress.totalBytes - progress.doneBytes) / rate);
}
