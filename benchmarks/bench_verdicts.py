"""
A list of 1,000 events with verdicts: what judging costs, and what a hit costs beside it.

The rule: verdicts are made once for each list, choice and set of results, off the event loop; a hit
sends encoded bytes and does not know of them. There is no target of its own for this;
the targets beside it are those of a hit.

The method. 1,000 recordings of one unit in a SQLite file, each with samples of a 2 s record and its
stored analysis. Timed: judging the unit's list and a page of the archive, as the store's thread
does; encoding the list; a hit on it through the application, with verdicts and without. Each is run
several times; median and best are printed, in CPU time, which other work on the machine disturbs
less.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from peers import QUICK

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from sfm.api.app import build_app
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache
from sfm.records.analysed import analysis_payload
from sfm.settings import Settings
from sfm.store import Store, Wanted, analyses, archive, limits, verdicts
from sfm.store.archive import samples_numbered
from sfm.store.service import StoreService

EVENTS = 30 if QUICK else 1000
TIMES = 3 if QUICK else 9
HITS = 50 if QUICK else 500
ADDRESS = Address("tcp", "unit.invalid", 12345)
CURVES = ("usbm-ri8507-plaster", "npc119-airblast")
QUERY: dict[str, str | int] = {"host": ADDRESS.target, "tcp_port": ADDRESS.number}


def unit_with_events() -> SimulatedUnit:
    """Return a unit with events of 2 s, each loudest in its middle."""
    unit = SimulatedUnit("SIM0001", clock=time.time, now_device_time=datetime(2026, 3, 1))
    at = np.arange(2 * 1024) / 1024
    for number in range(EVENTS):
        wave = np.exp(-(((at - 1.0) / 0.3) ** 2)) * np.cos(2 * np.pi * (5 + number % 60) * at)
        counts = np.round(np.outer([30 + 7 * (59 - number % 60), 60, 40, 20], wave)).astype(
            np.int16
        )
        unit.record_event(counts=counts)
    return unit


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return median and best of several runs, ms of CPU."""
    found = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        found.append(1000 * (time.process_time() - began))
    return statistics.median(found), min(found)


def row(what: str, found: tuple[float, float], unit: str = "ms") -> None:
    """Print a row of the table."""
    print(f"| {what} | {found[0]:.2f} {unit} | {found[1]:.2f} {unit} |")


async def hit_us(client: httpx.AsyncClient) -> tuple[float, float]:
    """Return median and best of a hit on the list through the application, microseconds of CPU."""
    found = []
    for _ in range(HITS):
        began = time.process_time()
        answer = await client.get("/device/events", params={**QUERY, "only_if_cached": "true"})
        found.append(1e6 * (time.process_time() - began))
        assert answer.status_code == 200, answer.text
    return statistics.median(found), min(found)


def analyse(store: Store) -> None:
    """Store an analysis of each waveform; few are computed, since only reading counts."""
    computed: dict[int, Any] = {}
    with store.engines.read() as connection:
        numbers = connection.exec_driver_sql("SELECT id FROM recording_waveforms").scalars().all()
    for place, number in enumerate(numbers):
        samples = store.read(samples_numbered, waveform_id=number)
        kind = place % 60
        if kind not in computed:
            computed[kind] = analysis_payload(samples.payload())
        store.write(analyses.save, samples, computed[kind], datetime.now(UTC))


async def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'archive.sqlite'}")
        clock = time.monotonic
        service = StoreService(lambda: store, clock=clock, wall=lambda: datetime.now(UTC))
        unit = unit_with_events()

        async def connect(_: Address) -> MiniMate:
            ours, theirs = memory_pair()
            served.append(asyncio.create_task(serve_link(unit, theirs)))
            return await MiniMate.open(ours, wake=False)

        served: list[asyncio.Task[None]] = []
        settings = Settings(database_url="none")
        gateway = Gateway(
            LiveCache(clock=clock), settings, store_service=service, connect=connect, clock=clock
        )
        await service.start()
        await gateway.events(ADDRESS)
        for index in range(EVENTS):
            await gateway.waveform(ADDRESS, index)
        analyse(store)
        application = build_app(settings, gateway)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await gateway.limits.load()
            await gateway.verdicts.renew()
            await client.get("/device/events", params=QUERY)
            bare = await hit_us(client)
            store.write(
                limits.choose,
                location_id=None,
                project=None,
                names=CURVES,
                results="vendor",
                parameters={},
                by="the benchmark",
                at=datetime.now(UTC),
            )
            gateway.limits.is_loaded = False
            await gateway.limits.load()
            began = time.process_time()
            answer = await client.get("/device/events", params={**QUERY, "only_if_cached": "true"})
            first_ms = 1000 * (time.process_time() - began)
            judged = await hit_us(client)
        outcomes = [one["outcome"] for e in answer.json()["events"] for one in e["verdicts"]]
        [(unit_key, device)] = gateway.registry.devices.items()
        durable = device.durable
        print(f"{EVENTS:,} events, {len(CURVES)} curves, {len(outcomes):,} verdicts\n")
        print("| what | median | best |")
        print("|---|---|---|")
        judge = service.judge
        row(
            "judge the unit's list, in the store's thread",
            timed(lambda: store.read(verdicts.load_facts, unit_key, durable.epoch, judge)),
        )
        row(
            f"a page of {min(EVENTS, 1000):,} recordings with verdicts",
            timed(
                lambda: store.read(
                    verdicts.load_judged_page, Wanted(), None, min(EVENTS, 1000), judge=judge
                )
            ),
        )
        row(
            "the same page without",
            timed(lambda: store.read(archive.load_page, Wanted(), None, min(EVENTS, 1000))),
        )
        row("the first answer with new verdicts: encoding", (first_ms, first_ms))
        row("a hit on the list with verdicts", judged, "µs")
        row("the same hit without", bare, "µs")
        print(f"\nlist: {len(answer.content):,} bytes; outcomes: {sorted(set(outcomes))}")
        await gateway.close()
        for task in served:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
