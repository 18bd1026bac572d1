"""
Statements that are compiled once in a process, not anew for each database that a test opens.

SQLAlchemy keeps compiled statements for each engine, by its dialect. Tests open thousands of small
databases of two kinds; compiling for each of them took most of their time.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

__all__ = ["share_compiled_statements"]

_compiled: LRUCache[Any, Any] = LRUCache(4000)


def share_compiled_statements() -> None:
    """Let every engine of this process that speaks the same dialect use what one has compiled."""
    make = Engine.__init__

    def make_sharing(self: Engine, *args: Any, **more: Any) -> None:
        make(self, *args, **more)
        self._compiled_cache = _compiled

    Engine.__init__ = make_sharing  # type: ignore[method-assign]
    for dialect in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        dialect.__eq__ = _is_same  # type: ignore[method-assign,assignment]
        dialect.__hash__ = _hash  # type: ignore[method-assign,assignment]


def _facts(dialect: DefaultDialect) -> tuple[Any, ...]:
    """Return what the text of a statement depends on: the kind of database and its version."""
    version = getattr(dialect, "server_version_info", None)
    return type(dialect), dialect.dbapi, version, dialect.paramstyle


def _is_same(self: DefaultDialect, other: object) -> bool:
    return self is other or (isinstance(other, DefaultDialect) and _facts(self) == _facts(other))


def _hash(self: DefaultDialect) -> int:
    return hash(type(self))
