"""Reviews: verdicts of people on a recording; the latest counts, and none is overwritten."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Connection,
    RowMapping,
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
    "load_reviews",
    "review_payload",
    "reviews_of",
    "save_review",
]


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
    return reviews_of(connection, recording_id)[0]


def load_reviews(connection: Connection, name: int | str) -> list[Payload]:
    """
    Return people's reviews of a recording, the latest first.

    Raises:
        NoSuchRecordError: there is no such recording.
    """
    return reviews_of(connection, find(connection, name))


def reviews_of(connection: Connection, recording_id: int) -> list[Payload]:
    """Return the reviews of a recording, the latest first."""
    v = schema.reviews
    query = select(v).where(v.c.recording_id == recording_id).order_by(v.c.id.desc())
    return [review_payload(row) for _, row in read_rows(connection, v, query)]


def review_payload(row: RowMapping | None) -> Payload:
    """Return a review, or the note that it is damaged."""
    if row is None or not is_sound("reviews", row):
        note = "this review is damaged: its row does not match its hash; a backup may have it"
        return {"at": "", "reviewer": "unknown", "false_trigger": None, "note": note}
    return {name: row[name] for name in ("at", "reviewer", "false_trigger", "note")}
