"""Several routes to one unit, another unit on a route, and several names of one endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from itertools import count
from typing import Any
from unittest import mock

import pytest
from kit.relay_world import (
    ELSEWHERE,
    HERE,
    KEY,
    ROUTE,
    FieldUnit,
    World,
    in_virtual_time,
    listed_events,
    shape,
)

from minimateplus.errors import ConnectError, LinkError
from minimateplus.link import Address
from minimateplus.model import SetupChange
from minimateplus.simulator.faulty_links import LateLink
from minimateplus.wire import commands, layouts
from minimateplus.wire.framing import Frame
from minimateplus.wire.protocol_state import ProtocolState
from sfm.access.principal import LOCAL, ForbiddenUnitError
from sfm.cache.freshness import FORCED, Freshness
from sfm.devices.commands import CommandConflictError, Commands
from sfm.devices.device import Device
from sfm.devices.gateway import Gateway, NotCachedError
from sfm.devices.registry import Registry
from sfm.devices.route import Route
from sfm.devices.target import Target
from sfm.live_cache import LiveCache
from sfm.store import Wanted, archive
from sfm.store.errors import NoSuchUnitError
from sfm.store.service import StoreService

OTHER_ROUTE = "tcp:other.invalid:12345"
OLD = Freshness(only_if_cached=True)


def two_routes(world: World, serial: str = "SIM0001") -> FieldUnit:
    """One unit that both addresses lead to."""
    unit = world.plug(FieldUnit(serial).record(2))
    world.plug(unit, ELSEWHERE)
    return unit


def routes_of(serial: str, *addresses: Address) -> Target:
    return Target.at(*addresses, unit=serial, serial=serial)


both_orders = pytest.mark.parametrize(
    ("through", "after"), [(HERE, ELSEWHERE), (ELSEWHERE, HERE)], ids=["1 then 2", "2 then 1"]
)


@both_orders
@in_virtual_time
async def test_an_erase_over_one_route_is_an_erase_over_the_other(
    world: World, through: Address, after: Address
) -> None:
    unit = two_routes(world)
    for address in (through, after):
        await world.gateway.waveform(address, 0)
    await Commands(world.gateway).erase(
        through, LOCAL, serial="SIM0001", count=2, discard_unarchived=True
    )
    answer = await world.gateway.events(after)
    assert (answer.value, answer.provenance.epoch) == ([], 1)
    unit.record(2, axis=1)
    assert listed_events((await world.gateway.events(after)).value) == unit.truth()


@both_orders
@in_virtual_time
async def test_settings_over_one_route_are_read_anew_over_the_other(
    world: World, through: Address, after: Address
) -> None:
    two_routes(world)
    before = [await world.gateway.info(address) for address in (through, after)]
    change = SetupChange(notes="changed over the other route")
    await Commands(world.gateway).change_setup(through, LOCAL, change)
    answer = await world.gateway.info(after)
    assert answer.value["setup"]["notes"] == "changed over the other route"
    assert before[1].value["setup"] != answer.value["setup"]


@both_orders
@in_virtual_time
async def test_a_start_over_one_route_is_seen_over_the_other(
    world: World, through: Address, after: Address
) -> None:
    two_routes(world)
    for address in (through, after):
        assert not (await world.gateway.monitor_status(address)).value["monitoring"]
    await Commands(world.gateway).start_monitoring(through, LOCAL, follow=False)
    assert (await world.gateway.monitor_status(after)).provenance.why == "miss"
    await asyncio.sleep(60)
    assert (await world.gateway.monitor_status(after)).value["monitoring"]


@in_virtual_time
async def test_an_erase_while_a_read_over_the_other_route_is_under_way(world: World) -> None:
    unit = two_routes(world)
    await world.gateway.events(HERE)
    await world.gateway.events(ELSEWHERE)
    world.wrap_link = LateLink
    await asyncio.sleep(60)
    reading = asyncio.create_task(world.gateway.waveform(HERE, 0))
    await asyncio.sleep(3)
    await Commands(world.gateway).erase(
        ELSEWHERE, LOCAL, serial="SIM0001", count=2, discard_unarchived=True
    )
    await reading
    assert unit.events == []
    with contextlib.suppress(NotCachedError):
        answer = await world.gateway.waveform(HERE, 0, OLD)
        pytest.fail(f"an erased event was served: {answer.value['waveform_key']}")
    assert max(sum(world.open.values()), 0) <= 1


@in_virtual_time
async def test_two_first_contacts_at_once_end_in_one_session_at_a_time(world: World) -> None:
    unit = two_routes(world)
    world.wrap_link = LateLink
    answers = await asyncio.gather(world.gateway.events(HERE), world.gateway.events(ELSEWHERE))
    assert [listed_events(one.value) for one in answers] == [unit.truth()] * 2
    assert {one.provenance.serial for one in answers} == {"SIM0001"}
    assert len(world.gateway.registry.devices) == 1
    assert sum(world.open.values()) <= 1


@in_virtual_time
async def test_a_hit_by_address_needs_a_contact_over_it(world: World) -> None:
    await world.with_settings(validated_s=30)
    unit = two_routes(world)
    await world.gateway.monitor_status(HERE)
    asked = len(unit.heard)
    answer = await world.gateway.monitor_status(ELSEWHERE)
    # Waking it over a new link, and the serial number: nothing else.
    assert unit.heard[asked:] == [commands.POLL.sub] * 2 + [commands.SERIAL.sub] * 2
    assert (answer.provenance.why, answer.provenance.conn_key) == ("hit", ROUTE)
    asked = len(unit.heard)
    for address in (HERE, ELSEWHERE):
        assert (await world.gateway.monitor_status(address)).provenance.why == "hit"
    assert len(unit.heard) == asked


@in_virtual_time
async def test_another_unit_on_a_route_takes_nothing_from_the_first(world: World) -> None:
    await world.with_disk()
    first = world.plug(FieldUnit("SIM0001").record(3))
    before = await world.gateway.events(HERE)
    second = world.plug(FieldUnit("SIM0002").record(1, axis=1))
    await asyncio.sleep(60)
    other = await world.gateway.events(HERE)
    assert (other.provenance.serial, other.provenance.epoch) == ("SIM0002", 0)
    assert listed_events(other.value) == second.truth()
    known = world.gateway.registry.unit("SIM0001").durable.events
    assert known is not None
    assert known.value() == before.value
    world.plug(first)
    await asyncio.sleep(60)
    again = await world.gateway.events(HERE)
    assert (again.provenance.serial, again.provenance.epoch, again.provenance.why) == (
        "SIM0001",
        0,
        "hit",
    )


@in_virtual_time
async def test_a_unit_without_a_route_is_answered_from_what_is_known_and_marked(
    world: World,
) -> None:
    await world.with_disk()
    world.plug(FieldUnit("SIM0001").record(2))
    before = await world.gateway.events(HERE)
    nowhere = routes_of("SIM0001")
    with pytest.raises(NoSuchUnitError, match="no route leads to unit SIM0001"):
        await world.gateway.events(nowhere)
    answer = await world.gateway.events(nowhere, Freshness(stale_if_error_s=100))
    assert (answer.value, answer.provenance.quality) == (before.value, "last_known")
    await world.restart()
    answer = await world.gateway.events(nowhere, Freshness(stale_if_error_s=100))
    assert answer.value == before.value
    assert answer.provenance.quality == "not_verified_since_restart"


@in_virtual_time
async def test_a_dead_route_beside_a_live_one_is_passed_over(world: World) -> None:
    unit = world.plug(FieldUnit("SIM0001").record(2), ELSEWHERE)
    target = routes_of("SIM0001", HERE, ELSEWHERE)
    for _ in range(3):
        answer = await world.gateway.events(target)
        assert listed_events(answer.value) == unit.truth()
        assert answer.provenance.conn_key == OTHER_ROUTE
        await asyncio.sleep(60)
    done = await Commands(world.gateway).start_monitoring(target, LOCAL, follow=False)
    assert (done.outcome, done.conn_key) == ("done", OTHER_ROUTE)
    world.units.clear()
    await asyncio.sleep(60)
    with pytest.raises(ConnectError, match=r"other\.invalid"):
        await world.gateway.events(target, FORCED)


@in_virtual_time
async def test_by_serial_number_the_preferred_route_is_taken(world: World) -> None:
    two_routes(world)
    target = routes_of("SIM0001", ELSEWHERE, HERE)
    await world.gateway.info(HERE)
    answer = await world.gateway.monitor_status(target)
    assert answer.provenance.conn_key == OTHER_ROUTE
    assert world.open == {HERE: 0, ELSEWHERE: 1}


@in_virtual_time
async def test_a_command_for_a_unit_that_was_swapped_is_refused(world: World) -> None:
    world.plug(FieldUnit("SIM0001"))
    await world.gateway.info(HERE)
    other = world.plug(FieldUnit("SIM0002"))
    await asyncio.sleep(60)
    with pytest.raises(CommandConflictError) as refused:
        await Commands(world.gateway).start_monitoring(
            routes_of("SIM0001", HERE), LOCAL, serial="SIM0001", follow=False
        )
    assert refused.value.reason == "serial-differs"
    assert not other.is_monitoring
    done = await Commands(world.gateway).start_monitoring(HERE, LOCAL, serial="SIM0002")
    assert (done.serial, done.outcome) == ("SIM0002", "done")


@in_virtual_time
async def test_a_client_limited_to_a_unit_gets_nothing_of_another_and_its_own_again(
    world: World,
) -> None:
    mine = Target.at(HERE, only=frozenset({"SIM0001"}))
    own = world.plug(FieldUnit("SIM0001").record(1))
    assert (await world.gateway.events(mine)).provenance.serial == "SIM0001"
    world.plug(FieldUnit("SIM0002").record(2))
    await asyncio.sleep(60)
    for ask in (world.gateway.events, world.gateway.info, world.gateway.lifetime_count):
        with pytest.raises(ForbiddenUnitError):
            await ask(mine)
    with pytest.raises(ForbiddenUnitError):
        await Commands(world.gateway).start_monitoring(mine, LOCAL, follow=False)
    with pytest.raises(ForbiddenUnitError):
        await world.gateway.info(mine, Freshness(stale_if_error_s=1000))
    world.plug(own)
    await asyncio.sleep(60)
    assert (await world.gateway.events(mine)).provenance.serial == "SIM0001"


ENDPOINT = Address("tcp", "10.0.0.5", 12345)
SECOND_MODEM = Address("tcp", "10.0.0.6", 12345)


def named_alike(world: World) -> None:
    """Let both names lead to one endpoint, which one unit stands behind."""

    async def resolve(address: Address) -> Address:
        return address if address == SECOND_MODEM else ENDPOINT

    world.gateway = Gateway(
        world.cache,
        world.settings,
        store_service=StoreService(None, clock=world.cache._clock, wall=world.wall),
        connect=world.connect,
        resolve=resolve,
        clock=world.cache._clock,
        wall=world.wall,
    )


@in_virtual_time
async def test_two_names_of_one_endpoint_never_connect_at_once(world: World) -> None:
    await world.gateway.close()
    named_alike(world)
    unit = world.plug(FieldUnit().record(2), ENDPOINT)
    world.wrap_link = LateLink
    answers = await asyncio.gather(
        *(world.gateway.events(one) for one in (HERE, ELSEWHERE, HERE, ELSEWHERE))
    )
    assert [listed_events(one.value) for one in answers] == [unit.truth()] * 4
    assert world.most_open[ENDPOINT] == 1


async def named_while_it_is_read(world: World) -> None:
    """Ask for a name of the unit's endpoint while it is read over another modem."""
    await asyncio.sleep(60)
    await world.gateway.info(SECOND_MODEM)
    await asyncio.sleep(60)
    world.wrap_link, world.most_open_together = LateLink, 0
    reading = asyncio.create_task(world.gateway.events(SECOND_MODEM))
    await asyncio.sleep(3)
    assert world.open == {ENDPOINT: 0, SECOND_MODEM: 1}
    answer = await world.gateway.monitor_status(ELSEWHERE)
    assert answer.provenance.serial == (await reading).provenance.serial == "SIM0001"


@in_virtual_time
async def test_a_new_name_of_a_known_endpoint_is_read_in_the_units_turn(world: World) -> None:
    await world.gateway.close()
    named_alike(world)
    world.plug(world.plug(FieldUnit().record(3), ENDPOINT), SECOND_MODEM)
    await world.gateway.info(HERE)
    await named_while_it_is_read(world)
    assert world.most_open_together == 1


@in_virtual_time
async def test_a_name_of_before_a_swap_is_read_in_the_turn_of_the_unit_found_by_another(
    world: World,
) -> None:
    await world.gateway.close()
    named_alike(world)
    world.plug(FieldUnit("SIM0002"), ENDPOINT)
    await world.gateway.info(ELSEWHERE)
    await asyncio.sleep(60)
    world.plug(world.plug(FieldUnit().record(3), ENDPOINT), SECOND_MODEM)
    await world.gateway.info(HERE)
    await named_while_it_is_read(world)
    assert world.most_open_together == 1


@in_virtual_time
async def test_a_unit_that_came_back_is_found_under_its_own_name_of_the_endpoint(
    world: World,
) -> None:
    await world.gateway.close()
    named_alike(world)
    first = world.plug(FieldUnit("SIM0002"), ENDPOINT)
    await world.gateway.info(ELSEWHERE)
    await asyncio.sleep(60)
    world.plug(FieldUnit(), ENDPOINT)
    await world.gateway.info(HERE)
    await asyncio.sleep(60)
    world.plug(first, ENDPOINT)
    answer = await world.gateway.monitor_status(routes_of("SIM0002", ELSEWHERE))
    assert answer.provenance.serial == "SIM0002"


@in_virtual_time
async def test_a_unit_that_named_itself_to_a_command_is_known_though_the_line_was_cut_then(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(1))
    serial_number = commands.SERIAL.sub
    unit.at_next(serial_number, lambda: unit.at_next_time(serial_number, 2, world.cut_at_once))
    with pytest.raises(LinkError):
        await Commands(world.gateway).erase(
            HERE, LOCAL, serial="SIM0001", count=1, discard_unarchived=True
        )
    assert world.gateway.registry.device(HERE).serial == "SIM0001"


# --- what waits, and for how long -----------------------------------------------------------------


@in_virtual_time
async def test_a_status_is_no_hit_once_noting_who_answered_made_it_too_old(world: World) -> None:
    two_routes(world)
    await world.gateway.monitor_status(HERE)
    note = world.gateway.roster.note_contact

    async def slowly(*args: Any, **more: Any) -> None:
        await asyncio.sleep(2)
        await note(*args, **more)

    await asyncio.sleep(29)
    with mock.patch.object(world.gateway.roster, "note_contact", slowly):
        answer = await world.gateway.monitor_status(ELSEWHERE)
    assert (answer.provenance.why, answer.provenance.age_s < 30) == ("miss", True)


@pytest.mark.parametrize("verb", ["info", "monitor_status", "events", "waveform"])
@in_virtual_time
async def test_readers_join_a_read_that_waits_for_its_session(world: World, verb: str) -> None:
    await world.with_settings(max_sessions=1, keep_open_s=0)
    unit = world.plug(FieldUnit().record(1))
    world.plug(FieldUnit("SIM0002").record(5), ELSEWHERE)
    await world.gateway.monitor_status(HERE)
    await world.gateway.monitor_status(ELSEWHERE)
    await asyncio.sleep(60)
    world.cache.mark_config_dirty(KEY)
    world.wrap_link = LateLink
    other = asyncio.create_task(world.gateway.events(ELSEWHERE))
    await asyncio.sleep(1)
    read = getattr(world.gateway, verb)
    if verb == "waveform":
        read = partial(world.gateway.waveform, index=0)
    flight, heard = world.gateway.registry.device(HERE).single_flight, len(unit.heard)
    started = flight.started_reads
    readers = []
    for _ in range(3):
        readers.append(asyncio.create_task(read(HERE)))
        await asyncio.sleep(1)
    assert (len(unit.heard), flight.started_reads) == (heard, started + 1)
    forced = asyncio.create_task(read(HERE, freshness=FORCED))
    answers = await asyncio.gather(*readers)
    assert [one.provenance.shared for one in answers] == [False, True, True]
    assert (await forced).provenance.why == "request"
    assert flight.started_reads == started + 2
    await other


# --- a real and a simulated unit with one serial number -------------------------------------------


class RealUnit(FieldUnit):
    """One that does not say that it is a simulation."""

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        with mock.patch.object(layouts, "SIMULATED_TEXT", b""):
            return super().answer(protocol, request)


@pytest.mark.parametrize("restarts", [False, True], ids=["one run", "restarted"])
@pytest.mark.parametrize("kinds", [(RealUnit, FieldUnit), (FieldUnit, RealUnit)])
@in_virtual_time
async def test_a_simulated_unit_shares_nothing_with_a_real_one_of_its_serial_number(
    world: World, kinds: tuple[type[FieldUnit], type[FieldUnit]], restarts: bool
) -> None:
    disk = await world.with_disk()
    first, second = (
        kind("BE12345").record(count, axis=axis, never_set=True)
        for kind, count, axis in zip(kinds, (2, 2), (0, 1), strict=True)
    )
    was_simulated = kinds[0] is FieldUnit
    world.plug(first)
    await world.gateway.waveform(HERE, 0)
    before = await world.gateway.events(HERE)
    assert before.provenance.simulated is was_simulated
    for unit, is_simulated in ((second, not was_simulated), (first, was_simulated)):
        world.plug(unit)
        await asyncio.sleep(600)
        if restarts:
            await world.restart()
        # What it answers first is an event: nothing of the other unit's.
        answer = await world.gateway.waveform(HERE, 0)
        assert shape(answer.value["peaks"]) == unit.truth()[0][2]
        assert answer.provenance.simulated is is_simulated
        answer = await world.gateway.events(HERE)
        assert listed_events(answer.value) == unit.truth()
        assert answer.provenance.simulated is is_simulated
        assert answer.provenance.epoch > before.provenance.epoch
        before = answer
        found = disk.opened().read(archive.load_page, Wanted(), limit=100).rows
        whose = {(row["simulated"], shape(row["peaks"])) for row in found}
        assert {one for one in whose if one[0]} == {
            (True, shape_) for _, _, shape_ in (second if not was_simulated else first).truth()
        }


# --- planted faults ------------------------------------------------------------------------------


def met_by_route(
    self: Registry, device: Device, route: Route, serial: str, *rest: Any, met: Any = Registry.met
) -> None:
    """Each route has a device of its own, whatever unit it leads to."""
    met(self, device, route, f"{serial} over {route.conn_key}", *rest)


@in_virtual_time
async def test_planted_a_cache_for_each_route_serves_what_was_invalidated_over_the_other(
    world: World,
) -> None:
    two_routes(world)
    with mock.patch.object(Registry, "met", met_by_route):
        await world.gateway.monitor_status(HERE)
        await world.gateway.monitor_status(ELSEWHERE)
        await Commands(world.gateway).start_monitoring(HERE, LOCAL, follow=False)
        stale = await world.gateway.monitor_status(ELSEWHERE)
    assert stale.provenance.why == "hit"


@in_virtual_time
async def test_planted_a_lock_by_address_alone_connects_to_one_endpoint_twice(
    world: World,
) -> None:
    await world.gateway.close()
    named_alike(world)
    world.plug(FieldUnit().record(2), ENDPOINT)
    world.wrap_link = LateLink
    with mock.patch("sfm.devices.endpoints.endpoint_of", side_effect=map(str, count())):
        await asyncio.gather(
            *(world.gateway.events(one) for one in (HERE, ELSEWHERE)), return_exceptions=True
        )
    assert world.most_open[ENDPOINT] > 1


def test_keys_of_routes_ignore_case_and_spelling() -> None:
    assert Target.at(Address("tcp", "Unit.INVALID", 12345)).conn_keys == (ROUTE,)
    assert LiveCache.make_conn_key("unit.invalid") == ROUTE
