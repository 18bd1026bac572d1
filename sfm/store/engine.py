"""
Opening the database: which driver, which pragmas, which connection may write.

SQLite before 3.51.3 can corrupt a WAL file when two connections checkpoint at once. So a build
without the fault is taken where there is one (``pysqlite3``); and in any case exactly one
connection of one process writes and checkpoints: a lock on the file keeps a second relay out, and
reading connections are set never to checkpoint.

``synchronous=FULL``: with WAL, NORMAL keeps a database sound but may lose the last commits in a
power cut (sqlite.org, "pragma synchronous"). Here a commit that was acknowledged must stay.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import platformdirs
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool, StaticPool

from sfm.store.database_file import DatabaseFile
from sfm.store.errors import StoreReadOnlyError, WrongUrlError, as_store_errors

if TYPE_CHECKING:
    from sfm.store.relay_lock import RelayLock

try:
    import pysqlite3 as _sqlite
except ImportError:  # no wheel for this platform
    _sqlite = sqlite3

__all__ = [
    "BUSY_S",
    "NO_DATABASE",
    "SQLITE",
    "Engines",
    "default_url",
    "quoted",
    "read_url",
    "sqlite_is_safe",
]

SQLITE: ModuleType = _sqlite
SAFE_SQLITE = (3, 51, 3)
"""From here on two connections may checkpoint at once (sqlite.org, release notes of 3.51.3)."""
NO_DATABASE = "none"
BUSY_S = 2.0
"""How long a write waits for another program's lock."""
FILE_NAME = "seismo-relay.sqlite"


def default_url() -> str:
    """Return the embedded database's URL: a file in this user's data folder."""
    folder = Path(platformdirs.user_data_dir("seismo-relay", appauthor=False))
    return f"sqlite:///{folder / FILE_NAME}"


EXPECTED_URL = (
    "write sqlite:////path/to/file, postgresql://user:password@host/name, or none "
    "(SFM_DATABASE_URL or --database)"
)


def read_url(text: str) -> URL:
    """
    Return the URL as SQLAlchemy takes it, with the driver that we use.

    Raises:
        WrongUrlError: it is no URL, names another kind of database, or needs a driver that is
            not installed.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise WrongUrlError(f"{text!r} is no database URL; {EXPECTED_URL}") from None
    kind = url.get_backend_name()
    if kind == "postgresql":
        if find_spec("psycopg") is None:
            raise WrongUrlError(
                "PostgreSQL needs a driver that is not installed here: "
                "pip install 'seismo-relay[postgresql]'"
            )
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite":
        if url.host:  # sqlite://file: SQLite would open a database in memory, and lose it
            raise WrongUrlError(f"{text!r} names no file; {EXPECTED_URL}")
        return url
    raise WrongUrlError(f"{kind} is not a database that is known here; {EXPECTED_URL}")


def sqlite_is_safe() -> bool:
    """Whether this SQLite is without the WAL fault that is described at the top."""
    version: tuple[int, ...] = SQLITE.sqlite_version_info
    return version >= SAFE_SQLITE


class Engines:
    """
    Connections for writing and for reading. Lives as long as its store; ``close`` closes them.

    Args:
        url: of the database; see ``read_url``.
        read_only: nothing is locked, created or written.
        is_relay: for a live relay, of which a database has one at a time (``relay_lock``).

    Raises:
        StoreInUseError: another relay has the database.
        StoreLostError: the file's folder cannot be made, or the database not be opened.
    """

    def __init__(self, url: URL, *, read_only: bool = False, is_relay: bool = False) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.path = Path(url.database) if self.is_sqlite and url.database else None
        if self.path is not None and str(self.path) == ":memory:":
            self.path = None
        self._file: DatabaseFile | None = None
        self._relay_lock: RelayLock | None = None
        self._is_read_only = read_only
        self.writing: Engine
        self.reading: Engine
        if not self.is_sqlite:
            if is_relay and not read_only:
                from sfm.store.relay_lock import RelayLock  # others do not wait for its log

                self._relay_lock = RelayLock(url, self.where)
            engine = create_engine(
                url, pool_size=4, max_overflow=4, pool_pre_ping=True, pool_timeout=BUSY_S
            )
            self.writing = engine
            # One consistent view: by default each statement would have its own.
            self.reading = engine.execution_options(isolation_level="REPEATABLE READ")
            return
        if self.path is None:
            self.writing = self.reading = self._sqlite(StaticPool, is_writer=True)
            return
        if not read_only:
            self._file = DatabaseFile(self.path)
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": BUSY_S}
        self.reading = self._sqlite(
            QueuePool, is_writer=False, pool_size=4, max_overflow=4, pool_timeout=BUSY_S
        )
        self.writing = (
            self.reading if read_only else self._sqlite(QueuePool, is_writer=True, **options)
        )

    @property
    def where(self) -> str:
        """The database's name for people; no password in it."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close every connection, and let others have the file."""
        self._disconnect()
        if self._file is not None:
            self._file.close()
        if self._relay_lock is not None:
            self._relay_lock.close()

    @property
    def is_new(self) -> bool:
        """Whether this is a file that is being made, and has not come to its name yet."""
        return self._file is not None and self._file.is_new

    def publish(self) -> None:
        """
        Give a new file its own name.

        Raises:
            StoreInUseError: another relay made one there meanwhile.
            StoreLostError: it cannot be put there.
        """
        if self._file is not None and self._file.is_new:
            self._disconnect()
            self._file.publish()

    def check(self) -> None:
        """
        Return if what is written now is in the file that the path names.

        Raises:
            StoreReplacedError: that file was removed, renamed or replaced.
        """
        if self._file is not None:
            self._file.check()

    def _disconnect(self) -> None:
        """Close every connection; the writing one last, since it checkpoints."""
        self.reading.dispose()
        self.writing.dispose()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """
        One transaction that is durable when the block has ended.

        Raises:
            StoreReadOnlyError: the database was opened to be read.
            StoreReplacedError: the file is not under its name, before or after it was written.
            StoreInUseError: another relay took the database, after our lock on it was lost.
        """
        if self._is_read_only:
            raise StoreReadOnlyError(
                f"{self.where} is open for reading only, because another seismo-relay program "
                "uses it; if that is a relay, ask through it with --relay"
            )
        self.check()
        with as_store_errors(self.where), self.writing.begin() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(BUSY_S * 1000)}")
            if self._relay_lock is not None and not self._relay_lock.is_held(connection):
                self._relay_lock.take_again()
            yield connection
        self.check()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; raises ``StoreReplacedError`` as ``write`` does."""
        self.check()
        with as_store_errors(self.where), self.reading.begin() as connection:
            yield connection

    def _sqlite(self, pool: Any, *, is_writer: bool, **options: Any) -> Engine:
        def connect() -> Any:
            if self.path is None:
                return _tuned(SQLITE.connect(":memory:", check_same_thread=False), is_writer)
            path = self.path if self._file is None else self._file.location
            mode = "rw" if is_writer or os.access(path, os.W_OK) else "ro"
            target = f"file:{quoted(path)}?mode={mode}"
            try:
                connection = SQLITE.connect(
                    target, uri=True, timeout=BUSY_S, check_same_thread=False
                )
            except SQLITE.Error:
                self.check()  # it cannot be opened because it was taken away: that is the reason
                raise
            try:
                tuned = _tuned(connection, is_writer)
                self.check()  # it was opened by its name, which may be another file's by now
            except BaseException:
                connection.close()
                raise
            return tuned

        engine = create_engine(
            "sqlite://", module=SQLITE, creator=connect, poolclass=pool, **options
        )

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # The driver's own habits are off: a transaction begins here, writers with the lock.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

        return engine


def _tuned(connection: Any, is_writer: bool) -> Any:
    connection.isolation_level = None
    pragmas = [f"busy_timeout={int(BUSY_S * 1000)}", "foreign_keys=ON"]
    if is_writer:
        pragmas += ["journal_mode=WAL", "synchronous=FULL"]
    else:
        pragmas += ["wal_autocheckpoint=0", "query_only=ON"]
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def quoted(path: Path) -> str:
    """Return a path, quoted for a SQLite URI."""
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
