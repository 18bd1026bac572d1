"""
An event loop whose time is virtual: it never waits, it steps to the next thing that is due.

``run(main())`` runs a coroutine to its end. When nothing is ready and nothing is due, nobody could
ever wake the loop again, and it says so instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DeadlockError(Exception):
    """Everybody waits, nothing is due."""


class _NoWaiting(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout == 0:
            return []  # something is ready in memory; what other threads made so is seen with it
        ready: list[Any] = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise DeadlockError("nothing is ready and nothing is due")
        self.loop.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at ``now_s``; everything in memory, nothing over sockets."""

    def __init__(self, now_s: float = 1000.0) -> None:
        selector = _NoWaiting()
        selector.loop = self
        super().__init__(selector)
        self.now_s = now_s

    def time(self) -> float:
        return self.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in virtual time; return what it returns."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let an asynchronous test run in virtual time, with its own fixtures and parameters."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return wrapped


def now_s() -> float:
    """Return the running loop's time: give this as the clock to whatever takes one."""
    return asyncio.get_running_loop().time()
