"""
Serve a simulated unit over TCP or in memory, at full speed or at a serial line's speed.

Like a real unit behind its modem, a served unit answers one client at a time. A second client waits
for ``BUSY_WAIT_S``, and is disconnected if the first is still connected. ``pty`` serves a unit on a
pseudo-terminal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from minimateplus.errors import LinkError
from minimateplus.link import Link
from minimateplus.link.in_process import MemoryLink, memory_pair
from minimateplus.link.stream import StreamLink
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.simulator.unit import SimulatedUnit
from minimateplus.wire.framing import Direction, FrameReader
from minimateplus.wire.protocol_state import ProtocolState, State

__all__ = [
    "BITS_PER_BYTE",
    "BUSY_WAIT_S",
    "Pace",
    "ServedTcp",
    "connect_memory",
    "end_task",
    "serve_link",
    "serve_tcp",
]

BITS_PER_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""
BUSY_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of the serial line: each byte of a request or reply takes ten bits."""

    baud: int = 38400

    def seconds(self, count: int) -> float:
        """Return how long ``count`` bytes take on the line, in s."""
        return count * BITS_PER_BYTE / self.baud


async def serve_link(unit: SimulatedUnit, link: Link, pace: Pace | None = None) -> None:
    """Answer as ``unit`` over ``link`` until the link ends; then close the link."""
    protocol = ProtocolState()
    # Whether a unit that is awake requires POLL first is unknown, so this one does not.
    protocol.state = State.READY
    reader = FrameReader(Direction.REQUEST)
    try:
        while True:
            chunk = await link.receive()
            if pace is not None:
                await asyncio.sleep(pace.seconds(len(chunk)))
            for request in reader.feed(chunk):
                reply = unit.answer(protocol, request)
                if reply is None:
                    continue
                if pace is not None:
                    await asyncio.sleep(pace.seconds(len(reply)))
                await link.send(reply)
    except LinkError:
        pass
    finally:
        await link.close()


@asynccontextmanager
async def connect_memory(
    unit: SimulatedUnit, *, wrap_link: LinkFactory = FaultyLink, pace: Pace | None = None
) -> AsyncIterator[MemoryLink]:
    """Yield the host's end of an in-memory link to ``unit``."""
    ours, theirs = memory_pair(f"sim+memory:{unit.serial}")
    task = asyncio.create_task(serve_link(unit, wrap_link(theirs), pace))
    try:
        yield ours
    finally:
        await ours.close()
        await end_task(task)


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel ``task``, wait for it, and raise its exception, if any."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


class ServedTcp:
    """
    A unit on a TCP port. ``await`` it, or use ``async with``, to open the port.

    Lives until ``close``, which disconnects every client.
    """

    def __init__(
        self,
        unit: SimulatedUnit,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        wrap_link: LinkFactory = FaultyLink,
        pace: Pace | None = None,
    ) -> None:
        self.unit = unit
        self.host = host
        self.port = port
        """The TCP port that it listens on; with 0, assigned when it opens."""
        self.refused = 0
        """Clients that were disconnected because another client was connected."""
        self.callers = 0
        """Clients that were served."""
        self._wrap_link = wrap_link
        self._pace = pace
        self._turn = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], StreamLink] = {}

    @property
    def url(self) -> str:
        """The address to give to a client."""
        return f"tcp://{self.host}:{self.port}"

    def __await__(self) -> Generator[Any, None, ServedTcp]:
        return self._open().__await__()

    async def __aenter__(self) -> ServedTcp:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _open(self) -> ServedTcp:
        if self._server is None:
            self._server = await asyncio.start_server(self._called, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Close the port and disconnect every client. May be called twice."""
        if self._server is None:
            return
        self._server.close()
        for task, link in list(self._links.items()):
            task.cancel()
            await asyncio.wait((task,))
            # A task that waits for its turn, or never started, has not closed its link.
            await link.close()
        await self._server.wait_closed()

    def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = StreamLink(self.url, reader, writer)
        task = asyncio.create_task(self._answer(link))
        self._links[task] = link
        task.add_done_callback(lambda done: self._links.pop(done, None))

    async def _answer(self, link: StreamLink) -> None:
        try:
            async with asyncio.timeout(BUSY_WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            self.refused += 1
            await link.close()
            return
        self.callers += 1
        try:
            await serve_link(self.unit, self._wrap_link(link), self._pace)
        finally:
            self._turn.release()


def serve_tcp(
    unit: SimulatedUnit,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    wrap_link: LinkFactory = FaultyLink,
    pace: Pace | None = None,
) -> ServedTcp:
    """
    Return a TCP port that answers as ``unit``; ``await`` it or use it with ``async with``.

    Args:
        unit: the unit that answers.
        host: the address to listen on.
        port: 0 for any free one, see ``ServedTcp.port``.
        wrap_link: wraps the unit's end of each link, to add faults.
        pace: the serial line's speed; unlimited if not given.
    """
    return ServedTcp(unit, host, port, wrap_link=wrap_link, pace=pace)
