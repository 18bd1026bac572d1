"""
Operations: work that takes longer than a proxy between client and relay waits.

A client that prefers not to wait gets an id at once, and polls or follows the progress. The rule:
an operation is saved before its work begins and again when it has ended, and is kept for 24 h, also
over a restart. An operation that was running when the relay stopped has failed: a command with an
unknown outcome, a fetch with what it had archived. Nothing is ever restarted automatically.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from sfm.back_off import BackingOffError
from sfm.devices.progress import ProgressLog
from sfm.devices.single_flight import RETRY_AFTER_S, BusyError, ShuttingDownError
from sfm.records.payloads import Payload
from sfm.store import StoreError, operations
from sfm.store.errors import NoStoreError
from sfm.store.service import StoreService

__all__ = ["EXPORTS", "FETCH", "REPORTS", "Operation", "Operations", "Report"]

RETENTION = timedelta(hours=24)
MAX_RUNNING = 64
FETCH, EXPORTS, REPORTS = "fetch", "exports", "reports"
"""The kinds of operations that change no unit."""
MAX_ENDED = 1000
"""Ended operations in memory; older ones are read from the database."""


class Report(Protocol):
    """Takes a step of an operation."""

    def __call__(
        self,
        what: str,
        done: float,
        total: float | None,
        read_bytes: int | None = None,
        cause: Exception | None = None,
        /,
    ) -> None:
        """
        Note what is counted, how many, of how many, and how many bytes were read if it reads.

        ``cause``: why the last try failed, if the work now waits for another one.
        """


log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Operation:
    """One long-running command. ``steps`` lives as long as the operation is in memory."""

    id: str
    kind: str
    unit: str
    """Connection key; a token limited to other units does not see the operation."""
    begun_at: str
    state: str = "running"
    """``running``, ``done`` or ``failed``."""
    what: str | None = None
    """What ``done`` and ``total`` count, with its unit of measure."""
    done: float | None = None
    total: float | None = None
    read_bytes: int | None = None
    """Bytes that it has read so far; ``None``: it does not count them."""
    trying_again: Payload | None = None
    """The problem document of the last try, while it waits for another one."""
    ended_at: str | None = None
    result: Payload | None = None
    """The body that the request would have answered."""
    problem: Payload | None = None
    """The problem document that the request would have answered."""
    steps: ProgressLog = field(default_factory=ProgressLog, repr=False)

    def payload(self) -> Payload:
        """Return it as plain values."""
        names = ("id", "kind", "unit", "begun_at", "ended_at", "state", "what", "done", "total")
        more = ("read_bytes", "trying_again", "result", "problem")
        return {name: getattr(self, name) for name in (*names, *more)}


class Operations:
    """
    The operations of this relay. Lives as long as its gateway; ``close`` before that.

    Args:
        store_service: saves operations over a restart.
        wall: the time of day, UTC.
        new_id: makes an unguessable id.
        describe: makes the problem document of an error.
    """

    def __init__(
        self,
        store_service: StoreService,
        *,
        wall: Callable[[], datetime],
        new_id: Callable[[], str],
        describe: Callable[[Exception], Payload],
    ) -> None:
        self._store_service = store_service
        self._wall = wall
        self._new_id = new_id
        self._describe = describe
        self._known: dict[str, Operation] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def begin(
        self, kind: str, unit: str, work: Callable[[Report], Awaitable[Payload]]
    ) -> Operation:
        """
        Begin ``work`` and return at once.

        Raises:
            BusyError: the maximum number of operations is running.
            ShuttingDownError: the relay is shutting down.
        """
        if self._closed:
            raise ShuttingDownError("the relay is shutting down")
        if len(self._tasks) >= MAX_RUNNING:
            raise BusyError(f"{len(self._tasks)} operations are running", RETRY_AFTER_S)
        operation = Operation(id=self._new_id(), kind=kind, unit=unit, begun_at=_text(self._wall()))
        self._known[operation.id] = operation
        self._forget_old()
        task = asyncio.create_task(self._run(operation, work))
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.id, None))
        return operation

    async def find(self, id_: str) -> Operation | None:
        """
        Return an operation; ``None``: the id is unknown, or the operation began over 24 h ago.

        Raises:
            StoreError: the database could not be read.
        """
        self._forget_old()
        if id_ in self._known:
            return self._known[id_]
        try:
            found = await self._store_service.read(operations.load, id_)
        except NoStoreError:
            return None
        if found is None or found["begun_at"] < _text(self._wall() - RETENTION):
            return None
        operation = Operation(**found)
        if operation.state == "running":
            _interrupt(operation)
        operation.steps.close()
        return operation

    def end_streams(self) -> None:
        """End every stream that follows an operation: the relay is about to stop."""
        for operation in self._known.values():
            operation.steps.close()

    async def close(self) -> None:
        """Cancel what is running; a command already sent completes and is in the audit log."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, operation: Operation, work: Callable[[Report], Awaitable[Payload]]
    ) -> None:
        try:
            await self._save(operation)
            operation.result = await work(partial(self._note, operation))
            operation.state = "done"
        except asyncio.CancelledError:
            _interrupt(operation)
            operation.ended_at = _text(self._wall())
            await self._complete(self._save(operation))
            raise
        except Exception as error:
            operation.state, operation.problem = "failed", self._describe(error)
        operation.ended_at, operation.trying_again = _text(self._wall()), None
        await self._save(operation)
        ending = operation.result if operation.state == "done" else operation.problem
        operation.steps.add(operation.state, **(ending or {}))
        operation.steps.close()

    def _note(
        self,
        operation: Operation,
        what: str,
        done: float,
        total: float | None,
        read_bytes: int | None = None,
        cause: Exception | None = None,
        /,
    ) -> None:
        """Note how far the work is, as ``Report`` says, and send it to the followers."""
        operation.what, operation.done, operation.total = what, done, total
        operation.read_bytes = read_bytes
        operation.trying_again = None if cause is None else self._describe(cause)
        optional = {"read_bytes": read_bytes, "trying_again": operation.trying_again}
        given = {name: value for name, value in optional.items() if value is not None}
        operation.steps.add("step", what=what, done=done, total=total, **given)

    @staticmethod
    async def _complete(saving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(saving)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
        await asyncio.wait([task])

    async def _save(self, operation: Operation) -> None:
        """Save an operation if there is a database; without one it stays in memory only."""
        payload, oldest = operation.payload(), _text(self._wall() - RETENTION)
        try:
            await self._store_service.write(operations.save, payload, oldest)
        except NoStoreError:
            pass
        except (StoreError, BackingOffError) as error:
            log.warning("operation_not_saved", id=operation.id, error=str(error))

    def _forget_old(self) -> None:
        oldest = _text(self._wall() - RETENTION)
        ended = [one for one in self._known.values() if one.id not in self._tasks]
        for number, one in enumerate(reversed(ended)):
            if one.begun_at < oldest or number >= MAX_ENDED:
                del self._known[one.id]


def _interrupt(operation: Operation) -> None:
    operation.state, operation.trying_again = "failed", None
    if operation.kind == FETCH:
        operation.problem = {
            "type": "urn:seismo-relay:problem:shutting-down",
            "title": "The relay was stopped",
            "status": 503,
            "detail": f"{operation.unit}: the relay was stopped while it fetched. What was read is "
            "in the archive, also parts of an image. Start the fetch again; it continues there.",
        }
        return
    if operation.kind in (EXPORTS, REPORTS):
        operation.problem = {
            "type": "urn:seismo-relay:problem:shutting-down",
            "title": "The relay was stopped",
            "status": 503,
            "detail": "the relay was stopped while it made these files; ask for them again",
        }
        return
    operation.problem = {
        "type": "urn:seismo-relay:problem:outcome-unknown",
        "title": "The command's outcome is unknown",
        "status": 502,
        "detail": f"{operation.unit}: the relay was stopped while this was running; the audit log "
        "shows what was sent. Read the unit before you repeat the command.",
        "outcome": "unknown",
    }


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
