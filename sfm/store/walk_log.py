"""
``WalkLog``: events of walks that have not ended, so that the next contact continues the walk.

Each event is archived as it is read. The last one waits for its follower: the event that ends a
list is written together with the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from minimateplus.model import Event
from sfm.records.walk import Walk
from sfm.store import archive, mirrored_walks, unit_data
from sfm.store.archive import Origin
from sfm.store.backlog import WaitingRecord
from sfm.store.executor import StoreExecutor
from sfm.store.unit_writer import UnitWriter

__all__ = ["WalkLog", "size_bytes"]


def size_bytes(events: Sequence[Event]) -> int:
    """Return about how much memory events take while they wait for the database."""
    return sum(len(event.record) + 200 for event in events)


class _WalkInProgress:
    """Events of a walk that are not written yet, and the task that writes them."""

    def __init__(self) -> None:
        self.events: list[tuple[Origin, Walk, Event]] = []
        self.task: asyncio.Task[None] | None = None


class WalkLog:
    """
    The progress of all walks. Lives as long as its executor; ``close`` it before that.

    Args:
        executor: runs writes that may fail.
        writer: archives the events.
    """

    def __init__(self, executor: StoreExecutor, writer: UnitWriter) -> None:
        self._executor = executor
        self._writer = writer
        self._walks: dict[str, _WalkInProgress] = {}
        self._written: set[str] = set()

    def may_have(self, unit_id: str) -> bool:
        """Whether the database may have a walk of this device that has not ended."""
        return unit_id in self._written

    def note_written(self, unit_id: str) -> None:
        """Note that the database may have a walk of this device."""
        self._written.add(unit_id)

    def note_ended(self, unit_id: str) -> None:
        """Note that the database has no walk of this device any more."""
        self._written.discard(unit_id)

    def save_event(self, origin: Origin, walk: Walk, event: Event) -> None:
        """Archive an event of a walk soon; ``settle`` waits for it."""
        if not self._executor.has_store:
            return
        walking = self._walks.setdefault(origin.unit_id, _WalkInProgress())
        walking.events.append((origin, walk, event))
        if len(walking.events) > 1 and walking.task is None:
            walking.task = asyncio.create_task(self._write(walking, spare=1))

    async def settle(self, unit_id: str, *, is_cut: bool) -> None:
        """
        Return when every event so far is written, or could not be.

        Unless the walk was cut, events whose write has not begun are left to the list that the
        walk ended in.
        """
        walking = self._walks.pop(unit_id, None)
        if walking is None:
            return
        if not is_cut:
            walking.events.clear()
        if walking.task is not None:
            await asyncio.wait([walking.task])
        if walking.events:
            await self._write(walking, spare=0)

    async def save(self, origin: Origin, walk: Walk) -> None:
        """Save everything that a walk has read."""
        if self._executor.has_store:
            await self._save(origin, walk, list(walk.events))

    async def forget(self, unit_id: str) -> None:
        """Forget a walk that has not ended; its events stay in the archive."""
        if self.may_have(unit_id):
            await self._executor.try_write(mirrored_walks.forget_walk, unit_id)
            self.note_ended(unit_id)

    async def close(self) -> None:
        """Return when the writes in progress have ended."""
        for walking in list(self._walks.values()):
            if walking.task is not None:
                await asyncio.wait([walking.task])

    async def _write(self, walking: _WalkInProgress, *, spare: int) -> None:
        # Events that arrive during a write are written together by the next one.
        try:
            while len(walking.events) > spare:
                batch = walking.events[: len(walking.events) - spare]
                del walking.events[: len(batch)]
                origin, walk, _ = batch[0]
                await self._save(origin, walk, [event for _, _, event in batch])
        finally:
            walking.task = None

    async def _save(self, origin: Origin, walk: Walk, read: Sequence[Event]) -> None:
        first = read[0].index if read else walk.count
        waiting = WaitingRecord(
            f"{len(read)} walked events of {origin.serial}",
            size_bytes(read),
            partial(archive.save_events, origin=origin, events=read, is_proven=False),
        )
        save = partial(unit_data.save_walk, origin=origin, walk=walk, first=first, read=read)
        self._written.add(origin.unit_id)
        # Another relay's write is detected by the list that follows: the version stays unchanged.
        await self._writer.save(origin.unit_id, save, waiting if read else None, notes_fence=False)
