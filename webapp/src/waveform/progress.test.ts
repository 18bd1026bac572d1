import { describe, expect, it } from "vitest";
import { after, leftS, NOTHING, rateOf, type Step } from "./progress";

const bytes = (done: number, total: number | null = 5120): Step => ({
  kind: "step",
  resource: "waveform 3",
  what: "bytes",
  done,
  total,
});

function progressAfter(steps: [Step, number][]) {
  return steps.reduce((progress, [step, ms]) => after(progress, step, 3, ms), NOTHING);
}

describe("progress of a download", () => {
  it("takes the rate from what came since the first chunk", () => {
    const progress = progressAfter([
      [{ kind: "begun", resource: "waveform 3" }, 0],
      [bytes(1024), 4000],
      [bytes(2048), 5000],
      [bytes(3072), 6000],
    ]);
    expect(progress.chunks).toBe(3);
    expect(rateOf(progress)).toBe(1024);
    expect(leftS(progress)).toBe(2);
  });

  it("knows no rate of one chunk, and no time left without a total", () => {
    expect(rateOf(progressAfter([[bytes(1024), 4000]]))).toBeNull();
    expect(
      leftS(
        progressAfter([
          [bytes(1024, null), 1000],
          [bytes(2048, null), 2000],
        ]),
      ),
    ).toBeNull();
  });

  it("is not moved by another read of the same unit", () => {
    const progress = progressAfter([
      [bytes(1024), 1000],
      [{ ...bytes(9), resource: "waveform 4" }, 2000],
    ]);
    expect([progress.chunks, progress.doneBytes]).toEqual([1, 1024]);
  });

  it("starts anew with a new read", () => {
    const progress = progressAfter([
      [bytes(1024), 1000],
      [{ kind: "begun", resource: "waveform 3" }, 2000],
    ]);
    expect([progress.chunks, progress.phase]).toEqual([0, "waiting"]);
  });

  it("takes no rate from chunks that are repeated in one go", () => {
    const progress = progressAfter([
      [bytes(1024), 1000],
      [bytes(2048), 1001],
      [bytes(3072), 1002],
      [bytes(4096), 2002],
    ]);
    expect(rateOf(progress)).toBe(1024);
    expect(progress.chunks).toBe(4);
  });

  it("says that the list is read first, and forgets an earlier read that ended", () => {
    const list: Step = { kind: "step", resource: "events", what: "events", done: 7, total: null };
    expect(progressAfter([[list, 10]])).toMatchObject({ phase: "list", events: 7 });
    expect(progressAfter([[{ ...list, resource: "waveform 3" }, 10]])).toMatchObject({ phase: "list", events: 7 });
    expect(
      progressAfter([
        [bytes(1024), 1],
        [{ ...list, resource: "waveform 3" }, 2],
      ]),
    ).toMatchObject({ phase: "samples", chunks: 1 });
    expect(
      progressAfter([
        [bytes(1024), 1],
        [{ kind: "done", resource: "waveform 3" }, 2],
      ]),
    ).toMatchObject({ phase: "waiting", chunks: 0 });
  });
});
