"""
What a read costs on the wire: exchanges, and seconds on a line of 38,400 baud.

``make bench`` prints the tables. The unit is the simulated one, paced at the line's speed; the
relay is the production gateway. Time is virtual, so the seconds are exact and the run takes none of
them. The line's own limit for a waveform is its image in memory, escaped as the wire wants it, at
ten bits a byte: no request, no header, no start-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kit.virtual_time import now_s, run

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.blast import Blast
from minimateplus.simulator.memory import GAP_BYTES
from minimateplus.simulator.serve import BITS_PER_BYTE, Pace
from sfm.devices.answer import Answer
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache
from sfm.settings import Settings

BAUD = 38_400
EVENTS = 300
ADDRESS = Address("tcp", "simulated.invalid", 12345)


def escaped_bytes(unit: SimulatedUnit, index: int) -> int:
    """Return what an event's image is on the wire, in bytes: itself and its escapes."""
    here, following = (int.from_bytes(unit.events[i].key, "big") for i in (index, index + 1))
    image = unit.read_memory(here, following - here - GAP_BYTES)
    return len(image) + sum(image.count(value) for value in b"\x02\x03\x04\x10")


async def measure() -> None:
    """Print the table."""
    unit = SimulatedUnit(clock=now_s)
    for _ in range(EVENTS):
        unit.record_event()
    tasks: list[asyncio.Task[None]] = []

    async def connect(_: Address) -> MiniMate:
        ours, theirs = memory_pair()
        tasks.append(asyncio.create_task(serve_link(unit, theirs, Pace(BAUD))))
        return await MiniMate.open(ours)

    # The link is hung up after each read: every row pays for its own start-up.
    gateway = Gateway(LiveCache(clock=now_s), Settings(keep_open_s=0), connect=connect, clock=now_s)

    async def row(what: str, read: Callable[[], Awaitable[Answer]], wire_bytes: int = 0) -> None:
        answered, began = unit.exchanges, now_s()
        await read()
        took_s = now_s() - began
        limit = ""
        if wire_bytes:
            limit_s = wire_bytes * BITS_PER_BYTE / BAUD
            limit = f"{limit_s:>10.2f}{took_s / limit_s:>8.2f}"
        print(f"{what:<34}{unit.exchanges - answered:>10,}{took_s:>10.2f}{limit}")

    print(f"{EVENTS} events stored, {BAUD:,} baud, simulated, every read with its own start-up")
    print(f"{'':<34}{'exchanges':>10}{'s':>10}{'limit s':>10}{'ratio':>8}")
    await row("identity, first contact", lambda: gateway.info(ADDRESS))
    await row("identity, from cache", lambda: gateway.info(ADDRESS))
    await row("list, full walk", lambda: gateway.events(ADDRESS))
    await row("list, nothing changed", lambda: gateway.events(ADDRESS))
    unit.record_event()
    await row("list, one event added", lambda: gateway.events(ADDRESS))
    await row(
        "waveform 1 s at 1024/s", lambda: gateway.waveform(ADDRESS, 0), escaped_bytes(unit, 0)
    )
    await row("waveform, from cache", lambda: gateway.waveform(ADDRESS, 0))
    last = EVENTS + 1
    unit.record_event(blast=Blast(record_time_s=13.0, sample_rate_hz=4096))
    unit.record_event()
    await row("list, two events added", lambda: gateway.events(ADDRESS))
    long = escaped_bytes(unit, last)
    await row("waveform 13 s at 4096/s", lambda: gateway.waveform(ADDRESS, last), long)
    await gateway.close()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    run(measure())
