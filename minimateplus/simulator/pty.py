"""
Serve a simulated unit on a pseudo-terminal, as if it were on a serial port. POSIX only.

The only module that imports ``tty``; import it only where a pseudo-terminal is wanted.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from minimateplus.errors import LinkClosedError
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.simulator.serve import Pace, end_task, serve_link
from minimateplus.simulator.unit import SimulatedUnit

__all__ = ["PtyLink", "ServedPty", "serve_pty"]


class ServedPty:
    """A unit on a pseudo-terminal; ``path`` is the serial port to open."""

    def __init__(self, path: str, task: asyncio.Task[None]) -> None:
        self.path = path
        self._task = task

    async def close(self) -> None:
        """Stop serving; ``serve_pty`` closes the terminal."""
        await end_task(self._task)


@asynccontextmanager
async def serve_pty(
    unit: SimulatedUnit, *, wrap_link: LinkFactory = FaultyLink, pace: Pace | None = None
) -> AsyncIterator[ServedPty]:
    """Yield a pseudo-terminal that answers as ``unit``. POSIX only."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    link = PtyLink(ours, os.ttyname(theirs))
    served = ServedPty(link.name, asyncio.create_task(serve_link(unit, wrap_link(link), pace)))
    try:
        yield served
    finally:
        await served.close()
        # Our copy stays open so that the terminal survives a client that disconnects.
        os.close(theirs)
        os.close(ours)


class PtyLink:
    """The unit's end of a pseudo-terminal. Does not own the descriptor."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    @property
    def name(self) -> str:
        """The terminal's path."""
        return self._name

    async def send(self, data: bytes) -> None:
        """Write all of ``data``; see ``Link.send``."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                await self._ready(lambda loop: (loop.add_writer, loop.remove_writer))
            except OSError as error:
                raise LinkClosedError(f"{self._name}: {error}") from error

    async def receive(self) -> bytes:
        """Return the next chunk; see ``Link.receive``."""
        while True:
            try:
                return os.read(self._descriptor, 4096)
            except BlockingIOError:
                await self._ready(lambda loop: (loop.add_reader, loop.remove_reader))
            except OSError as error:
                raise LinkClosedError(f"{self._name}: {error}") from error

    async def _ready(
        self, pick: Callable[[asyncio.AbstractEventLoop], tuple[Callable[..., Any], ...]]
    ) -> None:
        loop = asyncio.get_running_loop()
        add, remove = pick(loop)
        ready: asyncio.Future[None] = loop.create_future()
        add(self._descriptor, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            remove(self._descriptor)

    async def close(self) -> None:
        """Do nothing: ``serve_pty`` owns the descriptor."""
