"""
The archive: every physical event that was ever read, exactly once, for good.

The rule: an event is one by (serial, waveform key, timestamp, content hash). The hash is of the
record that the unit sent, byte for byte, so a missing timestamp lets no twin in, two triggers of
one second stay two (their keys differ), and a second content under the same stamp is kept beside
the first and told as a finding. Nothing is changed later.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from math import isnan
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from sqlalchemy import (
    Connection,
    RowMapping,
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
from sfm import forms
from sfm.forms import Form
from sfm.store import decodings, schema
from sfm.store.cursors import Cursor
from sfm.store.errors import NoSerialError, NoSuchRecordError, UndecodedSamplesError
from sfm.store.samples_at_rest import CODEC, digest, pack, unpack
from sfm.store.statements import insert_unless_there, json_text

recordings, waveforms = schema.recordings, schema.recording_waveforms
unproven = schema.unproven_recordings
AT_ONCE = 400
"""Keys in one statement; SQLite takes at least 999 parameters."""
ANY_ZONE = "*"
"""The unit that stands for all others in the table of zones."""

# Said at every new event, so put together once.
_KNOWN = select(
    recordings.c.id,
    recordings.c.waveform_key,
    recordings.c.event_timestamp,
    recordings.c.content_hash,
).where(
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
    read_at: datetime
    """Start of the device read, UTC, by the relay's wall clock."""
    began_mono: float
    """The same instant by the monotonic clock of ``boot_id``."""
    boot_id: str | None
    """Which boot of which machine that clock belongs to; ``None``: nobody knows."""

    @property
    def read_at_text(self) -> str:
        """``read_at`` as it stands in the tables."""
        return utc_text(self.read_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A stored waveform, its samples still packed."""

    waveform_id: int
    recording_id: int
    serial: str
    simulated: bool
    event: Form
    facts: Form
    """The waveform's form (``sfm.forms``) without event fields and counts."""
    codec: str
    frame: bytes
    counts_hash: bytes
    content_hash: bytes
    route: str
    read_at: str
    state: decodings.State = "decoded"
    decoder: int | None = None
    """Version of the decoder that read them; ``None``: it is not known."""

    @property
    def what(self) -> str:
        """The waveform's name for people."""
        return (
            f"recording {self.recording_id} ({self.serial}, {self.event['waveform_key']} "
            f"of {self.event['timestamp']})"
        )

    def counts(self) -> bytes:
        """
        Return the counts.

        Raises:
            DamagedRecordError: the stored bytes are not what their hash says.
        """
        return unpack(self.frame, self.counts_hash, self.what)

    def form(self) -> Form:
        """
        Return the waveform's form.

        Raises:
            DamagedRecordError: as with ``counts``.
            UndecodedSamplesError: the image is here, and its samples could not be decoded.
        """
        if self.state == "undecoded":
            why = "; ".join(reason["detail"] for reason in self.facts["reasons"])
            raise UndecodedSamplesError(f"{self.what}: {why}", self.recording_id)
        return {**self.event, **self.facts, "counts": self.counts()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which recordings: every part that is given must hold."""

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

    rows: list[Form]
    next_cursor: str | None


# --- in ------------------------------------------------------------------------------------------


def keep_events(
    connection: Connection,
    origin: Origin,
    events: Sequence[Event],
    zones: Mapping[str, ZoneInfo],
    *,
    is_proven: bool = True,
) -> list[int]:
    """
    Enter events; return the number of each one's recording, new or known.

    ``is_proven``: they are of a proven list, so that the epoch they are written under is theirs;
    else it is only the one that was thought to be the unit's while a walk was under way.

    Raises:
        NoSerialError: nothing says which unit they are of.
    """
    serial = origin.serial.strip()
    if not serial:
        raise NoSerialError(
            f"{origin.conn_key}: the unit gives no serial number; {len(events)} events are not "
            "archived, since nobody could say later whose they are"
        )
    wanted = {_identity(event): event for event in events}
    known = _known(connection, serial, {key for key, _, _ in wanted})
    new = {identity: event for identity, event in wanted.items() if identity not in known}
    if new:
        rows = [_row(origin, serial, event, zones) for event in new.values()]
        connection.execute(insert_unless_there(connection, recordings), rows)
        known = _known(connection, serial, {key for key, _, _ in wanted})
        _tell_of_twins(connection, origin, new, known)
    if is_proven:
        _note_proven(connection, list(known.values()))
    elif new:
        rows = [{"recording_id": known[identity]} for identity in new]
        connection.execute(insert_unless_there(connection, unproven), rows)
    return [known[_identity(event)] for event in events]


def _note_proven(connection: Connection, numbers: Sequence[int]) -> None:
    for at in range(0, len(numbers), AT_ONCE):
        some = numbers[at : at + AT_ONCE]
        connection.execute(delete(unproven).where(unproven.c.recording_id.in_(some)))


def keep_waveform(
    connection: Connection, origin: Origin, recording_id: int, form: Form, image: bytes
) -> int:
    """
    Enter a waveform of a recording; return its number, new or known.

    What is known but no longer matches its own hash is mended with what was just read.
    """
    content_hash = digest(image)
    known = connection.execute(
        select(waveforms.c.id, waveforms.c.content_hash, waveforms.c.counts_hash)
        .where(waveforms.c.recording_id == recording_id)
        .order_by(waveforms.c.id)
    ).all()
    same = next((row for row in known if bytes(row.content_hash) == content_hash), None)
    # What only the setup of today says is no fact of the recording.
    form = forms.as_fact(form)
    counts: bytes = form["counts"]
    if same is not None:
        _mend(connection, origin, same.id, form, image)
        decodings.note_download(connection, same.id, origin.conn_key, origin.read_at_text)
        _supersede(connection, origin, samples(connection, waveform_id=same.id), form)
        return int(same.id)
    facts = {k: v for k, v in form.items() if k != "counts" and k not in forms.EVENT_FIELDS}
    row = {
        "recording_id": recording_id,
        "content_hash": content_hash,
        "image": image,
        "samples": form["samples"],
        "facts_json": json_text(facts),
        "scales_json": json_text(forms.scales_of(form)),
        "codec": CODEC,
        "counts": pack(counts),
        "counts_hash": digest(counts),
        "route": origin.conn_key,
        "read_at": origin.read_at_text,
    }
    connection.execute(insert_unless_there(connection, waveforms), [row])
    if known:
        note(
            connection,
            origin.read_at,
            "other_waveform",
            origin.serial,
            recording_id,
            f"slot {form['index']}: the samples read now differ from those read before; "
            "both are kept",
        )
    number = int(
        connection.execute(
            select(waveforms.c.id).where(
                waveforms.c.recording_id == recording_id, waveforms.c.content_hash == content_hash
            )
        ).scalar_one()
    )
    decodings.note_reading(connection, number, form, origin.read_at_text)
    return number


def _supersede(connection: Connection, origin: Origin, held: Samples, form: Form) -> None:
    """Enter what was read of an image that is here already, where it differs from before."""
    change = decodings.change_between(held.facts, form)
    state = decodings.state_of(form)
    if change is None and state == held.state and held.decoder == DECODER:
        return
    counts: bytes = form["counts"]
    own = None if digest(counts) == held.counts_hash else counts
    decodings.note_reading(connection, held.waveform_id, form, origin.read_at_text, counts=own)
    if change is not None:
        detail = f"{held.what}, read again: {change}"
        kind = decodings.SUPERSEDED
        note(connection, origin.read_at, kind, held.serial, held.recording_id, detail)


def _mend(connection: Connection, origin: Origin, number: int, form: Form, image: bytes) -> None:
    held = samples(connection, waveform_id=number)
    image_held = connection.execute(
        select(waveforms.c.image).where(waveforms.c.id == number)
    ).scalar_one()
    counts: bytes = form["counts"]
    mended: dict[str, Any] = {}
    if digest(bytes(image_held)) != held.content_hash:
        mended["image"] = image
    if digest(counts) == held.counts_hash and not _is_sound(held):
        mended["counts"] = pack(counts)
    if not mended:
        return
    connection.execute(update(waveforms).where(waveforms.c.id == number).values(**mended))
    detail = f"{held.what}: {' and '.join(sorted(mended))} did not match the hash; read again"
    note(connection, origin.read_at, "mended", held.serial, held.recording_id, detail)


def _is_sound(held: Samples) -> bool:
    try:
        held.counts()
    except Exception:
        return False
    return True


def note(
    connection: Connection,
    at: datetime,
    kind: str,
    serial: str,
    recording_id: int | None,
    detail: str,
) -> None:
    """Write down a finding."""
    row = {
        "at": utc_text(at),
        "kind": kind,
        "serial": serial,
        "recording_id": recording_id,
        "detail": detail,
    }
    connection.execute(insert(schema.findings), [row])


def note_damage(connection: Connection, at: datetime, recording_id: int, detail: str) -> None:
    """
    Write down that something stored of a recording is not what its hash says.

    Once: what was said already is not said again, unless it was mended in between.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    f = schema.findings.c
    mine = select(func.max(f.id)).where(f.recording_id == recording_id)
    mended = connection.execute(mine.where(f.kind == "mended")).scalar() or 0
    told = connection.execute(mine.where(f.kind == "damaged", f.detail == detail)).scalar() or 0
    if told <= mended:
        serial = event(connection, recording_id)["serial"]
        note(connection, at, "damaged", serial, recording_id, detail)


def review(
    connection: Connection,
    recording_id: int,
    *,
    at: datetime,
    reviewer: str,
    false_trigger: bool | None,
    note: str | None,
) -> Form:
    """
    Write down what a person says of a recording; return it.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    event(connection, recording_id)
    row = {
        "recording_id": recording_id,
        "at": utc_text(at),
        "reviewer": reviewer,
        "false_trigger": false_trigger,
        "note": note,
    }
    connection.execute(insert(schema.reviews), [row])
    return reviews_of(connection, recording_id)[0]


# --- out -----------------------------------------------------------------------------------------


def event(connection: Connection, recording_id: int) -> Form:
    """
    Return one recording: the event's form with hash, origin and the unit's own record in hex.

    Raises:
        NoSuchRecordError: there is none of that number.
    """
    row = (
        connection.execute(select(recordings).where(recordings.c.id == recording_id))
        .mappings()
        .first()
    )
    if row is None:
        raise NoSuchRecordError(f"the archive has no recording {recording_id}")
    return {
        **recording_form(row),
        "content_hash": bytes(row["content_hash"]).hex(),
        "record": bytes(row["record"]).hex(),
        "record_is_sound": digest(bytes(row["record"])) == bytes(row["content_hash"]),
    }


def samples(
    connection: Connection,
    *,
    waveform_id: int | None = None,
    recording_id: int | None = None,
    content_hash: bytes | None = None,
) -> Samples:
    """
    Return a stored waveform by its number, or a recording's: the first read, or by content hash.

    Raises:
        NoSuchRecordError: there is none.
    """
    columns = [c for c in waveforms.c if c.name != "image"]
    query = select(*(c.label(f"w_{c.name}") for c in columns), recordings).join_from(
        waveforms, recordings
    )
    if waveform_id is not None:
        query = query.where(waveforms.c.id == waveform_id)
    else:
        query = query.where(waveforms.c.recording_id == recording_id).order_by(waveforms.c.id)
    if content_hash is not None:
        query = query.where(waveforms.c.content_hash == content_hash)
    row = connection.execute(query.limit(1)).mappings().first()
    if row is None:
        if recording_id is None:
            raise NoSuchRecordError(f"the archive has no waveform {waveform_id}")
        event(connection, recording_id)
        if content_hash is None:
            raise NoSuchRecordError("the samples of this recording were never downloaded")
        raise NoSuchRecordError(
            f"recording {recording_id} has no samples of the content {content_hash.hex()}"
        )
    reading = decodings.latest(connection, row["w_id"])
    facts = orjson.loads(row["w_facts_json"] if reading is None else reading["facts_json"])
    # A reading without counts of its own is of those that the waveform was entered with.
    own = reading if reading is not None and reading["counts"] is not None else None
    return Samples(
        waveform_id=row["w_id"],
        recording_id=row["id"],
        serial=row["serial"],
        simulated=row["simulated"],
        event=event_form(row),
        facts=facts | {k: v for k, v in decodings.LEGACY.items() if k not in facts},
        codec=row["w_codec"] if own is None else own["codec"],
        frame=bytes(row["w_counts"] if own is None else own["counts"]),
        counts_hash=bytes(row["w_counts_hash"] if own is None else own["counts_hash"]),
        content_hash=bytes(row["w_content_hash"]),
        route=row["w_route"],
        read_at=row["w_read_at"],
        state="partial" if reading is None else reading["state"],
        decoder=None if reading is None else reading["decoder"],
    )


def image(connection: Connection, waveform_id: int) -> bytes:
    """
    Return the unit's own memory of an event, from the file-type tag to the footer.

    Raises:
        NoSuchRecordError: there is no such waveform.
    """
    data = connection.execute(
        select(waveforms.c.image).where(waveforms.c.id == waveform_id)
    ).scalar()
    if data is None:
        raise NoSuchRecordError(f"the archive has no waveform {waveform_id}")
    return bytes(data)


def devices(connection: Connection) -> list[Form]:
    """Return every unit of the archive with what is there of it."""
    r = recordings.c
    found = connection.execute(
        select(
            r.serial,
            func.count().label("recordings"),
            func.max(r.id).label("last_id"),
            func.min(r.event_timestamp).filter(r.event_timestamp != "").label("first_timestamp"),
            func.max(r.event_timestamp).filter(r.event_timestamp != "").label("last_timestamp"),
        )
        .group_by(r.serial)
        .order_by(r.serial)
    ).mappings()
    return [_device_form(connection, row) for row in found.all()]


def page(connection: Connection, wanted: Wanted, after: Cursor | None, limit: int) -> Page:
    """
    Return a page of recordings: newest unit time first, unknown times last, then latest entered.

    Rows that were there when the first page was read are each met exactly once, whatever enters
    meanwhile.
    """
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
    rows = connection.execute(query.limit(limit + 1)).mappings().all()
    found = [recording_form(row) for row in rows[:limit]]
    _add_what_changes(connection, found)
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = None if last is None else Cursor(last["event_timestamp"], last["id"]).text()
    return Page(found, cursor)


def _add_what_changes(connection: Connection, found: list[Form]) -> None:
    """Add to each row of a page what is no fact of the instrument: samples there, review."""
    numbers = [row["id"] for row in found]
    w, v = waveforms.c, schema.reviews.c
    contents: dict[int, list[str]] = {number: [] for number in numbers}
    downloaded = (
        select(w.recording_id, w.content_hash).where(w.recording_id.in_(numbers)).order_by(w.id)
    )
    for number, content_hash in connection.execute(downloaded):
        contents[number].append(bytes(content_hash).hex())
    latest: dict[int, Form] = {}
    said = select(schema.reviews).where(v.recording_id.in_(numbers)).order_by(v.id)
    for one in connection.execute(said).mappings():
        latest[one["recording_id"]] = _review_form(one)
    unproven_ones = set(
        connection.execute(
            select(unproven.c.recording_id).where(unproven.c.recording_id.in_(numbers))
        ).scalars()
    )
    archived = decodings.states(connection, numbers)
    for row in found:
        row["epoch_proven"] = row["id"] not in unproven_ones
        row["archived"] = archived[row["id"]]
        row["waveforms"] = len(contents[row["id"]])
        row["contents"] = contents[row["id"]]
        row["review"] = latest.get(row["id"])


def reviews_of(connection: Connection, recording_id: int) -> list[Form]:
    """
    Return what people said of a recording, the latest first.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    event(connection, recording_id)
    v = schema.reviews
    rows = connection.execute(
        select(v).where(v.c.recording_id == recording_id).order_by(v.c.id.desc())
    ).mappings()
    return [_review_form(row) for row in rows]


def findings(connection: Connection, limit: int = 100) -> list[Form]:
    """Return what was noticed, the latest first."""
    f = schema.findings
    rows = connection.execute(select(f).order_by(f.c.id.desc()).limit(limit)).mappings()
    names = ("id", "at", "kind", "serial", "recording_id", "detail")
    return [{name: row[name] for name in names} for row in rows]


def event_form(row: RowMapping) -> Form:
    """Return the form of an archived event, as ``sfm.forms`` makes it of a live one."""
    timestamp = row["event_timestamp"]
    return forms.event_form(
        Event(
            index=row["slot"],
            key=bytes.fromhex(row["waveform_key"]),
            timestamp_unit=datetime.fromisoformat(timestamp) if timestamp else None,
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


def recording_form(row: RowMapping) -> Form:
    """Return one recording as a form: whose, the event, when and over which route it was read."""
    return {
        "id": row["id"],
        "serial": row["serial"],
        **event_form(row),
        "utc": row["utc"],
        "simulated": row["simulated"],
        "read_at": row["read_at"],
        "route": row["route"],
    }


def utc_text(at: datetime) -> str:
    """Return an instant as it stands in the tables: ISO 8601, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


# --- inside --------------------------------------------------------------------------------------

_Identity = tuple[str, str, bytes]


def _identity(event: Event) -> _Identity:
    return event.key.hex(), timestamp_text(event), digest(event.record)


def timestamp_text(event: Event) -> str:
    """Return the unit's time of an event as it stands in the archive; empty when unknown."""
    return "" if event.timestamp_unit is None else event.timestamp_unit.isoformat()


def _known(connection: Connection, serial: str, keys: Iterable[str]) -> dict[_Identity, int]:
    ordered = sorted(keys)
    found: dict[_Identity, int] = {}
    for at in range(0, len(ordered), AT_ONCE):
        rows = connection.execute(_KNOWN, {"of": serial, "keys": ordered[at : at + AT_ONCE]})
        found |= {(key, at_, bytes(content)): number for number, key, at_, content in rows.all()}
    return found


def _row(
    origin: Origin, serial: str, event: Event, zones: Mapping[str, ZoneInfo]
) -> dict[str, Any]:
    peaks = forms.event_form(event)["peaks"]
    zone = zones.get(serial, zones.get(ANY_ZONE))
    return {
        "serial": serial,
        "waveform_key": event.key.hex(),
        "event_timestamp": timestamp_text(event),
        "utc": _instant(event.timestamp_unit, zone),
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
    }


def _instant(unit_time: datetime | None, zone: ZoneInfo | None) -> str | None:
    """
    Return the instant of a unit's time in its site's zone; ``None`` where that is not one instant.

    An hour that the zone had twice, or never, tells of no instant.
    """
    if unit_time is None or zone is None:
        return None
    early, late = (unit_time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        return None
    try:
        return utc_text(early)
    except OverflowError:  # a clock at the edge of the calendar
        return None


def _tell_of_twins(
    connection: Connection,
    origin: Origin,
    new: Mapping[_Identity, Event],
    now: Mapping[_Identity, int],
) -> None:
    """Write down each new content under a stamp that has another; an unknown time is no stamp."""
    first: dict[tuple[str, str], int] = {}
    for (key, at, _), number in now.items():
        first[key, at] = min(number, first.get((key, at), number))
    for key, at, content in new:
        number = now[key, at, content]
        if at and number != first[key, at]:
            detail = (
                f"{key} of {at}: the record read now differs from the one before; both are kept"
            )
            note(connection, origin.read_at, "other_content", origin.serial, number, detail)


def _device_form(connection: Connection, row: RowMapping) -> Form:
    r = recordings.c
    last = connection.execute(
        select(r.simulated, r.read_at, r.route).where(r.id == row["last_id"])
    ).one()
    # Names of ours: those of the row are no plain texts, and JSON takes no others.
    told = {n: row[n] for n in ("serial", "recordings", "first_timestamp", "last_timestamp")}
    return {
        **told,
        "simulated": last.simulated,
        "last_read_at": last.read_at,
        "last_route": last.route,
    }


def _review_form(row: RowMapping) -> Form:
    return {name: row[name] for name in ("at", "reviewer", "false_trigger", "note")}
