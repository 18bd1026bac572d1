"""A unit's connection lock: fair, and its holder can lend it to short reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ConnectionLock"]


def never() -> bool:
    """Return False."""
    return False


@dataclass(eq=False, slots=True)
class _Waiter:
    """One task that waits for the lock."""

    turn: asyncio.Future[None]
    is_short: Callable[[], bool]


class ConnectionLock:
    """
    A fair lock that its holder can lend to short reads between two steps of a long one.

    One task has it at a time; waiters get it in the order in which they came. While it is lent,
    only short reads get it, and only those that waited when it was lent; then it returns to its
    lender.
    """

    def __init__(self) -> None:
        self._is_locked = False
        self._waiters: list[_Waiter] = []
        self._lender: asyncio.Future[None] | None = None
        self._lent_to: list[_Waiter] = []

    def locked(self) -> bool:
        """Return whether a task has it."""
        return self._is_locked

    async def acquire(self, *, is_short: Callable[[], bool] = never) -> None:
        """Wait for the lock; what ``is_short`` when it is lent also gets it then."""
        if not self._is_locked:
            self._is_locked = True
            return
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_short)
        self._waiters.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.turn.cancelled():
                self.release()  # it had just been given to this task
            raise

    def release(self) -> None:
        """Give the lock to the next waiter, or back to its lender."""
        if not self._is_locked:
            raise RuntimeError("the lock was released by a task that does not have it")
        for waiter in list(self._waiters):
            if self._lender is not None and waiter not in self._lent_to:
                continue
            self._waiters.remove(waiter)
            if not waiter.turn.done():
                waiter.turn.set_result(None)
                return
        lender, self._lender, self._lent_to = self._lender, None, []
        if lender is not None:
            lender.set_result(None)
            return
        self._is_locked = False

    async def lend(self) -> None:
        """Let the short reads that wait now go first, one by one. The caller has the lock."""
        short = [waiter for waiter in self._waiters if waiter.is_short()]
        if not short:
            return
        self._lender, self._lent_to = asyncio.get_running_loop().create_future(), short
        returned = self._lender
        self.release()
        is_cancelled = False
        while not returned.done():
            try:
                await asyncio.wait([returned])
            except asyncio.CancelledError:
                is_cancelled = True  # the lock must come back before this task may end
        if is_cancelled:
            raise asyncio.CancelledError

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()
