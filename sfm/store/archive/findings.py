"""Archive findings: damage, repair, two contents of one event."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Connection,
    func,
    insert,
    select,
)

from sfm.records.payloads import Payload
from sfm.records.site_time import utc_text
from sfm.store import schema
from sfm.store.archive.recordings import find
from sfm.store.row_hashes import (
    is_sound,
    read_rows,
    with_hash,
)

__all__ = [
    "load_findings",
    "note",
    "save_damage_finding",
]

recordings = schema.recordings


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
        number = row["recording_id"]
        of = select(r.public_id).where(r.id == number)
        # NULL would be looked for in every row.
        name = None if number is None else connection.execute(of).scalar()
        found.append({**payload, "recording_id": name})
    return found
