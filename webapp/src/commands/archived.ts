// How many events of a unit's list an erase would count as archived.
import { ask, type Schemas } from "../api/client";

const PAGE = 1000;

const stampOf = (event: Schemas["EventBase"]): string => `${event.waveform_key} ${event.timestamp ?? ""}`;

/** How many of the events have no recording that an erase would count. */
export function unarchived(events: readonly Schemas["EventBase"][], archived: readonly Schemas["ArchivedRow"][]): number {
  const held = new Set(archived.filter((row) => row.counted_by_erase).map(stampOf));
  return events.filter((event) => !held.has(stampOf(event))).length;
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
