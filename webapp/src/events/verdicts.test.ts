import { expect, it } from "vitest";
import { shareText, type Verdict, verdictText, worstVerdict } from "./verdicts";

const verdict = (more: Partial<Verdict>): Verdict => ({
  curve: "c",
  outcome: "complies",
  share_percent: 52.4,
  bound: null,
  channel: "Long",
  ...more,
});

it("counts the largest share of a limit, and says nothing of what was not judged", () => {
  const over = verdict({ outcome: "exceeds", share_percent: 283 });
  expect(worstVerdict([verdict({}), over, verdict({ outcome: "no_verdict", share_percent: null })])).toBe(over);
  const unjudged = verdict({ outcome: "no_verdict", share_percent: 400, bound: ">" });
  expect(worstVerdict([unjudged, over])).toBe(over);
  expect(worstVerdict([])).toBeNull();
  expect(worstVerdict(null)).toBeNull();
});

it("says a verdict in words, and never that an unjudged event complies", () => {
  expect(verdictText(verdict({}))).toBe("Within the limit: Long 52 % of it");
  expect(verdictText(verdict({ outcome: "exceeds", share_percent: 283, bound: ">" }))).toBe(
    "Over the limit: Long >283 % of it",
  );
  expect(verdictText(verdict({ outcome: "no_verdict", share_percent: null }))).toBe("No verdict");
  expect(verdictText(null)).toBe("Not judged: no limit was chosen");
  expect(shareText(verdict({ share_percent: null }))).toBeNull();
});
