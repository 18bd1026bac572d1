import { describe, expect, it } from "vitest";
import { ANYTHING, lookOf, queryOf, secondAfter, wantedOf } from "./wanted";

const WANTED = {
  serial: "BE1/2",
  since: "2026-04-01T00:00",
  until: "2026-04-02T00:00",
  minPvsInS: 0.5,
  project: "a & b",
};

describe("what is asked of the archive", () => {
  it("comes back from the page's address as it went in", () => {
    for (const wanted of [WANTED, ANYTHING]) {
      expect(wantedOf(`#/archive?${new URLSearchParams(lookOf(wanted))}`)).toEqual(wanted);
    }
    expect(Object.values(lookOf(ANYTHING)).join("")).toBe("");
  });

  it("leaves out what asks for nothing, and keeps a PVS of zero, which leaves out the unknown", () => {
    expect(queryOf({ ...ANYTHING, serial: "BE1", project: "  " })).toEqual({ serial: "BE1" });
    expect(queryOf({ ...ANYTHING, minPvsInS: 0 })).toEqual({ min_pvs: "0" });
  });

  it("takes no number that is none", () => {
    for (const text of ["x", "", "-1", "Infinity"]) expect(wantedOf(`#/archive?min_pvs=${text}`).minPvsInS).toBeNull();
  });

  it("knows the next second of a unit's clock, over a summer time gap too", () => {
    expect(secondAfter("2026-03-29T01:59:59")).toBe("2026-03-29T02:00:00");
    expect(secondAfter("2026-12-31T23:59:59")).toBe("2027-01-01T00:00:00");
    expect(secondAfter("not known")).toBeNull();
  });
});
