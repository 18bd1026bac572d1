// How many events of a unit's list an erase would count as archived.
import { ask, type Schemas } from "../api/client";
import type { Event as Listed } from "../events/choose";

const PAGE = 1000;

const stampOf = (event: Listed): string => `${event.waveform_key} ${event.timestamp ?? ""}`;

/** The events that have no recording that an erase would count. */
export function unarchived(events: readonly Listed[], archived: readonly Schemas["ArchivedRow"][]): Listed[] {
  const held = new Set(archived.filter((row) => row.counted_by_erase).map(stampOf));
  return events.filter((event) => !held.has(stampOf(event)));
}

/** Everything that the archive has of a unit; throws a `Problem`. */
export async function archivedOf(serial: string): Promise<Schemas["ArchivedRow"][]> {
  const rows: Schemas["ArchivedRow"][] = [];
  let cursor: string | null = null;
  do {
    const query = { serial, limit: PAGE, ...(cursor === null ? {} : { cursor }) };
    const page: Schemas["ArchivePage"] = (await ask<Schemas["ArchivePage"]>("GET", "/archive/events", { query })).body;
    rows.push(...page.events);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return rows;
}
