// What of a unit is read now, made from the steps that the relay tells.
import type { Step } from "../api/stream";

export interface UnderWay {
  resource: string;
  what: string | null;
  done: number;
  total: number | null;
}

/** What is under way after one more step. */
export function afterStep(before: readonly UnderWay[], step: Step): readonly UnderWay[] {
  const others = before.filter((one) => one.resource !== step.resource);
  if (step.kind === "done" || step.kind === "failed") return others;
  if (step.kind === "begun") return [...others, { resource: step.resource, what: null, done: 0, total: null }];
  return [
    ...others,
    { resource: step.resource, what: step.what ?? null, done: step.done ?? 0, total: step.total ?? null },
  ];
}
