import { describe, expect, it } from "vitest";
import { csvOf, fileName, tableOf } from "./csv";
import { decoded } from "./decode";
import { madeWaveform } from "./made";

describe("a saved table", () => {
  it("names its units in the head and holds every sample", () => {
    const lines = csvOf(decoded(madeWaveform({ samples: 30 })), "in/s", "psi").split("\r\n");
    expect(lines[0]).toBe("time from trigger (s),Tran (in/s),Vert (in/s),Long (in/s),MicL (psi)");
    expect(lines).toHaveLength(32);
    expect(lines[26]).toBe("0,0.598472,1.196944,1.795416,2.393889");
  });

  it("follows the chosen units, without the tail of a multiplication", () => {
    const [head, , second, , , , sixth] = csvOf(decoded(madeWaveform()), "mm/s", "dB(L)").split("\r\n");
    expect(head).toBe("time from trigger (s),Tran (mm/s),Vert (mm/s),Long (mm/s),MicL (Pa)");
    expect(second!.split(",")[1]).toBe("2.5357582");
    // 0.479426 * 25.4 is 12.177420399999999 in floating point.
    expect(sixth!.split(",")[1]).toBe("12.1774204");
  });

  it("leaves out samples that are not valid", () => {
    const lines = csvOf(decoded(madeWaveform({ samples: 4, validSamples: [4, 2, 0, 4] })), "in/s", "psi").split("\r\n");
    const holes = lines.slice(1, 5).map((line) => line.split(",").map((cell) => (cell === "" ? "-" : "x")).join(""));
    expect(holes).toEqual(["xxx-x", "xxx-x", "xx--x", "xx--x"]);
    expect(lines.join()).not.toContain("NaN");
  });

  it("says what it is in lines that programs skip, before the samples", () => {
    const form = { ...madeWaveform({ samples: 3 }), project: 'North, "face"; =A1' };
    const saved = tableOf(form, "BE18189", true, decoded(form), "mm/s", "dB(L)").split("\r\n");
    expect(saved.slice(0, 8)).toEqual([
      "# SIMULATED: not a recording of a real instrument",
      "# Serial number: BE18189",
      "# Waveform key: 01110000",
      "# Unit time (the unit's own clock): 2026-04-01 00:28:12",
      "# Sample rate: 1024 Hz (from the event)",
      "# Geophone range: 10 in/s (from the event)",
      "# Units of measure: time from trigger (s) | Tran (mm/s) | Vert (mm/s) | Long (mm/s) | MicL (Pa)",
      "# Project: North face =A1",
    ]);
    expect(saved[8]).toMatch(/^time from trigger \(s\),Tran/);
    expect(saved).toHaveLength(8 + 1 + 3 + 1);
  });

  it("is named by unit, unit time and key, and by nothing that leads out of a folder", () => {
    const of = { serial: "../BE1", timestamp: "2026-04-01T00:28:12", key: "01110000", simulated: true };
    expect(fileName(of, "csv")).toBe("SIMULATED_..-BE1_2026-04-01T00-28-12_01110000.csv");
    expect(fileName({ ...of, serial: null, timestamp: null, simulated: false }, "png")).toBe("unknown-unit_unknown-time_01110000.png");
  });
});

describe("a channel that is less than it seems", () => {
  it("says in its head that it reached the end of its range", () => {
    const head = (wish: Parameters<typeof madeWaveform>[0]) => csvOf(decoded(madeWaveform(wish)), "in/s", "psi").split("\r\n")[0];
    expect(head({ bound: ">" })).toMatch(/^time from trigger \(s\),Tran \(in\/s; over range: peak > [\d.]+\),/);
    expect(head({})).toMatch(/,Tran \(in\/s\),/);
  });

  it("says so when only the setup gives its scale", () => {
    const form = madeWaveform();
    form.channels.Tran!.flags = ["scale_unconfirmed"];
    expect(csvOf(decoded(form), "in/s", "psi").split("\r\n")[0]).toContain("Tran (in/s; scale unconfirmed)");
  });
});
