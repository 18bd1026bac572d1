"""The lock of a unit's line: fair, and its holder can lend it to short reads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

__all__ = ["ConnectionLock"]


@dataclass(eq=False, slots=True)
class _Waiter:
    """One who waits for the line."""

    turn: asyncio.Future[None]
    is_short: bool


class ConnectionLock:
    """
    A fair lock that its holder can lend: between two steps of a long read, short reads go in.

    Whoever acquires it holds it alone. Waiters get it in the order in which they came. While it is
    lent only short ones get it, and only those that waited when it was lent; then it returns to its
    holder.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._waiters: list[_Waiter] = []
        self._lender: asyncio.Future[None] | None = None
        self._lent_to: list[_Waiter] = []

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._is_held

    async def acquire(self, *, is_short: bool = False) -> None:
        """Wait for the lock; ``is_short``: also where its holder lends it."""
        if not self._is_held:
            self._is_held = True
            return
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_short)
        self._waiters.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.turn.cancelled():
                self.release()  # it was ours already
            raise

    def release(self) -> None:
        """Give the lock to the next."""
        if not self._is_held:
            raise RuntimeError("released a line that nobody holds")
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
        self._is_held = False

    async def lend(self) -> None:
        """Let the short ones in that wait now, one after another. The caller holds the lock."""
        short = [waiter for waiter in self._waiters if waiter.is_short]
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
                is_cancelled = True  # the lock is not ours to leave before it has come back
        if is_cancelled:
            raise asyncio.CancelledError

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()
