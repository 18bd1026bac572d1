"""
Operations on disk: each is one row, rewritten when it ends, and removed a day after it began.

All functions take a connection in a transaction of ``Store``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sfm.records.payloads import Payload
from sfm.store import schema
from sfm.store.errors import DamagedRecordError
from sfm.store.row_hashes import is_sound, read_rows, with_hash

__all__ = ["load", "load_result", "save"]

table = schema.operations


def save(connection: Connection, operation: Mapping[str, Any], oldest: str) -> None:
    """
    Save an operation's state; remove the operations that began before ``oldest``.

    ``id``, ``begun_at`` and ``unit`` of the operation name and order its row.
    """
    connection.execute(delete(table).where(table.c.begun_at < oldest))
    connection.execute(delete(table).where(table.c.id == operation["id"]))
    row = {
        "id": operation["id"],
        "begun_at": operation["begun_at"],
        "unit": operation["unit"],
        "state_json": json.dumps(dict(operation)),
    }
    connection.execute(insert(table), [with_hash("operations", row, key=row["id"])])


def load(connection: Connection, id_: str) -> Payload | None:
    """
    Return an operation; ``None``: there is none of that id, or it was removed.

    Raises:
        DamagedRecordError: its row does not match its hash.
    """
    for _, row in read_rows(connection, table, select(table).where(table.c.id == id_)):
        if row is None or row["id"] != id_ or not is_sound("operations", row, key=id_):
            raise DamagedRecordError(
                f"operation {id_}: its row does not match its hash, so how it ended is not "
                "known here; check the unit itself and the audit log"
            )
        return dict(json.loads(row["state_json"]))
    return None


def load_result(connection: Connection, href: str) -> Payload | None:
    """Return the result of the operation that made a file; ``None``: none that is known did."""
    query = select(table).where(table.c.state_json.contains(href, autoescape=True))
    for (id_,), row in read_rows(connection, table, query):
        if row is not None and is_sound("operations", row, key=id_):
            result = json.loads(row["state_json"])["result"]
            if isinstance(result, dict) and result.get("href") == href:
                return result
    return None
