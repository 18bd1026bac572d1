"""
Many units, few places: how long the last of 32 workers waits who ask 300 units through one relay.

The method. 300 simulated units answer on TCP ports of this machine; the relay runs as its user
starts it, with its default settings. 32 workers ask each unit once for its events: first contacts,
for which there are eight places, then the same again, for which there are 64.
"""

from __future__ import annotations

import asyncio
import time

import httpx
from kit.relay_process import relay
from peers import QUICK

from minimateplus.simulator import SimulatedUnit, serve_tcp

UNITS = 20 if QUICK else 300
WORKERS = 32


async def work(client: httpx.AsyncClient, left: list[int], waits_s: list[float]) -> int:
    """Ask units until none is left; return how many answers were refusals."""
    refused = 0
    while left:
        query: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": left.pop()}
        began = time.perf_counter()
        answer = await client.get("/device/events", params=query)
        waits_s.append(time.perf_counter() - began)
        refused += answer.status_code != 200
    return refused


async def measure(base: str) -> None:
    """Print a row for first contacts, and one for the same again."""
    units = []
    for number in range(UNITS):
        unit = SimulatedUnit(f"S{number:05d}", seed=number)
        unit.record_event(seed=number)
        units.append(await serve_tcp(unit))
    # Each request over a connection of its own: none is kept until the relay closes it.
    alone = httpx.Limits(max_connections=2 * WORKERS, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=base, timeout=None, limits=alone) as client:
        for name in ("first contact", "again"):
            left, waits_s = [unit.port for unit in units], list[float]()
            began = time.perf_counter()
            working = (work(client, left, waits_s) for _ in range(WORKERS))
            refused = sum(await asyncio.gather(*working))
            took_s = time.perf_counter() - began
            print(f"| {name} | {len(waits_s)} | {refused} | {max(waits_s):.2f} | {took_s:.1f} |")
    for served in units:
        await served.close()


def main() -> None:
    """Print the table."""
    print("| | units read | refused | longest wait, s | all, s |\n|---|---|---|---|---|")
    with relay() as started:
        asyncio.run(measure(started.base))


if __name__ == "__main__":
    main()
