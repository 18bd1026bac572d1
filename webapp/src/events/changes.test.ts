import { describe, expect, it } from "vitest";
import { changeOf, isBeginningOf, isOfMemory } from "./changes";
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

  it("has lost no events while only its beginning was read anew", () => {
    const beginning = { ...madeList(three.slice(0, 2)), complete: false, count: null };
    expect(changeOf(before, beginning)).toEqual({ is: "nothing" });
    const other = madeList([{ ...three[0]!, timestamp: "2026-05-01T00:00:00" }]);
    expect(changeOf(before, { ...other, complete: false, count: null })).toEqual({ is: "replaced" });
  });

  it("is of an erased memory when the epoch rose, though every stamp be equal", () => {
    expect(changeOf(before, madeList(three, { epoch: 4 }))).toEqual({ is: "erased" });
  });

  it("shows by itself that events are gone, where the relay counts anew", () => {
    const again = three.map((event) => ({ ...event, timestamp: "2026-05-01T00:00:00" }));
    expect(changeOf(before, madeList(again, { epoch: 0 }))).toEqual({ is: "replaced" });
    expect(changeOf(before, madeList([], { epoch: 0 }))).toEqual({ is: "replaced" });
    expect(changeOf(before, madeList(three, { epoch: 0 }))).toEqual({ is: "nothing" });
  });

  it("is of another memory after an erase, and not after an arrival", () => {
    const found = [madeList(three), madeList([...three, madeEvent(3)]), madeList(three, { epoch: 4 }), madeList([])];
    expect(found.map((list) => isOfMemory(changeOf(before, list)))).toEqual([false, false, true, true]);
  });
});

describe("a list that is still being read", () => {
  const part = (events: typeof three, more: Parameters<typeof madeList>[1] = {}) => ({
    ...madeList(events, more),
    complete: false,
    count: null,
  });

  it("says nothing new while it is as the whole list was", () => {
    expect(isBeginningOf(part(three.slice(0, 2)), before)).toBe(true);
    expect(isBeginningOf(part(three), before)).toBe(true);
  });

  it("is no beginning of a list of another memory or unit", () => {
    for (const more of [{ epoch: 4 }, { epoch: 0 }, { serial: "BE2" }]) {
      expect(isBeginningOf(part(three.slice(0, 2), more), before)).toBe(false);
    }
  });

  it("is no beginning of a list with other events, under the same stamps too", () => {
    const later = { ...three[1]!, timestamp: "2026-05-01T00:00:00" };
    expect(isBeginningOf(part([three[0]!, later]), before)).toBe(false);
    expect(isBeginningOf(part([three[0]!, madeEvent(1, {}, { tran_in_s: 0.7 })]), before)).toBe(false);
  });

  it("has more to say where it has more events, or where the list before was not whole", () => {
    expect(isBeginningOf(part([...three, madeEvent(3)]), before)).toBe(false);
    expect(isBeginningOf(part(three), part(three))).toBe(false);
  });
});
