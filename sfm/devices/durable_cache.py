"""
One device's part of the live cache and of the database's mirror, written together.

The rule: each value enters the cache first, under the generation taken before its read began, and
then the mirror. If the mirror's rows were written by somebody else in the meantime (another relay
on the same database, an earlier start of this one), the write is *fenced*: everything cached for
the device is dropped, its epoch continues beyond theirs, and ``FencedError`` tells the read to
begin anew. That is the only signal for it.
"""

from __future__ import annotations

import contextlib
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import structlog

from minimateplus.model import Event, MemoryProbe, Waveform, differing_offsets
from sfm.back_off import BackingOffError
from sfm.cache import identity
from sfm.cache.identity import Verdict, confirms_append, stamp_of
from sfm.devices.reading import DISK, Reading, Why
from sfm.errors import SfmError
from sfm.live_cache import CacheEntry, LiveCache
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.store import LoadedDevice, Origin, ReadTime, StoreError
from sfm.store.errors import UndecodedSamplesError
from sfm.store.service import Outcome, StoreService

__all__ = ["DurableCache", "FencedError", "probe_of"]

log = structlog.get_logger(__name__)


class FencedError(SfmError):
    """Somebody else wrote the device's rows: everything cached was dropped; begin the read anew."""


@dataclass(frozen=True, slots=True)
class _ReturnedList:
    """What is remembered of a list that was returned, so that its epoch names no other memory."""

    epoch: int
    probe: MemoryProbe
    count: int
    digest: bytes


class DurableCache:
    """
    What is known of one device, in memory and on disk. Lives as long as its device.

    Args:
        conn_key: names the device in the cache and in the database.
        cache: the live cache of all devices.
        store_service: the database.
    """

    def __init__(self, conn_key: str, cache: LiveCache, store_service: StoreService) -> None:
        self.conn_key = conn_key
        self.serial: str | None = None
        """Which unit answered last; ``None`` before the first contact."""
        self.simulated: bool | None = None
        """Whether that unit says it is a simulation; ``None`` before it was asked."""
        self.volatile_offsets: frozenset[int] = frozenset()
        """Offsets of a record that change while the event stays the same (``cache.identity``)."""
        self._last_returned: _ReturnedList | None = None
        """The last list that a reader was given, whether the cache took it or not."""
        self._is_drop_written = True
        """Whether the database has taken the last drop."""
        self._cache = cache
        self._store_service = store_service

    # --- what is cached -------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """The number that each invalidation raises; taken before a read's first byte."""
        return self._cache.generation(self.conn_key)

    @property
    def epoch(self) -> int:
        """Which memory of the unit the cached values are of."""
        return self._cache.epoch(self.conn_key).number

    @property
    def info(self) -> CacheEntry | None:
        """Identity and setup, unless settings were written since."""
        return self._cache.info_entry(self.conn_key)

    @property
    def events(self) -> CacheEntry | None:
        """The event list, unless settings were written since."""
        return self._cache.events_entry(self.conn_key)

    @property
    def probe(self) -> MemoryProbe | None:
        """The probe that proved the cached list."""
        return probe_of(self.events)

    def reading_of(
        self, entry: CacheEntry, why: Why = "hit", checked_mono: float | None = None
    ) -> Reading:
        """Return a cached value as a reading that cost nothing."""
        return Reading(
            produce=entry.value,
            memo=entry.memo,
            why=why,
            read_began_mono=entry.read_began_mono,
            checked_mono=checked_mono,
            epoch=entry.epoch,
            serial=self.serial,
            simulated=self.simulated,
            source="disk" if entry.source == DISK else "cache",
        )

    def new_reading(
        self, value: Any, why: Why, began_mono: float, *, stored: bool = False
    ) -> Reading:
        """Return what was just read as a reading."""
        return Reading(
            produce=lambda: value,
            why=why,
            read_began_mono=began_mono,
            stored=stored,
            epoch=self.epoch,
            serial=self.serial,
            simulated=self.simulated,
        )

    def origin(self, began_mono: float) -> Origin:
        """Return where and when what is now in the cache was read."""
        return self._store_service.origin(
            self.conn_key,
            self.serial or "",
            self.epoch,
            simulated=bool(self.simulated),
            began_mono=began_mono,
        )

    # --- fill -----------------------------------------------------------------------------------

    async def save_info(self, info: Payload, generation: int, began_mono: float) -> bool:
        """
        Store identity and setup; return whether the cache took them.

        Raises:
            FencedError: somebody else wrote the device's rows.
        """
        stored = self._cache.set_device_info(
            self.conn_key, info, generation=generation, read_began_mono=began_mono
        )
        if stored:
            self._check_fence(await self._store_service.save_info(self.origin(began_mono), info))
        return stored

    def save_status(self, status: Payload, generation: int, began_mono: float) -> bool:
        """Store the monitor status, in memory alone; return whether the cache took it."""
        return self._cache.set_monitor_status(
            self.conn_key, status, generation=generation, read_began_mono=began_mono
        )

    async def save_list(
        self,
        events: list[Payload],
        read: list[Event],
        probe: MemoryProbe,
        generation: int,
        began_mono: float,
    ) -> bool:
        """
        Cache the list and archive its newly read tail; return whether both were done.

        Raises:
            FencedError: somebody else wrote the device's rows; the list must be proven again.
        """
        is_cached = self._cache.set_events(
            self.conn_key,
            len(events),
            events,
            probe=probe,
            generation=generation,
            read_began_mono=began_mono,
        )
        self._last_returned = _ReturnedList(self.epoch, probe, len(events), _digest(events))
        outcome = self._check_fence(
            await self._store_service.save_list(
                self.origin(began_mono), probe, events, read, is_servable=is_cached
            )
        )
        return is_cached and (outcome.is_archived or not self._store_service.has_store)

    def confirm_list(self, probe: MemoryProbe, began_mono: float) -> None:
        """Note that ``probe``, begun at ``began_mono``, proves the cached list."""
        self._cache.validated(self.conn_key, probe, began_mono)

    async def save_waveform(
        self,
        waveform: Waveform,
        payload: Payload,
        generation: int,
        began_mono: float,
        *,
        is_decoded: bool,
    ) -> tuple[bool, Outcome]:
        """
        Store a waveform and archive its image.

        Returns:
            Whether it will be served again, and what became of the archive's copy. An image of
            which no sample ``is_decoded`` is archived, and never cached.

        Raises:
            FencedError: somebody else wrote the device's rows.
        """
        is_current = self.generation == generation
        stored = is_decoded and self._cache.set_waveform(
            self.conn_key,
            waveform.event.index,
            payload,
            generation=generation,
            read_began_mono=began_mono,
        )
        outcome = self._check_fence(
            await self._store_service.save_waveform(
                self.origin(began_mono),
                waveform.event,
                payload,
                waveform.image,
                is_mirrored=is_current,
            )
        )
        if self._store_service.has_store:
            # What is too large for memory is stored on disk all the same.
            stored = is_current and outcome.is_archived
        return stored, outcome

    async def save_volatile_bytes(self, before: bytes, now: bytes) -> None:
        """Note bytes of a record that changed although the event is the same; durable."""
        await self.save_volatile_offsets(differing_offsets(before, now))

    async def save_volatile_offsets(self, offsets: frozenset[int]) -> None:
        """Note offsets of a record that later comparisons leave out; durable."""
        if not offsets - self.volatile_offsets:
            return
        self.volatile_offsets |= offsets
        log.info("volatile_record_bytes", unit=self.conn_key, offsets=sorted(self.volatile_offsets))
        info = self.info
        firmware = "" if info is None else str(info.value().get("firmware") or "")
        await self._store_service.save_volatile_offsets(
            self.serial or "", firmware, self.volatile_offsets
        )

    def follows_last_returned(self, events: list[Payload], probe: MemoryProbe) -> bool:
        """
        Whether ``events`` may be returned under the present epoch, after the last list that was.

        That one may have been refused as late, or be hidden; then no cached list represents it.
        """
        last = self._last_returned
        if last is None or last.epoch != self.epoch:
            return True
        verdict = identity.compare_probes(last.probe, probe, self.volatile_offsets)
        if verdict is Verdict.REPLACED or _digest(events[: last.count]) != last.digest:
            return False
        following = len(events) - last.count
        return verdict is not Verdict.GREW or (
            following > 0 < last.count
            and confirms_append(last.probe, probe, stamp_of(events[last.count - 1]), following)
        )

    # --- invalidate -----------------------------------------------------------------------------

    def invalidate_status(self) -> None:
        """Drop the monitor status: monitoring is being started or stopped."""
        self._cache.invalidate_monitor_status(self.conn_key)

    async def invalidate_settings(self) -> None:
        """
        Hide info and events until the next info: settings are being written. Durable.

        Raises:
            StoreError: the database could not store it.
        """
        self._cache.mark_config_dirty(self.conn_key)
        fenced_epoch = await self._store_service.forget_info(self.conn_key)
        if fenced_epoch is not None:
            self._begin_beyond(fenced_epoch)
            self._cache.mark_config_dirty(self.conn_key)

    async def drop(self, generation: int, reason: str) -> int:
        """
        Drop everything and begin an epoch; return the generation to store under.

        ``generation`` comes back if somebody else invalidated the device since it was taken: what
        is read under it is late then, and is refused.
        """
        is_late = self.generation != generation
        log.info("epoch_began", unit=self.conn_key, serial=self.serial, reason=reason)
        self._cache.drop_device(self.conn_key, reason)
        with contextlib.suppress(StoreError, BackingOffError):
            await self._write_drop(reason)
        return generation if is_late else self.generation

    async def drop_again(self, reason: str) -> None:
        """
        Drop what entered since ``drop``, after the last byte of an erase came in.

        The epoch that ``drop`` began stands: one erase begins one epoch. Reads that began in
        between are late. Another epoch begins only if something was filled all the same.
        """
        if self._cache.is_empty(self.conn_key):
            self._cache.invalidate_monitor_status(self.conn_key)
            if not self._is_drop_written:
                with contextlib.suppress(StoreError, BackingOffError):
                    await self._write_drop(reason)
        else:
            await self.drop(self.generation, reason)

    async def forget(self, reason: str) -> None:
        """
        Drop everything because a person asked for it.

        Raises:
            StoreError: memory has forgotten; the database could not, and may bring it back.
        """
        self._cache.drop_device(self.conn_key, reason)
        try:
            await self._write_drop(reason)
        except BackingOffError as error:
            raise StoreError(str(error)) from error

    async def _write_drop(self, reason: str) -> None:
        """Write the new epoch before any reader sees it, so that its number names one memory."""
        epoch = self.epoch
        self._is_drop_written = False
        beyond = await self._store_service.drop(self.conn_key, epoch, reason)
        self._is_drop_written = True
        if beyond is not None and beyond > epoch:
            self._begin_beyond(beyond - 1)

    def _check_fence(self, outcome: Outcome) -> Outcome:
        if outcome.fenced_epoch is not None:
            self._begin_beyond(outcome.fenced_epoch)
            raise FencedError
        return outcome

    def _begin_beyond(self, epoch: int) -> None:
        """Drop the device, since others counted up to ``epoch``."""
        reason = f"another relay, or an earlier start of this one, knows it up to epoch {epoch}"
        log.warning("epoch_began", unit=self.conn_key, serial=self.serial, reason=reason)
        self._cache.drop_device(self.conn_key, reason, beyond=epoch)

    # --- load from disk -------------------------------------------------------------------------

    def adopt(self, found: LoadedDevice) -> bool:
        """
        Put what was known before the relay's last start into the cache, as not proven yet.

        Returns False when the cache knows something of the device already: then that stays.
        """
        if not self._cache.begin_at(self.conn_key, found.epoch, found.epoch_reason):
            return False
        if found.serial is None:
            return True
        self.serial, self.simulated = found.serial, found.simulated
        self.volatile_offsets = found.volatile_offsets
        if found.info is not None:
            self._cache.set_device_info(
                self.conn_key,
                found.info,
                read_began_mono=self._store_service.began_mono(found.info_read_time),
                source=DISK,
            )
            _set_read_time(self.info, found.info_read_time)
        if found.events is None or found.probe is None:
            return True
        self._last_returned = _ReturnedList(
            found.epoch, found.probe, len(found.events), _digest(found.events)
        )
        if found.events_read_time is None:
            return True  # it was returned, and was late: it is compared with, and not served
        self._cache.set_events(
            self.conn_key,
            len(found.events),
            found.events,
            probe=found.probe,
            read_began_mono=self._store_service.began_mono(found.events_read_time),
            source=DISK,
            proven=False,
        )
        _set_read_time(self.events, found.events_read_time)
        return True

    async def load_waveform(self, index: int, *, is_proven: bool = False) -> CacheEntry | None:
        """
        Return the waveform of a slot from memory or from disk, if it is of this memory.

        Raises:
            UndecodedSamplesError: its image is archived, and its samples could not be decoded;
                only where the slot ``is_proven``, since nothing else may answer for it.
        """
        entry = self._cache.waveform_entry(self.conn_key, index)
        stamp = self._cache.event_stamp(self.conn_key, index)
        if entry is not None or stamp is None or None in (stamp.key, stamp.timestamp):
            return entry
        generation, epoch = self.generation, self.epoch
        try:
            found = await self._store_service.load_waveform(self.conn_key, index, epoch)
        except UndecodedSamplesError:
            if is_proven:
                raise
            return None
        if found is None or self.generation != generation or found[0].stamp != stamp:
            return None
        loaded, payload = found
        if (info := self.info) is not None:
            payload = payloads.with_setup(payload, info.value()["setup"])
        began = self._store_service.began_mono(loaded.read_time)
        is_cached = self._cache.set_waveform(
            self.conn_key, index, payload, read_began_mono=began, source=DISK
        )
        entry = self._cache.waveform_entry(self.conn_key, index) if is_cached else None
        if entry is None:
            # Larger than what memory may contain: it is answered all the same.
            entry = CacheEntry(
                value=partial(deepcopy, payload),
                read_began_mono=began,
                epoch=epoch,
                generation=generation,
                source=DISK,
                size_bytes=len(payload["counts"]),
                stamp=stamp,
            )
        _set_read_time(entry, loaded.read_time)
        return entry


def probe_of(entry: CacheEntry | None) -> MemoryProbe | None:
    """Return the probe that proved a cached list."""
    probe = None if entry is None else entry.probe
    return probe if isinstance(probe, MemoryProbe) else None


def _digest(events: list[Payload]) -> bytes:
    return blake2b(repr(events).encode(), digest_size=16).digest()


def _set_read_time(entry: CacheEntry | None, read_time: ReadTime | None) -> None:
    """Let a loaded value carry its read time by the wall clock of then."""
    if entry is not None and read_time is not None:
        entry.memo["read_at"] = read_time.read_at
