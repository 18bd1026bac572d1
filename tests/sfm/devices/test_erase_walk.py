"""
An erase walks the memory again, alone, and never relies on a list that was read before.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace

import pytest
from kit.raw_unit import RawEvent, standing_still
from kit.raw_world import (
    SERIAL,
    RawWorld,
    in_raw_world,
    listed,
    problem_of,
    refusal_of,
    round_trip_of_replies,
    stamps,
    visit,
)

from minimateplus.client import MiniMate
from minimateplus.errors import MemoryChangedError
from minimateplus.link import parse_address
from minimateplus.model import Event

EVENTS = 6


async def all_archived(world: RawWorld) -> None:
    world.unit.record(EVENTS, samples=64)
    await world.archive_all()
    world.unit.records_read.clear()


@in_raw_world
async def test_an_erase_reads_every_record_again(world: RawWorld) -> None:
    await all_archived(world)
    keys = [event.key_bytes for event in world.unit.events]
    answer = await world.erase(count=EVENTS)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "done"), answer.text
    assert world.unit.erases == 1
    assert set(world.unit.records_read) >= set(keys), "it relied on a list of before"


@in_raw_world
async def test_an_erase_says_how_long_its_walk_takes_before_it_begins(world: RawWorld) -> None:
    await all_archived(world)
    world.connection.delay = round_trip_of_replies(0.5)
    assert (await world.get("/device/events", force="true")).status_code == 200
    assert (await world.erase(count=EVENTS)).status_code == 200
    log = world.gateway.progress(parse_address("tcp://unit.invalid:12345"))
    steps = [entry.data for entry in log._entries if entry.kind == "step"]
    texts = [step["what"] for step in steps]
    at = texts.index(f"s estimated to read the {EVENTS} events again")
    assert at < texts.index("events read again")
    # Ten exchanges an event.
    assert steps[at]["total"] == pytest.approx(EVENTS * 10 * 0.5, rel=0.2)


@in_raw_world
async def test_an_erase_of_a_unit_that_was_never_timed_says_how_long_its_walk_takes(
    world: RawWorld,
) -> None:
    await all_archived(world)
    await world.pause(60)
    await world.restart()  # which forgets how long an exchange took
    world.connection.delay = round_trip_of_replies(0.5)
    erasing = asyncio.create_task(world.erase(count=EVENTS))
    await world.pause(3)  # two exchanges to wake the unit, two that are timed
    key = "unit:BE11529"
    assert world.gateway.stats()["devices"][key]["under_way"] == [
        {"what": f"s estimated to read the {EVENTS} events again", "done": 0, "total": 30}
    ]
    assert (await erasing).status_code == 200
    log = world.gateway.progress(parse_address("tcp://unit.invalid:12345"))
    steps = [entry.data for entry in log._entries if entry.kind == "step"]
    assert steps[0]["total"] == pytest.approx(EVENTS * 10 * 0.5, rel=0.2)


@pytest.mark.parametrize("discard", [False, True])
@in_raw_world
async def test_a_walk_that_was_cut_outlives_a_refused_erase_and_no_other(
    world: RawWorld, *, discard: bool
) -> None:
    unit = world.unit.record(40)
    unit.cut_every = 150
    cut = await world.get("/device/events")
    assert problem_of(cut) == "list-incomplete", cut.text
    unit.cut_every = 0
    await world.pause(60)
    answer = await world.erase(count=40, discard_unarchived=discard)
    assert (answer.status_code, unit.erases) == ((200, 1) if discard else (409, 0)), answer.text
    if discard:
        unit.record(2)
    await world.pause(60)
    whole = await world.get("/device/events")
    assert (whole.status_code, listed(whole)) == (200, stamps(unit.events)), whole.text


@pytest.mark.parametrize("record", [2, 4, EVENTS])
@in_raw_world
async def test_a_link_that_is_cut_during_the_walk_erases_nothing(
    world: RawWorld, record: int
) -> None:
    await all_archived(world)
    unit = world.unit

    def cut() -> None:
        unit.is_cut = True

    unit.at_fetch(0x0C, record, cut)
    answer = await world.erase(count=EVENTS)
    assert (refusal_of(answer), unit.erases) == ("walk-not-finished", 0), answer.text
    assert "link" in answer.json()["detail"] or "keypad" in answer.json()["detail"]


@pytest.mark.parametrize("record", [2, 4, EVENTS])
@in_raw_world
async def test_an_event_that_comes_during_the_walk_stays(world: RawWorld, record: int) -> None:
    await all_archived(world)
    unit = world.unit
    unit.at_fetch(0x0C, record, unit.record)
    answer = await world.erase(count=EVENTS)
    assert (refusal_of(answer), unit.erases) == ("memory-changed", 0), answer.text
    assert len(unit.events) == EVENTS + 1
    assert "monitoring" in answer.json()["detail"], "what to do: stop monitoring first"


@in_raw_world
async def test_another_memory_of_equal_keys_is_not_erased_as_archived(world: RawWorld) -> None:
    """Clock never set, counter standing still: only the records show that these are not ours."""
    world.unit.clock_was_set = False
    world.unit.counter = standing_still
    await all_archived(world)
    # All but the last look different: a comparison of the last alone would not see it.
    world.unit.erase().record(EVENTS - 1, samples=64, axis=1, loud=90).record(samples=64)
    answer = await world.erase(count=EVENTS)
    assert (answer.status_code, world.unit.erases) == (409, 1), answer.text
    assert len(world.unit.events) == EVENTS


@in_raw_world
async def test_what_an_erase_met_for_the_first_time_is_archived(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS, samples=64)
    truth = {event.record for event in unit.events}
    refused = await world.erase(count=EVENTS)
    assert (refusal_of(refused), unit.erases) == ("not-archived", 0), refused.text
    assert {row["record_bytes"] for row in await world.archived()} == truth


@in_raw_world
async def test_a_second_program_makes_an_erase_a_clear_no(world: RawWorld) -> None:
    await all_archived(world)
    unit = world.unit
    unit.at_fetch(0x1F, 2, lambda: world.connection.second_program(*visit(unit.events[-2])))
    answer = await world.erase(count=EVENTS)
    assert unit.erases == 0, answer.text
    assert problem_of(answer) is not None
    # A reply that equals one of this connection cannot be distinguished from a repeated one.
    named = {"line-shared", "duplicate-reply", "walk-not-finished"}
    assert {refusal_of(answer), problem_of(answer)} & named, answer.text


def test_the_client_demands_serial_number_and_count() -> None:
    wanted = inspect.signature(MiniMate.erase_all).parameters
    for name in ("serial", "count"):
        assert name in wanted, f"erase_all does not demand {name}"
        assert wanted[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert wanted[name].default is inspect.Parameter.empty


@pytest.mark.parametrize(
    ("serial", "count"), [(SERIAL, EVENTS - 1), (SERIAL, EVENTS + 1), ("BE99999", EVENTS)]
)
@in_raw_world
async def test_the_client_erases_nothing_that_differs_from_the_request(
    world: RawWorld, serial: str, count: int
) -> None:
    world.unit.record(EVENTS)
    unit = await world.connect(parse_address("tcp://unit.invalid:12345"))
    refused = None
    try:
        await unit.erase_all(serial=serial, count=count)
    except Exception as error:
        refused = error
    await unit.close()
    assert not isinstance(refused, TypeError), "erase_all takes no serial number and count"
    assert refused is not None
    assert world.unit.erases == 0


@in_raw_world
async def test_the_client_reads_every_record_before_it_erases(world: RawWorld) -> None:
    raw = world.unit.record(EVENTS)
    keys = {event.key_bytes for event in raw.events}
    unit = await world.connect(parse_address("tcp://unit.invalid:12345"))
    await unit.erase_all(serial=SERIAL, count=EVENTS)
    await unit.close()
    assert (raw.erases, raw.events) == (1, [])
    assert set(raw.records_read) == keys, "events were erased whose record was not read"


@in_raw_world
async def test_a_caller_of_the_client_can_save_every_event_before_it_is_erased(
    world: RawWorld,
) -> None:
    raw = world.unit.record(EVENTS)
    truth, saved = [event.record for event in raw.events], []
    unit = await world.connect(parse_address("tcp://unit.invalid:12345"))

    def save(event: Event) -> None:
        assert raw.erases == 0
        saved.append(event.record)

    await unit.erase_all(serial=SERIAL, count=EVENTS, on_event=save)
    await unit.close()
    assert (saved, raw.erases) == (truth, 1)


@in_raw_world
async def test_a_caller_of_the_client_who_cannot_save_an_event_prevents_the_erase(
    world: RawWorld,
) -> None:
    raw = world.unit.record(EVENTS)
    unit = await world.connect(parse_address("tcp://unit.invalid:12345"))

    def fail(_: Event) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        await unit.erase_all(serial=SERIAL, count=EVENTS, on_event=fail)
    await unit.close()
    assert (raw.erases, len(raw.events)) == (0, EVENTS)


@in_raw_world
async def test_the_client_erases_nothing_whose_record_was_another_in_the_walk(
    world: RawWorld,
) -> None:
    """Both probes are equal; only the record that the walk read in between is of another memory."""
    raw = world.unit.record(EVENTS)
    last = raw.events[-1]
    other = replace(last, record=bytes((last.record[0] ^ 1,)) + last.record[1:])

    def hold(event: RawEvent) -> None:
        raw.events[-1] = event

    raw.at_fetch(0x0C, 1 + EVENTS, lambda: hold(other))  # the first probe reads one record
    raw.at_fetch(0x0C, 2 + EVENTS, lambda: hold(last))
    unit = await world.connect(parse_address("tcp://unit.invalid:12345"))
    with pytest.raises(MemoryChangedError, match="changed while its events were read"):
        await unit.erase_all(serial=SERIAL, count=EVENTS)
    await unit.close()
    assert raw.erases == 0
