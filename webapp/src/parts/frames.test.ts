import { afterEach, expect, it, vi } from "vitest";
import { perFrame } from "./frames";

afterEach(() => void vi.unstubAllGlobals());

it("shows the last of many values, once a frame, and none after the end", () => {
  let asked: (() => void)[] = [];
  vi.stubGlobal("requestAnimationFrame", (done: () => void) => asked.push(done));
  vi.stubGlobal("cancelAnimationFrame", (number: number) => {
    asked[number - 1] = () => undefined;
  });
  const nextFrame = () => {
    const due = asked;
    asked = [];
    for (const done of due) done();
  };
  const shown: number[] = [];
  const { put, stop } = perFrame<number>((value) => shown.push(value));
  nextFrame();
  for (let i = 0; i < 512; i++) put(i);
  expect([shown, asked.length]).toEqual([[], 1]);
  nextFrame();
  nextFrame();
  expect(shown).toEqual([511]);
  put(7);
  nextFrame();
  expect(shown).toEqual([511, 7]);
  put(8);
  stop();
  nextFrame();
  expect(shown).toEqual([511, 7]);
});
