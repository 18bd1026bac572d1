"""
A full unit over a link that is slow or cut: each contact archives what it read, the next goes on.

Before, 300 events over a modem were never listed: the walk had 900 s in all, and one that ended
early kept nothing; an hour at 0.5 s a round trip cost 6,987 exchanges without a success.
"""

from __future__ import annotations

import httpx
import pytest
from kit.raw_unit import unanswered
from kit.raw_world import (
    RawWorld,
    in_raw_world,
    listed,
    peaks_match,
    problem_of,
    quality,
    round_trip_of_replies,
    stamps,
)
from kit.virtual_time import now_s

EVENTS = 40
CUT_EVERY = 150
"""Exchanges of one connection: about 12 events, if a contact costs at most 25 more."""
MAX_CONTACTS = 12


async def wait_as_asked(world: RawWorld, answer: httpx.Response) -> None:
    await world.pause(float(answer.headers["Retry-After"]))


async def contacts_until_listed(world: RawWorld) -> tuple[list[httpx.Response], httpx.Response]:
    """Return the answers of cut contacts and the list that came in the end."""
    cut: list[httpx.Response] = []
    while len(cut) < MAX_CONTACTS:
        answer = await world.get("/device/events")
        if answer.status_code == 200:
            return cut, answer
        assert problem_of(answer) == "list-incomplete", answer.text
        cut.append(answer)
        await wait_as_asked(world, answer)
    raise AssertionError(f"no list after {MAX_CONTACTS} contacts: {cut[-1].text}")


async def cut_once(world: RawWorld) -> httpx.Response:
    world.unit.record(EVENTS)
    world.unit.cut_every = CUT_EVERY
    answer = await world.get("/device/events")
    assert problem_of(answer) == "list-incomplete", answer.text
    return answer


@in_raw_world
async def test_a_cut_walk_says_how_far_it_came_and_when_to_ask_again(world: RawWorld) -> None:
    answer = await cut_once(world)
    assert answer.status_code == 503
    body = answer.json()
    assert 10 <= body["walked"] < EVENTS
    assert body["estimate_s"] is None or body["estimate_s"] >= 0
    assert int(answer.headers["Retry-After"]) >= 1


@in_raw_world
async def test_the_list_comes_after_some_contacts(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS)
    unit.cut_every = CUT_EVERY
    cut, whole = await contacts_until_listed(world)
    walked = [answer.json()["walked"] for answer in cut]
    assert walked == sorted(set(walked)), "a contact that brought nothing"
    assert len(cut) <= EVENTS * 10 // (CUT_EVERY - 25) + 1
    assert listed(whole) == stamps(unit.events)
    assert (quality(whole), whole.json()["complete"], whole.json()["count"]) == (
        "good",
        True,
        EVENTS,
    )


@in_raw_world
async def test_no_record_is_read_twice_but_the_last_known_one(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS)
    unit.cut_every = CUT_EVERY
    cut, _ = await contacts_until_listed(world)
    keys = [event.key_bytes for event in unit.events]
    times = {key: unit.records_read.count(key) for key in keys}
    # The probe at either end of a contact reads the last stored one; each contact the last known.
    again = {key for key in keys[:-1] if times[key] > 1}
    last_known = {keys[answer.json()["walked"] - 1] for answer in cut}
    assert again <= last_known, [keys.index(key) for key in again - last_known]
    assert all(times[key] <= 1 + len(cut) for key in again)
    assert times[keys[-1]] <= 2 * (len(cut) + 1) + 1


@in_raw_world
async def test_who_asks_for_it_gets_the_part_that_was_read(world: RawWorld) -> None:
    await cut_once(world)
    answer = await world.get("/device/events", partial="true")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (quality(answer), body["complete"], body["count"]) == ("partial", False, None)
    assert len(body["events"]) >= 10
    assert listed(answer) == stamps(world.unit.events[: len(body["events"])])


@in_raw_world
async def test_a_partial_list_is_never_served_to_who_did_not_ask_for_it(world: RawWorld) -> None:
    await cut_once(world)
    await world.get("/device/events", partial="true")
    for query in ({}, {"only_if_cached": "true"}, {"stale_if_error": 3600}):
        answer = await world.get("/device/events", **query)
        if answer.status_code == 200:
            assert listed(answer) == stamps(world.unit.events), query


@in_raw_world
async def test_an_event_beyond_the_walked_part_is_not_called_absent(world: RawWorld) -> None:
    await cut_once(world)
    answer = await world.get(f"/device/event/{EVENTS - 1}")
    assert answer.status_code == 503, answer.text


@in_raw_world
async def test_what_a_cut_walk_read_is_archived_and_proven_at_the_end(world: RawWorld) -> None:
    answer = await cut_once(world)
    walked = answer.json()["walked"]
    rows = await world.archived()
    truth = {event.record for event in world.unit.events[:walked]}
    assert {row["record_bytes"] for row in rows} >= truth
    assert {row.get("epoch_proven") for row in rows} == {False}
    await wait_as_asked(world, answer)
    await contacts_until_listed(world)
    rows = await world.archived()
    assert len(rows) == EVENTS
    assert {row["epoch_proven"] for row in rows} == {True}


@in_raw_world
async def test_what_a_forced_walk_read_serves_the_next_one(world: RawWorld) -> None:
    unit = world.unit.record(EVENTS)
    unit.cut_every = CUT_EVERY
    forced = await world.get("/device/events", force="true")
    assert forced.status_code >= 500, "forty events cannot be read in so few exchanges"
    await world.pause(60)
    answer = await world.get("/device/events")
    assert problem_of(answer) == "list-incomplete", answer.text
    assert answer.json()["walked"] >= 20
    first = [event.key_bytes for event in unit.events[:5]]
    assert [unit.records_read.count(key) for key in first] == [1] * 5


@in_raw_world
async def test_a_restarted_relay_goes_on_where_the_last_one_was_cut(world: RawWorld) -> None:
    unit = world.unit
    first = await cut_once(world)
    await world.restart()
    answer = await world.get("/device/events")
    assert problem_of(answer) == "list-incomplete", answer.text
    assert answer.json()["walked"] > first.json()["walked"]
    keys = [event.key_bytes for event in unit.events[:5]]
    assert [unit.records_read.count(key) for key in keys] == [1] * 5


@pytest.mark.parametrize("more", [0, 1, 5])
@pytest.mark.parametrize("silent", [False, True])
@in_raw_world
async def test_two_memories_are_never_joined(world: RawWorld, more: int, *, silent: bool) -> None:
    """
    Erased between two contacts and recorded again: equal keys and times, other peaks, and the very
    event that is read again to join them looks the same.
    """
    unit = world.unit
    unit.clock_was_set = False
    if silent:
        unit.counter = unanswered
    await cut_once_of_never_set(world)
    unit.erase()
    for number in range(EVENTS + more):
        unit.record(axis=1 if number < 5 else 0)
    unit.cut_every = 0
    for _ in range(3):
        await world.pause(60)
        answer = await world.get("/device/events")
        if answer.status_code == 200:
            shown = answer.json()["events"]
            pairs = list(zip(shown, unit.events, strict=True))
            wrong = [
                n for n, (one, true) in enumerate(pairs) if not peaks_match(one["peaks"], true)
            ]
            assert not wrong, f"events {wrong} are of the erased memory"


async def cut_once_of_never_set(world: RawWorld) -> None:
    world.unit.record(EVENTS)
    world.unit.cut_every = CUT_EVERY
    assert (await world.get("/device/events")).status_code == 503


@in_raw_world
async def test_what_is_recorded_between_two_contacts_is_listed_too(world: RawWorld) -> None:
    answer = await cut_once(world)
    world.unit.record(3)
    await wait_as_asked(world, answer)
    _, whole = await contacts_until_listed(world)
    count = whole.json()["count"]
    assert count >= EVENTS + 3
    assert listed(whole) == stamps(world.unit.events)


@pytest.mark.parametrize("seconds", [0.5, 1.0])
@in_raw_world
async def test_a_full_unit_over_a_slow_link_is_listed(world: RawWorld, seconds: float) -> None:
    unit = world.unit.record(300)
    world.connection.delay = round_trip_of_replies(seconds)
    began = now_s()
    _, whole = await contacts_until_listed(world)
    assert listed(whole) == stamps(unit.events)
    # Ten exchanges an event, at most 25 more a contact.
    assert now_s() - began <= (300 * 10 + 25 * MAX_CONTACTS) * seconds + 60 * MAX_CONTACTS


@in_raw_world
async def test_a_slow_full_unit_lets_others_read_meanwhile(world: RawWorld) -> None:
    """The list is begun and nobody waits for its end: identity and status are served."""
    unit = world.unit.record(100)
    world.connection.delay = round_trip_of_replies(0.25)
    async with world.recording(1e9, unit.record):
        unit.cut_every = 400
        answer = await world.get("/device/events")
        assert problem_of(answer) == "list-incomplete", answer.text
        for path in ("/device/info", "/device/monitor/status"):
            assert (await world.get(path)).status_code == 200
