"""What one verb of the client brings from a simulated unit, in a session of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kit import virtual_time
from minimateplus.client import MiniMate
from minimateplus.errors import LinkClosedError
from minimateplus.link import Deadlines
from minimateplus.simulator import SimulatedUnit, connect_memory
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory

__all__ = ["asked", "connected_to"]


@asynccontextmanager
async def connected_to(
    unit: SimulatedUnit, wrap_link: LinkFactory = FaultyLink, deadlines: Deadlines | None = None
) -> AsyncIterator[MiniMate]:
    """Yield a session with ``unit``; at its end the link must be closed."""
    async with connect_memory(unit, wrap_link=wrap_link) as link:
        async with MiniMate.connect(link, deadlines=deadlines) as host:
            yield host
        with pytest.raises(LinkClosedError):
            await link.send(b"?")


def asked(
    unit: SimulatedUnit,
    verb: Callable[[MiniMate], Awaitable[Any]],
    wrap_link: LinkFactory = FaultyLink,
    deadlines: Deadlines | None = None,
) -> Any:
    """Return what ``verb`` brings from ``unit``, in virtual time."""
    return virtual_time.run(_asked(unit, verb, wrap_link, deadlines))


async def _asked(
    unit: SimulatedUnit,
    verb: Callable[[MiniMate], Awaitable[Any]],
    wrap_link: LinkFactory,
    deadlines: Deadlines | None,
) -> Any:
    async with connected_to(unit, wrap_link, deadlines) as host:
        return await verb(host)
