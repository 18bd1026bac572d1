// Words of HTTP: how the relay is asked, and what can come of it.
import { words } from "../words";
import type { components } from "./schema";

export type Schemas = components["schemas"];

/** Which unit, as the query parameters of every device route. */
export interface Unit {
  host?: string;
  tcp_port?: number;
  port?: string;
  baud?: number;
}

/** What the relay says when it cannot answer (RFC 9457), or what the browser says when it is gone. */
export class Problem extends Error {
  constructor(
    readonly kind: string,
    readonly status: number,
    readonly title: string,
    detail: string,
    readonly retryAfterS: number | null,
    readonly more: Record<string, unknown>,
  ) {
    super(detail);
  }
}

export interface Answer<T> {
  body: T;
  headers: Headers;
}

export interface Ask {
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Ask the relay; throws a `Problem`. */
export async function ask<T>(method: string, path: string, more: Ask = {}): Promise<Answer<T>> {
  const response = await send(method, path, more);
  return { body: (response.status === 204 ? undefined : await response.json()) as T, headers: response.headers };
}

/** The same, for bytes. */
export async function askBytes(path: string, more: Ask = {}): Promise<Answer<ArrayBuffer>> {
  const response = await send("GET", path, { ...more, headers: { Accept: "application/octet-stream", ...more.headers } });
  return { body: await response.arrayBuffer(), headers: response.headers };
}

async function send(method: string, path: string, more: Ask): Promise<Response> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(more.query ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  // An answer's age stands in its body, so the browser must keep none. Without a word of ours it would then say
  // no-cache, and the relay would take every read as forced.
  const headers: Record<string, string> = { "Cache-Control": "no-store", ...more.headers };
  if (more.body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(query.size ? `${path}?${query}` : path, {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      ...(more.body !== undefined ? { body: JSON.stringify(more.body) } : {}),
      ...(more.signal ? { signal: more.signal } : {}),
    });
  } catch (error) {
    if (more.signal?.aborted) throw error;
    throw new Problem("relay-gone", 0, words.trouble.relayGone, String(error), 5, {});
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

async function problemOf(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const retry = Number(response.headers.get("Retry-After"));
  return problemFrom({ title: response.statusText, ...body, status: response.status }, retry > 0 ? retry : null);
}

/** The problem that a problem document describes. */
export function problemFrom(body: Record<string, unknown>, retryAfterS: number | null = null): Problem {
  return new Problem(
    String(body.type ?? "").replace("urn:seismo-relay:problem:", "") || "unknown",
    Number(body.status ?? 0),
    String(body.title ?? ""),
    String(body.detail ?? ""),
    retryAfterS,
    body,
  );
}
