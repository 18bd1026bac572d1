"""
A second program on the line: the unit has one record cursor, and everybody hears every reply.

Seen on a serial server that lets two clients in: two of eight events came as a whole list of
quality ``good``, were then served from cache as proven, and an erase with that count destroyed six
events that nobody had.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kit.raw_unit import RawUnit
from kit.raw_world import (
    WALK_FROM_THE_START,
    WALK_ON,
    RawWorld,
    in_raw_world,
    listed,
    problem_of,
    quality,
    stamps,
    visit,
)
from kit.virtual_time import run

EVENTS = 5

PROGRAMS: dict[str, Callable[[RawUnit], tuple[bytes, ...]]] = {
    "visits the last record": lambda unit: visit(unit.events[-1]),
    "visits the last record but one": lambda unit: visit(unit.events[-2]),
    "visits the first record": lambda unit: visit(unit.events[0]),
    "asks for the first key": lambda _: WALK_FROM_THE_START,
    "walks on": lambda _: WALK_ON,
    "visits the last record and walks on": lambda unit: (*visit(unit.events[-1]), *WALK_ON),
}


async def exchanges_of_a_list() -> int:
    """Return how many exchanges a list costs when nobody disturbs it."""
    async with RawWorld() as world:
        world.unit.record(EVENTS)
        assert (await world.get("/device/events", force="true")).status_code == 200
        spent: int = world.unit.exchanges
        return spent


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_second_program_never_shortens_a_forced_list(program: str) -> None:
    """Wherever in the read it sends something: every third exchange is enough to meet each step."""

    async def check(number: int) -> None:
        async with RawWorld() as world:
            unit = world.unit.record(EVENTS)
            unit.at_exchange(
                number, lambda: world.connection.second_program(*PROGRAMS[program](unit))
            )
            forced = await world.get("/device/events", force="true")
            later = await world.get("/device/events")
            for answer, what in ((forced, "forced"), (later, "later")):
                if answer.status_code == 200 and quality(answer) == "good":
                    assert listed(answer) == stamps(unit.events), (
                        f"{what}, the other program at exchange {number}: "
                        f"{len(answer.json()['events'])} of {EVENTS} events called good"
                    )

    for number in range(1, run(exchanges_of_a_list()) + 1, 3):
        run(check(number))


@in_raw_world
async def test_a_second_program_is_named_with_what_to_do(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS)
    unit.at_fetch(0x1F, 3, lambda: world.connection.second_program(*visit(unit.events[-2])))
    answer = await world.get("/device/events", force="true")
    assert problem_of(answer) == "line-shared", answer.text
    assert "Another program is using this unit's line. Close it, then try again." in answer.text


@in_raw_world
async def test_once_the_second_program_has_left_the_list_is_whole(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS)
    unit.at_fetch(0x1F, 1, lambda: world.connection.second_program(*visit(unit.events[-2])))
    await world.get("/device/events", force="true")
    await world.pause(120)
    answer = await world.get("/device/events")
    assert answer.status_code == 200, answer.text
    assert listed(answer) == stamps(unit.events)
    assert quality(answer) == "good"


@in_raw_world
async def test_a_short_count_never_erases_what_nobody_has(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS)
    unit.at_fetch(0x1F, 1, lambda: world.connection.second_program(*visit(unit.events[-2])))
    await world.get("/device/events", force="true")
    await world.pause(120)
    for index in range(2):
        await world.get(f"/device/event/{index}/waveform")
    answer = await world.erase(count=2)
    assert (answer.status_code, unit.erases) == (409, 0), answer.text
    assert len(unit.events) == EVENTS


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_second_program_during_an_erase_never_costs_an_event(program: str) -> None:
    """Some are archived, and the count is the one that a misled walk would find."""

    async def check(number: int, count: int) -> None:
        async with RawWorld() as world:
            await world.with_disk()
            unit = world.unit.record(EVENTS)
            for index in range(count):
                assert (await world.get(f"/device/event/{index}/waveform")).status_code == 200
            unit.at_exchange(
                number, lambda: world.connection.second_program(*PROGRAMS[program](unit))
            )
            answer = await world.erase(count=count)
            assert unit.erases == 0, f"the other program at exchange {number}: {answer.text}"
            assert answer.status_code in (409, 502, 503, 504), answer.text

    for number in range(1, 100, 15):
        for count in (2, EVENTS - 1):
            run(check(number, count))


@in_raw_world
async def test_what_was_sent_before_the_unit_answered_poll_is_left_over(world: RawWorld) -> None:
    """A reply that comes before our start-up is answered is nobody's fault."""
    unit = world.unit.record(EVENTS)
    unit.at_exchange(1, lambda: world.connection.second_program(*visit(unit.events[-2])))
    answer = await world.get("/device/events")
    assert answer.status_code == 200, answer.text
    assert listed(answer) == stamps(unit.events)
