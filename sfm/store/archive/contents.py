"""What the archive has of a recording: its record, its image, its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import (
    Connection,
    RowMapping,
    select,
)

from sfm.records.digests import has_digest
from sfm.records.payloads import Payload
from sfm.records.roster import NO_ROSTER, Roster
from sfm.store import decodings, schema
from sfm.store.archive.recordings import AT_ONCE, find, load_row, recording_payload, short
from sfm.store.errors import (
    DamagedRecordError,
)
from sfm.store.row_hashes import (
    is_sound,
    read_rows,
)

__all__ = [
    "SamplesState",
    "contents_of",
    "load_archived",
    "load_recording",
    "numbers_of",
    "recording_numbered",
    "samples_of",
    "unproven_among",
]

recordings, waveforms = schema.recordings, schema.recording_waveforms
unproven = schema.unproven_recordings


def load_recording(
    connection: Connection, name: int | str, *, zones: Roster = NO_ROSTER
) -> Payload:
    """
    Return one recording by its name; see ``recording_numbered``.

    Raises:
        NoSuchRecordError: there is no such recording.
        AmbiguousIdError: several recordings' ids begin with these characters.
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
    row = load_row(connection, number)
    record = bytes(row["record"])
    if not has_digest(record, row["content_hash"]):
        raise DamagedRecordError(
            f"recording {short(row['public_id'])} ({row['serial']}, {row['waveform_key']} of "
            f"{row['event_timestamp']}): the stored record does not match its hash"
        )
    _, ranges = states_of(connection, {number: str(row["public_id"])})
    return {
        **recording_payload(row, zones),
        "geo_range_in_s": ranges.get(number),
        "content_hash": bytes(row["content_hash"]).hex(),
        "record": record.hex(),
    }


def load_archived(connection: Connection, name: int | str) -> Payload:
    """Return what is archived: record, image, samples; raises as ``load_recording`` does."""
    number = find(connection, name)
    names = {number: str(load_row(connection, number)["public_id"])}
    return states_of(connection, names)[0][number]


def numbers_of(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers that recordings have in this database, by their public ids."""
    r = recordings.c
    found: dict[str, int] = {}
    for at in range(0, len(names), AT_ONCE):
        query = select(r.public_id, r.id).where(r.public_id.in_(names[at : at + AT_ONCE]))
        found |= {str(name): int(number) for name, number in connection.execute(query)}
    return found


class SamplesState(NamedTuple):
    """What became of a recording's samples."""

    state: str | None
    """``decoded``, ``partial`` or ``undecoded``; ``None``: the archive has none."""
    geo_range_in_s: float | None
    """At which it was recorded, where its samples gave that."""


def samples_of(connection: Connection, names: Mapping[int, str]) -> dict[int, SamplesState]:
    """
    Return what became of the samples of recordings.

    ``names``: the recordings' public ids, by their numbers.
    """
    found: dict[int, SamplesState] = {}
    numbers = list(names)
    for at in range(0, len(numbers), AT_ONCE):
        some = {number: names[number] for number in numbers[at : at + AT_ONCE]}
        states, ranges = states_of(connection, some)
        found |= {
            number: SamplesState(state["samples"], ranges.get(number))
            for number, state in states.items()
        }
    return found


def states_of(
    connection: Connection, names: Mapping[int, str]
) -> tuple[dict[int, Payload], dict[int, float]]:
    states, ranges, _ = decodings.states(connection, names, contents_of(connection, names)[0])
    return states, ranges


def contents_of(
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


def unproven_among(connection: Connection, names: Mapping[int, str]) -> set[int]:
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
