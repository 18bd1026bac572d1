"""
``Backlog``: records that could not be archived yet, because the database failed.

They are archived in the order in which they were read, as soon as the database works; one whose
place in the database is damaged goes to the end, so that no other record waits for it. The backlog
is bounded: beyond the bound the oldest records are lost to the archive, and are counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from sfm.back_off import BackingOffError
from sfm.store.database import Store
from sfm.store.errors import DamagedRecordError, StoreDamagedError, StoreError
from sfm.store.executor import StoreExecutor
from sfm.store.health import StoreHealth

__all__ = ["BACKLOG_BYTES", "Backlog", "WaitingRecord"]

BACKLOG_BYTES = 64 * 1024 * 1024
RETRY_S = 5.0
NAMED = 20
"""Lost records that the log names."""

log = structlog.get_logger(__name__)

_OF_ONE_PLACE = (DamagedRecordError, StoreDamagedError)
"""Failures that another record need not meet."""


@dataclass(frozen=True, slots=True)
class WaitingRecord:
    """A record that waits for the database. ``save`` archives it; saving it twice is harmless."""

    what: str
    size_bytes: int
    save: Callable[[Connection], object]

    def archive(self, store: Store) -> object:
        """Archive it in a transaction of its own."""
        return store.write(self.save)


class Backlog:
    """
    The waiting records and the task that retries them. ``close`` it before its executor.

    Args:
        executor: writes the records.
        health: receives the number of waiting records, and of writes.
    """

    def __init__(self, executor: StoreExecutor, health: StoreHealth) -> None:
        self._executor = executor
        self._health = health
        self._records: deque[WaitingRecord] = deque()
        self._retrying: asyncio.Task[None] | None = None
        self._closed = False
        self.size_bytes = 0
        self.not_archived = 0
        """Records that left the backlog unarchived, for lack of room or at shutdown."""

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: WaitingRecord) -> None:
        """Let a record wait; drop the oldest ones where there is no room."""
        self._records.append(record)
        self.size_bytes += record.size_bytes
        while self.size_bytes > BACKLOG_BYTES:
            lost = self._records.popleft()
            self.size_bytes -= lost.size_bytes
            self.not_archived += 1
            log.error("record_not_archived", what=lost.what, reason="too many wait")
        self._health.waiting_records = len(self._records)
        if self._retrying is None and not self._closed:
            self._retrying = asyncio.create_task(self._retry())

    async def flush(self, *, is_last_chance: bool = False) -> None:
        """
        Archive the waiting records, the oldest first.

        ``is_last_chance``: try it although the database is backed off.

        Raises:
            StoreError: the database failed again.
            BackingOffError: the database failed recently and is not tried yet.
        """
        while self._records:
            record = self._records[0]
            try:
                await self._executor.call(
                    record.archive, is_write=True, is_last_chance=is_last_chance
                )
            except _OF_ONE_PLACE:
                if self._records and self._records[0] is record:
                    self._records.rotate(-1)
                raise
            # Another flush may have archived it meanwhile, or ``add`` dropped it.
            if self._records and self._records[0] is record:
                self._records.popleft()
                self.size_bytes -= record.size_bytes
                self._health.waiting_records = len(self._records)
            self._health.writes += 1
            log.info("record_archived_late", what=record.what)

    async def stop_retrying(self) -> None:
        """Cancel the task that retries, and start none again."""
        self._closed = True
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait([self._retrying])

    async def close(self) -> None:
        """Archive what waits, as far as the database works; count what is lost otherwise."""
        reason = ""
        for _ in range(len(self._records)):
            try:
                await self.flush(is_last_chance=True)
            except _OF_ONE_PLACE as error:
                reason = str(error)  # the next record may have a sound place
            except StoreError as error:
                reason = str(error)
                break
        if self._records:
            self.not_archived += len(self._records)
            what = [record.what for record in self._records][:NAMED]
            log.error("records_not_archived", count=len(self._records), what=what, error=reason)

    async def _retry(self) -> None:
        try:
            while self._records:
                await asyncio.sleep(RETRY_S)
                try:
                    await self.flush()
                except (StoreError, BackingOffError):
                    continue
        finally:
            self._retrying = None
