"""
``StoreExecutor``: runs blocking functions of the store beside the event loop.

Writes run one after another in one thread, so that one device's writes keep their order. The
database is opened by the first call, and again after a failure to open it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sfm.back_off import BackingOffError
from sfm.store.database import Store
from sfm.store.errors import (
    AmbiguousIdError,
    BadCursorError,
    DamagedMirrorError,
    DamagedRecordError,
    LimitConflictError,
    NoSerialError,
    NoStoreError,
    NoSuchCurveError,
    NoSuchRecordError,
    NoSuchTokenError,
    NoSuchUnitError,
    RosterConflictError,
    StoreError,
    StoreLostError,
    StoreReplacedError,
    TokenNameTakenError,
    UndecodedSamplesError,
)
from sfm.store.health import StoreHealth

__all__ = ["Run", "StoreExecutor", "in_threads"]

READERS = 4

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)

_NOT_THE_DATABASES_FAULT = (
    AmbiguousIdError,
    BadCursorError,
    DamagedMirrorError,
    DamagedRecordError,
    NoSerialError,
    NoSuchRecordError,
    NoSuchCurveError,
    NoSuchTokenError,
    NoSuchUnitError,
    LimitConflictError,
    RosterConflictError,
    TokenNameTakenError,
    UndecodedSamplesError,
)


class Run(Protocol):
    """Runs a blocking call: ``await run(call, is_write)``."""

    def __call__(self, call: Callable[[], T], is_write: bool, /) -> Awaitable[T]:
        """Return what ``call`` returns."""


def in_threads() -> Run:
    """Return a ``Run`` with one thread for writes and a few for reads."""
    writing = ThreadPoolExecutor(1, thread_name_prefix="store-writes")
    reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reads")

    def run(call: Callable[[], T], is_write: bool, /) -> Awaitable[T]:
        executor = writing if is_write else reading
        return asyncio.get_running_loop().run_in_executor(executor, call)

    return run


class StoreExecutor:
    """
    Runs functions on the store and reports their success to ``health``. ``close`` it.

    Args:
        open_store: opens the database; ``None``: the settings name no database.
        run: how blocking calls are run.
        health: receives successes and failures.
    """

    def __init__(
        self, open_store: Callable[[], Store] | None, run: Run, health: StoreHealth
    ) -> None:
        self._open_store = open_store
        self.run = run
        self._health = health
        self._store: Store | None = None
        self._closed = False

    @property
    def has_store(self) -> bool:
        """Whether the settings name a database."""
        return self._open_store is not None

    @property
    def where(self) -> str | None:
        """The open database's name for people; ``None``: it is not open."""
        return None if self._store is None else self._store.where

    async def close(self) -> None:
        """Close the database; every later call fails."""
        self._closed = True
        store, self._store = self._store, None
        if store is not None:
            await self.run(store.close, True)

    def check_file(self) -> None:
        """Report at once if the database file was replaced; waits for nothing, never raises."""
        health = self._health
        if self._store is None or health.problem_kind not in (None, StoreReplacedError.kind):
            return
        try:
            self._store.check_file()
        except StoreError as error:
            if health.problem is None:
                health.failed(error, blocks_writes=False)
        else:
            if health.problem is not None and not health.writes_fail:
                health.succeeded()

    async def call(
        self, function: Callable[[Store], T], *, is_write: bool, is_last_chance: bool = False
    ) -> T:
        """
        Return ``function(store)``; open the database first if it is not open.

        ``is_last_chance``: try it although the database is backed off.

        Raises:
            StoreError: the function failed, or the database did.
            BackingOffError: the database failed recently and is not tried yet.
        """
        if self._closed:
            raise StoreLostError("the relay is shutting down")
        if (is_write or self._store is None) and not is_last_chance:
            self._health.back_off.check()

        def run() -> T:
            if self._store is None:
                assert self._open_store is not None
                self._store = self._open_store()
            return function(self._store)

        try:
            result = await self.run(run, is_write or self._store is None)
        except _NOT_THE_DATABASES_FAULT:
            raise
        except StoreError as error:
            self._failed(error, is_write=is_write)
            raise
        except SQLAlchemyError as error:
            # A fault of this program. The statement is written to the log and nowhere else.
            ours = StoreError("the database refused a statement; the relay's log says which")
            self._failed(ours, is_write=is_write)
            log.error("store_statement_refused", error=str(error), exc_info=error)
            raise ours from error
        if (is_write or not self._health.writes_fail) and not self._is_file_gone():
            self._health.succeeded()
        return result

    def _is_file_gone(self) -> bool:
        """
        Whether the database file was reported as taken away, and still is.

        A call that began before says nothing of it when it succeeds.
        """
        if self._store is None or self._health.problem_kind != StoreReplacedError.kind:
            return False
        try:
            self._store.check_file()
        except StoreReplacedError:
            return True
        return False

    def _failed(self, error: StoreError, *, is_write: bool) -> None:
        self._health.failed(error, blocks_writes=is_write or self._store is None)

    async def read(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return ``function(connection, ...)`` from one read transaction; raises as ``call``."""
        return await self.call(lambda store: store.read(function, *args, **kwargs), is_write=False)

    async def write(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return ``function(connection, ...)``, which is durable then; raises as ``call``."""
        return await self.call(lambda store: store.write(function, *args, **kwargs), is_write=True)

    async def try_write(
        self,
        function: Callable[Concatenate[Connection, P], object],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Write what correctness does not depend on; a failure is reported to health only."""
        await self.try_call(lambda store: store.write(function, *args, **kwargs), is_write=True)

    async def try_call(self, function: Callable[[Store], object], *, is_write: bool) -> None:
        """As ``call``; a failure is reported to health only."""
        with contextlib.suppress(StoreError, BackingOffError):
            await self.call(function, is_write=is_write)

    async def for_request(self, function: Callable[[Store], T], *, is_write: bool) -> T:
        """
        As ``call``, with errors that a request can be answered with.

        Raises:
            NoStoreError: the settings name no database.
            StoreError: as with ``call``; the current problem, where the database is backed off.
        """
        if self._open_store is None:
            raise NoStoreError(
                "this relay keeps no archive: SFM_DATABASE_URL is none; set it to a database"
            )
        try:
            return await self.call(function, is_write=is_write)
        except BackingOffError as error:
            problem = self._health.problem
            kind = type(problem) if problem is not None else StoreLostError
            raise kind(f"{problem or error}; it is tried again soon") from None
