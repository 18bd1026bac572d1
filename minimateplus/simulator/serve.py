"""
A simulated unit on a road: TCP, a pty, or memory, at full speed or at the line's own.

Like the real one behind its modem, a served unit holds one conversation at a time. A second caller
waits a moment, and is hung up on if the first goes on.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from minimateplus.errors import LinkClosedError, LinkError
from minimateplus.link import Link
from minimateplus.link.in_process import MemoryLink, memory_pair
from minimateplus.link.stream import StreamLink
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.simulator.unit import SimulatedUnit
from minimateplus.wire.framing import Direction, FrameReader
from minimateplus.wire.protocol_state import ProtocolState, State

BITS_PER_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""
BUSY_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of the serial line: each byte of request and reply takes its ten bits."""

    baud: int = 38400

    def seconds(self, count: int) -> float:
        """Return how long ``count`` bytes take on the line, in s."""
        return count * BITS_PER_BYTE / self.baud


async def serve_link(unit: SimulatedUnit, link: Link, pace: Pace | None = None) -> None:
    """Let ``unit`` answer over ``link`` until the link ends; closes the link."""
    conversation = ProtocolState()
    # Whether a unit that is awake insists on POLL is unknown, so this one does not.
    conversation.state = State.READY
    reader = FrameReader(Direction.REQUEST)
    try:
        while True:
            chunk = await link.receive()
            if pace is not None:
                await asyncio.sleep(pace.seconds(len(chunk)))
            for request in reader.feed(chunk):
                reply = unit.answer(conversation, request)
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
    unit: SimulatedUnit, *, road: LinkFactory = FaultyLink, pace: Pace | None = None
) -> AsyncIterator[MemoryLink]:
    """Yield the host's end of a road in memory to ``unit``."""
    ours, theirs = memory_pair(f"sim+memory:{unit.serial}")
    task = asyncio.create_task(serve_link(unit, road(theirs), pace))
    try:
        yield ours
    finally:
        await ours.close()
        await _end(task)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel ``task`` and wait for its end; what went wrong in it is raised here."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


class ServedTcp:
    """
    A unit on a TCP port: await it, or enter it, to open the port; ``close`` or leave to end it.

    Lives until ``close``; conversations under way are then hung up.
    """

    def __init__(
        self,
        unit: SimulatedUnit,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        road: LinkFactory = FaultyLink,
        pace: Pace | None = None,
    ) -> None:
        self.unit = unit
        self.host = host
        self.port = port
        """The port it listens on; known once it is open when 0 was asked for."""
        self.refused = 0
        """Callers that were hung up on because another held the unit."""
        self.callers = 0
        """Conversations begun."""
        self._road = road
        self._pace = pace
        self._line = asyncio.Lock()
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
        """Close the port and hang up. May be called twice."""
        if self._server is None:
            return
        self._server.close()
        for task, link in list(self._links.items()):
            task.cancel()
            await asyncio.wait((task,))
            # A task that waits for the line, or never began, has not closed its link.
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
                await self._line.acquire()
        except TimeoutError:
            self.refused += 1
            await link.close()
            return
        self.callers += 1
        try:
            await serve_link(self.unit, self._road(link), self._pace)
        finally:
            self._line.release()


def serve_tcp(
    unit: SimulatedUnit,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    road: LinkFactory = FaultyLink,
    pace: Pace | None = None,
) -> ServedTcp:
    """
    Return a TCP port that answers as ``unit``; ``await`` it or use it with ``async with``.

    Args:
        unit: who answers.
        host: the address to listen on.
        port: 0 for any free one; ``ServedTcp.port`` tells which.
        road: what the road does to the bytes.
        pace: the line's speed; as fast as it goes if not given.
    """
    return ServedTcp(unit, host, port, road=road, pace=pace)


class ServedPty:
    """A unit on a pseudo terminal; ``path`` is the serial port to open."""

    def __init__(self, path: str, task: asyncio.Task[None]) -> None:
        self.path = path
        self._task = task

    async def close(self) -> None:
        """Hang up and give the terminal back."""
        await _end(self._task)


@asynccontextmanager
async def serve_pty(
    unit: SimulatedUnit, *, road: LinkFactory = FaultyLink, pace: Pace | None = None
) -> AsyncIterator[ServedPty]:
    """Yield a pseudo terminal that answers as ``unit``. POSIX only."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    link = PtyLink(ours, os.ttyname(theirs))
    served = ServedPty(link.name, asyncio.create_task(serve_link(unit, road(link), pace)))
    try:
        yield served
    finally:
        await served.close()
        # Held open all the while, so that a caller who leaves does not end the terminal.
        os.close(theirs)
        os.close(ours)


class PtyLink:
    """The unit's end of a pseudo terminal. Does not own the descriptor."""

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
        """Nothing to do: whoever opened the terminal closes it."""
