"""
The line to one unit: one conversation at a time, kept open a little while.

The rule: whoever talks holds ``Connection.lock``, and nothing is said twice, with one exception: a
line that died while nobody used it is replaced, since nothing was read over it yet. A command whose
first byte may be out is never said again, on whatever line.

A read, never a command, gets one second try without an error: on a fresh link, when the kept one is
silent (half-open: a network on the way forgot it); and after a wait, when the modem refuses a
caller shortly after we hung up, because it has one slot and frees it late.

A start-up costs two exchanges and, over a modem, seconds; a burst of requests shares one. A line
kept open longer would keep everybody else from the unit, so it is hung up after ``keep_open_s``, or
sooner if another line waits for a place (``sfm.devices.session_limit``).
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    DuplicateReplyError,
    LineSharedError,
    LinkClosedError,
    LinkError,
    ReplyTimeoutError,
)
from minimateplus.link import Address
from minimateplus.link.diagnosis import SLOT_TAKEN
from minimateplus.model import Progress
from sfm.devices.connection_lock import ConnectionLock
from sfm.devices.session_limit import SessionLimit, SessionSlot

T = TypeVar("T")

Connect = Callable[[Address], Awaitable[MiniMate]]
"""Opens a conversation with the unit at an address."""

SLOT_FREE_S = 10.0
"""How long after we hung up a refusal may mean that our own slot is not free yet, s. [U: ours]"""
FIRST_REPORT_S = 5.0
"""After so long without an answer, whoever follows the progress learns of it, s."""

log = structlog.get_logger(__name__)


class Connection:
    """
    Owns at most one conversation with one unit. Lives as long as its owner; ``close`` hangs up.

    ``lock`` is held by whoever talks, for the whole of what belongs together.
    """

    def __init__(
        self,
        address: Address,
        connect: Connect,
        keep_open_s: float,
        connect_without_wake: Connect | None = None,
        sessions: Callable[[], SessionLimit] | None = None,
        *,
        silent_limit_s: float = 20.0,
    ) -> None:
        self.address = address
        self.lock = ConnectionLock()
        self.exchanges = 0
        """Requests sent over this line, start-ups included."""
        self.sessions = 0
        """Start-ups."""
        self._counted = 0
        """How many exchanges of the present conversation are in ``exchanges``."""
        self.on_wait: Callable[[Progress], None] | None = None
        """Is given each step of a wait for a unit that does not answer yet."""
        self._silent_limit_s = silent_limit_s
        self._hung_up_mono = float("-inf")
        self._operations = 0
        self._depth = 0
        """Talks under way: a short one may go in between two steps of a long one."""
        self._connect = connect
        self._connect_without_wake = connect_without_wake or connect
        self._keep_open_s = keep_open_s
        alone = SessionLimit(sys.maxsize, math.inf, is_known=True, clock=time.monotonic)
        self._session_limit = sessions or (lambda: alone)
        self._unit: MiniMate | None = None
        self._place: SessionSlot | None = None
        """Held while a conversation is open."""
        self._hang_up_later: asyncio.TimerHandle | None = None
        self._hanging_up: set[asyncio.Task[None]] = set()

    async def run(
        self, operation: Callable[[MiniMate], Awaitable[T]], *, is_read: bool = False
    ) -> T:
        """
        Return what ``say`` brings from the unit. The caller holds ``lock``.

        A line that was kept open may have died unnoticed, or another program may have used it while
        it was idle. If it ends before the unit has answered anything, nothing was read yet: then,
        and only then, ``say`` is said once more on a fresh line. Not so where a command had gone
        out. With ``is_read``, ``say`` sends no command, and gets the second try that the module
        describes.
        """
        self._operations += 1
        if self._hang_up_later is not None:
            self._hang_up_later.cancel()
        kept = self._unit
        answers = None if kept is None else kept.answers
        silence = asyncio.get_running_loop().call_later(
            FIRST_REPORT_S, self._report_silence, kept, answers
        )
        is_second = False
        try:
            if kept is not None:
                if self._place is not None:
                    self._place.used()
                try:
                    return await self._run_on(kept, operation)
                except (LinkClosedError, DuplicateReplyError, LineSharedError):
                    # (A command that was out makes it another error: its outcome is unknown.)
                    if kept.answers != answers or self._depth:
                        raise  # something was read, or it is the session of a long read
                except ReplyTimeoutError:
                    if not is_read or kept.answers != answers or self._depth:
                        raise
                    log.info("half_open_link_replaced", address=str(self.address))
                    is_second = True
            unit = await self._connected(is_read and not is_second)
        finally:
            silence.cancel()
        self._unit = unit
        self._counted = 0
        return await self._run_on(unit, operation)

    def _report_silence(self, kept: MiniMate | None, answers: int | None) -> None:
        """Let who follows know that nothing was answered yet, and how long it may take."""
        is_silent = kept is None or kept.answers == answers
        if is_silent and self.on_wait is not None:
            what = "s without an answer, trying again"
            done, total = round(FIRST_REPORT_S), round(self._silent_limit_s)
            self.on_wait(Progress(what=what, done=done, total=total))

    async def _connected(self, may_try_again: bool) -> MiniMate:
        """Open a conversation; once more if the modem may not have freed our last slot yet."""
        loop = asyncio.get_running_loop()
        try:
            return await self._open(self._connect)
        except LinkError as error:
            wait_s = self._hung_up_mono + SLOT_FREE_S - loop.time()
            if not may_try_again or error.diagnosis not in SLOT_TAKEN or wait_s <= 0:
                raise
            log.info("refused_after_hang_up", address=str(self.address), wait_s=round(wait_s, 1))
        if self.on_wait is not None:
            what = "s until the next try: the modem may not have freed its line yet"
            self.on_wait(Progress(what=what, done=0, total=round(wait_s)))
        await asyncio.sleep(wait_s)
        return await self._open(self._connect)

    async def run_without_wake(self, operation: Callable[[MiniMate], Awaitable[T]]) -> T:
        """
        Let ``say`` speak on a fresh line to a unit that was not woken, and hang up at once.

        The caller holds ``lock``. For a unit that is too busy to answer.
        """
        await self.hang_up()
        unit = await self._open(self._connect_without_wake)
        try:
            return await operation(unit)
        finally:
            self.exchanges += unit.exchanges
            await self._close(unit)

    async def _open(self, connect: Connect) -> MiniMate:
        """Open a conversation, as soon as there is a place for it."""
        place = await self._session_limit().enter()
        try:
            unit = await connect(self.address)
        except BaseException:
            place.leave()
            raise
        self._place = place
        self.sessions += 1
        return unit

    async def _close(self, unit: MiniMate) -> None:
        """Close a conversation, then give its place to the next line."""
        place, self._place = self._place, None
        try:
            await unit.close()
        finally:
            self._hung_up_mono = asyncio.get_running_loop().time()
            if place is not None:
                place.leave()

    async def _run_on(self, unit: MiniMate, operation: Callable[[MiniMate], Awaitable[T]]) -> T:
        self._count(unit)
        self._depth += 1
        try:
            return await operation(unit)
        finally:
            self._depth -= 1
            self._count(unit)
            if self._depth:
                pass  # whoever let this one in goes on, or finds that the conversation is over
            elif unit.is_usable and self._keep_open_s > 0 and self._may_keep():
                self._operations += 1
                if self._hang_up_later is not None:
                    self._hang_up_later.cancel()
                loop = asyncio.get_running_loop()
                self._hang_up_later = loop.call_later(self._keep_open_s, self._start_hanging_up)
            else:
                self._unit = None
                await self._close(unit)

    def _may_keep(self) -> bool:
        """Whether no other line waits for the place of this one."""
        return self._place is not None and self._place.idle(self._start_hanging_up)

    def _count(self, unit: MiniMate) -> None:
        """Add to the line's exchanges what was asked in this conversation since the last count."""
        self.exchanges += unit.exchanges - self._counted
        self._counted = unit.exchanges

    def _start_hanging_up(self) -> None:
        ending = asyncio.create_task(self._hang_up_if_idle(self._operations))
        self._hanging_up.add(ending)
        ending.add_done_callback(self._hanging_up.discard)

    async def _hang_up_if_idle(self, talks: int) -> None:
        async with self.lock:
            if self._operations == talks:
                await self.hang_up()

    @property
    def is_known(self) -> bool:
        """Whether a unit has answered at the address, or the settings name it."""
        return self._session_limit().is_known

    @property
    def is_connected(self) -> bool:
        """Whether a conversation is open."""
        return self._unit is not None

    async def hang_up(self) -> None:
        """End the conversation that is kept, if one is. The caller holds ``lock``."""
        unit, self._unit = self._unit, None
        if unit is not None:
            await self._close(unit)

    async def close(self) -> None:
        """Hang up at once. Nobody may be talking."""
        if self._hang_up_later is not None:
            self._hang_up_later.cancel()
        while self._hanging_up:
            await asyncio.wait(self._hanging_up)
        await self.hang_up()
