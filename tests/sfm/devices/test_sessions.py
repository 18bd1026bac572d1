"""The slots for sessions, and the queue before them."""

from __future__ import annotations

import asyncio

import pytest
from kit import virtual_time
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time
from kit.virtual_time import now_s

from sfm.devices.session_limit import MAX_WAITING, SessionLimit
from sfm.devices.single_flight import BusyError


def queue(most: int = 1, queue_s: float = 10.0) -> SessionLimit:
    return SessionLimit(most, queue_s, is_known=True, clock=now_s)


@virtual_time.in_virtual_time
async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    places, order = queue(), list[int]()
    first = await places.enter()

    async def take(number: int) -> None:
        place = await places.enter()
        order.append(number)
        await asyncio.sleep(0.5)
        place.leave()
        place.leave()  # no second place comes of it

    asked = [asyncio.create_task(take(number)) for number in range(5)]
    await asyncio.sleep(1)
    assert (places.open, places.waiting) == (1, 5)
    first.leave()
    # A new reader does not pass the others, though a slot was free for a moment.
    late = asyncio.create_task(take(5))
    await asyncio.gather(*asked, late)
    assert (places.open, places.waiting) == (0, 0)
    assert (order, places.longest_wait_s) == ([0, 1, 2, 3, 4, 5], 3.0)


@virtual_time.in_virtual_time
async def test_the_wait_is_bounded_and_names_what_to_do() -> None:
    places = queue(queue_s=10)
    place, began = await places.enter(), now_s()
    with pytest.raises(BusyError, match=r"1 units at once.*10 s; ask again in 5 s"):
        await places.enter()
    assert now_s() - began == 10
    assert places.waiting == 0
    waiting = [asyncio.create_task(places.enter()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError, match=f"{MAX_WAITING} others wait"):
        await places.enter()
    for one in waiting[1:]:
        one.cancel()
    place.leave()
    (await waiting[0]).leave()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (places.open, places.waiting) == (0, 0)


@virtual_time.in_virtual_time
async def test_a_place_that_comes_while_its_line_gives_up_goes_to_the_next() -> None:
    places = queue()
    place = await places.enter()
    first, second = (asyncio.create_task(places.enter()) for _ in range(2))
    await asyncio.sleep(0)
    place.leave()  # it is the first one's now, which has not run yet
    first.cancel()
    (await second).leave()
    assert first.cancelled()
    assert (places.open, places.waiting) == (0, 0)


@virtual_time.in_virtual_time
async def test_an_idle_line_is_asked_to_hang_up_once_and_not_when_it_is_used_again() -> None:
    places, hung = queue(most=2), list[str]()
    one, other = await places.enter(), await places.enter()
    assert one.idle(lambda: hung.append("one"))
    assert other.idle(lambda: hung.append("other"))
    one.used()
    assert one.idle(lambda: hung.append("one again"))
    waiting = [asyncio.create_task(places.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not other.idle(lambda: None)  # somebody waits: it is not kept
    for place in (one, other):
        place.leave()
    for task in waiting[:2]:
        (await task).leave()
    (await waiting[2]).leave()
    assert hung == ["other", "one again"]


@in_virtual_time
async def test_where_a_unit_has_answered_once_the_address_is_known(world: World) -> None:
    world.plug(FieldUnit())
    before = world.gateway.registry._session_limit_for(HERE).is_known
    await world.gateway.events(HERE)
    assert (before, world.gateway.registry._session_limit_for(HERE).is_known) == (False, True)


@in_virtual_time
async def test_places_are_counted_by_kind(world: World) -> None:
    world.plug(FieldUnit())
    await world.gateway.events(HERE)
    assert world.gateway.session_stats() == {
        "known": {"open": 0, "waiting": 0, "longest_wait_s": 0.0},
        "unknown": {"open": 1, "waiting": 0, "longest_wait_s": 0.0},
    }
