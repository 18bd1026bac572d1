import { expect, it } from "vitest";
import { Problem } from "../api/client";
import { outcomeOf } from "./outcome";

const problem = (kind: string, status: number, outcome?: string) =>
  new Problem(kind, status, "", "", null, outcome === undefined ? {} : { outcome });

it("is what the relay says", () => {
  expect(outcomeOf(problem("unit-silent", 504, "failed"))).toBe("failed");
  expect(outcomeOf(problem("unit-silent", 504, "unknown"))).toBe("unknown");
  expect(outcomeOf(problem("refused", 409, "command-conflict"))).toBe("refused");
});

it("is unknown when the relay went away, and when somebody else answered for it", () => {
  expect(outcomeOf(problem("relay-gone", 0))).toBe("unknown");
  expect(outcomeOf(problem("unknown", 504))).toBe("unknown");
  expect(outcomeOf(problem("internal", 500))).toBe("unknown");
});

it("is refused when the request itself was", () => {
  expect(outcomeOf(problem("not-allowed", 403))).toBe("refused");
  expect(outcomeOf(problem("invalid-parameter", 422))).toBe("refused");
});
