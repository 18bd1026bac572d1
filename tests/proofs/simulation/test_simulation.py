"""A few thousand simulations without a broken promise, and every planted fault caught."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from kit import proof_budget
from mutations import (
    MUTATIONS,
    Mutation,
    etag_without_the_key,
    planted,
    tags_shared,
)
from orders import Order
from soak import command_to_replay, first_broken, first_caught
from world import (
    ACTS,
    FIELD_THEMES,
    GRAINS,
    LAYOUTS,
    NORTH,
    ORDERS,
    THEMES,
    World,
    draw_plan,
    story_hash,
)

WORLDS = {"record": 4000, "byte": 60, "kept": 500, "field": 1000, "lines": 60, "routes": 600}
"""Of each class, in a full proof."""
SHARES = {"record": 0.25, "byte": 0.15, "kept": 0.15, "field": 0.15, "lines": 0.15, "routes": 0.15}
"""Of the budget that a short proof has."""
WORLDS_TO_CATCH = 1000
ONCE_BROKEN = [("routes", seed) for seed in (1282, 1306, 1337, 1361)]
"""Worlds beyond those of a full proof, in which a long run found a fault."""


@pytest.mark.parametrize("grain", WORLDS)
def test_no_world_breaks_a_promise(grain: str) -> None:
    began_s = time.perf_counter()
    lived = 0

    def counted() -> Iterator[int]:
        nonlocal lived
        for seed in proof_budget.seeds(WORLDS[grain], SHARES[grain]):
            lived += 1
            yield seed

    broken = first_broken(grain, counted())
    if broken is not None:
        seed, complaints = broken
        pytest.fail("\n".join([*complaints, "", command_to_replay(grain, seed)]))
    if not proof_budget.is_short():
        assert lived == WORLDS[grain]
    took_s = time.perf_counter() - began_s
    sys.stdout.write(f"{grain}: {lived} worlds, {lived / took_s:.0f} worlds/s\n")


@pytest.mark.parametrize(("grain", "seed"), ONCE_BROKEN)
def test_a_world_that_once_broke_a_promise_breaks_none(grain: str, seed: int) -> None:
    assert not World(grain, seed).live()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_planted_fault_is_caught(mutation: Mutation) -> None:
    broken = first_caught(mutation, WORLDS_TO_CATCH)
    assert broken is not None, f"{WORLDS_TO_CATCH} worlds passed with {mutation.name}"
    seed, complaints = broken
    sys.stdout.write(f"{mutation.name}: {mutation.grain} world {seed}: {complaints[0]}\n")
    assert not World(mutation.grain, seed).live(), "the same world is broken without the fault"


@pytest.mark.parametrize("grain", GRAINS)
def test_a_seed_replays_to_the_last_tick(grain: str) -> None:
    for seed in range(12):
        first, second = World(grain, seed), World(grain, seed)
        first.live()
        second.live()
        assert first.story
        assert story_hash(first) == story_hash(second)


def test_the_simulations_are_as_full_as_they_claim() -> None:
    kinds = {act.kind for seed in range(400) for act in draw_plan("record", seed).acts}
    assert kinds == {"read", *ACTS}


def test_worlds_of_field_trouble_end_in_lists_and_in_refusals() -> None:
    answers: set[tuple[str, str]] = set()
    for seed in range(120):
        world = World("field", seed)
        world.live()
        answers |= {
            (world.plan.theme.name, type(request.error).__name__)
            for request in world.auditor.requests
            if request.resource == "events"
        }
    assert {(theme.name, "NoneType") for theme in FIELD_THEMES} <= answers
    assert ("cut walks", "ListIncompleteError") in answers
    assert ("second clients", "LineSharedError") in answers


def test_worlds_of_routes_have_every_way_to_a_unit_and_all_that_happens_to_it() -> None:
    layouts, asked, errors, over, moved = set(), set(), set(), set(), 0
    for seed in range(120):
        world = World("routes", seed)
        world.live()
        layouts.add(world.plan.layout)
        moved += world.moved
        for request in world.auditor.requests:
            asked.add(request.address)
            errors.add(type(request.error).__name__)
            if request.provenance is not None:
                over.add((request.address, request.provenance.conn_key))
    assert layouts == set(LAYOUTS)
    assert {"tcp:a:12345", "tcp:b:12345", "tcp:c:12345", "unit:SIM0001", NORTH} <= asked
    assert {"NoneType", "NoSuchUnitError", "ReplyTimeoutError"} <= errors
    # A hit of what was read over another address; a unit and a name over their second route.
    assert {("tcp:a:12345", "tcp:b:12345"), ("tcp:c:12345", "tcp:a:12345")} <= over
    assert {("unit:SIM0001", f"tcp:{one}:12345") for one in "abc"} <= over
    assert (NORTH, "tcp:b:12345") in over
    assert moved


def orders_of(grain: str, theme: str, worlds: int) -> list[Order]:
    place = [one.name for one in THEMES].index(theme)
    orders: list[Order] = []
    for seed in range(place, worlds * len(THEMES), len(THEMES)):
        world = World(grain, seed)
        world.live()
        orders += world.auditor.book.orders
    return orders


def test_commands_end_in_every_way_that_they_may() -> None:
    orders = orders_of("record", "commands", 40) + orders_of("record", "erasing", 20)
    ends = {(order.command, order.outcome) for order in orders}
    ends |= {(order.command, getattr(order.error, "reason", "")) for order in orders}
    wanted = {
        "start": ("done", "failed"),
        "stop": ("done", "failed"),
        "stop without reply": ("unknown",),
        "config": ("done", "dry_run", "failed", "unknown", "serial-differs"),
        "call home": ("done", "dry_run"),
        "erase": ("done", "serial-differs", "count-differs", "not-archived", "memory-changed"),
        "rescue": ("done", "unchanged", "serial-differs"),
    }
    assert {(command, end) for command in ORDERS for end in wanted[command]} <= ends
    assert any(order.cancelled for order in orders)


def test_where_there_is_an_archive_an_erase_is_done_without_a_waiver() -> None:
    orders = orders_of("kept", "erasing", 12)
    assert any(
        order.command == "erase" and "erase" in order.followed and not order.asked["discard"]
        for order in orders
    )


def test_relays_are_killed_in_the_middle_of_commands() -> None:
    orders = orders_of("kept", "commands", 12)
    assert any(order.crashed and order.sent for order in orders)


def test_a_tag_without_the_key_is_caught() -> None:
    assert not tags_shared()
    with planted(Mutation(etag_without_the_key)):
        assert tags_shared()


def test_there_are_enough_planted_faults() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 16
