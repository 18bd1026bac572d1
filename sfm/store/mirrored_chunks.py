"""
Images of events that are being read, in the mirror: a download that was cut goes on from here.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from minimateplus.model import Event
from sfm.store import archive, schema
from sfm.store.errors import DamagedMirrorError
from sfm.store.mirror_rows import device_row
from sfm.store.row_hashes import is_sound, read_rows, with_hash
from sfm.store.statements import insert_unless_there

__all__ = ["forget_chunks", "load_chunks", "save_chunks"]

chunks = schema.download_chunks


def save_chunks(
    connection: Connection,
    unit_id: str,
    epoch: int,
    seen: int | None,
    event: Event,
    parts: Sequence[tuple[int, bytes]],
) -> bool:
    """
    Keep parts of an image that is being read; return whether they were kept.

    They belong to the device's epoch and are dropped with it. A part at 0 starts over.
    """
    try:
        known = device_row(connection, unit_id, locked=True)
    except DamagedMirrorError:
        return False
    if known is None or (known["epoch"], known["version"]) != (epoch, seen):
        return False
    begun_anew = max((at for at, (start, _) in enumerate(parts) if start == 0), default=None)
    if begun_anew is not None:
        forget_chunks(connection, unit_id, event)
    rows = [
        with_hash(
            "download_chunks",
            {
                "unit_id": unit_id,
                "waveform_key": event.key.hex(),
                "event_timestamp": archive.timestamp_text(event),
                "start": start,
                "data": data,
            },
        )
        for start, data in parts[begun_anew or 0 :]
    ]
    connection.execute(insert_unless_there(connection, chunks), rows)
    return True


def load_chunks(
    connection: Connection, unit_id: str, epoch: int, seen: int | None, event: Event
) -> bytes:
    """Return what was kept of an event's image, from its first byte up to a gap or damage."""
    try:
        device = device_row(connection, unit_id)
    except DamagedMirrorError:
        return b""
    if device is None or (device["epoch"], device["version"]) != (epoch, seen):
        return b""
    mine = (unit_id, event.key.hex(), archive.timestamp_text(event))
    query = (
        select(chunks)
        .where(
            chunks.c.unit_id == mine[0],
            chunks.c.waveform_key == mine[1],
            chunks.c.event_timestamp == mine[2],
        )
        .order_by(chunks.c.start)
    )
    image = bytearray()
    for _, row in read_rows(connection, chunks, query):
        if row is None or row["start"] != len(image) or not is_sound("download_chunks", row):
            break
        if (row["unit_id"], row["waveform_key"], row["event_timestamp"]) != mine:
            break
        image += row["data"]
    return bytes(image)


def forget_chunks(connection: Connection, unit_id: str, event: Event) -> None:
    """Forget what was kept of an event's image."""
    connection.execute(
        delete(chunks).where(chunks.c.unit_id == unit_id, chunks.c.waveform_key == event.key.hex())
    )
