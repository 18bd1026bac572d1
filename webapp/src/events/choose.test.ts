import { describe, expect, it } from "vitest";
import { filtered, NEWEST_FIRST, NO_FILTERS, numberOf, sortAfter, sorted } from "./choose";
import { madeEvent } from "./made";

const indexes = (events: { index: number }[]) => events.map(({ index }) => index);

describe("order", () => {
  it("is newest first by place in memory, though the unit's clock was set back", () => {
    const events = [
      madeEvent(0, { timestamp: "2026-05-01T00:00:00" }),
      madeEvent(1, { timestamp: "2026-01-01T00:00:00" }),
    ];
    expect(indexes(sorted(events, NEWEST_FIRST))).toEqual([1, 0]);
    expect(indexes(sorted(events, { by: "time", isDescending: true }))).toEqual([0, 1]);
  });

  it("puts what is unknown last either way", () => {
    const events = [
      madeEvent(0, {}, { mic_db: null }),
      madeEvent(1, {}, { mic_db: 110 }),
      madeEvent(2, {}, { mic_db: 120 }),
    ];
    expect(indexes(sorted(events, { by: "mic", isDescending: true }))).toEqual([2, 1, 0]);
    expect(indexes(sorted(events, { by: "mic", isDescending: false }))).toEqual([1, 2, 0]);
  });

  it("puts the newer of equals first, and leaves what came as it was", () => {
    const events = [0, 1, 2].map((index) => madeEvent(index));
    expect(indexes(sorted(events, { by: "pvs", isDescending: false }))).toEqual([2, 1, 0]);
    expect(indexes(events)).toEqual([0, 1, 2]);
  });

  it("turns round at a second click", () => {
    const once = sortAfter(NEWEST_FIRST, "pvs");
    expect(once).toEqual({ by: "pvs", isDescending: true });
    expect(sortAfter(once, "pvs")).toEqual({ by: "pvs", isDescending: false });
    expect(sortAfter(once, "project")).toEqual({ by: "project", isDescending: false });
  });

  it("holds for thousands", () => {
    const events = Array.from({ length: 5000 }, (_, i) => madeEvent(i, {}, { vector_sum_in_s: (i * 7919) % 5000 }));
    const order = sorted(events, { by: "pvs", isDescending: true }).map((event) => event.peaks.vector_sum_in_s!);
    expect(order.every((value, i) => i === 0 || order[i - 1]! >= value)).toBe(true);
  });
});

describe("filters", () => {
  const events = [
    madeEvent(0, { timestamp: "2026-04-01T00:28:12", project: "North face" }, { vector_sum_in_s: 0.5, mic_psi: 0.001 }),
    madeEvent(
      1,
      { timestamp: "2026-04-02T00:28:12", project: "South gate" },
      { vector_sum_in_s: 0.49, mic_psi: 0.003 },
    ),
    madeEvent(2, { timestamp: null, project: null }, { vector_sum_in_s: null, mic_psi: null }),
  ];
  const left = (more: Partial<typeof NO_FILTERS>) => indexes(filtered(events, { ...NO_FILTERS, ...more }));

  it("ask for nothing at first", () => expect(left({})).toEqual([0, 1, 2]));
  it("take a PVS that is just enough, and never an unknown one", () => {
    expect(left({ minPvsInS: 0.5 })).toEqual([0]);
    expect(left({ minPvsInS: 0 })).toEqual([0, 1]);
  });
  it("take unit time at or after, and before", () => {
    expect(left({ since: "2026-04-01T00:28:12" })).toEqual([0, 1]);
    expect(left({ until: "2026-04-02T00:28:12" })).toEqual([0]);
    expect(left({ since: "2026-04-01T12:00" })).toEqual([1]);
  });
  it("find project text in any case", () => {
    expect(left({ project: " NORTH " })).toEqual([0]);
    expect(left({ project: "a" })).toEqual([0, 1]);
  });
  it("take a level that is at least so high", () => expect(left({ minMicPsi: 0.002 })).toEqual([1]));
  it("read only finished numbers", () => {
    expect([numberOf("0.5"), numberOf(""), numberOf("1e"), numberOf(" ")]).toEqual([0.5, null, null, null]);
  });
});
