"""Lists of the archive: its units, and its recordings in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    func,
    select,
    tuple_,
)

from sfm.records.payloads import Payload
from sfm.records.roster import NO_ROSTER, Roster
from sfm.store import decodings, schema
from sfm.store.archive.contents import contents_of, unproven_among
from sfm.store.archive.recordings import damage_of, recording_payload
from sfm.store.archive.reviews import review_payload
from sfm.store.cursors import Cursor, check_page_size
from sfm.store.row_hashes import (
    UNREADABLE,
    is_sound,
    raise_unless_unreadable,
    read_rows,
)

__all__ = [
    "Page",
    "Wanted",
    "load_devices",
    "load_page",
]

_MAX_NAMED = 1000
"""Of the damaged rows beside one page; the others are counted."""
_MAX_ROWS_IN_A_STEP = 10_000

recordings, waveforms = schema.recordings, schema.recording_waveforms


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filter for recordings: every part that is given must match."""

    serial: str | None = None
    since: str | None = None
    """Unit time, ISO 8601 without zone: at or after."""
    until: str | None = None
    """Unit time: before."""
    min_pvs_in_s: float | None = None
    project: str | None = None
    """Text that the project contains, in any case."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some recordings, newest unit time first, and where the next page begins."""

    rows: list[Payload]
    next_cursor: str | None
    damaged: list[str]
    """Rows of this page that do not match their hash, as sentences."""


def load_devices(connection: Connection) -> list[Payload]:
    """
    Return every unit of the archive with what is there of it.

    Of a unit whose rows at either end of its time are damaged, only sound rows are counted.
    """
    r = recordings.c
    query = (
        select(
            r.serial,
            func.count().label("recordings"),
            func.max(r.id).label("last_id"),
            func.min(r.event_timestamp).filter(r.event_timestamp != "").label("first_timestamp"),
            func.max(r.event_timestamp).filter(r.event_timestamp != "").label("last_timestamp"),
        )
        .group_by(r.serial)
        .order_by(r.serial)
    )
    try:
        found = connection.execute(query).mappings().all()
    except UNREADABLE as error:
        raise_unless_unreadable(error)
        return _devices_of_sound_rows(connection, select(recordings))
    payloads_found: list[Payload] = []
    for row in found:
        ends = select(recordings).where(
            r.serial == row["serial"],
            (r.id == row["last_id"])
            | r.event_timestamp.in_([row["first_timestamp"], row["last_timestamp"]]),
        )
        sound = {
            one["id"]: one
            for _, one in read_rows(connection, recordings, ends)
            if one is not None and is_sound("recordings", one) and one["serial"] == row["serial"]
        }
        met = connection.execute(ends.with_only_columns(func.count())).scalar_one()
        if len(sound) != met or row["last_id"] not in sound:
            payloads_found += _devices_of_sound_rows(
                connection, select(recordings).where(r.serial == row["serial"])
            )
            continue
        payloads_found.append(_device_payload(row, sound[row["last_id"]]))
    return payloads_found


def _devices_of_sound_rows(connection: Connection, query: Select[Any]) -> list[Payload]:
    """Return the same from the rows themselves, damaged ones left out."""
    met: dict[str, list[RowMapping]] = {}
    for _, row in read_rows(connection, recordings, query.order_by(recordings.c.id)):
        if row is not None and is_sound("recordings", row):
            met.setdefault(row["serial"], []).append(row)
    payloads_found: list[Payload] = []
    for serial, rows in sorted(met.items()):
        times = [row["event_timestamp"] for row in rows if row["event_timestamp"]]
        counted = {
            "serial": serial,
            "recordings": len(rows),
            "first_timestamp": min(times, default=None),
            "last_timestamp": max(times, default=None),
        }
        payloads_found.append(_device_payload(counted, rows[-1]))
    return payloads_found


def load_page(
    connection: Connection,
    wanted: Wanted,
    cursor: str | None = None,
    limit: int = 100,
    *,
    zones: Roster = NO_ROSTER,
) -> Page:
    """
    Return a page of recordings: newest unit time first, unknown times last, then latest entered.

    Each row that was there when the first page was read appears exactly once, whatever is saved
    meanwhile. A damaged row is named beside the page and takes no other row's place.

    Raises:
        BadCursorError: no page returned that cursor.
        ValueError: ``limit`` is not 1 to 1000.
    """
    check_page_size(limit)
    after = None if cursor is None else Cursor.read(cursor)
    r = recordings.c
    query = select(recordings).order_by(r.event_timestamp.desc(), r.id.desc())
    if wanted.serial is not None:
        query = query.where(r.serial == wanted.serial)
    if wanted.since is not None:
        query = query.where(r.event_timestamp >= wanted.since)
    if wanted.until is not None:
        query = query.where(r.event_timestamp < wanted.until, r.event_timestamp != "")
    if wanted.min_pvs_in_s is not None:
        query = query.where(r.vector_sum_in_s >= wanted.min_pvs_in_s)
    if wanted.project is not None:
        query = query.where(func.lower(r.project).contains(wanted.project.lower(), autoescape=True))
    if after is not None:
        query = query.where(tuple_(r.event_timestamp, r.id) < tuple_(after.timestamp, after.number))
    rows, damaged, has_more = _sound_rows(connection, query, limit)
    found = [recording_payload(row, zones) for row in rows]
    damaged += _add_what_changes(connection, rows, found)
    last = rows[-1] if has_more else None
    following = None if last is None else Cursor(last["event_timestamp"], last["id"]).text()
    return Page(found, following, damaged)


def _sound_rows(
    connection: Connection, query: Select[Any], limit: int
) -> tuple[list[RowMapping], list[str], bool]:
    """Return up to ``limit`` rows that are sound, the damage met before, whether more follow."""
    rows: list[RowMapping] = []
    damaged: list[str] = []
    unnamed = 0
    skipped = 0
    wanted = limit + 1
    while True:
        met = list(read_rows(connection, recordings, query.offset(skipped).limit(wanted)))
        for (number,), row in met:
            if row is not None and is_sound("recordings", row):
                if len(rows) == limit:
                    return rows, damaged + _more_damaged(unnamed), True
                rows.append(row)
            elif len(damaged) < _MAX_NAMED:
                damaged.append(damage_of(number, row))
            else:
                unnamed += 1
        if len(met) < wanted:
            return rows, damaged + _more_damaged(unnamed), False
        skipped += len(met)
        # The database counts all that is skipped anew each time, so each step is twice as long.
        wanted = min(2 * wanted, _MAX_ROWS_IN_A_STEP)


def _more_damaged(unnamed: int) -> list[str]:
    if not unnamed:
        return []
    return [f"{unnamed} more recordings: their stored facts do not match their hashes either"]


def _add_what_changes(
    connection: Connection, rows: Sequence[RowMapping], found: list[Payload]
) -> list[str]:
    """
    Add to each row of a page what is no fact of the instrument: samples there, review.

    Returns the damage that was met in what is added.
    """
    v = schema.reviews.c
    numbers = [row["id"] for row in rows]
    names = {row["id"]: row["public_id"] for row in rows}
    contents, damaged = contents_of(connection, names)
    latest: dict[int, Payload] = {}
    query = select(schema.reviews).where(v.recording_id.in_(numbers)).order_by(v.id)
    for (number,), one in read_rows(connection, schema.reviews, query):
        if one is None or one["recording_id"] not in names:
            damaged.append(f"review number {number} of a recording of this page cannot be read")
        else:
            latest[one["recording_id"]] = review_payload(one)
    marked = unproven_among(connection, names)
    archived, ranges, unread = decodings.states(connection, names, contents)
    counted = decodings.counted(connection, archived)
    for number, payload in zip(numbers, found, strict=True):
        payload["epoch_proven"] = number not in marked
        payload["archived"] = archived[number]
        payload["geo_range_in_s"] = ranges.get(number)
        payload["counted_by_erase"] = number in counted
        payload["waveforms"] = len(contents[number])
        payload["contents"] = contents[number]
        payload["review"] = latest.get(number)
    return damaged + unread


def _device_payload(counted: Mapping[Any, Any], last: Mapping[Any, Any]) -> Payload:
    # Names of ours: those of a row are no plain texts, and JSON takes no others.
    names = ("serial", "recordings", "first_timestamp", "last_timestamp")
    return {
        **{name: counted[name] for name in names},
        "simulated": last["simulated"],
        "last_read_at": last["read_at"] or None,
        "last_route": last["route"],
    }
