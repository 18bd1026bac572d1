"""Rows of a database changed behind the store's back: as if written so, or damaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from sfm.store import Store, schema
from sfm.store.row_hashes import row_hash

KEYED = (
    "operations",
    "locations",
    "unit_places",
    "routes",
    "zones",
    "limit_confirmations",
    "limit_choices",
)
"""Tables whose hash covers a row's number."""


def hash_of(connection: Connection, name: str, row: Mapping[Any, Any]) -> bytes:
    """The hash that the store writes beside a row."""
    belongs_to = {}
    if name in ("recording_decodings", "recording_downloads", "analyses"):
        w = schema.recording_waveforms.c
        image = select(w.content_hash).where(w.id == row["waveform_id"])
        belongs_to["image"] = bytes(connection.execute(image).scalar_one()).hex()
    if name in KEYED:
        belongs_to["key"] = str(row["id"])
    if name in ("recording_waveforms", "unproven_recordings", "entered_facts"):
        r = schema.recordings.c
        of = select(r.public_id).where(r.id == row["recording_id"])
        belongs_to["recording"] = str(connection.execute(of).scalar_one())
    return row_hash(name, row, **belongs_to)


def write_row(store: Store, name: str, where: Mapping[str, Any], **values: Any) -> None:
    """Change rows of a table and hash them anew, as if they had been written so."""
    table = schema.metadata.tables[name]
    chosen = [table.c[column] == value for column, value in where.items()]
    with store.engines.write() as connection:
        for row in connection.execute(select(table).where(*chosen)).mappings().all():
            hashed = hash_of(connection, name, {**row, **values})
            key = [column == row[column.name] for column in table.primary_key]
            connection.execute(table.update().where(*key).values(**values, row_hash=hashed))


def public_id(store: Store, number: int) -> str | None:
    """The name that a row of recordings has outside."""
    r = schema.recordings.c
    with store.engines.read() as connection:
        return connection.execute(select(r.public_id).where(r.id == number)).scalar()
