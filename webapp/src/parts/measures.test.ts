import { expect, it } from "vitest";
import { wholeText } from "../words";
import { air, bytes, duration, ground, measured } from "./measures";
import { calibrationDue, serverTime, unitTime } from "./time";

it("gives a number with its unit, and no number where none is known", () => {
  expect(measured(6.8, "V", 1)).toBe("6.8 V");
  for (const none of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY])
    expect(measured(none, "V", 1)).toBe("not available");
  expect(ground(1, "in/s")).toBe("1.000 in/s");
  expect(ground(0.5, "mm/s")).toBe("12.7 mm/s");
  expect(ground(null, "mm/s")).toBe("not available");
});

it("gives air pressure in the unit that was chosen", () => {
  // 0.003445414 psi is 121.5 dB(L), as the relay itself says of the same event.
  expect(air(0.003445414, "dB(L)")).toBe("121.5 dB(L)");
  expect(air(0.003445414, "Pa")).toBe("23.8 Pa");
  expect(air(0.003445414, "psi")).toBe("0.00345 psi");
  expect(air(0, "dB(L)")).toBe("0.0 Pa");
  expect(air(null, "psi")).toBe("not available");
});

it("sets thousands apart as English text does", () => {
  for (const count of [0, 12, 999, 1000, 53_248, 100_000, 1_234_567])
    expect(wholeText(count)).toBe(count.toLocaleString("en"));
});

it("tells sizes and times in few parts", () => {
  expect([bytes(0), bytes(999), bytes(1500), bytes(4_915_130), bytes(null)]).toEqual([
    "0 B",
    "999 B",
    "1.5 kB",
    "4.92 MB",
    "not available",
  ]);
  expect([-3, 0, 59.9, 61, 3700, 90_000].map(duration)).toEqual([
    "0 s",
    "0 s",
    "59 s",
    "1 min 1 s",
    "1 h 1 min",
    "1 d 1 h",
  ]);
});

it("never mixes the clocks", () => {
  expect(unitTime("2026-04-01T00:28:12")).toBe("2026-04-01 00:28:12 unit time");
  expect(unitTime(null)).toBe("not available");
  expect(serverTime(new Date(2026, 3, 1, 9, 5, 7).toISOString())).toBe("2026-04-01 09:05:07 server time");
  expect(serverTime("rubbish")).toBe("not available");
});

it("says when a calibration is due, and not where none is known", () => {
  const today = new Date(2026, 10, 25, 23, 30);
  expect(calibrationDue("2026-02-02", today)).toEqual({ on: "2027-02-02", days: 69 });
  expect(calibrationDue("2025-11-25", today)).toEqual({ on: "2026-11-25", days: 0 });
  expect(calibrationDue("2024-02-29", today)?.on).toBe("2025-02-28");
  expect(calibrationDue("2025-11-01", today)?.days).toBe(-24);
  expect(calibrationDue(null, today)).toBeNull();
  expect(calibrationDue("soon", today)).toBeNull();
});
