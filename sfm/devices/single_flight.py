"""
Single-flight: many readers, one read.

The rule: a reader joins the next read, never one that has already started. Readers who ask for the
same resource while its read waits for the connection share that read, its answer and its failure
alike; no reader tries again alone because a shared read failed. A reader who goes away changes
nothing for the others, and the read, once begun, is finished.

A read starts when it gets its turn; until then a forced reader may join as well, which makes the
read a forced one. Late joins are possible later on (``SharedRead.can_join_late``), for unforced
readers only: while the read waits for its session, since nothing was read yet; and during a long
read that proves at its end that the unit's memory is still what was read, up to that proof, since
what they get is then proven after they asked.

A long read pauses between two steps (``let_short_reads_in``) for short ones that wait: a person's
status read waits for one event of a walk or one chunk of a download, not for the whole of it.

(A read runs in a task of its own and not in its first reader's ``with`` block, because it must
survive that reader.)
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from minimateplus.model import Progress
from sfm.devices.connection_lock import ConnectionLock
from sfm.errors import SfmError

__all__ = [
    "RETRY_AFTER_S",
    "BusyError",
    "SharedRead",
    "ShuttingDownError",
    "SingleFlight",
    "joins_closed",
    "joins_open",
    "retrieve_exception",
]

T = TypeVar("T")

RETRY_AFTER_S = 5.0
"""When a rejected reader may ask again."""


class ShuttingDownError(SfmError):
    """The relay is shutting down; the read was ended."""


class BusyError(SfmError):
    """More readers wait for the device than may, or one has waited for too long."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def joins_closed() -> bool:
    """Return False: no reader may join late."""
    return False


def joins_open() -> bool:
    """Return True: any unforced reader may join late."""
    return True


@dataclass(eq=False)
class SharedRead(Generic[T]):
    """One read of one resource, and its readers. Lives until the read has ended."""

    resource: Hashable
    forced: bool = False
    """Whether one of its readers wants the device asked whatever is cached."""
    max_age_s: float = math.inf
    """The greatest age that all of its readers will take."""
    asked_mono: float = -math.inf
    """When the latest of its forced readers asked."""
    is_short: Callable[[], bool] = joins_closed
    """Asked between two steps of a long read: may it go in between?"""
    readers: int = 0
    can_join_late: Callable[[], bool] = joins_closed
    """Asked at each join: may unforced readers join although the read has started?"""
    progress: Progress | None = None
    notify: Callable[[Progress], None] | None = None
    """Called with each step."""
    started: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when it starts, or never will."""
    redirected: Exception | None = None
    """Why it will not be done here: its readers are to ask elsewhere."""
    task: asyncio.Task[T] = field(init=False, repr=False)

    def report(self, step: Progress) -> None:
        """Record how far the read is, for those who wait for it."""
        self.progress = step
        if self.notify is not None:
            self.notify(step)


Read = Callable[[SharedRead[T]], Awaitable[T]]


class SingleFlight:
    """
    The reads of one device, one at a time. Lives as long as its device; ``close`` ends them.

    Args:
        lock: acquired for each read; one session at a time.
        max_readers: how many readers may wait at once; one more is rejected.
        queue_s: how long a reader waits for its read to start.
    """

    def __init__(
        self, lock: ConnectionLock, *, max_readers: int = 5000, queue_s: float = 300.0
    ) -> None:
        self._lock = lock
        self._max_readers = max_readers
        self._queue_s = queue_s
        self._waiting: dict[Hashable, SharedRead[Any]] = {}
        self._running: dict[Hashable, SharedRead[Any]] = {}
        self._closed = False
        self.started_reads = 0
        """Reads that got the connection."""
        self.joined = 0
        """Readers who joined another's read."""
        self.readers = 0
        """Readers waiting now."""
        self.rejected_readers = 0
        """Readers who were rejected because the device is busy."""

    @property
    def is_idle(self) -> bool:
        """Whether no read waits or is under way."""
        return not (self._waiting or self._running)

    def is_waiting(self, resource: Hashable) -> bool:
        """Return whether a read of that resource waits, so that any reader may join."""
        return resource in self._waiting

    @property
    def waiting_readers(self) -> int:
        """Readers of reads that have not started."""
        return sum(shared_read.readers for shared_read in self._waiting.values())

    @property
    def progress(self) -> dict[Hashable, Progress]:
        """How far each long read under way is."""
        running = self._running.items()
        return {
            resource: shared_read.progress
            for resource, shared_read in running
            if shared_read.progress is not None
        }

    async def ask(
        self,
        resource: Hashable,
        read: Read[T],
        *,
        forced: bool = False,
        max_age_s: float = math.inf,
        asked_mono: float = -math.inf,
        is_short: Callable[[], bool] = joins_closed,
    ) -> tuple[T, bool]:
        """
        Return what a read of ``resource`` brings, and whether another reader had begun it.

        Args:
            resource: what is read; readers of the same share it.
            read: reads it, if this reader is the first.
            forced: join no read that has started already.
            max_age_s: the greatest age that this reader will take.
            asked_mono: when this reader asked, if the read is forced.
            is_short: whether it may run now between two steps of a long read; for reads of a few
                exchanges.

        Raises:
            ShuttingDownError: the relay shuts down, or did so meanwhile.
            BusyError: too many readers, or the read did not start within the queue time.
            Exception: what ``read`` raised, the same for all its readers.
        """
        if self._closed:
            raise ShuttingDownError("the relay is shutting down")
        if self.readers >= self._max_readers:
            self.rejected_readers += 1
            raise BusyError(f"{self.readers} readers wait for this device already", RETRY_AFTER_S)
        shared_read = self._joinable(resource, forced)
        joined = shared_read is not None
        if shared_read is None:
            shared_read = SharedRead(resource, is_short=is_short)
            self._waiting[resource] = shared_read
            shared_read.task = asyncio.create_task(self._run_shared(shared_read, read))
            shared_read.task.add_done_callback(retrieve_exception)
        self.joined += joined
        shared_read.forced |= forced
        shared_read.max_age_s = min(max_age_s, shared_read.max_age_s)
        shared_read.asked_mono = max(asked_mono, shared_read.asked_mono)
        shared_read.readers += 1
        self.readers += 1
        try:
            await self._wait_for_turn(shared_read)
            # A cancelled reader ends its own waiting, not the read.
            await asyncio.wait([shared_read.task])
        finally:
            shared_read.readers -= 1
            self.readers -= 1
        if shared_read.task.cancelled():
            raise ShuttingDownError("the relay is shutting down")
        return shared_read.task.result(), joined

    async def _wait_for_turn(self, shared_read: SharedRead[Any]) -> None:
        """Wait until ``shared_read`` starts, for at most the queue time."""
        try:
            async with asyncio.timeout(self._queue_s):
                await shared_read.started.wait()
        except TimeoutError:
            self.rejected_readers += 1
            raise BusyError(
                f"Timed out after {self._queue_s:g} s waiting for the unit; it is busy with "
                "other requests",
                RETRY_AFTER_S,
            ) from None

    def _joinable(self, resource: Hashable, forced: bool) -> SharedRead[Any] | None:
        if (waiting := self._waiting.get(resource)) is not None:
            return waiting
        running = self._running.get(resource)
        return running if running is not None and not forced and running.can_join_late() else None

    async def _run_shared(self, shared_read: SharedRead[T], read: Read[T]) -> T:
        try:
            await self._lock.acquire(is_short=shared_read.is_short)
        except asyncio.CancelledError:
            if shared_read.redirected is None:
                raise
            raise shared_read.redirected from None
        finally:
            del self._waiting[shared_read.resource]
            shared_read.started.set()
        self._running[shared_read.resource] = shared_read
        self.started_reads += 1
        try:
            return await read(shared_read)
        finally:
            del self._running[shared_read.resource]
            self._lock.release()

    def redirect(self, route: tuple[str, ...], why: Exception) -> None:
        """
        End reads that wait, because their readers are to ask elsewhere.

        Args:
            route: what the names of such reads end with.
            why: what their readers get.
        """
        for resource, shared_read in list(self._waiting.items()):
            if isinstance(resource, tuple) and resource[-len(route) :] == route:
                shared_read.redirected = why
                shared_read.task.cancel()

    async def let_short_reads_in(self) -> None:
        """Let short reads that wait run between two steps of the read under way."""
        await self._lock.lend()

    async def close(self) -> None:
        """End every read; readers who wait, or ask later, get ``ShuttingDownError``."""
        self._closed = True
        reads = [*self._waiting.values(), *self._running.values()]
        for shared_read in reads:
            shared_read.task.cancel()
        await asyncio.gather(*(shared_read.task for shared_read in reads), return_exceptions=True)


def retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve a task's exception, so that asyncio does not report one that no reader awaited."""
    if not task.cancelled():
        task.exception()
