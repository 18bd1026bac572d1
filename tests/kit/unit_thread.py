"""A simulated unit on TCP from a thread of its own, for tests that are no coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from minimateplus.simulator import ServedTcp, SimulatedUnit, serve_tcp
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.simulator.serve import Pace

T = TypeVar("T")

PATIENCE_S = 60.0
"""A bound for a machine that is busy; nothing is judged by it."""


class UnitThread:
    """
    A unit that lives until ``close``. Its port stays the same over a lost link.

    Args:
        unit: who answers; touch it only by ``do``.
        pace: the line's speed; as fast as it goes if not given.
        wrap_link: wraps the unit's end of each link, to add faults.
    """

    def __init__(
        self, unit: SimulatedUnit, *, pace: Pace | None = None, wrap_link: LinkFactory = FaultyLink
    ) -> None:
        self.unit = unit
        self._pace, self._wrap_link = pace, wrap_link
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._served: ServedTcp | None = None
        self.port = 0
        self.plug_in()

    @property
    def key(self) -> str:
        """What the relay calls it."""
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address to give to a client."""
        return f"tcp://127.0.0.1:{self.port}"

    def plug_in(self) -> None:
        """Answer at the port, again after ``unplug``."""

        async def served() -> ServedTcp:
            return await serve_tcp(
                self.unit, port=self.port, pace=self._pace, wrap_link=self._wrap_link
            )

        self._served = asyncio.run_coroutine_threadsafe(served(), self._loop).result(PATIENCE_S)
        self.port = self._served.port

    def callers(self) -> int:
        """Return how many sessions were begun since it was plugged in."""
        return 0 if self._served is None else self._served.callers

    def unplug(self) -> None:
        """Hang up on everybody and refuse who calls. May be called twice."""
        served, self._served = self._served, None
        if served is not None:
            asyncio.run_coroutine_threadsafe(served.close(), self._loop).result(PATIENCE_S)

    def do(self, act: Callable[[], T]) -> T:
        """Touch the unit between two of its answers."""

        async def acted() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(acted(), self._loop).result(PATIENCE_S)

    def close(self) -> None:
        """Hang up and end the thread."""
        self.unplug()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()
