"""Planted faults that no world of the first thousands shows; a scenario of its own catches each."""

from __future__ import annotations

import contextlib

import pytest
from kit.relay_world import HERE, KEY, FieldUnit, World, in_virtual_time
from mutations import erase_without_the_counter, last_returned_list_forgotten_by_a_restart

from minimateplus.wire import commands
from sfm.access.principal import LOCAL
from sfm.devices.commands import CommandConflictError, Commands


@pytest.mark.parametrize("is_planted", [False, True], ids=["sound", "planted"])
@in_virtual_time
async def test_a_restart_forgets_no_list_that_was_returned_late(
    world: World, is_planted: bool
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(3, never_set=True))
    unit.at_next(
        commands.WAVEFORM_RECORD.sub,
        lambda: world.cache.drop_device(KEY, "a person asked to"),
    )
    before = await world.gateway.events(HERE)
    assert not before.provenance.stored
    await world.gateway.close()
    unit.erase()
    unit.record(2, axis=1, never_set=True)
    with last_returned_list_forgotten_by_a_restart() if is_planted else contextlib.nullcontext():
        world._start()
        after = await world.gateway.events(HERE)
    names_two_memories = after.provenance.epoch == before.provenance.epoch
    assert names_two_memories is is_planted


@pytest.mark.parametrize("is_planted", [False, True], ids=["sound", "planted"])
@in_virtual_time
async def test_a_counter_that_moved_since_the_walk_prevents_the_erase(
    world: World, is_planted: bool
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    for index in range(2):
        await world.gateway.waveform(HERE, index)

    def record_again() -> None:
        unit.erase()
        unit.record(2, axis=1)

    unit.at_next_time(commands.EVENT_COUNTER.sub, 5, record_again)
    with erase_without_the_counter() if is_planted else contextlib.nullcontext():
        refused = False
        try:
            await Commands(world.gateway).erase(HERE, LOCAL, serial="SIM0001", count=2)
        except CommandConflictError:
            refused = True
    assert refused is not is_planted
    assert unit.events or is_planted
