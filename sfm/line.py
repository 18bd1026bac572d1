"""
The line to one unit: one conversation at a time, kept open a little while.

The rule: whoever talks holds ``Line.lock``, and nothing is said twice, with one exception: a line
that died while nobody used it is replaced, since nothing was read over it yet. A command whose
first byte may be out is never said again, on whatever line.

A start-up costs two exchanges and, over a modem, seconds; a burst of requests shares one. A line
kept open longer would keep everybody else from the unit, so it is hung up after ``keep_open_s``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from minimateplus.client import MiniMate
from minimateplus.errors import DuplicateReplyError, LineSharedError, LinkClosedError
from minimateplus.link import Address
from sfm.line_lock import LineLock

T = TypeVar("T")

Connect = Callable[[Address], Awaitable[MiniMate]]
"""Opens a conversation with the unit at an address."""


class Line:
    """
    Owns at most one conversation with one unit. Lives as long as its owner; ``close`` hangs up.

    ``lock`` is held by whoever talks, for the whole of what belongs together.
    """

    def __init__(
        self,
        address: Address,
        connect: Connect,
        keep_open_s: float,
        connect_unheard: Connect | None = None,
    ) -> None:
        self.address = address
        self.lock = LineLock()
        self.exchanges = 0
        """Requests sent over this line, start-ups included."""
        self.conversations = 0
        """Start-ups."""
        self._counted = 0
        """How many exchanges of the present conversation are in ``exchanges``."""
        self._talks = 0
        self._depth = 0
        """Talks under way: a short one may go in between two steps of a long one."""
        self._connect = connect
        self._connect_unheard = connect_unheard or connect
        self._keep_open_s = keep_open_s
        self._unit: MiniMate | None = None
        self._hang_up_later: asyncio.TimerHandle | None = None
        self._hanging_up: asyncio.Task[None] | None = None

    async def talk(self, say: Callable[[MiniMate], Awaitable[T]]) -> T:
        """
        Return what ``say`` brings from the unit. The caller holds ``lock``.

        A line that was kept open may have died unnoticed, or another program may have used it while
        it was idle. If it ends before the unit has answered anything, nothing was read yet: then,
        and only then, ``say`` is said once more on a fresh line. Not so where a command had gone
        out.
        """
        self._talks += 1
        if self._hang_up_later is not None:
            self._hang_up_later.cancel()
        kept = self._unit
        if kept is not None:
            answers = kept.answers
            try:
                return await self._say(kept, say)
            except (LinkClosedError, DuplicateReplyError, LineSharedError):
                # (A command that was out makes it another error: its outcome is unknown.)
                if kept.answers != answers or self._depth:
                    raise  # something was read, or it is the conversation of a long read
        unit = await self._connect(self.address)
        self._unit = unit
        self.conversations += 1
        self._counted = 0
        return await self._say(unit, say)

    async def talk_unheard(self, say: Callable[[MiniMate], Awaitable[T]]) -> T:
        """
        Let ``say`` speak on a fresh line to a unit that was not woken, and hang up at once.

        The caller holds ``lock``. For a unit that is too busy to answer.
        """
        await self.hang_up()
        unit = await self._connect_unheard(self.address)
        self.conversations += 1
        try:
            return await say(unit)
        finally:
            self.exchanges += unit.exchanges
            await unit.close()

    async def _say(self, unit: MiniMate, say: Callable[[MiniMate], Awaitable[T]]) -> T:
        self._count(unit)
        self._depth += 1
        try:
            return await say(unit)
        finally:
            self._depth -= 1
            self._count(unit)
            if self._depth:
                pass  # whoever let this one in goes on, or finds that the conversation is over
            elif unit.is_usable and self._keep_open_s > 0:
                self._talks += 1
                if self._hang_up_later is not None:
                    self._hang_up_later.cancel()
                loop = asyncio.get_running_loop()
                self._hang_up_later = loop.call_later(self._keep_open_s, self._start_hanging_up)
            else:
                self._unit = None
                await unit.close()

    def _count(self, unit: MiniMate) -> None:
        """Add to the line's exchanges what was asked in this conversation since the last count."""
        self.exchanges += unit.exchanges - self._counted
        self._counted = unit.exchanges

    def _start_hanging_up(self) -> None:
        self._hanging_up = asyncio.create_task(self._hang_up_if_idle(self._talks))

    async def _hang_up_if_idle(self, talks: int) -> None:
        async with self.lock:
            if self._talks == talks:
                await self.hang_up()

    @property
    def is_connected(self) -> bool:
        """Whether a conversation is open."""
        return self._unit is not None

    async def hang_up(self) -> None:
        """End the conversation that is kept, if one is. The caller holds ``lock``."""
        unit, self._unit = self._unit, None
        if unit is not None:
            await unit.close()

    async def close(self) -> None:
        """Hang up at once. Nobody may be talking."""
        if self._hang_up_later is not None:
            self._hang_up_later.cancel()
        if self._hanging_up is not None:
            await self._hanging_up
        await self.hang_up()
