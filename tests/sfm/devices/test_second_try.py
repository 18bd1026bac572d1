"""A line that died unnoticed, a modem with one slot, a unit that is silent: what a reader sees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from kit.relay_world import HERE, KEY, FieldUnit, World, in_virtual_time
from kit.virtual_time import now_s

from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError, MiniMateError
from minimateplus.link import Address, Link
from minimateplus.simulator.faulty_links import FaultyLink
from sfm.access.principal import Principal, Role
from sfm.cache.freshness import FORCED
from sfm.devices.commands import Commands
from sfm.devices.gateway import Gateway

PRINCIPAL = Principal("test", Role.ADMIN, "here")


class ForgottenLink(FaultyLink):
    """A path that a network on the way can forget: then every byte is lost, without a word."""

    wrap_links: list[ForgottenLink]

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self.is_forgotten = False
        self.wrap_links.append(self)

    async def receive(self) -> bytes:
        while True:
            data = await super().receive()
            if not self.is_forgotten:
                return data


def forget_open_links() -> None:
    for wrap_link in ForgottenLink.wrap_links:
        wrap_link.is_forgotten = True


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
    ForgottenLink.wrap_links = []
    world.wrap_link = ForgottenLink
    await world.gateway.events(HERE)
    forget_open_links()
    assert await outcome(world.gateway.monitor_status(HERE, FORCED)) == "answered"
    assert world.called == 2
    assert unit.heard.count(0x1C) == 2  # probe and fetch, once


@in_virtual_time
async def test_a_read_is_tried_no_more_than_twice(world: World) -> None:
    world.plug(FieldUnit()).record(2)
    ForgottenLink.wrap_links = []
    world.wrap_link = ForgottenLink
    await world.gateway.events(HERE)
    forget_open_links()

    class DeadLink(ForgottenLink):
        def __init__(self, inner: Link) -> None:
            super().__init__(inner)
            self.is_forgotten = True

    world.wrap_link = DeadLink
    began = now_s()
    assert await outcome(world.gateway.monitor_status(HERE, FORCED)) == "ReplyTimeoutError"
    assert (world.called, now_s() - began) == (2, 30.0)  # 10 s, then POLL twice


@in_virtual_time
async def test_a_command_over_a_half_open_line_is_not_tried_again(world: World) -> None:
    unit = world.plug(FieldUnit())
    ForgottenLink.wrap_links = []
    world.wrap_link = ForgottenLink
    await world.gateway.info(HERE)
    forget_open_links()
    commands = Commands(world.gateway, wall=world.wall, clock=now_s)
    assert await outcome(commands.start_monitoring(HERE, PRINCIPAL)) == "ReplyTimeoutError"
    assert (world.called, unit.heard.count(0x96)) == (1, 0)


@in_virtual_time
async def test_a_read_whose_first_answer_came_is_not_tried_again(world: World) -> None:
    unit = world.plug(FieldUnit()).record(2)
    ForgottenLink.wrap_links = []
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


@in_virtual_time
async def test_a_silent_unit_is_reported_within_five_seconds(world: World) -> None:
    world.plug(FieldUnit())

    class DeadLink(ForgottenLink):
        def __init__(self, inner: Link) -> None:
            super().__init__(inner)
            self.is_forgotten = True

    ForgottenLink.wrap_links = []
    world.wrap_link = DeadLink
    reading = asyncio.create_task(outcome(world.gateway.events(HERE)))
    await asyncio.sleep(5.1)
    under_way = world.gateway.stats()["devices"][KEY]["under_way"]
    assert under_way == [{"what": "s without an answer, trying again", "done": 5, "total": 20}]
    assert await reading == "ReplyTimeoutError"


@in_virtual_time
async def test_a_unit_that_answers_is_not_reported_silent(world: World) -> None:
    world.plug(FieldUnit()).record(1)
    log = world.gateway.progress(HERE)
    await world.gateway.events(HERE)
    await asyncio.sleep(20)
    await world.gateway.monitor_status(HERE, FORCED)
    assert not [entry for entry in log._entries if "without" in str(entry.data.get("what"))]
