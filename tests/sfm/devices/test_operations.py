"""Long work that is answered at once: its id, its progress, its end, and a restart between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kit.empty_databases import memory_store
from kit.relay_world import World, at_once, in_virtual_time
from kit.virtual_time import now_s

from sfm.devices.operations import MAX_RUNNING, Operation, Operations
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.store import Store
from sfm.store import operations as store_operations
from sfm.store.service import StoreService


class Wall:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def operations(store: Store | None, wall: Wall, prefix: str = "one") -> Operations:
    store_service = StoreService(
        None if store is None else lambda: store, clock=now_s, wall=wall, run=at_once
    )
    ids = iter(f"{prefix}-{number}" for number in range(10**6))
    return Operations(
        store_service,
        wall=wall,
        new_id=lambda: next(ids),
        describe=lambda error: {"detail": str(error)},
    )


def ends_after(seconds: float) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    async def work(report: Any) -> dict[str, Any]:
        report("s", 1.0, seconds)
        await asyncio.sleep(seconds)
        return {"answer": 42}

    return work


async def found(where: Operations, operation: Operation) -> dict[str, Any]:
    one = await where.find(operation.id)
    assert one is not None
    return one.payload()


@in_virtual_time
async def test_an_ended_operation_is_there_after_a_restart_and_gone_after_a_day(
    world: World,
) -> None:
    wall = Wall()
    with memory_store() as store:
        before = operations(store, wall)
        operation = await before.begin("test", "tcp:a:1", ends_after(1.0))
        await asyncio.sleep(2)
        reported = await found(before, operation)
        assert (reported["state"], reported["result"]) == ("done", {"answer": 42})
        await before.close()
        after = operations(store, wall, "two")
        assert await found(after, operation) == reported
        wall.now += timedelta(hours=23, minutes=59)
        assert await found(after, operation) == reported
        wall.now += timedelta(minutes=2)
        assert await after.find(operation.id) is None
        assert await before.find(operation.id) is None
        # The next one that is written down removes its row.
        await after.begin("test", "tcp:a:1", ends_after(1.0))
        await asyncio.sleep(2)
        assert store.read(store_operations.load, operation.id) is None


@in_virtual_time
async def test_an_operation_that_a_restart_cut_has_an_unknown_outcome(world: World) -> None:
    wall = Wall()
    with memory_store() as store:
        killed = operations(store, wall)
        operation = await killed.begin("test", "tcp:a:1", ends_after(1000.0))
        await asyncio.sleep(1)
        # As after kill -9: another relay opens the same database.
        reported = await found(operations(store, wall), operation)
        assert (reported["state"], reported["problem"]["outcome"]) == ("failed", "unknown")
        assert "tcp:a:1: the relay was stopped" in reported["problem"]["detail"]
        await killed.close()
        stopped = await found(operations(store, wall), operation)
        assert (stopped["state"], stopped["problem"]["outcome"]) == ("failed", "unknown")
        with pytest.raises(ShuttingDownError):
            await killed.begin("test", "tcp:a:1", ends_after(1.0))


@in_virtual_time
async def test_operations_are_bounded(world: World) -> None:
    where = operations(None, Wall())
    for _ in range(MAX_RUNNING):
        await where.begin("test", "tcp:a:1", ends_after(5.0))
    with pytest.raises(BusyError):
        await where.begin("test", "tcp:a:1", ends_after(5.0))
    await asyncio.sleep(6)
    await where.begin("test", "tcp:a:1", ends_after(5.0))
    await where.close()
