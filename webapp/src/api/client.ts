// HTTP alone: how the relay is asked, and what can come of it. Nothing here knows of pages.
import { words } from "../words";
import type { components } from "./schema";

export type Schemas = components["schemas"];
export type Query = Record<string, string | number | boolean | undefined>;

/** Which unit, as the query parameters of every device route: by serial number or name, or by address. */
export interface Unit {
  unit?: string;
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
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** The second secret of a session: the relay wants it with whatever changes something. */
let csrf: string | null = null;

export function presentCsrf(token: string | null): void {
  csrf = token;
}

/** Ask the relay; throws a `Problem`. */
export async function ask<T>(method: string, path: string, more: Ask = {}): Promise<Answer<T>> {
  const response = await send(method, path, more);
  if (!response.ok) throw await problemOf(response);
  const body = response.status === 204 ? undefined : await response.json();
  return { body: body as T, headers: response.headers };
}

/** Ask for what may be known already: a `null` body says that the one with that tag is still right (304). */
export async function askAgain<T>(path: string, etag: string | null, more: Ask = {}): Promise<Answer<T | null>> {
  const headers = { ...more.headers, ...(etag === null ? {} : { "If-None-Match": etag }) };
  const response = await send("GET", path, { ...more, headers });
  if (response.status === 304) return { body: null, headers: response.headers };
  if (!response.ok) throw await problemOf(response);
  return { body: (await response.json()) as T, headers: response.headers };
}

export interface File {
  /** As the relay names it: by serial number, unit time and key. */
  name: string;
  blob: Blob;
}

/** Ask for a file; throws a `Problem`. */
export async function askFile(path: string, more: Ask = {}): Promise<File> {
  const response = await send("GET", path, more);
  if (!response.ok) throw await problemOf(response);
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  return { name: name ?? "event", blob: await response.blob() };
}

/** Return whether the relay would send what an address names. */
export async function isThere(address: string): Promise<boolean> {
  try {
    return (await send("HEAD", address, {})).ok;
  } catch {
    return false;
  }
}

/** The address of a path with a query, without parameters that are not given. */
export function addressOf(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

async function send(method: string, path: string, more: Ask): Promise<Response> {
  // An answer's age stands in its body, so the browser must keep none. Without a word of ours it would then say
  // no-cache, and the relay would take every read as forced.
  const headers: Record<string, string> = { "Cache-Control": "no-store", ...more.headers };
  if (more.body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && method !== "HEAD" && csrf !== null) headers["X-CSRF-Token"] = csrf;
  try {
    return await fetch(addressOf(path, more.query), {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      ...(more.body !== undefined ? { body: JSON.stringify(more.body) } : {}),
      ...(more.signal ? { signal: more.signal } : {}),
    });
  } catch (error) {
    if (more.signal?.aborted) throw error;
    // What a browser says of it ("TypeError: Failed to fetch") helps nobody.
    throw new Problem("relay-gone", 0, words.trouble.relayGone, "", 5, {});
  }
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
