"""
The mirror: each unit's memory as the live cache knew it, for the next start of the relay.

There is one cache logic, and it is not here: the mirror writes down what ``LiveCache`` took, and
returns it. Three rules it applies itself, in the transaction that writes:

- **The rule** (``sfm.cache.identity``): where the stamp of a new row conflicts with that of the row
  in its slot, everything of the device goes before the new row enters.
- **The epoch**: rows of one device are of one epoch; what is written under another drops the rest.
- **The fence**: each write names the version of the device's rows that its writer last saw. If
  another writer wrote since (another relay, or an earlier run of this one),
  nothing is written, and the writer learns which epoch it must begin beyond.

A row that does not match its hash proves nothing: everything of the device is dropped with its
epoch, a finding is saved, and the unit is read again. Of a damaged waveform's row that row alone is
passed over. Dropping the mirror never drops a recording.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
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

from minimateplus.errors import RemoteProtocolError
from minimateplus.model import Event, MemoryProbe, Peaks
from minimateplus.wire.layouts import parse_waveform_record
from sfm.cache.identity import Stamp, stamp_of, stamps_conflict
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.records.walk import Walk
from sfm.store import archive, decodings, schema
from sfm.store.archive import Origin, Samples
from sfm.store.decodings import EraseCheck
from sfm.store.errors import DamagedMirrorError, DamagedRecordError
from sfm.store.row_hashes import (
    UNREADABLE,
    is_sound,
    raise_unless_unreadable,
    read_rows,
    row_hash,
    with_hash,
)
from sfm.store.statements import insert_unless_there, json_text, rebuild_indexes

__all__ = [
    "OF_A_DEVICE",
    "Fenced",
    "LoadedDevice",
    "LoadedWaveform",
    "ReadTime",
    "contradictions",
    "drop",
    "drop_damaged",
    "erase_check",
    "forget_chunks",
    "forget_info",
    "forget_walk",
    "load",
    "load_chunks",
    "load_waveform",
    "save_chunks",
    "save_info",
    "save_list",
    "save_volatile_offsets",
    "save_walk",
    "save_waveform",
]

devices, events = schema.cached_devices, schema.cached_events
waveforms, chunks = schema.cached_waveforms, schema.download_chunks
walks, walked_events = schema.walks, schema.walked_events
unproven, volatile = schema.unproven_recordings, schema.volatile_record_bytes

OF_A_DEVICE = (events, waveforms, chunks, walked_events, walks, devices)
"""Tables whose rows are of one device each."""
BEYOND_ANY_VERSION = 2**32
"""Added to a damaged version, so that no writer that knew the true one passes the fence."""

# Executed at every new event, so built once.
_DEVICE = select(devices).where(devices.c.conn_key == bindparam("of"))
_DEVICE_LOCKED = _DEVICE.with_for_update()
_SET = update(devices).where(devices.c.conn_key == bindparam("of"))
_SLOTS = {
    table: select(table.c.conn_key, table.c["index"], table.c.waveform_key, table.c.event_timestamp)
    .where(table.c.conn_key == bindparam("of"))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDevice:
    """What the mirror has of a device."""

    version: int
    epoch: int
    epoch_reason: str
    serial: str | None
    simulated: bool | None
    info: Payload | None
    info_read_time: ReadTime | None
    events: list[Payload] | None
    events_read_time: ReadTime | None
    probe: MemoryProbe | None
    walk: Walk | None = None
    """A walk that was cut, to go on with."""
    volatile_offsets: frozenset[int] = frozenset()
    """Bytes of the unit's records that change while the event stays the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWaveform:
    """A waveform of the mirror, its samples still packed in the archive."""

    samples: Samples
    index: int
    stamp: Stamp
    read_time: ReadTime


def load(connection: Connection, conn_key: str) -> LoadedDevice | None:
    """
    Return what the mirror has of a device; ``None``: nothing was ever written.

    Raises:
        DamagedMirrorError: a row of it does not match its hash; see ``drop_damaged``.
    """
    row = _device(connection, conn_key)
    if row is None:
        return None
    probe = None if row["probe_json"] is None else _probe_of(orjson.loads(row["probe_json"]))
    entry: list[Payload] | None = None
    if row["list_count"] is not None:
        listed = [orjson.loads(one["event_json"]) for one in _sound_events(connection, conn_key)]
        if [event["index"] for event in listed] == list(range(row["list_count"])):
            entry = listed  # else it is not whole: as good as none
    if probe is not None and entry and not probe.last_record:
        probe = _with_last_record(connection, conn_key, probe, entry)
    info = None if row["info_json"] is None else orjson.loads(row["info_json"])
    return LoadedDevice(
        version=row["version"],
        epoch=row["epoch"],
        epoch_reason=row["epoch_reason"],
        serial=row["serial"],
        simulated=row["simulated"],
        info=info,
        info_read_time=_read_time_of(
            row["info_read_at"], row["info_began_mono"], row["info_boot_id"]
        ),
        events=entry,
        events_read_time=_read_time_of(
            row["list_read_at"], row["list_began_mono"], row["list_boot_id"]
        ),
        probe=probe,
        walk=_load_walk(connection, conn_key, row["epoch"], entry, probe),
        volatile_offsets=_volatile_offsets(connection, row["serial"], info),
    )


def _device(connection: Connection, conn_key: str, *, locked: bool = False) -> RowMapping | None:
    """Return a device's row; the errors of ``load``."""
    query = _DEVICE_LOCKED if locked else _DEVICE
    for _, row in read_rows(connection, devices, query, {"of": conn_key}):
        return _sound_row(devices, conn_key, row, "its own row")
    return None


def _sound_events(connection: Connection, conn_key: str) -> list[RowMapping]:
    """Return the rows of a device's list, in order; the errors of ``load``."""
    query = select(events).where(events.c.conn_key == conn_key).order_by(events.c.index)
    return [
        _sound_row(events, conn_key, row, f"event {slot} of its list")
        for (_, slot), row in read_rows(connection, events, query)
    ]


def _sound_row(table: Table, conn_key: str, row: RowMapping | None, what: str) -> RowMapping:
    if row is None or row["conn_key"] != conn_key or not is_sound(table.name, row):
        raise DamagedMirrorError(
            f"{conn_key}: this unit's rows in the database do not match their hash ({what})"
        )
    return row


def _with_last_record(
    connection: Connection, conn_key: str, probe: MemoryProbe, entry: Sequence[Payload]
) -> MemoryProbe:
    """Return the probe with its newest event's record, from the archive."""
    r = schema.recordings
    query = (
        select(r)
        .join(events, events.c.recording_id == r.c.id)
        .where(events.c.conn_key == conn_key, events.c["index"] == len(entry) - 1)
    )
    for _, row in read_rows(connection, r, query):
        record = None if row is None else archive.sound_record(row)
        if record is None:
            break
        try:
            facts = parse_waveform_record(record)
        except RemoteProtocolError:
            break
        return replace(
            probe,
            last_peaks=facts.peaks,
            last_project=facts.project,
            last_record=record,
        )
    return probe  # it proves nothing then, and the memory is walked


def _load_walk(
    connection: Connection,
    conn_key: str,
    epoch: int,
    entry: Sequence[Payload] | None,
    anchor: MemoryProbe | None,
) -> Walk | None:
    """
    Return the walk that was cut, if all rows it depends on are there; raises as ``load``.

    Where a recording of it is damaged, there is no walk: read again, the recording is mended.
    """
    row = None
    for _, found in read_rows(connection, walks, select(walks).where(walks.c.conn_key == conn_key)):
        row = _sound_row(walks, conn_key, found, "a walk that was cut")
    if row is None or row["epoch"] != epoch:
        return None
    if row["known"] and (entry is None or len(entry) != row["known"]):
        return None
    query = (
        select(walked_events)
        .where(walked_events.c.conn_key == conn_key)
        .order_by(walked_events.c["index"])
    )
    rows = [
        _sound_row(walked_events, conn_key, one, f"event {slot} of a walk that was cut")
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
        probes=[_probe_of(payload) for payload in orjson.loads(row["probes_json"])],
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


def _volatile_offsets(
    connection: Connection, serial: str | None, info: Payload | None
) -> frozenset[int]:
    """Return which bytes of a unit's records change; none where the row of them is damaged."""
    of = (serial or "", str((info or {}).get("firmware") or ""))
    query = select(volatile).where(volatile.c.serial == of[0], volatile.c.firmware == of[1])
    for key, row in read_rows(connection, volatile, query):
        if row is not None and key == of and is_sound("volatile_record_bytes", row):
            return frozenset(orjson.loads(row["offsets_json"]))
    return frozenset()


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
        row = _device(connection, origin.conn_key)
    except DamagedMirrorError:
        row = None  # ``_take`` drops it
    if row is not None and row["epoch"] > origin.epoch:
        return None  # the walk was over a memory whose epoch has ended
    taken = _take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    connection.execute(delete(walks).where(walks.c.conn_key == origin.conn_key))
    probes = [_probe_payload(probe) for probe in walk.probes]
    header = {
        "conn_key": origin.conn_key,
        "epoch": origin.epoch,
        "known": len(walk.known),
        "probes_json": json_text(probes),
    }
    connection.execute(insert(walks), [with_hash("walks", header)])
    connection.execute(
        delete(walked_events).where(
            walked_events.c.conn_key == origin.conn_key, walked_events.c["index"] >= first
        )
    )
    rows = [
        with_hash(
            "walked_events",
            {
                "conn_key": origin.conn_key,
                "index": event.index,
                "event_json": json_text(payloads.event_payload(event)),
                "recording_id": number,
            },
        )
        for event, number in zip(read, recording_ids, strict=True)
    ]
    if rows:
        connection.execute(insert(walked_events), rows)
    _set(connection, origin, taken)
    return taken


def forget_walk(connection: Connection, conn_key: str) -> None:
    """Forget the walk of a device that has not ended; its events stay in the archive."""
    for table in (walked_events, walks):
        connection.execute(delete(table).where(table.c.conn_key == conn_key))


def save_volatile_offsets(
    connection: Connection, serial: str, firmware: str, offsets: Iterable[int]
) -> None:
    """Write down which bytes of a unit's records change while the event stays the same."""
    of = (volatile.c.serial == serial, volatile.c.firmware == firmware)
    connection.execute(delete(volatile).where(*of))
    row = {"serial": serial, "firmware": firmware, "offsets_json": json_text(sorted(offsets))}
    connection.execute(insert(volatile), [with_hash("volatile_record_bytes", row)])


def load_waveform(
    connection: Connection, conn_key: str, index: int, epoch: int, version: int
) -> LoadedWaveform | None:
    """
    Return the waveform of a slot, if the device's rows are those that the asker knows.

    Raises:
        DamagedRecordError: it does not match its hash, or belongs to another event.
        DamagedMirrorError: the device's row is not.
    """
    device = _device(connection, conn_key)
    if device is None or (device["epoch"], device["version"]) != (epoch, version):
        return None
    query = select(waveforms).where(waveforms.c.conn_key == conn_key, waveforms.c["index"] == index)
    for _, row in read_rows(connection, waveforms, query):
        damage = f"{conn_key}: the row of slot {index} does not match its hash"
        if row is None or not is_sound("cached_waveforms", row):
            raise DamagedRecordError(damage)
        if (row["conn_key"], row["index"]) != (conn_key, index):
            raise DamagedRecordError(damage)
        samples = archive.samples_numbered(connection, waveform_id=row["waveform_id"])
        entry = (samples.event["waveform_key"], samples.event["timestamp"], samples.serial)
        # Compared as stored, not by the stamp rule: both were written from one event.
        if entry != (row["waveform_key"], row["event_timestamp"], device["serial"].strip()):
            raise DamagedRecordError(f"{conn_key}: slot {index} points at {samples.what}")
        read_time = _read_time_of(row["cached_at"], row["began_mono"], row["boot_id"])
        assert read_time is not None
        return LoadedWaveform(
            samples=samples,
            index=index,
            stamp=stamp_of({"waveform_key": entry[0], "timestamp": entry[1]}),
            read_time=read_time,
        )
    return None


def save_info(
    connection: Connection, origin: Origin, seen: int | None, info: Payload
) -> int | Fenced:
    """Save a unit's identity and setup; return the new version, or the fence."""
    taken = _take(connection, origin, seen)
    if isinstance(taken, int):
        _set(
            connection,
            origin,
            taken,
            info_json=json_text(info),
            info_read_at=origin.read_at_text,
            info_began_mono=origin.began_mono,
            info_boot_id=origin.boot_id,
        )
    return taken


def save_list(
    connection: Connection,
    origin: Origin,
    seen: int | None,
    probe: MemoryProbe,
    listed: Sequence[Payload],
    first_new: int,
    recording_ids: Mapping[int, int],
    *,
    is_servable: bool = True,
) -> int | Fenced:
    """
    Write down the list; return the version that is now to be seen.

    Args:
        connection: inside a transaction.
        origin: of the list.
        seen: the version of the device's rows that the writer last saw.
        probe: the one that the list was read under.
        listed: the whole list.
        first_new: the first index that was not in the list before.
        recording_ids: for each new index, its recording.
        is_servable: False for a list that was returned but came too late for the cache: after a
            restart it is compared with, so that its epoch names no other memory, and never served.
    """
    taken = _take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    by_index = {payload["index"]: payload for payload in listed}
    known = _slots(connection, events, origin.conn_key)
    samples = _slots(connection, waveforms, origin.conn_key)
    if _conflict(by_index, known) or _conflict(by_index, samples):
        _clear(connection, origin.conn_key)
        known, samples = [], []
    if [slot for slot, _ in known] != list(range(first_new)) or first_new > len(listed):
        _forget(connection, events, origin.conn_key, [slot for slot, _ in known])
        first_new = 0
    gone = [slot for slot, _ in samples if slot not in by_index]
    _forget(connection, waveforms, origin.conn_key, gone)
    rows = []
    for payload in listed[first_new:]:
        stamp = stamp_of(payload)
        row = {
            "conn_key": origin.conn_key,
            "index": payload["index"],
            "event_json": json_text(payload),
            "cached_at": origin.read_at_text,
            "waveform_key": stamp.key,
            "event_timestamp": stamp.timestamp,
            "recording_id": recording_ids.get(payload["index"]),
        }
        rows.append(with_hash("cached_events", row))
    if rows:
        connection.execute(insert(events), rows)
    _set(
        connection,
        origin,
        taken,
        probe_json=json_text(_probe_payload(probe)),
        list_count=len(listed),
        list_read_at=origin.read_at_text if is_servable else None,
        list_began_mono=origin.began_mono,
        list_boot_id=origin.boot_id,
    )
    return taken


def save_waveform(
    connection: Connection, origin: Origin, seen: int | None, event: Event, waveform_id: int
) -> int | Fenced:
    """Write down which recorded waveform is in the event's slot; return the version to be seen."""
    taken = _take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    found = {"waveform_key": event.key, "timestamp": archive.timestamp_text(event) or None}
    stamp = stamp_of(found)
    for table in (events, waveforms):
        if _conflict({event.index: found}, _slots(connection, table, origin.conn_key, event.index)):
            _clear(connection, origin.conn_key)
    _forget(connection, waveforms, origin.conn_key, [event.index])
    row = {
        "conn_key": origin.conn_key,
        "index": event.index,
        "waveform_key": stamp.key,
        "event_timestamp": stamp.timestamp,
        "waveform_id": waveform_id,
        "cached_at": origin.read_at_text,
        "began_mono": origin.began_mono,
        "boot_id": origin.boot_id,
    }
    connection.execute(insert(waveforms), [with_hash("cached_waveforms", row)])
    forget_chunks(connection, origin.conn_key, event)
    _set(connection, origin, taken)
    return taken


def drop(connection: Connection, conn_key: str, epoch: int, reason: str) -> tuple[int, int]:
    """Drop a device's mirror, also another relay's; return its new epoch and version."""
    try:
        row = _locked(connection, conn_key)
        beyond, version = row["epoch"] + 1, row["version"] + 1
    except DamagedMirrorError as error:
        beyond, version = drop_damaged(connection, conn_key, str(error))
    _clear(connection, conn_key)
    beyond = max(epoch, beyond)
    _write_device(
        connection, conn_key, epoch=beyond, epoch_reason=reason, version=version, serial=None
    )
    return beyond, version


def drop_damaged(connection: Connection, conn_key: str, damage: str) -> tuple[int, int]:
    """
    Drop everything of a device, since a row of it is damaged, and write down that it was.

    Returns the epoch and the version from now on, beyond whatever the damaged row may have had.
    """
    epochs = [-1]
    versions = [0]
    serial = "unknown"
    for _, row in read_rows(connection, devices, _DEVICE, {"of": conn_key}):
        if row is not None:
            if row["conn_key"] == conn_key and is_sound("cached_devices", row):
                _archive_chunks(connection, conn_key, row)
            epochs += [e for e in [row["epoch"]] if isinstance(e, int) and e < 2**30]
            versions += [v for v in [row["version"]] if isinstance(v, int) and v < 2**60]
            serial = str(row["serial"])
    r = schema.recordings.c
    highest = connection.execute(select(func.max(r.epoch)).where(r.route == conn_key)).scalar()
    epochs += [highest] if isinstance(highest, int) and highest < 2**30 else []
    # A row whose key was damaged is not found by its key any more, and an index that still names it
    # would bring it back for ever, whatever is deleted.
    for table in rebuild_indexes(connection, OF_A_DEVICE):
        connection.execute(delete(table))  # of two rows with one key none can be believed
    for table in OF_A_DEVICE:
        connection.execute(delete(table).where(table.c.conn_key == conn_key))
    epoch, version = max(epochs) + 1, max(versions) + BEYOND_ANY_VERSION
    row_now = {
        "conn_key": conn_key,
        "epoch": epoch,
        "epoch_reason": "the unit's rows in the database were damaged",
        "version": version,
    }
    connection.execute(insert(devices), [with_hash("cached_devices", row_now)])
    archive.note(
        connection, datetime.now(UTC), "mirror_dropped", serial, None, f"{damage}; read again"
    )
    return epoch, version


def forget_info(connection: Connection, conn_key: str, seen: int | None) -> int | Fenced:
    """
    Forget how the unit is set up, since its settings were written; return the version to be seen.

    Its list and waveforms stay. Of a unit that nothing was written of yet it is remembered: a
    writer that read the settings of before finds the version moved on.
    """
    try:
        row = _device(connection, conn_key, locked=True)
    except DamagedMirrorError as error:
        return Fenced(*drop_damaged(connection, conn_key, str(error)))
    if row is None:
        if seen is not None:
            return Fenced(-1, 0)  # as with the other writes; its epoch is unknown
        row, seen = _locked(connection, conn_key), 0
    if row["version"] != seen:
        return Fenced(row["epoch"], row["version"])
    values: dict[str, Any] = {c.name: None for c in devices.c if c.name.startswith("info_")}
    values |= {"epoch": max(row["epoch"], 0), "version": row["version"] + 1}
    _write_device(connection, conn_key, **values)
    return int(row["version"]) + 1


def erase_check(
    connection: Connection,
    conn_key: str,
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
        device = _device(connection, conn_key)
        rows = _sound_events(connection, conn_key)
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


def save_chunks(
    connection: Connection,
    conn_key: str,
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
        known = _device(connection, conn_key, locked=True)
    except DamagedMirrorError:
        return False
    if known is None or (known["epoch"], known["version"]) != (epoch, seen):
        return False
    begun_anew = max((at for at, (start, _) in enumerate(parts) if start == 0), default=None)
    if begun_anew is not None:
        forget_chunks(connection, conn_key, event)
    rows = [
        with_hash(
            "download_chunks",
            {
                "conn_key": conn_key,
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
    connection: Connection, conn_key: str, epoch: int, seen: int | None, event: Event
) -> bytes:
    """Return what was kept of an event's image, from its first byte up to a gap or damage."""
    try:
        device = _device(connection, conn_key)
    except DamagedMirrorError:
        return b""
    if device is None or (device["epoch"], device["version"]) != (epoch, seen):
        return b""
    mine = (conn_key, event.key.hex(), archive.timestamp_text(event))
    query = (
        select(chunks)
        .where(
            chunks.c.conn_key == mine[0],
            chunks.c.waveform_key == mine[1],
            chunks.c.event_timestamp == mine[2],
        )
        .order_by(chunks.c.start)
    )
    image = bytearray()
    for _, row in read_rows(connection, chunks, query):
        if row is None or row["start"] != len(image) or not is_sound("download_chunks", row):
            break
        if (row["conn_key"], row["waveform_key"], row["event_timestamp"]) != mine:
            break
        image += row["data"]
    return bytes(image)


def forget_chunks(connection: Connection, conn_key: str, event: Event) -> None:
    """Forget what was kept of an event's image."""
    connection.execute(
        delete(chunks).where(
            chunks.c.conn_key == conn_key, chunks.c.waveform_key == event.key.hex()
        )
    )


def contradictions(connection: Connection) -> list[str]:
    """Return a sentence for each row of the mirror that does not agree with the archive."""
    r, w = schema.recordings.c, schema.recording_waveforms.c
    listed = select(
        events.c.conn_key,
        events.c["index"].label("slot"),
        events.c.waveform_key,
        events.c.event_timestamp,
        r.waveform_key.label("key"),
        r.event_timestamp.label("at"),
    ).join(schema.recordings, r.id == events.c.recording_id)
    sampled = (
        select(
            waveforms.c.conn_key,
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
            f"{row.conn_key}: slot {row.slot} says {row.waveform_key} of {row.event_timestamp}, "
            f"its recording {row.key} of {row.at}"
            for row in rows
            if (row.waveform_key, row.event_timestamp or "") != (row.key, row.at)
        ]
    return found


# --- inside --------------------------------------------------------------------------------------


def _take(connection: Connection, origin: Origin, seen: int | None) -> int | Fenced:
    """
    Lock the device's rows for a write; clear them if they are of another epoch or unit.

    Returns the version that they will have; ``_set`` writes it.
    """
    try:
        row = _device(connection, origin.conn_key, locked=True)
    except DamagedMirrorError as error:
        return Fenced(*drop_damaged(connection, origin.conn_key, str(error)))
    if row is None:
        if seen is not None:
            # The rows that the writer knows of are gone: another database, or a manual cleanup.
            return Fenced(origin.epoch, 0)
        # Of two writers that both begin, the second one finds the first one's version here.
        row, seen = _locked(connection, origin.conn_key), 0
    if row["version"] != seen:
        return Fenced(row["epoch"], row["version"])
    if row["epoch"] != origin.epoch or row["serial"] not in (None, origin.serial):
        _clear(connection, origin.conn_key)
    return int(row["version"]) + 1


def _locked(connection: Connection, conn_key: str) -> RowMapping:
    """
    Return the device's row, locked until the transaction ends; made if it was not there.

    Raises:
        DamagedMirrorError: it does not match its hash.
    """
    empty = {"conn_key": conn_key, "epoch": -1, "epoch_reason": "", "version": 0}
    row = with_hash("cached_devices", empty)
    connection.execute(insert_unless_there(connection, devices), [row])
    found = _device(connection, conn_key, locked=True)
    assert found is not None
    return found


def _set(connection: Connection, origin: Origin, version: int, **values: Any) -> None:
    """Save a device's serial number, epoch, version and other values."""
    values |= {
        "epoch": origin.epoch,
        "serial": origin.serial,
        "simulated": origin.simulated,
        "version": version,
    }
    _write_device(connection, origin.conn_key, **values)


def _write_device(connection: Connection, conn_key: str, **values: Any) -> None:
    """Write columns of a device's row, which is locked and sound, with the hash of the whole."""
    row = dict(connection.execute(_DEVICE, {"of": conn_key}).mappings().one())
    hashed = row_hash("cached_devices", row | values)
    connection.execute(_SET, {"of": conn_key, **values, "row_hash": hashed})


def _clear(connection: Connection, conn_key: str) -> None:
    """
    Drop a device's rows, except the one with its epoch and version.

    What was received of images under way goes to the archive first.
    """
    for _, device in read_rows(connection, devices, _DEVICE, {"of": conn_key}):
        if device is not None:
            _archive_chunks(connection, conn_key, device)
    for table in (events, waveforms, chunks, walked_events, walks):
        connection.execute(delete(table).where(table.c.conn_key == conn_key))
    nothing = {c.name: None for c in devices.c if c.name.startswith(("info_", "list_", "probe_"))}
    _write_device(connection, conn_key, **nothing)


def _archive_chunks(connection: Connection, conn_key: str, device: RowMapping) -> None:
    """Archive what was received of a device's images under way, as far as it is sound."""
    query = (
        select(chunks)
        .where(chunks.c.conn_key == conn_key)
        .order_by(chunks.c.waveform_key, chunks.c.start)
    )
    under_way = [
        row
        for _, row in read_rows(connection, chunks, query)
        if row is not None and is_sound("download_chunks", row)
    ]
    if under_way:
        read_at = device["list_read_at"] or device["info_read_at"] or ""
        decodings.save_partial_image(connection, device["serial"], conn_key, read_at, under_way)


_Slot = tuple[int, tuple[str | None, str | None]]
"""A slot and its stamp in a table: key and timestamp, normalised."""


def _slots(
    connection: Connection, table: Table, conn_key: str, index: int | None = None
) -> list[_Slot]:
    """Return the slots of a device in that table, in order, or that one slot."""
    query = _SLOTS[table]
    if index is not None:
        query = query.where(table.c["index"] == index)
    rows = read_rows(connection, table, query, {"of": conn_key})
    # Of a row that cannot be read the slot alone is known: it conflicts with nothing, and goes
    # with the next list or waveform that is written there.
    return [
        (slot, (None, None) if row is None else (row["waveform_key"], row["event_timestamp"]))
        for (_, slot), row in rows
    ]


def _forget(connection: Connection, table: Table, conn_key: str, indices: Iterable[int]) -> None:
    for index in indices:
        connection.execute(
            delete(table).where(table.c.conn_key == conn_key, table.c.index == index)
        )


def _conflict(listed: Mapping[int, Payload], entry: Iterable[_Slot]) -> bool:
    for slot, stamp in entry:
        payload = listed.get(slot)
        # An entry that is equal to the stored one needs no rule: most of a list, each time.
        if payload is None or (payload["waveform_key"], payload["timestamp"]) == stamp:
            continue
        if stamps_conflict(stamp_of(payload), Stamp(*stamp)):
            return True
    return False


def _read_time_of(
    read_at: str | None, began_mono: float | None, boot_id: str | None
) -> ReadTime | None:
    if read_at is None:
        return None
    return ReadTime(read_at=read_at or None, began_mono=began_mono, boot_id=boot_id)


def _probe_payload(probe: MemoryProbe) -> Payload:
    peaks = None if probe.last_peaks is None else asdict(probe.last_peaks)
    return {
        "serial": probe.serial,
        "first_key": None if probe.first_key is None else probe.first_key.hex(),
        "last_key": None if probe.last_key is None else probe.last_key.hex(),
        "lifetime_count": probe.lifetime_count,
        "last_timestamp": probe.last_timestamp,
        "is_empty": probe.is_empty,
        "last_peaks": peaks,
        "last_project": probe.last_project,
        "last_record": probe.last_record.hex(),
    }


def _probe_of(payload: Payload) -> MemoryProbe:
    keys = {
        name: None if payload[name] is None else bytes.fromhex(payload[name])
        for name in ("first_key", "last_key")
    }
    # A probe of before revision 0005 has its newest event's time and nothing else of it.
    peaks, record = payload.get("last_peaks"), bytes.fromhex(payload.get("last_record", ""))
    last = {"last_peaks": None if peaks is None else Peaks(**peaks), "last_record": record}
    return MemoryProbe(**{**payload, **keys, **last})
