"""
``BlockingMiniMate``: the same operations for programs that do not use asyncio.

The session runs on an event loop in a thread of its own, so it works where a loop is running
already, as in a notebook. A method waits for its operation. Ctrl-C ends the wait, and with the
``with`` block the operation and the session, as after any failure.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from minimateplus.client.reads import MiniMate
from minimateplus.link import Deadlines, Link

__all__ = ["BlockingMiniMate"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _blocking(
    method: Callable[Concatenate[MiniMate, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[BlockingMiniMate, _P], _T]:
    """Return the method that runs ``method`` on the session's loop and waits for its result."""

    @wraps(method)
    def wait(self: BlockingMiniMate, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self._wait(method(self._unit, *args, **kwargs))

    return wait


class BlockingMiniMate:
    """
    One session with one unit, for one thread at a time. Make it with ``connect``.

    Methods take, return and raise what those of ``MiniMate`` do. Callbacks (``on_event`` and the
    like) are called from the session's thread.

    >>> def serial_of(address: str) -> str:
    ...     with BlockingMiniMate.connect(address) as unit:
    ...         return unit.read_info().serial
    """

    def __init__(self, unit: MiniMate, loop: asyncio.AbstractEventLoop) -> None:
        self._unit = unit
        self._loop = loop

    @classmethod
    @contextmanager
    def connect(
        cls, address: str | Link, *, deadlines: Deadlines | None = None
    ) -> Iterator[BlockingMiniMate]:
        """
        Open a link and wake the unit; close the link and the thread on every path.

        Args and errors are those of ``MiniMate.connect``.
        """
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="minimateplus", daemon=True)
        thread.start()
        try:
            unit = _result(loop, MiniMate.open(address, deadlines=deadlines))
            try:
                yield cls(unit, loop)
            finally:
                _result(loop, unit.close())
        finally:
            _result(loop, _end_others())
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _wait(self, operation: Coroutine[Any, Any, _T]) -> _T:
        return _result(self._loop, operation)

    @property
    def name(self) -> str:
        """The unit's address, as it stands in messages."""
        return self._unit.name

    read_serial = _blocking(MiniMate.read_serial)
    read_info = _blocking(MiniMate.read_info)
    read_storage_range = _blocking(MiniMate.read_storage_range)
    read_lifetime_count = _blocking(MiniMate.read_lifetime_count)
    read_probe = _blocking(MiniMate.read_probe)
    count_events = _blocking(MiniMate.count_events)
    read_events = _blocking(MiniMate.read_events)
    read_event = _blocking(MiniMate.read_event)
    read_monitor_log = _blocking(MiniMate.read_monitor_log)
    read_waveform = _blocking(MiniMate.read_waveform)
    read_monitor_status = _blocking(MiniMate.read_monitor_status)
    read_call_home = _blocking(MiniMate.read_call_home)
    start_monitoring = _blocking(MiniMate.start_monitoring)
    stop_monitoring = _blocking(MiniMate.stop_monitoring)
    write_setup = _blocking(MiniMate.write_setup)
    write_call_home = _blocking(MiniMate.write_call_home)
    erase_all = _blocking(MiniMate.erase_all)


def _result(loop: asyncio.AbstractEventLoop, operation: Coroutine[Any, Any, _T]) -> _T:
    """Run an operation on another thread's loop; return its result or raise its error."""
    return asyncio.run_coroutine_threadsafe(operation, loop).result()


async def _end_others() -> None:
    """Cancel what an interrupted caller no longer waits for, and let it hang up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
