from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from kit import virtual_time
from kit.relay_world import (
    ELSEWHERE,
    HERE,
    KEY,
    ROUTE,
    T0,
    FieldUnit,
    World,
    ground,
    in_virtual_time,
    listed_events,
)
from kit.virtual_time import now_s

from minimateplus.errors import (
    ConnectError,
    KeyChainError,
    LinkClosedError,
    MemoryChangedError,
    NoSuchEventError,
    ReplyTimeoutError,
    UnitError,
)
from minimateplus.link import Address, Deadlines, Link
from minimateplus.model import FIRST_KEY
from minimateplus.simulator.faulty_links import LateLink
from minimateplus.wire import commands
from sfm.access.egress import EgressPolicy
from sfm.cache.freshness import ANY, FORCED
from sfm.devices.answer import Answer
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.gateway import Gateway
from sfm.devices.single_flight import ShuttingDownError
from sfm.live_cache import LiveCache
from sfm.records import payloads
from sfm.settings import Settings

Ask = Callable[[World], Awaitable[Answer]]

STATUS_TTL_S = 30.0
AWAY_S = 60.0
"""Longer than a connection is kept open: what comes next is a new session."""


async def info(world: World, **how: Any) -> Answer:
    return await world.gateway.info(HERE, **how)


def read_at(answer: Answer) -> str:
    assert answer.provenance.read_at is not None
    return answer.provenance.read_at


async def events(world: World, **how: Any) -> Answer:
    return await world.gateway.events(HERE, **how)


async def status(world: World, **how: Any) -> Answer:
    return await world.gateway.monitor_status(HERE, **how)


async def first_waveform(world: World, **how: Any) -> Answer:
    return await world.gateway.waveform(HERE, 0, **how)


async def storage_range(world: World, **how: Any) -> Answer:
    return await world.gateway.storage_range(HERE)


async def ask_everything(world: World) -> None:
    for ask in (info, events, status, first_waveform):
        await ask(world)


def samples_are(answer: Answer, axis: int, loud: int = 3) -> bool:
    """Whether the samples are those of that ground motion, to the last."""
    return bool((payloads.counts_of(answer.value) == ground(loud, axis)).all())


# ---- readers


@pytest.mark.parametrize("ask", [info, events, status, first_waveform])
@in_virtual_time
async def test_two_hundred_readers_at_once_on_an_empty_cache_cost_exactly_one_read(
    world: World, ask: Ask
) -> None:
    alone = world.plug(FieldUnit("SIM0002").record(3), ELSEWHERE)
    unit = world.plug(FieldUnit().record(3))
    match ask.__name__:
        case "info":
            await world.gateway.info(ELSEWHERE)
        case "events":
            await world.gateway.events(ELSEWHERE)
        case "status":
            await world.gateway.monitor_status(ELSEWHERE)
        case _:
            await world.gateway.waveform(ELSEWHERE, 0)
    answers = await asyncio.gather(*(ask(world) for _ in range(200)))
    assert unit.exchanges == alone.exchanges > 0
    assert sum(not answer.provenance.shared for answer in answers) == 1
    assert all(answer.value == answers[0].value for answer in answers)


@in_virtual_time
async def test_readers_who_come_during_a_download_share_the_next_departure(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    world.wrap_link = LateLink
    await events(world)
    first = asyncio.create_task(first_waveform(world, freshness=FORCED))
    await asyncio.sleep(15)
    late = [asyncio.create_task(first_waveform(world, freshness=FORCED)) for _ in range(50)]
    await first
    answers = await asyncio.gather(*late)
    downloads = unit.heard.count(commands.BULK_READ.sub)
    assert downloads == 2
    assert {a.provenance.read_at for a in answers} == {answers[0].provenance.read_at}
    assert read_at(first.result()) < read_at(answers[0])


@in_virtual_time
async def test_a_reader_who_joins_a_walk_is_answered_by_it_and_costs_nothing(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(5))
    world.wrap_link = LateLink
    first = asyncio.create_task(events(world))
    await asyncio.sleep(35)
    joins = asyncio.create_task(events(world))
    assert (await first).value == (await joins).value
    assert joins.result().provenance.shared
    asked = len(unit.heard)
    alone = world.plug(FieldUnit("SIM0002").record(5), ELSEWHERE)
    await world.gateway.events(ELSEWHERE)
    assert asked == len(alone.heard)


@in_virtual_time
async def test_no_reader_joins_a_walk_that_the_unit_cannot_prove(world: World) -> None:
    unit = world.plug(FieldUnit().record(5))
    unit.ignores.add(commands.EVENT_COUNTER.sub)
    world.wrap_link = LateLink
    first = asyncio.create_task(events(world))
    await asyncio.sleep(60)
    late = asyncio.create_task(events(world))
    assert not (await late).provenance.shared
    assert read_at(await first) < read_at(late.result())


@in_virtual_time
async def test_no_reader_joins_a_walk_that_began_before_the_device_was_dropped(
    world: World,
) -> None:
    world.plug(FieldUnit().record(5))
    world.wrap_link = LateLink
    first = asyncio.create_task(events(world))
    await asyncio.sleep(35)
    world.cache.drop_device(KEY, "a person asked to")
    late = asyncio.create_task(events(world))
    assert not (await late).provenance.shared
    assert read_at(await first) < read_at(late.result())


@in_virtual_time
async def test_a_reader_at_any_second_of_a_walk_sees_what_was_recorded_before_the_request(
    world: World,
) -> None:
    world.wrap_link = LateLink
    for second in range(64):
        unit = world.plug(FieldUnit(f"S{second}").record(2))
        first = asyncio.create_task(events(world))
        await asyncio.sleep(second + 0.5)
        unit.record(axis=1)
        late = await events(world)
        assert listed_events(late.value) == unit.truth(), second
        await first
        await asyncio.sleep(AWAY_S)


@in_virtual_time
async def test_without_a_counter_the_stamp_is_read_again_after_a_download(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(2))
    unit.ignores.add(commands.EVENT_COUNTER.sub)
    await events(world)

    def rerecord() -> None:
        unit.erase()
        unit.record(2, axis=1)

    unit.at_next(commands.BULK_READ.sub, lambda: unit.at_exchange(1, rerecord))
    answer = await first_waveform(world)
    assert samples_are(answer, axis=1)
    assert listed_events([answer.value]) == unit.truth()[:1]


@pytest.mark.parametrize("ask", [info, events, status, first_waveform])
@in_virtual_time
async def test_a_forced_answer_comes_from_a_read_that_began_after_it_was_asked_for(
    world: World, ask: Callable[..., Awaitable[Answer]]
) -> None:
    world.plug(FieldUnit().record(3))
    world.wrap_link = LateLink
    first = asyncio.ensure_future(ask(world))
    for wait_s in (1, 5, 20, 40):
        await asyncio.sleep(wait_s)
        asked_at = world.wall().isoformat(timespec="milliseconds")
        answer = await ask(world, freshness=FORCED)
        assert read_at(answer) >= asked_at
        assert (answer.provenance.why, answer.provenance.source) == ("request", "device")
    await first


@pytest.mark.parametrize("ask", [info, events, status, first_waveform])
@in_virtual_time
async def test_forced_and_unforced_readers_who_wait_share_one_read(
    world: World, ask: Callable[..., Awaitable[Answer]]
) -> None:
    unit = world.plug(FieldUnit().record(3))
    await ask(world)
    first = asyncio.create_task(storage_range(world))
    await asyncio.sleep(0)
    unit.heard.clear()
    forced, *others = await asyncio.gather(
        ask(world, freshness=FORCED),
        *(ask(world, freshness=FORCED if n % 2 == 0 else ANY) for n in range(20)),
    )
    await first
    # Who does not mind an older answer gets what is held of info and status at once.
    waited = [a.provenance for a in others if a.provenance.why != "hit"]
    assert len(waited) >= 10
    assert all(waiter.shared for waiter in waited)
    assert {waiter.read_at for waiter in waited} == {forced.provenance.read_at}
    assert len(unit.heard) == first.result().provenance.exchanges + forced.provenance.exchanges


@in_virtual_time
async def test_a_failing_read_is_one_failure_for_all_who_wait(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    unit.ignores.add(commands.SERIAL.sub)
    outcomes = await asyncio.gather(*(events(world) for _ in range(50)), return_exceptions=True)
    assert all(outcome is outcomes[0] for outcome in outcomes)
    assert isinstance(outcomes[0], ReplyTimeoutError)
    assert unit.heard.count(commands.SERIAL.sub) == 1
    assert world.called == 1


@in_virtual_time
async def test_a_reader_who_goes_away_leaves_a_read_that_is_finished_and_kept(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(3))
    world.wrap_link = LateLink
    gone, stays = (asyncio.create_task(events(world)) for _ in range(2))
    await asyncio.sleep(20)
    gone.cancel()
    assert listed_events((await stays).value) == unit.truth()

    alone = asyncio.create_task(first_waveform(world))
    await asyncio.sleep(5)
    alone.cancel()
    await asyncio.sleep(AWAY_S)
    unit.heard.clear()
    assert (await first_waveform(world)).provenance.why == "hit"
    assert commands.BULK_READ.sub not in unit.heard


@in_virtual_time
async def test_closing_the_gateway_ends_what_is_under_way_and_hangs_up(world: World) -> None:
    world.plug(FieldUnit().record(3))
    world.plug(FieldUnit("SIM0002"), ELSEWHERE)
    world.wrap_link = LateLink
    asked = [asyncio.create_task(ask(world)) for ask in (events, info, first_waveform)]
    asked.append(asyncio.create_task(world.gateway.info(ELSEWHERE)))
    await asyncio.sleep(5)
    await world.gateway.close()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShuttingDownError] * 4
    assert world.open == {HERE: 0, ELSEWHERE: 0}
    for address in (HERE, ELSEWHERE):
        with pytest.raises(ShuttingDownError):
            await world.gateway.info(address)


@in_virtual_time
async def test_one_unreachable_unit_delays_no_other(world: World) -> None:
    silent = world.plug(FieldUnit(), ELSEWHERE)
    silent.ignores.add(commands.POLL.sub)
    world.plug(FieldUnit())
    stuck = asyncio.create_task(world.gateway.info(ELSEWHERE))
    await asyncio.sleep(1)
    assert (await info(world)).provenance.took_s == 0
    assert not stuck.done()
    with pytest.raises(ReplyTimeoutError):
        await stuck


@in_virtual_time
async def test_an_address_where_nothing_ever_answered_is_forgotten(world: World) -> None:
    outcomes = await asyncio.gather(*(events(world) for _ in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConnectError}
    assert world.gateway.stats()["devices"] == {}
    world.plug(FieldUnit())
    await events(world)
    world.units.clear()
    await asyncio.sleep(AWAY_S)
    with pytest.raises(ConnectError):
        await events(world)
    assert list(world.gateway.stats()["devices"]) == [KEY]


# ---- the list, and what it costs


@in_virtual_time
async def test_a_list_of_300_is_read_once_and_then_proven_or_extended_cheaply(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(300))
    assert listed_events((await events(world)).value) == unit.truth()

    await asyncio.sleep(AWAY_S)
    assert await world.cost(events(world), unit) <= 12

    unit.record(axis=1)
    await asyncio.sleep(AWAY_S)
    before = len(unit.heard)
    answer = await events(world)
    assert len(unit.heard) - before <= 28
    assert len(answer.value) == 301
    assert listed_events(answer.value) == unit.truth()
    assert answer.provenance.why == "partial"
    # What the answer says of its cost is what the unit heard.
    assert answer.provenance.exchanges == len(unit.heard) - before

    await asyncio.sleep(AWAY_S)
    assert await world.cost(events(world), unit) <= 12


@in_virtual_time
async def test_an_append_keeps_the_waveforms_and_the_epoch(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    kept = await first_waveform(world)
    unit.record(4, axis=1)
    assert len((await events(world)).value) == 7
    again = await first_waveform(world)
    assert (again.provenance.why, again.provenance.epoch) == ("hit", kept.provenance.epoch)
    assert again.value == kept.value


RERECORDED = pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6])
CLOCKS = pytest.mark.parametrize("never_set", [False, True])


@RERECORDED
@CLOCKS
@in_virtual_time
async def test_after_an_erase_the_next_events_are_the_new_ones(
    world: World, count: int, never_set: bool
) -> None:
    unit = world.plug(FieldUnit().record(3, never_set=never_set))
    await ask_everything(world)
    old_keys = [event.key for event in unit.events]
    unit.erase()
    unit.record(count, axis=1, never_set=never_set)
    assert [event.key for event in unit.events][:3] == old_keys[:count]
    answer = await events(world)
    assert listed_events(answer.value) == unit.truth()
    assert answer.provenance.epoch == 1
    assert world.cache.stats()["by_device"][KEY]["waveforms"] == []


@RERECORDED
@CLOCKS
@in_virtual_time
async def test_after_an_erase_the_next_waveform_is_the_new_one(
    world: World, count: int, never_set: bool
) -> None:
    unit = world.plug(FieldUnit().record(3, never_set=never_set))
    await ask_everything(world)
    unit.erase()
    unit.record(count, axis=1, never_set=never_set)
    if not count:
        with pytest.raises(NoSuchEventError):
            await first_waveform(world)
        return
    answer = await first_waveform(world)
    assert samples_are(answer, axis=1)
    assert answer.provenance.why == "miss"


@in_virtual_time
async def test_an_erase_and_as_many_recorded_is_found_by_the_timestamp_alone(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(3))
    await ask_everything(world)
    count = unit.lifetime_count
    unit.erase()
    unit.record(3, axis=1)
    unit.lifetime_count = count
    assert listed_events((await events(world)).value) == unit.truth()
    assert samples_are(await first_waveform(world), axis=1)


@in_virtual_time
async def test_an_append_is_refused_when_the_old_last_event_is_another(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    await ask_everything(world)
    unit.erase()
    unit.record(4, axis=1)
    # A counter that lies: as if one event had followed the old three.
    unit.lifetime_count = 4
    assert listed_events((await events(world)).value) == unit.truth()
    assert samples_are(await first_waveform(world), axis=1)


@in_virtual_time
async def test_an_erase_between_requests_is_found_through_any_number_of_erases(
    world: World,
) -> None:
    unit = world.plug(FieldUnit(now_device_time=T0))
    for axis in (0, 1, 2, 1, 0):
        unit.erase()
        unit.record(2, axis=axis, never_set=True)
        assert samples_are(await first_waveform(world), axis=axis)
        assert listed_events((await events(world)).value) == unit.truth()
        await asyncio.sleep(AWAY_S)


@in_virtual_time
async def test_an_empty_memory_is_an_empty_list_and_not_an_error(world: World) -> None:
    unit = world.plug(FieldUnit())
    assert (await events(world)).value == []
    assert await world.cost(events(world), unit) <= 12
    with pytest.raises(NoSuchEventError, match="no event 0"):
        await world.gateway.event(HERE, 0)
    unit.record()
    assert listed_events((await events(world)).value) == unit.truth()


@in_virtual_time
async def test_one_event_comes_from_the_proven_list(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    for index in range(3):
        answer = await world.gateway.event(HERE, index)
        assert listed_events([answer.value]) == [unit.truth()[index]]
    for index in (3, 1_000_000, -1):
        with pytest.raises(NoSuchEventError):
            await world.gateway.event(HERE, index)
        with pytest.raises(NoSuchEventError):
            await world.gateway.waveform(HERE, index)


# ---- somebody at the keypad while we read


def erased(unit: FieldUnit) -> None:
    unit.erase()


def rerecorded(unit: FieldUnit) -> None:
    unit.erase()
    unit.record(3, axis=1, never_set=True)


def rerecorded_and_more(unit: FieldUnit) -> None:
    unit.erase()
    unit.record(5, axis=1, never_set=True)


def recorded(unit: FieldUnit) -> None:
    unit.record(1, axis=1, never_set=True)


PEOPLE = pytest.mark.parametrize("act", [erased, rerecorded, rerecorded_and_more, recorded])


async def at_every_exchange(
    world: World,
    prepare: Callable[[FieldUnit], Awaitable[None]],
    act: Callable[[FieldUnit], None],
    ask: Callable[[FieldUnit], Awaitable[None]],
) -> None:
    """Let somebody act before each exchange of ``ask`` in turn, on a unit of its own each time."""
    number = 1
    while True:
        await asyncio.sleep(AWAY_S)
        unit = world.plug(FieldUnit(f"S{number}").record(3, never_set=True))
        world.cache.drop_device(KEY, "another unit for another try")
        await prepare(unit)
        done: list[int] = []

        def now(unit: FieldUnit = unit, done: list[int] = done) -> None:
            act(unit)
            done.append(len(unit.heard))

        unit.at_exchange(number, now)
        await ask(unit)
        unit.undo()
        await proven_after(world, unit)
        if not done:
            break
        number += 1
    assert number > 10


async def proven_after(world: World, unit: FieldUnit) -> None:
    """Whatever happened before: now the answers are what the unit holds."""
    assert listed_events((await events(world)).value) == unit.truth()
    for index, event in enumerate(unit.events):
        answer = await world.gateway.waveform(HERE, index)
        assert (payloads.counts_of(answer.value) == unit.counts_of(index)).all()
        assert listed_events([answer.value]) == [unit.truth()[index]]
        assert event.index == index


@PEOPLE
@in_virtual_time
async def test_a_list_read_while_the_memory_changes_is_one_that_the_unit_held(
    world: World, act: Callable[[FieldUnit], None]
) -> None:
    async def nothing(unit: FieldUnit) -> None:
        pass

    async def ask(unit: FieldUnit) -> None:
        before = unit.truth()
        try:
            answer = await events(world)
        except (UnitError, ListIncompleteError):
            pass
        else:
            assert listed_events(answer.value) in (before, unit.truth())

    await at_every_exchange(world, nothing, act, ask)


@PEOPLE
@in_virtual_time
async def test_an_append_while_the_memory_changes_is_a_list_that_the_unit_held(
    world: World, act: Callable[[FieldUnit], None]
) -> None:
    async def one_new(unit: FieldUnit) -> None:
        await events(world)
        await first_waveform(world)
        unit.record(2, axis=2, never_set=True)

    async def ask(unit: FieldUnit) -> None:
        before = unit.truth()
        try:
            answer = await events(world)
        except (UnitError, ListIncompleteError):
            pass
        else:
            assert listed_events(answer.value) in (before, unit.truth())

    await at_every_exchange(world, one_new, act, ask)


@PEOPLE
@in_virtual_time
async def test_a_waveform_read_while_the_memory_changes_is_whole_and_of_its_event(
    world: World, act: Callable[[FieldUnit], None]
) -> None:
    async def listed(unit: FieldUnit) -> None:
        await events(world)

    async def ask(unit: FieldUnit) -> None:
        before = (unit.truth()[0], unit.counts_of(0).tolist())
        try:
            answer = await first_waveform(world)
        except UnitError:
            pass
        else:
            after = (unit.truth()[0], unit.counts_of(0).tolist()) if unit.events else before
            got = (listed_events([answer.value])[0], payloads.counts_of(answer.value).tolist())
            assert got in (before, after)

    await at_every_exchange(world, listed, act, ask)


@in_virtual_time
async def test_an_erase_during_a_download_with_equal_stamps_is_detected_by_the_counter(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(3, never_set=True))
    await events(world)
    # After the samples, before the stamp is read again: keys and timestamps are those of before.
    unit.at_next(commands.BULK_READ.sub, lambda: unit.at_exchange(1, lambda: rerecorded(unit)))
    answer = await first_waveform(world)
    assert samples_are(answer, axis=1)
    assert listed_events((await events(world)).value) == unit.truth()


@in_virtual_time
async def test_a_record_during_a_download_does_not_throw_it_away(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    await events(world)
    unit.heard.clear()
    unit.at_next(commands.BULK_READ.sub, lambda: recorded(unit))
    answer = await first_waveform(world)
    assert samples_are(answer, axis=0)
    assert unit.heard.count(commands.BULK_READ.sub) == 1
    assert (await first_waveform(world)).provenance.why == "hit"


@in_virtual_time
async def test_a_unit_that_always_records_gets_the_list_of_when_the_read_began(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(2))

    def again() -> None:
        recorded(unit)
        unit.at_next(commands.NEXT_EVENT.sub, again)

    again()
    before = unit.truth()
    answer = await events(world, freshness=FORCED)
    assert listed_events(answer.value)[: len(before)] == before
    assert answer.provenance.quality == "good"
    assert answer.recorded_since
    unit.undo()
    await proven_after(world, unit)


@in_virtual_time
async def test_a_memory_that_is_erased_again_and_again_is_an_error_after_three_tries(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(2))

    def again() -> None:
        rerecorded(unit)
        unit.at_next(commands.NEXT_EVENT.sub, again)

    again()
    with pytest.raises(MemoryChangedError, match="ask again"):
        await events(world, freshness=FORCED)
    unit.undo()
    await proven_after(world, unit)


@in_virtual_time
async def test_what_was_read_before_a_drop_is_answered_but_not_kept(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))

    def drop() -> None:
        world.cache.drop_device(KEY, "a person asked to")

    for sub, ask in (
        (commands.WAVEFORM_RECORD.sub, events),
        (commands.MONITOR_STATUS.sub, status),
        (commands.BULK_READ.sub, first_waveform),
        (commands.RECORDING_SETUP.sub, info),
    ):
        unit.at_next(sub, drop)
        late = world.cache.stats()["refused_late_fills"]
        await ask(world, freshness=FORCED)
        assert world.cache.stats()["refused_late_fills"] > late, ask
    await proven_after(world, unit)


@in_virtual_time
async def test_settings_written_while_another_unit_is_met_leave_its_info_unread(
    world: World,
) -> None:
    world.plug(FieldUnit())
    await info(world)
    unit = world.plug(FieldUnit("SIM0002"))
    await asyncio.sleep(AWAY_S)
    unit.at_next(commands.RECORDING_SETUP.sub, lambda: world.cache.mark_config_dirty(KEY))
    await info(world, freshness=FORCED)
    assert world.cache.get_device_info(KEY) is None


# ---- units that know less, or worse


@pytest.mark.parametrize("sub", [commands.STORAGE_RANGE.sub, commands.EVENT_COUNTER.sub])
@in_virtual_time
async def test_a_unit_that_does_not_know_a_part_of_the_probe_is_walked_each_time(
    world: World, sub: int
) -> None:
    unit = world.plug(FieldUnit().record(3))
    unit.ignores.add(sub)
    assert listed_events((await events(world)).value) == unit.truth()
    unit.record(axis=1)
    answer = await events(world)
    assert (listed_events(answer.value), answer.provenance.epoch) == (unit.truth(), 0)
    assert samples_are(await first_waveform(world), axis=0)
    unit.erase()
    unit.record(3, axis=2)
    answer = await events(world)
    assert (listed_events(answer.value), answer.provenance.epoch) == (unit.truth(), 1)
    assert samples_are(await first_waveform(world), axis=2)


@in_virtual_time
async def test_without_a_counter_equal_stamps_are_distinguished_by_the_rest_of_the_event(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(3, never_set=True))
    unit.ignores.add(commands.EVENT_COUNTER.sub)
    assert samples_are(await first_waveform(world), axis=0)
    rerecorded(unit)
    assert samples_are(await first_waveform(world), axis=1)


@CLOCKS
@in_virtual_time
async def test_a_unit_silent_to_an_unknown_key_ends_in_a_correct_full_read(
    world: World, never_set: bool
) -> None:
    unit = world.plug(FieldUnit())
    unit.silent_to_unknown_keys = True
    for loud in (100, 100, 100):
        unit.record(loud=loud, never_set=never_set)
    await ask_everything(world)
    unit.erase()
    # Other lengths, other keys: the old last key is unknown now.
    for size in (40, 40, 40, 40):
        unit.record_event(counts=ground(axis=1, size=size))
    assert listed_events((await events(world)).value) == unit.truth()
    answer = await first_waveform(world)
    assert (payloads.counts_of(answer.value) == unit.counts_of(0)).all()


@in_virtual_time
async def test_a_chain_that_loops_is_an_error_and_nothing_of_it_is_kept(world: World) -> None:
    unit = world.plug(FieldUnit().record(4))
    unit.corrupt_next[unit.events[2].key] = FIRST_KEY
    with pytest.raises(KeyChainError):
        await events(world)
    assert world.cache.events_entry(KEY) is None
    with pytest.raises(KeyChainError):
        await first_waveform(world)
    unit.corrupt_next.clear()
    assert listed_events((await events(world)).value) == unit.truth()


@in_virtual_time
async def test_a_line_cut_in_the_middle_of_a_read_is_an_error_and_not_repeated(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(4))
    cuts: list[asyncio.Task[None]] = []
    unit.at_next(
        commands.WAVEFORM_RECORD.sub, lambda: cuts.append(asyncio.create_task(world.cut()))
    )
    with pytest.raises(LinkClosedError):
        await events(world)
    assert (world.called, unit.heard.count(commands.POLL.sub)) == (1, 2)
    assert listed_events((await events(world)).value) == unit.truth()
    await asyncio.gather(*cuts)


@in_virtual_time
async def test_a_kept_line_that_died_is_replaced_without_an_error(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    for ask in (events, status, first_waveform, storage_range, info):
        await ask(world)
        await world.cut()
        await asyncio.sleep(1)
        await events(world)
        assert world.most_open == {HERE: 1}
    assert listed_events((await events(world)).value) == unit.truth()


# ---- another unit behind the address


@pytest.mark.parametrize("ask", [info, events, status, first_waveform, storage_range])
@in_virtual_time
async def test_another_unit_behind_the_address_is_found_by_the_next_contact_of_any_kind(
    world: World, ask: Callable[..., Awaitable[Answer]]
) -> None:
    world.plug(FieldUnit("SIM0001").record(2, never_set=True))
    await ask_everything(world)
    await asyncio.sleep(AWAY_S)
    other = world.plug(FieldUnit("SIM0002").record(2, axis=1, never_set=True))
    answer = await ask(world, freshness=FORCED)
    assert (answer.provenance.serial, answer.provenance.simulated) == ("SIM0002", True)
    assert answer.provenance.epoch == 0
    assert (await info(world)).value["serial"] == "SIM0002"
    assert (await status(world)).provenance.serial == "SIM0002"
    await proven_after(world, other)


@in_virtual_time
async def test_another_unit_on_the_line_that_was_kept_is_found_as_well(world: World) -> None:
    unit = world.plug(FieldUnit("SIM0001").record(2, never_set=True))
    await ask_everything(world)
    unit.serial = "SIM0002"
    await status(world, freshness=FORCED)
    assert world.called == 1
    assert (await info(world)).value["serial"] == "SIM0002"


@in_virtual_time
async def test_two_units_share_nothing_but_the_relay(world: World) -> None:
    one = world.plug(FieldUnit("SIM0001").record(2))
    two = world.plug(FieldUnit("SIM0002").record(3, axis=1), ELSEWHERE)
    await ask_everything(world)
    assert listed_events((await world.gateway.events(ELSEWHERE)).value) == two.truth()
    two.erase()
    assert (await world.gateway.events(ELSEWHERE)).value == []
    answer = await first_waveform(world)
    assert (answer.provenance.why, answer.provenance.epoch) == ("hit", 0)
    assert listed_events((await events(world)).value) == one.truth()


# ---- info, status, provenance


@in_virtual_time
async def test_info_is_kept_until_the_settings_are_written(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    first = await info(world)
    await asyncio.sleep(3600)
    assert await world.cost(info(world), unit) == 0
    again = await info(world)
    assert (again.provenance.why, again.provenance.age_s) == ("hit", 3600.0)
    assert again.value == first.value


@in_virtual_time
async def test_a_written_configuration_hides_info_and_events_until_a_fresh_info(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(2))
    for ask in (info, events):
        await ask_everything(world)
        world.cache.mark_config_dirty(KEY)
        unit.heard.clear()
        assert world.cache.get_device_info(KEY) is None
        assert world.cache.events_entry(KEY) is None
        # Not from the cache: the unit is asked for its settings first.
        await ask(world)
        assert commands.RECORDING_SETUP.sub in unit.heard
        assert (await info(world)).provenance.source == "cache"
        assert (await events(world)).provenance.source == "cache"
    # The same events: their waveforms stayed.
    assert (await first_waveform(world)).provenance.why == "hit"


@in_virtual_time
async def test_a_status_is_good_for_thirty_seconds_from_the_start_of_its_read(
    world: World,
) -> None:
    unit = world.plug(FieldUnit())
    world.wrap_link = LateLink
    began = world.wall()
    first = await status(world)
    read_at = first.provenance.read_at
    took = first.provenance.took_s
    assert took > 0
    assert first.provenance.age_s > 0
    # Of the time the read took, what belongs to the status itself: its two exchanges.
    assert first.provenance.age_s == pytest.approx(2.0)
    since = (world.wall() - began).total_seconds() - first.provenance.age_s
    await asyncio.sleep(STATUS_TTL_S - first.provenance.age_s - 0.001)
    assert since > 0
    hit = await status(world)
    assert (hit.provenance.why, hit.provenance.read_at) == ("hit", read_at)
    await asyncio.sleep(0.001)
    unit.heard.clear()
    missed = await status(world)
    assert (missed.provenance.why, missed.provenance.source) == ("miss", "device")
    assert commands.MONITOR_STATUS.sub in unit.heard


@in_virtual_time
async def test_provenance_says_where_an_answer_comes_from(world: World) -> None:
    world.plug(FieldUnit().record(2))
    fresh = (await events(world)).provenance
    assert (fresh.source, fresh.why, fresh.shared) == ("device", "miss", False)
    assert (fresh.conn_key, fresh.serial, fresh.simulated) == (ROUTE, "SIM0001", True)
    assert (fresh.epoch, fresh.quality) == (0, "good")
    assert fresh.age_s == fresh.checked_age_s == 0
    assert fresh.read_at == world.wall().isoformat(timespec="milliseconds")

    await asyncio.sleep(100)
    proven = (await events(world)).provenance
    assert (proven.source, proven.why) == ("cache", "hit")
    assert (proven.age_s, proven.checked_age_s) == (100.0, 0.0)
    assert proven.read_at == fresh.read_at
    # A fresh start-up, and ten exchanges of the probe.
    assert proven.exchanges == 12

    known = (await info(world)).provenance
    assert (known.exchanges, known.age_s, known.checked_age_s) == (0, 100.0, None)


@in_virtual_time
async def test_the_age_counts_from_the_start_of_the_read(world: World) -> None:
    world.plug(FieldUnit().record(3))
    world.wrap_link = LateLink
    answer = await events(world)
    # Between the opening probe's first byte and now lie the probe, the walk and the proof.
    assert answer.provenance.age_s > 40
    assert answer.provenance.checked_age_s == answer.provenance.age_s
    wave = await first_waveform(world)
    assert 10 < wave.provenance.age_s < wave.provenance.took_s
    assert wave.provenance.checked_age_s == wave.provenance.age_s


@pytest.mark.parametrize("ask", [info, events, status, first_waveform, storage_range])
@in_virtual_time
async def test_a_simulated_unit_says_so_from_the_first_contact(world: World, ask: Ask) -> None:
    world.plug(FieldUnit().record(1))
    assert (await ask(world)).provenance.simulated is True


@in_virtual_time
async def test_the_direct_reads_ask_the_unit_each_time(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    for expected in (3, 4):
        answer = await world.gateway.lifetime_count(HERE)
        assert answer.value == {"lifetime_count": expected}
        stored = await storage_range(world)
        assert stored.value == {
            "first_key": FIRST_KEY.hex(),
            "last_key": unit.events[-1].key.hex(),
        }
        assert stored.provenance.age_s == 0
        unit.record()


@in_virtual_time
async def test_stats_count_how_readers_were_served(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    await asyncio.gather(events(world), events(world))
    await events(world)
    await events(world, freshness=FORCED)
    stats = world.gateway.stats()["devices"][KEY]
    assert (stats["hits"], stats["misses"]) == (1, {"miss": 2, "request": 1})
    assert stats["verdicts"] == {"same": 2, "grew": 0, "replaced": 0, "unproven": 1}
    assert (stats["reads"], stats["joined_readers"], stats["waiting_readers"]) == (3, 1, 0)
    assert (stats["sessions"], stats["exchanges"]) == (1, len(unit.heard))


@pytest.mark.parametrize(("count", "never_set"), [(3, False), (6, False), (6, True)])
@in_virtual_time
async def test_an_erase_at_the_keypad_counts_once_and_as_replaced(
    world: World, count: int, never_set: bool
) -> None:
    unit = world.plug(FieldUnit().record(3, never_set=never_set))
    await events(world)
    unit.erase()
    unit.record(count, axis=1, never_set=never_set)
    assert (await events(world)).provenance.epoch == 1
    verdicts = world.gateway.stats()["devices"][KEY]["verdicts"]
    # Of the longer memory the probe alone looks like growth; what was read contradicts it.
    assert verdicts == {"same": 0, "grew": 0, "replaced": 1, "unproven": 1}


@in_virtual_time
async def test_a_unit_whose_clock_steps_back_is_still_listed_in_the_order_of_its_memory(
    world: World,
) -> None:
    unit = world.plug(FieldUnit().record(2))
    await events(world)
    unit.set_clock(T0 - timedelta(days=365))
    unit.record(2, axis=1)
    answer = await events(world)
    assert listed_events(answer.value) == unit.truth()
    assert answer.provenance.why == "partial"


@virtual_time.in_virtual_time
async def test_a_serial_server_is_opened_at_the_address_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Address] = []

    async def open_nothing(address: Address, deadlines: Deadlines) -> Link:
        asked.append(address)
        assert deadlines.connect_s == 3.0
        raise ConnectError("nobody there")

    monkeypatch.setattr("sfm.devices.gateway.open_link", open_nothing)
    server = Address("serial", "rfc2217://server.invalid:2217", 9600)

    async def resolve(host: str, _: int) -> list[str]:
        return {"server.invalid": ["10.0.0.9"]}.get(host, [])

    known = EgressPolicy(resolve=resolve)
    settings = Settings(connect_s=3.0)
    gateway = Gateway(LiveCache(clock=now_s), settings, egress=known, clock=now_s)
    with pytest.raises(ConnectError):
        await gateway.info(server)
    assert asked == [Address("serial", "rfc2217://10.0.0.9:2217", 9600)]
