import { describe, expect, it } from "vitest";
import { changeOf, isOfMemory } from "./changes";
import { madeEvent, madeList } from "./made";

const three = [0, 1, 2].map((index) => madeEvent(index));
const before = madeList(three);

describe("a newer list", () => {
  it("is the same while nothing happened", () => {
    expect(changeOf(before, madeList(three))).toEqual({ is: "nothing" });
  });

  it("says which events arrived", () => {
    expect(changeOf(before, madeList([...three, madeEvent(3)]))).toEqual({
      is: "arrived",
      stamps: ["01116d0e 2026-04-04T00:28:12"],
    });
  });

  it("brings no new events while only its beginning had been read", () => {
    const beginning = { ...before, complete: false, count: null };
    expect(changeOf(beginning, madeList([...three, madeEvent(3)]))).toEqual({ is: "nothing" });
  });

  it("is of an erased memory when the epoch rose, though every stamp be equal", () => {
    expect(changeOf(before, madeList(three, { epoch: 4 }))).toEqual({ is: "erased" });
  });

  it("is of another unit before anything else is looked at", () => {
    expect(changeOf(before, madeList(three, { serial: "BE2", epoch: 9 }))).toEqual({ is: "other-unit", before: "BE1", after: "BE2" });
  });

  it("shows by itself that events are gone, where the relay counts anew", () => {
    const again = three.map((event) => ({ ...event, timestamp: "2026-05-01T00:00:00" }));
    expect(changeOf(before, madeList(again, { epoch: 0 }))).toEqual({ is: "replaced" });
    expect(changeOf(before, madeList([], { epoch: 0 }))).toEqual({ is: "replaced" });
    expect(changeOf(before, madeList(three, { epoch: 0 }))).toEqual({ is: "nothing" });
  });

  it("says nothing of another unit while a serial number is not known", () => {
    expect(changeOf(before, madeList(three, { serial: null }))).toEqual({ is: "nothing" });
  });

  it("is of another memory after an erase, and not after an arrival", () => {
    const found = [madeList(three), madeList([...three, madeEvent(3)]), madeList(three, { epoch: 4 }), madeList([]), madeList(three, { serial: "BE2" })];
    expect(found.map((list) => isOfMemory(changeOf(before, list)))).toEqual([false, false, true, true, true]);
  });
});
