"""Empty databases at this program's revision: copies of one that is migrated once in a process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sfm.store import Store
from sfm.store.engine import Engines, read_url

__all__ = ["memory_engines", "memory_store", "write_database"]

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


def write_database(path: Path) -> Path:
    """Write a database file for this user alone, as a relay makes it; return its path."""
    path.touch(mode=0o600)
    path.write_bytes(_file())
    return path


@cache
def _file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relay.sqlite"
        Store.open(f"sqlite:///{path}").close()
        return path.read_bytes()
