"""
Walks of a unit's memory that were cut, in the mirror: what they read, to go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
from sqlalchemy import Connection, delete, insert, select

from minimateplus.model import Event, MemoryProbe
from sfm.records import payloads
from sfm.records.payloads import Payload, probe_of, probe_payload
from sfm.records.walk import Walk
from sfm.store import archive, schema
from sfm.store.archive import Origin
from sfm.store.errors import DamagedMirrorError
from sfm.store.mirror_rows import Fenced, device_row, set_device, sound_row, take
from sfm.store.row_hashes import read_rows, with_hash
from sfm.store.statements import json_text

__all__ = ["forget_walk", "load_walk", "save_walk"]

walks, walked_events = schema.walks, schema.walked_events


def load_walk(
    connection: Connection,
    unit_id: str,
    epoch: int,
    entry: Sequence[Payload] | None,
    anchor: MemoryProbe | None,
) -> Walk | None:
    """
    Return the walk that was cut, if all rows it depends on are there; raises as ``mirror.load``.

    Where a recording of it is damaged, there is no walk: read again, the recording is mended.
    """
    row = None
    for _, found in read_rows(connection, walks, select(walks).where(walks.c.unit_id == unit_id)):
        row = sound_row(walks, unit_id, found, "a walk that was cut")
    if row is None or row["epoch"] != epoch:
        return None
    if row["known"] and (entry is None or len(entry) != row["known"]):
        return None
    query = (
        select(walked_events)
        .where(walked_events.c.unit_id == unit_id)
        .order_by(walked_events.c["index"])
    )
    rows = [
        sound_row(walked_events, unit_id, one, f"event {slot} of a walk that was cut")
        for (_, slot), one in read_rows(connection, walked_events, query)
    ]
    if [one["index"] for one in rows] != list(range(row["known"], row["known"] + len(rows))):
        return None
    records = _records(connection, [one["recording_id"] for one in rows])
    if any(one["recording_id"] not in records for one in rows):
        return None
    read = [
        replace(
            payloads.event_of(orjson.loads(one["event_json"])), record=records[one["recording_id"]]
        )
        for one in rows
    ]
    return Walk(
        epoch,
        list(entry or ()) if row["known"] else [],
        anchor if row["known"] else None,
        events=read,
        probes=[probe_of(payload) for payload in orjson.loads(row["probes_json"])],
        session_events=len(read),
    )


def _records(connection: Connection, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return the records of recordings that match their hashes."""
    r, found = schema.recordings, dict[int, bytes]()
    for at in range(0, len(numbers), archive.AT_ONCE):
        query = select(r).where(r.c.id.in_(numbers[at : at + archive.AT_ONCE]))
        for (number,), row in read_rows(connection, r, query):
            record = None if row is None else archive.sound_record(row)
            if record is not None:
                found[number] = record
    return found


def save_walk(
    connection: Connection,
    origin: Origin,
    seen: int | None,
    walk: Walk,
    first: int,
    read: Sequence[Event],
    recording_ids: Sequence[int],
) -> int | Fenced | None:
    """
    Write down events of a walk that has not ended; return the version that is now to be seen.

    ``read`` follow the ``first`` events of the walk; what was written behind those before goes.
    """
    try:
        row = device_row(connection, origin.unit_id)
    except DamagedMirrorError:
        row = None  # ``take`` drops it
    if row is not None and row["epoch"] > origin.epoch:
        return None  # the walk was over a memory whose epoch has ended
    taken = take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    connection.execute(delete(walks).where(walks.c.unit_id == origin.unit_id))
    probes = [probe_payload(probe) for probe in walk.probes]
    header = {
        "unit_id": origin.unit_id,
        "epoch": origin.epoch,
        "known": len(walk.known),
        "probes_json": json_text(probes),
    }
    connection.execute(insert(walks), [with_hash("walks", header)])
    connection.execute(
        delete(walked_events).where(
            walked_events.c.unit_id == origin.unit_id, walked_events.c["index"] >= first
        )
    )
    rows = [
        with_hash(
            "walked_events",
            {
                "unit_id": origin.unit_id,
                "index": event.index,
                "event_json": json_text(payloads.event_payload(event)),
                "recording_id": number,
            },
        )
        for event, number in zip(read, recording_ids, strict=True)
    ]
    if rows:
        connection.execute(insert(walked_events), rows)
    set_device(connection, origin, taken)
    return taken


def forget_walk(connection: Connection, unit_id: str) -> None:
    """Forget the walk of a device that has not ended; its events stay in the archive."""
    for table in (walked_events, walks):
        connection.execute(delete(table).where(table.c.unit_id == unit_id))
