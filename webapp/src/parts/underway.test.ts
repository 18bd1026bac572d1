import { expect, it } from "vitest";
import type { Step } from "../api/stream";
import { afterStep, type UnderWay } from "./underway";

const after = (...steps: Step[]) => steps.reduce<readonly UnderWay[]>(afterStep, []);

it("holds what has begun and not ended", () => {
  expect(after({ kind: "begun", resource: "events" })).toEqual([
    { resource: "events", what: null, done: 0, total: null },
  ]);
  expect(
    after(
      { kind: "begun", resource: "events" },
      { kind: "begun", resource: "waveform 3" },
      { kind: "step", resource: "events", what: "events", done: 2, total: null },
    ),
  ).toEqual([
    { resource: "waveform 3", what: null, done: 0, total: null },
    { resource: "events", what: "events", done: 2, total: null },
  ]);
  for (const kind of ["done", "failed"] as const) {
    expect(after({ kind: "begun", resource: "info" }, { kind, resource: "info" })).toEqual([]);
  }
});

it("takes a step that began before anybody followed", () => {
  expect(after({ kind: "step", resource: "waveform 0", what: "chunks", done: 3, total: 9 })).toHaveLength(1);
});
