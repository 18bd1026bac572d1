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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select

from minimateplus.errors import RemoteProtocolError
from minimateplus.model import Event, MemoryProbe
from minimateplus.wire.layouts import parse_waveform_record
from sfm.access.names import unit_key
from sfm.cache.identity import Stamp, stamp_of
from sfm.records.payloads import Payload, probe_of, probe_payload
from sfm.records.walk import Walk
from sfm.store import archive, schema
from sfm.store.archive import Origin, Samples
from sfm.store.errors import DamagedMirrorError, DamagedRecordError
from sfm.store.mirror_rows import (
    Fenced,
    ReadTime,
    clear,
    conflict,
    device_row,
    drop_damaged,
    forget_slots,
    locked_row,
    read_time_of,
    set_device,
    slots_of,
    sound_events,
    take,
    write_device,
)
from sfm.store.mirrored_chunks import forget_chunks
from sfm.store.mirrored_walks import load_walk
from sfm.store.row_hashes import is_sound, read_rows, with_hash
from sfm.store.statements import json_text

__all__ = [
    "LoadedDevice",
    "LoadedWaveform",
    "drop",
    "forget_info",
    "load",
    "load_info",
    "load_waveform",
    "save_info",
    "save_list",
    "save_volatile_offsets",
    "save_waveform",
]

devices, events, waveforms = schema.cached_devices, schema.cached_events, schema.cached_waveforms
volatile = schema.volatile_record_bytes


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
    info_route: str
    events: list[Payload] | None
    events_read_time: ReadTime | None
    list_route: str
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
    route: str
    """Over which it was read."""


def load(connection: Connection, unit_id: str) -> LoadedDevice | None:
    """
    Return what the mirror has of a device; ``None``: nothing was ever written.

    Raises:
        DamagedMirrorError: a row of it does not match its hash; see ``drop_damaged``.
    """
    row = device_row(connection, unit_id)
    if row is None:
        return None
    probe = None if row["probe_json"] is None else probe_of(orjson.loads(row["probe_json"]))
    entry: list[Payload] | None = None
    if row["list_count"] is not None:
        listed = [orjson.loads(one["event_json"]) for one in sound_events(connection, unit_id)]
        if [event["index"] for event in listed] == list(range(row["list_count"])):
            entry = listed  # else it is not whole: as good as none
    if probe is not None and entry and not probe.last_record:
        probe = _with_last_record(connection, unit_id, probe, entry)
    info = None if row["info_json"] is None else orjson.loads(row["info_json"])
    return LoadedDevice(
        version=row["version"],
        epoch=row["epoch"],
        epoch_reason=row["epoch_reason"],
        serial=row["serial"],
        simulated=row["simulated"],
        info=info,
        info_read_time=read_time_of(
            row["info_read_at"], row["info_began_mono"], row["info_boot_id"]
        ),
        info_route=row["info_route"] or "",
        events=entry,
        events_read_time=read_time_of(
            row["list_read_at"], row["list_began_mono"], row["list_boot_id"]
        ),
        list_route=row["list_route"] or "",
        probe=probe,
        walk=load_walk(connection, unit_id, row["epoch"], entry, probe),
        volatile_offsets=_volatile_offsets(connection, row["serial"], info),
    )


def load_info(connection: Connection, serial: str, *, simulated: bool) -> Payload | None:
    """
    Return what a unit last reported of itself.

    ``None``: nothing since its settings were written or its memory was dropped; a simulation has
    the number of a real unit; or the row is damaged, which the next read of the unit finds.
    """
    try:
        row = device_row(connection, unit_key(serial))
    except DamagedMirrorError:
        return None
    if row is None or row["info_json"] is None or row["simulated"] is not simulated:
        return None
    info: Payload = orjson.loads(row["info_json"])
    return info


def _with_last_record(
    connection: Connection, unit_id: str, probe: MemoryProbe, entry: Sequence[Payload]
) -> MemoryProbe:
    """Return the probe with its newest event's record, from the archive."""
    r = schema.recordings
    query = (
        select(r)
        .join(events, events.c.recording_id == r.c.id)
        .where(events.c.unit_id == unit_id, events.c["index"] == len(entry) - 1)
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


def save_volatile_offsets(
    connection: Connection, serial: str, firmware: str, offsets: Iterable[int]
) -> None:
    """Write down which bytes of a unit's records change while the event stays the same."""
    of = (volatile.c.serial == serial, volatile.c.firmware == firmware)
    connection.execute(delete(volatile).where(*of))
    row = {"serial": serial, "firmware": firmware, "offsets_json": json_text(sorted(offsets))}
    connection.execute(insert(volatile), [with_hash("volatile_record_bytes", row)])


def load_waveform(
    connection: Connection, unit_id: str, index: int, epoch: int, version: int
) -> LoadedWaveform | None:
    """
    Return the waveform of a slot, if the device's rows are those that the asker knows.

    Raises:
        DamagedRecordError: it does not match its hash, or belongs to another event.
        DamagedMirrorError: the device's row is not.
    """
    device = device_row(connection, unit_id)
    if device is None or (device["epoch"], device["version"]) != (epoch, version):
        return None
    query = select(waveforms).where(waveforms.c.unit_id == unit_id, waveforms.c["index"] == index)
    for _, row in read_rows(connection, waveforms, query):
        damage = f"{unit_id}: the row of slot {index} does not match its hash"
        if row is None or not is_sound("cached_waveforms", row):
            raise DamagedRecordError(damage)
        if (row["unit_id"], row["index"]) != (unit_id, index):
            raise DamagedRecordError(damage)
        samples = archive.samples_numbered(connection, waveform_id=row["waveform_id"])
        entry = (samples.event["waveform_key"], samples.event["timestamp"], samples.serial)
        # Compared as stored, not by the stamp rule: both were written from one event.
        if entry != (row["waveform_key"], row["event_timestamp"], device["serial"].strip()):
            raise DamagedRecordError(f"{unit_id}: slot {index} points at {samples.what}")
        read_time = read_time_of(row["cached_at"], row["began_mono"], row["boot_id"])
        assert read_time is not None
        return LoadedWaveform(
            samples=samples,
            index=index,
            stamp=stamp_of({"waveform_key": entry[0], "timestamp": entry[1]}),
            read_time=read_time,
            route=row["route"] or "",
        )
    return None


def save_info(
    connection: Connection, origin: Origin, seen: int | None, info: Payload
) -> int | Fenced:
    """Save a unit's identity and setup; return the new version, or the fence."""
    taken = take(connection, origin, seen)
    if isinstance(taken, int):
        set_device(
            connection,
            origin,
            taken,
            info_json=json_text(info),
            info_read_at=origin.read_at_text,
            info_began_mono=origin.began_mono,
            info_boot_id=origin.boot_id,
            info_route=origin.route,
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
    taken = take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    by_index = {payload["index"]: payload for payload in listed}
    known = slots_of(connection, events, origin.unit_id)
    samples = slots_of(connection, waveforms, origin.unit_id)
    if conflict(by_index, known) or conflict(by_index, samples):
        clear(connection, origin.unit_id)
        known, samples = [], []
    if [slot for slot, _ in known] != list(range(first_new)) or first_new > len(listed):
        forget_slots(connection, events, origin.unit_id, [slot for slot, _ in known])
        first_new = 0
    gone = [slot for slot, _ in samples if slot not in by_index]
    forget_slots(connection, waveforms, origin.unit_id, gone)
    rows = []
    for payload in listed[first_new:]:
        stamp = stamp_of(payload)
        row = {
            "unit_id": origin.unit_id,
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
    set_device(
        connection,
        origin,
        taken,
        probe_json=json_text(probe_payload(probe)),
        list_count=len(listed),
        list_read_at=origin.read_at_text if is_servable else None,
        list_began_mono=origin.began_mono,
        list_boot_id=origin.boot_id,
        list_route=origin.route,
    )
    return taken


def save_waveform(
    connection: Connection, origin: Origin, seen: int | None, event: Event, waveform_id: int
) -> int | Fenced:
    """Write down which recorded waveform is in the event's slot; return the version to be seen."""
    taken = take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    found = {"waveform_key": event.key, "timestamp": archive.timestamp_text(event) or None}
    stamp = stamp_of(found)
    for table in (events, waveforms):
        if conflict({event.index: found}, slots_of(connection, table, origin.unit_id, event.index)):
            clear(connection, origin.unit_id)
    forget_slots(connection, waveforms, origin.unit_id, [event.index])
    row = {
        "unit_id": origin.unit_id,
        "index": event.index,
        "waveform_key": stamp.key,
        "event_timestamp": stamp.timestamp,
        "waveform_id": waveform_id,
        "route": origin.route,
        "cached_at": origin.read_at_text,
        "began_mono": origin.began_mono,
        "boot_id": origin.boot_id,
    }
    connection.execute(insert(waveforms), [with_hash("cached_waveforms", row)])
    forget_chunks(connection, origin.unit_id, event)
    set_device(connection, origin, taken)
    return taken


def drop(connection: Connection, unit_id: str, epoch: int, reason: str) -> tuple[int, int]:
    """Drop a device's mirror, also another relay's; return its new epoch and version."""
    try:
        row = locked_row(connection, unit_id)
        beyond, version = row["epoch"] + 1, row["version"] + 1
    except DamagedMirrorError as error:
        beyond, version = drop_damaged(connection, unit_id, str(error))
    clear(connection, unit_id)
    beyond = max(epoch, beyond)
    write_device(
        connection, unit_id, epoch=beyond, epoch_reason=reason, version=version, serial=None
    )
    return beyond, version


def forget_info(connection: Connection, unit_id: str, seen: int | None) -> int | Fenced:
    """
    Forget how the unit is set up, since its settings were written; return the version to be seen.

    Its list and waveforms stay. Of a unit that nothing was written of yet it is remembered: a
    writer that read the settings of before finds the version moved on.
    """
    try:
        row = device_row(connection, unit_id, locked=True)
    except DamagedMirrorError as error:
        return Fenced(*drop_damaged(connection, unit_id, str(error)))
    if row is None:
        if seen is not None:
            return Fenced(-1, 0)  # as with the other writes; its epoch is unknown
        row, seen = locked_row(connection, unit_id), 0
    if row["version"] != seen:
        return Fenced(row["epoch"], row["version"])
    values: dict[str, Any] = {c.name: None for c in devices.c if c.name.startswith("info_")}
    values |= {"epoch": max(row["epoch"], 0), "version": row["version"] + 1}
    write_device(connection, unit_id, **values)
    return int(row["version"]) + 1
