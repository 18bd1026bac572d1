"""Statements that differ between the two databases, and JSON as stored."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["insert_unless_there", "json_text"]


def insert_unless_there(connection: Connection, table: Table) -> Any:
    """Return an insert that passes over rows that are there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def json_text(value: object) -> str:
    """Return plain values as JSON."""
    return orjson.dumps(value).decode()
