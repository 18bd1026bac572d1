import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
const { linkTo, routeOf } = await import("./route");

const TCP = { host: "10.0.0.5", tcp_port: 12345 };
const SERIAL = { port: "/dev/ttyUSB0", baud: 38400 };

describe("the address", () => {
  it.each([
    ["", { page: "connect" }],
    ["#/", { page: "connect" }],
    ["#/archive", { page: "archive" }],
    ["#/archive/0123456789abcdef", { page: "recording", id: "0123456789abcdef" }],
    ["#/archive/ABCDEF01", { page: "recording", id: "abcdef01" }],
    // A row number of before names nothing: in another database it is another recording's.
    ["#/archive/17", { page: "nowhere" }],
    ["#/cache", { page: "cache" }],
    ["#/unit/tcp:10.0.0.5:12345", { page: "unit", unit: TCP }],
    ["#/unit/tcp:10.0.0.5", { page: "unit", unit: TCP }],
    ["#/unit/tcp:10.0.0.5:12345/", { page: "unit", unit: TCP }],
    ["#/unit/tcp:10.0.0.5:12345/events", { page: "events", unit: TCP }],
    ["#/unit/tcp:10.0.0.5:12345/event/3", { page: "waveform", unit: TCP, index: 3 }],
    ["#/unit/tcp:10.0.0.5:12345/commands", { page: "commands", unit: TCP }],
    ["#/unit/serial:/dev/ttyUSB0:38400", { page: "unit", unit: SERIAL }],
    ["#/unit/serial:%2Fdev%2FttyUSB0:38400/events", { page: "events", unit: SERIAL }],
    ["#/unit/tcp:10.0.0.5:0", { page: "nowhere" }],
    ["#/unit/tcp:10.0.0.5:99999", { page: "nowhere" }],
    ["#/unit/%zz", { page: "nowhere" }],
    ["#/archive/x", { page: "nowhere" }],
    ["#/elsewhere", { page: "nowhere" }],
  ])("%s", (hash, expected) => {
    expect(routeOf(hash)).toEqual(expected);
  });

  it.each([TCP, SERIAL, { port: "rfc2217://10.0.0.5:4000", baud: 9600 }, { host: "[fe80::1]", tcp_port: 9034 }])(
    "leads back to %o",
    (unit) => {
      expect(routeOf(linkTo(unit))).toEqual({ page: "unit", unit });
      expect(routeOf(linkTo(unit, "event/7"))).toEqual({ page: "waveform", unit, index: 7 });
    },
  );
});
