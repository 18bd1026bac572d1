"""
One unit's part of the live cache and of the database's mirror, written together.

The rule: each value enters the cache first, under the generation taken before its read began, and
then the mirror. If the mirror's rows were written by somebody else in the meantime (another relay
on the same database, an earlier start of this one), the write is *fenced*: everything cached for
the device is dropped, its epoch continues beyond theirs, and ``FencedError`` tells the read to
begin anew. That is the only signal for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
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
from sfm.devices.reading import DISK, NO_FACTS, ArchivedFacts, Reading, Why
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
    What is known of one unit, in memory and on disk. Lives as long as its device.

    Args:
        unit_id: names the unit in the cache and in the database.
        serial: its serial number; ``None``: before a first contact, when nothing is stored.
        cache: the live cache of all devices.
        store_service: the database.
    """

    def __init__(
        self, unit_id: str, serial: str | None, cache: LiveCache, store_service: StoreService
    ) -> None:
        self.unit_id = unit_id
        self.serial = serial
        self.route = ""
        """The key of the route over which the unit is being read."""
        self.simulated: bool | None = None
        """Whether the unit says it is a simulation; ``None`` before it was asked."""
        self.volatile_offsets: frozenset[int] = frozenset()
        """Offsets of a record that change while the event stays the same (``cache.identity``)."""
        self._facts = NO_FACTS
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
        return self._cache.generation(self.unit_id)

    @property
    def epoch(self) -> int:
        """Which memory of the unit the cached values are of."""
        return self._cache.epoch(self.unit_id).number

    @property
    def info(self) -> CacheEntry | None:
        """Identity and setup, unless settings were written since."""
        return self._cache.info_entry(self.unit_id)

    @property
    def events(self) -> CacheEntry | None:
        """The event list, unless settings were written since."""
        return self._cache.events_entry(self.unit_id)

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
            route=entry.route,
            epoch=entry.epoch,
            facts=self.facts_of(entry.epoch),
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
            route=self.route,
            epoch=self.epoch,
            facts=self.facts_of(self.epoch),
            serial=self.serial,
            simulated=self.simulated,
        )

    def facts_of(self, epoch: int) -> ArchivedFacts:
        """Return what the archive adds to a list of that memory."""
        return self._facts if self._facts.epoch == epoch else NO_FACTS

    def origin(self, began_mono: float) -> Origin:
        """Return where and when what is now in the cache was read."""
        return self._store_service.origin(
            self.route,
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
            self.unit_id,
            info,
            generation=generation,
            read_began_mono=began_mono,
            route=self.route,
        )
        if stored:
            self._check_fence(await self._store_service.save_info(self.origin(began_mono), info))
        return stored

    def save_status(self, status: Payload, generation: int, began_mono: float) -> bool:
        """Store the monitor status, in memory alone; return whether the cache took it."""
        return self._cache.set_monitor_status(
            self.unit_id,
            status,
            generation=generation,
            read_began_mono=began_mono,
            route=self.route,
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
            self.unit_id,
            len(events),
            events,
            probe=probe,
            generation=generation,
            read_began_mono=began_mono,
            route=self.route,
        )
        self._last_returned = _ReturnedList(self.epoch, probe, len(events), _digest(events))
        outcome = self._check_fence(
            await self._store_service.save_list(
                self.origin(began_mono), probe, events, read, is_servable=is_cached
            )
        )
        await self.load_facts()
        return is_cached and (outcome.is_archived or not self._store_service.has_store)

    def confirm_list(self, probe: MemoryProbe, began_mono: float) -> None:
        """Note that ``probe``, begun at ``began_mono``, proves the cached list."""
        self._cache.validated(self.unit_id, probe, began_mono)

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
            self.unit_id,
            waveform.event.index,
            payload,
            generation=generation,
            read_began_mono=began_mono,
            route=self.route,
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
        if is_current and is_decoded:
            self._add_facts({waveform.event.index: payloads.archived_facts(payload)})
        elif is_current:
            # No result of it will be stored, and why there is none is what the list says now.
            await self.load_facts()
        return stored, outcome

    def _add_facts(self, found: Mapping[int, Payload]) -> None:
        """Add what the samples of some events of the present memory showed."""
        known = self.facts_of(self.epoch).by_index
        more = dict(known)
        for index, facts in found.items():
            if facts:
                more[index] = {**known.get(index, {}), **facts}
        if more != known:
            self._facts = ArchivedFacts(self.epoch, more)

    async def save_volatile_bytes(self, before: bytes, now: bytes) -> None:
        """Note bytes of a record that changed although the event is the same; durable."""
        await self.save_volatile_offsets(differing_offsets(before, now))

    async def save_volatile_offsets(self, offsets: frozenset[int]) -> None:
        """Note offsets of a record that later comparisons leave out; durable."""
        if not offsets - self.volatile_offsets:
            return
        self.volatile_offsets |= offsets
        log.info("volatile_record_bytes", unit=self.unit_id, offsets=sorted(self.volatile_offsets))
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
        self._cache.invalidate_monitor_status(self.unit_id)

    async def invalidate_settings(self) -> None:
        """
        Hide info and events until the next info: settings are being written. Durable.

        Raises:
            StoreError: the database could not store it.
        """
        self._cache.mark_config_dirty(self.unit_id)
        fenced_epoch = await self._store_service.forget_info(self.unit_id)
        if fenced_epoch is not None:
            self._begin_beyond(fenced_epoch)
            self._cache.mark_config_dirty(self.unit_id)

    async def drop(self, generation: int, reason: str) -> int:
        """
        Drop everything and begin an epoch; return the generation to store under.

        ``generation`` comes back if somebody else invalidated the device since it was taken: what
        is read under it is late then, and is refused.
        """
        is_late = self.generation != generation
        log.info("epoch_began", unit=self.unit_id, serial=self.serial, reason=reason)
        self._cache.drop_device(self.unit_id, reason)
        with contextlib.suppress(StoreError, BackingOffError):
            await self._write_drop(reason)
        return generation if is_late else self.generation

    async def drop_again(self, reason: str) -> None:
        """
        Drop what entered since ``drop``, after the last byte of an erase came in.

        The epoch that ``drop`` began stands: one erase begins one epoch. Reads that began in
        between are late. Another epoch begins only if something was filled all the same.
        """
        if self._cache.is_empty(self.unit_id):
            self._cache.invalidate_monitor_status(self.unit_id)
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
        self._cache.drop_device(self.unit_id, reason)
        try:
            await self._write_drop(reason)
        except BackingOffError as error:
            raise StoreError(str(error)) from error

    async def _write_drop(self, reason: str) -> None:
        """Write the new epoch before any reader sees it, so that its number names one memory."""
        epoch = self.epoch
        self._is_drop_written = False
        beyond = await self._store_service.drop(self.unit_id, epoch, reason)
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
        log.warning("epoch_began", unit=self.unit_id, serial=self.serial, reason=reason)
        self._cache.drop_device(self.unit_id, reason, beyond=epoch)

    # --- load from disk -------------------------------------------------------------------------

    def adopt(self, found: LoadedDevice) -> bool:
        """
        Put what was known before the relay's last start into the cache, as not proven yet.

        Returns False when the cache knows something of the device already: then that stays.
        """
        if not self._cache.begin_at(self.unit_id, found.epoch, found.epoch_reason):
            return False
        if found.serial is None:
            return True
        self.simulated = found.simulated
        self.volatile_offsets = found.volatile_offsets
        if found.info is not None:
            self._cache.set_device_info(
                self.unit_id,
                found.info,
                read_began_mono=self._store_service.began_mono(found.info_read_time),
                source=DISK,
                route=found.info_route,
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
            self.unit_id,
            len(found.events),
            found.events,
            probe=found.probe,
            read_began_mono=self._store_service.began_mono(found.events_read_time),
            source=DISK,
            route=found.list_route,
            proven=False,
        )
        _set_read_time(self.events, found.events_read_time)
        return True

    async def load_facts(self, recordings: Collection[int] | None = None) -> None:
        """
        Load what the archive adds to the events of the list, and their verdicts by present limits.

        An event that the database does not have is judged by its own peaks.

        Args:
            recordings: only the events of these, by their numbers: a result of theirs is new, and
                nothing else has changed.
        """
        epoch = self.epoch
        found: dict[int, Payload] = {}
        with contextlib.suppress(StoreError, BackingOffError):
            found = await self._store_service.load_facts(self.unit_id, epoch, recordings)
        if self.epoch != epoch:
            return
        if recordings is not None:
            self._add_facts(found)
            return
        known, judge = self.facts_of(epoch).by_index, self._store_service.judge
        # A range that samples gave since is not in the database yet.
        merged = {
            index: {**known.get(index, {}), **found.get(index, {})} for index in {*known, *found}
        }
        entry = self.events
        for event in [] if entry is None else entry.value():
            if (index := event["index"]) not in found:
                facts = merged.get(index, {})
                range_in_s = facts.get("geo_range_in_s")
                judged = judge.judge(self.serial, event, geo_range_in_s=range_in_s)
                merged[index] = {**facts, **judged.brief()}
        if merged != known:
            self._facts = ArchivedFacts(epoch, merged)

    async def load_waveform(self, index: int, *, is_proven: bool = False) -> CacheEntry | None:
        """
        Return the waveform of a slot from memory or from disk, if it is of this memory.

        Raises:
            UndecodedSamplesError: its image is archived, and its samples could not be decoded;
                only where the slot ``is_proven``, since nothing else may answer for it.
        """
        entry = self._cache.waveform_entry(self.unit_id, index)
        stamp = self._cache.event_stamp(self.unit_id, index)
        if entry is not None or stamp is None or None in (stamp.key, stamp.timestamp):
            return entry
        generation, epoch = self.generation, self.epoch
        try:
            found = await self._store_service.load_waveform(self.unit_id, index, epoch)
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
            self.unit_id,
            index,
            payload,
            read_began_mono=began,
            source=DISK,
            route=loaded.route,
        )
        entry = self._cache.waveform_entry(self.unit_id, index) if is_cached else None
        if entry is None:
            # Larger than what memory may contain: it is answered all the same.
            entry = CacheEntry(
                value=partial(deepcopy, payload),
                read_began_mono=began,
                epoch=epoch,
                generation=generation,
                source=DISK,
                route=loaded.route,
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
