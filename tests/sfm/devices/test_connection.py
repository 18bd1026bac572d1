from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from minimateplus.client import MiniMate
from minimateplus.errors import (
    ConnectError,
    LinkClosedError,
    MiniMateError,
    OutcomeUnknownError,
)
from sfm.cache.freshness import ANY, FORCED
from sfm.devices.connection import Connection
from sfm.devices.gateway import Gateway

KEEP_OPEN_S = 5.0


def line_to(world: World) -> Connection:
    return Connection(HERE, world.connect, KEEP_OPEN_S)


async def serial(unit: MiniMate) -> str:
    return await unit.read_serial()


async def run(line: Connection, operation: Any = serial) -> Any:
    async with line.lock:
        return await run_on(line, operation)


async def run_on(line: Connection, operation: Any) -> Any:
    session = line.session()
    while True:
        async with session as unit:
            return await operation(unit)


@in_virtual_time
async def test_a_burst_shares_one_start_up(world: World) -> None:
    unit, line = world.plug(FieldUnit()), line_to(world)
    for _ in range(10):
        assert await run(line) == "SIM0001"
        await asyncio.sleep(KEEP_OPEN_S - 0.1)
    assert (world.called, line.usage.sessions) == (1, 1)
    assert line.usage.exchanges == len(unit.heard) == 2 + 10 * 2
    await line.close()


@in_virtual_time
async def test_a_line_is_hung_up_after_it_was_not_used_for_a_while(world: World) -> None:
    world.plug(FieldUnit())
    line = line_to(world)
    await run(line)
    await asyncio.sleep(KEEP_OPEN_S - 0.1)
    assert world.open[HERE] == 1
    await asyncio.sleep(0.2)
    assert world.open[HERE] == 0
    await run(line)
    assert (world.called, world.most_open[HERE]) == (2, 1)
    await line.close()


@in_virtual_time
async def test_a_connection_is_not_closed_during_a_session_longer_than_the_wait(
    world: World,
) -> None:
    world.plug(FieldUnit())
    line = line_to(world)
    await run(line)
    await asyncio.sleep(KEEP_OPEN_S - 0.1)

    async def slow(unit: MiniMate) -> str:
        await asyncio.sleep(3 * KEEP_OPEN_S)
        return await unit.read_serial()

    assert await run(line, slow) == "SIM0001"
    assert (world.called, world.open[HERE]) == (1, 1)
    await line.close()


@in_virtual_time
async def test_a_line_that_was_kept_and_died_is_replaced_without_an_error(world: World) -> None:
    world.plug(FieldUnit())
    line = line_to(world)
    await run(line)
    await world.cut()
    assert await run(line) == "SIM0001"
    assert (line.usage.sessions, world.most_open[HERE]) == (2, 1)
    await line.close()


@in_virtual_time
async def test_a_command_is_not_repeated_over_a_new_connection(world: World) -> None:
    unit, line = world.plug(FieldUnit()), line_to(world)
    await run(line)
    await world.cut()
    with pytest.raises(OutcomeUnknownError):
        await run(line, lambda one: one.start_monitoring())
    assert (unit.changes_taken, world.called) == ([], 1)
    await line.close()


@in_virtual_time
async def test_a_connection_lost_during_a_session_is_an_error(world: World) -> None:
    unit, line = world.plug(FieldUnit()), line_to(world)
    await run(line)
    sent = 0

    async def cut_after_the_first_answer(one: MiniMate) -> str:
        nonlocal sent
        sent += 1
        await one.read_serial()
        await world.cut()
        return await one.read_serial()

    with pytest.raises(LinkClosedError):
        await run(line, cut_after_the_first_answer)
    assert sent == 1
    assert world.open[HERE] == 0
    asked = len(unit.heard)
    assert await run(line) == "SIM0001"
    assert len(unit.heard) == asked + 4
    await line.close()


@in_virtual_time
async def test_a_fresh_line_that_dies_at_once_is_an_error(world: World) -> None:
    unit, line = world.plug(FieldUnit()), line_to(world)

    async def cut_first(one: MiniMate) -> str:
        await world.cut()
        return await one.read_serial()

    with pytest.raises(LinkClosedError):
        await run(line, cut_first)
    assert world.called == 1
    assert len(unit.heard) == 2
    await line.close()


@in_virtual_time
async def test_a_session_that_failed_is_not_reused(world: World) -> None:
    unit, line = world.plug(FieldUnit()), line_to(world)
    unit.ignores.add(0x15)
    with pytest.raises(MiniMateError):
        await run(line)
    assert world.open[HERE] == 0
    unit.ignores.clear()
    assert await run(line) == "SIM0001"
    await line.close()


@in_virtual_time
async def test_a_line_that_cannot_be_opened_leaves_nothing_open(world: World) -> None:
    line = line_to(world)
    with pytest.raises(ConnectError):
        await run(line)
    assert (line.usage.sessions, line.usage.exchanges) == (0, 0)
    await line.close()


@in_virtual_time
async def test_closing_a_line_hangs_up_at_once_and_may_be_done_twice(world: World) -> None:
    world.plug(FieldUnit())
    line = line_to(world)
    await run(line)
    await line.close()
    assert world.open[HERE] == 0
    await line.close()


@in_virtual_time
async def test_without_a_keep_open_time_the_connection_is_closed_after_each_session(
    world: World,
) -> None:
    world.plug(FieldUnit())
    line = Connection(HERE, world.connect, keep_open_s=0)
    for _ in range(3):
        await run(line)
        assert world.open[HERE] == 0
    assert world.called == 3


@in_virtual_time
async def test_a_unit_has_one_session_however_many_readers_ask(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    gateway: Gateway = world.gateway

    async def reader(number: int) -> None:
        await asyncio.sleep(number % 7)
        for force in (False, True):
            match number % 5:
                case 0:
                    await gateway.info(HERE, freshness=FORCED if force else ANY)
                case 1:
                    await gateway.events(HERE, freshness=FORCED if force else ANY)
                case 2:
                    await gateway.monitor_status(HERE, freshness=FORCED if force else ANY)
                case 3:
                    await gateway.waveform(HERE, number % 3, freshness=FORCED if force else ANY)
                case _:
                    await gateway.storage_range(HERE)
            await asyncio.sleep(number % 11)

    await asyncio.gather(*(reader(number) for number in range(60)))
    assert world.most_open == {HERE: 1}
    assert unit.events


@in_virtual_time
async def test_a_hang_up_that_came_too_late_leaves_the_line_to_who_used_it_since(
    world: World,
) -> None:
    world.plug(FieldUnit())
    line = line_to(world)
    await run(line)
    async with line.lock:
        await asyncio.sleep(KEEP_OPEN_S + 1)
        await run_on(line, serial)
    await asyncio.sleep(1)
    assert (world.called, world.open[HERE]) == (1, 1)
    await line.close()
