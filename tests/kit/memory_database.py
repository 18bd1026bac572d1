"""Empty databases in memory at this program's revision: copies of one that is migrated once."""

from __future__ import annotations

from functools import cache
from typing import Any

from sfm.store import Store
from sfm.store.engine import Engines, read_url

__all__ = ["memory_engines", "memory_store"]

URL = "sqlite://"


@cache
def _template() -> Any:
    """Return a connection to a database that every migration went over, made once in a process."""
    return _connection(Store.open(URL).engines)


def _connection(engines: Engines) -> Any:
    return engines.writing.raw_connection().driver_connection


def memory_engines() -> Engines:
    """Return the engines of a database of its own; without migrations, which take 0.2 s."""
    engines = Engines(read_url(URL))
    _template().backup(_connection(engines))
    return engines


def memory_store() -> Store:
    """Return a store with a database of its own, as ``Store.open("sqlite://")`` does."""
    return Store(memory_engines())
