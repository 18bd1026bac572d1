import { expect, it } from "vitest";
import { Problem, type Schemas } from "../api/client";
import { readFor, restAfter } from "./reading";

type Provenance = Schemas["ProvenanceOut"];

const of = (why: Provenance["why"], source: Provenance["source"] = "cache") => ({ provenance: { why, source } as Provenance });
const SILENT = new Problem("unit-silent", 504, "The unit did not answer", "10.0.0.5", null, {});

/** What was asked and shown, with answers given one after the other. */
async function run(isShown: boolean, ...answers: (ReturnType<typeof of> | Problem)[]) {
  const asked: boolean[] = [];
  const shown: string[] = [];
  const reading = readFor(
    isShown,
    async (query) => {
      asked.push("stale_if_error" in query!);
      const answer = answers.shift()!;
      if (answer instanceof Problem) throw answer;
      return answer;
    },
    (body) => shown.push(body.provenance.why),
  );
  const problem = await reading.then(() => null, (error: unknown) => error);
  return { asked, shown, problem };
}

it("takes what was last known while there is nothing to see, and then asks why", async () => {
  expect(await run(false, of("stale"), SILENT)).toEqual({ asked: [true, false], shown: ["stale"], problem: SILENT });
  expect(await run(false, of("stale", "disk"), SILENT)).toEqual({ asked: [true, false], shown: ["stale"], problem: SILENT });
});

it("shows a unit that is back at once", async () => {
  expect(await run(false, of("stale"), of("miss"))).toEqual({ asked: [true, false], shown: ["stale", "miss"], problem: null });
});

it("asks once where the unit or a proven memory answered", async () => {
  const answers = [of("hit"), of("hit", "disk"), ...(["miss", "request", "partial", "stale"] as const).map((why) => of(why, "device"))];
  for (const answer of answers) {
    expect(await run(false, answer)).toEqual({ asked: [true], shown: [answer.provenance.why], problem: null });
  }
});

it("tells a failure where something is to be seen already", async () => {
  expect(await run(true, SILENT)).toEqual({ asked: [false], shown: [], problem: SILENT });
  expect(await run(false, SILENT)).toEqual({ asked: [true], shown: [], problem: SILENT });
});

it("leaves a slow unit's line to others for most of the time", () => {
  expect(restAfter(0.4)).toBe(0);
  for (const tookS of [1, 6, 12]) expect((tookS + 5) / (tookS + restAfter(tookS))).toBeLessThanOrEqual(0.15);
});
