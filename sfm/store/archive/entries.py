"""Events and waveforms on their way into the archive: each once, for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    select,
    update,
)

from minimateplus.model import Event
from minimateplus.wire.image import DECODER
from sfm.records import payloads
from sfm.records.digests import digest
from sfm.records.payloads import Payload
from sfm.store import decodings, schema
from sfm.store.archive.findings import note
from sfm.store.archive.recordings import AT_ONCE, Origin, name_of, recording_row, timestamp_text
from sfm.store.archive.samples import (
    Samples,
    as_read_last,
    load_image,
    samples_in_row,
    waveform_row,
)
from sfm.store.codec import CODEC, pack
from sfm.store.errors import (
    DamagedRecordError,
    NoSerialError,
    StoreDamagedError,
)
from sfm.store.row_hashes import (
    is_sound,
    read_rows,
    with_hash,
)
from sfm.store.statements import insert_unless_there, json_text

__all__ = [
    "save_events",
    "save_waveform",
]

recordings, waveforms = schema.recordings, schema.recording_waveforms
unproven = schema.unproven_recordings

# Executed at every new event, so built once.
_NUMBERS = select(recordings.c.id, recordings.c.public_id).where(
    recordings.c.public_id.in_(bindparam("ids", expanding=True))
)
_OF_NUMBERS = select(recordings).where(recordings.c.id.in_(bindparam("numbers", expanding=True)))
_OF_KEYS = select(recordings).where(
    recordings.c.serial == bindparam("of"),
    recordings.c.waveform_key.in_(bindparam("keys", expanding=True)),
)


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
            f"{origin.route}: the unit gives no serial number; {len(events)} events are not "
            "archived, because their unit could not be identified later"
        )
    wanted = {name_of(serial, event): event for event in events}
    known = _known(connection, origin, serial, wanted)
    new = {name: event for name, event in wanted.items() if name not in known}
    if new:
        rows = [recording_row(origin, serial, event) for event in new.values()]
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
        update(recordings)
        .where(recordings.c.id == number)
        .values(**recording_row(origin, serial, event))
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
            "route": origin.route,
            "read_at": origin.read_at_text,
        },
        recording=name,
    )
    same = _number_of_content(connection, recording_id, content_hash)
    if same is not None:
        _mend(connection, origin, same, row)
        decodings.save_download(connection, same, content_hash, origin.route, origin.read_at_text)
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
    entered = samples_in_row(waveform_row(connection, number))
    own = None if counts_hash == entered.counts_hash else payload["counts"]
    try:
        entry = as_read_last(connection, entered)
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
    row = waveform_row(connection, number)
    try:
        if row is None:
            raise DamagedRecordError("unreadable")
        entry = samples_in_row(row)
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
    entry = samples_in_row(waveform_row(connection, number))
    detail = f"{entry.what}: {' and '.join(changed)} did not match the hash; read again"
    note(connection, origin.read_at, "mended", entry.serial, entry.recording_id, detail)


def _counts_are_sound(entry: Samples) -> bool:
    try:
        entry.counts()
    except Exception:
        return False
    return True


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
