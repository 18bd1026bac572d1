"""
How long ``/metrics`` and ``/cache/stats`` hold the event loop at 1,000 units.

The rule: statistics are taken a few units at a time, so no reader waits more than 5 ms for them.

The method. 1,000 simulated units in this process are each read once, so that each is known, cached
and counted. Then a task turns the loop again and again and notes the longest time between two
turns: while nothing happens, and while one of the two is asked for. Each is asked five times, never
from what was made before; median and worst are printed.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable

from peers import QUICK

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from sfm.api.statistics import Statistics
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache
from sfm.settings import Settings

UNITS = 20 if QUICK else 1000
TIMES = 2 if QUICK else 5


class Loop:
    """Turns the event loop and notes how long it stood still."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        """Turn it until cancelled."""
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - before)
            before = now


async def longest_s(work: Callable[[], Awaitable[object]]) -> float:
    """Return the longest time between two turns of the loop while ``work`` is under way."""
    loop = Loop()
    watching = asyncio.create_task(loop.watch())
    await asyncio.sleep(0)
    await work()
    watching.cancel()
    return loop.longest_s


async def known_units(units: set[asyncio.Task[None]]) -> Gateway:
    """Return a gateway that has read each unit once."""

    async def connect(address: Address) -> MiniMate:
        ours, theirs = memory_pair(str(address))
        number = int(address.target.partition(".")[0][4:])
        units.add(asyncio.create_task(serve_link(SimulatedUnit(f"S{number:05d}"), theirs)))
        return await MiniMate.open(ours)

    gateway = Gateway(LiveCache(), Settings(keep_open_s=0), connect=connect)
    for number in range(UNITS):
        address = Address("tcp", f"unit{number}.invalid", 12345)
        await gateway.events(address)
        await gateway.monitor_status(address)
    return gateway


async def measure() -> None:
    """Print the table."""
    units: set[asyncio.Task[None]] = set()
    gateway = await known_units(units)
    gc.collect()
    gc.freeze()  # what was made for the units is not collected while the loop is watched
    rows = {
        "nothing": lambda: asyncio.sleep(0.05),
        "`/cache/stats`": lambda: Statistics(gateway).json(),
        "`/metrics`": lambda: Statistics(gateway).metrics(),
    }
    print(f"{UNITS} units\n| asked | longest hold of the loop, ms: median | worst | made in, ms |")
    print("|---|---|---|---|")
    for name, work in rows.items():
        held, took = [], []
        for _ in range(TIMES):
            began = time.perf_counter()
            held.append(1e3 * await longest_s(work))
            took.append(1e3 * (time.perf_counter() - began))
        figures = statistics.median(held), max(held), statistics.median(took)
        print(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")
    await gateway.close()
    for unit in units:
        unit.cancel()


if __name__ == "__main__":
    asyncio.run(measure())
