"""Rows of recordings: which event each is, by what name it is found, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from math import isnan
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    select,
)

from minimateplus.model import Event, Peaks
from sfm.access.names import unit_key
from sfm.records import payloads
from sfm.records.digests import digest, has_digest
from sfm.records.payloads import Payload
from sfm.records.roster import Roster
from sfm.records.site_time import instant_of, utc_text
from sfm.store import schema
from sfm.store.errors import (
    AmbiguousIdError,
    DamagedRecordError,
    NoSuchRecordError,
)
from sfm.store.recording_names import ID, public_id
from sfm.store.row_hashes import (
    is_sound,
    read_rows,
    with_hash,
)

__all__ = [
    "AT_ONCE",
    "Origin",
    "damage_of",
    "event_payload",
    "find",
    "load_row",
    "name_of",
    "recording_payload",
    "recording_row",
    "short",
    "sound_record",
    "timestamp_text",
]

recordings = schema.recordings
_PEAKS = tuple(f.name for f in fields(Peaks))
AT_ONCE = 400
"""Keys in one statement; SQLite takes at least 999 parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where and when something was read."""

    route: str
    """The key of the address."""
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
    def unit_id(self) -> str:
        """The unit's key in the mirror."""
        return unit_key(self.serial)

    @property
    def read_at_text(self) -> str:
        """``read_at`` as stored: empty where it is unknown."""
        return "" if self.read_at is None else utc_text(self.read_at)


def find(connection: Connection, name: int | str) -> int:
    """
    Return the row number of the recording that has that number or public id.

    Raises:
        NoSuchRecordError: there is no such recording.
        AmbiguousIdError: several recordings begin with these characters.
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
        raise NoSuchRecordError.of(name)
    if len(found) > 1:
        raise AmbiguousIdError(
            f"{len(found)} or more recordings begin with {name}: "
            + " and ".join(row["public_id"][:20] for row in found[:2])
            + "; give more characters of the id"
        )
    number = int(found[0]["id"])
    if isinstance(name, str) and not str(_public_id_of(connection, number)).startswith(low):
        raise DamagedRecordError(
            f"recording {name}: the archive's index leads to another one; run: seismo-relay "
            "db check, and restore a backup"
        )
    return number


def _public_id_of(connection: Connection, number: int) -> str | None:
    """Return the public id in a row that may be damaged elsewhere."""
    r = recordings.c
    query = select(r.id, r.public_id).where(r.id == number)
    found = [row for _, row in read_rows(connection, recordings, query) if row is not None]
    return found[0]["public_id"] if found else None


def load_row(connection: Connection, number: int) -> RowMapping:
    """
    Return the row of a recording.

    Raises:
        NoSuchRecordError: there is none.
        DamagedRecordError: it does not match its hash.
    """
    query = select(recordings).where(recordings.c.id == number)
    found = list(read_rows(connection, recordings, query))
    if not found:
        raise NoSuchRecordError(f"the archive has no recording number {number}")
    row = found[0].row
    if row is None or not is_sound("recordings", row):
        raise DamagedRecordError(damage_of(number, row))
    return row


def sound_record(row: RowMapping) -> bytes | None:
    """Return a recording's record, if row and record match their hashes."""
    is_whole = is_sound("recordings", row) and has_digest(row["record"], row["content_hash"])
    return bytes(row["record"]) if is_whole else None


def damage_of(number: int, row: RowMapping | None) -> str:
    """Return the error message for a recording whose row does not match its hash."""
    name = f"number {number}" if row is None else f"{short(str(row['public_id']))}"
    return (
        f"recording {name}: its stored facts do not match their hash; they come back when "
        "its unit is read while it still has the event, or with a backup"
    )


def short(name: str) -> str:
    """Return as much of a public id as people are shown."""
    return name[:12]


def event_payload(row: Mapping[Any, Any]) -> Payload:
    """Return an archived event's payload, equal to a live one's (``sfm.records.payloads``)."""
    return payloads.event_payload_of(
        index=row["slot"],
        waveform_key=row["waveform_key"],
        timestamp=row["event_timestamp"] or None,
        peaks={name: row[name] for name in _PEAKS},
        project=row["project"],
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


def name_of(serial: str, event: Event) -> str:
    """Return the public id that an event of a unit has in the archive."""
    return public_id(serial, event.key.hex(), timestamp_text(event), event.record)


def timestamp_text(event: Event) -> str:
    """Return an event's unit time as stored; empty when unknown."""
    return "" if event.device_time is None else event.device_time.isoformat()


def recording_row(origin: Origin, serial: str, event: Event) -> dict[str, Any]:
    """Return the row of an event that was read."""
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
            name: None if peaks[name] is None or isnan(peaks[name]) else peaks[name]
            for name in _PEAKS
        },
        "project": event.project,
        "simulated": origin.simulated,
        "epoch": origin.epoch,
        "route": origin.route,
        "read_at": origin.read_at_text,
        "public_id": name_of(serial, event),
    }
    return with_hash("recordings", row)
