import { expect, it } from "vitest";
import type { Schemas } from "../api/client";
import { rowsOf } from "./rows";

const AT = "Wed, 01 Apr 2026 12:01:10 GMT";

const stats = (cache: object, devices: object): Schemas["StatsOut"] =>
  ({ cache: { by_device: cache }, devices, store: {} }) as unknown as Schemas["StatsOut"];

it("brings together what is held of a unit and what its line cost", () => {
  const epochs = [
    { epoch: 2, reason: "erased", began_age_s: 60.5 },
    { epoch: 1, reason: "dropped", began_age_s: 3600 },
  ];
  const held = {
    epoch: 2,
    reason: "erased",
    epochs,
    serial: "BE1",
    dirty: true,
    events: 8,
    waveforms: [0, 3],
    bytes: 2258,
  };
  const line = {
    serial: "BE1",
    simulated: true,
    hits: 6,
    misses: { miss: 1, request: 1 },
    exchanges: 110,
    failures_in_a_row: 0,
  };
  expect(rowsOf(stats({ "tcp:b:1": held }, { "tcp:b:1": line, "tcp:a:1": { failures_in_a_row: 3 } }), AT)).toEqual([
    expect.objectContaining({ key: "tcp:a:1", serial: null, epochs: [], events: null, asked: 0, failures: 3 }),
    {
      key: "tcp:b:1",
      serial: "BE1",
      isSimulated: true,
      isDoubted: true,
      events: 8,
      epochs: [
        { number: 2, reason: "erased", beganAt: "2026-04-01T12:00:09.500Z" },
        { number: 1, reason: "dropped", beganAt: "2026-04-01T11:01:10.000Z" },
      ],
      waveforms: 2,
      bytes: 2258,
      hits: 6,
      asked: 8,
      exchanges: 110,
      failures: 0,
    },
  ]);
});

it("makes nothing up out of what it does not know", () => {
  expect(rowsOf(stats({ x: null }, { x: { hits: "many" } }), AT)[0]).toMatchObject({
    epochs: [],
    bytes: null,
    hits: 0,
  });
  const epochs = [
    { epoch: 3, reason: "erased" },
    { epoch: "two", reason: "dropped" },
    { epoch: 1, reason: "first", began_age_s: 5 },
  ];
  const beganAt = null;
  expect(rowsOf(stats({ x: { epochs } }, {}), null)[0]!.epochs).toEqual([
    { number: 3, reason: "erased", beganAt },
    { number: 1, reason: "first", beganAt },
  ]);
  expect(rowsOf(stats({ x: { epochs } }, {}), AT)[0]!.epochs.map((one) => one.beganAt)).toEqual([
    null,
    "2026-04-01T12:01:05.000Z",
  ]);
});
