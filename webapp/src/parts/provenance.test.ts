import { describe, expect, it } from "vitest";
import { Problem, type Schemas } from "../api/client";
import { provenanceText } from "./provenance";

type Provenance = Schemas["ProvenanceOut"];

const READ_AT = new Date(2026, 3, 1, 14, 2, 0);
const TODAY = new Date(2026, 3, 1, 15, 0, 0);
const GOOD: Provenance = {
  conn_key: "tcp:10.0.0.5:12345",
  serial: "BE1",
  epoch: 0,
  source: "device",
  why: "miss",
  quality: "good",
  read_at: READ_AT.toISOString(),
  age_s: 2,
  checked_age_s: null,
  exchanges: 4,
  took_s: 0.1,
  stored: true,
  store_problem: null,
  ttl_s: 30,
  shared: false,
  simulated: false,
  reasons: [],
};

const textOf = (change: Partial<Provenance>, elapsedS = 10, kind: string | null = null) =>
  provenanceText(
    { ...GOOD, ...change },
    elapsedS,
    kind === null ? null : new Problem(kind, 0, "", "", null, {}),
    TODAY,
  );

describe("how fresh", () => {
  it.each<[Partial<Provenance>, string, boolean]>([
    [{}, "from the unit 12 s ago", false],
    [{ shared: true, age_s: 110 }, "from the unit 2 min 0 s ago", false],
    [{ source: "cache", age_s: 90, checked_age_s: 1 }, "checked 11 s ago", false],
    [{ source: "cache", age_s: 90 }, "checked 1 min 40 s ago", false],
    [{ source: "disk", age_s: 7200, checked_age_s: 0 }, "checked 10 s ago", false],
    [{ source: "cache", age_s: 90, quality: "unchecked" }, "read 1 min 40 s ago, not checked since", true],
    [
      { source: "disk", age_s: null, quality: "not_verified_since_restart" },
      "read at an unknown time, not checked since the relay started",
      true,
    ],
    [{ quality: "last_known", source: "cache" }, "last known, unreachable since 14:02 server time", true],
  ])("%o", (change, text, isDoubtful) => {
    expect(textOf(change)).toEqual({ text, isDoubtful });
  });

  it("is the last proof's time, not the read's, once the unit is gone", () => {
    const gone = textOf({ source: "cache", age_s: 600, checked_age_s: 0 }, 10, "unit-silent");
    expect(gone).toEqual({ text: "last known, unreachable since 14:12 server time", isDoubtful: true });
  });

  it("says that the unit is unreachable only where it was not reached", () => {
    for (const kind of ["unit-unreachable", "unit-silent", "link-lost", "backing-off"]) {
      expect(textOf({}, 0, kind).text).toContain("unreachable");
    }
    for (const kind of ["relay-gone", "shutting-down", "token-required", "not-allowed", "busy", "internal"]) {
      expect(textOf({}, 0, kind)).toMatchObject({ isDoubtful: true });
      expect(textOf({}, 0, kind).text).not.toContain("unreachable");
    }
  });

  it("names the day when it was not today", () => {
    const at = new Date(2026, 2, 30, 14, 2).toISOString();
    expect(textOf({ read_at: at }, 0, "unit-silent").text).toContain("2026-03-30 14:02");
  });
});
