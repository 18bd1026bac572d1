"""
The download of one event's samples, between two proofs that its slot still contains it.

The client compares the record before and after (promise 3). What was read before a cut is kept, in
memory and as chunks on disk, and the next read of the same event in the same epoch continues there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from minimateplus.client import MiniMate, Pause
from minimateplus.errors import (
    DeadlineError,
    LinkError,
    MemoryChangedError,
    RecordDiffersError,
    ReplyTimeoutError,
    SampleDecodeError,
)
from minimateplus.model import Event, MemoryProbe, Waveform
from sfm.devices.durable_cache import DurableCache
from sfm.devices.event_list import EventList
from sfm.devices.identification import Identification
from sfm.devices.reading import Reading, Why
from sfm.devices.single_flight import SharedRead
from sfm.records import payloads
from sfm.store.service import Outcome, StoreService

__all__ = ["Downloads"]


@dataclass(slots=True)
class _CutImage:
    """What came of an event's image before its read was cut."""

    epoch: int
    event: Event
    image: bytearray
    chunks: int = 0
    """How many chunks the present read has brought."""


class Downloads:
    """
    One device's downloads, one at a time. Lives as long as its device.

    Args:
        durable: where waveforms are cached and archived.
        identification: which unit answers.
        event_list: proves that the memory only grew meanwhile.
        store_service: where chunks of an image under way are written.
        clock: monotonic seconds.
        pause: lets short reads in between two chunks.
    """

    def __init__(
        self,
        durable: DurableCache,
        identification: Identification,
        event_list: EventList,
        store_service: StoreService,
        clock: Callable[[], float],
        pause: Pause,
    ) -> None:
        self._cut: _CutImage | None = None
        """The image of the last download, if it was cut."""
        self._durable = durable
        self._identification = identification
        self._event_list = event_list
        self._store_service = store_service
        self._clock = clock
        self._pause = pause

    async def download(
        self,
        unit: MiniMate,
        event: Event,
        probe: MemoryProbe,
        shared_read: SharedRead[Reading],
        *,
        whole: bool,
    ) -> Reading:
        """
        Read the samples of ``event`` and store them.

        Args:
            unit: which to ask.
            event: as the proven list has it.
            probe: what proves that list.
            shared_read: whose readers follow the progress.
            whole: if the list must be proven again, read all of it.

        Raises:
            MemoryChangedError: the slot does not hold that event any more.
            SampleDecodeError: its image was read and archived, and no sample of it can be decoded.
            FencedError: somebody else wrote the device's rows.
        """
        began, generation, epoch = self._clock(), self._durable.generation, self._durable.epoch
        undecoded: SampleDecodeError | None = None
        try:
            waveform = await self._read_samples(unit, event, epoch, shared_read)
        except RecordDiffersError as error:
            # Time, peaks and project are the same, and nothing was recorded: the bytes change by
            # themselves. The read is tried again without them.
            count = probe.lifetime_count
            if count is not None and await unit.read_lifetime_count() == count:
                await self._durable.save_volatile_offsets(error.offsets)
            raise
        except SampleDecodeError as error:
            if error.waveform is None:
                raise
            waveform, undecoded = error.waveform, error
        # Equal records under a clock that was never set have equal stamps. So the lifetime counter
        # must not have moved either; if it has, the list must be proven to have grown only.
        # (The unit gave the last stamp some time before it arrived: the start alone is certain.)
        checked, count = began, probe.lifetime_count
        if count is not None and await unit.read_lifetime_count() != count:
            checked = (await self._event_list.prove(unit, None, whole=whole)).proven_mono
            if self._durable.epoch != epoch:
                raise MemoryChangedError(f"{unit.name}: erased while event {event.index} was read")
        # The setup only proposes a scale where the event does not confirm one (settled: Scales).
        setup = None
        if undecoded is None and None in (waveform.sample_rate_hz, waveform.geo_range_in_s):
            info = self._durable.info
            payload = info.value() if info else (await self._identification.meet(unit))[0]
            setup = payload["setup"]
        payload = payloads.waveform_payload(waveform, setup)
        stored, outcome = await self._durable.save_waveform(
            waveform, payload, generation, began, is_decoded=undecoded is None
        )
        if undecoded is not None:
            await self._store_service.chunks.forget(self._durable.unit_id, event)
            raise self._undecoded(undecoded, event, outcome)
        why: Why = "request" if shared_read.forced else "miss"
        reading = self._durable.new_reading(payload, why, began, stored=stored)
        # Of the epoch that the slot was proven in, whatever was dropped since.
        return replace(reading, checked_mono=checked, epoch=epoch)

    async def _read_samples(
        self, unit: MiniMate, event: Event, epoch: int, shared_read: SharedRead[Reading]
    ) -> Waveform:
        """
        Read the samples of ``event``, continuing where an earlier read in this epoch was cut.

        What was read before the cut lies between two proofs of the list in one epoch, so it is of
        this event. A unit that answers the rest wrongly, or not at all, is read from the start the
        next time: whether every unit can continue in the middle is not known.
        """
        cut, unit_id = self._cut, self._durable.unit_id
        if cut is None or cut.event != event or cut.epoch != epoch:
            image = await self._store_service.chunks.load(unit_id, epoch, event)
            cut = _CutImage(epoch, event, bytearray(image))
        self._cut = cut
        bytes_before, cut.chunks = len(cut.image), 0
        try:
            waveform = await unit.read_waveform(
                event,
                on_progress=shared_read.report,
                begun=bytes(cut.image),
                on_image=partial(self._save_chunk, cut),
                pause=self._pause,
            )
        except Exception as error:
            is_cut = isinstance(error, LinkError | ReplyTimeoutError | DeadlineError)
            if isinstance(error, SampleDecodeError) and error.waveform is not None:
                self._cut = None  # it is whole: the chunks stay until it is archived
            elif not is_cut or (bytes_before and not cut.chunks):
                self._cut = None
                await self._store_service.chunks.forget(unit_id, event)
            raise
        finally:
            await asyncio.shield(self._store_service.chunks.settle(unit_id))
        self._cut = None
        return waveform

    def _save_chunk(self, cut: _CutImage, start: int, chunk: bytes, _: int) -> None:
        """Keep a chunk, in memory and soon on disk; what was kept behind its start is replaced."""
        cut.chunks += 1
        del cut.image[start:]
        cut.image.extend(chunk)
        self._store_service.chunks.save(self._durable.unit_id, cut.epoch, cut.event, start, chunk)

    def _undecoded(
        self, error: SampleDecodeError, event: Event, outcome: Outcome
    ) -> SampleDecodeError:
        """Return the error that says what became of an image whose samples cannot be decoded."""
        at = event.device_time
        recorded_at = "an unknown time" if at is None else at.isoformat()
        kept = "its whole image is in the archive" if outcome.is_archived else "it is not archived"
        detailed = SampleDecodeError(
            f"{self._durable.unit_id}: event {event.index} ({event.key.hex()} of {recorded_at}) "
            f"was downloaded and {kept}; its samples cannot be decoded: {error}"
        )
        detailed.waveform, detailed.recording_id = error.waveform, outcome.public_id
        return detailed
