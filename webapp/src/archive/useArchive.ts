// Recordings of the archive, page behind page. A cursor names a place: each recording is met exactly once.
import type { Schemas } from "../api/client";
import { type Resource, useResource } from "../data/resource";
import { queryOf, type Wanted } from "./wanted";

export type Row = Schemas["ArchivedRow"];
export type Page = Schemas["ArchivePage"];

const PAGE_ROWS = 200;

const PAGES = {
  next: (body: unknown) => {
    const cursor = (body as Page).next_cursor;
    return cursor === null ? null : { cursor };
  },
  merge: (before: unknown, next: unknown): Page => ({
    ...(next as Page),
    events: [...(before as Page).events, ...(next as Page).events],
  }),
};

export function useArchive(wanted: Wanted): Resource<Page> {
  return useResource<Page>({ path: "/archive/events", query: { ...queryOf(wanted), limit: PAGE_ROWS }, pages: PAGES });
}
