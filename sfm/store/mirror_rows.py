"""
The rows of a unit in the mirror (``sfm.store.mirror``): read if they are sound, locked, cleared.

Every write begins with ``take``, which applies the fence and the epoch, and ends with
``set_device``; what conflicts with a new row by the rule (``conflict``) is cleared before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from sfm.access.names import serial_of, unit_key
from sfm.cache.identity import Stamp, stamp_of, stamps_conflict
from sfm.records.payloads import Payload
from sfm.store import archive, decodings, schema
from sfm.store.archive import Origin
from sfm.store.errors import DamagedMirrorError
from sfm.store.row_hashes import is_sound, read_rows, row_hash, with_hash
from sfm.store.statements import insert_unless_there, rebuild_indexes

__all__ = [
    "OF_A_DEVICE",
    "Fenced",
    "ReadTime",
    "Slot",
    "begin_beyond",
    "clear",
    "conflict",
    "device_row",
    "drop_damaged",
    "forget_slots",
    "locked_row",
    "read_time_of",
    "set_device",
    "slots_of",
    "sound_events",
    "sound_row",
    "take",
    "write_device",
]

devices, events = schema.cached_devices, schema.cached_events
waveforms, chunks = schema.cached_waveforms, schema.download_chunks
walks, walked_events = schema.walks, schema.walked_events

OF_A_DEVICE = (events, waveforms, chunks, walked_events, walks, devices)
"""Tables whose rows are of one device each."""
BEYOND_ANY_VERSION = 2**32
"""Added to a damaged version, so that no writer that knew the true one passes the fence."""

# Executed at every new event, so built once.
_DEVICE = select(devices).where(devices.c.unit_id == bindparam("of"))
_DEVICE_LOCKED = _DEVICE.with_for_update()
_SET = update(devices).where(devices.c.unit_id == bindparam("of"))
_SLOTS = {
    table: select(table.c.unit_id, table.c["index"], table.c.waveform_key, table.c.event_timestamp)
    .where(table.c.unit_id == bindparam("of"))
    .order_by(table.c["index"])
    for table in (events, waveforms)
}


@dataclass(frozen=True, slots=True)
class Fenced:
    """Nothing was written: another relay wrote this device's rows. Begin beyond their epoch."""

    epoch: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTime:
    """When something was read, as far as it can be known after a restart."""

    read_at: str | None
    began_mono: float | None
    boot_id: str | None


def device_row(connection: Connection, unit_id: str, *, locked: bool = False) -> RowMapping | None:
    """Return a device's row; the errors of ``mirror.load``."""
    query = _DEVICE_LOCKED if locked else _DEVICE
    for _, row in read_rows(connection, devices, query, {"of": unit_id}):
        return sound_row(devices, unit_id, row, "its own row")
    return None


def sound_events(
    connection: Connection, unit_id: str, recordings: Collection[int] | None = None
) -> list[RowMapping]:
    """
    Return the rows of a device's list, in order; the errors of ``mirror.load``.

    ``recordings``: only the events of which these are the numbers of the recordings.
    """
    query = select(events).where(events.c.unit_id == unit_id).order_by(events.c.index)
    if recordings is not None:
        query = query.where(events.c.recording_id.in_(recordings))
    return [
        sound_row(events, unit_id, row, f"event {slot} of its list")
        for (_, slot), row in read_rows(connection, events, query)
    ]


def sound_row(table: Table, unit_id: str, row: RowMapping | None, what: str) -> RowMapping:
    """Return a row that matches its hash and is of that device; the errors of ``mirror.load``."""
    if row is None or row["unit_id"] != unit_id or not is_sound(table.name, row):
        raise DamagedMirrorError(
            f"{unit_id}: this unit's rows in the database do not match their hash ({what})"
        )
    return row


def take(connection: Connection, origin: Origin, seen: int | None) -> int | Fenced:
    """
    Lock the unit's rows for a write; clear them if they are of another epoch.

    Returns the version that they will have; ``set_device`` writes it.
    """
    try:
        row = device_row(connection, origin.unit_id, locked=True)
    except DamagedMirrorError as error:
        return Fenced(*drop_damaged(connection, origin.unit_id, str(error)))
    if row is None:
        if seen is not None:
            # The rows that the writer knows of are gone: another database, or a manual cleanup.
            return Fenced(origin.epoch, 0)
        # Of two writers that both begin, the second one finds the first one's version here.
        row, seen = locked_row(connection, origin.unit_id), 0
    if row["version"] != seen:
        return Fenced(row["epoch"], row["version"])
    if row["epoch"] != origin.epoch:
        clear(connection, origin.unit_id)
    return int(row["version"]) + 1


def locked_row(connection: Connection, unit_id: str) -> RowMapping:
    """
    Return the device's row, locked until the transaction ends; made if it was not there.

    Raises:
        DamagedMirrorError: it does not match its hash.
    """
    empty = {"unit_id": unit_id, "epoch": -1, "epoch_reason": "", "version": 0}
    row = with_hash("cached_devices", empty)
    connection.execute(insert_unless_there(connection, devices), [row])
    found = device_row(connection, unit_id, locked=True)
    assert found is not None
    return found


def set_device(connection: Connection, origin: Origin, version: int, **values: Any) -> None:
    """Save a device's serial number, epoch, version and other values."""
    values |= {
        "epoch": origin.epoch,
        "serial": origin.serial,
        "simulated": origin.simulated,
        "version": version,
    }
    write_device(connection, origin.unit_id, **values)


def write_device(connection: Connection, unit_id: str, **values: Any) -> None:
    """Write columns of a device's row, which is locked and sound, with the hash of the whole."""
    row = dict(connection.execute(_DEVICE, {"of": unit_id}).mappings().one())
    hashed = row_hash("cached_devices", row | values)
    connection.execute(_SET, {"of": unit_id, **values, "row_hash": hashed})


def clear(connection: Connection, unit_id: str) -> None:
    """
    Drop a device's rows, except the one with its epoch and version.

    What was received of images under way goes to the archive first.
    """
    for _, device in read_rows(connection, devices, _DEVICE, {"of": unit_id}):
        if device is not None:
            _archive_chunks(connection, unit_id, device)
    for table in (events, waveforms, chunks, walked_events, walks):
        connection.execute(delete(table).where(table.c.unit_id == unit_id))
    nothing = {c.name: None for c in devices.c if c.name.startswith(("info_", "list_", "probe_"))}
    write_device(connection, unit_id, **nothing)


def _archive_chunks(connection: Connection, unit_id: str, device: RowMapping) -> None:
    """Archive what was received of a device's images under way, as far as it is sound."""
    query = (
        select(chunks)
        .where(chunks.c.unit_id == unit_id)
        .order_by(chunks.c.waveform_key, chunks.c.start)
    )
    under_way = [
        row
        for _, row in read_rows(connection, chunks, query)
        if row is not None and is_sound("download_chunks", row)
    ]
    if under_way:
        read_at = device["list_read_at"] or device["info_read_at"] or ""
        route = device["list_route"] or device["info_route"] or ""
        decodings.save_partial_image(connection, device["serial"], route, read_at, under_way)


def drop_damaged(connection: Connection, unit_id: str, damage: str) -> tuple[int, int]:
    """
    Drop everything of a device, since a row of it is damaged, and write down that it was.

    Returns the epoch and the version from now on, beyond whatever the damaged row may have had.
    """
    epochs = [-1]
    versions = [0]
    serial = serial_of(unit_id) or "unknown"
    for _, row in read_rows(connection, devices, _DEVICE, {"of": unit_id}):
        if row is not None:
            if row["unit_id"] == unit_id and is_sound("cached_devices", row):
                _archive_chunks(connection, unit_id, row)
            epochs += [e for e in [row["epoch"]] if isinstance(e, int) and e < 2**30]
            versions += [v for v in [row["version"]] if isinstance(v, int) and v < 2**60]
    r = schema.recordings.c
    highest = connection.execute(select(func.max(r.epoch)).where(r.serial == serial)).scalar()
    epochs += [highest] if isinstance(highest, int) and highest < 2**30 else []
    # A row whose key was damaged is not found by its key any more, and an index that still names it
    # would bring it back for ever, whatever is deleted.
    for table in rebuild_indexes(connection, OF_A_DEVICE):
        connection.execute(delete(table))  # of two rows with one key none can be believed
    for table in OF_A_DEVICE:
        connection.execute(delete(table).where(table.c.unit_id == unit_id))
    epoch, version = max(epochs) + 1, max(versions) + BEYOND_ANY_VERSION
    row_now = {
        "unit_id": unit_id,
        "epoch": epoch,
        "epoch_reason": "the unit's rows in the database were damaged",
        "version": version,
    }
    connection.execute(insert(devices), [with_hash("cached_devices", row_now)])
    archive.note(
        connection, datetime.now(UTC), "mirror_dropped", serial, None, f"{damage}; read again"
    )
    return epoch, version


def begin_beyond(connection: Connection, elsewhere: Mapping[str, int], *, by: int = 1) -> None:
    """
    Drop everything of every device; each unit begins an epoch that no recording has.

    Args:
        connection: a transaction that may write.
        elsewhere: the highest epoch of units in another database that was in use since.
        by: how far beyond the highest epoch that is known each unit begins.
    """
    r, highest = schema.recordings.c, dict(elsewhere)
    known = [tuple(row) for row in connection.execute(select(r.serial, r.epoch).distinct())]
    known += [
        (serial_of(row["unit_id"]) or "", row["epoch"])
        for _, row in read_rows(connection, devices, select(devices))
        if row is not None
    ]
    for serial, epoch in known:
        if serial and isinstance(epoch, int) and epoch < 2**30:
            highest[serial] = max(epoch, highest.get(serial, epoch))
    for table in OF_A_DEVICE:
        connection.execute(delete(table))
    for serial, epoch in highest.items():
        row = {
            "unit_id": unit_key(serial),
            "epoch": epoch + by,
            "epoch_reason": "the database was restored from a backup",
            "version": BEYOND_ANY_VERSION,
        }
        connection.execute(insert(devices), [with_hash("cached_devices", row)])


Slot = tuple[int, tuple[str | None, str | None]]
"""A slot and its stamp in a table: key and timestamp, normalised."""


def slots_of(
    connection: Connection, table: Table, unit_id: str, index: int | None = None
) -> list[Slot]:
    """Return the slots of a device in that table, in order, or that one slot."""
    query = _SLOTS[table]
    if index is not None:
        query = query.where(table.c["index"] == index)
    rows = read_rows(connection, table, query, {"of": unit_id})
    # Of a row that cannot be read the slot alone is known: it conflicts with nothing, and goes
    # with the next list or waveform that is written there.
    return [
        (slot, (None, None) if row is None else (row["waveform_key"], row["event_timestamp"]))
        for (_, slot), row in rows
    ]


def forget_slots(
    connection: Connection, table: Table, unit_id: str, indices: Iterable[int]
) -> None:
    """Forget those slots of a device in that table."""
    for index in indices:
        connection.execute(delete(table).where(table.c.unit_id == unit_id, table.c.index == index))


def conflict(listed: Mapping[int, Payload], entry: Iterable[Slot]) -> bool:
    """Return whether a listed event is another than that in its slot, by the integrity rule."""
    for slot, stamp in entry:
        payload = listed.get(slot)
        # An entry that is equal to the stored one needs no rule: most of a list, each time.
        if payload is None or (payload["waveform_key"], payload["timestamp"]) == stamp:
            continue
        if stamps_conflict(stamp_of(payload), Stamp(*stamp)):
            return True
    return False


def read_time_of(
    read_at: str | None, began_mono: float | None, boot_id: str | None
) -> ReadTime | None:
    """Return when something was read, from its three columns; ``None``: it is not there."""
    if read_at is None:
        return None
    return ReadTime(read_at=read_at or None, began_mono=began_mono, boot_id=boot_id)
