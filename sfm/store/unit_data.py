"""
A unit's data in one transaction: its recordings in the archive, and the mirror that refers to them.

The archive's part of a write stands whatever becomes of the mirror's: a fence never keeps a
recording out of the archive.

``seen`` is always the version of the mirror's rows that the writer last saw. All functions but
``load_waveform`` take a connection in a transaction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from minimateplus.model import Event, MemoryProbe
from sfm.records.payloads import Payload
from sfm.records.walk import Walk
from sfm.store import archive, mirror, mirrored_walks
from sfm.store.archive import Origin
from sfm.store.database import Store
from sfm.store.errors import DamagedRecordError, StoreError
from sfm.store.mirror import LoadedWaveform
from sfm.store.mirror_rows import Fenced

__all__ = ["WriteResult", "load_waveform", "save_info", "save_list", "save_walk", "save_waveform"]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of a write that reached the archive: the mirror's new version, or the fence."""

    mirror: int | Fenced | None
    public_id: str | None = None
    """Names the recording whose waveform was written."""


def save_info(
    connection: Connection, origin: Origin, seen: int | None, info: Payload
) -> WriteResult:
    """Save a unit's identity and setup in the mirror."""
    return WriteResult(mirror.save_info(connection, origin, seen, info))


def save_list(
    connection: Connection,
    origin: Origin,
    seen: int | None,
    probe: MemoryProbe,
    listed: Sequence[Payload],
    read: Sequence[Event],
    *,
    is_servable: bool = True,
    ends_walk: bool = False,
) -> WriteResult:
    """
    Archive the events that were read; mirror the list that they complete.

    Args:
        connection: a transaction that may write.
        origin: where and when the list was read.
        seen: see above.
        probe: the probe under which the list was read.
        listed: the whole list, as payloads.
        read: the events of the list that were read now; they are its tail.
        is_servable: see ``mirror.save_list``.
        ends_walk: parts of the walk that produced the list were saved before.

    Raises:
        NoSerialError: the unit's serial number is unknown.
    """
    if ends_walk:
        mirrored_walks.forget_walk(connection, origin.unit_id)
    numbers = archive.save_events(connection, origin, read)
    ids = {event.index: number for event, number in zip(read, numbers, strict=True)}
    first_new = len(listed) - len(read)
    return WriteResult(
        mirror.save_list(
            connection, origin, seen, probe, listed, first_new, ids, is_servable=is_servable
        )
    )


def save_walk(
    connection: Connection,
    origin: Origin,
    seen: int | None,
    walk: Walk,
    first: int,
    read: Sequence[Event],
) -> WriteResult:
    """Archive events of a walk that has not ended; mirror its progress."""
    numbers = archive.save_events(connection, origin, read, is_proven=False)
    return WriteResult(
        mirrored_walks.save_walk(connection, origin, seen, walk, first, read, numbers)
    )


def save_waveform(
    connection: Connection,
    origin: Origin,
    seen: int | None,
    event: Event,
    payload: Payload,
    image: bytes,
    *,
    is_mirrored: bool = True,
) -> WriteResult:
    """Archive a waveform with its event; mirror that its slot has it, if ``is_mirrored``."""
    [number] = archive.save_events(connection, origin, [event])
    waveform = archive.save_waveform(connection, origin, number, payload, image)
    name = archive.name_of(origin.serial.strip(), event)
    if not is_mirrored:
        return WriteResult(None, name)
    return WriteResult(mirror.save_waveform(connection, origin, seen, event, waveform), name)


def load_waveform(
    store: Store, unit_id: str, index: int, epoch: int, version: int
) -> tuple[LoadedWaveform, Payload] | None:
    """
    Return a slot's waveform and its payload, if the mirror has that epoch and version.

    Takes the store instead of a connection: damage is saved as a finding, in a second transaction.

    Raises:
        DamagedRecordError: the stored waveform does not match its hash.
    """
    found = store.read(mirror.load_waveform, unit_id, index, epoch, version)
    if found is None:
        return None
    try:
        return found, {**found.samples.payload(), "index": index}
    except DamagedRecordError as error:
        # A finding that cannot be saved now must not hide the damage itself.
        with contextlib.suppress(StoreError):
            store.write(
                archive.save_damage_finding,
                found.samples.recording_id,
                str(error),
                datetime.now(UTC),
            )
        raise
