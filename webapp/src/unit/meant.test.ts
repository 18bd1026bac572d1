import { expect, it } from "vitest";
import { meantBy } from "./meant";

const ROSTER = [
  { name: "North face", serial: "BE12345", conn_key: "tcp:10.0.0.5:12345" },
  { name: "Quarry", serial: null, conn_key: "tcp:10.0.0.6:12345" },
  { name: null, serial: "U-7", conn_key: null },
];

it.each([
  [{ unit: "north FACE" }, { serial: "BE12345" }],
  [{ unit: "u-7" }, { serial: "U-7" }],
  // Nothing answered there yet: the relay finds the way.
  [{ unit: "quarry" }, { ask: { unit: "quarry" } }],
  [{ unit: "modem" }, { ask: { host: "modem", tcp_port: 12345 } }],
  [{ unit: "South face" }, { ask: { unit: "South face" } }],
  [{ host: "10.0.0.5", tcp_port: 12345 }, { ask: { host: "10.0.0.5", tcp_port: 12345 } }],
])("%o leads to %o", (unit, meant) => {
  expect(meantBy(unit, ROSTER)).toEqual(meant);
});
