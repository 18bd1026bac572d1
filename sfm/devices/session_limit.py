"""
How many conversations with units may be open at once, and who is next when all are.

The rule: nobody is refused because of lines that are kept open and that nobody uses. A line that
wants to be opened takes a free place; if there is none, the line that has been idle longest is hung
up; if none is idle, it waits, first come, first served, for a bounded time, among a bounded number.
While one waits, others are hung up after each read instead of kept open, so that units with many
readers do not keep the rest out.

Addresses where no unit has ever answered, and that nobody registered, have few places of their own:
however many silent addresses are asked, units are read as before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from sfm.devices.single_flight import RETRY_AFTER_S, BusyError

__all__ = ["SessionLimit", "SessionSlot"]

MAX_WAITING = 1000
"""Lines that may wait for a place at once; each is one unit, however many read it."""


class SessionSlot:
    """One open conversation. Lives from ``SessionLimit.enter`` to ``leave``."""

    def __init__(self, sessions: SessionLimit) -> None:
        self._session_limit = sessions

    def idle(self, hang_up: Callable[[], None]) -> bool:
        """
        Note that nobody uses the line now; return whether it may be kept open.

        Args:
            hang_up: begins to hang it up, unless it is used again meanwhile; then ``leave`` or
                ``idle`` follows all the same.
        """
        return self._session_limit._idle(self, hang_up)

    def used(self) -> None:
        """Note that the line is used again."""
        self._session_limit._used(self)

    def leave(self) -> None:
        """Give the place to who is next. May be called twice."""
        self._session_limit._leave(self)


class SessionLimit:
    """
    The places for conversations of one kind. Lives as long as the gateway.

    Args:
        most: how many may be open at once.
        queue_s: how long a line waits for a place.
        is_known: whether they are with units; else with addresses where none has answered yet.
        clock: monotonic seconds, for ``longest_wait_s``.
    """

    def __init__(
        self, most: int, queue_s: float, *, is_known: bool, clock: Callable[[], float]
    ) -> None:
        self.most = most
        self.is_known = is_known
        self.longest_wait_s = 0.0
        """How long a line has waited for its place, the longest so far."""
        self._queue_s = queue_s
        self._clock = clock
        self._open: set[SessionSlot] = set()
        self._idling: OrderedDict[SessionSlot, Callable[[], None]] = OrderedDict()
        """Lines that nobody uses; the one idle longest stands first."""
        self._waiting: deque[asyncio.Future[SessionSlot]] = deque()

    @property
    def open(self) -> int:
        """Conversations that are open, or being opened."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Lines that wait for a place."""
        return len(self._waiting)

    async def enter(self) -> SessionSlot:
        """
        Return a place for one conversation; the caller calls ``leave`` on every path.

        Raises:
            BusyError: too many wait already, or none was free within the queue time.
        """
        if len(self._open) < self.most and not self._waiting:
            return self._new()
        if len(self._waiting) >= MAX_WAITING:
            raise self._busy(f"{len(self._waiting)} others wait for their turn")
        began = self._clock()
        turn: asyncio.Future[SessionSlot] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hang_up_one()
        try:
            async with asyncio.timeout(self._queue_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                turn.result().leave()  # it came while its line gave up
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._busy(f"no turn came within {self._queue_s:g} s") from None
            raise
        finally:
            self.longest_wait_s = max(self.longest_wait_s, self._clock() - began)
        return turn.result()

    def _busy(self, why: str) -> BusyError:
        what = "units" if self.is_known else "addresses where no unit has answered yet"
        return BusyError(
            f"the relay talks with {self.most} {what} at once, and {why}; ask again in "
            f"{RETRY_AFTER_S:g} s",
            RETRY_AFTER_S,
        )

    def _new(self) -> SessionSlot:
        place = SessionSlot(self)
        self._open.add(place)
        return place

    def _hang_up_one(self) -> None:
        if self._idling:
            _, hang_up = self._idling.popitem(last=False)
            hang_up()

    def _idle(self, place: SessionSlot, hang_up: Callable[[], None]) -> bool:
        if self._waiting:
            return False
        self._idling[place] = hang_up
        return True

    def _used(self, place: SessionSlot) -> None:
        self._idling.pop(place, None)

    def _leave(self, place: SessionSlot) -> None:
        if place not in self._open:
            return
        self._open.remove(place)
        self._idling.pop(place, None)
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._new())
                break
