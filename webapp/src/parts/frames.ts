// What comes faster than it can be seen.

export interface PerFrame<T> {
  put: (value: T) => void;
  stop: () => void;
}

/** Show no more than one value a frame, the last of those put. A stream begins with hundreds of steps at once. */
export function perFrame<T>(show: (value: T) => void): PerFrame<T> {
  let last: { value: T } | null = null;
  let frame = 0;
  return {
    put: (value) => {
      frame = last
        ? frame
        : requestAnimationFrame(() => {
            const { value: shown } = last!;
            last = null;
            show(shown);
          });
      last = { value };
    },
    stop: () => cancelAnimationFrame(frame),
  };
}
