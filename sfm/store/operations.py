"""
Operations on disk: each is one row, rewritten when it ends, and removed a day after it began.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sfm.forms import Form
from sfm.store import schema

table = schema.operations


def save(connection: Connection, operation: Mapping[str, Any]) -> None:
    """Write an operation as it is now; ``id``, ``begun_at`` and ``unit`` name and order it."""
    connection.execute(delete(table).where(table.c.id == operation["id"]))
    connection.execute(
        insert(table).values(
            id=operation["id"],
            begun_at=operation["begun_at"],
            unit=operation["unit"],
            state_json=json.dumps(dict(operation)),
        )
    )


def load(connection: Connection, id_: str) -> Form | None:
    """Return an operation; ``None``: there is none of that id, or it was removed."""
    found = connection.execute(select(table.c.state_json).where(table.c.id == id_)).scalar()
    return None if found is None else dict(json.loads(found))


def remove_begun_before(connection: Connection, begun_at: str) -> None:
    """Remove the operations that began earlier."""
    connection.execute(delete(table).where(table.c.begun_at < begun_at))
