import { expect, it } from "vitest";
import type { Schemas } from "../api/client";
import { calibrationWarning, clockText, warningsOf } from "./warnings";

type Status = Schemas["StatusOut"];

const WELL: Status = {
  monitoring: true,
  clock_device_time: "2026-04-01T12:00:00",
  battery_v: 6.6,
  memory_total_bytes: 1000,
  memory_free_bytes: 700,
  clock_offset_s: 7200,
  clock_drift_s: 0,
  clock_sentence: null,
  clock_zone: "Europe/Oslo",
  clock_settable: false,
  provenance: {} as Status["provenance"],
};

const warned = (more: Partial<Status>) => warningsOf({ ...WELL, ...more }).map(({ text }) => text);

it("warns of nothing where all is well", () => {
  expect(warned({})).toEqual([]);
  expect(warned({ battery_v: null, memory_total_bytes: null, clock_device_time: null, clock_drift_s: null })).toEqual(
    [],
  );
});

it("says in words what somebody must act on, with the figure", () => {
  expect(warned({ battery_v: 5.95 })).toEqual(["Battery low: 5.95 V. Charge or change it soon."]);
  expect(warned({ battery_v: 5.7 })[0]).toMatch(/nearly empty: 5.70 V/);
  expect(warned({ memory_free_bytes: 80 })).toEqual(["Memory 92 % full. Download the events, then erase them."]);
  expect(warned({ monitoring: false })).toEqual(["Not monitoring: the unit records nothing."]);
  expect(warningsOf({ ...WELL, monitoring: false, battery_v: 5.5 }).map(({ isUrgent }) => isUrgent)).toEqual([
    true,
    false,
  ]);
});

it("says how far a clock is off in hours and minutes, and never less than it is", () => {
  const off = { clock_offset_s: -11_221, clock_drift_s: -11_221 };
  expect(clockText({ ...WELL, ...off })).toBe("3 h 7 min behind (Europe/Oslo)");
  // Without a zone the relay takes whole quarters of an hour away: what is left is not how far the clock is off.
  const guessed = { ...WELL, clock_zone: null, clock_offset_s: -11_221, clock_drift_s: -421.1 };
  expect(clockText(guessed)).toBe("3 h 7 min behind UTC, which no time zone explains");
  expect(warned(guessed)[0]).toContain("3 h 7 min behind");
  expect(clockText({ ...WELL, clock_zone: null })).toBe("2 h 0 min ahead of UTC; the unit's time zone is not set");
  expect(warned({ clock_zone: null })).toEqual([]);
  expect(clockText({ ...WELL, clock_drift_s: -0.4 })).toBe("right to the second (Europe/Oslo)");
});

it("knows a clock that was never set", () => {
  const unset = { clock_device_time: "1995-01-01T00:10:00", clock_offset_s: -1e9, clock_drift_s: -1e9 };
  expect(warned(unset)[0]).toContain("never set");
});

it("warns of a calibration that is overdue, and not of one that is not known", () => {
  const today = new Date(2026, 3, 1);
  expect(calibrationWarning("2025-03-01", today)?.text).toBe("Calibration overdue by 31 days (due 2026-03-01).");
  expect(calibrationWarning("2026-03-01", today)).toBeNull();
  expect(calibrationWarning(null, today)).toBeNull();
});
