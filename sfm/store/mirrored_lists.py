"""
The mirror's lists beside the archive: which recording each event has, and what an erase would lose.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, RowMapping, select

from sfm.records.payloads import Payload
from sfm.store import archive, decodings, schema
from sfm.store.decodings import EraseCheck
from sfm.store.errors import DamagedMirrorError
from sfm.store.mirror_rows import device_row, sound_events
from sfm.store.row_hashes import UNREADABLE, raise_unless_unreadable, read_rows

__all__ = ["ListedEvent", "contradictions", "erase_check", "listed_events"]

events, waveforms = schema.cached_events, schema.cached_waveforms


def erase_check(
    connection: Connection,
    unit_id: str,
    version: int | None,
    count: int,
    walked: Sequence[Payload] | None = None,
    among: Collection[int] | None = None,
) -> EraseCheck:
    """
    Return which of a unit's ``count`` events an erase would lose (``decodings.erase_check``).

    ``among``: look at the images of these indices only; nothing is returned about the others.

    Proven by the mirror's list alone: unless that is of this version, whole, current and of that
    many events, every event would be; and so would one that no recording is named for. Where
    ``walked`` is given, the list just walked, the mirror's must be equal to it as well: the
    database may not have taken it.
    """
    every = EraseCheck(unarchived=list(range(count)), contradicted=[])
    try:
        device = device_row(connection, unit_id)
        rows = sound_events(connection, unit_id)
    except DamagedMirrorError:
        return every
    if device is None or (device["version"], device["list_count"]) != (version, count):
        return every
    # A list with no time of its own came too late: the unit's memory may differ by now.
    if device["list_read_at"] is None or [row["index"] for row in rows] != every.unarchived:
        return every
    if walked is not None and [orjson.loads(row["event_json"]) for row in rows] != list(walked):
        return every
    asked = rows if among is None else [row for row in rows if row["index"] in among]
    return decodings.erase_check(connection, _recordings_of(connection, device["serial"], asked))


class ListedEvent(NamedTuple):
    """An event of a unit's mirrored list, and the recording of it in the archive."""

    slot: int
    serial: str
    event: Payload
    number: int | None
    """Of its recording; ``None``: the list does not show which one it is."""
    public_id: str | None


def listed_events(
    connection: Connection, unit_id: str, epoch: int, recordings: Collection[int] | None = None
) -> list[ListedEvent]:
    """
    Return a unit's mirrored list; empty if it is damaged or of another epoch.

    ``recordings``: only the events of these recordings, by their numbers.
    """
    try:
        device = device_row(connection, unit_id)
        rows = sound_events(connection, unit_id, recordings)
    except DamagedMirrorError:
        return []
    if device is None or device["epoch"] != epoch:
        return []
    serial = device["serial"] or ""
    names = _recordings_of(connection, serial, rows)
    return [
        ListedEvent(
            row["index"],
            serial,
            orjson.loads(row["event_json"]),
            None if names[row["index"]] is None else row["recording_id"],
            names[row["index"]],
        )
        for row in rows
    ]


def _recordings_of(
    connection: Connection, serial: str, rows: Sequence[RowMapping]
) -> dict[int, str | None]:
    """Return of each row of a list the public id of its recording, where that is of its event."""
    r = schema.recordings
    numbers = [row["recording_id"] for row in rows if row["recording_id"] is not None]
    names: dict[tuple[Any, ...], str] = {}
    for at in range(0, len(numbers), archive.AT_ONCE):
        query = select(r).where(r.c.id.in_(numbers[at : at + archive.AT_ONCE]))
        for (number,), one in read_rows(connection, r, query):
            if one is not None:
                of = (one["serial"], one["waveform_key"], one["event_timestamp"])
                names[number, *of] = one["public_id"]
    return {
        row["index"]: names.get(
            (
                row["recording_id"],
                serial.strip(),
                row["waveform_key"],
                row["event_timestamp"] or "",
            )
        )
        for row in rows
    }


def contradictions(connection: Connection) -> list[str]:
    """Return a sentence for each row of the mirror that does not agree with the archive."""
    r, w = schema.recordings.c, schema.recording_waveforms.c
    listed = select(
        events.c.unit_id,
        events.c["index"].label("slot"),
        events.c.waveform_key,
        events.c.event_timestamp,
        r.waveform_key.label("key"),
        r.event_timestamp.label("at"),
    ).join(schema.recordings, r.id == events.c.recording_id)
    sampled = (
        select(
            waveforms.c.unit_id,
            waveforms.c["index"].label("slot"),
            waveforms.c.waveform_key,
            waveforms.c.event_timestamp,
            r.waveform_key.label("key"),
            r.event_timestamp.label("at"),
        )
        .join(schema.recording_waveforms, w.id == waveforms.c.waveform_id)
        .join(schema.recordings, r.id == w.recording_id)
    )
    found = []
    for query in (listed, sampled):
        try:
            rows = connection.execute(query).all()
        except UNREADABLE as error:
            raise_unless_unreadable(error)
            continue  # the check of the rows' hashes names it
        found += [
            f"{row.unit_id}: slot {row.slot} says {row.waveform_key} of {row.event_timestamp}, "
            f"its recording {row.key} of {row.at}"
            for row in rows
            if (row.waveform_key, row.event_timestamp or "") != (row.key, row.at)
        ]
    return found
