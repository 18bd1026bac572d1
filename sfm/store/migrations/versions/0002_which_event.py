"""
Each cached event says which physical event it is: ``waveform_key`` and ``event_timestamp``.

They are taken from the row's JSON by the rule of ``sfm.cache.identity``. A row that does not give
both cannot be verified: after an erase the same key comes again, and a key alone would pass for the
same event for ever. Such rows go; the unit is read again.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sfm.cache.identity import Stamp, stamp_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AT_ONCE = 1000


def upgrade() -> None:
    """Build the table anew with its key and its stamps, and carry over what can be verified."""
    connection = op.get_bind()
    sorted_text = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    rows = _verified(connection)
    # The old one first: its key may have the new key's name, and PostgreSQL has each name once.
    op.drop_table("cached_events")
    new = op.create_table(
        "cached_events",
        sa.Column("conn_key", sorted_text, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_json", sa.Text(), nullable=False),
        sa.Column("cached_at", sa.Text(), nullable=False),
        sa.Column("waveform_key", sa.Text()),
        sa.Column("event_timestamp", sa.Text()),
        sa.PrimaryKeyConstraint("conn_key", "index", name="pk_cached_events"),
    )
    for at in range(0, len(rows), AT_ONCE):
        connection.execute(sa.insert(new), rows[at : at + AT_ONCE])


def _verified(connection: sa.Connection) -> list[dict[str, object]]:
    """Return the rows that say which event they are of; of one slot's, that cached last."""
    names = ("conn_key", "index", "event_json", "cached_at")
    old = sa.table("cached_events", *(sa.column(name) for name in names))
    rows: dict[tuple[str, int], dict[str, object]] = {}
    held = connection.execute(sa.select(*old.c).order_by(old.c.cached_at))
    for conn_key, index, event_json, cached_at in held:
        event = _event(event_json)
        stamp = _stamp(event)
        slot = _number(index)
        if stamp.key is None or stamp.timestamp is None or conn_key is None or slot is None:
            continue
        rows[str(conn_key), slot] = {
            "conn_key": str(conn_key),
            "index": slot,
            "event_json": json.dumps(event),
            "cached_at": str(cached_at),
            "waveform_key": stamp.key,
            "event_timestamp": stamp.timestamp,
        }
    return list(rows.values())


def _number(held: object) -> int | None:
    """Return a slot's number; SQLite's columns may hold anything."""
    try:
        return int(str(held))
    except ValueError:
        return None


def _event(held: object) -> dict[str, object]:
    """Return a row's event, empty where it is none; PostgreSQL may have it as JSON already."""
    try:
        event = json.loads(held) if isinstance(held, str | bytes) else held
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _stamp(event: dict[str, object]) -> Stamp:
    try:
        stamp = stamp_of(event)
    except TypeError:
        return Stamp()
    # Text that a database does not take (half a surrogate pair, NUL) is no stamp either.
    if not f"{stamp.key}{stamp.timestamp}".isprintable():
        return Stamp()
    return stamp
