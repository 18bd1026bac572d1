"""
The mirror: what each unit holds now, as the live cache knew it, for the next start of the relay.

There is one cache logic, and it is not here: the mirror writes down what ``LiveCache`` took, and
gives it back. Three things it does by itself, inside the transaction that writes:

- **The rule** (``sfm.identity``): where the stamp of a new row conflicts with that of the row in
  its slot, everything of the device goes before the new row enters.
- **The epoch**: rows of one device are of one epoch; what is written under another drops the rest.
- **The fence**: each write names the version of the device's rows that its writer last saw. If
  somebody else wrote since (another relay, or an earlier life that this one never heard of),
  nothing is written, and the writer learns which epoch it must begin beyond.

Dropping the mirror never drops a recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Table, bindparam, delete, insert, select, update

from minimateplus.errors import RemoteProtocolError
from minimateplus.model import Event, MemoryProbe, Peaks
from minimateplus.wire.layouts import parse_waveform_record
from sfm import forms
from sfm.forms import Form
from sfm.identity import Stamp, stamp_of, stamps_conflict
from sfm.store import archive, decodings, schema
from sfm.store.archive import Origin, Samples
from sfm.store.decodings import EraseCheck
from sfm.store.statements import insert_unless_there, json_text
from sfm.walk import Walk

devices, events = schema.cached_devices, schema.cached_events
waveforms, chunks = schema.cached_waveforms, schema.download_chunks
walks, walked_events = schema.walks, schema.walked_events
unproven, volatile = schema.unproven_recordings, schema.volatile_record_bytes

# Said at every new event, so put together once.
_DEVICE = select(devices).where(devices.c.conn_key == bindparam("of")).with_for_update()
_SET = update(devices).where(devices.c.conn_key == bindparam("of"))
_SLOTS = {
    table: select(table.c["index"], table.c.waveform_key, table.c.event_timestamp)
    .where(table.c.conn_key == bindparam("of"))
    .order_by(table.c["index"])
    for table in (events, waveforms)
}


@dataclass(frozen=True, slots=True)
class Fenced:
    """Nothing was written: somebody else wrote this device's rows. Begin beyond their epoch."""

    epoch: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """When something was read, as far as it can be known after a restart."""

    read_at: str
    began_mono: float | None
    boot_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What the mirror holds of a device."""

    version: int
    epoch: int
    epoch_reason: str
    serial: str | None
    simulated: bool | None
    info: Form | None
    info_noted: Noted | None
    events: list[Form] | None
    events_noted: Noted | None
    probe: MemoryProbe | None
    walk: Walk | None = None
    """A walk that was cut, to go on with."""
    volatile_offsets: frozenset[int] = frozenset()
    """Bytes of the unit's records that change while the event stays the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledWaveform:
    """A waveform of the mirror, its samples still packed in the archive."""

    samples: Samples
    index: int
    stamp: Stamp
    noted: Noted


def recall(connection: Connection, conn_key: str) -> Recalled | None:
    """Return what is held of a device; ``None`` when nothing was ever written of it."""
    row = connection.execute(select(devices).where(devices.c.conn_key == conn_key)).first()
    if row is None:
        return None
    probe = None if row.probe_json is None else _probe_of(orjson.loads(row.probe_json))
    held: list[Form] | None = None
    if row.list_count is not None:
        texts = connection.execute(
            select(events.c.event_json)
            .where(events.c.conn_key == conn_key)
            .order_by(events.c.index)
        ).scalars()
        held = [orjson.loads(text) for text in texts]
        if [event["index"] for event in held] != list(range(row.list_count)):
            held = None  # not whole: as good as none
    if probe is not None and held and not probe.last_record:
        probe = _with_last_record(connection, conn_key, probe, held)
    info = None if row.info_json is None else orjson.loads(row.info_json)
    return Recalled(
        version=row.version,
        epoch=row.epoch,
        epoch_reason=row.epoch_reason,
        serial=row.serial,
        simulated=row.simulated,
        info=info,
        info_noted=_noted(row.info_read_at, row.info_began_mono, row.info_boot_id),
        events=held,
        events_noted=_noted(row.list_read_at, row.list_began_mono, row.list_boot_id),
        probe=probe,
        walk=_recall_walk(connection, conn_key, row.epoch, held, probe),
        volatile_offsets=_volatile_offsets(connection, row.serial, info),
    )


def _with_last_record(
    connection: Connection, conn_key: str, probe: MemoryProbe, held: Sequence[Form]
) -> MemoryProbe:
    """Return the probe with its newest event's record, from the archive."""
    record = connection.execute(
        select(schema.recordings.c.record)
        .join(events, events.c.recording_id == schema.recordings.c.id)
        .where(events.c.conn_key == conn_key, events.c["index"] == len(held) - 1)
    ).scalar()
    if record is None:
        return probe
    try:
        facts = parse_waveform_record(bytes(record))
    except RemoteProtocolError:
        return probe  # it proves nothing then, and the memory is walked
    return replace(
        probe,
        last_peaks=facts.peaks,
        last_project=facts.project,
        last_record=bytes(record),
    )


def _recall_walk(
    connection: Connection,
    conn_key: str,
    epoch: int,
    held: Sequence[Form] | None,
    anchor: MemoryProbe | None,
) -> Walk | None:
    """Return the walk that was cut, if all that it stands on is there."""
    row = connection.execute(
        select(walks).where(walks.c.conn_key == conn_key, walks.c.epoch == epoch)
    ).first()
    if row is None or (row.known and (held is None or len(held) != row.known)):
        return None
    found = connection.execute(
        select(walked_events.c["index"], walked_events.c.event_json, schema.recordings.c.record)
        .join(schema.recordings, schema.recordings.c.id == walked_events.c.recording_id)
        .where(walked_events.c.conn_key == conn_key)
        .order_by(walked_events.c["index"])
    ).all()
    if [at for at, _, _ in found] != list(range(row.known, row.known + len(found))):
        return None
    read = [
        replace(forms.event_of(orjson.loads(text)), record=bytes(record))
        for _, text, record in found
    ]
    return Walk(
        epoch,
        list(held or ()) if row.known else [],
        anchor if row.known else None,
        events=read,
        probes=[_probe_of(form) for form in orjson.loads(row.probes_json)],
        session_events=len(read),
    )


def _volatile_offsets(
    connection: Connection, serial: str | None, info: Form | None
) -> frozenset[int]:
    text = connection.execute(
        select(volatile.c.offsets_json).where(
            volatile.c.serial == (serial or ""),
            volatile.c.firmware == str((info or {}).get("firmware") or ""),
        )
    ).scalar()
    return frozenset() if text is None else frozenset(orjson.loads(text))


def write_walk(
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
    row = connection.execute(_DEVICE, {"of": origin.conn_key}).first()
    if row is not None and row.epoch > origin.epoch:
        return None  # the walk was over a memory whose epoch has ended
    taken = _take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    connection.execute(delete(walks).where(walks.c.conn_key == origin.conn_key))
    probes = [_probe_form(probe) for probe in walk.probes]
    header = {
        "conn_key": origin.conn_key,
        "epoch": origin.epoch,
        "known": len(walk.known),
        "probes_json": json_text(probes),
    }
    connection.execute(insert(walks), [header])
    connection.execute(
        delete(walked_events).where(
            walked_events.c.conn_key == origin.conn_key, walked_events.c["index"] >= first
        )
    )
    rows = [
        {
            "conn_key": origin.conn_key,
            "index": event.index,
            "event_json": json_text(forms.event_form(event)),
            "recording_id": number,
        }
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


def note_volatile(
    connection: Connection, serial: str, firmware: str, offsets: Iterable[int]
) -> None:
    """Write down which bytes of a unit's records change while the event stays the same."""
    of = (volatile.c.serial == serial, volatile.c.firmware == firmware)
    connection.execute(delete(volatile).where(*of))
    row = {"serial": serial, "firmware": firmware, "offsets_json": json_text(sorted(offsets))}
    connection.execute(insert(volatile), [row])


def recall_waveform(
    connection: Connection, conn_key: str, index: int, epoch: int, version: int
) -> RecalledWaveform | None:
    """Return the waveform of a slot, if the device's rows are those that the asker knows."""
    row = connection.execute(
        select(waveforms)
        .join(devices, devices.c.conn_key == waveforms.c.conn_key)
        .where(
            waveforms.c.conn_key == conn_key,
            waveforms.c["index"] == index,
            devices.c.epoch == epoch,
            devices.c.version == version,
        )
    ).first()
    if row is None:
        return None
    noted = _noted(row.cached_at, row.began_mono, row.boot_id)
    assert noted is not None
    return RecalledWaveform(
        samples=archive.samples(connection, waveform_id=row.waveform_id),
        index=index,
        stamp=stamp_of({"waveform_key": row.waveform_key, "timestamp": row.event_timestamp}),
        noted=noted,
    )


def write_info(
    connection: Connection, origin: Origin, seen: int | None, info: Form
) -> int | Fenced:
    """Write down who the unit is; return the version that is now to be seen."""
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


def write_list(
    connection: Connection,
    origin: Origin,
    seen: int | None,
    probe: MemoryProbe,
    listed: Sequence[Form],
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
        is_servable: False for a list that was told and came too late for the cache: after a restart
            it is compared with, so that its epoch names no other memory, and shown to nobody.
    """
    taken = _take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    told = {form["index"]: form for form in listed}
    known = _slots(connection, events, origin.conn_key)
    samples = _slots(connection, waveforms, origin.conn_key)
    if _conflict(told, known) or _conflict(told, samples):
        _clear(connection, origin.conn_key)
        known, samples = [], []
    if [slot for slot, _ in known] != list(range(first_new)) or first_new > len(listed):
        _forget(connection, events, origin.conn_key, [slot for slot, _ in known])
        first_new = 0
    gone = [slot for slot, _ in samples if slot not in told]
    _forget(connection, waveforms, origin.conn_key, gone)
    rows = []
    for form in listed[first_new:]:
        stamp = stamp_of(form)
        row = {
            "conn_key": origin.conn_key,
            "index": form["index"],
            "event_json": json_text(form),
            "cached_at": origin.read_at_text,
            "waveform_key": stamp.key,
            "event_timestamp": stamp.timestamp,
            "recording_id": recording_ids.get(form["index"]),
        }
        rows.append(row)
    if rows:
        connection.execute(insert(events), rows)
    _set(
        connection,
        origin,
        taken,
        probe_json=json_text(_probe_form(probe)),
        list_count=len(listed),
        list_read_at=origin.read_at_text if is_servable else None,
        list_began_mono=origin.began_mono,
        list_boot_id=origin.boot_id,
    )
    return taken


def write_waveform(
    connection: Connection, origin: Origin, seen: int | None, event: Event, waveform_id: int
) -> int | Fenced:
    """Write down which recorded waveform is in the event's slot; return the version to be seen."""
    taken = _take(connection, origin, seen)
    if isinstance(taken, Fenced):
        return taken
    told = {"waveform_key": event.key, "timestamp": archive.timestamp_text(event) or None}
    stamp = stamp_of(told)
    for table in (events, waveforms):
        if _conflict({event.index: told}, _slots(connection, table, origin.conn_key, event.index)):
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
    connection.execute(insert(waveforms), [row])
    forget_chunks(connection, origin.conn_key, event)
    _set(connection, origin, taken)
    return taken


def drop(connection: Connection, conn_key: str, epoch: int, reason: str) -> tuple[int, int]:
    """Drop everything of a device, whoever wrote it; return its epoch and version from now on."""
    row = _locked(connection, conn_key)
    _clear(connection, conn_key)
    beyond = max(epoch, row.epoch + 1)
    connection.execute(
        update(devices)
        .where(devices.c.conn_key == conn_key)
        .values(epoch=beyond, epoch_reason=reason, version=row.version + 1, serial=None)
    )
    return beyond, row.version + 1


def forget_info(connection: Connection, conn_key: str, seen: int | None) -> int | Fenced:
    """
    Forget how the unit is set up, since its settings were written; return the version to be seen.

    Its list and waveforms stay. Of a unit that nothing was written of yet it is remembered: a
    writer that read the settings of before finds the version moved on.
    """
    row = connection.execute(_DEVICE, {"of": conn_key}).first()
    if row is None:
        if seen is not None:
            return Fenced(-1, 0)  # as with the other writes; of which epoch it was nobody knows
        row, seen = _locked(connection, conn_key), 0
    if row.version != seen:
        return Fenced(row.epoch, row.version)
    values: dict[str, Any] = {c.name: None for c in devices.c if c.name.startswith("info_")}
    values |= {"epoch": max(row.epoch, 0), "version": row.version + 1}
    connection.execute(update(devices).where(devices.c.conn_key == conn_key).values(**values))
    return int(row.version) + 1


def erase_check(
    connection: Connection,
    conn_key: str,
    version: int | None,
    count: int,
    walked: Sequence[Form] | None = None,
) -> EraseCheck:
    """
    Return which of a unit's ``count`` events an erase would lose (``decodings.erase_check``).

    Proven by the mirror's list alone: unless that is of this version, whole, current and of that
    many events, every event would be; and so would one that no recording is named for. Where
    ``walked`` is given, the list just walked, the mirror's must be equal to it as well: the
    database may not have taken it.
    """
    every = EraseCheck(unarchived=list(range(count)), contradicted=[])
    device = connection.execute(
        select(devices.c.list_count, devices.c.list_read_at).where(
            devices.c.conn_key == conn_key, devices.c.version == version
        )
    ).first()
    # A list with no time of its own came too late: the unit may hold something else by now.
    if device is None or device.list_count != count or device.list_read_at is None:
        return every
    rows = connection.execute(
        select(events.c["index"].label("slot"), events.c.recording_id, events.c.event_json)
        .where(events.c.conn_key == conn_key)
        .order_by(events.c["index"])
    ).all()
    if [row.slot for row in rows] != every.unarchived:
        return every
    if walked is not None and [orjson.loads(row.event_json) for row in rows] != list(walked):
        return every
    return decodings.erase_check(connection, {row.slot: row.recording_id for row in rows})


def keep_chunks(
    connection: Connection,
    conn_key: str,
    epoch: int,
    seen: int | None,
    event: Event,
    parts: Sequence[tuple[int, bytes]],
) -> bool:
    """
    Keep parts of an image that is being read; return whether they were kept.

    They belong to the device's epoch: what ends it drops them. A part at 0 begins anew.
    """
    known = select(devices).where(
        devices.c.conn_key == conn_key, devices.c.epoch == epoch, devices.c.version == seen
    )
    if connection.execute(known.with_for_update()).first() is None:
        return False
    begun_anew = max((at for at, (start, _) in enumerate(parts) if start == 0), default=None)
    if begun_anew is not None:
        forget_chunks(connection, conn_key, event)
    rows = [
        {
            "conn_key": conn_key,
            "waveform_key": event.key.hex(),
            "event_timestamp": archive.timestamp_text(event),
            "start": start,
            "data": data,
        }
        for start, data in parts[begun_anew or 0 :]
    ]
    connection.execute(insert_unless_there(connection, chunks), rows)
    return True


def recall_chunks(
    connection: Connection, conn_key: str, epoch: int, seen: int | None, event: Event
) -> bytes:
    """Return what was kept of an event's image, from its first byte up to the first gap."""
    rows = connection.execute(
        select(chunks.c.start, chunks.c.data)
        .join(devices, devices.c.conn_key == chunks.c.conn_key)
        .where(
            chunks.c.conn_key == conn_key,
            chunks.c.waveform_key == event.key.hex(),
            chunks.c.event_timestamp == archive.timestamp_text(event),
            devices.c.epoch == epoch,
            devices.c.version == seen,
        )
        .order_by(chunks.c.start)
    )
    image = bytearray()
    for start, data in rows:
        if start != len(image):
            break
        image += data
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
    return [
        f"{row.conn_key}: slot {row.slot} says {row.waveform_key} of {row.event_timestamp}, "
        f"its recording {row.key} of {row.at}"
        for query in (listed, sampled)
        for row in connection.execute(query)
        if (row.waveform_key, row.event_timestamp or "") != (row.key, row.at)
    ]


# --- inside --------------------------------------------------------------------------------------


def _take(connection: Connection, origin: Origin, seen: int | None) -> int | Fenced:
    """
    Lock the device's rows for a write; clear them if they are of another epoch or unit.

    Returns the version that they will have; ``_set`` writes it.
    """
    row = connection.execute(_DEVICE, {"of": origin.conn_key}).first()
    if row is None:
        if seen is not None:
            # The rows that the writer knows of are gone: another database, or somebody's cleaning.
            return Fenced(origin.epoch, 0)
        # Of two writers that both begin, the second one finds the first one's version here.
        row, seen = _locked(connection, origin.conn_key), 0
    if row.version != seen:
        return Fenced(row.epoch, row.version)
    if row.epoch != origin.epoch or row.serial not in (None, origin.serial):
        _clear(connection, origin.conn_key)
    return int(row.version) + 1


def _locked(connection: Connection, conn_key: str) -> Row[Any]:
    """Return the device's row, locked until the transaction ends; made if it was not there."""
    empty = {"conn_key": conn_key, "epoch": -1, "epoch_reason": "", "version": 0}
    connection.execute(insert_unless_there(connection, devices), [empty])
    return connection.execute(_DEVICE, {"of": conn_key}).one()


def _set(connection: Connection, origin: Origin, version: int, **values: Any) -> None:
    """Write down whose rows these are now, at which version, and what else is said of them."""
    values |= {
        "of": origin.conn_key,
        "epoch": origin.epoch,
        "serial": origin.serial,
        "simulated": origin.simulated,
        "version": version,
    }
    connection.execute(_SET, values)


def _clear(connection: Connection, conn_key: str) -> None:
    """
    Drop what is held of a device; its row stays, for its epoch and version.

    What was received of images under way goes to the archive first.
    """
    under_way = connection.execute(
        select(chunks)
        .where(chunks.c.conn_key == conn_key)
        .order_by(chunks.c.waveform_key, chunks.c.start)
    ).all()
    if under_way:
        device = connection.execute(_DEVICE, {"of": conn_key}).first()
        if device is not None:
            read_at = device.list_read_at or device.info_read_at or ""
            decodings.keep_partial(connection, device.serial, conn_key, read_at, under_way)
    for table in (events, waveforms, chunks, walked_events, walks):
        connection.execute(delete(table).where(table.c.conn_key == conn_key))
    nothing = {c.name: None for c in devices.c if c.name.startswith(("info_", "list_", "probe_"))}
    connection.execute(update(devices).where(devices.c.conn_key == conn_key).values(**nothing))


_Slot = tuple[int, tuple[str | None, str | None]]
"""A slot, and the stamp that it has in a table: key and timestamp in normal form."""


def _slots(
    connection: Connection, table: Table, conn_key: str, index: int | None = None
) -> list[_Slot]:
    """Return the slots of a device that stand in that table, in order, or that one slot."""
    query = _SLOTS[table]
    if index is not None:
        query = query.where(table.c["index"] == index)
    rows = connection.execute(query, {"of": conn_key})
    return [(slot, (key, timestamp)) for slot, key, timestamp in rows.all()]


def _forget(connection: Connection, table: Table, conn_key: str, indices: Iterable[int]) -> None:
    for index in indices:
        connection.execute(
            delete(table).where(table.c.conn_key == conn_key, table.c.index == index)
        )


def _conflict(told: Mapping[int, Form], held: Iterable[_Slot]) -> bool:
    for slot, stamp in held:
        form = told.get(slot)
        # What is told word for word as it is held needs no rule: most of a list, each time.
        if form is None or (form["waveform_key"], form["timestamp"]) == stamp:
            continue
        if stamps_conflict(stamp_of(form), Stamp(*stamp)):
            return True
    return False


def _noted(read_at: str | None, began_mono: float | None, boot_id: str | None) -> Noted | None:
    if read_at is None:
        return None
    return Noted(read_at=read_at, began_mono=began_mono, boot_id=boot_id)


def _probe_form(probe: MemoryProbe) -> Form:
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


def _probe_of(form: Form) -> MemoryProbe:
    keys = {
        name: None if form[name] is None else bytes.fromhex(form[name])
        for name in ("first_key", "last_key")
    }
    # A probe of before revision 0005 has its newest event's time and nothing else of it.
    peaks, record = form.get("last_peaks"), bytes.fromhex(form.get("last_record", ""))
    last = {"last_peaks": None if peaks is None else Peaks(**peaks), "last_record": record}
    return MemoryProbe(**{**form, **keys, **last})
