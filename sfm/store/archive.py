"""
The archive: every physical event that was ever read, exactly once, for good.

The rule: an event is one by (serial, waveform key, timestamp, record), and the hash of these four
is its public id (``sfm.store.recording_names``). So a missing timestamp lets no twin in, two
triggers of one second stay two (their keys differ), and a second record under the same stamp is
kept beside the first and reported as a finding. Nothing is changed later, except that a row that
does not match its hash is repaired when its event is read again.

A row that does not match its hash is never returned. Numbers of rows are of this database
alone; callers from outside name a recording by its public id.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from math import isnan
from typing import Any

import numpy as np
import orjson
from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from minimateplus.model import Event, Peaks
from minimateplus.wire.image import DECODER
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.records.roster import NO_ROSTER, Roster
from sfm.records.site_time import instant_of
from sfm.store import decodings, schema
from sfm.store.codec import CODEC, digest, has_digest, pack, unpack
from sfm.store.cursors import Cursor, check_page_size
from sfm.store.errors import (
    AmbiguousIdError,
    DamagedRecordError,
    NoSerialError,
    NoSuchRecordError,
    StoreDamagedError,
    UndecodedSamplesError,
)
from sfm.store.recording_names import ID, public_id
from sfm.store.row_hashes import (
    UNREADABLE,
    is_sound,
    raise_unless_unreadable,
    read_rows,
    with_hash,
)
from sfm.store.statements import insert_unless_there, json_text

__all__ = [
    "AT_ONCE",
    "Origin",
    "Page",
    "Samples",
    "Wanted",
    "entered_waveform",
    "load_archived",
    "load_devices",
    "load_findings",
    "load_image",
    "load_page",
    "load_recording",
    "load_reviews",
    "load_samples",
    "name_of",
    "note",
    "recording_numbered",
    "samples_numbered",
    "save_damage_finding",
    "save_events",
    "save_review",
    "save_waveform",
    "sound_record",
    "timestamp_text",
    "utc_text",
]

recordings, waveforms = schema.recordings, schema.recording_waveforms
unproven = schema.unproven_recordings
AT_ONCE = 400
"""Keys in one statement; SQLite takes at least 999 parameters."""


# Executed at every new event, so built once.
_NUMBERS = select(recordings.c.id, recordings.c.public_id).where(
    recordings.c.public_id.in_(bindparam("ids", expanding=True))
)
_OF_NUMBERS = select(recordings).where(recordings.c.id.in_(bindparam("numbers", expanding=True)))
_OF_KEYS = select(recordings).where(
    recordings.c.serial == bindparam("of"),
    recordings.c.waveform_key.in_(bindparam("keys", expanding=True)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where and when something was read."""

    conn_key: str
    serial: str
    epoch: int
    simulated: bool
    read_at: datetime | None
    """Start of the device read, UTC, by the host's clock; ``None``: that clock was never set."""
    began_mono: float
    """The same instant by the monotonic clock of ``boot_id``."""
    boot_id: str | None
    """The boot to which that clock belongs; ``None``: unknown."""

    @property
    def read_at_text(self) -> str:
        """``read_at`` as stored: empty where it is unknown."""
        return "" if self.read_at is None else utc_text(self.read_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A stored waveform, its samples still packed."""

    waveform_id: int
    recording_id: int
    """Number of the recording in this database."""
    public_id: str
    serial: str
    simulated: bool
    event: Payload
    facts: Payload
    """The waveform's payload (``sfm.records.payloads``) without event fields and counts."""
    codec: str
    frame: bytes | None
    counts_hash: bytes
    content_hash: bytes
    route: str
    read_at: str | None
    state: decodings.State = "decoded"
    decoder: int | None = None
    """Version of the decoder that read them; ``None``: it is not known."""

    @property
    def what(self) -> str:
        """The waveform's name for people."""
        return (
            f"recording {short(self.public_id)} ({self.serial}, {self.event['waveform_key']} "
            f"of {self.event['timestamp']})"
        )

    def counts(self) -> bytes:
        """
        Return the counts.

        Raises:
            DamagedRecordError: the stored bytes do not match their hash.
        """
        return unpack(self.frame, self.counts_hash, self.what)

    def payload(self) -> Payload:
        """
        Return the waveform's payload.

        Raises:
            DamagedRecordError: as with ``counts``.
            UndecodedSamplesError: the image is here, and its samples could not be decoded.
        """
        if self.state == "undecoded":
            why = "; ".join(reason["detail"] for reason in self.facts["reasons"])
            raise UndecodedSamplesError(f"{self.what}: {why}", self.public_id)
        return {**self.event, **self.facts, "counts": self.counts()}


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


# --- in ------------------------------------------------------------------------------------------


def save_events(
    connection: Connection, origin: Origin, events: Sequence[Event], *, is_proven: bool = True
) -> list[int]:
    """
    Enter events; return the number of each one's recording, new or known.

    A known recording that does not match its hash is repaired with what was just read.

    ``is_proven``: they are of a proven list, so that the epoch they are written under is theirs;
    else it is only the one that was thought to be the unit's while a walk was under way.

    Raises:
        NoSerialError: the unit's serial number is unknown.
    """
    serial = origin.serial.strip()
    if not serial:
        raise NoSerialError(
            f"{origin.conn_key}: the unit gives no serial number; {len(events)} events are not "
            "archived, because their unit could not be identified later"
        )
    wanted = {name_of(serial, event): event for event in events}
    known = _known(connection, origin, serial, wanted)
    new = {name: event for name, event in wanted.items() if name not in known}
    if new:
        rows = [_row(origin, serial, event) for event in new.values()]
        connection.execute(insert_unless_there(connection, recordings), rows)
        known |= _known(connection, origin, serial, new)
        for name in new.keys() - known.keys():
            # Its row was kept out by one of the same identity whose public id is damaged.
            known[name] = _mend_by_identity(connection, origin, serial, new[name])
        _report_twins(connection, origin, serial, new)
    if is_proven:
        _save_proven(connection, list(known.values()))
    elif new:
        marks = [
            with_hash("unproven_recordings", {"recording_id": known[name]}, recording=name)
            for name in new
        ]
        connection.execute(insert_unless_there(connection, unproven), marks)
    return [known[name_of(serial, event)] for event in events]


def _known(
    connection: Connection, origin: Origin, serial: str, wanted: Mapping[str, Event]
) -> dict[str, int]:
    """Return the numbers of recordings that are there, each one's row sound or mended."""
    names, found = sorted(wanted), dict[str, int]()
    for at in range(0, len(names), AT_ONCE):
        ids = {"ids": names[at : at + AT_ONCE]}
        # The rows themselves are read by number: SQLite takes what an index has from the index, so
        # that a row read by its name would seem to have a sound one.
        numbers = {row.id: row.public_id for row in connection.execute(_NUMBERS, ids)}
        rows = read_rows(connection, recordings, _OF_NUMBERS, {"numbers": list(numbers)})
        for (number,), row in rows:
            name = numbers[number]
            if row is None or not is_sound("recordings", row):
                _mend_recording(connection, origin, serial, wanted[name], number)
            elif row["public_id"] != name:
                continue  # an index that is damaged led to another row
            found[name] = number
    return found


def _public_id_of(connection: Connection, number: int) -> str | None:
    """Return the public id in a row that may be damaged elsewhere."""
    r = recordings.c
    query = select(r.id, r.public_id).where(r.id == number)
    found = [row for _, row in read_rows(connection, recordings, query) if row is not None]
    return found[0]["public_id"] if found else None


def _mend_by_identity(connection: Connection, origin: Origin, serial: str, event: Event) -> int:
    r = recordings.c
    number = connection.execute(
        select(r.id).where(
            r.serial == serial,
            r.waveform_key == event.key.hex(),
            r.event_timestamp == timestamp_text(event),
            r.content_hash == digest(event.record),
        )
    ).scalar()
    if number is None:
        raise StoreDamagedError(
            f"an index of the archive is damaged: it keeps {event.key.hex()} of {serial} out; "
            "run seismo-relay db check, and restore a backup"
        )
    _mend_recording(connection, origin, serial, event, int(number))
    return int(number)


def _mend_recording(
    connection: Connection, origin: Origin, serial: str, event: Event, number: int
) -> None:
    connection.execute(
        update(recordings).where(recordings.c.id == number).values(**_row(origin, serial, event))
    )
    detail = f"{event.key.hex()} of {timestamp_text(event)}: its row did not match the hash"
    note(connection, origin.read_at, "mended", serial, number, f"{detail}; read again")


def _save_proven(connection: Connection, numbers: Sequence[int]) -> None:
    for at in range(0, len(numbers), AT_ONCE):
        some = numbers[at : at + AT_ONCE]
        connection.execute(delete(unproven).where(unproven.c.recording_id.in_(some)))


def save_waveform(
    connection: Connection, origin: Origin, recording_id: int, payload: Payload, image: bytes
) -> int:
    """
    Enter a waveform of a recording; return its number, new or known.

    What is known but no longer matches its own hash is mended with what was just read.
    """
    content_hash = digest(image)
    name = connection.execute(
        select(recordings.c.public_id).where(recordings.c.id == recording_id)
    ).scalar_one()
    # Values that only today's setup proposes are not facts of the recording.
    payload = payloads.as_fact(payload)
    counts: bytes = payload["counts"]
    facts = {k: v for k, v in payload.items() if k != "counts" and k not in payloads.EVENT_FIELDS}
    row = with_hash(
        "recording_waveforms",
        {
            "recording_id": recording_id,
            "content_hash": content_hash,
            "image": image,
            "samples": payload["samples"],
            "facts_json": json_text(facts),
            "scales_json": json_text(payloads.scales_of(payload)),
            "codec": CODEC,
            "counts": pack(counts),
            "counts_hash": digest(counts),
            "route": origin.conn_key,
            "read_at": origin.read_at_text,
        },
        recording=name,
    )
    same = _number_of_content(connection, recording_id, content_hash)
    if same is not None:
        _mend(connection, origin, same, row)
        decodings.save_download(
            connection, same, content_hash, origin.conn_key, origin.read_at_text
        )
        _supersede(connection, origin, same, payload, row["counts_hash"])
        return same
    # (Another transaction may have entered the same content since it was looked for.)
    others = connection.execute(
        select(func.count()).where(
            waveforms.c.recording_id == recording_id, waveforms.c.content_hash != content_hash
        )
    ).scalar_one()
    connection.execute(insert_unless_there(connection, waveforms), [row])
    if others:
        note(
            connection,
            origin.read_at,
            "other_waveform",
            origin.serial,
            recording_id,
            f"slot {payload['index']}: the samples read now differ from those read before; "
            "both are kept",
        )
    number = _number_of_content(connection, recording_id, content_hash)
    assert number is not None
    decodings.save_decoding(connection, number, content_hash, payload, origin.read_at_text)
    return number


def _supersede(
    connection: Connection, origin: Origin, number: int, payload: Payload, counts_hash: bytes
) -> None:
    """Enter what was read of an image that is here already, where it differs from before."""
    entered = _samples_of(_waveform_row(connection, number))
    own = None if counts_hash == entered.counts_hash else payload["counts"]
    try:
        entry = _as_read_last(connection, entered)
        if entry.counts_hash != entered.counts_hash:
            entry.counts()
    except DamagedRecordError:
        decodings.save_decoding(
            connection, number, entered.content_hash, payload, origin.read_at_text, counts=own
        )
        detail = f"{entered.what}: its last reading did not match the hash; read again"
        note(connection, origin.read_at, "mended", entered.serial, entered.recording_id, detail)
        return
    change = decodings.change_between(entry.facts, payload)
    state = decodings.state_of(payload)
    if change is None and state == entry.state and entry.decoder == DECODER:
        return
    decodings.save_decoding(
        connection, number, entered.content_hash, payload, origin.read_at_text, counts=own
    )
    if change is not None:
        detail = f"{entry.what}, read again: {change}"
        kind = decodings.SUPERSEDED
        note(connection, origin.read_at, kind, entry.serial, entry.recording_id, detail)


def _number_of_content(
    connection: Connection, recording_id: int, content_hash: bytes
) -> int | None:
    found = connection.execute(
        select(waveforms.c.id).where(
            waveforms.c.recording_id == recording_id, waveforms.c.content_hash == content_hash
        )
    ).scalar()
    return None if found is None else int(found)


def _mend(connection: Connection, origin: Origin, number: int, now: Payload) -> None:
    """Replace what does not match its hash; sound rows are never changed."""
    row = _waveform_row(connection, number)
    try:
        if row is None:
            raise DamagedRecordError("unreadable")
        entry = _samples_of(row)
    except DamagedRecordError:
        mended = dict(now)
        changed = ["the row"]
    else:
        mended = {}
        try:
            load_image(connection, number)
        except DamagedRecordError:
            mended["image"] = now["image"]
        if now["counts_hash"] == entry.counts_hash and not _counts_are_sound(entry):
            mended["counts"] = now["counts"]
        changed = sorted(mended)
    if not mended:
        return
    connection.execute(update(waveforms).where(waveforms.c.id == number).values(**mended))
    entry = _samples_of(_waveform_row(connection, number))
    detail = f"{entry.what}: {' and '.join(changed)} did not match the hash; read again"
    note(connection, origin.read_at, "mended", entry.serial, entry.recording_id, detail)


def _counts_are_sound(entry: Samples) -> bool:
    try:
        entry.counts()
    except Exception:
        return False
    return True


def note(
    connection: Connection,
    at: datetime | None,
    kind: str,
    serial: str,
    recording_id: int | None,
    detail: str,
) -> None:
    """Save a finding."""
    row = {
        "at": "" if at is None else utc_text(at),
        "kind": kind,
        "serial": serial,
        "recording_id": recording_id,
        "detail": detail,
    }
    connection.execute(insert(schema.findings), [with_hash("findings", row)])


def save_damage_finding(connection: Connection, name: int | str, detail: str, at: datetime) -> None:
    """
    Save a finding: something that is stored for a recording does not match its hash.

    A finding that is there already is not repeated, unless the damage was mended in between.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    recording_id = find(connection, name)
    f = schema.findings.c
    mine = select(func.max(f.id)).where(f.recording_id == recording_id)
    mended = connection.execute(mine.where(f.kind == "mended")).scalar() or 0
    reported = connection.execute(mine.where(f.kind == "damaged", f.detail == detail)).scalar() or 0
    if reported <= mended:
        [(_, row)] = read_rows(
            connection, recordings, select(recordings).where(recordings.c.id == recording_id)
        )
        serial = "unknown" if row is None else str(row["serial"])
        note(connection, at, "damaged", serial, recording_id, detail)


def save_review(
    connection: Connection,
    name: int | str,
    *,
    at: datetime,
    reviewer: str,
    false_trigger: bool | None,
    note: str | None,
) -> Payload:
    """
    Save a person's review of a recording; return it.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    recording_id = find(connection, name)
    row = {
        "recording_id": recording_id,
        "at": utc_text(at),
        "reviewer": reviewer,
        "false_trigger": false_trigger,
        "note": note,
    }
    connection.execute(insert(schema.reviews), [with_hash("reviews", row)])
    return _reviews(connection, recording_id)[0]


# --- out -----------------------------------------------------------------------------------------


def find(connection: Connection, name: int | str) -> int:
    """
    Return the row number of the recording that has that number or public id.

    Raises:
        NoSuchRecordError: there is no such recording.
        AmbiguousIdError: several recordings begin with these letters.
    """
    r = recordings.c
    query = select(r.id, r.public_id)
    if isinstance(name, int):
        query = query.where(r.id == name)
    else:
        low = name.lower()
        if ID.fullmatch(low) is None:
            raise NoSuchRecordError(
                f"{name!r} is no recording's id: 8 to 64 of the digits 0 to 9 and a to f, as "
                "the list of recordings shows them"
            )
        # g follows every letter that an id has.
        query = query.where(r.public_id >= low, r.public_id < low + "g").order_by(r.public_id)
    found = [row for _, row in read_rows(connection, recordings, query.limit(8)) if row is not None]
    if not found:
        raise NoSuchRecordError(f"the archive has no recording {name}")
    if len(found) > 1:
        raise AmbiguousIdError(
            f"{len(found)} or more recordings begin with {name}: "
            + " and ".join(row["public_id"][:20] for row in found[:2])
            + "; give more letters of the id"
        )
    number = int(found[0]["id"])
    if isinstance(name, str) and not str(_public_id_of(connection, number)).startswith(low):
        raise DamagedRecordError(
            f"recording {name}: the archive's index leads to another one; run: seismo-relay "
            "db check, and restore a backup"
        )
    return number


def load_recording(
    connection: Connection, name: int | str, *, zones: Roster = NO_ROSTER
) -> Payload:
    """
    Return one recording by its name; see ``recording_numbered``.

    Raises:
        NoSuchRecordError: there is no such recording.
        AmbiguousIdError: several recordings' ids begin with these letters.
        DamagedRecordError: its row or its record does not match its hash.
    """
    return recording_numbered(connection, find(connection, name), zones=zones)


def recording_numbered(
    connection: Connection, number: int, *, zones: Roster = NO_ROSTER
) -> Payload:
    """
    Return one recording: the event's payload with hash, origin and the unit's own record in hex.

    ``geo_range_in_s`` is the range that its archived samples gave, or ``None``.

    Raises:
        NoSuchRecordError: there is none of that number.
        DamagedRecordError: its row or its record does not match its hash.
    """
    row = _recording_row(connection, number)
    record = bytes(row["record"])
    if not has_digest(record, row["content_hash"]):
        raise DamagedRecordError(
            f"recording {short(row['public_id'])} ({row['serial']}, {row['waveform_key']} of "
            f"{row['event_timestamp']}): the stored record does not match its hash"
        )
    _, ranges = _states(connection, {number: str(row["public_id"])})
    return {
        **recording_payload(row, zones),
        "geo_range_in_s": ranges.get(number),
        "content_hash": bytes(row["content_hash"]).hex(),
        "record": record.hex(),
    }


def _recording_row(connection: Connection, number: int) -> RowMapping:
    query = select(recordings).where(recordings.c.id == number)
    found = list(read_rows(connection, recordings, query))
    if not found:
        raise NoSuchRecordError(f"the archive has no recording number {number}")
    row = found[0].row
    if row is None or not is_sound("recordings", row):
        raise DamagedRecordError(_damage(number, row))
    return row


def sound_record(row: RowMapping) -> bytes | None:
    """Return a recording's record, if row and record match their hashes."""
    is_whole = is_sound("recordings", row) and has_digest(row["record"], row["content_hash"])
    return bytes(row["record"]) if is_whole else None


def _damage(number: int, row: RowMapping | None) -> str:
    name = f"number {number}" if row is None else f"{short(str(row['public_id']))}"
    return (
        f"recording {name}: its stored facts do not match their hash; they come back when "
        "its unit is read while it still has the event, or with a backup"
    )


def short(name: str) -> str:
    """Return as much of a public id as people are shown."""
    return name[:12]


def load_samples(
    connection: Connection, name: int | str, content_hash: bytes | None = None
) -> Samples:
    """
    Return a recording's samples: the first ones read, or those with that content hash.

    Raises:
        NoSuchRecordError: there is no such recording, or its waveform was never downloaded.
        AmbiguousIdError, DamagedRecordError: as with ``load_recording``.
    """
    number = find(connection, name)
    return samples_numbered(connection, recording_id=number, content_hash=content_hash)


def samples_numbered(
    connection: Connection,
    *,
    waveform_id: int | None = None,
    recording_id: int | None = None,
    content_hash: bytes | None = None,
) -> Samples:
    """
    Return a stored waveform by its number, or a recording's: the first sound one, or by its hash.

    Raises:
        NoSuchRecordError: there is none.
        DamagedRecordError: it does not match its hash.
    """
    w = waveforms.c
    if waveform_id is not None:
        numbers = [waveform_id]
    else:
        query = select(w.id).where(w.recording_id == recording_id).order_by(w.id)
        if content_hash is not None:
            query = query.where(w.content_hash == content_hash)
        numbers = list(connection.execute(query).scalars())
    damage: DamagedRecordError | None = None
    for number in numbers:
        try:
            return _as_read_last(connection, _samples_of(_waveform_row(connection, number)))
        except DamagedRecordError as error:
            damage = damage or error
        except NoSuchRecordError:
            break
    if damage is not None:
        raise damage
    if recording_id is None:
        raise NoSuchRecordError(f"the archive has no waveform {waveform_id}")
    name = short(str(_recording_row(connection, recording_id)["public_id"]))
    if content_hash is None:
        raise NoSuchRecordError("the samples of this recording were never downloaded")
    raise NoSuchRecordError(f"recording {name} has no samples of the content {content_hash.hex()}")


def _waveform_row(connection: Connection, number: int) -> RowMapping | None:
    """Return a waveform's row, without its image, joined with its recording's."""
    w = waveforms.c
    columns = [c.label(f"w_{c.name}") for c in w if c.name not in ("id", "image")]
    query = (
        select(w.id, *columns, *(c.label(f"r_{c.name}") for c in recordings.c))
        .join_from(waveforms, recordings)
        .where(w.id == number)
    )
    found = list(read_rows(connection, waveforms, query))
    if not found:
        raise NoSuchRecordError(f"the archive has no waveform {number}")
    return found[0].row


def _samples_of(joined: RowMapping | None) -> Samples:
    """Return a waveform as it was entered, if it and its recording match their hashes."""
    if joined is None:
        raise DamagedRecordError("the facts of a stored waveform cannot be read")
    row = {name[2:]: value for name, value in joined.items() if name.startswith("r_")}
    mine = {name[2:]: value for name, value in joined.items() if name.startswith("w_")}
    if not is_sound("recordings", row):
        raise DamagedRecordError(_damage(row["id"], row))  # type: ignore[arg-type]
    if not is_sound("recording_waveforms", mine, recording=row["public_id"]):
        raise DamagedRecordError(
            f"recording {short(row['public_id'])}: the facts of its samples do not match their hash"
        )
    facts = orjson.loads(mine["facts_json"])
    return Samples(
        waveform_id=joined["id"],
        recording_id=row["id"],
        public_id=row["public_id"],
        serial=row["serial"],
        simulated=row["simulated"],
        event=event_payload(row),
        facts=_completed(facts),
        codec=mine["codec"],
        frame=mine["counts"],
        counts_hash=bytes(mine["counts_hash"]),
        content_hash=bytes(mine["content_hash"]),
        route=mine["route"],
        read_at=mine["read_at"] or None,
        state="partial",
        decoder=None,
    )


def _completed(facts: Payload) -> Payload:
    return facts | {k: v for k, v in decodings.LEGACY.items() if k not in facts}


def entered_waveform(connection: Connection, waveform_id: int) -> tuple[Samples, bytes]:
    """
    Return a waveform as it was entered, and its recording's record.

    Raises:
        NoSuchRecordError: there is none of that number.
        DamagedRecordError: it or its recording does not match its hash.
    """
    joined = _waveform_row(connection, waveform_id)
    entered = _samples_of(joined)
    assert joined is not None
    if not has_digest(joined["r_record"], joined["r_content_hash"]):
        raise DamagedRecordError(f"{entered.what}: the stored record does not match its hash")
    return entered, bytes(joined["r_record"])


def _as_read_last(connection: Connection, entered: Samples) -> Samples:
    """Return a waveform as the last reading of its image has it."""
    reading = decodings.latest(connection, entered.waveform_id, entered.content_hash, entered.what)
    if reading is None:
        return entered
    facts = orjson.loads(reading["facts_json"])
    read = replace(
        entered, facts=_completed(facts), state=reading["state"], decoder=reading["decoder"]
    )
    if reading["counts_hash"] is None:  # it is of the counts that the waveform was entered with
        return read
    return replace(
        read,
        codec=reading["codec"],
        frame=reading["counts"],
        counts_hash=bytes(reading["counts_hash"]),
    )


def load_image(connection: Connection, waveform_id: int) -> bytes:
    """
    Return the unit's own memory of an event, from the file-type tag to the footer.

    Raises:
        NoSuchRecordError: there is no such waveform.
        DamagedRecordError: it does not match its hash.
    """
    w = waveforms.c
    query = (
        select(w.id, w.image, w.content_hash, recordings.c.public_id)
        .join_from(waveforms, recordings)
        .where(w.id == waveform_id)
    )
    for _, row in read_rows(connection, waveforms, query):
        if row is None or not has_digest(row["image"], row["content_hash"]):
            of = "" if row is None else f" of recording {short(str(row['public_id']))}"
            raise DamagedRecordError(
                f"the stored image{of} (number {waveform_id}) does not match its hash"
            )
        return bytes(row["image"])
    raise NoSuchRecordError(f"the archive has no waveform {waveform_id}")


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
    skipped = 0
    while True:
        wanted = limit + 1 - len(rows)
        met = list(read_rows(connection, recordings, query.offset(skipped).limit(wanted)))
        for (number,), row in met:
            if row is None or not is_sound("recordings", row):
                damaged.append(_damage(number, row))
            elif len(rows) == limit:
                return rows, damaged, True
            else:
                rows.append(row)
        skipped += len(met)
        if len(met) < wanted:
            return rows, damaged, False


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
    contents, damaged = _contents(connection, names)
    latest: dict[int, Payload] = {}
    query = select(schema.reviews).where(v.recording_id.in_(numbers)).order_by(v.id)
    for (number,), one in read_rows(connection, schema.reviews, query):
        if one is None or one["recording_id"] not in names:
            damaged.append(f"review number {number} of a recording of this page cannot be read")
        else:
            latest[one["recording_id"]] = _review_payload(one)
    marked = _unproven_among(connection, names)
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


def _contents(
    connection: Connection, names: Mapping[int, str]
) -> tuple[dict[int, list[str]], list[str]]:
    """Return the contents of some recordings' waveforms, hex, and what is damaged among them."""
    w = waveforms.c
    contents: dict[int, list[str]] = {number: [] for number in names}
    damaged: list[str] = []
    downloaded = (
        select(*(c for c in w if c.name not in ("counts", "image")))
        .where(w.recording_id.in_(list(names)))
        .order_by(w.id)
    )
    for (number,), row in read_rows(connection, waveforms, downloaded):
        name = None if row is None else names.get(row["recording_id"])
        if row is None or name is None:
            damaged.append(f"waveform number {number}: its row cannot be read")
        elif not is_sound("recording_waveforms", row, recording=name):
            damaged.append(
                f"recording {short(name)}: the facts of its samples do not match their hash"
            )
        else:
            contents[row["recording_id"]].append(bytes(row["content_hash"]).hex())
    return contents, damaged


def load_archived(connection: Connection, name: int | str) -> Payload:
    """Return what is archived: record, image, samples; raises as ``load_recording`` does."""
    number = find(connection, name)
    names = {number: str(_recording_row(connection, number)["public_id"])}
    return _states(connection, names)[0][number]


def _states(
    connection: Connection, names: Mapping[int, str]
) -> tuple[dict[int, Payload], dict[int, float]]:
    states, ranges, _ = decodings.states(connection, names, _contents(connection, names)[0])
    return states, ranges


def _unproven_among(connection: Connection, names: Mapping[int, str]) -> set[int]:
    """
    Return which of some recordings no proven walk has met.

    If a mark is damaged, its recording is unknown: then none of them counts as proven.
    """
    r = recordings.c
    marks = select(unproven, r.public_id).outerjoin_from(unproven, recordings)
    found = set()
    for (number,), row in read_rows(connection, unproven, marks):
        if row is None or not _is_sound_mark(row):
            return set(names)
        if number in names:
            found.add(number)
    return found


def _is_sound_mark(row: RowMapping) -> bool:
    mark = {"recording_id": row["recording_id"], "row_hash": row["row_hash"]}
    return is_sound("unproven_recordings", mark, recording=str(row["public_id"]))


def load_reviews(connection: Connection, name: int | str) -> list[Payload]:
    """
    Return people's reviews of a recording, the latest first.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    return _reviews(connection, find(connection, name))


def _reviews(connection: Connection, recording_id: int) -> list[Payload]:
    v = schema.reviews
    query = select(v).where(v.c.recording_id == recording_id).order_by(v.c.id.desc())
    return [_review_payload(row) for _, row in read_rows(connection, v, query)]


def load_findings(connection: Connection, limit: int = 100) -> list[Payload]:
    """Return what was noticed, the latest first; a damaged one is named as such."""
    f, r = schema.findings, recordings.c
    query = select(f).order_by(f.c.id.desc()).limit(limit)
    found = []
    for (number,), row in read_rows(connection, f, query):
        if row is None or not is_sound("findings", row):
            detail = f"finding {number}: its row does not match its hash"
            payload = {"at": "", "kind": "damaged", "serial": "unknown", "detail": detail}
            found.append({"id": number, **payload, "recording_id": None})
            continue
        payload = {name: row[name] for name in ("id", "at", "kind", "serial", "detail")}
        name = connection.execute(select(r.public_id).where(r.id == row["recording_id"])).scalar()
        found.append({**payload, "recording_id": name})
    return found


def event_payload(row: Mapping[Any, Any]) -> Payload:
    """Return an archived event's payload, equal to a live one's (``sfm.records.payloads``)."""
    timestamp = row["event_timestamp"]
    return payloads.event_payload(
        Event(
            index=row["slot"],
            key=bytes.fromhex(row["waveform_key"]),
            device_time=datetime.fromisoformat(timestamp) if timestamp else None,
            # As the wire's floats: decibels of their shortest text can round the other way.
            peaks=Peaks(
                **{
                    f.name: None if row[f.name] is None else float(np.float32(row[f.name]))
                    for f in fields(Peaks)
                }
            ),
            project=row["project"],
        )
    )


def recording_payload(row: Mapping[Any, Any], zones: Roster) -> Payload:
    """Return one recording's payload: unit, event, when and by which route it was read."""
    timestamp, read_at = row["event_timestamp"], row["read_at"] or None
    device_time = datetime.fromisoformat(timestamp) if timestamp else None
    instant = instant_of(
        device_time,
        zones.zone_at(row["serial"], device_time),
        None if read_at is None else datetime.fromisoformat(read_at),
    )
    unknown = instant.unknown
    if unknown == "no-zone" and zones.has_damaged_zones:
        unknown = "damaged-zones"
    return {
        "id": row["public_id"],
        "serial": row["serial"],
        **event_payload(row),
        "utc": None if instant.at is None else utc_text(instant.at),
        "utc_unknown": unknown,
        "simulated": row["simulated"],
        "read_at": read_at,
        "route": row["route"],
    }


def utc_text(at: datetime) -> str:
    """Return an instant as stored: ISO 8601, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


# --- inside --------------------------------------------------------------------------------------


def name_of(serial: str, event: Event) -> str:
    """Return the public id that an event of a unit has in the archive."""
    return public_id(serial, event.key.hex(), timestamp_text(event), event.record)


def timestamp_text(event: Event) -> str:
    """Return an event's unit time as stored; empty when unknown."""
    return "" if event.device_time is None else event.device_time.isoformat()


def _row(origin: Origin, serial: str, event: Event) -> dict[str, Any]:
    peaks = payloads.event_payload(event)["peaks"]
    row = {
        "serial": serial,
        "waveform_key": event.key.hex(),
        "event_timestamp": timestamp_text(event),
        "content_hash": digest(event.record),
        "record": event.record,
        "slot": event.index,
        # What is no number is unknown: SQLite makes it NULL, PostgreSQL sorts it above all.
        **{
            f.name: None if peaks[f.name] is None or isnan(peaks[f.name]) else peaks[f.name]
            for f in fields(Peaks)
        },
        "project": event.project,
        "simulated": origin.simulated,
        "epoch": origin.epoch,
        "route": origin.conn_key,
        "read_at": origin.read_at_text,
        "public_id": name_of(serial, event),
    }
    return with_hash("recordings", row)


def _report_twins(
    connection: Connection, origin: Origin, serial: str, new: Mapping[str, Event]
) -> None:
    """Write down each new record under a stamp that has another; an unknown time is no stamp."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    numbers: dict[str, int] = {}
    keys = sorted({event.key.hex() for event in new.values()})
    for at in range(0, len(keys), AT_ONCE):
        of = {"of": serial, "keys": keys[at : at + AT_ONCE]}
        for (number,), row in read_rows(connection, recordings, _OF_KEYS, of):
            if row is None:
                continue
            numbers[row["public_id"]] = number
            stamp = (row["waveform_key"], row["event_timestamp"])
            first[stamp] = min((number, row["public_id"]), first.get(stamp, (number, "~")))
    for name, event in new.items():
        key, at_text = event.key.hex(), timestamp_text(event)
        if at_text and name in numbers and first[key, at_text][1] != name:
            detail = (
                f"{key} of {at_text}: the record read now differs from the one before; "
                "both are kept"
            )
            note(connection, origin.read_at, "other_content", serial, numbers[name], detail)


def _device_payload(counted: Mapping[Any, Any], last: Mapping[Any, Any]) -> Payload:
    # Names of ours: those of a row are no plain texts, and JSON takes no others.
    names = ("serial", "recordings", "first_timestamp", "last_timestamp")
    return {
        **{name: counted[name] for name in names},
        "simulated": last["simulated"],
        "last_read_at": last["read_at"] or None,
        "last_route": last["route"],
    }


def _review_payload(row: RowMapping | None) -> Payload:
    """Return a review, or the note that it is damaged."""
    if row is None or not is_sound("reviews", row):
        note = "this review is damaged: its row does not match its hash; a backup may have it"
        return {"at": "", "reviewer": "unknown", "false_trigger": None, "note": note}
    return {name: row[name] for name in ("at", "reviewer", "false_trigger", "note")}
