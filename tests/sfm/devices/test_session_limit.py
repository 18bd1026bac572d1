"""More units than may be talked with at once: everybody gets a turn, in bounded time."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from kit.relay_world import FieldUnit, World
from kit.virtual_time import in_virtual_time, now_s

from minimateplus.link import Address
from minimateplus.simulator.faulty_links import LateLink, StalledLink
from sfm.devices.single_flight import BusyError


def address(number: int) -> Address:
    return Address("tcp", f"unit{number}.invalid", 12345)


def registered(count: int) -> dict[str, str]:
    return {f"unit {n}": str(address(n)) for n in range(count)}


def plugged(world: World, count: int) -> list[Address]:
    for number in range(count):
        world.plug(FieldUnit(f"SIM{number:04d}").record(1), address(number))
    return [address(number) for number in range(count)]


async def in_turns(
    world: World, addresses: list[Address], workers: int
) -> tuple[int, list[Exception], float]:
    """Ask each unit once for its events; return how many answered, who was refused, the longest."""
    left = list(reversed(addresses))
    answered, refused, longest_s = 0, list[Exception](), 0.0

    async def work() -> None:
        nonlocal answered, longest_s
        while left:
            began = now_s()
            try:
                await world.gateway.events(left.pop())
                answered += 1
            except BusyError as error:
                refused.append(error)
            longest_s = max(longest_s, now_s() - began)

    await asyncio.gather(*(work() for _ in range(workers)))
    return answered, refused, longest_s


@pytest.mark.parametrize(("units", "workers"), [(100, 8), (300, 32)])
@pytest.mark.parametrize("names", ["registered", "unknown"])
@in_virtual_time
async def test_more_units_than_places_are_all_read_and_none_is_refused(
    units: int, workers: int, names: str
) -> None:
    known = {"units": registered(units)} if names == "registered" else {}
    async with World(**known) as world:
        world.wrap_link = partial(LateLink, delay_s=0.01)
        answered, refused, longest_s = await in_turns(world, plugged(world, units), workers)
    assert (answered, refused) == (units, [])
    assert longest_s < 60


@in_virtual_time
async def test_the_line_that_is_idle_longest_is_hung_up_for_the_next_unit() -> None:
    async with World(units=registered(3), max_sessions=2) as world:
        units = plugged(world, 3)
        for number in (0, 1, 0):
            await world.gateway.events(units[number])
            await asyncio.sleep(1)
        await world.gateway.events(units[2])
        assert [world.open[unit] for unit in units] == [1, 0, 1]


@in_virtual_time
async def test_a_unit_that_many_read_does_not_keep_the_others_out() -> None:
    async with World(units=registered(2), max_sessions=1) as world:
        world.wrap_link = LateLink
        units = plugged(world, 2)
        stop = asyncio.Event()

        async def read_always(resource: str) -> None:
            while not stop.is_set():
                if resource == "events":
                    await world.gateway.events(units[0])
                else:
                    await world.gateway.lifetime_count(units[0])

        busy = [asyncio.create_task(read_always(resource)) for resource in ("events", "count")]
        await asyncio.sleep(60)
        began = now_s()
        try:
            answer = await world.gateway.events(units[1])
        finally:
            stop.set()
            await asyncio.gather(*busy)
        waited_s = now_s() - began
    assert answer.provenance.serial == "SIM0001"
    # Its first list takes 48 exchanges of 1 s, behind what the other unit is asked just then: up to
    # 17 more, and it depends on the moment.
    assert waited_s < 64


@in_virtual_time
async def test_silent_addresses_keep_no_unit_busy() -> None:
    async with World(units=registered(10)) as world:
        units = plugged(world, 10)
        silent = [Address("tcp", f"10.1.1.{n}", 12345) for n in range(64)]
        for one in silent:
            world.plug(FieldUnit(), one)
            world.wrap_links[one] = partial(StalledLink, after_bytes=0)
        asked = [asyncio.create_task(world.gateway.info(one)) for one in silent]
        await asyncio.sleep(1)
        seen = []
        for unit in units:
            began = now_s()
            try:
                await world.gateway.events(unit)
                seen.append("answered" if now_s() - began < 1 else "late")
            except BusyError:
                seen.append("busy")
        most = sum(world.open[one] for one in silent if one in world.open)
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, Exception) for one in ended)
    assert seen == ["answered"] * 10
    assert most == 8


@in_virtual_time
async def test_who_waits_when_the_relay_stops_leaves_nothing_behind() -> None:
    async with World(units=registered(4), max_sessions=1) as world:
        world.wrap_link = LateLink
        units = plugged(world, 4)
        asked = [asyncio.create_task(world.gateway.events(unit)) for unit in units]
        await asyncio.sleep(3)
        await world.gateway.close()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one).__name__ for one in ended] == ["ShuttingDownError"] * 4
