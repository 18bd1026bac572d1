"""
``UnitWriter``: saves units' data durably, or lets it wait; detects other writers by the fence.

Each device's mirror rows have a version. It is known here and nowhere else: a write states the
version that it builds on, and one that does not match is fenced (``sfm.store.mirror``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy import Connection

from sfm.back_off import BackingOffError
from sfm.store.backlog import Backlog, WaitingRecord
from sfm.store.database import Store
from sfm.store.errors import NoSerialError, StoreError
from sfm.store.executor import StoreExecutor
from sfm.store.health import StoreHealth
from sfm.store.mirror_rows import Fenced
from sfm.store.unit_data import WriteResult

__all__ = ["Outcome", "Save", "UnitWriter"]

log = structlog.get_logger(__name__)


class Save(Protocol):
    """Saves in a transaction; ``seen`` is the version that the mirror's rows must have."""

    def __call__(self, connection: Connection, /, *, seen: int | None) -> WriteResult:
        """Return what was saved, and the mirror's new version."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a write."""

    is_archived: bool
    fenced_epoch: int | None = None
    """Another relay wrote this device's mirror: begin beyond that epoch."""
    public_id: str | None = None
    """Names the recording whose waveform was written."""


NOT_ARCHIVED = Outcome(False)


class UnitWriter:
    """
    Writes units' data through one backlog. Lives as long as its executor.

    Args:
        executor: runs the writes.
        health: counts the durable ones.
        backlog: takes the records that cannot be archived now.
    """

    def __init__(self, executor: StoreExecutor, health: StoreHealth, backlog: Backlog) -> None:
        self._executor = executor
        self._health = health
        self._backlog = backlog
        self._versions: dict[str, int] = {}

    def version(self, unit_id: str) -> int | None:
        """Return the version of a device's mirror rows, as far as this relay wrote or read them."""
        return self._versions.get(unit_id)

    def note_version(self, unit_id: str, version: int) -> None:
        """Note the version that a device's mirror rows have now."""
        self._versions[unit_id] = version

    def note_result(self, unit_id: str, mirrored: int | Fenced) -> int | None:
        """Note the version in a write's result; return the fence's epoch, if there is one."""
        if isinstance(mirrored, Fenced):
            self._versions[unit_id] = mirrored.version
            return mirrored.epoch
        self._versions[unit_id] = mirrored
        return None

    async def save(
        self,
        unit_id: str,
        save: Save,
        waiting: WaitingRecord | None = None,
        *,
        notes_fence: bool = True,
    ) -> Outcome:
        """
        Save now, or add ``waiting`` to the backlog; never fails.

        ``notes_fence=False``: after a fence keep the old version, so that the next write is fenced
        too and drops the cache.
        """
        if not self._executor.has_store:
            return NOT_ARCHIVED

        def write(store: Store) -> WriteResult:
            written = store.write(save, seen=self.version(unit_id))
            # Noted in the writing thread, after the commit: the write that is queued behind this
            # one must build on the new version.
            is_fenced = isinstance(written.mirror, Fenced)
            if written.mirror is not None and (notes_fence or not is_fenced):
                self.note_result(unit_id, written.mirror)
            return written

        try:
            if self._backlog:
                await self._backlog.flush()
            written = await self._executor.call(write, is_write=True)
        except NoSerialError as error:
            log.error("record_refused", unit=unit_id, error=str(error))
            return NOT_ARCHIVED
        except (StoreError, BackingOffError):
            if waiting is not None:
                self._backlog.add(waiting)
            return NOT_ARCHIVED
        self._health.writes += 1
        fenced = written.mirror.epoch if isinstance(written.mirror, Fenced) else None
        return Outcome(True, fenced, written.public_id)
