"""
How many sessions with units may be open at once, and which connection is next when all are.

The rule: no session is refused because of idle connections that are only kept open. A connection
takes a free slot; if there is none, the connection that has been idle longest is closed; if none
is idle, it waits, first come, first served, for a bounded time, among a bounded number. While one
waits, others close after each read instead of staying open, so that units with many readers do not
keep the rest out.

Addresses where no unit has ever answered, and that are not registered, have a few slots of their
own: however many silent addresses are asked, units are read as before.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable

from sfm.devices.single_flight import RETRY_AFTER_S, BusyError

__all__ = ["SessionLimit", "SessionSlot"]

MAX_WAITING = 1000
"""Connections that may wait for a slot at once; each is one unit, however many read it."""


class SessionSlot:
    """One open session. Lives from ``SessionLimit.enter`` to ``leave``."""

    def __init__(self, sessions: SessionLimit) -> None:
        self._session_limit = sessions

    def idle(self, hang_up: Callable[[], None]) -> bool:
        """
        Note that the connection is idle; return whether it may stay open.

        Args:
            hang_up: begins to close it, unless it is used again meanwhile; ``leave`` or ``idle``
                follows in either case.
        """
        return self._session_limit._idle(self, hang_up)

    def used(self) -> None:
        """Note that the connection is used again."""
        self._session_limit._used(self)

    def leave(self) -> None:
        """Give the slot to the next waiter. May be called twice."""
        self._session_limit._leave(self)


class SessionLimit:
    """
    The slots for sessions of one class. Lives as long as the gateway.

    Args:
        limit: how many may be open at once.
        queue_s: how long a connection waits for a slot.
        is_known: whether they are with units; else with addresses where none has answered yet.
        clock: monotonic seconds, for ``longest_wait_s``.
        what: names all slots in messages.
    """

    def __init__(
        self,
        limit: int,
        queue_s: float,
        *,
        is_known: bool,
        clock: Callable[[], float],
        what: str = "",
    ) -> None:
        units = "units" if is_known else "addresses where no unit has answered yet"
        self._what = what or f"the relay has sessions with {limit} {units} at once"
        self.limit = limit
        self.is_known = is_known
        self.longest_wait_s = 0.0
        """The longest that a connection has waited for its slot so far."""
        self.queue_s = queue_s
        self._clock = clock
        self._open: set[SessionSlot] = set()
        self._idling: OrderedDict[SessionSlot, Callable[[], None]] = OrderedDict()
        """Idle connections, the one that has been idle longest first."""
        self._waiting: deque[asyncio.Future[SessionSlot]] = deque()

    @property
    def open(self) -> int:
        """Sessions that are open, or being opened."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Connections that wait for a slot."""
        return len(self._waiting)

    async def enter(self) -> SessionSlot:
        """
        Return a slot for one session; the caller calls ``leave`` on every path.

        Raises:
            BusyError: too many wait already, or none was free within the queue time.
        """
        if len(self._open) < self.limit and not self._waiting:
            return self._new()
        if len(self._waiting) >= MAX_WAITING:
            raise self._busy(f"{len(self._waiting)} others wait for their turn")
        began = self._clock()
        turn: asyncio.Future[SessionSlot] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hang_up_one()
        try:
            async with asyncio.timeout(self.queue_s if math.isfinite(self.queue_s) else None):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                turn.result().leave()  # it came while the connection gave up
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._busy(f"no turn came within {self.queue_s:g} s") from None
            raise
        finally:
            self.longest_wait_s = max(self.longest_wait_s, self._clock() - began)
        return turn.result()

    def _busy(self, why: str) -> BusyError:
        return BusyError(
            f"{self._what}, and {why}; ask again in {RETRY_AFTER_S:g} s", RETRY_AFTER_S
        )

    def _new(self) -> SessionSlot:
        slot = SessionSlot(self)
        self._open.add(slot)
        return slot

    def _hang_up_one(self) -> None:
        if self._idling:
            _, hang_up = self._idling.popitem(last=False)
            hang_up()

    def _idle(self, slot: SessionSlot, hang_up: Callable[[], None]) -> bool:
        if self._waiting:
            return False
        self._idling[slot] = hang_up
        return True

    def _used(self, slot: SessionSlot) -> None:
        self._idling.pop(slot, None)

    def _leave(self, slot: SessionSlot) -> None:
        if slot not in self._open:
            return
        self._open.remove(slot)
        self._idling.pop(slot, None)
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._new())
                break
