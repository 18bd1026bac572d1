"""Forgetting an address that nobody ever read leaves nothing behind, in memory or on disk."""

from __future__ import annotations

import httpx
import pytest
from kit.relay_world import HERE, KEY, FieldUnit, World, in_virtual_time

from sfm.api.app import build_app
from sfm.store import maintenance


def rows(world: World) -> int:
    assert world.disk is not None
    return world.disk.opened().read(maintenance.count_rows)["cached_devices"]


async def forget(world: World, host: str) -> int:
    transport = httpx.ASGITransport(build_app(world.settings, world.gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.delete("/cache/device", params={"host": host})).status_code


@pytest.mark.parametrize("has_disk", [False, True], ids=["memory", "disk"])
@in_virtual_time
async def test_wrong_addresses_leave_nothing_behind(world: World, has_disk: bool) -> None:
    if has_disk:
        await world.with_disk()
    for number in range(50):
        assert await forget(world, f"wrong-{number}.invalid") == 204
    assert world.cache.stats()["devices"] == 0
    assert not has_disk or rows(world) == 0


@in_virtual_time
async def test_what_is_known_of_a_unit_is_forgotten_also_after_a_restart(world: World) -> None:
    await world.with_disk()
    unit = FieldUnit()
    unit.record_event()
    world.plug(unit)
    await world.gateway.events(HERE)
    before = world.cache.epoch(KEY).number
    await world.restart()
    assert not world.cache.knows(KEY)
    assert await forget(world, HERE.target) == 204
    assert world.cache.events_entry(KEY) is None
    assert world.cache.epoch(KEY).number > before
    assert (await world.gateway.events(HERE)).provenance.why == "miss"
