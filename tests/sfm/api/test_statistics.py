"""``/cache/stats`` and ``/metrics`` of many units: right, shared, and in small steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from kit.relay_world import FieldUnit, World
from prometheus_client.parser import text_string_to_metric_families

from minimateplus.link import Address
from sfm.api import statistics
from sfm.api.app import build_app

UNITS = 80
PATIENCE_S = 30.0
"""A bound for a machine that is busy; nothing is judged by it."""
PATHS = ("/cache/stats", "/metrics")


@asynccontextmanager
async def many_units() -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    """Yield a world with many units that were read, and a client of its relay, in real time."""
    async with World(keep_open_s=0) as world:
        for number in range(UNITS):
            address = Address("tcp", f"unit{number}.invalid", 12345)
            world.plug(FieldUnit(f"SIM{number:04d}").record(number % 3), address)
            await world.gateway.events(address)
        transport = httpx.ASGITransport(build_app(world.settings, world.gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield world, client


@pytest.mark.parametrize("path", PATHS)
async def test_the_loop_turns_while_an_answer_is_made(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made in another thread, which lets the loop turn after every few units."""
    loop, loops_thread, threads = asyncio.get_running_loop(), threading.get_ident(), []

    def give_way() -> None:
        threads.append(threading.get_ident())
        if threads[-1] != loops_thread:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(PATIENCE_S)

    monkeypatch.setattr(statistics, "_give_way", give_way)
    async with many_units() as (_, client):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert len(threads) >= UNITS / statistics.UNITS_IN_ONE_GO
        assert loops_thread not in threads


@pytest.mark.parametrize("path", PATHS)
async def test_few_units_are_counted_in_one_turn_of_the_loop(path: str) -> None:
    async with many_units() as (world, client):
        counted, in_turn = world.gateway.device_stats, [0]

        def noted(key: str) -> Any:
            in_turn[-1] += 1
            return counted(key)

        async def count() -> None:
            while True:
                await asyncio.sleep(0)
                in_turn.append(0)

        world.gateway.device_stats = noted  # type: ignore[method-assign]
        counting = asyncio.create_task(count())
        await client.get(path)
        counting.cancel()
        assert sum(in_turn) == UNITS
        assert max(in_turn) <= 20


@pytest.mark.parametrize("path", PATHS)
async def test_all_who_ask_at_once_share_one_answer(path: str) -> None:
    async with many_units() as (world, client):
        state, made = world.gateway.store_service.state, 0

        def counted() -> Any:
            nonlocal made
            made += 1
            return state()

        world.gateway.store_service.state = counted  # type: ignore[method-assign]
        answers = await asyncio.gather(*(client.get(path) for _ in range(20)))
        assert (len({answer.content for answer in answers}), made) == (1, 1)


async def test_an_answer_of_many_units_is_what_the_gateway_counts() -> None:
    async with many_units() as (world, client):
        reported = (await client.get("/cache/stats")).json()
        counted = world.gateway.stats()
        assert reported["devices"] == counted["devices"]
        assert reported["store"].keys() == counted["store"].keys()
        for entry in (reported["cache"], counted["cache"]):
            for device in entry["by_device"].values():
                for epoch in device["epochs"]:
                    del epoch["began_age_s"]
        assert reported["cache"] == counted["cache"]


async def test_prometheus_reads_what_was_counted_of_each_unit() -> None:
    """By the parser of its own client library."""
    async with many_units() as (world, client):
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = {one.name: one for one in text_string_to_metric_families(answer.text)}
        assert all(one.documentation for one in families.values())
        devices = world.gateway.stats()["devices"]
        for name, kind in (("exchanges", "counter"), ("readers", "gauge"), ("reads", "counter")):
            family = families[f"seismo_relay_{name}"]
            assert family.type == kind
            seen = {one.labels["device"]: one.value for one in family.samples}
            assert seen == {key: device[name] for key, device in devices.items()}
        times = families["seismo_relay_read_seconds"]
        assert times.type == "histogram"
        buckets = [one for one in times.samples if one.name.endswith("_bucket")]
        assert len(buckets) == 9 * UNITS
        assert {one.labels["le"] for one in buckets} >= {"0.1", "300.0", "+Inf"}
        assert all(one.value == 1 for one in buckets if one.labels["le"] == "+Inf")
        assert len(families["seismo_relay_epoch"].samples) == UNITS
        assert families["seismo_relay_cache_devices"].samples[0].value == UNITS


async def test_a_label_may_hold_anything() -> None:
    async with World() as world:
        world.gateway.progress(Address("tcp", 'a"b\\c\nd', 12345))  # followed, and never met
        transport = httpx.ASGITransport(build_app(world.settings, world.gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            text = (await client.get("/metrics")).text
    families = {one.name: one for one in text_string_to_metric_families(text)}
    (sample,) = families["seismo_relay_exchanges"].samples
    assert sample.labels["device"] == 'tcp:a"b\\c\nd:12345'
