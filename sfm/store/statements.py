"""Statements that differ between the two databases, and JSON as stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

__all__ = ["insert_unless_there", "json_text", "rebuild_indexes"]


def insert_unless_there(connection: Connection, table: Table) -> Any:
    """Return an insert that passes over rows that are there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def rebuild_indexes(connection: Connection, tables: Iterable[Table]) -> list[Table]:
    """
    Rebuild the indexes of tables from their rows, in SQLite; in PostgreSQL nothing is done.

    Returns the tables that were left out, since two rows of each have one key now.
    """
    left_out: list[Table] = []
    if connection.dialect.name != "sqlite":
        return left_out
    for table in tables:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"REINDEX {table.name}")
        except IntegrityError:
            left_out.append(table)
    return left_out


def json_text(value: object) -> str:
    """Return plain values as JSON."""
    return orjson.dumps(value).decode()
