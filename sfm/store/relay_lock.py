"""
The lock of the one live relay on a PostgreSQL database: an advisory lock of a session.

The session has a connection of its own, so that the lock lasts as long as the process and no
longer. After ``kill -9`` the server sees the connection end, and the lock is free at once. When the
host vanished nothing ends it, so the server is asked to probe this connection: it is freed after
``VANISHED_S`` at the latest.

The rule: a relay writes only while its own session has the lock. Each write asks for that in its
transaction (``is_held``). A relay that finds it lost, because the server was restarted or the
connection was cut, takes it again if it is free; while another relay has it, every write fails with
``StoreInUseError``, as when the database is down, and each failure is tried again later.

A connection pooler that gives each transaction another session cannot keep such a lock: connect to
PostgreSQL itself, or to a pool of sessions.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC

import structlog
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sfm.store.advisory_locks import AdvisoryLock
from sfm.store.errors import StoreInUseError, as_store_errors

__all__ = ["IDLE_S", "INTERVAL_S", "PROBES", "VANISHED_S", "RelayLock"]

WAIT_S = 2.0
"""How long a start waits for the lock: the server notices a killed process within milliseconds."""

IDLE_S, INTERVAL_S, PROBES = 10, 5, 3
"""TCP keepalive of the lock's connection, at both ends: first probe, s; interval, s; probes."""
VANISHED_S = IDLE_S + INTERVAL_S * PROBES
"""When the server gives up a connection whose host vanished, s: 25, below the 30 of the promise."""

_PROGRAM = "seismo-relay"
MAX_NAME = 63
"""Bytes of an application name that PostgreSQL keeps."""

_HOLDER = text(
    "SELECT a.application_name, a.client_addr::text, a.backend_start FROM pg_locks l "
    "LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.classid = 0 AND l.objid = :key AND l.objsubid = 1 AND l.database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)
_IS_HELD = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 "
    "AND objid = :key AND objsubid = 1 AND pid = :pid)"
)

_SET = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")

log = structlog.get_logger(__name__)


class RelayLock:
    """
    The lock, taken. Lives as long as the engines of its store; ``close`` frees it.

    Args:
        url: of the database.
        where: its name for people.

    Raises:
        StoreInUseError: another relay has it; the message says which.
        StoreLostError: the database cannot be reached.
    """

    def __init__(self, url: URL, where: str) -> None:
        self._where = where
        self._mutex = threading.Lock()
        self._engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "application_name": _own_name(),
                "keepalives": 1,
                "keepalives_idle": IDLE_S,
                "keepalives_interval": INTERVAL_S,
                "keepalives_count": PROBES,
            },
        )
        self._connection: Connection | None = None
        self._pid = 0
        """Of the server process that has the lock for us."""
        self._take(WAIT_S)

    def close(self) -> None:
        """Let another relay have it."""
        with self._mutex:
            self._hang_up()
            self._engine.dispose()

    def is_held(self, connection: Connection) -> bool:
        """Return whether our session has the lock, as the transaction of ``connection`` sees it."""
        ours = {"key": AdvisoryLock.RELAY, "pid": self._pid}
        found: bool = connection.execute(_IS_HELD, ours).scalar_one()
        return found

    def take_again(self) -> None:
        """
        Take the lock after its session was lost.

        Raises:
            StoreInUseError: another relay has it now.
            StoreLostError: the database cannot be reached.
        """
        log.error("relay_lock_lost", database=self._where)
        self._take(WAIT_S)
        log.warning("relay_lock_taken_again", database=self._where)

    def _take(self, wait_s: float) -> None:
        with self._mutex, as_store_errors(self._where):
            self._hang_up()
            self._connection = self._engine.connect()
            try:
                self._pid = self._lock(self._connection, wait_s)
            except BaseException:
                self._hang_up()
                raise

    def _lock(self, connection: Connection, wait_s: float) -> int:
        # The server's end: it is the one that must notice a host that vanished. They are of this
        # session alone, and PostgreSQL ignores them on a local socket, which cannot vanish.
        for name, value in (
            ("tcp_keepalives_idle", IDLE_S),
            ("tcp_keepalives_interval", INTERVAL_S),
            ("tcp_keepalives_count", PROBES),
            ("tcp_user_timeout", VANISHED_S * 1000),
            ("lock_timeout", int(wait_s * 1000)),
            ("idle_session_timeout", 0),
        ):
            # (Nothing happens where a server is too old to know one of them.)
            connection.execute(_SET, {"name": name, "value": str(value)})
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": AdvisoryLock.RELAY})
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
                raise
            raise StoreInUseError(
                f"{self._where} is in use by another seismo-relay program ({_holder(connection)}): "
                "ask through it if it is a relay, wait until it ends if it is a command, or set "
                "SFM_DATABASE_URL to another database"
            ) from None
        pid: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        return pid

    def _hang_up(self) -> None:
        connection, self._connection, self._pid = self._connection, None, 0
        if connection is not None:
            connection.invalidate()  # without a word to a server that may be gone
            connection.close()


def _own_name() -> str:
    """Return what names this process to the others: program, process id, host."""
    name = f"{_PROGRAM} {os.getpid()} {socket.gethostname()}"
    return name.encode("ascii", "replace")[:MAX_NAME].decode()


def _holder(connection: Connection) -> str:
    """Return which process has the lock, as far as the server tells."""
    row = connection.execute(_HOLDER, {"key": AdvisoryLock.RELAY}).first()
    name, _, rest = ("" if row is None else row[0] or "").partition(" ")
    if row is None or name != _PROGRAM:
        return "which one, the database does not say"
    pid, _, host = rest.partition(" ")
    since = row[2].astimezone(UTC).isoformat(timespec="seconds")
    return f"process {pid} on host {host}{f' at {row[1]}' if row[1] else ''}, since {since}"
