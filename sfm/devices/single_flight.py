"""
Flights: many readers, one read.

The rule: a reader boards the next departure, never one that has already left. Readers who ask for
the same thing while it waits for the line share one flight, its answer and its failure alike;
nobody reads again on his own because a flight failed. A reader who goes away changes nothing for
the others, and the read, once begun, is finished.

A flight departs when it gets the line; until then a forced reader may board as well, which makes
the flight a forced one. Its doors may open again on the way: a long read that proves at its end
that the unit's memory is still what was read can take unforced readers up to that proof
(``SharedRead.doors``), since what they get is then proven after they asked. Forced readers never
board on the way.

A long read stops between two steps (``let_short_reads_in``) for short ones that wait: a person's
look at the status waits for one event of a walk or one chunk of a download, not for the whole of
it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from minimateplus.model import Progress
from sfm.devices.connection_lock import ConnectionLock

T = TypeVar("T")

RETRY_AFTER_S = 5.0
"""When a reader who was turned away may ask again."""


class ShuttingDownError(Exception):
    """The relay is shutting down; the read was ended."""


class BusyError(Exception):
    """More readers wait for the device than may, or one has waited for longer than he must."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def joins_closed() -> bool:
    """Nobody may board."""
    return False


@dataclass(eq=False)
class SharedRead(Generic[T]):
    """One read of one thing, and who waits for it. Lives until the read has ended."""

    resource: Hashable
    forced: bool = False
    """Whether somebody aboard wants the device asked whatever the cache holds."""
    max_age_s: float = math.inf
    """The greatest age that everybody aboard will take."""
    is_short: bool = False
    """Whether it may go in between two steps of a long read."""
    readers: int = 0
    can_join_late: Callable[[], bool] = joins_closed
    """Asked at each boarding: may unforced readers board although the flight has left?"""
    progress: Progress | None = None
    notify: Callable[[Progress], None] | None = None
    """Told of each progress."""
    left: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when it departs, or will never."""
    task: asyncio.Task[T] = field(init=False, repr=False)

    def report(self, step: Progress) -> None:
        """Note how far the read is, for those who wait for it."""
        self.progress = step
        if self.notify is not None:
            self.notify(step)


Read = Callable[[SharedRead[T]], Awaitable[T]]


class SingleFlight:
    """
    The flights of one device. Lives as long as its device's owner; ``close`` ends its reads.

    Args:
        line: held while a flight is under way; one conversation at a time.
        max_readers: who may be aboard at once, waiting or under way; one more is turned away.
        queue_s: how long a reader waits for a departure.
    """

    def __init__(
        self, lock: ConnectionLock, *, max_readers: int = 5000, queue_s: float = 300.0
    ) -> None:
        self._lock = lock
        self._max_readers = max_readers
        self._queue_s = queue_s
        self._waiting: dict[Hashable, SharedRead[Any]] = {}
        self._flying: dict[Hashable, SharedRead[Any]] = {}
        self._closed = False
        self.started_reads = 0
        """Flights that got the line."""
        self.joined = 0
        """Readers who shared another's flight."""
        self.readers = 0
        """Readers aboard now."""
        self.rejected_readers = 0
        """Readers who were told that the device is busy."""

    @property
    def is_idle(self) -> bool:
        """Whether no flight waits or is under way."""
        return not (self._waiting or self._flying)

    def is_waiting(self, resource: Hashable) -> bool:
        """Whether a flight for that thing waits for the line, so that anybody may board."""
        return resource in self._waiting

    @property
    def waiting_readers(self) -> int:
        """Readers aboard flights that have not left."""
        return sum(shared_read.readers for shared_read in self._waiting.values())

    @property
    def progress(self) -> dict[Hashable, Progress]:
        """How far each long read under way is."""
        flying = self._flying.items()
        return {
            resource: shared_read.progress
            for resource, shared_read in flying
            if shared_read.progress is not None
        }

    async def ask(
        self,
        resource: Hashable,
        read: Read[T],
        *,
        forced: bool = False,
        max_age_s: float = math.inf,
        is_short: bool = False,
    ) -> tuple[T, bool]:
        """
        Return what a flight for ``resource`` brings, and whether it was another reader's.

        ``is_short``: a read of a few exchanges, which may go in between two steps of a long one.

        Raises:
            ShuttingDownError: the relay shuts down, or did so meanwhile.
            BusyError: too many readers, or no departure within the queue time.
            Exception: what ``read`` raised, the same for everybody aboard.
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
        shared_read.readers += 1
        self.readers += 1
        try:
            await self._wait_for_turn(shared_read)
            # A cancelled reader ends his own waiting, not the flight.
            await asyncio.wait([shared_read.task])
        finally:
            shared_read.readers -= 1
            self.readers -= 1
        if shared_read.task.cancelled():
            raise ShuttingDownError("the relay is shutting down")
        return shared_read.task.result(), joined

    async def _wait_for_turn(self, shared_read: SharedRead[Any]) -> None:
        """Wait until ``shared_read`` departs, for as long as a reader must."""
        try:
            async with asyncio.timeout(self._queue_s):
                await shared_read.left.wait()
        except TimeoutError:
            self.rejected_readers += 1
            raise BusyError(
                f"waited {self._queue_s:g} s for the device's line; others use it", RETRY_AFTER_S
            ) from None

    def _joinable(self, resource: Hashable, forced: bool) -> SharedRead[Any] | None:
        if (waiting := self._waiting.get(resource)) is not None:
            return waiting
        flying = self._flying.get(resource)
        return flying if flying is not None and not forced and flying.can_join_late() else None

    async def _run_shared(self, shared_read: SharedRead[T], read: Read[T]) -> T:
        try:
            await self._lock.acquire(is_short=shared_read.is_short)
        finally:
            del self._waiting[shared_read.resource]
            shared_read.left.set()
        self._flying[shared_read.resource] = shared_read
        self.started_reads += 1
        try:
            return await read(shared_read)
        finally:
            del self._flying[shared_read.resource]
            self._lock.release()

    async def let_short_reads_in(self) -> None:
        """Let short reads that wait go in between two steps of the read under way."""
        await self._lock.lend()

    async def close(self) -> None:
        """End every read; whoever waits, or asks from now on, gets ``ShuttingDownError``."""
        self._closed = True
        flights = [*self._waiting.values(), *self._flying.values()]
        for shared_read in flights:
            shared_read.task.cancel()
        await asyncio.gather(*(shared_read.task for shared_read in flights), return_exceptions=True)


def retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Look at the outcome, so that a failure that nobody waited for is no complaint at exit."""
    if not task.cancelled():
        task.exception()
