"""
``Store``: one open database. ``read`` and ``write`` run a function in a transaction of its own.

The functions are those of ``archive``, ``mirror``, ``unit_data``, ``decodings``, ``audit``,
``tokens``, ``operations`` and ``roster``; each takes the connection first. For example::

    page = store.read(archive.load_page, Wanted(serial="BE18189"), limit=20)

All methods block and may be called from any thread; the relay calls them through
``sfm.store.service``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from sfm.store import archive, migrations, schema
from sfm.store.decoding_runs import decode_outdated, has_outdated
from sfm.store.engine import Engines, read_url
from sfm.store.errors import RevisionError, StoreDamagedError, StoreError
from sfm.store.statements import rebuild_indexes

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """
    One database. Lives as long as the relay; ``close`` it.

    Args:
        engines: its connections.
        now: the time of day, for findings.
    """

    def __init__(self, engines: Engines, now: Callable[[], datetime] = _utc_now) -> None:
        self.engines = engines
        self._now = now
        self._is_beyond_repair = False
        """Whether a write failed although the indexes had just been rebuilt."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        read_only: bool = False,
        is_relay: bool = False,
        now: Callable[[], datetime] = _utc_now,
        on_upgrade: Callable[[str], None] = lambda _: None,
        reads_again: bool = True,
    ) -> Store:
        """
        Open a database that has the right revision; upgrade it where this program may.

        Args:
            url: as in ``SFM_DATABASE_URL``.
            read_only: no lock, no upgrade, no write.
            is_relay: for a live relay, of which a database has one at a time.
            now: the time of day, which names the copy that is made before an upgrade.
            on_upgrade: receives a sentence about what an upgrade did.
            reads_again: decode images again that an older decoder read (``decode_outdated``).

        Raises:
            StoreError: one of ``sfm.store.errors``.
        """
        engines = Engines(read_url(url), read_only=read_only, is_relay=is_relay)
        try:
            if read_only:
                with engines.read() as connection:
                    found = migrations.revision_of(connection)
                if found != migrations.HEAD:
                    raise RevisionError(
                        f"{engines.where} is of revision {found or 'none'}, this program needs "
                        f"{migrations.HEAD}; run: {migrations.UPGRADE_COMMAND}"
                    )
                with engines.read() as connection:
                    migrations.check_schema(engines.where, connection)
            else:
                upgraded = migrations.ensure_head(engines, now)
                if upgraded is not None:
                    on_upgrade(upgraded)
        except BaseException:
            engines.close()
            raise
        store = cls(engines, now)
        if reads_again and not read_only:
            store._decode_after_upgrade(now, on_upgrade)
        return store

    def _decode_after_upgrade(
        self, now: Callable[[], datetime], on_upgrade: Callable[[str], None]
    ) -> None:
        if not has_outdated(self):
            return
        decoded = decode_outdated(self, now())
        if not decoded:
            return  # the images that are left are damaged
        changed = sum(payload["change"] is not None for payload in decoded)
        on_upgrade(
            f"{self.where}: {len(decoded)} images were read again by this version's decoder; "
            f"{changed} readings changed, see: seismo-relay archive findings"
        )

    def close(self) -> None:
        """Close the database."""
        self.engines.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def where(self) -> str:
        """The database's name for people."""
        return self.engines.where

    def check_file(self) -> None:
        """
        Return if the file that is written is the one that the path names.

        Raises:
            StoreReplacedError: the file was removed, renamed or replaced.
        """
        self.engines.check()

    def read(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        Return ``function(connection, ...)``, which sees the database at one instant.

        Raises:
            StoreError: the function's own, or the database could not be read.
        """
        with self.engines.read() as connection:
            return function(connection, *args, **kwargs)

    def write(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        Return ``function(connection, ...)``; what it wrote is durable then, or none of it is.

        SQLite refuses to change a row that an index does not list under the row's own values, as
        after a byte of either was damaged. Then the indexes are rebuilt from the rows, and the
        function runs once more: otherwise such a row would keep its own repair out for ever.

        Raises:
            StoreError: the function's own, or the database could not be written.
        """
        try:
            with self.engines.write() as connection:
                return function(connection, *args, **kwargs)
        except StoreDamagedError as error:
            if self._is_beyond_repair or not self._rebuild_indexes(str(error)):
                raise
        try:
            with self.engines.write() as connection:
                return function(connection, *args, **kwargs)
        except StoreDamagedError:
            # The damage is elsewhere: do not rebuild them again at each write that fails.
            self._is_beyond_repair = True
            raise

    def _rebuild_indexes(self, damage: str) -> bool:
        """Rebuild a SQLite file's indexes and note it; return whether that was possible."""
        if not self.engines.is_sqlite:
            return False
        import structlog  # others do not wait for it

        log = structlog.get_logger(__name__)
        log.error("indexes_rebuilt", database=self.where, error=damage)
        detail = f"a write met damage ({damage}); the indexes were rebuilt from the rows"
        try:
            with self.engines.write() as connection:
                rebuild_indexes(connection, schema.metadata.sorted_tables)
                archive.note(connection, self._now(), "mended", "unknown", None, detail)
        except StoreError:
            self._is_beyond_repair = True
        return not self._is_beyond_repair
