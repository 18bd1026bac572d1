import { describe, expect, it } from "vitest";
import { isReplaced, unitTimeText } from "./stamps";

const shown = { waveform_key: "01110000", timestamp: "2026-04-01T00:28:12", memory: { serial: "BE1", epoch: 4 } };

describe("a slot", () => {
  it("holds the same event while unit, memory and stamp are the same", () => {
    expect(isReplaced(shown, { ...shown })).toBe(false);
  });

  it("holds another one after an erase, though the stamp be equal", () => {
    expect(isReplaced(shown, { ...shown, memory: { serial: "BE1", epoch: 5 } })).toBe(true);
  });

  it("holds another one under another stamp or in another unit", () => {
    expect(isReplaced(shown, { ...shown, timestamp: "2026-04-02T00:28:12" })).toBe(true);
    expect(isReplaced(shown, { ...shown, waveform_key: "0111245A" })).toBe(true);
    expect(isReplaced(shown, { ...shown, memory: { serial: "BE2", epoch: 4 } })).toBe(true);
  });

  it("is not another one because the relay counts its memories anew", () => {
    expect(isReplaced(shown, { ...shown, memory: { serial: "BE1", epoch: 0 } })).toBe(false);
  });
});

describe("unit time", () => {
  it("is repeated as the unit reported it, in no zone", () => {
    expect(unitTimeText("2026-03-29T02:30:00")).toBe("2026-03-29 02:30:00");
    expect(unitTimeText(null)).toBeNull();
  });
});
