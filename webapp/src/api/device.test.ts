import { describe, expect, it, vi } from "vitest";
import { presentCsrf } from "./client";
import { command, keyOf, unitFrom, unitOf } from "./device";

const UNIT = { host: "10.0.0.5", tcp_port: 12345 };

describe("the name of a unit", () => {
  it.each([
    [UNIT, "tcp:10.0.0.5:12345"],
    [{ unit: "BE12345" }, "unit:BE12345"],
    [{ host: "10.0.0.5" }, "tcp:10.0.0.5:12345"],
    [{ host: "Modem.Example", tcp_port: 9034 }, "tcp:modem.example:9034"],
    [{ host: "fe80::1" }, "tcp:[fe80::1]:12345"],
    [{ host: "[fe80::1]" }, "tcp:[fe80::1]:12345"],
    [{ port: "/dev/ttyUSB0" }, "serial:/dev/ttyUSB0:38400"],
    [{ port: "rfc2217://h:4000", baud: 9600 }, "serial:rfc2217://h:4000:9600"],
  ])("of %o", (unit, key) => {
    expect(keyOf(unit)).toBe(key);
    expect(keyOf(unitOf(key) ?? {})).toBe(key);
  });

  it.each(["", "tcp", "tcp:", "udp:10.0.0.5:1", "tcp:a b:1", "serial:"])("is not %o", (key) => {
    expect(unitOf(key)).toBeNull();
  });
});

describe("what people type", () => {
  it.each([
    ["10.0.0.5", "tcp:10.0.0.5:12345"],
    [" 10.0.0.5:9034 ", "tcp:10.0.0.5:9034"],
    ["modem.example", "tcp:modem.example:12345"],
    ["modem:9034", "tcp:modem:9034"],
    ["tcp://modem", "tcp:modem:12345"],
    ["TCP://10.0.0.5:9034", "tcp:10.0.0.5:9034"],
    ["tcp:10.0.0.5:9034", "tcp:10.0.0.5:9034"],
    ["[fe80::1]:9034", "tcp:[fe80::1]:9034"],
    ["fe80::1", "tcp:[fe80::1]:12345"],
    ["tcp://fe80::1", "tcp:[fe80::1]:12345"],
    ["/dev/ttyUSB0", "serial:/dev/ttyUSB0:38400"],
    ["COM3", "serial:COM3:38400"],
    ["serial:/dev/ttyUSB0:9600", "serial:/dev/ttyUSB0:9600"],
    ["serial:COM3", "serial:COM3:38400"],
    ["rfc2217://10.0.0.5:4000", "serial:rfc2217://10.0.0.5:4000:38400"],
    ["be12345", "unit:BE12345"],
    ["unit:BE12345", "unit:BE12345"],
    ["North face", "unit:North face"],
    // A registered name, or a host name: the roster decides.
    ["modem", "unit:modem"],
  ])("%o is %s", (typed, key) => {
    expect(keyOf(unitFrom(typed) ?? {})).toBe(key);
  });

  it.each(["", "  ", "tcp:", "10.0.0.5:0", "10.0.0.5:99999", "/tmp/x", "http://10.0.0.5/", "10.0.0.5:", "a:b"])(
    "%o is no unit",
    (typed) => {
      expect(unitFrom(typed)).toBeNull();
    },
  );
});

describe("a command", () => {
  it("is given once, with the session's second secret, and never forced", async () => {
    const asked: { url: URL; init: RequestInit }[] = [];
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      asked.push({ url: new URL(url, "http://relay"), init });
      return Response.json({});
    });
    presentCsrf("second");
    await command(UNIT, "/device/monitor/start", undefined, { follow: true });
    presentCsrf(null);
    vi.unstubAllGlobals();
    expect(asked).toHaveLength(1);
    expect(asked[0]!.init.method).toBe("POST");
    expect((asked[0]!.init.headers as Record<string, string>)["X-CSRF-Token"]).toBe("second");
    expect(Object.fromEntries(asked[0]!.url.searchParams)).toEqual({
      host: "10.0.0.5",
      tcp_port: "12345",
      follow: "true",
    });
  });
});
