import { expect, it } from "vitest";
import type { Schemas } from "../api/client";
import { unarchived } from "./archived";

const event = (waveform_key: string, timestamp: string | null) => ({ waveform_key, timestamp }) as Schemas["EventBase"];
const row = (waveform_key: string, timestamp: string | null, waveforms: number) =>
  ({ waveform_key, timestamp, waveforms }) as Schemas["ArchivedRow"];

it("counts as archived only what has its samples there, under its own stamp", () => {
  const events = [event("01110000", "2026-04-01T00:00:00"), event("01110ed2", "2026-04-01T00:01:00"), event("01111da4", null)];
  expect(unarchived(events, [])).toBe(3);
  expect(
    unarchived(events, [
      row("01110000", "2026-04-01T00:00:00", 1),
      row("01110ed2", "2026-04-01T00:01:00", 0),
      row("01111da4", "2026-04-01T00:02:00", 1),
    ]),
  ).toBe(2);
  expect(unarchived(events.slice(2), [row("01111da4", null, 1)])).toBe(0);
});
