import { expect, it } from "vitest";
import { pauseAfter } from "./pace";

it("leaves a slow unit's line to others for most of the time", () => {
  expect(pauseAfter(15, 0.4, 0)).toBe(15);
  for (const tookS of [1, 6, 12]) {
    expect((tookS + 5) / (tookS + pauseAfter(15, tookS, 0))).toBeLessThanOrEqual(0.15);
  }
});

it("asks more rarely while nothing changes, and never faster than the page wants", () => {
  expect(pauseAfter(15, 0, 299)).toBe(15);
  expect(pauseAfter(15, 0, 300)).toBe(60);
  expect(pauseAfter(120, 0, 3000)).toBe(120);
});

it("costs less than 5 MB a day for a list that stays as it is", () => {
  // A 304 with the relay's headers and the browser's own: measured, 0.8 kB and 0.6 kB.
  const pollsADay = 300 / pauseAfter(15, 0, 0) + 86_400 / pauseAfter(15, 0, 301);
  expect(pollsADay * 1800).toBeLessThan(5e6);
});
