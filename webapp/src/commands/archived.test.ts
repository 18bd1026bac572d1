import { expect, it } from "vitest";
import type { Schemas } from "../api/client";
import type { Event as Listed } from "../events/choose";
import { unarchived } from "./archived";

const event = (waveform_key: string, timestamp: string | null) => ({ waveform_key, timestamp }) as Listed;
const row = (waveform_key: string, timestamp: string | null, counted_by_erase: boolean) =>
  ({ waveform_key, timestamp, counted_by_erase }) as Schemas["ArchivedRow"];

it("counts as archived only what an erase counts, under its own stamp", () => {
  const events = [
    event("01110000", "2026-04-01T00:00:00"),
    event("01110ed2", "2026-04-01T00:01:00"),
    event("01111da4", null),
  ];
  expect(unarchived(events, [])).toHaveLength(3);
  expect(
    unarchived(events, [
      row("01110000", "2026-04-01T00:00:00", true),
      row("01110ed2", "2026-04-01T00:01:00", false),
      row("01111da4", "2026-04-01T00:02:00", true),
    ]),
  ).toEqual(events.slice(1));
  expect(unarchived(events.slice(2), [row("01111da4", null, true)])).toEqual([]);
});
