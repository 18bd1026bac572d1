import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
const history = { state: null, replaceState: vi.fn((_: unknown, __: string, hash: string) => (location.hash = hash)) };
vi.stubGlobal("history", history);
const { fragment, linkTo, renameUnit, routeOf } = await import("./route");

const TCP = { host: "10.0.0.5", tcp_port: 12345 };
const BE = { unit: "BE12345" };
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
    ["#/settings/cache", { page: "cache" }],
    ["#/unit/BE12345", { page: "unit", unit: BE }],
    ["#/unit/be12345/", { page: "unit", unit: BE }],
    ["#/unit/BE12345/events?sort=-pvs", { page: "events", unit: BE }],
    ["#/unit/BE12345/event/3", { page: "waveform", unit: BE, index: 3 }],
    ["#/unit/BE12345/commands", { page: "commands", unit: BE }],
    // Addresses and names are resolved: pages of a unit have its serial number.
    ["#/unit/tcp:10.0.0.5:12345", { page: "resolve", unit: TCP, rest: "" }],
    ["#/unit/tcp:10.0.0.5", { page: "resolve", unit: TCP, rest: "" }],
    ["#/unit/10.0.0.5/events", { page: "resolve", unit: TCP, rest: "events" }],
    ["#/unit/tcp:10.0.0.5:12345/event/3", { page: "resolve", unit: TCP, rest: "event/3" }],
    ["#/unit/serial:/dev/ttyUSB0:38400", { page: "resolve", unit: SERIAL, rest: "" }],
    ["#/unit/serial:%2Fdev%2FttyUSB0:38400/events", { page: "resolve", unit: SERIAL, rest: "events" }],
    ["#/unit/North%20face/commands", { page: "resolve", unit: { unit: "North face" }, rest: "commands" }],
    ["#/unit/tcp:10.0.0.5:0", { page: "nowhere" }],
    ["#/unit/tcp:10.0.0.5:99999", { page: "nowhere" }],
    ["#/archive/x", { page: "nowhere" }],
    ["#/elsewhere", { page: "nowhere" }],
  ])("%s", (hash, expected) => {
    expect(routeOf(hash)).toEqual(expected);
  });

  it.each([
    TCP,
    SERIAL,
    { port: "rfc2217://10.0.0.5:4000", baud: 9600 },
    { host: "[fe80::1]", tcp_port: 9034 },
    { unit: "North: 3?" },
  ])("leads back to %o", (unit) => {
    expect(routeOf(linkTo(unit))).toEqual({ page: "resolve", unit, rest: "" });
    expect(routeOf(linkTo(unit, "event/7"))).toEqual({ page: "resolve", unit, rest: "event/7" });
  });

  it("is the unit's own by its serial number", () => {
    expect(linkTo(BE, "event/7")).toBe("#/unit/BE12345/event/7");
    expect(routeOf(linkTo(BE, "event/7"))).toEqual({ page: "waveform", unit: BE, index: 7 });
  });
});

describe("the address of a unit that was resolved", () => {
  it.each([
    ["#/unit/tcp:10.0.0.5:12345/events", "#/unit/BE12345/events"],
    // The reader went on while the unit was asked, and the event of that is still to come.
    ["#/archive?serial=BE12345", "#/archive?serial=BE12345"],
  ])("is its own, unless the reader is elsewhere: %s", (now, then) => {
    fragment.value = "#/unit/tcp:10.0.0.5:12345/events";
    location.hash = now;
    renameUnit("BE12345", "events");
    expect(location.hash).toBe(then);
  });
});
