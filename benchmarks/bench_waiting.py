"""
How long a hit takes while 1,000 readers wait on a slow device.

The rule: who waits for one device delays nobody who asks about another.

The method. A simulated unit answers at once, another one stalls: it takes the call and never says a
word. 1,000 readers ask about the stalled one and wait; meanwhile hits about the first are timed one
by one. Beside it, the same hits while nobody waits.

- In process: readers are tasks of the loop, a hit is a task of its own, from its creation to its
  result, so what it waits for the loop is in it.
- Over HTTP: the production application in a process of its own, served as the product serves;
  1,000 connections that have asked and hear nothing, others for the hits, over loopback. Hits come
  at a fixed pace, answered or not.

The usual way beside it: a FastAPI application whose endpoints are ``def``, its hit a dict behind a
lock. The framework runs these in a pool of 40 threads; 40 readers whose device read takes a second
ask again and again, and a hit waits until a thread is free. Its delay is a share of the read's
time: a real list takes 10 to 30 s. Under 40 s.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import threading
import time

import fastapi
import httpx
from peers import QUICK, percentile, print_head, serve, served

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.faulty_links import StalledLink
from sfm.api.app import build_app
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache
from sfm.settings import Settings

READERS = 50 if QUICK else 1000
HITS = 50 if QUICK else 2000
EVERY_S = 0.0025
USUAL_HITS = 20 if QUICK else 320
USUAL_EVERY_S = 0.025
BLOCKED = 40
READ_S = 0.05 if QUICK else 1.0
FAST = Address("tcp", "fast.invalid", 12345)
STALLED = Address("tcp", "stalled.invalid", 12345)
FAST_PATH = f"/device/info?host={FAST.target}"
STALLED_PATH = f"/device/info?host={STALLED.target}"


def new_gateway(settings: Settings) -> Gateway:
    """Return a gateway before two units in memory, one of which stalls."""
    sessions: set[asyncio.Task[None]] = set()
    units = {address: SimulatedUnit() for address in (FAST, STALLED)}

    async def connect(address: Address) -> MiniMate:
        ours, theirs = memory_pair(str(address))
        link = StalledLink(theirs, 0) if address == STALLED else theirs
        sessions.add(asyncio.create_task(serve_link(units[address], link)))
        return await MiniMate.open(ours, deadlines=settings.deadlines)

    return Gateway(LiveCache(), settings, connect=connect)


def patient() -> Settings:
    """Return settings under which a stalled unit is waited for."""
    return Settings(reply_s=600, operation_s=900)


# --- in process -------------------------------------------------------------------------------


async def in_process() -> dict[str, list[float]]:
    """Return the latencies of hits in ms, sorted, with nobody and with many waiting."""
    gateway = new_gateway(patient())
    await gateway.info(FAST)

    async def hits() -> list[float]:
        spent = []
        for _ in range(HITS):
            began = time.perf_counter()
            answer = await asyncio.create_task(gateway.info(FAST))
            spent.append((time.perf_counter() - began) * 1e3)
            if answer.provenance.source != "cache":
                raise AssertionError("not a hit")
        return sorted(spent)

    alone = await hits()
    readers = [asyncio.create_task(gateway.info(STALLED)) for _ in range(READERS)]
    await asyncio.sleep(0.1)
    among = await hits()
    if any(reader.done() for reader in readers):
        raise AssertionError("the stalled unit answered")
    await gateway.close()
    await asyncio.gather(*readers, return_exceptions=True)
    return {"nobody waits": alone, f"{READERS:,} wait": among}


# --- over HTTP --------------------------------------------------------------------------------


def usual_app() -> fastapi.FastAPI:
    """Return the usual way: endpoints that block a thread of the pool."""
    app = fastapi.FastAPI()
    lock, entry = threading.Lock(), {"info": {"serial": "BE12599"}}

    @app.get("/device/info")
    def info(host: str) -> dict[str, str]:
        """Answer from a dict, or after a device read."""
        if host == STALLED.target:
            time.sleep(READ_S)
        with lock:
            return entry["info"]

    return app


class Connection:
    """One connection kept alive, with no client library in the figures."""

    def __init__(self, base: str) -> None:
        self._host, _, port = base.removeprefix("http://").partition(":")
        self._port = int(port)

    async def open(self) -> Connection:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    def ask(self, path: str) -> None:
        """Send a request."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def answer(self) -> bytes:
        """Return the body of the next answer, which must be well."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise AssertionError(head)
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        return await self._reader.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def http_hits(base: str, count: int, every_s: float) -> list[float]:
    """
    Return the latencies of hits that come at a fixed pace, in ms, sorted.

    One that waits does not keep the next from coming: else a stall would count once only.
    """
    free: list[Connection] = []
    spent: list[float] = []

    async def hit() -> None:
        connection = free.pop() if free else await Connection(base).open()
        began = time.perf_counter()
        connection.ask(FAST_PATH)
        await connection.answer()
        spent.append((time.perf_counter() - began) * 1e3)
        free.append(connection)

    # The clock is in this process: its own collector must not stand in the figures.
    gc.disable()
    hits = []
    for _ in range(count):
        hits.append(asyncio.create_task(hit()))
        await asyncio.sleep(every_s)
    await asyncio.gather(*hits)
    gc.enable()
    for connection in free:
        connection.close()
    return sorted(spent)


async def over_http(base: str) -> dict[str, list[float]]:
    """Return the latencies of hits at the production application."""
    async with httpx.AsyncClient(base_url=base) as client:
        (await client.get(FAST_PATH)).raise_for_status()
        alone = await http_hits(base, HITS, EVERY_S)
        readers = [await Connection(base).open() for _ in range(READERS)]
        for reader in readers:
            reader.ask(STALLED_PATH)
        waiting = 0
        while waiting < READERS:
            await asyncio.sleep(0.05)
            devices = (await client.get("/cache/stats")).json()["devices"]
            waiting = devices.get(f"tcp:{STALLED.target}:12345", {}).get("readers", 0)
        among = await http_hits(base, HITS, EVERY_S)
        for reader in readers:
            reader.close()
    return {"nobody waits": alone, f"{READERS:,} wait": among}


async def the_usual_way(base: str) -> dict[str, list[float]]:
    """Return the latencies of hits at an application that blocks its threads."""
    alone = await http_hits(base, USUAL_HITS, EVERY_S)

    async def read_for_ever() -> None:
        connection = await Connection(base).open()
        while True:
            connection.ask(STALLED_PATH)
            await connection.answer()

    readers = [asyncio.create_task(read_for_ever()) for _ in range(BLOCKED)]
    await asyncio.sleep(READ_S / 4)
    among = await http_hits(base, USUAL_HITS, USUAL_EVERY_S)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return {"nobody waits": alone, f"{BLOCKED} wait, reads of {READ_S:g} s": among}


def print_rows(title: str, rows: dict[str, list[float]]) -> None:
    """Print p50, p99 and the ratio of the p99 to that with nobody waiting."""
    first = next(iter(rows.values()))
    for name, spent in rows.items():
        p50, p99 = statistics.median(spent), percentile(spent, 0.99)
        ratio = p99 / percentile(first, 0.99)
        print(f"{title:<26}{name:<24}{len(spent):>7,}{p50:>11.3f}{p99:>11.3f}{ratio:>9.1f}")


def main() -> None:
    """Print the table."""
    print_head("Latency of a hit while readers wait, ms", "uvicorn", "httptools", "fastapi")
    print(f"{'':<50}{'hits':>7}{'p50':>11}{'p99':>11}{'ratio':>9}")
    print_rows("gateway, in process", asyncio.run(in_process()))
    with served(__file__, "relay") as base:
        print_rows("relay, HTTP", asyncio.run(over_http(base)))
    with served(__file__, "usual") as base:
        print_rows("def endpoints, HTTP", asyncio.run(the_usual_way(base)))
    print(f"target: p99 at most 5 ms with {READERS:,} waiting; ratio: p99 to that of the row above")


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        serve(build_app(patient(), new_gateway(patient())))
    elif sys.argv[1:2] == ["usual"]:
        serve(usual_app())
    else:
        main()
