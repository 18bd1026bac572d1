"""
A unit that records while it is read: the list that was complete when its read began is served.

Before, a list was thrown away when one event came during its read, so a site that blasts had none:
503 ``memory-changing`` after 9,088 exchanges with 300 events stored and one new in a minute.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from kit.raw_unit import unanswered
from kit.raw_world import (
    RawWorld,
    in_raw_world,
    listed,
    problem_of,
    quality,
    samples_match,
    serial_line,
    stamps,
)
from kit.virtual_time import run

BAUD = 38_400


def check_list(answer: httpx.Response, world: RawWorld, stored_before: int) -> int:
    """Return how many events were served: all that were stored when the request came, or more."""
    assert problem_of(answer) is None, answer.text
    body: dict[str, Any] = answer.json()
    assert quality(answer) == "good"
    assert body.get("complete") is True, "it does not show whether it is whole"
    assert body["count"] == len(body["events"]) >= stored_before
    assert listed(answer) == stamps(world.unit.events[: body["count"]])
    assert "recorded_since" in body
    assert body["recorded_since"] is None or body["recorded_since"] >= 0
    return len(body["events"])


@pytest.mark.parametrize("stored", [20, 60])
@in_raw_world
async def test_every_list_is_served_while_it_records_every_10_s(
    world: RawWorld, stored: int
) -> None:
    world.connection.delay = serial_line(BAUD)
    world.unit.record(stored)
    async with world.recording(10.0, world.unit.record):
        for _ in range(6):
            before = len(world.unit.events)
            check_list(await world.get("/device/events"), world, before)
            await world.pause(12)
    assert len(world.unit.events) > stored + 6


@in_raw_world
async def test_a_forced_list_is_served_while_it_records(world: RawWorld) -> None:
    world.connection.delay = serial_line(BAUD)
    world.unit.record(20)
    async with world.recording(2.0, world.unit.record):
        for _ in range(3):
            before = len(world.unit.events)
            check_list(await world.get("/device/events", force="true"), world, before)


@in_raw_world
async def test_what_was_recorded_during_the_read_is_counted(world: RawWorld) -> None:
    unit = world.unit.record(10)
    # In the walk, at the tenth of the records, whatever the reads before it cost.
    unit.at_fetch(0x0C, 6, lambda: unit.record(3))
    answer = await world.get("/device/events")
    served = check_list(answer, world, 10)
    assert answer.json()["recorded_since"] == 13 - served


@in_raw_world
async def test_a_quiet_unit_has_recorded_nothing_since(world: RawWorld) -> None:
    world.unit.record(3)
    answer = await world.get("/device/events")
    assert check_list(answer, world, 3) == 3
    assert answer.json()["recorded_since"] == 0
    again = await world.get("/device/events")
    assert check_list(again, world, 3) == 3
    assert again.json()["recorded_since"] == 0


@in_raw_world
async def test_a_unit_that_does_not_count_never_claims_how_many_it_recorded(
    world: RawWorld,
) -> None:
    world.unit.counter = unanswered
    world.unit.record(3)
    answer = await world.get("/device/events")
    assert problem_of(answer) is None, answer.text
    assert listed(answer) == stamps(world.unit.events)
    assert answer.json().get("recorded_since", "not there") is None


@in_raw_world
async def test_an_old_waveform_is_served_while_it_records(world: RawWorld) -> None:
    world.connection.delay = serial_line(BAUD)
    world.unit.record(20, samples=1280, loud=200)
    first = world.unit.events[0]
    async with world.recording(2.0, world.unit.record):
        for _ in range(3):
            answer = await world.get("/device/event/0/waveform")
            assert answer.status_code == 200, answer.text
            assert samples_match(answer.json(), first)


@in_raw_world
async def test_what_is_listed_is_archived_although_it_records(world: RawWorld) -> None:
    world.connection.delay = serial_line(BAUD)
    world.unit.record(20)
    async with world.recording(2.0, world.unit.record):
        served = check_list(await world.get("/device/events"), world, 20)
    records = {one["record_bytes"] for one in await world.archived()}
    assert records >= {event.record for event in world.unit.events[:served]}


@pytest.mark.parametrize("at_record", [1, 5, 10])
@in_raw_world
async def test_an_erase_during_the_read_is_no_growth(world: RawWorld, at_record: int) -> None:
    """As many recorded again as were stored: the list is never a mixture of both memories."""
    unit = world.unit.record(10, axis=0)
    unit.at_fetch(0x0C, at_record, lambda: unit.erase().record(11, axis=1, loud=70))
    answer = await world.get("/device/events")
    if answer.status_code == 200:
        assert listed(answer) == stamps(unit.events[: answer.json()["count"]])
        for shown, event in zip(answer.json()["events"], unit.events, strict=False):
            assert shown["peaks"]["vert_in_s"] == pytest.approx(event.peaks_in_s[1])
    later = await world.get("/device/events")
    assert later.status_code == 200, f"nothing changes any more, and still: {later.text}"
    assert listed(later) == stamps(unit.events)


@pytest.mark.parametrize("earlier", [0, 1])
@pytest.mark.parametrize("warm", [False, True])
def test_an_event_at_whatever_exchange_is_no_erase(earlier: int, *, warm: bool) -> None:
    """
    Also between the parts of a probe: the last key of before, the counter of after.

    With ``earlier``, another event has come during the same read already.
    """

    async def check(number: int) -> int:
        async with RawWorld() as world:
            unit = world.unit.record(4)
            if warm:
                assert (await world.get("/device/events")).status_code == 200
                unit.record(2)
            spent = unit.exchanges
            if earlier:
                unit.at_fetch(0x0C, 2, unit.record)
            unit.at_exchange(number, unit.record)
            first = await world.get("/device/events")
            cost: int = unit.exchanges - spent
            await world.pause(60)
            second = await world.get("/device/events")
            for answer in (first, second):
                assert answer.status_code == 200, f"exchange {number}: {answer.text}"
                count = answer.json()["count"]
                assert listed(answer) == stamps(unit.events[:count])
            assert second.json()["count"] == len(unit.events)
            epochs = [answer.json()["provenance"]["epoch"] for answer in (first, second)]
            assert epochs == [0, 0], f"exchange {number}: called an erase"
            return cost

    number, cost = 1, 1
    while number <= cost:
        cost = run(check(number))
        number += 1
    assert number > 20
