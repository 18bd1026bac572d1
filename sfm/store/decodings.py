"""
Readings of archived images: what a decoder made of each, and what an erase may count on.

The rules: an image is archived when its bytes are, whatever the decoder makes of them. Each reading
names the decoder's version and is kept; the latest counts, and one that says otherwise than the
reading before is noted as a finding. An event whose parts contradict one another may have been
received wrongly, so it is counted for an erase only after a second, independent download produced
the same bytes.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, RowMapping, func, insert, select

from minimateplus.errors import RemoteProtocolError, SampleDecodeError
from minimateplus.model import Event
from minimateplus.wire import layouts
from minimateplus.wire.image import DECODER, read_image
from sfm import forms
from sfm.forms import Form
from sfm.store import schema
from sfm.store.samples_at_rest import CODEC, digest, pack
from sfm.store.statements import insert_unless_there, json_text

recordings, waveforms = schema.recordings, schema.recording_waveforms
decodings, downloads, partial = (
    schema.recording_decodings,
    schema.recording_downloads,
    schema.partial_images,
)

State = Literal["decoded", "partial", "undecoded"]
UNDECODED = "samples-undecoded"
SUPERSEDED = "superseded"
FACTS_THAT_MATTER = ("samples", "vouched", "sample_rate_hz", "geo_range_in_s")
"""Facts whose change between two readings is a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What the archive has of one recording."""

    is_counted: bool
    """Whether an erase may count on it."""
    is_contradicted: bool
    """Whether its parts contradict one another, in every image that would count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseCheck:
    """What an erase of some events would lose, by their indices."""

    unarchived: list[int]
    """Record or whole image is missing, or contradicted and downloaded once."""
    contradicted: list[int]
    """Contradicted, whether counted (read twice, the same bytes) or not."""


# --- in ------------------------------------------------------------------------------------------


def state_of(form: Mapping[str, Any]) -> State:
    """Return what a waveform's form says of its samples; an unknown scale leaves them whole."""
    codes = {reason["code"] for reason in form["reasons"]} - forms.SCALE_CODES
    return "undecoded" if UNDECODED in codes else "partial" if codes else "decoded"


def note_reading(
    connection: Connection,
    waveform_id: int,
    form: Mapping[str, Any],
    at: str,
    *,
    counts: bytes | None = None,
) -> None:
    """
    Enter a reading of an image.

    Args:
        connection: inside a transaction.
        waveform_id: whose.
        form: facts, as ``forms.as_fact`` makes them.
        at: when, as in the tables.
        counts: its samples; ``None``: those that the waveform was entered with.
    """
    facts = {k: v for k, v in form.items() if k != "counts" and k not in forms.EVENT_FIELDS}
    row = {
        "waveform_id": waveform_id,
        "decoder": DECODER,
        "at": at,
        "state": state_of(form),
        "contradicted": any(reason["contradiction"] for reason in form["reasons"]),
        "facts_json": json_text(facts),
        "scales_json": json_text(forms.scales_of(form)),
        "codec": CODEC,
        "counts": None if counts is None else pack(counts),
        "counts_hash": None if counts is None else digest(counts),
    }
    connection.execute(insert(decodings), [row])


def note_download(connection: Connection, waveform_id: int, route: str, read_at: str) -> None:
    """Note that a download brought the bytes of an image that is here already; once for each."""
    first = connection.execute(
        select(waveforms.c.read_at).where(waveforms.c.id == waveform_id)
    ).scalar_one()
    if read_at == first:
        return  # the same download, written again
    row = {"waveform_id": waveform_id, "read_at": read_at, "route": route}
    connection.execute(insert_unless_there(connection, downloads), [row])


def change_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Return how two readings of one image differ in what matters; ``None``: they do not."""
    told = []
    for name in FACTS_THAT_MATTER:
        if before.get(name) != after.get(name):
            was, now = (
                "unknown" if facts.get(name) is None else facts[name] for facts in (before, after)
            )
            told.append(f"{name} {was} is now {now}")
    return "; ".join(told) or None


# --- out -----------------------------------------------------------------------------------------


def latest(connection: Connection, waveform_id: int) -> RowMapping | None:
    """Return the reading of an image that counts; ``None``: it was entered before readings were."""
    return (
        connection.execute(
            select(decodings)
            .where(decodings.c.waveform_id == waveform_id)
            .order_by(decodings.c.id.desc())
            .limit(1)
        )
        .mappings()
        .first()
    )


def states(connection: Connection, numbers: Collection[int]) -> dict[int, Form]:
    """Return of each recording what the archive has, as it is told: record, image, samples."""
    told: dict[int, Form] = {
        number: {"record": True, "image": "none", "samples": None} for number in numbers
    }
    wanted = list(told)
    parts = connection.execute(
        select(partial.c.recording_id, partial.c.size_bytes, func.length(partial.c.data))
        .where(partial.c.recording_id.in_(wanted))
        .order_by(func.length(partial.c.data))
    )
    for number, size_bytes, length in parts:
        told[number]["image"] = f"first {length} of {size_bytes} bytes"
    newest = (
        select(decodings.c.waveform_id, func.max(decodings.c.id).label("id"))
        .group_by(decodings.c.waveform_id)
        .subquery()
    )
    rows = connection.execute(
        select(waveforms.c.recording_id, decodings.c.state)
        .select_from(waveforms)
        .outerjoin(newest, newest.c.waveform_id == waveforms.c.id)
        .outerjoin(decodings, decodings.c.id == newest.c.id)
        .where(waveforms.c.recording_id.in_(wanted))
        .order_by(waveforms.c.id.desc())  # the first content read is the one that is served
    )
    for number, state in rows:
        told[number] |= {"image": "whole", "samples": state or "partial"}
    return told


def erase_check(connection: Connection, wanted: Mapping[int, int | None]) -> EraseCheck:
    """
    Return what would be lost if some events were erased.

    Args:
        connection: inside a transaction.
        wanted: of each event's index its recording; ``None``: it has none.
    """
    found = {index: _archived(connection, number) for index, number in wanted.items()}
    return EraseCheck(
        unarchived=[index for index, it in found.items() if not it.is_counted],
        contradicted=[index for index, it in found.items() if it.is_contradicted],
    )


def erase_check_of_events(
    connection: Connection, serial: str, events: Sequence[Event]
) -> EraseCheck:
    """Return the same of events as a unit gives them, each with its record."""
    r = recordings.c
    wanted: dict[int, int | None] = {}
    for event in events:
        at = "" if event.timestamp_unit is None else event.timestamp_unit.isoformat()
        wanted[event.index] = connection.execute(
            select(r.id).where(
                r.serial == serial,
                r.waveform_key == event.key.hex(),
                r.event_timestamp == at,
                r.content_hash == digest(event.record),
            )
        ).scalar()
    return erase_check(connection, wanted)


def _archived(connection: Connection, number: int | None) -> Archived:
    nothing = Archived(is_counted=False, is_contradicted=False)
    record = connection.execute(
        select(recordings.c.record, recordings.c.content_hash).where(recordings.c.id == number)
    ).first()
    if record is None or digest(bytes(record.record)) != bytes(record.content_hash):
        return nothing
    images = connection.execute(
        select(waveforms.c.id, waveforms.c.image, waveforms.c.content_hash).where(
            waveforms.c.recording_id == number
        )
    ).all()
    is_contradicted = False
    for row in images:
        image = bytes(row.image)
        reading = latest(connection, row.id)
        if digest(image) != bytes(row.content_hash) or not is_whole(image) or reading is None:
            continue
        if not reading["contradicted"]:
            return Archived(is_counted=True, is_contradicted=False)
        again = select(func.count()).where(downloads.c.waveform_id == row.id)
        if connection.execute(again).scalar_one():
            return Archived(is_counted=True, is_contradicted=True)
        is_contradicted = True
    return Archived(is_counted=False, is_contradicted=is_contradicted)


def is_whole(image: bytes) -> bool:
    """Return whether an image reaches to the end that its STRT record names."""
    try:
        start = layouts.parse_start_record(image)
    except RemoteProtocolError:
        return False
    return start.end_address - start.start_address == len(image)


# --- reading again -------------------------------------------------------------------------------


def outdated(connection: Connection, limit: int) -> list[int]:
    """Return images whose latest reading is of an older decoder, the first entered first."""
    read = (
        select(decodings.c.waveform_id, func.max(decodings.c.decoder).label("decoder"))
        .group_by(decodings.c.waveform_id)
        .subquery()
    )
    query = (
        select(waveforms.c.id)
        .outerjoin(read, read.c.waveform_id == waveforms.c.id)
        .where(func.coalesce(read.c.decoder, 0) < DECODER)
        .order_by(waveforms.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def read_again(connection: Connection, waveform_id: int, at: datetime) -> Form:
    """Read an image with the present decoder; enter and return what changed."""
    # Here, not above: the archive knows this module.
    from sfm.store import archive

    row = connection.execute(
        select(waveforms.c.image, waveforms.c.facts_json, waveforms.c.content_hash, recordings)
        .join(recordings)
        .where(waveforms.c.id == waveform_id)
    ).first()
    assert row is not None
    before = latest(connection, waveform_id)
    facts_before = orjson.loads(row.facts_json if before is None else before["facts_json"])
    state_before = None if before is None else before["state"]
    event = replace(forms.event_of(archive.event_form(row._mapping)), record=bytes(row.record))
    image = bytes(row.image)
    setup = facts_before.get("setup") or _setup_of(connection, row.serial)
    form = _read(event, image, setup)
    if digest(image) != bytes(row.content_hash):
        form = None
    told = {"id": row.id, "serial": row.serial, "before": state_before, "change": None}
    if form is None:
        form = _kept_as_it_was(facts_before)
        note_reading(connection, waveform_id, form, archive.utc_text(at))
        return told | {"now": state_of(form)}
    form = forms.as_fact(form)
    note_reading(connection, waveform_id, form, archive.utc_text(at), counts=form["counts"])
    change = change_between(facts_before, form)
    if change is not None:
        detail = f"{event.key.hex()} of {event.timestamp_unit}, read by decoder {DECODER}: {change}"
        archive.note(connection, at, SUPERSEDED, row.serial, row.id, detail)
    return told | {"now": state_of(form), "change": change}


def _read(event: Event, image: bytes, setup: Mapping[str, Any] | None) -> Form | None:
    """Return the form of an image; ``None`` where nothing says that it is one."""
    try:
        return forms.waveform_form(read_image(event, image), setup)
    except SampleDecodeError as error:
        return None if error.waveform is None else forms.waveform_form(error.waveform, setup)
    except RemoteProtocolError:
        return None


def _kept_as_it_was(facts: Form) -> Form:
    """Return facts of before with the reason why nothing better is known."""
    detail = "the stored image is damaged or none, and could not be read by this decoder"
    reason = {"code": "image-unreadable", "detail": detail, "contradiction": False}
    return {**LEGACY, **facts, "reasons": [reason]}


OUTDATED = {
    "code": "decoder-outdated",
    "detail": "read by an older decoder; run: seismo-relay archive decode",
    "contradiction": False,
}
LEGACY: Form = {
    "announced_samples": None,
    "sample_rates_possible": [],
    "geo_ranges_possible": [],
    "setup": None,
    "reasons": [OUTDATED],
}
"""What a waveform's facts lack that were entered before readings were kept."""


def _setup_of(connection: Connection, serial: str) -> Form | None:
    """Return the setup that a unit was last seen with: it proposes scales, and proves none."""
    d = schema.cached_devices.c
    text = connection.execute(
        select(d.info_json)
        .where(d.serial == serial, d.info_json.is_not(None))
        .order_by(d.info_read_at.desc())
        .limit(1)
    ).scalar()
    return None if text is None else orjson.loads(text)["setup"]


# --- images that were not read to their end ------------------------------------------------------


def keep_partial(
    connection: Connection,
    serial: str | None,
    conn_key: str,
    read_at: str,
    rows: Sequence[Row[Any]],
) -> None:
    """
    Enter what was received of images under way, since their epoch ends.

    Args:
        connection: inside a transaction.
        serial: whose; without one nobody could say later whose they are.
        conn_key: the route.
        read_at: when the list was read that the downloads belong to.
        rows: chunks (``download_chunks``), in the order of their starts.
    """
    begun: dict[tuple[str, str], bytearray] = {}
    for row in rows:
        image = begun.setdefault((row.waveform_key, row.event_timestamp), bytearray())
        if row.start == len(image):
            image += row.data
    for (key, at), image in begun.items():
        data = bytes(image)
        if not serial or not data:
            continue
        r = recordings.c
        number = connection.execute(
            select(func.max(r.id)).where(
                r.serial == serial, r.waveform_key == key, r.event_timestamp == at
            )
        ).scalar()
        entry = {
            "recording_id": number,
            "serial": serial,
            "waveform_key": key,
            "event_timestamp": at,
            "size_bytes": _size_of(data),
            "data": data,
            "data_hash": digest(data),
            "route": conn_key,
            "read_at": read_at,
        }
        connection.execute(insert_unless_there(connection, partial), [entry])


def _size_of(data: bytes) -> int | None:
    try:
        start = layouts.parse_start_record(data)
    except RemoteProtocolError:
        return None
    return start.end_address - start.start_address
