"""
The gateway: every device has one owner; readers get answers that say where they come from.

The rule: nothing is answered that a read begun after the last doubt would contradict. The event
list is doubted at every request, so the unit's memory is probed each time (``sfm.cache.identity``
gives the verdict); a waveform is good for a while after such a proof (``Settings.validated_s``); a
monitor status for 30 s from the start of its read; device info until its settings are written.
``force`` doubts everything, and ``sfm.cache.freshness`` says what else a reader will take.

Readers who ask for the same thing share a flight (``sfm.devices.single_flight``); what a flight
does on the unit's one conversation is ``sfm.devices.device``. A long read of the list takes
unforced readers until the probe that closes it: 200 who ask at once cost one read.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from minimateplus.client.reads import MiniMate
from minimateplus.errors import NoSuchEventError
from minimateplus.link import Address, open_link
from sfm.access.egress import EgressPolicy
from sfm.back_off import BackingOffError
from sfm.cache.freshness import ANY, FORCED, Freshness
from sfm.devices.connection import Connect, Connection
from sfm.devices.device import (
    DISK,
    Device,
    ListIncompleteError,
    Reading,
    Source,
    Why,
    is_unreachable,
    pick,
)
from sfm.devices.progress import ProgressLog, report_step
from sfm.devices.session_limit import SessionLimit
from sfm.devices.single_flight import (
    BusyError,
    SharedRead,
    ShuttingDownError,
    SingleFlight,
    retrieve_exception,
)
from sfm.live_cache import CacheEntry, LiveCache, Memo
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.records.site_time import is_credible
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store.service import StoreService

__all__ = [
    "Answer",
    "BackingOffError",
    "BusyError",
    "Gateway",
    "ListIncompleteError",
    "NotCachedError",
    "Provenance",
    "ShuttingDownError",
]

T = TypeVar("T")

PARTIAL_WAIT_S = 2.0
"""How long a reader who takes a partial list waits for the whole one."""
PICKED_BYTES = 1024
"""What the form of one event takes in memory, about."""

Report = Callable[[str, float, float | None], None]
"""Takes a step of something long: what is counted, how many, of how many."""

Quality = Literal["good", "partial", "unchecked", "last_known", "not_verified_since_restart"]
"""
``partial``: ``reasons`` says what of a waveform is missing, contradicted or not certain; or the
list is not whole (``is_complete``). ``unchecked``: the reader asked not to ask the unit, and
nothing proved lately that this is still so. ``last_known``: the unit could not be read.
``not_verified_since_restart``: as one of these two, and the unit was not read since the relay
started; only a reader who asked for either gets it.
"""


class NotCachedError(Exception):
    """The reader wants no device read, and nothing is held that would do."""


@dataclass(slots=True, kw_only=True)
class Provenance:
    """
    Where an answer comes from. Made for each answer, since it ages; nobody changes it.

    (Not frozen: that would make each one three times as dear, on the path of every hit.)
    """

    conn_key: str
    serial: str | None
    epoch: int
    """Which memory of the unit this is of; rises with every erase that was noticed."""
    source: Source
    why: Why
    quality: Quality
    read_at: str | None
    """When the device read began, UTC, by the relay's clock; ``None``: that was never set."""
    age_s: float
    """Seconds since then, by the monotonic clock; ``inf``: unknown, the machine started since."""
    checked_age_s: float | None
    """Seconds since the unit was last asked whether this is still so; ``None``: it was not."""
    exchanges: int
    """Requests sent to the unit for this answer."""
    took_s: float
    """How long the line was used for it."""
    stored: bool
    """Whether what was read is now kept."""
    store_problem: str | None
    """What is wrong with the database now, in a word; ``None``: nothing."""
    ttl_s: float | None
    """Seconds for which it may be served again without asking the unit; ``None``: no such time."""
    shared: bool
    """Whether another reader's flight brought it."""
    simulated: bool | None
    """Whether the unit says of itself that it is a simulation; ``None``: it was not asked."""
    reasons: list[Payload] = field(default_factory=list)
    """Why it is partial: a stable code and a sentence each."""

    @property
    def confirmed_age_s(self) -> float:
        """Seconds since the unit last said so, by the read itself or a later proof; or ``inf``."""
        return self.age_s if self.checked_age_s is None else min(self.age_s, self.checked_age_s)


@dataclass(slots=True)
class Answer:
    """A form with its provenance. Readers of one flight share the form: nobody changes it."""

    provenance: Provenance
    produce: Callable[[], Any]
    memo: Memo
    """What was made of the form before, such as its encoded form; shared with the cache."""
    part: str = ""
    """Of one event out of a list: what its entries in the list's memo begin with."""
    instead_of: Exception | None = None
    """The failure that this last known or partial answer stands in for."""
    recorded_since: int | None = None
    """Of a list: events that the unit recorded since its read began; ``None``: not known."""
    is_complete: bool = True
    """False for a list of which only the beginning was read."""

    @property
    def value(self) -> Any:
        """The form."""
        return self.produce()


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that a device can be asked for: where it is held, how long it keeps, its read."""

    name: str | tuple[str, int]
    entry: Callable[[str], CacheEntry | None]
    last: Callable[[str], CacheEntry | None]
    """The same, past its time as well."""
    allowed_s: float
    """How long it keeps since the unit last said so, when the reader has no wish."""
    read: Callable[[Device, SharedRead[Reading]], Awaitable[Reading]]
    follows_list: bool = False
    """Whether a proof of the event list proves it."""
    is_short: bool = False
    """Whether its read may go in between two steps of a long one."""
    index: int | None = None
    """Which waveform, of one."""

    def ttl_s(self, age_s: float) -> float | None:
        """Return how long it may still answer a reader without a wish; ``None``: no such time."""
        if not math.isfinite(self.allowed_s):
            return None
        return round(max(0.0, self.allowed_s - age_s), 3)


class _Candidate(NamedTuple):
    """What is held of a thing, and how long ago the unit last said so."""

    entry: CacheEntry
    age_s: float
    proven_mono: float | None
    is_verified: bool
    """Whether the unit said so since the relay started."""

    def serves(self, freshness: Freshness, allowed_s: float) -> bool:
        """Whether it will do for a reader, with nobody asked."""
        if not self.is_verified:
            return freshness.only_if_cached and freshness.max_age_s is None
        return freshness.accepts(self.age_s, allowed_s)

    def oldest_age_s(self, now_mono: float) -> float:
        """Return how long ago the unit last said so for certain, before a restart too."""
        return self.age_s if self.is_verified else self.entry.age_s(now_mono)


@dataclass(slots=True, eq=False)
class _Lookup:
    """A look into the store, and how many readers have not gone on from it yet."""

    task: asyncio.Task[Any]
    waiting: int = 0
    gone_on: asyncio.Event = field(default_factory=asyncio.Event)


class _ServedCounts:
    """How one device's readers were served."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses: dict[str, int] = {}

    def count(self, why: Why) -> None:
        if why == "hit":
            self.hits += 1
        else:
            self.misses[why] = self.misses.get(why, 0) + 1


class Gateway:
    """
    Every device that ever answered, each with one owner. Lives as long as the relay.

    A device whose first contact fails is forgotten, so that wrong addresses cost no memory.

    Args:
        cache: what is remembered between reads; its clock must be ``clock``.
        settings: deadlines and times.
        keeper: what is kept over a restart; nothing, if not given. Closed with the gateway.
        connect: opens a conversation; by TCP or serial if not given.
        connect_without_wake: opens one with a unit that is not woken; as ``connect`` if not given.
        reach: what may be connected to; as the settings say if not given.
        clock: monotonic seconds.
        wall: the time of day, UTC, for people.
    """

    def __init__(
        self,
        cache: LiveCache,
        settings: Settings | None = None,
        *,
        store_service: StoreService | None = None,
        connect: Connect | None = None,
        connect_without_wake: Connect | None = None,
        egress: EgressPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cache = cache
        self.settings = settings or Settings()
        self._connect: Connect = connect or self._open
        self._connect_without_wake: Connect = (
            connect_without_wake or connect or partial(self._open, wake=False)
        )
        known, unknown = self.settings.max_sessions, self.settings.max_unknown_sessions
        self.sessions = SessionLimit(known, self.settings.queue_s, is_known=True, clock=clock)
        self.unknown_session_limit = SessionLimit(
            unknown, self.settings.queue_s, is_known=False, clock=clock
        )
        self.egress = egress or EgressPolicy(self.settings.egress, self.settings.registered)
        self._run_alone_numbers = itertools.count(1)
        self._clock = clock
        self._wall = wall
        self.store_service = store_service or StoreService(None, clock=clock, wall=wall)
        self._closed = False
        self._ending = False
        self._devices: dict[str, Device] = {}
        self._lookups: dict[Hashable, _Lookup] = {}
        """What is being looked up in the store."""
        self._served_counts: dict[str, _ServedCounts] = {}
        entry, status = cache.info_entry, cache.monitor_status_entry
        self._info = Resource("info", entry, entry, math.inf, _read_info, is_short=True)
        self._status = Resource(
            "status",
            status,
            lambda key: cache.monitor_status_entry(key, expired=True),
            self.settings.status_ttl_s,
            _read_status,
            is_short=True,
        )
        self._events = Resource(
            "events",
            cache.events_entry,
            cache.events_entry,
            -math.inf,
            lambda device, shared_read: device.read_events(shared_read),
            follows_list=True,
        )

    async def _open(self, address: Address, *, wake: bool = True) -> MiniMate:
        deadlines = self.settings.deadlines
        link = await open_link(await self.egress.resolve(address), deadlines)
        return await MiniMate.open(link, deadlines=deadlines, wake=wake)

    def _session_limit_for(self, address: Address) -> SessionLimit:
        """Return the places for an address: those of units, or those of unknown addresses."""
        device = self._devices.get(self.conn_key(address))
        has_answered = device is not None and device.serial is not None
        is_known = has_answered or self.egress.is_registered(address)
        return self.sessions if is_known else self.unknown_session_limit

    async def close(self) -> None:
        """
        End every read and hang up every line; who asks from now on gets ``ShuttingDownError``.
        """
        self._closed = True
        looks = [found.task for found in self._lookups.values()]
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        await asyncio.gather(*(device.close() for device in self._devices.values()))
        await self.store_service.close()

    # --- verbs ----------------------------------------------------------------------------------

    async def info(self, address: Address, freshness: Freshness = ANY) -> Answer:
        """Return identity and recording setup; from the cache unless a write made them doubtful."""
        return await self._ask(address, self._info, freshness)

    async def monitor_status(self, address: Address, freshness: Freshness = ANY) -> Answer:
        """Return monitoring, clock, battery and memory; from the cache for 30 s."""
        return await self._ask(address, self._status, freshness)

    async def events(
        self, address: Address, freshness: Freshness = ANY, *, partial: bool = False
    ) -> Answer:
        """
        Return the event list, after the unit's memory was probed; new events alone are read.

        Args:
            address: of the unit.
            freshness: what the reader will take.
            partial: while the list is not whole, take what was read of it so far: of a walk that
                was cut, or of one under way that does not end within ``PARTIAL_WAIT_S``.

        Raises:
            ListIncompleteError: the walk was cut, and ``partial`` was not asked for.
        """
        asked = self._ask(address, self._events, freshness)
        if not partial:
            return await asked
        return await self._or_partial(address, asked)

    async def _or_partial(self, address: Address, asked: Coroutine[Any, Any, Answer]) -> Answer:
        """Return the whole list if it comes soon; else what is known of it. The read goes on."""
        reading = asyncio.create_task(asked)
        reading.add_done_callback(retrieve_exception)
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=PARTIAL_WAIT_S)
                if not reading.done() and (known := self._walked(address)) is not None:
                    return known
            return reading.result()
        except Exception as error:
            known = self._walked(address)
            if known is None or not (
                isinstance(error, ListIncompleteError) or is_unreachable(error)
            ):
                raise
            return replace(known, instead_of=error)
        finally:
            reading.cancel()  # a reader who goes away ends nobody's read

    def _walked(self, address: Address) -> Answer | None:
        """Return the events of a walk that has not ended as a partial list."""
        device = self._devices.get(self.conn_key(address))
        events = [] if device is None else device.walked
        if device is None or not events:
            return None
        value = {"events": events, "estimate_s": device.estimate_s()}
        epoch = self.cache.epoch(device.conn_key).number
        reading = Reading(
            produce=lambda: value,
            why="partial",
            read_began_mono=device.walk_began_mono,
            epoch=epoch,
            serial=device.serial,
            simulated=device.simulated,
        )
        answer = self._answer(device, reading, self._clock(), quality="partial")
        return replace(answer, is_complete=False)

    async def event(
        self, address: Address, index: int, freshness: Freshness = ANY, *, partial: bool = False
    ) -> Answer:
        """
        Return one event of the list, proven as the list is; ``partial`` as with ``events``.

        Raises:
            NoSuchEventError: the list has no such index.
            ListIncompleteError: the list is not whole, and was not read as far as that.
        """
        answer = await self.events(address, freshness, partial=partial)
        if not answer.is_complete:
            events = answer.value["events"]
            if index >= len(events):
                raise ListIncompleteError(
                    f"{address}: event {index} was not read yet; {len(events)} were",
                    len(events),
                    answer.value["estimate_s"],
                )
            picked = pick(events, index, str(address))
            return replace(answer, produce=lambda: picked, memo=Memo())
        try:
            return _one_event(answer, str(address), index)
        except NoSuchEventError as absent:
            # A list that was not proven cannot say that an event is absent.
            if answer.instead_of is not None:
                raise answer.instead_of from absent
            if answer.provenance.quality in ("unchecked", "not_verified_since_restart"):
                raise NotCachedError(f"{address}: event {index} was never read") from absent
            raise

    async def waveform(self, address: Address, index: int, freshness: Freshness = ANY) -> Answer:
        """
        Return the waveform in a slot (a form of ``sfm.records.payloads``), its slot proven lately
        or now.

        Raises:
            NoSuchEventError: the list has no such index.
        """
        return await self._ask(address, self._waveform(index), freshness)

    async def storage_range(self, address: Address) -> Answer:
        """Return the keys of first and last event; always from the unit."""

        async def operation(unit: MiniMate) -> Payload:
            return payloads.storage_range_payload(await unit.read_storage_range())

        return await self._direct(address, "storage_range", operation)

    async def lifetime_count(self, address: Address) -> Answer:
        """Return the lifetime event counter; always from the unit."""

        async def operation(unit: MiniMate) -> Payload:
            return {"lifetime_count": await unit.read_lifetime_count()}

        return await self._direct(address, "lifetime_count", operation)

    async def run_alone(
        self, address: Address, name: str, act: Callable[[Device, Report], Awaitable[T]]
    ) -> T:
        """
        Let ``act`` have a unit's line for itself; for what is done once and shared with nobody.

        It waits for its turn like everybody. If its reader is gone before that (``BusyError``), it
        does not happen; once begun, it is finished whoever goes away.

        Args:
            address: of the unit.
            name: for who follows the progress.
            act: is given the owner, and what reports steps: what, how many, of how many.
        """
        is_known = await self._load(address)
        device = self._device(address)
        device.is_loaded |= is_known

        def report(what: str, done: float, total: float | None) -> None:
            report_step(device.progress, "step", resource=name, what=what, done=done, total=total)

        async def run_shared(shared_read: SharedRead[T]) -> T:
            if not shared_read.readers:
                raise BusyError(f"{name}: whoever asked for it is gone; it was not done", 0.0)
            report_step(device.progress, "begun", resource=name, forced=True)
            device.connection.on_wait = lambda step: report(step.what, step.done, step.total)
            try:
                done = await act(device, report)
            except Exception as error:
                report_step(device.progress, "failed", resource=name, error=str(error))
                raise
            report_step(device.progress, "done", resource=name)
            return done

        try:
            done, _ = await device.single_flight.ask(
                (name, next(self._run_alone_numbers)), run_shared, forced=True
            )
        except Exception:
            self._forget_if_unknown(device)
            raise
        return done

    async def call_home(self, address: Address) -> Answer:
        """Return when and whom the unit calls by itself; always from the unit."""

        async def operation(unit: MiniMate) -> Payload:
            return payloads.call_home_payload(await unit.read_call_home())

        return await self._direct(address, "call_home", operation)

    def progress(self, address: Address) -> ProgressLog:
        """Return the steps of that device's reads, to follow; see ``stopped_following``."""
        if self._ending:
            raise ShuttingDownError("the relay is shutting down")
        return self._device(address).progress

    def stopped_following(self, address: Address) -> None:
        """Forget a device that was only followed and never answered."""
        device = self._devices.get(self.conn_key(address))
        if device is not None:
            self._forget_if_unknown(device)

    def end_streams(self) -> None:
        """End everybody who follows a progress: the relay is about to stop."""
        self._ending = True
        for device in self._devices.values():
            device.progress.close()

    async def drop(self, address: Address, reason: str) -> None:
        """
        Forget everything held of a device, archive excepted; the next reader asks the unit.

        Raises:
            StoreError: memory has forgotten; the database could not, and may bring it back.
        """
        conn_key = self.conn_key(address)
        if not await self._is_known(conn_key):
            return
        self.cache.drop_device(conn_key, reason)
        epoch = self.cache.epoch(conn_key).number
        try:
            beyond = await self.store_service.drop(conn_key, epoch, reason)
        except BackingOffError as error:
            raise StoreError(str(error)) from error
        if beyond is not None and beyond > epoch:
            self.cache.drop_device(conn_key, reason, beyond=beyond - 1)

    async def _is_known(self, conn_key: str) -> bool:
        """Whether anything may be held of a device; a wrong address leaves nothing behind."""
        found = None
        if self.store_service.has_store and not self._is_in_memory(conn_key):
            try:
                found = await self.store_service.load(conn_key)
            except (StoreError, BackingOffError):
                return True  # nobody can tell now, so it is dropped in memory all the same
        return found is not None or self._is_in_memory(conn_key)

    def _is_in_memory(self, conn_key: str) -> bool:
        return conn_key in self._devices or self.cache.knows(conn_key)

    # --- without the device ---------------------------------------------------------------------

    def info_entry(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``info`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._info, freshness)

    def monitor_status_entry(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``monitor_status`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._status, freshness)

    def events_entry(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``events`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._events, freshness)

    def event_entry(self, conn_key: str, index: int, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``event`` would answer without asking the unit, if it would."""
        answer = self._without_asking(conn_key, self._events, freshness)
        return None if answer is None else _one_event(answer, conn_key, index)

    def waveform_entry(
        self, conn_key: str, index: int, freshness: Freshness = ANY
    ) -> Answer | None:
        """Return what ``waveform`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._waveform(index), freshness)

    def stats(self) -> Payload:
        """Return what the cache holds and what the lines cost; touches no device."""
        return {
            "cache": self.cache.stats(),
            "store": self.store_service.state(),
            "devices": {key: self._stats_of(device) for key, device in self._devices.items()},
        }

    def keys(self) -> list[str]:
        """Return the key of every device that is read, or of which anything is held."""
        return list(dict.fromkeys([*self._devices, *self.cache.known_devices()]))

    def device_stats(self, conn_key: str) -> Payload | None:
        """Return the part of ``stats`` that is about one device; ``None``: it is not read."""
        device = self._devices.get(conn_key)
        return None if device is None else self._stats_of(device)

    def session_stats(self) -> dict[str, Payload]:
        """Return how many conversations are open and wait, with units and unknown addresses."""
        return {
            kind: {
                "open": places.open,
                "waiting": places.waiting,
                "longest_wait_s": round(places.longest_wait_s, 3),
            }
            for kind, places in (
                ("known", self.sessions),
                ("unknown", self.unknown_session_limit),
            )
        }

    def _stats_of(self, device: Device) -> Payload:
        tally, single_flight = self._served_counts[device.conn_key], device.single_flight
        return {
            "serial": device.serial,
            "simulated": device.simulated,
            "hits": tally.hits,
            "misses": dict(tally.misses),
            "verdicts": dict(device.verdicts),
            "reads": single_flight.started_reads,
            "joined_readers": single_flight.joined,
            "readers": single_flight.readers,
            "waiting_readers": single_flight.waiting_readers,
            "rejected_readers": single_flight.rejected_readers,
            "failures_in_a_row": device.back_off.failures,
            "sessions": device.connection.sessions,
            "exchanges": device.connection.exchanges,
            "read_times": {
                "bounds_s": [b for b in device.read_times.BOUNDS_S if math.isfinite(b)],
                "counts": list(device.read_times.counts),
                "sum_s": round(device.read_times.sum_s, 3),
            },
            "under_way": [
                {"what": p.what, "done": p.done, "total": p.total}
                for p in single_flight.progress.values()
            ],
        }

    # --- the ways an answer is made -------------------------------------------------------------

    @staticmethod
    def conn_key(address: Address) -> str:
        """Return the key under which everything of that address is kept."""
        if address.kind == "tcp":
            return LiveCache.make_conn_key(address.target, address.number, None, None)
        return LiveCache.make_conn_key(None, None, address.target, address.number)

    def _waveform(self, index: int) -> Resource:
        def entry(conn_key: str) -> CacheEntry | None:
            return self.cache.waveform_entry(conn_key, index)

        async def read(device: Device, shared_read: SharedRead[Reading]) -> Reading:
            return await device.read_waveform(shared_read, index)

        window_s = self.settings.validated_s or -math.inf
        return Resource(
            ("waveform", index), entry, entry, window_s, read, follows_list=True, index=index
        )

    def _device(self, address: Address) -> Device:
        if self._closed:
            raise ShuttingDownError("the relay is shutting down")
        key = self.conn_key(address)
        device = self._devices.get(key)
        if device is None:
            connection = Connection(
                address,
                self._connect,
                self.settings.keep_open_s_of(address),
                self._connect_without_wake,
                partial(self._session_limit_for, address),
                silent_limit_s=2 * self.settings.reply_s,
            )
            single_flight = SingleFlight(
                connection.lock,
                max_readers=self.settings.max_readers,
                queue_s=self.settings.queue_s,
            )
            device = self._devices[key] = Device(
                key,
                connection,
                self.cache,
                self.store_service,
                self._clock,
                single_flight,
                self._wall,
                self.settings.zones,
            )
            self._served_counts[key] = _ServedCounts()
        return device

    async def _load(self, address: Address) -> bool:
        """Take up what the store knows of a device; return whether that is known now."""
        key = self.conn_key(address)
        device = self._devices.get(key)
        is_known = device is not None and device.is_loaded and key not in self._lookups
        if is_known or not self.store_service.has_store:
            return True
        return await self._together(key, lambda: self._load_now(address, key))

    async def _load_now(self, address: Address, key: str) -> bool:
        try:
            found = await self.store_service.load(key)
        except (StoreError, BackingOffError):
            return False  # the keeper has noted it; what is written later is fenced
        if found is None:
            return True  # no owner is made for it: wrong addresses cost no memory
        device = self._device(address)
        if not device.is_loaded:
            device.is_loaded = True
            if device.adopt(found):
                self.store_service.mark_adopted(key, found)
        return True

    async def _load_waveform(
        self, conn_key: str, resource: Resource, freshness: Freshness
    ) -> CacheEntry | None:
        """Return a waveform that left memory, or was there before a restart."""
        device, index = self._devices.get(conn_key), resource.index
        if device is None or index is None or device.single_flight.is_waiting(resource.name):
            return None  # whoever flies for it looks into the store himself
        what = (conn_key, index)
        if freshness.force and what not in self._lookups:
            return None
        # A forced reader waits as well: his flight must not leave the others behind.
        return await self._together(what, lambda: device.load_waveform(index))

    async def _together(self, what: Hashable, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Look into the store once for all who want the same thing now.

        So they go on at one moment, and nobody is left behind by the flight of another.
        """
        found = self._lookups.get(what)
        if found is None:
            found = self._lookups[what] = _Lookup(asyncio.create_task(look()))
            found.task.add_done_callback(lambda _: self._finish_lookup(what))
            found.task.add_done_callback(retrieve_exception)
        if found.task.done():
            # Those who waited for it are about to go on: not before them.
            await found.gone_on.wait()
        else:
            found.waiting += 1
            try:
                # A cancelled reader ends his own waiting, not the look.
                await asyncio.wait([found.task])
            finally:
                found.waiting -= 1
                self._finish_lookup(what)
        if found.task.cancelled():
            raise ShuttingDownError("the relay is shutting down")
        result: T = found.task.result()
        return result

    def _finish_lookup(self, what: Hashable) -> None:
        """Forget a look that has ended and that everybody has gone on from."""
        found = self._lookups.get(what)
        if found is not None and found.task.done() and not found.waiting:
            del self._lookups[what]
            found.gone_on.set()

    async def _ask(self, address: Address, resource: Resource, freshness: Freshness) -> Answer:
        """Answer from what is held if the reader takes it; else from the next departure."""
        conn_key = self.conn_key(address)
        if (hit := self._without_asking(conn_key, resource, freshness)) is not None:
            return hit
        loaded, is_known = None, True
        if self.store_service.has_store:
            is_known = await self._load(address)
            loaded = await self._load_waveform(conn_key, resource, freshness)
            hit = self._without_asking(conn_key, resource, freshness, loaded)
            if hit is not None:
                return hit
        if freshness.only_if_cached:
            raise NotCachedError(
                f"{conn_key}: nothing is held that is fresh enough, "
                "and the unit was not to be asked"
            )
        device = self._device(address)
        device.is_loaded |= is_known

        async def run_shared(shared_read: SharedRead[Reading]) -> Reading:
            # The flight before this one may have brought what was missing.
            wanted = Freshness(force=shared_read.forced, max_age_s=shared_read.max_age_s)
            found = self._find(resource, resource.entry(conn_key), conn_key, self._clock())
            if found is not None and found.serves(wanted, resource.allowed_s):
                return device.reading_of(found.entry, "hit", found.proven_mono)
            return await resource.read(device, shared_read)

        try:
            return await self._run_shared(device, resource.name, run_shared, freshness, resource)
        except Exception as error:
            now = self._clock()
            found = self._find(resource, resource.last(conn_key) or loaded, conn_key, now)
            is_busy = isinstance(error, BackingOffError | BusyError | ListIncompleteError)
            if found is None or not (is_busy or is_unreachable(error)):
                raise
            if not freshness.accepts_after_error(found.oldest_age_s(now)):
                raise
            reading = device.reading_of(found.entry, "stale", found.proven_mono)
            quality: Quality = "last_known" if found.is_verified else "not_verified_since_restart"
            answer = self._answer(device, reading, now, quality=quality)
            return replace(answer, instead_of=error)

    def _without_asking(
        self,
        conn_key: str,
        resource: Resource,
        freshness: Freshness,
        entry: CacheEntry | None = None,
    ) -> Answer | None:
        """Return what is held as an answer, if the reader takes it; touches no device."""
        device = self._devices.get(conn_key)
        if device is None or freshness.force:
            return None
        now = self._clock()
        found = self._find(resource, resource.entry(conn_key) or entry, conn_key, now)
        if found is None or not found.serves(freshness, resource.allowed_s):
            return None
        quality: Quality | None = None
        if not found.is_verified:
            quality = "not_verified_since_restart"
        elif freshness.only_if_cached and not ANY.accepts(found.age_s, resource.allowed_s):
            quality = "unchecked"
        return self._answer(
            device,
            device.reading_of(found.entry, "hit", found.proven_mono),
            now,
            quality=quality,
            ttl_s=resource.ttl_s(found.age_s),
        )

    def _find(
        self, resource: Resource, entry: CacheEntry | None, conn_key: str, now_mono: float
    ) -> _Candidate | None:
        """Return what is held of a thing with the time since the unit last said so."""
        if entry is None or entry.epoch != self.cache.epoch(conn_key).number:
            return None  # it was looked up before an erase was found: of another memory
        if not resource.follows_list:
            return _Candidate(entry, entry.age_s(now_mono), None, entry.source != DISK)
        proven = self.cache.validated_mono(conn_key)
        age_s = math.inf if proven is None else max(0.0, now_mono - proven)
        return _Candidate(entry, age_s, proven, entry.source != DISK or proven is not None)

    async def _direct(
        self, address: Address, resource: str, operation: Callable[[MiniMate], Awaitable[Payload]]
    ) -> Answer:
        """Answer from the unit and keep nothing."""
        is_known = await self._load(address)
        device = self._device(address)
        device.is_loaded |= is_known

        async def read(_: SharedRead[Reading]) -> Reading:
            return await device.read_directly(operation)

        return await self._run_shared(device, resource, read, FORCED)

    async def _run_shared(
        self,
        device: Device,
        resource: str | tuple[str, int],
        read: Callable[[SharedRead[Reading]], Awaitable[Reading]],
        freshness: Freshness,
        keeps: Resource | None = None,
    ) -> Answer:
        async def run_shared(shared_read: SharedRead[Reading]) -> Reading:
            if not shared_read.forced:
                device.back_off.check()
            shared_read.notify = lambda step: report_step(
                device.progress,
                "step",
                resource=name,
                what=step.what,
                done=step.done,
                total=step.total,
            )
            report_step(device.progress, "begun", resource=name, forced=shared_read.forced)
            device.connection.on_wait = shared_read.report
            try:
                reading = await read(shared_read)
            except Exception as error:
                report_step(device.progress, "failed", resource=name, error=str(error))
                raise
            report_step(
                device.progress, "done", resource=name, why=reading.why, exchanges=reading.exchanges
            )
            return reading

        name = resource if isinstance(resource, str) else " ".join(map(str, resource))

        asked_mono = self._clock()
        try:
            allowed_s = math.inf if keeps is None else keeps.allowed_s
            for _ in range(2):
                reading, shared = await device.single_flight.ask(
                    resource,
                    run_shared,
                    forced=freshness.force,
                    max_age_s=freshness.limit_s(allowed_s),
                    is_short=keeps is not None and keeps.is_short,
                )
                # Who boarded on the way of a list that is proven as of its beginning alone does
                # not get one from before the question.
                if not reading.is_of_beginning or reading.read_began_mono >= asked_mono:
                    break
        except Exception:
            self._forget_if_unknown(device)
            raise
        now, ttl_s = self._clock(), None
        if keeps is not None:
            found = self._find(keeps, keeps.entry(device.conn_key), device.conn_key, now)
            ttl_s = None if found is None else keeps.ttl_s(found.age_s)
        return self._answer(device, reading, now, shared=shared, ttl_s=ttl_s)

    def _forget_if_unknown(self, device: Device) -> None:
        """Let nothing remain of an address where no unit ever answered."""
        never_answered = device.serial is None and device.single_flight.is_idle
        if never_answered and self._devices.get(device.conn_key) is device:
            del self._devices[device.conn_key], self._served_counts[device.conn_key]

    def _answer(
        self,
        device: Device,
        reading: Reading,
        now: float,
        *,
        shared: bool = False,
        quality: Quality | None = None,
        ttl_s: float | None = None,
    ) -> Answer:
        age_s = max(0.0, now - reading.read_began_mono)
        checked, memo = reading.checked_mono, reading.memo
        if memo.get("read_at") is None:
            # What comes from the store brings its own.
            memo["read_at"] = self._read_at(age_s)
        self._served_counts[device.conn_key].count(reading.why)
        provenance = Provenance(
            conn_key=device.conn_key,
            serial=reading.serial,
            epoch=reading.epoch,
            source=reading.source,
            why=reading.why,
            quality=quality or _quality(reading),
            read_at=memo["read_at"],
            age_s=round(age_s, 3),
            checked_age_s=None if checked is None else round(max(0.0, now - checked), 3),
            exchanges=reading.exchanges,
            took_s=round(reading.took_s, 3),
            stored=reading.stored,
            store_problem=self.store_service.problem_kind,
            ttl_s=ttl_s,
            shared=shared,
            simulated=reading.simulated,
            reasons=_reasons(reading),
        )
        return Answer(provenance, reading.produce, memo, recorded_since=reading.recorded_since)

    def _read_at(self, age_s: float) -> str | None:
        """Return when something of that age was read, where the host's clock can say so."""
        if not math.isfinite(age_s):
            return None
        began = self._wall() - timedelta(seconds=age_s)
        return began.isoformat(timespec="milliseconds") if is_credible(began) else None


def _one_event(answer: Answer, unit: str, index: int) -> Answer:
    """Return one event out of a list's answer; it is picked once for all readers."""
    part = f"event {index} "
    picked = answer.memo.get(part + "picked")
    if picked is None:
        picked = pick(answer.value, index, unit)
        answer.memo.save(part + "picked", picked, PICKED_BYTES)
    return Answer(answer.provenance, lambda: picked, answer.memo, part)


async def _read_info(device: Device, shared_read: SharedRead[Reading]) -> Reading:
    return await device.read_info("request" if shared_read.forced else "miss")


async def _read_status(device: Device, shared_read: SharedRead[Reading]) -> Reading:
    return await device.read_status("request" if shared_read.forced else "miss")


def _quality(reading: Reading) -> Quality:
    return "partial" if _reasons(reading) else "good"


def _reasons(reading: Reading) -> list[Payload]:
    """Return why what was read is partial; looked at once for all readers."""
    if "reasons" not in reading.memo:
        reading.memo["reasons"] = payloads.reasons_of(reading.produce())
    reasons: list[Payload] = reading.memo["reasons"]
    return reasons
