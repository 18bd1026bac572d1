"""
Verdicts on what the database has: a unit's list, a page of the archive, one recording.

Derived at each read from stored figures and the present limits; nothing of it is stored, so that a
new result or another choice of limits cannot leave an old verdict behind.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

from sfm.records.payloads import Payload
from sfm.records.roster import NO_ROSTER, Roster
from sfm.records.verdicts import Judge, Judged
from sfm.store import analyses, archive, mirrored_lists
from sfm.store.archive import Page, Wanted

__all__ = ["load_facts", "load_judged_page", "load_judged_recording"]

UNDECODED = "undecoded"


def load_facts(
    connection: Connection,
    unit_id: str,
    epoch: int,
    judge: Judge,
    recordings: Collection[int] | None = None,
) -> dict[int, Payload]:
    """
    Return what the archive adds to the events of a unit's mirrored list, by their indices.

    Of each event its verdicts; of one whose samples gave its range, that too. Empty if the list is
    damaged or of another epoch. ``recordings``: only the events of these, by their numbers.
    """
    listed = mirrored_lists.listed_events(connection, unit_id, epoch, recordings)
    names = {
        one.number: one.public_id
        for one in listed
        if one.number is not None and one.public_id is not None
    }
    samples = archive.samples_of(connection, names)
    results = analyses.load_by_recording(connection, names) if judge.has_curves else {}
    found: dict[int, Payload] = {}
    for one in listed:
        of = None if one.number is None else samples.get(one.number)
        range_in_s = None if of is None else of.geo_range_in_s
        judged = judge.judge(
            one.serial,
            one.event,
            None if one.number is None else results.get(one.number),
            geo_range_in_s=range_in_s,
            is_undecoded=of is not None and of.state == UNDECODED,
        )
        known = {} if range_in_s is None else {"geo_range_in_s": range_in_s}
        found[one.slot] = {**known, **judged.brief()}
    return found


def load_judged_page(
    connection: Connection,
    wanted: Wanted,
    cursor: str | None,
    limit: int,
    *,
    judge: Judge,
    zones: Roster = NO_ROSTER,
) -> Page:
    """Return a page of recordings with their verdicts; raises as ``archive.load_page``."""
    page = archive.load_page(connection, wanted, cursor, limit, zones=zones)
    names = [row["id"] for row in page.rows] if judge.has_curves else []
    numbers = archive.numbers_of(connection, names)
    results = analyses.load_by_recording(connection, numbers.values())
    for row in page.rows:
        result = results.get(numbers.get(row["id"], -1))
        row |= _judged(row, result, row["archived"]["samples"], judge).brief()
    return page


def load_judged_recording(
    connection: Connection, name: str, *, judge: Judge
) -> tuple[Payload, Judged]:
    """Return a recording and its verdicts; raises as ``archive.load_recording``."""
    number = archive.find(connection, name)
    payload = archive.recording_numbered(connection, number)
    state = archive.samples_of(connection, {number: payload["id"]})[number].state
    result = analyses.load_by_recording(connection, [number]).get(number)
    return payload, _judged(payload, result, state, judge)


def _judged(
    event: Mapping[str, Any], result: Payload | None, samples: str | None, judge: Judge
) -> Judged:
    return judge.judge(
        event["serial"],
        event,
        result,
        geo_range_in_s=event["geo_range_in_s"],
        is_undecoded=samples == UNDECODED,
    )
