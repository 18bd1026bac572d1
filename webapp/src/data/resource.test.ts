import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { askAgain, Problem, type Schemas } from "../api/client";
import { confirmed, tookOf } from "./answers";
import { readFor, restQuery } from "./resource";

type Provenance = Schemas["ProvenanceOut"];
type Found = { provenance: Provenance };

const of = (why: Provenance["why"], source: Provenance["source"] = "cache"): Found => ({
  provenance: { why, source } as Provenance,
});
const SILENT = new Problem("unit-silent", 504, "The unit did not answer", "10.0.0.5", null, {});

/** What was asked and shown, with answers given one after the other. */
async function run(isShown: boolean, ...answers: (Found | Problem)[]) {
  const asked: boolean[] = [];
  const shown: string[] = [];
  const reading = readFor(
    isShown,
    async (query) => {
      asked.push("stale_if_error" in query);
      const answer = answers.shift()!;
      if (answer instanceof Problem) throw answer;
      return answer;
    },
    (body) => shown.push(body.provenance.why),
    (body) => body.provenance,
  );
  const problem = await reading.then(
    () => null,
    (error: unknown) => error,
  );
  return { asked, shown, problem };
}

it("takes what was last known while there is nothing to see, and then asks why", async () => {
  const seen = { asked: [true, false], shown: ["stale"], problem: SILENT };
  expect(await run(false, of("stale"), SILENT)).toEqual(seen);
  expect(await run(false, of("stale", "disk"), SILENT)).toEqual(seen);
});

it("shows a unit that is back at once", async () => {
  const seen = { asked: [true, false], shown: ["stale", "miss"], problem: null };
  expect(await run(false, of("stale"), of("miss"))).toEqual(seen);
});

it("asks once where the unit or a proven memory answered", async () => {
  const whys = ["miss", "request", "partial", "stale"] as const;
  for (const answer of [of("hit"), of("hit", "disk"), ...whys.map((why) => of(why, "device"))]) {
    expect(await run(false, answer)).toEqual({ asked: [true], shown: [answer.provenance.why], problem: null });
  }
});

it("tells a failure where something is to be seen already", async () => {
  expect(await run(true, SILENT)).toEqual({ asked: [false], shown: [], problem: SILENT });
  expect(await run(false, SILENT)).toEqual({ asked: [true], shown: [], problem: SILENT });
});

it("asks for the rest of a beginning only what was proven since its read began, and never forces", () => {
  const body = { provenance: { age_s: 2.5 } };
  expect(restQuery({ body, atMs: 10_000 }, 11_700)).toEqual({ max_age: 4 });
  expect(restQuery({ body: { provenance: { age_s: 0 } }, atMs: 0 }, 20)).toEqual({ max_age: 1 });
});

const BEFORE = {
  source: "device",
  why: "miss",
  quality: "good",
  age_s: 2,
  checked_age_s: null,
  took_s: 4,
} as Provenance;

it("knows of a 304 how old the content is, and what it cost", () => {
  const headers = new Headers({
    Age: "3",
    "Cache-Status": 'seismo-relay; hit; detail="exchanges 12"',
    "Server-Timing": "unit;dur=6004",
  });
  expect(confirmed(BEFORE, headers, 20)).toMatchObject({
    source: "cache",
    quality: "good",
    age_s: 22,
    checked_age_s: 3,
    took_s: 6.004,
  });
  expect(tookOf(new Headers())).toBe(0);
});

it("does not take a 304 for a unit that was not reached as a confirmation", () => {
  const headers = new Headers({ Age: "90", "Cache-Status": "seismo-relay; fwd=stale; fwd-status=504" });
  expect(confirmed(BEFORE, headers, 20)).toMatchObject({ quality: "last_known", why: "stale", checked_age_s: 90 });
});

const asked: { url: string; init: RequestInit }[] = [];
let answer: () => Response;

beforeEach(() => {
  asked.length = 0;
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    asked.push({ url, init });
    return answer();
  });
});
afterEach(() => vi.unstubAllGlobals());

const headersOf = (i: number) => asked[i]!.init.headers as Record<string, string>;

it("asks by the tag of what it has, and takes 304 for the same", async () => {
  answer = () => Response.json({ a: 1 }, { headers: { ETag: '"x"' } });
  expect((await askAgain("/device/info", null)).body).toEqual({ a: 1 });
  expect(headersOf(0)["If-None-Match"]).toBeUndefined();
  answer = () => new Response(null, { status: 304 });
  expect((await askAgain("/device/info", '"x"')).body).toBeNull();
  expect(headersOf(1)["If-None-Match"]).toBe('"x"');
});

it("leaves no room for the no-cache that a browser adds by itself, which would force", async () => {
  answer = () => Response.json({});
  await askAgain("/device/info", null, { query: { host: "h", force: undefined } });
  expect(headersOf(0)["Cache-Control"]).toBe("no-store");
  expect(asked[0]!.init.cache).toBe("no-store");
  expect(asked[0]!.url).toBe("/device/info?host=h");
});
