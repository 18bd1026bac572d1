import { expect, it } from "vitest";
import { curveName, shareText, type Verdict, verdictText, worstVerdict } from "./verdicts";

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

it("names the curve by which it judges, as short as no other is called", () => {
  const usbm = "USBM RI 8507 (1980) appendix B, modern homes, drywall";
  const plaster = "USBM RI 8507 (1980) appendix B, older homes, plaster on wood lath";
  const din = (place: string): string => `DIN 4150-3 table 1, short-term, ${place}, dwellings`;
  expect(curveName(usbm, [usbm, din("top floor")])).toBe("USBM RI 8507 appendix B");
  expect(curveName(usbm, [usbm, plaster])).toBe("USBM RI 8507 appendix B, drywall");
  expect(curveName(din("top floor"), [din("top floor"), din("at the foundation")])).toBe(din("top floor"));
  expect(curveName("ABNT NBR 9653:2018, airblast", [])).toBe("ABNT NBR 9653:2018");
  expect(curveName("DIN 45669-1 annex E: peak of the velocity", [])).toBe("DIN 45669-1 annex E");
  expect(curveName("Our own", ["Our own"])).toBe("Our own");
  const titled = verdict({ title: usbm });
  expect(verdictText(titled, [titled, verdict({ title: plaster })])).toBe(
    "Within USBM RI 8507 appendix B, drywall: Long 52 % of it",
  );
});
