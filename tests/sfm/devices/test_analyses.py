"""The background work that computes what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from kit.inline_worker import InlineWorker
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time
from kit.stored_rows import write_row
from structlog.testing import capture_logs

from sfm.devices.analyses import Analyses
from sfm.store import Store, analyses
from sfm.worker import WorkerBusyError, WorkerError


def following(world: World, **more: Any) -> Analyses:
    found = Analyses(world.gateway.store_service, wall=world.wall, worker=InlineWorker(), **more)
    found.start()
    return found


def stored(disk: Store) -> dict[int, int]:
    """Versions of the stored results by their waveforms."""
    with disk.engines.read() as connection:
        rows = connection.exec_driver_sql("SELECT waveform_id, version FROM analyses").all()
    return {int(row[0]): int(row[1]) for row in rows}


@in_virtual_time
async def test_a_waveform_is_analysed_soon_after_it_was_archived(world: World) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(3, size=1024))
    background = following(world)
    calls: list[tuple[str, set[int], int]] = []

    async def note(serial: str, recordings: Collection[int]) -> None:
        calls.append((serial, set(recordings), len(stored(disk))))

    background.on_stored = note
    for index in range(2):
        await world.gateway.waveform(HERE, index)
        await asyncio.sleep(1)
        assert len(stored(disk)) == index + 1
    assert calls == [("SIM0001", {1}, 1), ("SIM0001", {2}, 2)]
    assert set(disk.read(analyses.load_by_recording, [1, 2, 3])) == {1, 2}
    await background.close()


@in_virtual_time
async def test_what_was_archived_before_and_what_is_outdated_is_analysed_at_the_start(
    world: World,
) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(3, size=1024))
    for index in range(3):
        await world.gateway.waveform(HERE, index)
    first = following(world)
    await asyncio.sleep(1)
    await first.close()
    assert set(stored(disk)) == {1, 2, 3}
    write_row(disk, "analyses", {"waveform_id": 2}, version=0)
    second = following(world)
    await asyncio.sleep(1)
    await second.close()
    assert set(stored(disk).values()) == {1}


@in_virtual_time
async def test_damaged_samples_are_given_up_and_the_others_are_analysed(world: World) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(3, size=1024))
    for index in range(3):
        await world.gateway.waveform(HERE, index)
    with disk.engines.write() as connection:
        connection.exec_driver_sql("UPDATE recording_waveforms SET counts = x'00' WHERE id = 1")
    background = following(world)
    await asyncio.sleep(1)
    assert set(stored(disk)) == {2, 3}
    world.gateway.store_service.waveforms_changed.set()
    await asyncio.sleep(1)
    await background.close()


@pytest.mark.parametrize("kind", [WorkerError, WorkerBusyError])
@in_virtual_time
async def test_a_worker_that_fails_is_tried_again_later(
    world: World, kind: type[Exception]
) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(1, size=1024))
    await world.gateway.waveform(HERE, 0)
    background = following(world)
    failures = 2
    run = background.worker.run

    async def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise kind("not now")
        return await run(*args, **kwargs)

    background.worker.run = failing  # type: ignore[method-assign]
    await asyncio.sleep(20)
    assert stored(disk) == {}
    await asyncio.sleep(60)
    assert set(stored(disk)) == {1}
    await background.close()


@in_virtual_time
async def test_samples_that_end_the_worker_each_time_keep_no_others_back(world: World) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(2, size=1024))
    for index in range(2):
        await world.gateway.waveform(HERE, index)
    background = following(world)
    run = background.worker.run

    async def failing(function: Any, payload: Any) -> Any:
        if payload["waveform_key"] == "01110000":
            raise WorkerError("ended")
        return await run(function, payload)

    background.worker.run = failing  # type: ignore[method-assign,assignment]
    await asyncio.sleep(200)
    assert set(stored(disk)) == {2}
    await background.close()


@in_virtual_time
async def test_without_a_database_nothing_is_computed_in_the_background(world: World) -> None:
    world.plug(FieldUnit().record(1, size=1024))
    background = following(world)
    before = InlineWorker.computed
    await world.gateway.waveform(HERE, 0)
    await asyncio.sleep(1)
    assert InlineWorker.computed == before
    await background.close()


@in_virtual_time
async def test_a_database_that_refuses_results_is_not_asked_without_end(world: World) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(2, size=1024))
    for index in range(2):
        await world.gateway.waveform(HERE, index)
    with disk.engines.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON analyses BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
    before = InlineWorker.computed
    background = following(world)
    await asyncio.sleep(100)
    assert 1 <= InlineWorker.computed - before <= 5
    with disk.engines.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")
    await asyncio.sleep(200)
    assert set(stored(disk)) == {1, 2}
    await background.close()


@in_virtual_time
async def test_a_computation_that_the_relays_end_cuts_off_is_no_warning(world: World) -> None:
    class EndedWorker(InlineWorker):
        def __init__(self) -> None:
            super().__init__()
            self.began, self.ended = asyncio.Event(), asyncio.Event()

        async def run(self, *_: Any, **__: Any) -> Any:
            self.began.set()
            await self.ended.wait()
            raise WorkerError("the process that computes ended unexpectedly; try again")

        async def close(self) -> None:
            self.ended.set()

    await world.with_disk()
    world.plug(FieldUnit().record(1, size=1024))
    await world.gateway.waveform(HERE, 0)
    worker = EndedWorker()
    background = Analyses(world.gateway.store_service, wall=world.wall, worker=worker)
    with capture_logs() as logged:
        background.start()
        await worker.began.wait()
        await background.close()
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == []
