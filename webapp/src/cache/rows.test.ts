import { expect, it } from "vitest";
import type { Schemas } from "../api/client";
import { rowsOf } from "./rows";

const stats = (cache: object, devices: object): Schemas["StatsOut"] =>
  ({ cache: { by_device: cache }, devices, store: {} }) as unknown as Schemas["StatsOut"];

it("brings together what is held of a unit and what its line cost", () => {
  const held = { epoch: 2, reason: "erased", serial: "BE1", dirty: true, events: 8, waveforms: [0, 3], bytes: 2258 };
  const line = { serial: "BE1", simulated: true, hits: 6, misses: { miss: 1, request: 1 }, exchanges: 110, failures_in_a_row: 0 };
  expect(rowsOf(stats({ "tcp:b:1": held }, { "tcp:b:1": line, "tcp:a:1": { failures_in_a_row: 3 } }))).toEqual([
    expect.objectContaining({ key: "tcp:a:1", serial: null, epoch: null, events: null, asked: 0, failures: 3 }),
    {
      key: "tcp:b:1", serial: "BE1", isSimulated: true, epoch: 2, reason: "erased", isDoubted: true, events: 8,
      waveforms: 2, bytes: 2258, hits: 6, asked: 8, exchanges: 110, failures: 0,
    },
  ]);
});

it("makes nothing up out of what it does not know", () => {
  expect(rowsOf(stats({ x: null }, { x: { hits: "many" } }))[0]).toMatchObject({ epoch: null, bytes: null, hits: 0 });
});
