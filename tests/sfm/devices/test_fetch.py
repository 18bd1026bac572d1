"""A fetch: every image in the archive, over bad links, beside other readers, in virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kit import virtual_time
from kit.field_memory import damage
from kit.raw_unit import RawUnit
from kit.raw_world import PROBLEM, RawWorld, in_raw_world, problem_of, round_trip_of_replies
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time
from kit.virtual_time import now_s

from minimateplus.simulator.faulty_links import LateLink
from sfm.devices.fetch import IDLE_LIMIT_S, Fetches
from sfm.store.errors import StoreFullError

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
FETCH = "/device/fetch"


async def ended(world: RawWorld, location: str, poll_s: float = 2.0) -> dict[str, Any]:
    """Return an operation once it has ended."""
    while True:
        operation: dict[str, Any] = (await world.get(location)).json()
        if operation["state"] != "running":
            return operation
        await world.pause(poll_s)


async def fetched(world: RawWorld, **query: Any) -> dict[str, Any]:
    """Fetch; return the result."""
    operation = await ended(world, (await world.post(FETCH, **query)).headers["location"])
    assert operation["state"] == "done", operation["problem"]
    result: dict[str, Any] = operation["result"]
    return result


async def restarted(world: RawWorld) -> None:
    """Stop the relay with its operations, and start it again."""
    assert world._app is not None
    await world._app.state.operations.close()
    await world.restart()


async def images(world: RawWorld) -> dict[str, list[bytes]]:
    """Return the images of each recording in the archive, by key."""
    return {one["waveform_key"]: one["images"] for one in await world.archived()}


def true_images(unit: RawUnit, *indices: int) -> dict[str, list[bytes]]:
    """Return the images that the unit has; of other events than ``indices`` none."""
    return {
        event.key_bytes.hex(): [event.image] if not indices or index in indices else []
        for index, event in enumerate(unit.events)
    }


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_fetch

    return sys.modules[bench_fetch.__name__]


def test_a_full_unit_is_fetched_whole_over_a_link_that_is_cut_each_minute(
    figures: ModuleType,
) -> None:
    came = virtual_time.run(figures.fetch(300, 0.3, 60.0, 45.0))
    assert (came.state, came.whole) == ("done", 300)
    # A contact reads again at most the first and the last chunk of what it continues, and one whose
    # reply was lost.
    assert came.contacts > 50
    assert came.chunks_twice <= 3 * came.contacts, came.chunks_twice
    # 10 exchanges for the walk and 24 for the image of an event; of a contact 2 to wake the unit,
    # 12 to probe, 12 to arm it and 6 for chunks; for a status 2, and 12 to arm the unit again.
    limit = 34 * 300 + 32 * came.contacts + 14 * len(came.waits_s) + 60
    assert came.exchanges <= limit, (came.exchanges, limit)
    # People read the status meanwhile; the longest wait is a new contact and one event's proof.
    assert set(came.answers) == {"good"}
    assert max(came.waits_s) <= 15.0, max(came.waits_s)


@in_raw_world
async def test_a_fetch_is_answered_at_once_and_shows_events_and_bytes(world: RawWorld) -> None:
    world.unit.record(3, samples=600)
    world.connection.delay = round_trip_of_replies(0.3)
    began = now_s()
    answer = await world.post(FETCH)
    assert (answer.status_code, now_s()) == (202, began)
    assert answer.headers["location"] == f"/operations/{answer.json()['id']}"
    seen = set()
    while (operation := (await world.get(answer.headers["location"])).json())["state"] == "running":
        seen.add((operation["what"], operation["done"], operation["total"]))
        await world.pause(0.5)
    assert {("events archived", done, 3) for done in (0, 1, 2)} <= seen
    size = sum(len(event.image) for event in world.unit.events)
    assert (operation["done"], operation["total"], operation["read_bytes"]) == (3, 3, size)
    result = operation["result"]
    assert (result["archived"], result["already_archived"], result["failed"]) == (3, 0, [])
    assert await images(world) == true_images(world.unit)
    assert operation["trying_again"] is None
    stream = await world.get(f"{answer.headers['location']}/progress")
    assert f'"read_bytes":{size}' in stream.text


@in_raw_world
async def test_only_what_is_missing_is_read_the_newest_first(world: RawWorld) -> None:
    unit = world.unit.record(5)
    for index in (0, 3):
        await world.get(f"/device/event/{index}/waveform")
    unit.records_read.clear()
    result = await fetched(world)
    assert (result["events"], result["archived"], result["already_archived"]) == (5, 3, 2)
    order = [unit.events.index(next(e for e in unit.events if e.key_bytes == key))
             for key in dict.fromkeys(unit.records_read)]  # fmt: skip
    assert order == [4, 2, 1]
    assert await images(world) == true_images(unit)
    again = await fetched(world)
    assert (again["archived"], again["already_archived"], again["read_bytes"]) == (0, 5, 0)
    assert again["exchanges"] <= 20


@in_raw_world
async def test_since_takes_what_is_as_late_and_what_has_no_time(world: RawWorld) -> None:
    unit = world.unit.record(4)
    unit.clock_was_set = False
    unit.record()
    since = unit.events[2].at.isoformat()
    assert (await fetched(world, since=since))["archived"] == 3
    wrong = await world.post(FETCH, since="yesterday")
    archive = await world.get("/archive/events", since="yesterday")
    assert (wrong.status_code, archive.status_code) == (422, 422)
    assert wrong.json()["errors"] == archive.json()["errors"]
    assert await images(world) == true_images(unit, 2, 3, 4)


@in_raw_world
async def test_a_restarted_relay_says_what_became_of_it_and_continues(world: RawWorld) -> None:
    unit = world.unit.record(2, samples=4000)
    world.connection.delay = round_trip_of_replies(0.3)
    location = (await world.post(FETCH)).headers["location"]
    while unit.asked.get(0x5A, 0) < 9:
        await world.pause(0.1)
    await restarted(world)
    operation = (await world.get(location)).json()
    assert (operation["state"], operation["problem"]["status"]) == ("failed", 503)
    assert "outcome" not in operation["problem"]
    assert "Start the fetch again" in operation["problem"]["detail"]
    before = unit.asked[0x5A]
    result = await fetched(world)
    assert result["archived"] == 2
    chunks = sum(-(-len(event.image) // 1024) for event in unit.events)
    assert unit.asked[0x5A] - before <= chunks - 9 + 3, "it began again instead of continuing"
    assert await images(world) == true_images(unit)


@in_raw_world
async def test_others_are_served_between_two_events(world: RawWorld) -> None:
    world.unit.record(12, samples=600)
    world.connection.delay = round_trip_of_replies(0.3)
    location = (await world.post(FETCH)).headers["location"]
    await world.pause(60)
    asked = now_s()
    listed = await world.get("/device/events")
    assert listed.status_code == 200
    assert now_s() - asked <= 20, "a reader of the list waited for more than one event"
    assert (await world.get(location)).json()["state"] == "running"
    assert (await ended(world, location))["result"]["archived"] == 12


@in_raw_world
async def test_a_unit_whose_link_is_cut_again_and_again_is_not_backed_off(world: RawWorld) -> None:
    world.unit.record(12, samples=600)
    world.connection.delay = round_trip_of_replies(0.3)
    world.connection.cut_each_s = 20.0
    location = (await world.post(FETCH)).headers["location"]
    while world.called < 8:
        await world.pause(0.2)
    assert (await world.get("/device/monitor/status")).status_code == 200
    assert (await ended(world, location))["result"]["archived"] == 12


@in_raw_world
async def test_two_fetches_at_once_read_every_event_once(world: RawWorld) -> None:
    unit = world.unit.record(6)
    world.connection.delay = round_trip_of_replies(0.3)
    locations = [(await world.post(FETCH)).headers["location"] for _ in range(2)]
    results = [(await ended(world, one))["result"] for one in locations]
    assert sum(one["archived"] for one in results) == 6
    assert unit.asked[0x5A] == sum(-(-len(event.image) // 1024) for event in unit.events)


@in_raw_world
async def test_an_unreachable_unit_is_tried_with_growing_pauses_and_then_given_up(
    world: RawWorld,
) -> None:
    world.unit.record(3)
    await fetched(world, since="2027-01-01")  # the list, and nothing else
    await world.pause(10)  # until the relay has hung up
    world.connection.cut_each_s = 1.0
    world.connection.delay = round_trip_of_replies(0.3)
    began, called = now_s(), world.called
    location = (await world.post(FETCH)).headers["location"]
    await world.pause(60)
    running = (await world.get(location)).json()
    assert running["trying_again"]["type"].startswith(PROBLEM), running
    assert running["trying_again"]["detail"]
    operation = await ended(world, location)
    assert operation["trying_again"] is None
    problem = operation["problem"]
    assert problem["type"] == f"{PROBLEM}fetch-incomplete"
    assert [one["index"] for one in problem["result"]["missing"]] in ([], [0, 1, 2])
    assert "start it again" in problem["detail"]
    assert IDLE_LIMIT_S <= now_s() - began <= IDLE_LIMIT_S + 120
    assert world.called - called <= 30


@in_raw_world
async def test_an_event_that_cannot_be_read_does_not_hold_up_the_others(world: RawWorld) -> None:
    unit = world.unit.record(4)
    bad = unit.events[3]
    object.__setattr__(bad, "image", bytes(len(bad.image)))  # no start record
    result = await fetched(world)
    assert result["archived"] == 3
    (failed,) = result["failed"]
    assert (failed["index"], failed["waveform_key"]) == (3, bad.key_bytes.hex())
    assert failed["why"]
    assert await images(world) == true_images(unit, 0, 1, 2)


@in_raw_world
async def test_a_memory_erased_meanwhile_ends_the_fetch(world: RawWorld) -> None:
    unit = world.unit.record(6, samples=600)
    world.connection.delay = round_trip_of_replies(0.3)
    location = (await world.post(FETCH)).headers["location"]
    while (await world.get(location)).json()["done"] != 2:
        await world.pause(1)
    unit.erase().record(6, samples=600, loud=90)
    operation = await ended(world, location)
    assert operation["problem"]["type"] == f"{PROBLEM}memory-changing"
    assert "start the fetch again" in operation["problem"]["detail"]
    assert (await fetched(world))["archived"] == 6


@in_raw_world
async def test_what_is_recorded_meanwhile_is_fetched_too(world: RawWorld) -> None:
    unit = world.unit.record(4, samples=600)
    world.connection.delay = round_trip_of_replies(0.3)
    location = (await world.post(FETCH)).headers["location"]
    while not (await world.get(location)).json()["done"]:
        await world.pause(1)
    unit.record(2, samples=600)
    assert (await ended(world, location))["result"]["archived"] == 6
    assert await images(world) == true_images(unit)


@in_raw_world
async def test_a_full_disk_ends_it_without_reading_the_unit_empty(world: RawWorld) -> None:
    world.unit.record(5)
    await world.get("/device/events")
    assert world.disk is not None
    world.disk.fail(StoreFullError("the disk is full"))
    asked = world.unit.asked.get(0x5A, 0)
    location = (await world.post(FETCH)).headers["location"]
    operation = await ended(world, location)
    assert operation["problem"]["type"] == f"{PROBLEM}fetch-incomplete"
    assert "full" in operation["problem"]["detail"]
    assert world.unit.asked.get(0x5A, 0) == asked
    world.disk.fail(None)
    await world.pause(120)
    assert (await fetched(world))["archived"] == 5


@in_raw_world
async def test_what_the_database_did_not_take_is_not_called_archived(world: RawWorld) -> None:
    unit = world.unit.record(6, samples=600)
    world.connection.delay = round_trip_of_replies(0.3)
    location = (await world.post(FETCH)).headers["location"]
    while (await world.get(location)).json()["done"] != 2:
        await world.pause(0.5)
    assert world.disk is not None
    world.disk.fail(StoreFullError("the disk is full"))
    asked = unit.asked[0x5A]
    operation = await ended(world, location)
    assert operation["problem"]["result"]["archived"] == 2
    assert [one["index"] for one in operation["problem"]["result"]["missing"]] == [0, 1, 2, 3]
    assert unit.asked[0x5A] - asked <= 3, "it went on reading"
    world.disk.fail(None)
    await world.pause(120)
    assert (await fetched(world))["failed"] == []
    assert await images(world) == true_images(unit)


@in_raw_world
async def test_a_list_that_the_database_missed_is_walked_again_before_it_counts(
    world: RawWorld,
) -> None:
    unit = world.unit.record(4)
    assert world.disk is not None
    world.disk.fail(StoreFullError("the disk is full"))
    await world.get("/device/events")
    world.disk.fail(None)
    await world.pause(120)
    result = await fetched(world)
    assert (result["archived"], result["failed"]) == (4, [])
    assert await images(world) == true_images(unit)
    assert (await world.erase(4)).status_code == 200


@virtual_time.in_virtual_time
async def test_without_a_database_it_is_refused_at_once() -> None:
    async with RawWorld() as world:
        answer = await world.post(FETCH)
        assert (answer.status_code, problem_of(answer)) == (404, "no-archive")
        assert "SFM_DATABASE_URL" in answer.json()["detail"]
        assert world.called == 0


# --- what an erase offers ------------------------------------------------------------------------


@in_raw_world
async def test_a_refused_erase_names_what_is_missing_and_links_to_the_fetch(
    world: RawWorld,
) -> None:
    unit = world.unit.record(3)
    await world.get("/device/event/1/waveform")
    refused = (await world.erase(3)).json()
    assert (refused["status"], refused["reason"]) == (409, "not-archived")
    assert refused["missing"] == [
        {"index": i, "waveform_key": unit.events[i].key_bytes.hex(),
         "timestamp": unit.events[i].at.isoformat()} for i in (0, 2)
    ]  # fmt: skip
    assert "fetch them first" in refused["detail"]
    await ended(world, (await world.post(refused["fetch"])).headers["location"])
    assert (await world.erase(3)).status_code == 200


@in_virtual_time
async def test_what_contradicts_itself_is_read_twice_with_all_and_counts(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit()).record(2)
    unit.record_big()
    damage(unit, "fewer announced")
    fetches = Fetches(world.gateway, clock=now_s)

    async def fetch(**more: Any) -> dict[str, Any]:
        return await fetches.fetch(HERE, lambda *_: None, **more)

    first = await fetch()
    assert (first["archived"], first["contradicted"], first["failed"]) == (3, [2], [])
    check = await world.gateway.store_service.erase_check("unit:" + first["serial"], 3)
    assert (check.unarchived, check.contradicted) == ([2], [2])
    again = await fetch()
    assert (again["archived"], again["already_archived"]) == (0, 3)
    await world.pause(60)  # a download of the same instant is the same download
    once_more = await fetch(reads_contradicted=True)
    assert (once_more["archived"], once_more["already_archived"]) == (1, 2)
    check = await world.gateway.store_service.erase_check("unit:" + first["serial"], 3)
    assert (check.unarchived, check.contradicted) == ([], [2])


@in_virtual_time
async def test_a_new_event_that_contradicts_itself_is_read_twice_with_all(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit()).record(2)
    unit.record_big()
    damage(unit, "peaks")
    world.wrap_link = lambda link: LateLink(link, 0.1)
    fetches = Fetches(world.gateway, clock=now_s)
    result = await fetches.fetch(HERE, lambda *_: None, reads_contradicted=True)
    assert (result["archived"], result["contradicted"], result["failed"]) == (3, [2], [])
    check = await world.gateway.store_service.erase_check("unit:" + result["serial"], 3)
    assert (check.unarchived, check.contradicted) == ([], [2])
