import { expect, it } from "vitest";
import { type Recent, recentOf, withUnit } from "./recent";

const of = (key: string, serial: string | null, openedAt = 0): Recent => ({ key, serial, openedAt });

it("puts the latest first, each unit once, whatever its address", () => {
  const before = [of("tcp:a:1", "BE1", 1), of("tcp:b:1", null, 2)];
  expect(withUnit(before, of("tcp:b:1", "BE2", 3))).toEqual([of("tcp:b:1", "BE2", 3), before[0]]);
  expect(withUnit(before, of("tcp:c:1", "BE1", 4))).toEqual([of("tcp:c:1", "BE1", 4), before[1]]);
});

it("keeps two units that answered at one address", () => {
  expect(withUnit([of("tcp:a:1", "BE1", 1)], of("tcp:a:1", "BE2", 2))).toHaveLength(2);
});

it("remembers a dozen", () => {
  const many = Array.from({ length: 30 }, (_, number) => of(`tcp:a:${number + 1}`, null));
  expect(many.reduce<Recent[]>(withUnit, [])).toHaveLength(12);
});

it("takes over what earlier versions remembered for each address", () => {
  const stored = [of("tcp:a:1", "BE1", 3), of("serial:/dev/ttyUSB0:38400", null, 2), of("tcp:b:1", "BE1", 1)];
  expect(recentOf(JSON.stringify(stored))).toEqual(stored.slice(0, 2));
});

it("takes no rubbish", () => {
  expect(recentOf(null)).toEqual([]);
  expect(recentOf("{")).toEqual([]);
  expect(recentOf('{"key": 1}')).toEqual([]);
  const rubbish = [null, 3, {}, { key: "nowhere", serial: null, openedAt: 1 }];
  expect(recentOf(JSON.stringify([...rubbish, of("tcp:a:1", null, 1)]))).toEqual([of("tcp:a:1", null, 1)]);
});
