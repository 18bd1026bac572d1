"""
The record is evidence: with a clock never set and a counter that proves nothing, only peaks and
project tell a new memory from the old one, and they are in bytes that every probe reads anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kit.raw_unit import Counter, falling, honest, jumping, standing_still, unanswered
from kit.raw_world import (
    RawWorld,
    in_raw_world,
    listed,
    peaks_match,
    quality,
    samples_match,
    stamps,
)

COUNTERS = [standing_still, unanswered, honest, jumping, falling]
"""With ``jumping`` no two probes agree, so a clear no is right as well; a wrong answer never is."""
EVENTS = 4


def name_of(counter: Counter) -> str:
    return counter.__name__


async def erased_at_the_keypad(world: RawWorld, count: int = EVENTS) -> None:
    """Erase and record as many of equal length: equal keys, equal times, other peaks."""
    old = stamps(world.unit.events)
    world.unit.erase().record(count, axis=1, loud=90, samples=1280)
    assert stamps(world.unit.events)[:EVENTS] == old[:count], "then the keys tell them apart"


async def never_set(world: RawWorld, counter: Counter) -> None:
    world.unit.clock_was_set = False
    world.unit.counter = counter
    world.unit.record(EVENTS, axis=0, loud=40, samples=1280)


def all_of(answer: Any, world: RawWorld) -> bool:
    """Whether the list is that of the unit's present memory."""
    assert answer.status_code == 200, answer.text
    events = answer.json()["events"]
    same = listed(answer) == stamps(world.unit.events)
    pairs = zip(events, world.unit.events, strict=False)
    return same and all(peaks_match(shown["peaks"], event) for shown, event in pairs)


@pytest.mark.parametrize("counter", COUNTERS, ids=name_of)
@in_raw_world
async def test_an_old_list_is_not_served_after_a_keypad_erase(
    world: RawWorld, counter: Counter
) -> None:
    await never_set(world, counter)
    before = await world.get("/device/events")
    if counter is not jumping:
        assert all_of(before, world)
    await erased_at_the_keypad(world)
    answer = await world.get("/device/events")
    if answer.status_code == 200 and quality(answer) == "good":
        assert all_of(answer, world), "the old memory's peaks, called good"
        if before.status_code == 200:
            epochs = [one.json()["provenance"]["epoch"] for one in (before, answer)]
            assert epochs[0] < epochs[1], "another memory under the same epoch"
    later = await world.get("/device/events")
    if counter is not jumping:
        assert all_of(later, world)


@pytest.mark.parametrize("counter", COUNTERS, ids=name_of)
@in_raw_world
async def test_old_samples_are_not_served_after_a_keypad_erase(
    world: RawWorld, counter: Counter
) -> None:
    await never_set(world, counter)
    old = await world.get("/device/event/1/waveform")
    if counter is not jumping:
        assert old.status_code == 200, old.text
        assert samples_match(old.json(), world.unit.events[1])
    await erased_at_the_keypad(world)
    answer = await world.get("/device/event/1/waveform")
    if answer.status_code == 200 and quality(answer) == "good":
        assert peaks_match(answer.json()["peaks"], world.unit.events[1])
        assert samples_match(answer.json(), world.unit.events[1])


@pytest.mark.parametrize("counter", COUNTERS, ids=name_of)
@in_raw_world
async def test_one_more_event_after_the_erase_is_no_growth(
    world: RawWorld, counter: Counter
) -> None:
    """One more than before: the last key differs, and the old last key holds another record."""
    await never_set(world, counter)
    before = await world.get("/device/events")
    if counter is not jumping:
        assert all_of(before, world)
    await erased_at_the_keypad(world, EVENTS + 1)
    answer = await world.get("/device/events")
    if answer.status_code == 200 and quality(answer) == "good":
        assert all_of(answer, world)


@pytest.mark.parametrize("counter", COUNTERS, ids=name_of)
@pytest.mark.parametrize("chunk", [1, 2, 3])
@in_raw_world
async def test_erased_in_mid_download_new_samples_never_get_old_peaks(
    world: RawWorld, counter: Counter, chunk: int
) -> None:
    await never_set(world, counter)
    await world.get("/device/events")
    unit = world.unit

    def erased() -> None:
        unit.erase().record(EVENTS, axis=1, loud=90, samples=1280)

    unit.at_fetch(0x5A, chunk, erased)
    first = await world.get("/device/event/1/waveform")
    second = await world.get("/device/event/1/waveform")
    for answer in (first, second):
        if answer.status_code == 200 and quality(answer) == "good":
            assert peaks_match(answer.json()["peaks"], unit.events[1])
            assert samples_match(answer.json(), unit.events[1])
    await check_archive(world)


async def check_archive(world: RawWorld) -> None:
    """Every archived image is one that the unit had, together with that event's record."""
    pairs = {(event.record, event.image) for event in world.unit.history}
    for one in await world.archived():
        for image in one["images"]:
            assert (one["record_bytes"], image) in pairs, "samples of one event, peaks of another"


@pytest.mark.parametrize("counter", COUNTERS, ids=name_of)
@in_raw_world
async def test_another_project_alone_is_another_memory(world: RawWorld, counter: Counter) -> None:
    """Equal keys, times and peaks; only the project of the record differs."""
    await never_set(world, counter)
    await world.get("/device/events")
    world.unit.erase().record(EVENTS, axis=0, loud=40, samples=1280, project="South face")
    answer = await world.get("/device/events")
    if answer.status_code == 200 and quality(answer) == "good":
        assert {event["project"] for event in answer.json()["events"]} == {"South face"}


@in_raw_world
async def test_a_byte_of_unknown_meaning_is_walked_once_noted_and_left_out_later(
    world: RawWorld,
) -> None:
    """Nothing that is decoded differs, so it is no other memory; but it proves nothing either."""
    unit = world.unit.record(EVENTS)
    keys = {event.key_bytes for event in unit.events}
    unread = 208  # behind the end of the project
    assert all_of(await world.get("/device/events"), world)

    async def keys_read_after_a_change(value: int) -> set[bytes]:
        last = unit.events[-1]
        record = last.record[:unread] + bytes([value]) + last.record[unread + 1 :]
        unit.events[-1] = replace(last, record=record)
        unit.records_read.clear()
        await world.pause(60)
        answer = await world.get("/device/events")
        assert all_of(answer, world)
        assert (quality(answer), answer.json()["provenance"]["epoch"]) == ("good", 0)
        return set(unit.records_read)

    assert await keys_read_after_a_change(1) == keys
    assert await keys_read_after_a_change(2) == {unit.events[-1].key_bytes}
    await world.restart()
    assert await keys_read_after_a_change(3) == {unit.events[-1].key_bytes}
