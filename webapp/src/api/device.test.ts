import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { force, me, serials, simulated, wantsToken } from "../state";
import { Problem } from "./client";
import { command, keyOf, read, receivedAt, unitOf } from "./device";

const UNIT = { host: "10.0.0.5", tcp_port: 12345 };

describe("the name of a unit", () => {
  it.each([
    [UNIT, "tcp:10.0.0.5:12345"],
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

describe("asking", () => {
  const asked: { url: URL; init: RequestInit }[] = [];
  let answer: () => Response;

  beforeEach(() => {
    asked.length = 0;
    answer = () => Response.json({ provenance: { serial: "SIM1", simulated: true } });
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      asked.push({ url: new URL(url, "http://relay"), init });
      return answer();
    });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    force.value = false;
    me.value = { role: null, csrf: null, name: "" };
    wantsToken.value = false;
  });

  it("forces when the bar says so, or the caller, and only then", async () => {
    await read(UNIT, "/device/info");
    await read(UNIT, "/device/info", { force: true });
    force.value = true;
    await read(UNIT, "/device/info", { query: { stale_if_error: 5 } });
    force.value = false;
    await read(UNIT, "/device/info");
    expect(asked.map(({ url }) => url.searchParams.get("force"))).toEqual([null, "true", "true", null]);
    expect(asked[2]?.url.searchParams.get("stale_if_error")).toBe("5");
    expect(asked[0]?.url.searchParams.get("host")).toBe("10.0.0.5");
  });

  it("leaves no room for the no-cache that a browser adds by itself, which would force", async () => {
    await read(UNIT, "/device/info");
    expect((asked[0]?.init.headers as Record<string, string>)["Cache-Control"]).toBe("no-store");
    expect(asked[0]?.init.cache).toBe("no-store");
  });

  it("notes what the unit says of itself", async () => {
    const { body } = await read<{ provenance: object }>(UNIT, "/device/info");
    expect(serials.value.get("tcp:10.0.0.5:12345")).toBe("SIM1");
    expect(simulated.value.has("tcp:10.0.0.5:12345")).toBe(true);
    expect(Date.now() - receivedAt(body.provenance)).toBeLessThan(60_000);
    answer = () => Response.json({ provenance: { serial: "BE2", simulated: false } });
    await read(UNIT, "/device/info");
    expect(simulated.value.has("tcp:10.0.0.5:12345")).toBe(false);
  });

  it("gives a command once, with the session's second secret and never forced", async () => {
    me.value = { role: "admin", csrf: "second", name: "me" };
    force.value = true;
    await command(UNIT, "/device/monitor/start", undefined, { follow: true });
    expect(asked).toHaveLength(1);
    expect(asked[0]?.init.method).toBe("POST");
    expect((asked[0]?.init.headers as Record<string, string>)["X-CSRF-Token"]).toBe("second");
    expect(asked[0]?.url.searchParams.has("force")).toBe(false);
  });

  it("asks for a token when one is needed", async () => {
    answer = () => Response.json({ type: "urn:seismo-relay:problem:token-required", title: "t", detail: "d" }, { status: 401 });
    await expect(read(UNIT, "/device/info")).rejects.toBeInstanceOf(Problem);
    expect(wantsToken.value).toBe(true);
  });
});
