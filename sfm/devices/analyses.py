"""
Analyses: results of events, computed in the worker process, and stored once for each waveform.

The rule: what depends on a scale that only today's setup proposes is computed for its reader and
never stored, because it is no fact of the recording.

``run`` computes what is missing in the background: what an upgrade of the methods made outdated,
and each waveform soon after it was archived, so that lists, trends and alarms find its figures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

import structlog
from sqlalchemy import Connection

from sfm.back_off import BackingOffError
from sfm.devices.answer import Answer
from sfm.records.analysed import analysis_payload
from sfm.records.payloads import Payload
from sfm.store import StoreError, analyses
from sfm.store.archive import Samples, load_samples, samples_numbered
from sfm.store.errors import DamagedRecordError, NoSuchRecordError, UndecodedSamplesError
from sfm.store.service import StoreService
from sfm.worker import Worker, WorkerBusyError, WorkerError

__all__ = ["Analyses"]

BATCH_SIZE = 50
MAX_FAILURES = 3
"""How often the worker may fail at one waveform before it is given up."""
RETRY_S = 30.0
"""After a failure of the database or the worker."""
RESULT_BYTES = 16_000
"""What a result takes in memory, about."""
MEMO = "analysis"

log = structlog.get_logger(__name__)


class Analyses:
    """
    Results of events. Lives as long as the relay; ``close`` it.

    Args:
        store_service: has the archive.
        wall: the time of day, UTC.
        worker: computes; closed with this.
    """

    def __init__(
        self,
        store_service: StoreService,
        *,
        wall: Callable[[], datetime],
        worker: Worker | None = None,
    ) -> None:
        self._store_service = store_service
        self._wall = wall
        self.worker = worker or Worker()
        """For others that compute, too."""
        self._background: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._failures: Counter[int] = Counter()
        """How often the worker process ended or took too long, by waveform."""
        self._given_up: set[int] = set()
        """Waveforms that could not be analysed, until the relay's next start."""
        self.on_stored: Callable[[str, Collection[int]], Awaitable[None]] = _nothing
        """Awaited after results of a unit were stored: its serial number, and the recordings'."""

    def start(self) -> None:
        """Begin to compute in the background what is missing."""
        if self._store_service.has_store and not self._store_service.is_read_only:
            self._background = asyncio.create_task(self._run(), name="analyses")

    async def catch_up(self) -> None:
        """
        Compute now what is missing, where nothing computes in the background.

        Raises:
            StoreError, BackingOffError, WorkerError, WorkerBusyError: some of it is still missing.
        """
        if self._store_service.has_store and not self._store_service.is_read_only:
            while await self._compute_batch():
                pass

    async def close(self) -> None:
        """End the worker process, and then the background work, between two steps of it."""
        self._closing.set()
        # What waits for an archived waveform looks whether it is to end.
        self._store_service.waveforms_changed.set()
        await self.worker.close()
        if self._background is not None:
            # Not cancelled: a thread of the store would go on with its connection.
            await self._background

    async def of_answer(self, answer: Answer) -> Payload:
        """
        Return the result of a waveform that was read or cached; computed once for its readers.

        Raises:
            WorkerError, WorkerBusyError: it could not be computed.
        """
        known: Payload | None = answer.memo.get(MEMO)
        if known is None:
            known = await self.worker.run(analysis_payload, answer.value)
            answer.memo.save(MEMO, known, RESULT_BYTES)
        return known

    async def of_recording(
        self, name: str, content_hash: bytes | None = None
    ) -> tuple[Samples, Payload]:
        """
        Return a recording's samples, packed, and their result: the stored one, or computed now.

        Raises:
            NoSuchRecordError: there is no such recording, or its samples were never downloaded.
            UndecodedSamplesError: its samples could not be decoded.
            DamagedRecordError: its samples do not match their hash.
            WorkerError, WorkerBusyError: it could not be computed.
        """
        samples = await self._store_service.read(load_samples, name, content_hash)
        stored = await self._store_service.read(analyses.load, samples)
        if stored is not None:
            return samples, stored
        payload = await self._store_service.read(_unpacked, samples)
        result = await self.worker.run(analysis_payload, payload)
        if not self._store_service.is_read_only:
            # A result that cannot be stored is one all the same.
            with contextlib.suppress(StoreError, BackingOffError):
                await self._store_service.write(analyses.save, samples, result, self._wall())
                await self.on_stored(samples.serial, {samples.recording_id})
        return samples, result

    # --- in the background -----------------------------------------------------------------------

    async def _run(self) -> None:
        changed = self._store_service.waveforms_changed
        while not self._closing.is_set():
            changed.clear()
            try:
                while await self._compute_batch():
                    pass
            except (StoreError, BackingOffError, WorkerError, WorkerBusyError) as error:
                if self._closing.is_set():
                    return  # a computation was cut off by the relay's end: the next start makes it
                log.warning("analyses_delayed", error=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), RETRY_S)
                continue
            if not self._closing.is_set():
                await changed.wait()

    async def _compute_batch(self) -> bool:
        """Compute and store some missing results; return whether any was."""
        after = 0
        wanted: list[int] = []
        while not wanted:
            numbers = await self._store_service.read(analyses.outdated, BATCH_SIZE, after)
            if not numbers:
                return False
            after = numbers[-1]
            wanted = [number for number in numbers if number not in self._given_up]
        units: dict[str, set[int]] = {}
        try:
            await self._compute(wanted, units)
        finally:
            for serial, recordings in units.items():
                await self.on_stored(serial, recordings)
        return not self._closing.is_set()

    async def _compute(self, wanted: list[int], units: dict[str, set[int]]) -> None:
        """Compute and store results; add the recordings to those of their units."""
        for number in wanted:
            if self._closing.is_set():
                return
            try:
                samples = await self._store_service.read(samples_numbered, waveform_id=number)
                payload = await self._store_service.read(_unpacked, samples)
                result = await self.worker.run(analysis_payload, payload)
                # One that cannot be stored would be the next one to compute again, at once.
                await self._store_service.write(analyses.save, samples, result, self._wall())
                units.setdefault(samples.serial, set()).add(samples.recording_id)
            except (DamagedRecordError, NoSuchRecordError, UndecodedSamplesError) as error:
                # The route that serves it reports damage; here it must not be met for ever.
                self._give_up(number, error)
            except WorkerError as error:
                # Samples that end the process each time must not keep the others back.
                self._failures[number] += 1
                if self._failures[number] < MAX_FAILURES:
                    raise
                self._give_up(number, error)
            except (StoreError, BackingOffError, WorkerBusyError):
                raise
            except Exception as error:
                self._give_up(number, error)

    def _give_up(self, number: int, error: Exception) -> None:
        self._given_up.add(number)
        log.warning("analysis_given_up", waveform=number, error=str(error) or repr(error))


async def _nothing(_: str, __: Collection[int]) -> None:
    """Nobody follows what is stored."""


def _unpacked(_: Connection, samples: Samples) -> Payload:
    """Return the payload of stored samples; in a thread of the store, so that nobody is held up."""
    return samples.payload()
