import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Problem } from "./client";
import { longCommand } from "./operation";

const UNIT = { host: "10.0.0.5", tcp_port: 12345 };
const RUNNING = { state: "running", result: null, problem: null };
const DONE = { state: "done", result: { monitoring: true }, problem: null };

describe("a long command", () => {
  const asked: [string, string, string | undefined][] = [];
  const lost = new Set<string>();
  let answers: (() => Response)[];

  const begun = (): Response =>
    Response.json({ id: "abc", ...RUNNING }, { status: 202, headers: { Location: "/operations/abc" } });
  const gone = (): Response => {
    throw new TypeError("Failed to fetch");
  };
  const timedOut = (): Response => new Response("<html>", { status: 504 });
  const signedOut = (): Response => Response.json({ type: "urn:seismo-relay:problem:token-required" }, { status: 401 });
  const given = (): Promise<unknown> => {
    const result = longCommand(UNIT, "/device/monitor/start", {}, { onLost: ({ kind }) => lost.add(kind) }).then(
      ({ body }) => body,
      (error: unknown) => error,
    );
    return vi.advanceTimersByTimeAsync(600_000).then(() => result);
  };

  beforeEach(() => {
    vi.useFakeTimers();
    asked.length = 0;
    lost.clear();
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      asked.push([init.method ?? "", url.split("?")[0] ?? "", (init.headers as Record<string, string>).Prefer]);
      return (answers.length > 1 ? answers.shift()! : answers[0]!)();
    });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it("is given once, not waited for, and looked at until it has ended", async () => {
    answers = [begun, () => Response.json(RUNNING), () => Response.json(DONE)];
    expect(await given()).toEqual({ monitoring: true });
    expect(asked).toEqual([
      ["POST", "/device/monitor/start", "respond-async"],
      ["GET", "/operations/abc", undefined],
      ["GET", "/operations/abc", undefined],
    ]);
  });

  it("keeps its result however many looks are lost, and says of each lost look why", async () => {
    answers = [begun, gone, timedOut, signedOut, ...Array<() => Response>(56).fill(gone), () => Response.json(DONE)];
    expect(await given()).toEqual({ monitoring: true });
    expect([...lost]).toEqual(["relay-gone", "unknown", "token-required"]);
  });

  it("takes the result itself from a relay that waited", async () => {
    answers = [() => Response.json({ monitoring: true })];
    expect(await given()).toEqual({ monitoring: true });
    expect(asked).toHaveLength(1);
  });

  it("throws the problem that it ended with", async () => {
    const problem = {
      type: "urn:seismo-relay:problem:not-monitoring",
      status: 409,
      title: "t",
      detail: "d",
      outcome: "done",
    };
    answers = [begun, () => Response.json({ state: "failed", result: null, problem })];
    const error = (await given()) as Problem;
    expect([error.kind, error.status, error.message, error.more.outcome]).toEqual(["not-monitoring", 409, "d", "done"]);
  });

  it.each([
    ["that stays silent", gone, 61],
    ["that forgot it", () => Response.json({}, { status: 404 }), 2],
  ])("has an unknown outcome at a relay %s", async (_, answer, count) => {
    answers = [begun, answer];
    const error = (await given()) as Problem;
    expect([error.kind, error.more.outcome, asked.length]).toEqual(["outcome-unknown", "unknown", count]);
  });
});
