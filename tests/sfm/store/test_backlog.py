"""Records that wait for the database: none keeps another one out, and none is given up untried."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.durable_world import NOW, event, open_store, origin, waveform

from sfm.store import Store, StoreError, Wanted, archive
from sfm.store.errors import StoreBusyError, StoreDamagedError, StoreFullError
from sfm.store.service import StoreService


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Failing:
    """A database whose writes of some events fail. ``error`` of ``None``: none does."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.error: StoreError | None = None
        self.only: str | None = None
        """Project of the events that fail; ``None``: every one."""

    def open(self) -> Store:
        store = open_store(self.url)
        write = store.write

        def failing(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            written = getattr(function, "keywords", {}).get("event")
            is_meant = self.only is None or (written is not None and written.project == self.only)
            if self.error is not None and is_meant:
                raise self.error
            return write(function, *args, **kwargs)

        store.write = failing  # type: ignore[method-assign]
        return store

    def archived(self) -> list[str]:
        with Store.open(self.url, read_only=True) as store:
            return sorted(row["project"] for row in store.read(archive.load_page, Wanted()).rows)


@pytest.fixture
def disk(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "relay.sqlite")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def service_of(disk: Failing, clock: Clock) -> StoreService:
    return StoreService(disk.open, clock=clock, wall=lambda: NOW)


async def save(service: StoreService, index: int) -> bool:
    payload, image = waveform(event(index))
    outcome = await service.save_waveform(origin(), event(index), payload, image, is_mirrored=False)
    return outcome.is_archived


async def test_a_record_whose_place_is_damaged_keeps_no_other_one_out(
    disk: Failing, clock: Clock
) -> None:
    service = service_of(disk, clock)
    disk.error, disk.only = StoreDamagedError("malformed"), "Quarry 0"
    stored = []
    for index in range(4):
        stored.append(await save(service, index))
        clock.now_s += timedelta(minutes=3).total_seconds()  # whatever the back-off is
    assert stored[0] is False
    await service.close()
    assert disk.archived() == ["Quarry 1", "Quarry 2", "Quarry 3"]
    assert service.state()["not_archived"] == 1


async def test_at_the_end_each_waiting_record_is_tried_though_the_database_is_backed_off(
    disk: Failing, clock: Clock
) -> None:
    service = service_of(disk, clock)
    disk.error = StoreFullError("full")
    for index in range(3):
        assert not await save(service, index)
    assert service.state()["waiting_records"] == 3
    disk.error = None  # room was made; the clock stands, so the database is still backed off
    await service.close()
    assert disk.archived() == ["Quarry 0", "Quarry 1", "Quarry 2"]
    assert service.state()["not_archived"] == 0


async def test_at_the_end_a_database_that_fails_as_a_whole_is_tried_once(
    disk: Failing, clock: Clock
) -> None:
    service = service_of(disk, clock)
    disk.error = StoreBusyError("locked")
    for index in range(3):
        await save(service, index)
    before = service.state()["failures"]
    await service.close()
    assert service.state()["failures"] == before + 1
    assert service.state()["not_archived"] == 3
