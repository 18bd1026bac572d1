"""
Readings of archived images: what a decoder made of each, and what an erase may count on.

The rules: an image is archived when its bytes are, whatever the decoder makes of them. Each reading
names the decoder's version and is kept; the latest counts, and one that differs from the
reading before is noted as a finding. An event whose parts contradict one another may have been
received wrongly, so it is counted for an erase only after a second, independent download produced
the same bytes.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select

from minimateplus.errors import RemoteProtocolError, SampleDecodeError
from minimateplus.model import Event
from minimateplus.wire import layouts
from minimateplus.wire.image import DECODER, read_image
from sfm.records import payloads
from sfm.records.digests import digest, has_digest
from sfm.records.payloads import Payload
from sfm.records.site_time import utc_text
from sfm.store import schema
from sfm.store.codec import CODEC, pack
from sfm.store.errors import DamagedRecordError, NoSuchRecordError
from sfm.store.recording_names import public_id
from sfm.store.row_hashes import UNREADABLE, is_sound, read_rows, with_hash
from sfm.store.statements import insert_unless_there, json_text

__all__ = [
    "LATEST_READING",
    "LEGACY",
    "SUPERSEDED",
    "EraseCheck",
    "State",
    "change_between",
    "counted",
    "drop_damaged",
    "erase_check",
    "latest",
    "outdated",
    "read_again",
    "save_decoding",
    "save_download",
    "save_partial_image",
    "state_of",
    "states",
]

recordings, waveforms = schema.recordings, schema.recording_waveforms
decodings, downloads, partial = (
    schema.recording_decodings,
    schema.recording_downloads,
    schema.partial_images,
)

_of_waveform = decodings.alias("of_waveform")
LATEST_READING = (
    select(func.max(_of_waveform.c.id))
    .where(_of_waveform.c.waveform_id == waveforms.c.id)
    .correlate(waveforms)
    .scalar_subquery()
)
"""The number of a waveform's latest reading, or NULL: looked up for each waveform that is asked
for. Grouped by waveform, the readings of all would be gone through for a page."""
AT_ONCE = 500
"""Rows fetched together where all are looked at."""
State = Literal["decoded", "partial", "undecoded"]
UNDECODED = "samples-undecoded"
SUPERSEDED = "superseded"
FACTS_THAT_MATTER = ("samples", "valid_samples", "sample_rate_hz", "geo_range_in_s")
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


def state_of(payload: Mapping[str, Any]) -> State:
    """Return the state of a waveform's samples; an unknown scale leaves them whole."""
    codes = {reason["code"] for reason in payload["reasons"]} - payloads.SCALE_CODES
    return "undecoded" if UNDECODED in codes else "partial" if codes else "decoded"


def save_decoding(
    connection: Connection,
    waveform_id: int,
    content_hash: bytes,
    payload: Mapping[str, Any],
    at: str,
    *,
    counts: bytes | None = None,
) -> None:
    """
    Enter a reading of an image.

    Args:
        connection: inside a transaction.
        waveform_id: whose.
        content_hash: of the image.
        payload: facts, as from ``payloads.as_fact``.
        at: when, as in the tables.
        counts: its samples; ``None``: those that the waveform was entered with.
    """
    facts = {k: v for k, v in payload.items() if k != "counts" and k not in payloads.EVENT_FIELDS}
    row = {
        "waveform_id": waveform_id,
        "decoder": DECODER,
        "at": at,
        "state": state_of(payload),
        "contradicted": any(reason["contradiction"] for reason in payload["reasons"]),
        "facts_json": json_text(facts),
        "scales_json": json_text(payloads.scales_of(payload)),
        "codec": CODEC,
        "counts": None if counts is None else pack(counts),
        "counts_hash": None if counts is None else digest(counts),
    }
    hashed = with_hash("recording_decodings", row, image=content_hash.hex())
    connection.execute(insert(decodings), [hashed])


def save_download(
    connection: Connection, waveform_id: int, content_hash: bytes, route: str, read_at: str
) -> None:
    """Note that a download brought the bytes of an image that is here already; once for each."""
    first = connection.execute(
        select(waveforms.c.read_at).where(waveforms.c.id == waveform_id)
    ).scalar_one()
    if read_at == first:
        return  # the same download, written again
    row = {"waveform_id": waveform_id, "read_at": read_at, "route": route}
    # A damaged reading of the same instant is replaced by this one.
    for (number,), present in read_rows(
        connection,
        downloads,
        select(downloads).where(
            downloads.c.waveform_id == waveform_id, downloads.c.read_at == read_at
        ),
    ):
        if present is None or not _is_sound_download(present, content_hash):
            connection.execute(delete(downloads).where(downloads.c.id == number))
    hashed = with_hash("recording_downloads", row, image=content_hash.hex())
    connection.execute(insert_unless_there(connection, downloads), [hashed])


def _is_sound_download(row: Mapping[Any, Any], content_hash: bytes) -> bool:
    return is_sound("recording_downloads", row, image=content_hash.hex())


def change_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Return how two readings of one image differ in what matters; ``None``: they do not."""
    changes = []
    for name in FACTS_THAT_MATTER:
        if before.get(name) != after.get(name):
            was, now = (
                "unknown" if facts.get(name) is None else facts[name] for facts in (before, after)
            )
            changes.append(f"{name} {was} is now {now}")
    return "; ".join(changes) or None


# --- out -----------------------------------------------------------------------------------------


def latest(
    connection: Connection, waveform_id: int, content_hash: bytes, what: str
) -> RowMapping | None:
    """
    Return the reading of an image that counts; ``None``: it was entered before readings were.

    Raises:
        DamagedRecordError: it does not match its hash; an earlier one is no substitute.
    """
    query = (
        select(decodings)
        .where(decodings.c.waveform_id == waveform_id)
        .order_by(decodings.c.id.desc())
        .limit(1)
    )
    for _, row in read_rows(connection, decodings, query):
        if row is None or not is_sound("recording_decodings", row, image=content_hash.hex()):
            raise DamagedRecordError(
                f"{what}: the last reading of its image does not match its hash; stop the relay "
                "and run: seismo-relay archive decode"
            )
        return row
    return None


def states(
    connection: Connection, names: Mapping[int, str], contents: Mapping[int, Sequence[str]]
) -> tuple[dict[int, Payload], dict[int, float], list[str]]:
    """
    Return of each recording what the archive has (record, image, samples), and what is damaged.

    Between them, in in/s, the range of each recording whose samples gave it.

    Args:
        connection: inside a transaction.
        names: public ids of the recordings, by their numbers.
        contents: of each, the contents whose rows are sound, hex.
    """
    found: dict[int, Payload] = {
        number: {"record": True, "image": "none", "samples": None} for number in names
    }
    ranges: dict[int, float] = {}
    damaged = []
    parts = (
        select(
            *(c for c in partial.c if c.name != "data"),
            func.length(partial.c.data).label("length"),
        )
        .where(partial.c.recording_id.in_(list(names)))
        .order_by(func.length(partial.c.data))
    )
    for (number,), row in read_rows(connection, partial, parts):
        present = {} if row is None else {k: v for k, v in row.items() if k != "length"}
        if row is None or row["recording_id"] not in names:
            damaged.append(f"beginning of an image, number {number}: its row cannot be read")
            continue
        if not is_sound("partial_images", present):
            name = names[row["recording_id"]][:12]
            damaged.append(f"recording {name}: the beginning of its image is damaged")
            continue
        text = f"first {row['length']} of {row['size_bytes']} bytes"
        found[row["recording_id"]]["image"] = text
    d = decodings.c
    rows = (
        select(
            waveforms.c.id,
            waveforms.c.recording_id.label("of"),
            waveforms.c.content_hash.label("image"),
            d.id.label("reading_id"),
            *(c for c in d if c.name not in ("id", "counts")),
        )
        .select_from(waveforms)
        .outerjoin(decodings, d.id == LATEST_READING)
        .where(waveforms.c.recording_id.in_(list(names)))
        .order_by(waveforms.c.id.desc())  # the first content read is the one that is served
    )
    for (number,), row in read_rows(connection, waveforms, rows):
        if row is None or not isinstance(row["image"], bytes | memoryview):
            damaged.append(f"waveform number {number}: what was read of its image is damaged")
            continue
        of, image = row["of"], bytes(row["image"]).hex()
        if image not in contents.get(of, ()):
            continue  # the row of the waveform is damaged, and was named as such
        if row["reading_id"] is None:
            found[of] |= {"image": "whole", "samples": "partial"}
        elif is_sound("recording_decodings", _reading_of(row), image=image):
            found[of] |= {"image": "whole", "samples": row["state"]}
            geo_range = orjson.loads(row["facts_json"])["geo_range_in_s"]
            if geo_range is not None:
                ranges[of] = geo_range
        else:
            damaged.append(
                f"recording {names[of][:12]}: the last reading of its image does not match its "
                "hash; stop the relay and run: seismo-relay archive decode"
            )
    return found, ranges, damaged


def _reading_of(joined: RowMapping) -> dict[str, Any]:
    return {c.name: joined[c.name] for c in decodings.c if c.name not in ("id", "counts")}


def is_sound_partial(row: RowMapping) -> bool:
    """Whether the beginning of an image matches its hashes."""
    return is_sound("partial_images", row) and has_digest(row["data"], row["data_hash"])


def counted(connection: Connection, archived: Mapping[int, Payload]) -> set[int]:
    """
    Return the recordings that an erase counts as archived, by what is written down about them.

    Their bytes are not read again here; the erase itself does that (``erase_check``). One whose
    rows are damaged has no samples in ``archived`` (see ``states``), and does not count.
    """
    numbers = [number for number, state in archived.items() if state["samples"] is not None]
    w = waveforms.c
    brought = (
        select(downloads, w.content_hash.label("image"))
        .join_from(downloads, waveforms)
        .where(w.recording_id.in_(numbers))
    )
    again = [
        row["waveform_id"]
        for _, row in read_rows(connection, downloads, brought)
        if row is not None
        and isinstance(row["image"], bytes | memoryview)
        and _is_sound_download({c.name: row[c.name] for c in downloads.c}, bytes(row["image"]))
    ]
    found = connection.execute(
        select(w.recording_id)
        .join(decodings, decodings.c.waveform_id == w.id)
        .where(
            w.recording_id.in_(numbers),
            decodings.c.id == LATEST_READING,
            or_(decodings.c.contradicted.is_(False), w.id.in_(again)),
        )
    )
    return set(found.scalars())


def erase_check(connection: Connection, wanted: Mapping[int, str | None]) -> EraseCheck:
    """
    Return what would be lost if some events were erased.

    Args:
        connection: inside a transaction.
        wanted: of each event's index the public id of its recording; ``None``: it has none.
    """
    found = {index: _archived(connection, name) for index, name in wanted.items()}
    return EraseCheck(
        unarchived=[index for index, it in found.items() if not it.is_counted],
        contradicted=[index for index, it in found.items() if it.is_contradicted],
    )


def erase_check_of_events(
    connection: Connection, serial: str, events: Sequence[Event]
) -> EraseCheck:
    """Return the same of events as a unit gives them, each with its record."""
    wanted: dict[int, str | None] = {}
    for event in events:
        at = "" if event.device_time is None else event.device_time.isoformat()
        wanted[event.index] = public_id(serial, event.key.hex(), at, event.record)
    return erase_check(connection, wanted)


def _archived(connection: Connection, name: str | None) -> Archived:
    """Return what the archive has of a recording, in rows that match their hashes."""
    nothing = Archived(is_counted=False, is_contradicted=False)
    r, w = recordings.c, waveforms.c
    found = None
    # By number: SQLite would take the name from the index, and the row's own may be damaged.
    number = connection.execute(select(r.id).where(r.public_id == name)).scalar()
    if number is None:
        return nothing  # NULL would be looked for in every row
    query = select(recordings).where(r.id == number)
    for _, row in read_rows(connection, recordings, query):
        if row is not None and row["public_id"] == name and is_sound("recordings", row):
            found = row
    if found is None or not has_digest(found["record"], found["content_hash"]):
        return nothing
    images = select(*(c for c in w if c.name != "counts")).where(w.recording_id == found["id"])
    is_contradicted = False
    for (number,), row in read_rows(connection, waveforms, images):
        if row is None or not is_sound("recording_waveforms", row, recording=str(name)):
            continue
        if not has_digest(row["image"], row["content_hash"]) or not is_whole(bytes(row["image"])):
            continue
        content_hash = bytes(row["content_hash"])
        try:
            reading = latest(connection, number, content_hash, "")
        except DamagedRecordError:
            continue
        if reading is None:
            continue
        if not reading["contradicted"]:
            return Archived(is_counted=True, is_contradicted=False)
        again = select(downloads).where(downloads.c.waveform_id == number)
        for _, one in read_rows(connection, downloads, again):
            if one is not None and _is_sound_download(one, content_hash):
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


def outdated(connection: Connection, limit: int, after: int = 0) -> list[int]:
    """
    Return images whose latest reading is of an older decoder, the first entered first.

    Args:
        connection: inside a transaction.
        limit: at most so many.
        after: only those with greater numbers.
    """
    decoder = (
        select(func.max(decodings.c.decoder))
        .where(decodings.c.waveform_id == waveforms.c.id)
        .scalar_subquery()
    )
    query = (
        select(waveforms.c.id)
        .where(func.coalesce(decoder, 0) < DECODER, waveforms.c.id > after)
        .order_by(waveforms.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def drop_damaged(connection: Connection, at: datetime) -> None:
    """Remove readings that are damaged, so that ``outdated`` names their images."""
    # Here, not above: the archive knows this module.
    from sfm.store import archive

    d, last = decodings.c, 0
    columns = [c for c in d if c.name != "counts"]
    query = select(*columns, waveforms.c.content_hash.label("image")).outerjoin_from(
        decodings, waveforms
    )
    while True:
        some = query.where(d.id > last).order_by(d.id).limit(AT_ONCE)
        found = list(read_rows(connection, decodings, some))
        for (number,), row in found:
            last = number
            if row is not None and isinstance(row["image"], bytes | memoryview):
                image = bytes(row["image"]).hex()
                if is_sound("recording_decodings", _reading_of(row), image=image):
                    continue
            of = select(d.waveform_id).where(d.id == number)
            try:
                waveform_id = connection.execute(of).scalar_one()
                entered, _ = archive.entered_waveform(connection, waveform_id)
            except (DamagedRecordError, NoSuchRecordError, *UNREADABLE):
                continue  # a damaged image's reading proves nothing
            connection.execute(delete(decodings).where(d.id == number))
            detail = f"{entered.what}: a reading of its image did not match the hash; read again"
            archive.note(connection, at, "mended", entered.serial, entered.recording_id, detail)
        if len(found) < AT_ONCE:
            return


def read_again(connection: Connection, waveform_id: int, at: datetime) -> Payload | None:
    """
    Read an image with the present decoder; enter and return what changed.

    Returns ``None`` where its row or that of its recording is damaged: both stay as they are.
    """
    # Here, not above: the archive knows this module.
    from sfm.store import archive

    try:
        entered, record = archive.entered_waveform(connection, waveform_id)
    except (DamagedRecordError, NoSuchRecordError):
        return None
    try:
        before = latest(connection, waveform_id, entered.content_hash, entered.what)
    except DamagedRecordError:
        before = None
    facts_before = entered.facts if before is None else orjson.loads(before["facts_json"])
    state_before = None if before is None else before["state"]
    event = replace(payloads.event_of(entered.event), record=record)
    setup = facts_before.get("setup") or _setup_of(connection, entered.serial)
    try:
        payload = _read(event, archive.load_image(connection, waveform_id), setup)
    except DamagedRecordError:
        payload = None
    report = {
        "id": entered.public_id,
        "serial": entered.serial,
        "before": state_before,
        "change": None,
    }
    content_hash, at_text = entered.content_hash, utc_text(at)
    if payload is None:
        payload = _kept_as_it_was(facts_before)
        save_decoding(connection, waveform_id, content_hash, payload, at_text)
        return report | {"now": state_of(payload)}
    payload = payloads.as_fact(payload)
    save_decoding(connection, waveform_id, content_hash, payload, at_text, counts=payload["counts"])
    change = change_between(facts_before, payload)
    if change is not None:
        detail = f"{event.key.hex()} of {event.device_time}, read by decoder {DECODER}: {change}"
        archive.note(connection, at, SUPERSEDED, entered.serial, entered.recording_id, detail)
    return report | {"now": state_of(payload), "change": change}


def _read(event: Event, image: bytes, setup: Mapping[str, Any] | None) -> Payload | None:
    """Return an image's payload; ``None`` where nothing proves that it is one."""
    try:
        return payloads.waveform_payload(read_image(event, image), setup)
    except SampleDecodeError as error:
        return None if error.waveform is None else payloads.waveform_payload(error.waveform, setup)
    except RemoteProtocolError:
        return None


def _kept_as_it_was(facts: Payload) -> Payload:
    """Return facts of before with the reason why nothing better is known."""
    detail = "the stored image is damaged or none, and could not be read by this decoder"
    reason = {"code": "image-unreadable", "detail": detail, "contradiction": False}
    return {**LEGACY, **facts, "reasons": [reason]}


OUTDATED = {
    "code": "decoder-outdated",
    "detail": "read by an older decoder; run: seismo-relay archive decode",
    "contradiction": False,
}
LEGACY: Payload = {
    "announced_samples": None,
    "sample_rates_possible": [],
    "geo_ranges_possible": [],
    "setup": None,
    "reasons": [OUTDATED],
}
"""What a waveform's facts lack that were entered before readings were kept."""


def _setup_of(connection: Connection, serial: str) -> Payload | None:
    """Return the setup that a unit was last seen with: it proposes scales, and proves none."""
    devices = schema.cached_devices
    d = devices.c
    query = (
        select(devices)
        .where(d.serial == serial, d.info_json.is_not(None))
        .order_by(d.info_read_at.desc())
    )
    for _, row in read_rows(connection, devices, query):
        if row is not None and is_sound("cached_devices", row):
            setup: Payload = orjson.loads(row["info_json"])["setup"]
            return setup
    return None


# --- images that were not read to their end ------------------------------------------------------


def save_partial_image(
    connection: Connection,
    serial: str | None,
    route: str,
    read_at: str,
    rows: Sequence[Mapping[Any, Any]],
) -> None:
    """
    Enter what was received of images under way, since their epoch ends.

    Args:
        connection: inside a transaction.
        serial: the unit's; without it the bytes could not be identified later.
        route: the address over which they came.
        read_at: when the list was read that the downloads belong to.
        rows: chunks (``download_chunks``), in the order of their starts.
    """
    begun: dict[tuple[str, str], bytearray] = {}
    for row in rows:
        image = begun.setdefault((row["waveform_key"], row["event_timestamp"]), bytearray())
        if row["start"] == len(image):
            image += row["data"]
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
            "route": route,
            "read_at": read_at,
        }
        same = [partial.c[n] == entry[n] for n in ("serial", "waveform_key", "event_timestamp")]
        query = select(partial).where(*same, partial.c.data_hash == entry["data_hash"])
        for (number,), present in read_rows(connection, partial, query):
            if present is None or not is_sound_partial(present):
                connection.execute(delete(partial).where(partial.c.id == number))
        hashed = with_hash("partial_images", entry)
        connection.execute(insert_unless_there(connection, partial), [hashed])


def _size_of(data: bytes) -> int | None:
    try:
        start = layouts.parse_start_record(data)
    except RemoteProtocolError:
        return None
    return start.end_address - start.start_address
