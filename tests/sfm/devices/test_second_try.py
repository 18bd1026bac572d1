"""A line that died unnoticed, a modem with one slot, a unit that is silent: what a reader sees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

from kit.relay_world import ELSEWHERE, HERE, FieldUnit, World, in_virtual_time
from kit.virtual_time import now_s

from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError, MiniMateError
from minimateplus.link import Address, Link
from minimateplus.simulator.faulty_links import FaultyLink, StalledLink
from sfm.access.principal import Principal, Role
from sfm.cache.freshness import FORCED
from sfm.devices.commands import Commands
from sfm.devices.gateway import Gateway

PRINCIPAL = Principal("test", Role.ADMIN, "here")


class ForgottenLink(FaultyLink):
    """A path that a network on the way can forget: then every byte is lost, without a word."""

    links: list[ForgottenLink]

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self.is_forgotten = False
        self.links.append(self)

    async def receive(self) -> bytes:
        while True:
            data = await super().receive()
            if not self.is_forgotten:
                return data


class DeadLink(ForgottenLink):
    """A path that is forgotten from the start."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self.is_forgotten = True


def forget_open_links() -> None:
    for link in ForgottenLink.links:
        link.is_forgotten = True


async def outcome(asked: Awaitable[Any]) -> str:
    """What became of it: answered, or the error's class."""
    try:
        await asked
    except MiniMateError as error:
        return type(error).__name__
    return "answered"


@in_virtual_time
async def test_a_read_over_a_half_open_line_is_tried_once_more(world: World) -> None:
    unit = world.plug(FieldUnit()).record(2)
    ForgottenLink.links = []
    world.wrap_link = ForgottenLink
    await world.gateway.events(HERE)
    forget_open_links()
    assert await outcome(world.gateway.monitor_status(HERE, FORCED)) == "answered"
    assert world.called == 2
    assert unit.heard.count(0x1C) == 2  # probe and fetch, once


@in_virtual_time
async def test_a_read_is_tried_no_more_than_twice(world: World) -> None:
    world.plug(FieldUnit()).record(2)
    ForgottenLink.links = []
    world.wrap_link = ForgottenLink
    await world.gateway.events(HERE)
    forget_open_links()

    world.wrap_link = DeadLink
    began = now_s()
    assert await outcome(world.gateway.monitor_status(HERE, FORCED)) == "ReplyTimeoutError"
    assert (world.called, now_s() - began) == (2, 30.0)  # 10 s, then POLL twice


@in_virtual_time
async def test_a_command_over_a_half_open_line_is_not_tried_again(world: World) -> None:
    unit = world.plug(FieldUnit())
    ForgottenLink.links = []
    world.wrap_link = ForgottenLink
    await world.gateway.info(HERE)
    forget_open_links()
    commands = Commands(world.gateway, wall=world.wall, clock=now_s)
    assert await outcome(commands.start_monitoring(HERE, PRINCIPAL)) == "ReplyTimeoutError"
    assert (world.called, unit.heard.count(0x96)) == (1, 0)


@in_virtual_time
async def test_a_read_whose_first_answer_came_is_not_tried_again(world: World) -> None:
    unit = world.plug(FieldUnit()).record(2)
    ForgottenLink.links = []
    world.wrap_link = ForgottenLink
    await world.gateway.events(HERE)
    unit.at_exchange(2, forget_open_links)  # its answer still arrives; the next request does not
    assert await outcome(world.gateway.monitor_status(HERE, FORCED)) == "ReplyTimeoutError"
    assert world.called == 1


class OneSlotModem:
    """Refuses callers for so long after its last one left, as a modem with one slot does."""

    def __init__(self, world: World, frees_after_s: float) -> None:
        self.world, self.frees_after_s = world, frees_after_s
        self.left_mono = float("-inf")
        self.refused = 0

    async def connect(self, address: Address) -> MiniMate:
        if now_s() - self.left_mono < self.frees_after_s:
            self.refused += 1
            error = ConnectError(f"{address}: connection refused")
            error.diagnosis = "refused"
            raise error
        unit = await self.world.connect(address)
        close = unit.close

        async def left() -> None:
            await close()
            self.left_mono = now_s()

        unit.close = left  # type: ignore[method-assign]
        return unit

    def gateway(self) -> Gateway:
        world = self.world
        return Gateway(
            world.cache, world.settings, connect=self.connect, clock=now_s, wall=world.wall
        )


@in_virtual_time
async def test_a_modem_that_frees_its_slot_late_serves_every_read(world: World) -> None:
    world.plug(FieldUnit()).record(2)
    modem = OneSlotModem(world, frees_after_s=8.0)
    gateway = modem.gateway()
    seen = []
    for gap_s in (4.0, 4.0, 7.0, 7.0, 12.0, 7.0):
        seen.append(await outcome(gateway.events(HERE)))
        await asyncio.sleep(gap_s)
    assert seen == ["answered"] * 6
    assert modem.refused > 0
    await gateway.close()


@in_virtual_time
async def test_a_refusal_long_after_we_hung_up_is_an_error_at_once(world: World) -> None:
    world.plug(FieldUnit())
    modem = OneSlotModem(world, frees_after_s=3600.0)
    gateway = modem.gateway()
    await gateway.info(HERE)
    await asyncio.sleep(60)
    began = now_s()
    assert await outcome(gateway.monitor_status(HERE, FORCED)) == "ConnectError"
    assert (now_s() - began, modem.refused) == (0.0, 1)
    await gateway.close()


@in_virtual_time
async def test_a_command_that_is_refused_is_not_tried_again(world: World) -> None:
    world.plug(FieldUnit())
    modem = OneSlotModem(world, frees_after_s=8.0)
    gateway = modem.gateway()
    await gateway.info(HERE)
    await asyncio.sleep(6)
    commands = Commands(gateway, wall=world.wall, clock=now_s)
    assert await outcome(commands.start_monitoring(HERE, PRINCIPAL)) == "ConnectError"
    assert modem.refused == 1
    await gateway.close()


@in_virtual_time
async def test_a_link_is_kept_open_as_long_as_its_address_says(world: World) -> None:
    await world.with_disk(keep_open_s_by_address={str(HERE): 60.0})
    world.plug(FieldUnit())
    await world.gateway.info(HERE)
    await asyncio.sleep(59)
    assert world.open[HERE] == 1
    await asyncio.sleep(2)
    assert world.open[HERE] == 0


SILENT = {"what": "s without an answer, trying again"}


def under_way(world: World, address: Address = HERE) -> list[dict[str, Any]]:
    """What those who follow a unit's reads are shown."""
    key = world.gateway.registry.device(address).key
    shown: list[dict[str, Any]] = world.gateway.stats()["devices"][key]["under_way"]
    return shown


@in_virtual_time
async def test_a_silent_unit_is_reported_within_five_seconds(world: World) -> None:
    world.plug(FieldUnit())

    ForgottenLink.links = []
    world.wrap_link = DeadLink
    began = now_s()
    reading = asyncio.create_task(outcome(world.gateway.events(HERE)))
    await asyncio.sleep(5.1)
    assert under_way(world) == [SILENT | {"done": 5, "total": 20}]
    assert (await reading, now_s() - began) == ("ReplyTimeoutError", 20.0)


@in_virtual_time
async def test_a_unit_that_answers_is_not_reported_silent(world: World) -> None:
    world.plug(FieldUnit()).record(1)
    log = world.gateway.progress(HERE)
    await world.gateway.events(HERE)
    await asyncio.sleep(20)
    await world.gateway.monitor_status(HERE, FORCED)
    assert not [entry for entry in log._entries if "without" in str(entry.data.get("what"))]


@in_virtual_time
async def test_a_half_open_line_is_reported_with_the_time_that_both_tries_take(
    world: World,
) -> None:
    world.plug(FieldUnit()).record(2)
    ForgottenLink.links = []
    world.wrap_link = ForgottenLink
    await world.gateway.events(HERE)
    forget_open_links()

    world.wrap_link = DeadLink
    began = now_s()
    reading = asyncio.create_task(outcome(world.gateway.events(HERE)))
    await asyncio.sleep(5.1)
    assert under_way(world) == [SILENT | {"done": 5, "total": 30}]
    await asyncio.sleep(5)  # the second try has begun; the first word still counts
    assert under_way(world) == [SILENT | {"done": 10, "total": 30}]
    assert (await reading, now_s() - began) == ("ReplyTimeoutError", 30.0)


@in_virtual_time
async def test_a_command_over_a_half_open_line_is_reported_with_its_one_try(
    world: World,
) -> None:
    world.plug(FieldUnit())
    ForgottenLink.links = []
    world.wrap_link = ForgottenLink
    await world.gateway.info(HERE)
    forget_open_links()
    log, began = world.gateway.progress(HERE), now_s()
    commands = Commands(world.gateway, wall=world.wall, clock=now_s)
    assert await outcome(commands.start_monitoring(HERE, PRINCIPAL)) == "ReplyTimeoutError"
    assert now_s() - began == 10.0
    waits = [one.data for one in log._entries if "without" in str(one.data.get("what"))]
    assert [(one["what"], one["done"], one["total"]) for one in waits] == [
        ("s without an answer", 5, 10)
    ]


@in_virtual_time
async def test_a_link_that_does_not_open_is_not_reported_as_a_silent_unit(world: World) -> None:
    async def slow(address: Address) -> MiniMate:
        await asyncio.sleep(8)
        return await world.connect(address)

    world.plug(FieldUnit()).record(1)
    world.gateway.registry.connect = slow
    reading = asyncio.create_task(outcome(world.gateway.events(HERE)))
    await asyncio.sleep(5.1)
    assert under_way(world) == [{"what": "s without a connection", "done": 5, "total": 10}]
    assert await reading == "answered"


@in_virtual_time
async def test_silence_counts_from_the_open_link(world: World) -> None:
    async def slow(address: Address) -> MiniMate:
        await asyncio.sleep(3)
        return await world.connect(address)

    ForgottenLink.links = []
    world.wrap_link = DeadLink
    world.plug(FieldUnit())
    world.gateway.registry.connect = slow
    began = now_s()
    reading = asyncio.create_task(outcome(world.gateway.events(HERE)))
    await asyncio.sleep(7)
    assert under_way(world) == []
    await asyncio.sleep(1.1)
    assert under_way(world) == [SILENT | {"done": 5, "total": 20}]
    assert (await reading, now_s() - began) == ("ReplyTimeoutError", 23.0)


@in_virtual_time
async def test_a_wait_for_the_modem_s_line_is_not_reported_as_silence(world: World) -> None:
    world.plug(FieldUnit()).record(1)
    modem = OneSlotModem(world, frees_after_s=8.0)
    gateway = modem.gateway()
    await gateway.info(HERE)
    await asyncio.sleep(5.5)  # hung up 0.5 s ago
    log = gateway.progress(HERE)
    assert await outcome(gateway.events(HERE)) == "answered"
    steps = [one.data["what"] for one in log._entries if "what" in one.data]
    assert steps[0] == "s until the next try: the modem may not have freed its line yet"
    assert not [step for step in steps if "without" in step]
    await gateway.close()


@in_virtual_time
async def test_a_wait_for_a_free_session_is_not_reported_as_silence(world: World) -> None:
    await world.with_settings(max_unknown_sessions=1)
    world.plug(FieldUnit("SIM0001"))
    world.plug(FieldUnit("SIM0002"), ELSEWHERE)
    world.wrap_links[ELSEWHERE] = partial(StalledLink, after_bytes=0)
    silent = asyncio.create_task(outcome(world.gateway.info(ELSEWHERE)))
    await asyncio.sleep(0.1)
    reading = asyncio.create_task(outcome(world.gateway.info(HERE)))
    await asyncio.sleep(6)
    assert under_way(world) == [
        {"what": "s waiting for a free session of the relay", "done": 5, "total": 300}
    ]
    assert under_way(world, ELSEWHERE) == [SILENT | {"done": 5, "total": 20}]
    assert (await silent, await reading) == ("ReplyTimeoutError", "answered")


@in_virtual_time
async def test_a_wait_for_the_connection_lock_is_not_reported_as_silence(world: World) -> None:
    world.plug(FieldUnit()).record(1)
    device = world.gateway.registry.device(HERE)
    await device.single_flight._lock.acquire()
    reading = asyncio.create_task(outcome(world.gateway.info(HERE)))
    await asyncio.sleep(30)
    assert under_way(world) == []
    device.single_flight._lock.release()
    assert await reading == "answered"
