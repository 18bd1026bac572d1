// Whether an event keeps to its limits, in words: the curve that is nearest to, or furthest beyond, what it allows.
import type { Schemas } from "../api/client";
import { words } from "../words";

export type Verdict = Pick<Schemas["VerdictOut"], "curve" | "outcome" | "share_percent" | "bound" | "channel"> & {
  frequency_hz?: number | null;
  frequency_bound?: ">" | "<" | null;
  /** Of the curve; a list has none. */
  title?: string;
};

const text = words.verdicts;

/**
 * Return the verdict that counts: one over its limit before all others, then the largest share of a limit; without
 * shares, one that says why.
 */
export function worstVerdict<T extends Verdict>(verdicts: readonly T[] | null | undefined): T | null {
  const rank = (one: T): number => (one.outcome === "exceeds" ? 1e9 : 0) + (one.share_percent ?? -1);
  let worst: T | null = null;
  for (const one of verdicts ?? []) if (!worst || rank(one) > rank(worst)) worst = one;
  return worst;
}

/** A share of a limit; one of a value over range is at least that. */
export function shareText({ share_percent: share, bound }: Pick<Verdict, "share_percent" | "bound">): string | null {
  return share === null ? null : `${bound ?? ""}${Math.round(share)} %`;
}

/** Return the shortest part of a curve's title that no other title begins and ends with: "USBM RI 8507 appendix B". */
export function curveName(title: string, all: readonly string[]): string {
  const shortened = (of: string): [string, string] => {
    const parts = of.replace(/ \(\d{4}\)/, "").split(/[,:] /);
    return [parts[0]!, `${parts[0]}, ${parts.at(-1)}`];
  };
  const others = all.filter((other) => other !== title).map(shortened);
  return shortened(title).find((name, i) => others.every((other) => other[i] !== name)) ?? title;
}

/** A verdict as a short sentence; `all`: those among which its curve is named, if it has a title. */
export function verdictText(verdict: Verdict | null, all: readonly Verdict[] = []): string {
  if (!verdict) return text.none;
  const share = shareText(verdict);
  if (verdict.outcome === "no_verdict" || share === null) return text.noVerdict;
  const titles = all.flatMap(({ title }) => title ?? []);
  const curve = verdict.title ? curveName(verdict.title, titles) : text.limit;
  return (verdict.outcome === "exceeds" ? text.exceeds : text.complies)(curve, share, verdict.channel ?? "");
}
