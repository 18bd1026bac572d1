import { expect, it } from "vitest";
import { SharedStreams } from "./shared";
import type { Step } from "./stream";

const STEP: Step = { kind: "step", resource: "events", done: 3 };

function made() {
  const open = new Map<string, { tell: (step: Step) => void; opened: () => void }>();
  let nowMs = 0;
  const streams = new SharedStreams(
    (address, tell, opened) => {
      open.set(address, { tell, opened });
      return () => open.delete(address);
    },
    () => nowMs,
  );
  return { streams, open, pass: (ms: number) => (nowMs += ms) };
}

it("has one stream for all who follow an address, and none for nobody", () => {
  const { streams, open } = made();
  const heard: string[] = [];
  for (const id of ["a", "b"]) streams.follow("/x", id, () => heard.push(id));
  expect(open.size).toBe(1);
  open.get("/x")!.tell(STEP);
  expect(heard).toEqual(["a", "b"]);
  streams.leave("a");
  expect(open.size).toBe(1);
  streams.leave("b");
  expect(open.size).toBe(0);
});

it("tells those who come later what is under way, and nothing that has ended", () => {
  const { streams, open } = made();
  const heard: Step[] = [];
  streams.follow("/x", "a", () => {});
  open.get("/x")!.tell(STEP);
  streams.follow("/x", "b", (step) => heard.push(step));
  // To go on following brings nothing again.
  streams.follow("/x", "b", (step) => heard.push(step));
  expect(heard).toEqual([STEP]);
  open.get("/x")!.tell({ kind: "done", resource: "events" });
  streams.follow("/x", "c", (step) => heard.push(step));
  expect(heard.slice(2)).toEqual([]);
  open.get("/x")!.tell(STEP);
  open.get("/x")!.opened();
  streams.follow("/x", "d", () => heard.push({ ...STEP, done: -1 }));
  expect(heard.some(({ done }) => done === -1)).toBe(false);
});

it("lets go of a tab that was closed without a word", () => {
  const { streams, open, pass } = made();
  streams.follow("/x", "a", () => {});
  streams.follow("/x", "b", () => {});
  pass(50);
  streams.follow("/x", "b", () => {});
  pass(60);
  streams.prune(100);
  expect(open.size).toBe(1);
  pass(60);
  streams.prune(100);
  expect(open.size).toBe(0);
});
