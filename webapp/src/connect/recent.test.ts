import { expect, it } from "vitest";
import { recentOf, withUnit, type Recent } from "./recent";

const of = (key: string, openedAt = 0, serial: string | null = null): Recent => ({ key, serial, openedAt });

it("puts the latest first, once, and keeps a serial number that it knew", () => {
  const before = [of("tcp:a:1", 1, "BE1"), of("tcp:b:1", 2)];
  expect(withUnit(before, of("tcp:b:1", 3, "BE2"))).toEqual([of("tcp:b:1", 3, "BE2"), of("tcp:a:1", 1, "BE1")]);
  expect(withUnit(before, of("tcp:a:1", 4))[0]).toEqual(of("tcp:a:1", 4, "BE1"));
});

it("remembers a dozen", () => {
  const many = Array.from({ length: 30 }, (_, number) => of(`tcp:a:${number + 1}`));
  expect(many.reduce<Recent[]>(withUnit, [])).toHaveLength(12);
});

it("takes no rubbish", () => {
  expect(recentOf(null)).toEqual([]);
  expect(recentOf("{")).toEqual([]);
  expect(recentOf('{"key": 1}')).toEqual([]);
  expect(recentOf('[null, 3, {"key": "nowhere", "serial": null, "openedAt": 1}, {"key": "tcp:a:1", "serial": null, "openedAt": 1}]')).toEqual([
    of("tcp:a:1", 1),
  ]);
});
