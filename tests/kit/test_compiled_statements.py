from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from kit.empty_databases import memory_store
from sfm.store import schema


def recording_ids(connection: Connection) -> list[Any]:
    return list(connection.execute(select(schema.recordings.c.id)))


def test_a_statement_is_compiled_once_for_all_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_store() as first:
        first.read(recording_ids)
    compiled = []
    make = SQLiteDialect_pysqlite.statement_compiler

    def count(*args: Any, **more: Any) -> Any:
        compiled.append(args)
        return make(*args, **more)

    monkeypatch.setattr(SQLiteDialect_pysqlite, "statement_compiler", staticmethod(count))
    with memory_store() as second:
        assert second.read(recording_ids) == []
    assert compiled == []
