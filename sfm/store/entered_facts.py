"""
Entered facts on disk: a row for each change, with its author and time; nothing is overwritten.

All functions take a connection in a transaction of ``Store``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, select

from sfm.records.entered_facts import EnteredFact
from sfm.records.site_time import utc_text
from sfm.store import schema
from sfm.store.archive import find
from sfm.store.errors import DamagedRecordError
from sfm.store.row_hashes import is_sound, read_rows, with_hash

__all__ = ["history", "load", "save"]

table = schema.entered_facts


def save(
    connection: Connection,
    name: int | str,
    facts: Mapping[str, float | str | None],
    *,
    author: str,
    at: datetime,
) -> None:
    """
    Add facts of a recording; ``None`` withdraws one. Earlier ones are kept.

    Args:
        connection: in a transaction.
        name: of the recording.
        facts: values as ``checked_fact`` returns them, by name.
        author: who states them.
        at: when.

    Raises:
        NoSuchRecordError: there is no such recording.
        AmbiguousIdError: several recordings' ids begin with these characters.
    """
    number = find(connection, name)
    public_id = _public_id(connection, number)
    rows = [
        with_hash(
            "entered_facts",
            {
                "recording_id": number,
                "name": fact,
                "value_json": None if value is None else json.dumps(value),
                "author": author,
                "at": utc_text(at),
            },
            recording=public_id,
        )
        for fact, value in facts.items()
    ]
    if rows:
        connection.execute(insert(table), rows)


def load(connection: Connection, name: int | str) -> dict[str, EnteredFact]:
    """
    Return the facts of a recording that count now, by name.

    Raises:
        NoSuchRecordError: there is no such recording.
        DamagedRecordError: a row does not match its hash, so that it is not known which count.
    """
    found: dict[str, EnteredFact] = {}
    for fact in reversed(history(connection, name)):
        found.pop(fact.name, None)
        if fact.value is not None:
            found[fact.name] = fact
    return found


def history(connection: Connection, name: int | str) -> list[EnteredFact]:
    """
    Return every fact that was ever entered of a recording, the latest first; raises as ``load``.

    A fact without a value was withdrawn.
    """
    number = find(connection, name)
    public_id = _public_id(connection, number)
    query = select(table).where(table.c.recording_id == number).order_by(table.c.id.desc())
    found = []
    for (row_number,), row in read_rows(connection, table, query):
        if row is None or not is_sound("entered_facts", row, recording=public_id):
            raise DamagedRecordError(
                f"recording {public_id[:12]}: entered fact {row_number} does not match its hash; "
                "restore a backup that has it"
            )
        value = None if row["value_json"] is None else json.loads(row["value_json"])
        found.append(EnteredFact(name=row["name"], value=value, by=row["author"], at=row["at"]))
    return found


def _public_id(connection: Connection, number: int) -> str:
    r = schema.recordings.c
    return str(connection.execute(select(r.public_id).where(r.id == number)).scalar_one())
