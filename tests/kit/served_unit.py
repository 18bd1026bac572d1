"""A simulated unit on a loopback port in a thread of its own, for commands that own their loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory


@dataclass
class Served:
    unit: SimulatedUnit
    url: str
    port: int


@contextmanager
def served(unit: SimulatedUnit, wrap_link: LinkFactory = FaultyLink) -> Iterator[Served]:
    """Serve ``unit`` over ``wrap_link`` until the block ends."""
    ready = threading.Event()
    found: list[Served] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serve_tcp(unit, wrap_link=wrap_link) as server:
            found.append(Served(unit, server.url, server.port))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(60)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
