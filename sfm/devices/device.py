"""
The owner of one device: the reads that its flights make, and how each fills the cache.

The rule: what a read brings is stored under the generation taken before its first byte, and under
the unit that was asked. So every read first makes sure who answers, the event list is proven by a
probe before and after it is walked, and a waveform's slot before and after its samples are fetched.

What a new probe says of the held list (``sfm.cache.identity``) decides what is read:

============  ==================================================================================
verdict       what is read
============  ==================================================================================
same          nothing; the held list is proven
grew          the old last event again; if it and the counts confirm it, only what follows it
replaced      everything, after everything held of the device was dropped
unproven      everything; the held list must be the beginning of it, word for word
============  ==================================================================================

A list that does not follow from the held one is of another memory: everything held goes first. A
device that was dropped by somebody else during a read gets nothing of that read (``LiveCache``).

Each event of a walk is archived as soon as its record was read. A walk that is cut is remembered
(``sfm.records.walk``) and goes on at the next contact; until it ends there is no list
(``ListIncompleteError``), and only readers who ask for a partial list see what there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import structlog

from minimateplus.client.reads import MiniMate
from minimateplus.client.session import Pause
from minimateplus.errors import (
    DeadlineError,
    DuplicateReplyError,
    KeyChainError,
    LineSharedError,
    LinkError,
    MemoryChangedError,
    MiniMateError,
    NoSuchEventError,
    OutcomeUnknownError,
    ReadBackError,
    RecordDiffersError,
    RemoteProtocolError,
    ReplyTimeoutError,
    SampleDecodeError,
    UnitError,
)
from minimateplus.model import (
    Event,
    MemoryProbe,
    Progress,
    UnitInfo,
    Waveform,
    differing_offsets,
)
from sfm.back_off import BackingOffError, BackOff
from sfm.cache import identity
from sfm.cache.identity import Verdict, confirms_append, looks_torn, stamp_of
from sfm.devices.connection import Connection
from sfm.devices.progress import ProgressLog
from sfm.devices.single_flight import SharedRead, SingleFlight, joins_closed
from sfm.live_cache import CacheEntry, LiveCache, Memo
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.records.walk import ProvenPart, Walk
from sfm.store import LoadedDevice, Origin, ReadTime, StoreError
from sfm.store.errors import UndecodedSamplesError
from sfm.store.service import Outcome, StoreService

__all__ = [
    "DISK",
    "Device",
    "ListIncompleteError",
    "ReadTimes",
    "Reading",
    "Source",
    "Why",
    "is_unreachable",
    "pick",
]

T = TypeVar("T")

Why = Literal["hit", "miss", "request", "stale", "partial"]
"""Why the device was read, in the words of RFC 9211 (``fwd=``); ``hit`` when nothing was."""

Source = Literal["device", "cache", "disk"]
"""``disk``: read before the relay's last start, or brought back from the store."""

ATTEMPTS_WHILE_CHANGING = 3
"""How often a read starts again when the unit is erased under it, or contradicts itself."""
PROBES_WHILE_RECORDING = 8
"""
How often a walk is closed anew while the unit records. One recording in 2 s, the worst rate seen,
tears about one probe in ten on a cable; eight in a row are one in 10^8.
"""
PROBES_ONCE_PROVEN = 2
"""How often a list that is proven as of its beginning is tried to be proven as of its end."""
RETRY_WALK_S = 2.0
"""When a reader of a walk that was cut may ask again: the walk goes on at once."""
EXCHANGES_AN_EVENT = 10
"""Of a walk: the log entry between two events costs four, the event six."""

DISK = "disk"
"""The source of what was read before the relay's last start."""

OTHER_MEMORY = "the unit's memory is not the one that the list was read from"

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Reading:
    """
    What a flight brings for everybody aboard. It is shared: nobody changes it.

    (Not frozen, as ``Provenance`` is not: each hit makes one.)
    """

    produce: Callable[[], Any]
    """Gives the form."""
    why: Why
    read_began_mono: float
    epoch: int
    serial: str | None
    """Who was asked."""
    simulated: bool | None
    """Whether that unit says it is a simulation; ``None``: it was not asked."""
    checked_mono: float | None = None
    """When the unit's memory was last asked whether the value is still what it holds."""
    exchanges: int = 0
    took_s: float = 0.0
    stored: bool = False
    """Whether it was kept in the cache."""
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)
    """What readers made of the form, such as its encoded form; shared by all of them."""
    source: Source = "device"
    recorded_since: int | None = None
    """Of a list: events that the unit recorded while it was read; ``None``: not known."""
    is_of_beginning: bool = False
    """Whether a list is proven as of the read's beginning only: the unit records all the time."""


def is_unreachable(error: Exception) -> bool:
    """Whether an error says that the unit cannot be read now, by its own fault or the road's."""
    if isinstance(error, KeyChainError | SampleDecodeError | ReadBackError):
        return False  # it answers well; what it holds is damaged, or not what was written
    if isinstance(error, OutcomeUnknownError):
        return True
    return isinstance(error, LinkError | ReplyTimeoutError | DeadlineError | RemoteProtocolError)


class ReadTimes:
    """How long reads took, as a histogram: readings up to each bound."""

    BOUNDS_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, math.inf)

    def __init__(self) -> None:
        self.counts = [0] * len(self.BOUNDS_S)
        self.sum_s = 0.0

    def add(self, took_s: float) -> None:
        """Count one read."""
        self.counts[bisect_left(self.BOUNDS_S, took_s)] += 1
        self.sum_s += took_s


class ListIncompleteError(Exception):
    """
    The walk over the unit's memory was cut; there is no list yet. The next read goes on with it.

    ``walked``: events read so far. ``estimate_s``: what the rest takes; ``None``: unknown.
    """

    retry_after_s = RETRY_WALK_S

    def __init__(self, message: str, walked: int, estimate_s: float | None) -> None:
        super().__init__(message)
        self.walked = walked
        self.estimate_s = estimate_s


class _FencedError(Exception):
    """Another relay wrote what the database holds of this device: begin anew, beyond its epoch."""


class _AppendContradictedError(Exception):
    """The new events do not simply follow the old ones: read everything."""


@dataclass(frozen=True, slots=True)
class _ProvenList:
    """The event list as the unit holds it now."""

    events: list[Payload]
    why: Why
    began_mono: float
    """When the read began that the events come from."""
    proven_mono: float
    """When the probe began that proves them."""
    probe: MemoryProbe
    stored: bool = False
    of: CacheEntry | None = None
    """What was held, when nothing was read."""
    recorded_since: int | None = None
    """Events recorded since ``probe``, as far as the unit counts them."""

    def event(self, index: int, unit: str) -> Event:
        return payloads.event_of(pick(self.events, index, unit))


@dataclass(frozen=True, slots=True)
class _Begun:
    """What came of an event's image before its read was cut."""

    epoch: int
    event: Event
    image: bytearray


@dataclass(frozen=True, slots=True)
class _ReturnedList:
    """What is remembered of a list that was told, so that its epoch holds no other memory."""

    epoch: int
    probe: MemoryProbe
    count: int
    digest: bytes


def _digest(events: list[Payload]) -> bytes:
    return blake2b(repr(events).encode(), digest_size=16).digest()


def pick(events: list[Payload], index: int, unit: str) -> Payload:
    """
    Return the event of that index.

    Raises:
        NoSuchEventError: the list has none.
    """
    for event in events:
        if event["index"] == index:
            return event
    raise NoSuchEventError(f"{unit}: no event {index}; the unit holds {len(events)}")


class Device:
    """Talks to one device, alone. Lives as long as the gateway; ``close`` ends its reads."""

    def __init__(
        self,
        conn_key: str,
        connection: Connection,
        cache: LiveCache,
        store_service: StoreService,
        clock: Callable[[], float],
        single_flight: SingleFlight,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        zones: Mapping[str, ZoneInfo] | None = None,
    ) -> None:
        self.conn_key = conn_key
        self.connection = connection
        self.single_flight = single_flight
        self.back_off = BackOff(conn_key, clock)
        self.read_times = ReadTimes()
        self.progress = ProgressLog()
        self.serial: str | None = None
        """Who answered last; ``None`` before the first contact."""
        self.simulated: bool | None = None
        """Whether that unit says it is a simulation; ``None`` before it was asked."""
        self.is_loaded = False
        """Whether what the store knows of the device was taken up, or found to be nothing."""
        self._is_met = False
        """Whether the unit that answers now was asked who it is, in this life of the relay."""
        self._begun: _Begun | None = None
        """The image of the last download, where it was cut."""
        self.verdicts: dict[str, int] = {verdict.value: 0 for verdict in Verdict}
        self._last_returned: _ReturnedList | None = None
        """The last list that was told, whether the cache kept it or not."""
        self._walk: Walk | None = None
        """The walk under way, or one that was cut and goes on at the next contact."""
        self._volatile: frozenset[int] = frozenset()
        """
        Offsets of a record that change while the event stays the same; see ``sfm.cache.identity``.
        """
        self._exchange_s: float | None = None
        """How long an exchange took lately, for estimates."""
        self._cache = cache
        self._store_service = store_service
        self._clock = clock
        self._wall = wall
        self._zones = zones or {}

    async def close(self) -> None:
        """End every read and hang up."""
        self.progress.close()
        await self.single_flight.close()
        await self.connection.close()

    def reading_of(
        self, entry: CacheEntry, why: Why = "hit", checked_mono: float | None = None
    ) -> Reading:
        """Return what is held as a reading that cost nothing."""
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

    # --- what the store knows -------------------------------------------------------------------

    def adopt(self, found: LoadedDevice) -> bool:
        """
        Take what was known before the relay's last start into the cache, as not proven yet.

        Returns False when the cache knows something of the device already: then that stands.
        """
        if not self._cache.begin_at(self.conn_key, found.epoch, found.epoch_reason):
            return False
        if found.serial is None:
            return True
        self.serial, self.simulated = found.serial, found.simulated
        self._volatile, self._walk = found.volatile_offsets, found.walk
        if found.info is not None:
            self._cache.set_device_info(
                self.conn_key,
                found.info,
                read_began_mono=self._store_service.began_mono(found.info_read_time),
                source=DISK,
            )
            _set_read_time(self._cache.info_entry(self.conn_key), found.info_read_time)
        if found.events is None or found.probe is None:
            return True
        self._last_returned = _ReturnedList(
            found.epoch, found.probe, len(found.events), _digest(found.events)
        )
        if found.events_read_time is None:
            return True  # it was told, and was late: it is compared with, and not shown
        self._cache.set_events(
            self.conn_key,
            len(found.events),
            found.events,
            probe=found.probe,
            read_began_mono=self._store_service.began_mono(found.events_read_time),
            source=DISK,
            proven=False,
        )
        _set_read_time(self._cache.events_entry(self.conn_key), found.events_read_time)
        return True

    async def load_waveform(self, index: int, *, is_proven: bool = False) -> CacheEntry | None:
        """
        Return the waveform of a slot from memory or from the store, if it is of this memory.

        Raises:
            UndecodedSamplesError: its image is archived, and its samples could not be decoded;
                only where the slot ``is_proven``, since nothing else may answer for it.
        """
        entry = self._cache.waveform_entry(self.conn_key, index)
        stamp = self._cache.event_stamp(self.conn_key, index)
        if entry is not None or stamp is None or None in (stamp.key, stamp.timestamp):
            return entry
        generation = self._generation()
        epoch = self._cache.epoch(self.conn_key).number
        try:
            found = await self._store_service.load_waveform(self.conn_key, index, epoch)
        except UndecodedSamplesError:
            if is_proven:
                raise
            return None
        if found is None or self._generation() != generation or found[0].stamp != stamp:
            return None
        loaded, payload = found
        if (info := self._cache.info_entry(self.conn_key)) is not None:
            payload = payloads.with_setup(payload, info.value()["setup"])
        began = self._store_service.began_mono(loaded.noted)
        kept = self._cache.set_waveform(
            self.conn_key, index, payload, read_began_mono=began, source=DISK
        )
        entry = self._cache.waveform_entry(self.conn_key, index) if kept else None
        if entry is None:
            # Larger than what memory may hold: it is answered all the same.
            entry = CacheEntry(
                value=partial(deepcopy, payload),
                read_began_mono=began,
                epoch=epoch,
                generation=generation,
                source=DISK,
                size_bytes=len(payload["counts"]),
                stamp=stamp,
            )
        _set_read_time(entry, loaded.noted)
        return entry

    # --- what flights do ------------------------------------------------------------------------

    async def read_info(self, why: Why) -> Reading:
        """Read identity and setup, and keep them."""

        async def read(unit: MiniMate) -> Reading:
            began = self._clock()
            payload, stored = await self._meet(unit)
            return self._reading(payload, why, began, stored=stored)

        return await self.run_read(read)

    async def read_status(self, why: Why) -> Reading:
        """Read the monitor status, and keep it for as long as it is fresh from its own start."""

        async def read(unit: MiniMate) -> Reading:
            await self.identify(unit)
            began, generation = self._clock(), self._generation()
            status = await unit.read_monitor_status()
            zone = self._zones.get(unit.serial or "", self._zones.get("*"))
            payload = payloads.status_payload(status, self._wall(), zone)
            stored = self._cache.set_monitor_status(
                self.conn_key, payload, generation=generation, read_began_mono=began
            )
            return self._reading(payload, why, began, stored=stored)

        return await self.run_read(read)

    async def read_directly(self, operation: Callable[[MiniMate], Awaitable[Payload]]) -> Reading:
        """Read something that is not kept."""

        async def read(unit: MiniMate) -> Reading:
            await self.identify(unit)
            began = self._clock()
            return self._reading(await operation(unit), "miss", began)

        return await self.run_read(read)

    async def read_events(self, shared_read: SharedRead[Reading]) -> Reading:
        """Prove, extend or read the event list."""

        async def read(unit: MiniMate, *, whole: bool = False) -> Reading:
            proven = await self.prove_list(unit, shared_read, whole=whole or shared_read.forced)
            if proven.of is not None:
                reading = self.reading_of(proven.of)
            else:
                reading = self._reading(
                    proven.events, proven.why, proven.began_mono, stored=proven.stored
                )
            return replace(
                reading,
                checked_mono=proven.proven_mono,
                recorded_since=proven.recorded_since,
                is_of_beginning=bool(proven.recorded_since),
            )

        return await self._unless_refused(read)

    # --- a list that is not whole yet -----------------------------------------------------------

    @property
    def walked(self) -> list[Payload]:
        """The events of a walk that has not ended, in the order of memory; none without one."""
        walk = self._walk
        if walk is None or walk.epoch != self._cache.epoch(self.conn_key).number:
            return []
        return walk.payloads() if walk.events else []

    @property
    def walk_began_mono(self) -> float:
        """When the session began that read the latest of ``walked``."""
        return self._clock() if self._walk is None else self._walk.began_mono

    def estimate_s(self) -> float | None:
        """Return how long the rest of the walk takes, by addresses; ``None``: unknown."""
        walk = self._walk
        share = None if walk is None else walk.share_walked()
        if walk is None or not share or self._exchange_s is None:
            return None
        rest = walk.count * (1 - share) / share
        return round(rest * EXCHANGES_AN_EVENT * self._exchange_s, 1)

    def walk_estimate_s(self, count: int) -> float | None:
        """Return how long a walk over ``count`` events takes; ``None``: unknown."""
        per_exchange_s = self._exchange_s
        return None if per_exchange_s is None else count * EXCHANGES_AN_EVENT * per_exchange_s

    async def read_waveform(self, shared_read: SharedRead[Reading], index: int) -> Reading:
        """Prove the slot, then answer from the cache or download its samples."""

        async def read(unit: MiniMate, *, whole: bool = False) -> Reading:
            for _ in range(ATTEMPTS_WHILE_CHANGING):
                proven = await self.prove_list(unit, None, whole=whole)
                event = proven.event(index, self.conn_key)
                entry = None
                if not shared_read.forced:
                    entry = await self.load_waveform(index, is_proven=True)
                if entry is not None:
                    return self.reading_of(entry, checked_mono=proven.proven_mono)
                try:
                    return await self._download(unit, event, proven.probe, shared_read, whole=whole)
                except _FencedError:
                    log.info("waveform_proven_again", unit=self.conn_key)
                except MemoryChangedError as error:
                    # The memory changed between probe and last byte: what came is thrown away.
                    log.info("waveform_thrown_away", unit=self.conn_key, error=str(error))
            raise self._memory_keeps_changing(unit)

        return await self._unless_refused(read)

    # --- what commands make doubtful ------------------------------------------------------------

    def invalidate_status(self) -> None:
        """Drop the monitor status: monitoring is being started or stopped."""
        self._cache.invalidate_monitor_status(self.conn_key)

    async def invalidate_settings(self) -> None:
        """
        Hide info and events until the next info: settings are being written. Durable.

        Raises:
            StoreError: the database could not note it.
        """
        self._cache.mark_config_dirty(self.conn_key)
        fenced_epoch = await self._store_service.forget_info(self.conn_key)
        if fenced_epoch is not None:
            self._begin_beyond(fenced_epoch)
            self._cache.mark_config_dirty(self.conn_key)

    async def invalidate_memory(self, reason: str) -> None:
        """Drop everything of the device and begin a new epoch: its memory is being erased."""
        await self._drop_unless_moved(self._generation(), reason)

    async def recognise(self, unit: MiniMate) -> str:
        """Ask who answers, and no more than that; return the serial number."""
        serial = await unit.read_serial()
        await self._recognise(serial, self._generation())
        return serial

    # --- who answers ----------------------------------------------------------------------------

    async def _meet(self, unit: MiniMate) -> tuple[Payload, bool]:
        """Read and keep who the unit is and how it is set up; return it and whether it is kept."""
        began, generation = self._clock(), self._generation()
        info: UnitInfo = await unit.read_info()
        payload = payloads.info_payload(info)
        generation = await self._recognise(info.serial, generation)
        self.simulated, self._is_met = info.simulated, True
        for _ in range(2):
            stored = self._cache.set_device_info(
                self.conn_key, payload, generation=generation, read_began_mono=began
            )
            if not stored:
                return payload, False
            outcome = await self._store_service.save_info(self._origin(began), payload)
            if outcome.fenced_epoch is None:
                break
            generation = self._begin_beyond(outcome.fenced_epoch)
        return payload, stored

    async def identify(self, unit: MiniMate) -> None:
        """Make sure who answers: the serial number, and the whole info of a unit not met yet."""
        if self._is_met:
            await self._recognise(await unit.read_serial(), self._generation())
        if not self._is_met:
            await self._meet(unit)

    async def _recognise(self, serial: str, generation: int) -> int:
        """
        Note who answers; return the generation to store under.

        When it is another unit, everything held goes, and whether it is met is open again.
        """
        if self.serial not in (None, serial):
            reason = f"unit {serial} answers where {self.serial} used to"
            self.serial, self.simulated, self._is_met = serial, None, False
            return await self._drop_unless_moved(generation, reason)
        self.serial = serial
        return generation

    # --- the list -------------------------------------------------------------------------------

    async def prove_list(
        self,
        unit: MiniMate,
        shared_read: SharedRead[Reading] | None,
        *,
        whole: bool,
        is_steady: bool = False,
    ) -> _ProvenList:
        """
        Return the list as the unit held it when the read began, having stored it.

        Args:
            unit: whom to ask.
            flight: whose doors may open during a walk.
            whole: read everything, whatever the probe says.
            is_steady: refuse a unit that records meanwhile; for what destroys.

        Raises:
            ListIncompleteError: the walk was cut; what it read is kept for the next contact.
            MemoryChangedError: the memory kept changing.
            _AppendContradictedError: try again with ``whole``.
        """
        shorter: list[Payload] | None = None
        for _ in range(ATTEMPTS_WHILE_CHANGING):
            serial: str | None = None
            if not self._is_met or self._cache.info_entry(self.conn_key) is None:
                # First contact, or settings were written: no list is held, or it is hidden.
                await self._meet(unit)
                serial = unit.serial
            began, generation = self._clock(), self._generation()
            cut = self._cut_walk()
            known = _probe_of(self._cache.events_entry(self.conn_key))
            probe = await self._probe(unit, known if cut is None else cut.judge, serial=serial)
            generation = await self._recognise(probe.serial, generation)
            if not self._is_met:
                continue
            entry, cut = self._cache.events_entry(self.conn_key), self._cut_walk()
            verdict = identity.compare_probes(_probe_of(entry), probe, self._volatile)
            if cut is not None:
                cut.drop_torn(probe, self._volatile)
            if cut is not None and cut.joins(probe, self._volatile) is Verdict.REPLACED:
                # What was read last is of another memory, whatever the older list says.
                verdict = Verdict.REPLACED
            self.verdicts[verdict.value] += 1
            if entry is not None and not whole and verdict is Verdict.SAME:
                # The unit holds what the list says: a walk that was cut is not needed.
                await self._forget_walk()
                self._cache.validated(self.conn_key, probe, began)
                return _ProvenList(
                    entry.value(),
                    "hit",
                    entry.read_began_mono,
                    began,
                    probe,
                    of=entry,
                    recorded_since=0,
                )
            if verdict is Verdict.REPLACED:
                generation = await self._drop_unless_moved(generation, OTHER_MEMORY)
            walk = self._walk_to_go_on_with(probe, entry, verdict, whole=whole)
            may_lose = walk.anchor is None or bool(walk.events)
            if may_lose and await self._is_torn(unit, probe, walk.judge):
                continue
            walk.begin_session(probe, began)
            appends = walk.anchor is not None
            part = await self._extend_until_proven(unit, walk, shared_read, generation, is_steady)
            if part is None:
                await self._forget_walk()
                if is_steady:
                    break
                continue
            listed, read = walk.payloads(part.count), walk.events[: part.count - len(walk.known)]
            if not appends and verdict is not Verdict.REPLACED:
                if self._misses_known_events(unit, entry, listed, part) and listed != shorter:
                    shorter = listed
                    await self._forget_walk()
                    continue
                if not (
                    _follows(entry, listed, part.probe, self._volatile)
                    and self._follows_last_returned(listed, part.probe)
                ):
                    generation = await self._drop_unless_moved(generation, OTHER_MEMORY)
                else:
                    await self._compare_last_record(entry, read)
            stored = await self._save_list(listed, read, part.probe, began, generation)
            if stored is None:
                continue
            await self._save_rest_of_walk(walk, listed, part)
            forced = shared_read is not None and shared_read.forced
            why: Why = (
                "request"
                if forced
                else "partial"
                if appends
                else "miss"
                if entry is None
                else "stale"
            )
            return _ProvenList(
                listed, why, began, began, part.probe, stored, recorded_since=part.recorded_since
            )
        raise self._memory_keeps_changing(unit)

    async def _probe(
        self,
        unit: MiniMate,
        known: MemoryProbe | None,
        *,
        serial: str | None = None,
        newest: Event | None = None,
    ) -> MemoryProbe:
        """
        Return a probe that an event recorded under it does not make look like an erase.

        ``serial`` and ``newest`` are what this session has just read; see ``read_probe``.
        """
        for _ in range(ATTEMPTS_WHILE_CHANGING):
            probe = await unit.read_probe(serial=serial, newest=newest)
            serial = newest = None  # not just read any more
            if known is None or not looks_torn(known, probe):
                break
            if (await unit.read_storage_range()).last_key == probe.last_key:
                break
        return probe

    async def _is_torn(self, unit: MiniMate, probe: MemoryProbe, judge: MemoryProbe | None) -> bool:
        """
        Whether an event was recorded while ``probe`` was taken; asked where a walk begins with it.

        (Right behind a proven list the counts show it, and a probe costs two exchanges less. The
        same where the probe equals ``judge``, that of the session before: had either been torn, the
        storage range would have changed and the counter not.)
        """
        if probe.lifetime_count is None or probe.last_key is None or probe == judge:
            return False
        return (await unit.read_storage_range()).last_key != probe.last_key

    def _cut_walk(self) -> Walk | None:
        """Return the walk that was cut, if it was over the memory that the cache knows of."""
        walk = self._walk
        is_of_now = walk is not None and walk.epoch == self._cache.epoch(self.conn_key).number
        return walk if is_of_now and walk is not None and walk.events else None

    def _walk_to_go_on_with(
        self, probe: MemoryProbe, entry: CacheEntry | None, verdict: Verdict, *, whole: bool
    ) -> Walk:
        """Return the walk that was cut, one behind the held list, or one from the first event."""
        epoch, cut = self._cache.epoch(self.conn_key).number, self._cut_walk()
        if whole:
            return Walk(epoch)
        walk = Walk(epoch)
        if verdict is Verdict.GREW and entry is not None:
            walk = Walk(epoch, entry.value(), _probe_of(entry))
        if cut is None or cut.count <= walk.count:
            return walk
        joins = cut.joins(probe, self._volatile)
        return cut if joins in (Verdict.SAME, Verdict.GREW) else walk

    async def _extend_until_proven(
        self,
        unit: MiniMate,
        walk: Walk,
        shared_read: SharedRead[Reading] | None,
        generation: int,
        is_steady: bool,
    ) -> ProvenPart | None:
        """
        Read what follows the walk's last event until a probe proves a part; ``None``: it changed.

        Unforced readers may board until the probe that closes the walk, if it can prove anything,
        and if nobody invalidated the device since the walk began.
        """
        probe = walk.probes[-1]
        before, self._walk = self._walk, walk
        if shared_read is not None and probe.is_complete:
            shared_read.can_join_late = lambda: self._generation() == generation
        part = None
        try:
            await self._extend(unit, walk, shared_read)
            part = await self._close_walk(unit, walk, shared_read, is_steady=is_steady)
            return part
        except (DuplicateReplyError, LineSharedError):
            # What was read while another program moved the record cursor may have gaps.
            walk.forget_session()
            await self._save_longer_walk(before)
            raise
        except (MemoryChangedError, KeyChainError) as error:
            await self._forget_walk()
            if walk.anchor is not None or walk.session_events:
                raise _AppendContradictedError(str(error)) from error
            if isinstance(error, KeyChainError) and await unit.read_probe() == probe:
                raise  # the memory has not changed, so its chain is damaged
            return None
        except (LinkError, UnitError) as error:
            await self._save_longer_walk(before)
            brought = is_steady or len(walk.events) > walk.session_events
            if brought and is_unreachable(error):
                raise self._incomplete(unit, walk, error) from error
            if walk.last is not None and isinstance(error, ReplyTimeoutError | RemoteProtocolError):
                # Some units do not answer for a key that they do not hold any more.
                raise _AppendContradictedError(str(error)) from error
            raise
        finally:
            if shared_read is not None:
                shared_read.can_join_late = joins_closed
            settled = self._store_service.settle_walk(self.conn_key, is_cut=part is None)
            await asyncio.shield(settled)

    async def _close_walk(
        self,
        unit: MiniMate,
        walk: Walk,
        shared_read: SharedRead[Reading] | None,
        *,
        is_steady: bool,
    ) -> ProvenPart | None:
        """Probe until a probe proves a part of the walk; ``None``: the memory is another one."""
        if shared_read is not None:
            shared_read.can_join_late = joins_closed
        opening, part = walk.probes[-1], None
        if walk.anchor is not None:
            # Behind a proven list the counter alone closes the walk, if nothing was recorded.
            counted = await unit.read_lifetime_count()
            if counted == opening.lifetime_count:
                part = walk.proven_part(opening, self._volatile, is_last=True)
                if part is not None:
                    return part
        newest: Event | None = None
        if walk.anchor is None and not is_steady and walk.events:
            # The record of the last event was the last thing read (or, known before, compared), and
            # nothing in the list was read after it: the list was true then, if the rest of the
            # probe has not changed. (Before an erase it is read again all the same.)
            newest = walk.events[-1]
        tries = 1 if is_steady else PROBES_WHILE_RECORDING
        while tries > 0:
            tries -= 1
            latest = walk.probes[-1]
            closing, newest = await self._probe(unit, latest, newest=newest), None
            if latest == closing:
                await self._save_volatile(latest.last_record, closing.last_record)
            elif is_steady or identity.compare_probes(opening, closing) is not Verdict.GREW:
                return None
            else:
                if identity.compare_probes(latest, closing) is Verdict.REPLACED:
                    walk.probes.pop()  # it was torn: see sfm.records.walk
                walk.probes.append(closing)
                await self._extend(unit, walk, shared_read)
            part = walk.proven_part(closing, self._volatile) or part
            if part is not None and latest != closing:
                # Proven as of the beginning. If nothing came while the rest was read, it is as of
                # now, with the rest.
                if await unit.read_lifetime_count() == closing.lifetime_count:
                    part = walk.proven_part(closing, self._volatile, is_last=True) or part
                tries = min(tries, PROBES_ONCE_PROVEN)
            if latest == closing or (part is not None and part.recorded_since == 0):
                break
        if part is None and walk.anchor is not None:
            raise _AppendContradictedError("the counts or the last record do not agree")
        return part

    async def _extend(
        self, unit: MiniMate, walk: Walk, shared_read: SharedRead[Reading] | None
    ) -> None:
        """Read on from the walk's last event to the last key of its latest probe."""
        probe, last = walk.probes[-1], walk.last
        if probe.is_empty:
            return
        origin = self._origin(walk.began_mono)

        def save(event: Event) -> None:
            walk.events.append(event)
            self._store_service.save_walked_event(origin, walk, event)

        began_s, spent = self._clock(), unit.exchanges
        try:
            await unit.read_events(
                after=last,
                until_key=probe.last_key,
                on_progress=_reporter(shared_read),
                on_event=save,
                pause=self._pause_of(unit),
            )
        finally:
            if unit.exchanges > spent:
                self._exchange_s = (self._clock() - began_s) / (unit.exchanges - spent)

    def _pause_of(self, unit: MiniMate) -> Pause:
        """Return what lets short reads in between two steps of a long one."""
        serial = self.serial

        async def pause() -> None:
            await self.single_flight.let_short_reads_in()
            if self.serial != serial:
                raise MemoryChangedError(f"{unit.name}: {self.serial} answers now, not {serial}")

        return pause

    def _misses_known_events(
        self, unit: MiniMate, entry: CacheEntry | None, listed: list[Payload], part: ProvenPart
    ) -> bool:
        """
        Whether a walk met a part of the known events and nothing else of them: it is walked again.

        Either the memory was erased and recorded again, event for event alike, or another program
        moved the record cursor and was not heard. A second walk is skipped the same way by chance
        only.

        Raises:
            LineSharedError: the memory has not changed, so it is the other program.
        """
        known: list[Payload] = [] if entry is None else entry.value()
        if len(listed) >= len(known) or entry is None:
            return False
        verdict = identity.compare_probes(_probe_of(entry), part.probe, self._volatile)
        if verdict is Verdict.SAME:
            raise LineSharedError(
                f"{unit.name}: Another program is using this unit's line. Close it, then try "
                f"again. (The walk met {len(listed)} events; {len(known)} are known, and the "
                "memory has not changed.)"
            )
        by_key = {payload["waveform_key"]: payload for payload in known}
        met = [payload for payload in listed if payload["waveform_key"] in by_key]
        return verdict is Verdict.GREW and all(
            {**payload, "index": 0} == {**by_key[payload["waveform_key"]], "index": 0}
            for payload in met
        )

    def _incomplete(self, unit: MiniMate, walk: Walk, error: Exception) -> ListIncompleteError:
        return ListIncompleteError(
            f"{unit.name}: the event list is not complete: {walk.count} events were read before "
            f"the session ended ({error}). They are kept. Ask again to read on from there.",
            walk.count,
            self.estimate_s(),
        )

    async def _save_longer_walk(self, before: Walk | None) -> None:
        """Of the walk that was just cut and the one before it, remember the longer one."""
        cut = self._walk
        if before is not None and before is not cut and before.count > (cut.count if cut else 0):
            self._walk = before
            await self._store_service.save_walk(self._origin(before.began_mono), before)

    async def _save_rest_of_walk(self, walk: Walk, listed: list[Payload], part: ProvenPart) -> None:
        """
        Keep what was read behind the proven part: the next contact goes on from there.

        (What the database held of the walk went with the list that was just written.)
        """
        rest = walk.events[part.count - len(walk.known) :]
        at = walk.probes.index(part.probe)
        self._walk = None
        if rest and part.probe.lifetime_count is not None:
            epoch = self._cache.epoch(self.conn_key).number
            self._walk = Walk(
                epoch,
                listed,
                part.probe,
                events=rest,
                probes=walk.probes[at + 1 :],
                began_mono=walk.began_mono,
                session_events=len(rest),
            )
            await self._store_service.save_walk(self._origin(walk.began_mono), self._walk)

    async def _forget_walk(self) -> None:
        """Forget the walk that was cut; its events stay in the archive."""
        if self._walk is not None:
            self._walk = None
            await self._store_service.forget_walk(self.conn_key)

    async def _compare_last_record(self, entry: CacheEntry | None, read: list[Event]) -> None:
        """Note what changed in the record of the held list's last event, which is still there."""
        probe = _probe_of(entry)
        for event in read:
            if probe is not None and event.key == probe.last_key:
                await self._save_volatile(probe.last_record, event.record)

    async def _save_volatile(self, before: bytes, now: bytes) -> None:
        """Note bytes of a record that changed although the event is the same; durable."""
        await self._save_volatile_offsets(differing_offsets(before, now))

    async def _save_volatile_offsets(self, offsets: frozenset[int]) -> None:
        if offsets - self._volatile:
            self._volatile |= offsets
            log.info("volatile_record_bytes", unit=self.conn_key, offsets=sorted(self._volatile))
            await self._store_service.save_volatile_offsets(
                self.serial or "", self._firmware(), self._volatile
            )

    def _firmware(self) -> str:
        entry = self._cache.info_entry(self.conn_key)
        return "" if entry is None else str(entry.value().get("firmware") or "")

    async def _save_list(
        self,
        events: list[Payload],
        read: list[Event],
        probe: MemoryProbe,
        began_mono: float,
        generation: int,
    ) -> bool | None:
        """
        Keep a list, and archive the events that were read for it, its end.

        Returns whether it is kept; ``None`` when another relay keeps this device in the same
        database: then everything held is dropped, and the list is to be proven again.
        """
        is_kept = self._cache.set_events(
            self.conn_key,
            len(events),
            events,
            probe=probe,
            generation=generation,
            read_began_mono=began_mono,
        )
        epoch = self._cache.epoch(self.conn_key).number
        self._last_returned = _ReturnedList(epoch, probe, len(events), _digest(events))
        outcome = await self._store_service.save_list(
            self._origin(began_mono), probe, events, read, is_servable=is_kept
        )
        if outcome.fenced_epoch is not None:
            self._begin_beyond(outcome.fenced_epoch)
            return None
        return is_kept and (outcome.is_archived or not self._store_service.has_store)

    def _follows_last_returned(self, events: list[Payload], probe: MemoryProbe) -> bool:
        """
        Whether ``events`` may be told under the present epoch, after the last list that was.

        That one may have been refused as late, or be hidden: then nothing held tells of it.
        """
        told = self._last_returned
        if told is None or told.epoch != self._cache.epoch(self.conn_key).number:
            return True
        verdict = identity.compare_probes(told.probe, probe, self._volatile)
        if verdict is Verdict.REPLACED or _digest(events[: told.count]) != told.digest:
            return False
        following = len(events) - told.count
        return verdict is not Verdict.GREW or (
            following > 0 < told.count
            and confirms_append(told.probe, probe, stamp_of(events[told.count - 1]), following)
        )

    # --- a waveform -----------------------------------------------------------------------------

    async def _download(
        self,
        unit: MiniMate,
        event: Event,
        probe: MemoryProbe,
        shared_read: SharedRead[Reading],
        *,
        whole: bool,
    ) -> Reading:
        """
        Read the samples of ``event`` and keep them.

        The client compares the stamp before and after. Equal records under a clock that was never
        set have equal stamps, so the lifetime counter of ``probe`` must stand as well; if it does
        not, the list must be proven to have grown only.

        Raises:
            MemoryChangedError: the slot does not hold that event any more.
            SampleDecodeError: its image was read and archived, and no sample of it can be decoded.
        """
        began, generation = self._clock(), self._generation()
        epoch = self._cache.epoch(self.conn_key).number
        undecoded: SampleDecodeError | None = None
        try:
            waveform = await self._read_samples(unit, event, epoch, shared_read)
        except RecordDiffersError as error:
            # Time, peaks and project are the same, and nothing was recorded: the bytes change by
            # themselves. The read is tried again without them.
            count = probe.lifetime_count
            if count is not None and await unit.read_lifetime_count() == count:
                await self._save_volatile_offsets(error.offsets)
            raise
        except SampleDecodeError as error:
            if error.waveform is None:
                raise
            waveform, undecoded = error.waveform, error
        # The unit gave the last stamp some time before we heard it: the start alone is certain.
        checked = began
        counter = probe.lifetime_count
        if counter is not None and await unit.read_lifetime_count() != counter:
            checked = (await self.prove_list(unit, None, whole=whole)).proven_mono
            if self._cache.epoch(self.conn_key).number != epoch:
                raise MemoryChangedError(f"{unit.name}: erased while event {event.index} was read")
        setup = None
        if undecoded is None and None in (waveform.sample_rate_hz, waveform.geo_range_in_s):
            entry = self._cache.info_entry(self.conn_key)
            setup = (entry.value() if entry is not None else (await self._meet(unit))[0])["setup"]
        payload = payloads.waveform_payload(waveform, setup)
        is_current = self._generation() == generation
        stored = undecoded is None and self._cache.set_waveform(
            self.conn_key, event.index, payload, generation=generation, read_began_mono=began
        )
        outcome = await self._store_service.save_waveform(
            self._origin(began), waveform.event, payload, waveform.image, is_mirrored=is_current
        )
        if outcome.fenced_epoch is not None:
            self._begin_beyond(outcome.fenced_epoch)
            raise _FencedError
        if undecoded is not None:
            await self._store_service.forget_chunks(self.conn_key, event)
            raise self._undecoded(undecoded, event, outcome)
        if self._store_service.has_store:
            # What is too large for memory is kept all the same.
            stored = is_current and outcome.is_archived
        why: Why = "request" if shared_read.forced else "miss"
        reading = self._reading(payload, why, began, stored=stored)
        # Of the epoch that the slot was proven in, whatever was dropped since.
        return replace(reading, checked_mono=checked, epoch=epoch)

    def _undecoded(
        self, error: SampleDecodeError, event: Event, outcome: Outcome
    ) -> SampleDecodeError:
        """Return the error that says what became of an image whose samples cannot be decoded."""
        kept = "its whole image is in the archive" if outcome.is_archived else "it is not archived"
        told = SampleDecodeError(
            f"{self.conn_key}: event {event.index} ({event.key.hex()} of {_iso(event)}) was "
            f"downloaded and {kept}; its samples cannot be decoded: {error}"
        )
        told.waveform, told.recording_id = error.waveform, outcome.public_id
        return told

    async def _read_samples(
        self, unit: MiniMate, event: Event, epoch: int, shared_read: SharedRead[Reading]
    ) -> Waveform:
        """
        Read the samples of ``event``, going on where an earlier read of it in this epoch was cut.

        What was read before the cut lies between two proofs of the list in one epoch, so it is of
        this event. A unit that answers the rest wrongly, or not at all, is read from the start the
        next time: whether every unit takes up in the middle is not known.
        """
        begun = self._begun
        if begun is None or begun.event != event or begun.epoch != epoch:
            image = await self._store_service.load_chunks(self.conn_key, epoch, event)
            begun = _Begun(epoch, event, bytearray(image))
        self._begun = begun
        held_before = len(begun.image)
        came = False

        def save(start: int, chunk: bytes, _: int) -> None:
            nonlocal came
            came = True
            del begun.image[start:]
            begun.image.extend(chunk)
            self._store_service.save_chunk(self.conn_key, epoch, event, start, chunk)

        try:
            waveform = await unit.read_waveform(
                event,
                on_progress=_reporter(shared_read),
                begun=bytes(begun.image),
                on_image=save,
                pause=self._pause_of(unit),
            )
        except Exception as error:
            cut = isinstance(error, LinkError | ReplyTimeoutError | DeadlineError)
            if isinstance(error, SampleDecodeError) and error.waveform is not None:
                self._begun = None  # it is whole: the chunks stay until it is archived
            elif not cut or (held_before and not came):
                self._begun = None
                await self._store_service.forget_chunks(self.conn_key, event)
            raise
        finally:
            await asyncio.shield(self._store_service.settle(self.conn_key))
        self._begun = None
        return waveform

    # --- the line -------------------------------------------------------------------------------

    async def _unless_refused(self, read: Callable[..., Awaitable[Reading]]) -> Reading:
        """Let ``read`` append if it can; if the unit contradicts, let it read everything."""
        try:
            return await self.run_read(read)
        except _AppendContradictedError as refusal:
            log.info("append_refused", unit=self.conn_key, reason=str(refusal))
        return await self.run_read(lambda unit: read(unit, whole=True))

    async def run_read(self, operation: Callable[[MiniMate], Awaitable[Reading]]) -> Reading:
        """Say something over the line, and write the bill on what it brings."""
        began, spent = self._clock(), self.connection.exchanges
        try:
            reading = await self.run(operation, is_read=True)
        except DuplicateReplyError as error:
            log.info("read_tried_once_more", unit=self.conn_key, reason=str(error))
            reading = await self.run(operation, is_read=True)
        took_s = self._clock() - began
        return replace(reading, exchanges=self.connection.exchanges - spent, took_s=took_s)

    async def run(
        self, operation: Callable[[MiniMate], Awaitable[T]], *, is_read: bool = False
    ) -> T:
        """
        Return what ``say`` brings over the line; whoever calls holds it. See ``Connection.talk``.
        """
        began = self._clock()

        async def with_volatile_offsets(unit: MiniMate) -> T:
            unit.volatile_offsets = self._volatile
            return await operation(unit)

        try:
            result = await self.connection.run_read(with_volatile_offsets, is_read=is_read)
        except ListIncompleteError as error:
            # The unit was read, and the next read goes on: it need not be left alone.
            log.warning("walk_cut", unit=self.conn_key, serial=self.serial, error=str(error))
            self.back_off.succeeded()
            raise
        except MiniMateError as error:
            # Who asks for an address where no unit ever was is told so, and fills no log.
            write = log.warning if self.connection.is_known else log.debug
            write("talk_failed", unit=self.conn_key, serial=self.serial, error=str(error))
            if is_unreachable(error):
                self.back_off.failed(error)
            raise
        self.back_off.succeeded()
        self.read_times.add(self._clock() - began)
        return result

    async def with_walked_list(
        self,
        operation: Callable[[MiniMate, list[Payload], MemoryProbe], Awaitable[T]],
        on_event: Callable[[int], None],
    ) -> T:
        """
        Walk the whole memory, then, in the same conversation, let ``say`` go on.

        It is given the list as the unit holds it now, and the probe that proves it. No list from
        before is relied on, and nothing may be recorded meanwhile.

        Raises:
            ListIncompleteError: the link could not carry the walk.
            MemoryChangedError: the unit recorded during it, or was erased.
        """

        async def prove(unit: MiniMate) -> T:
            shared_read = SharedRead[Reading]("erase", notify=lambda step: on_event(step.done))
            proven = await self.prove_list(unit, shared_read, whole=True, is_steady=True)
            return await operation(unit, proven.events, proven.probe)

        return await self.run(prove)

    def _reading(self, value: Any, why: Why, began_mono: float, *, stored: bool = False) -> Reading:
        epoch = self._cache.epoch(self.conn_key).number
        return Reading(
            produce=lambda: value,
            why=why,
            read_began_mono=began_mono,
            stored=stored,
            epoch=epoch,
            serial=self.serial,
            simulated=self.simulated,
        )

    def _generation(self) -> int:
        return self._cache.generation(self.conn_key)

    async def _drop_unless_moved(self, generation: int, reason: str) -> int:
        """Drop the device; return the generation to store under, a late one if others moved it."""
        moved = self._generation() != generation
        log.info("epoch_began", unit=self.conn_key, serial=self.serial, reason=reason)
        self._cache.drop_device(self.conn_key, reason)
        self._walk = None  # the database drops its own with the mirror
        now = self._generation()
        # Durable before anybody is told of the new epoch, so that its number names one memory.
        epoch = self._cache.epoch(self.conn_key).number
        with contextlib.suppress(StoreError, BackingOffError):
            beyond = await self._store_service.drop(self.conn_key, epoch, reason)
            if beyond is not None and beyond > epoch:
                now = self._begin_beyond(beyond - 1)
        return generation if moved else now

    def _begin_beyond(self, epoch: int) -> int:
        """Drop the device, since others counted up to ``epoch``; return the generation now."""
        reason = f"another relay, or an earlier start of this one, knows it up to epoch {epoch}"
        log.warning("epoch_began", unit=self.conn_key, serial=self.serial, reason=reason)
        self._cache.drop_device(self.conn_key, reason, beyond=epoch)
        return self._generation()

    def _origin(self, began_mono: float) -> Origin:
        """Return where and when what is now in the cache was read."""
        return self._store_service.origin(
            self.conn_key,
            self.serial or "",
            self._cache.epoch(self.conn_key).number,
            simulated=bool(self.simulated),
            began_mono=began_mono,
        )

    def _memory_keeps_changing(self, unit: MiniMate) -> MemoryChangedError:
        return MemoryChangedError(
            f"{unit.name}: the unit's memory changed during each of {ATTEMPTS_WHILE_CHANGING} "
            "reads; it may be recording; ask again in a moment"
        )


def _iso(event: Event) -> str:
    at = event.device_time
    return "an unknown time" if at is None else at.isoformat()


def _set_read_time(entry: CacheEntry | None, noted: ReadTime | None) -> None:
    """Let what is held say when it was read, by the wall clock of then."""
    if entry is not None and noted is not None:
        entry.memo["read_at"] = noted.read_at


def _probe_of(entry: CacheEntry | None) -> MemoryProbe | None:
    probe = None if entry is None else entry.probe
    return probe if isinstance(probe, MemoryProbe) else None


def _follows(
    entry: CacheEntry | None, events: list[Payload], probe: MemoryProbe, volatile: frozenset[int]
) -> bool:
    """Whether ``events`` is the held list, if there is one, with what was recorded since behind."""
    if entry is None:
        return True
    old: list[Payload] = entry.value()
    old_probe = _probe_of(entry)
    if events[: len(old)] != old:
        return False
    if identity.compare_probes(old_probe, probe, volatile) is not Verdict.GREW:
        return True
    return (
        old_probe is not None
        and len(events) > len(old) > 0
        and confirms_append(old_probe, probe, stamp_of(old[-1]), len(events) - len(old))
    )


def _reporter(shared_read: SharedRead[Reading] | None) -> Callable[[Progress], None] | None:
    """Return what writes progress on a flight, for whoever waits for it."""
    return None if shared_read is None else shared_read.report
