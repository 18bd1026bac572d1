"""
The connection over one route: one session at a time, kept open a little while.

The rule: the task that runs an operation has ``Connection.lock``, and no operation runs twice, with
one exception: a link that died while it was idle is replaced, since nothing was read over it yet.
A command whose first byte may be out is never sent again, on any link.

A read, never a command, gets one second try without an error: on a fresh link, when the kept one is
silent (half-open: a network on the way forgot it); and after a wait, when the modem refuses a
caller shortly after we hung up, because it has one slot and frees it late.

A start-up costs two exchanges and, over a modem, seconds; a burst of requests shares one. A link
that stays open keeps every other program from the unit, so it is closed after ``keep_open_s``, or
sooner if another connection waits for a slot (``sfm.devices.session_limit``). Two names may lead to
one endpoint (``sfm.devices.endpoints``): of the two connections one is open at a time.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, TypeVar

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    DuplicateReplyError,
    LineSharedError,
    LinkClosedError,
    LinkError,
    ReplyTimeoutError,
)
from minimateplus.link import Address, Deadlines
from minimateplus.link.diagnosis import SLOT_TAKEN
from minimateplus.model import Progress
from sfm.devices.connection_lock import ConnectionLock
from sfm.devices.endpoints import Endpoints
from sfm.devices.session_limit import SessionLimit, SessionSlot

T = TypeVar("T")

Connect = Callable[[Address], Awaitable[MiniMate]]
"""Opens a link to a resolved address and a session on it, whose unit need not be awake yet."""
Resolve = Callable[[Address], Awaitable[Address]]
"""Looks an address up: what to connect to, if that is permitted."""

SLOT_FREE_S = 10.0
"""How long after we hung up a refusal may mean that our own slot is not free yet, s. [U: ours]"""
HANDOVER_S = 1.0
"""How long a link stays open for the unit that it turned out to lead to, s."""
FIRST_REPORT_S = 5.0
"""A wait that takes longer is reported to those who follow the progress, s."""
WAKE_POLLS = 2
"""How often a silent unit is asked before it counts as silent."""

NO_SESSION = "s waiting for a free session of the relay"
NO_LINK = "s without a connection"
NO_ANSWER = "s without an answer"
NO_ANSWER_YET = "s without an answer, trying again"
NO_LINE = "s until the next try: the modem may not have freed its line yet"
NO_ENDPOINT = "s for another name of the same address, which is in use"
"""What is waited for, as the progress shows it."""

__all__ = ["Connect", "Connection", "ConnectionSession", "Named", "Resolve", "Usage", "as_it_is"]

log = structlog.get_logger(__name__)


async def as_it_is(address: Address) -> Address:
    """Return an address that needs no look-up."""
    return address


@dataclass(slots=True)
class Usage:
    """What sessions cost, counted for one unit."""

    exchanges: int = 0
    """Requests sent, start-ups included."""
    sessions: int = 0
    """Sessions opened."""

    def take(self, other: Usage) -> None:
        """Add what another has counted, which begins again."""
        self.exchanges += other.exchanges
        self.sessions += other.sessions
        other.exchanges = other.sessions = 0


class Named(NamedTuple):
    """The serial number that was the last thing read over a link."""

    unit: MiniMate
    exchanges: int
    """How many the session had had then."""
    serial: str
    began_mono: float
    """When it was asked for."""


class Connection:
    """
    Has at most one session over one route. Lives as long as its route; ``close`` hangs up.

    A task acquires ``lock`` for everything that must not be interrupted by another.

    Args:
        address: of the unit.
        connect: opens a link and a session on it.
        keep_open_s: how long an idle link stays open.
        session_limit: returns the slots that this connection takes one of.
        deadlines: of its sessions, for the progress.
        resolve: looks the address up, before each call.
        endpoints: what is connected to, of all connections.
    """

    def __init__(
        self,
        address: Address,
        connect: Connect,
        keep_open_s: float,
        session_limit: Callable[[], SessionLimit] | None = None,
        *,
        deadlines: Deadlines | None = None,
        resolve: Resolve = as_it_is,
        endpoints: Endpoints | None = None,
    ) -> None:
        self.address = address
        self.lock = ConnectionLock()
        self.usage = Usage()
        """What is counted of it; that of the unit which is read over it now."""
        self._counted = 0
        """How many exchanges of the present session are in ``usage``."""
        self.on_wait: Callable[[Progress], None] | None = None
        """Called with each step of a wait that is longer than usual."""
        self.check_endpoint: Callable[[Address], None] = lambda _: None
        """Called with what is about to be connected to, which is in no other use; may refuse it."""
        self.resolved: Address | None = None
        """What was connected to last, or is now."""
        self.named: Named | None = None
        """Of a link that was kept open for the unit that it turned out to lead to."""
        self._deadlines = deadlines or Deadlines()
        self._hung_up_mono = float("-inf")
        self._operations = 0
        self._depth = 0
        """Operations under way: a short one may run between two steps of a long one."""
        self._connect = connect
        self._resolve = resolve
        self._endpoints = endpoints or Endpoints(math.inf, time.monotonic)
        self._keep_open_s = keep_open_s
        alone = SessionLimit(sys.maxsize, math.inf, is_known=True, clock=time.monotonic)
        self._session_limit = session_limit or (lambda: alone)
        self._unit: MiniMate | None = None
        self._slots: tuple[SessionSlot, ...] = ()
        """Taken while a session is open: of the endpoint, and of all sessions."""
        self._hang_up_later: asyncio.TimerHandle | None = None
        self._hanging_up: set[asyncio.Task[None]] = set()

    def session(self, *, is_read: bool = False) -> ConnectionSession:
        """
        Return a session with the unit, to enter once for each attempt; see ``ConnectionSession``.

        Args:
            is_read: no command is sent in it: it gets the second try that the module describes.
        """
        return ConnectionSession(self, is_read=is_read)

    def _report(self, what: str, done_s: float, total_s: float) -> None:
        """Report how long something has been waited for, and when the wait ends."""
        if self.on_wait is not None:
            self.on_wait(Progress(what=what, done=round(done_s), total=round(total_s)))

    @contextmanager
    def _waiting(
        self, what: str, limit_s: float, since_mono: float | None = None
    ) -> Iterator[None]:
        """Report the wait in the block once it is long: since when, and its end in ``limit_s``."""
        loop = asyncio.get_running_loop()
        began = loop.time() if since_mono is None else since_mono
        ends = loop.time() + limit_s
        due = max(loop.time(), began + FIRST_REPORT_S)
        timer = loop.call_at(due, lambda: self._report(what, loop.time() - began, ends - began))
        try:
            yield
        finally:
            timer.cancel()

    def _report_silence(self, kept: MiniMate, answers: int, is_read: bool) -> None:
        """Report that the unit has not answered yet on the link that was kept open."""
        if kept.answers != answers:
            return
        # A read that is alone in its session is tried once more, on a fresh link.
        is_tried_again, reply_s = is_read and self._depth == 1, self._deadlines.reply_s
        what = NO_ANSWER_YET if is_tried_again else NO_ANSWER
        total_s = reply_s * (1 + WAKE_POLLS if is_tried_again else 1)
        self._report(what, FIRST_REPORT_S, total_s)

    async def _connected(self, may_try_again: bool, silent_since_mono: float | None) -> MiniMate:
        """Open a session; once more if the modem may not have freed our last slot yet."""
        loop = asyncio.get_running_loop()
        try:
            return await self._open(silent_since_mono=silent_since_mono)
        except LinkError as error:
            wait_s = self._hung_up_mono + SLOT_FREE_S - loop.time()
            if not may_try_again or error.diagnosis not in SLOT_TAKEN or wait_s <= 0:
                raise
            log.info("refused_after_hang_up", address=str(self.address), wait_s=round(wait_s, 1))
        self._report(NO_LINE, 0, wait_s)
        await asyncio.sleep(wait_s)
        return await self._open()

    async def run_without_wake(self, operation: Callable[[MiniMate], Awaitable[T]]) -> T:
        """
        Run ``operation`` on a fresh link with a unit that was not woken, and hang up at once.

        The caller has ``lock``. For a unit that is too busy to answer.
        """
        await self.hang_up()
        unit = await self._open(wake=False)
        self._counted = 0
        try:
            return await operation(unit)
        finally:
            self._count(unit)
            await self._close(unit)

    async def _open(self, *, wake: bool = True, silent_since_mono: float | None = None) -> MiniMate:
        """
        Open a session, as soon as its endpoint is free and there is a slot for it.

        Args:
            wake: wait until the unit answers.
            silent_since_mono: since when it has been asked without an answer; ``None``: since now.
        """
        with self._waiting(NO_LINK, self._deadlines.connect_s):
            resolved = await self._resolve(self.address)
        slots: list[SessionSlot] = []
        try:
            # The endpoint first: who has a slot of all sessions never waits for another's.
            with self._waiting(NO_ENDPOINT, self._endpoints.queue_s):
                slots.append(await self._endpoints.enter(resolved))
            self.resolved = resolved
            self.check_endpoint(resolved)
            limit = self._session_limit()
            with self._waiting(NO_SESSION, limit.queue_s):
                slots.append(await limit.enter())
            with self._waiting(NO_LINK, self._deadlines.connect_s):
                unit = await self._connect(resolved)
            if wake:
                await self._wake(unit, silent_since_mono)
        except BaseException:
            for slot in slots:
                slot.leave()
            raise
        self._slots = tuple(slots)
        self.usage.sessions += 1
        return unit

    async def _wake(self, unit: MiniMate, silent_since_mono: float | None) -> None:
        """Wait until the unit answers; close its session if it does not."""
        limit_s = WAKE_POLLS * self._deadlines.reply_s
        try:
            with self._waiting(NO_ANSWER_YET, limit_s, silent_since_mono):
                await unit.wake()
        except BaseException:
            await unit.close()
            raise

    async def _close(self, unit: MiniMate) -> None:
        """Close a session, then give its slot to the next connection."""
        slots, self._slots, self.named = self._slots, (), None
        try:
            await unit.close()
        finally:
            self._hung_up_mono = asyncio.get_running_loop().time()
            for slot in slots:
                slot.leave()

    async def _end_operation(self, unit: MiniMate) -> None:
        """Count what was asked; keep the link open for a while, or close it."""
        self._depth -= 1
        self._count(unit)
        if self._depth:
            return  # the long operation continues, or finds the session closed
        # For the unit that turned out to answer, which is read over it now: not idle.
        is_handed_over = self.named is not None and self.named.unit is unit
        keep_open_s = HANDOVER_S if is_handed_over else self._keep_open_s
        if unit.is_usable and keep_open_s > 0 and (is_handed_over or self._may_keep()):
            self._operations += 1
            if self._hang_up_later is not None:
                self._hang_up_later.cancel()
            loop = asyncio.get_running_loop()
            self._hang_up_later = loop.call_later(keep_open_s, self._start_hanging_up)
        else:
            self._unit = None
            await self._close(unit)

    def _may_keep(self) -> bool:
        """Return whether no other connection waits for this one's slot."""
        stay = [slot.idle(self._start_hanging_up) for slot in self._slots]
        return bool(stay) and all(stay)

    def _count(self, unit: MiniMate) -> None:
        """Add what was asked in this session since the last count to what it has cost."""
        self.usage.exchanges += unit.exchanges - self._counted
        self._counted = unit.exchanges

    def _start_hanging_up(self) -> None:
        ending = asyncio.create_task(self._hang_up_if_idle(self._operations))
        self._hanging_up.add(ending)
        ending.add_done_callback(self._hanging_up.discard)

    async def _hang_up_if_idle(self, operations: int) -> None:
        async with self.lock:
            if self._operations == operations:
                await self.hang_up()

    @property
    def is_known(self) -> bool:
        """Whether a unit has answered at the address, or it is registered."""
        return self._session_limit().is_known

    @property
    def is_connected(self) -> bool:
        """Whether a session is open."""
        return self._unit is not None

    async def hang_up(self) -> None:
        """Close the session that was kept open, if one was. The caller has ``lock``."""
        unit, self._unit = self._unit, None
        if unit is not None:
            await self._close(unit)

    async def close(self) -> None:
        """Hang up at once. No operation may be under way."""
        if self._hang_up_later is not None:
            self._hang_up_later.cancel()
        while self._hanging_up:
            await asyncio.wait(self._hanging_up)
        await self.hang_up()


class ConnectionSession:
    """
    One operation on a connection, whose caller has the lock. May be entered again, as here:

        session = connection.session(is_read=True)
        while True:
            async with session as unit:
                return await unit.read_serial()

    A link that was kept open may have died unnoticed, or another program may have used it while it
    was idle. If it ends before the unit has answered anything, nothing was read yet: then, and only
    then, the block ends without its error, and the loop runs it once more, on a fresh link.
    """

    def __init__(self, connection: Connection, *, is_read: bool) -> None:
        self._connection = connection
        self._is_read = is_read
        self._is_second = False
        """Whether this is the second try after a silent link."""
        self._unit: MiniMate | None = None
        self._kept: MiniMate | None = None
        """The unit on a link that was kept open, if there was one."""
        self._answers: int | None = None
        """How much it had answered when the block began."""
        self._began_mono = 0.0
        """When the block began on that link."""
        self._silent_since_mono: float | None = None
        """When the first try was begun, if it had no answer."""
        self._silence: asyncio.TimerHandle | None = None
        """Reports a silent link that was kept open."""

    async def __aenter__(self) -> MiniMate:
        """
        Return the unit, on the link that was kept open or on a fresh one.

        Raises:
            MiniMateError: the unit cannot be reached.
            BusyError: no slot was free within the queue time.
        """
        connection = self._connection
        connection._operations += 1
        if connection._hang_up_later is not None:
            connection._hang_up_later.cancel()
        kept = self._kept = connection._unit
        self._answers = None if kept is None else kept.answers
        if kept is not None:
            for slot in connection._slots:
                slot.used()
            unit = kept
            loop = asyncio.get_running_loop()
            self._began_mono = loop.time()
            self._silence = loop.call_later(
                FIRST_REPORT_S,
                connection._report_silence,
                kept,
                kept.answers,
                self._is_read and not self._is_second,
            )
        else:
            may_try_again = self._is_read and not self._is_second
            unit = await connection._connected(may_try_again, self._silent_since_mono)
            connection._unit, connection._counted = unit, 0
        connection._count(unit)
        connection._depth += 1
        self._unit = unit
        return unit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Return whether the block is to run once more."""
        assert self._unit is not None
        if self._silence is not None:
            self._silence.cancel()
        await self._connection._end_operation(self._unit)
        if error is None or not self._may_run_again(error):
            return False
        await self._connection.hang_up()
        return True

    def _may_run_again(self, error: BaseException) -> bool:
        kept = self._kept
        if kept is None or kept.answers != self._answers or self._connection._depth:
            return False  # something was read, or it is the session of a long read
        if isinstance(error, LinkClosedError | DuplicateReplyError | LineSharedError):
            return True  # (a command that was out makes it another error: outcome unknown)
        if not (self._is_read and isinstance(error, ReplyTimeoutError)):
            return False
        log.info("half_open_link_replaced", address=str(self._connection.address))
        self._is_second, self._silent_since_mono = True, self._began_mono
        return True
