"""
``ChunkLog``: chunks of images whose download has not ended, so that the next one continues there.

A chunk that could not be saved is read from the unit again; nothing else depends on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from minimateplus.model import Event
from sfm.back_off import BackingOffError
from sfm.store import mirrored_chunks
from sfm.store.database import Store
from sfm.store.errors import StoreError
from sfm.store.executor import StoreExecutor
from sfm.store.unit_writer import UnitWriter

__all__ = ["ChunkLog"]


class _Download:
    """The chunks of one download that are not written yet, and the task that writes them."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, bytes]] = []
        self.task: asyncio.Task[None] | None = None


class ChunkLog:
    """
    The chunks of all downloads. Lives as long as its executor; ``close`` it before that.

    Args:
        executor: runs reads and writes.
        versions: of the devices' mirror rows.
    """

    def __init__(self, executor: StoreExecutor, versions: UnitWriter) -> None:
        self._executor = executor
        self._versions = versions
        self._downloads: dict[str, _Download] = {}

    def save(self, unit_id: str, epoch: int, event: Event, start: int, data: bytes) -> None:
        """Save a chunk soon; ``settle`` waits for it."""
        if not self._executor.has_store:
            return
        download = self._downloads.setdefault(unit_id, _Download())
        download.chunks.append((start, data))
        if download.task is None:
            download.task = asyncio.create_task(self._write(unit_id, epoch, event, download))

    async def settle(self, unit_id: str) -> None:
        """Return when every chunk of a device is written, or could not be."""
        download = self._downloads.get(unit_id)
        if download is not None and download.task is not None:
            await asyncio.wait([download.task])

    async def load(self, unit_id: str, epoch: int, event: Event) -> bytes:
        """Return what is saved of an event's image in that epoch, from its first byte on."""
        seen = self._versions.version(unit_id)
        if seen is None:
            return b""
        try:
            return await self._executor.read(
                mirrored_chunks.load_chunks, unit_id, epoch, seen, event
            )
        except (StoreError, BackingOffError):
            return b""

    async def forget(self, unit_id: str, event: Event) -> None:
        """Forget the saved chunks of an event."""
        if self._executor.has_store:
            await self._executor.try_write(mirrored_chunks.forget_chunks, unit_id, event)

    async def close(self) -> None:
        """Return when every chunk is written, or could not be."""
        for unit_id in list(self._downloads):
            await self.settle(unit_id)

    async def _write(self, unit_id: str, epoch: int, event: Event, download: _Download) -> None:
        # Chunks that arrive during a write are written together by the next one.
        try:
            while download.chunks:
                chunks, download.chunks = download.chunks, []
                await self._write_batch(unit_id, epoch, event, chunks)
        finally:
            download.task = None

    async def _write_batch(
        self, unit_id: str, epoch: int, event: Event, chunks: Sequence[tuple[int, bytes]]
    ) -> None:
        def write(store: Store) -> None:
            # The version is the one of the moment when the write runs, behind earlier writes.
            seen = self._versions.version(unit_id)
            store.write(mirrored_chunks.save_chunks, unit_id, epoch, seen, event, chunks)

        await self._executor.try_call(write, is_write=True)
