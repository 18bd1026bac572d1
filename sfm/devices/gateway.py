"""
The gateway: what readers can ask of any device, answered with where it comes from.

The rule: never serve a value that was invalidated after it was read. The event list is in question
at every request, so the unit's memory is probed each time (``event_list``); a waveform is served
for a while after such a proof (``Settings.validated_s``); a monitor status for 30 s from the start
of its read; device info until its settings are written. ``force`` goes to the device whatever is
cached, and ``sfm.cache.freshness`` defines what else a reader will take.

Readers who ask for the same resource share one read (``single_flight``), which the device actor
(``device``) does in the unit's one session. A long read of the list takes further unforced readers
until the probe that closes it: 200 who ask at once cost one read.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from minimateplus.client import MiniMate
from minimateplus.errors import NoSuchEventError
from minimateplus.link import Address, open_link
from minimateplus.model import Progress
from sfm.access.egress import EgressPolicy
from sfm.back_off import BackingOffError
from sfm.cache.freshness import ANY, FORCED, Freshness
from sfm.devices.answer import Answer, Quality, answer_of, event_answer
from sfm.devices.connection import Connect
from sfm.devices.device import Device
from sfm.devices.durable_cache import DurableCache
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.progress import ProgressLog, report_step
from sfm.devices.reading import Reading, event_at, is_unreachable
from sfm.devices.registry import Registry
from sfm.devices.resource import Candidate, Resource, Resources
from sfm.devices.roster import UnitRoster
from sfm.devices.single_flight import (
    BusyError,
    SharedRead,
    ShuttingDownError,
    retrieve_exception,
)
from sfm.devices.statistics import device_statistics, session_statistics
from sfm.errors import SfmError
from sfm.live_cache import CacheEntry, LiveCache, Memo
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store.service import StoreService

__all__ = ["Gateway", "NotCachedError", "Report"]

T = TypeVar("T")

PARTIAL_WAIT_S = 2.0
"""How long a reader who takes a partial list waits for the whole one."""

Report = Callable[[str, float, float | None], None]
"""Takes a step of something long: what is counted, how many, of how many."""


class NotCachedError(SfmError):
    """The reader wants no device read, and nothing is cached that is good enough."""


class Gateway:
    """
    The verbs of every device. Lives as long as the relay.

    Args:
        cache: what is remembered between reads; its clock must be ``clock``.
        settings: deadlines and times.
        store_service: what is kept over a restart; nothing, if not given. Closed with the gateway.
        connect: opens a link and a session on it; by TCP or serial if not given.
        egress: what may be connected to; as the settings say if not given.
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
        egress: EgressPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cache = cache
        self.settings = settings or Settings()
        self.egress = egress or EgressPolicy(self.settings.egress, self.settings.registered)
        self.store_service = store_service or StoreService(None, clock=clock, wall=wall)
        self.registry = Registry(
            cache,
            self.settings,
            store_service=self.store_service,
            egress=self.egress,
            connect=connect or self._open,
            clock=clock,
            wall=wall,
        )
        self.roster = UnitRoster(
            self.settings,
            self.store_service,
            self.egress,
            is_backing_off=self.registry.is_backing_off,
            wall=wall,
        )
        self.registry.keep_open_s_of = self.roster.keep_open_s_of
        self._resources = Resources(cache, self.settings.status_ttl_s, self.settings.validated_s)
        self._alone_numbers = itertools.count(1)
        self._clock = clock
        self._wall = wall
        self._ending = False

    async def _open(self, address: Address) -> MiniMate:
        deadlines = self.settings.deadlines
        link = await open_link(await self.egress.resolve(address), deadlines)
        return await MiniMate.open(link, deadlines=deadlines, wake=False)

    async def close(self) -> None:
        """End every read and every session; later callers get ``ShuttingDownError``."""
        await self.registry.close()
        await self.store_service.close()

    # --- verbs ----------------------------------------------------------------------------------

    async def info(self, address: Address, freshness: Freshness = ANY) -> Answer:
        """Return identity and recording setup; from the cache until settings are written."""
        return await self._ask(address, self._resources.info, freshness)

    async def monitor_status(self, address: Address, freshness: Freshness = ANY) -> Answer:
        """Return monitoring, clock, battery and memory; from the cache for 30 s."""
        return await self._ask(address, self._resources.status, freshness)

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
        asked = self._ask(address, self._resources.events, freshness)
        if not partial:
            return await asked
        return await self._or_partial(address, asked)

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
            picked = event_at(events, index, str(address))
            return replace(answer, produce=lambda: picked, memo=Memo())
        try:
            return event_answer(answer, index, str(address))
        except NoSuchEventError as absent:
            # A list that was not proven cannot show that an event is absent.
            if answer.instead_of is not None:
                raise answer.instead_of from absent
            if answer.provenance.quality in ("unchecked", "not_verified_since_restart"):
                raise NotCachedError(f"{address}: event {index} was never read") from absent
            raise

    async def waveform(self, address: Address, index: int, freshness: Freshness = ANY) -> Answer:
        """
        Return the waveform in a slot, its slot proven lately or now.

        Raises:
            NoSuchEventError: the list has no such index.
        """
        return await self._ask(address, self._resources.waveform(index), freshness)

    async def storage_range(self, address: Address) -> Answer:
        """Return the keys of first and last event; always from the unit."""
        return await self._read_directly(address, "storage_range", _read_storage_range)

    async def lifetime_count(self, address: Address) -> Answer:
        """Return the lifetime event counter; always from the unit."""
        return await self._read_directly(address, "lifetime_count", _read_lifetime_count)

    async def call_home(self, address: Address) -> Answer:
        """Return when and whom the unit calls by itself; always from the unit."""
        return await self._read_directly(address, "call_home", _read_call_home)

    async def run_alone(
        self, address: Address, name: str, act: Callable[[Device, Report], Awaitable[T]]
    ) -> T:
        """
        Let ``act`` have a unit's connection for itself; for what is done once and never shared.

        It waits for its turn like every read. If its caller is gone before that, it does not
        happen (``BusyError``); once begun, it is finished whether or not the caller stays.

        Args:
            address: of the unit.
            name: for those who follow the progress.
            act: is given the device, and what reports steps: what, how many, of how many.
        """
        device = await self.registry.loaded_device(address)
        run: Callable[[SharedRead[T]], Awaitable[T]] = partial(self._run_alone, device, name, act)
        try:
            key = (name, next(self._alone_numbers))
            done, _ = await device.single_flight.ask(key, run, forced=True)
        except Exception:
            self.registry.forget_if_unknown(device)
            raise
        return done

    async def _run_alone(
        self,
        device: Device,
        name: str,
        act: Callable[[Device, Report], Awaitable[T]],
        shared_read: SharedRead[T],
    ) -> T:
        if not shared_read.readers:
            raise BusyError(f"{name}: its caller is gone; it was not done", 0.0)
        shared_read.notify = partial(_report_progress, device, name)
        device.connection.on_wait = shared_read.report

        def report(what: str, done: float, total: float | None) -> None:
            of = None if total is None else math.ceil(total)
            shared_read.progress = Progress(what=what, done=math.floor(done), total=of)
            _report(device, name, what, done, total)

        with _shown_progress(device, name, forced=True):
            done = await act(device, report)
        report_step(device.progress, "done", resource=name)
        return done

    async def drop(self, address: Address, reason: str) -> None:
        """
        Forget everything cached for a device, archive excepted; the next reader asks the unit.

        Raises:
            StoreError: memory has forgotten; the database could not, and may bring it back.
        """
        conn_key = self.conn_key(address)
        if await self._is_known(conn_key):
            device = self.registry.devices.get(conn_key)
            durable = device.durable if device is not None else None
            durable = durable or DurableCache(conn_key, self.cache, self.store_service)
            await durable.forget(reason)

    async def _is_known(self, conn_key: str) -> bool:
        """Whether anything may be cached for a device; a wrong address leaves nothing behind."""
        found = None
        if self.store_service.has_store and not self._is_in_memory(conn_key):
            try:
                found = await self.store_service.load(conn_key)
            except (StoreError, BackingOffError):
                return True  # it cannot be known now, so it is dropped in memory all the same
        return found is not None or self._is_in_memory(conn_key)

    def _is_in_memory(self, conn_key: str) -> bool:
        return conn_key in self.registry.devices or self.cache.knows(conn_key)

    # --- progress -------------------------------------------------------------------------------

    def progress(self, address: Address) -> ProgressLog:
        """Return the steps of that device's reads, to follow; see ``stopped_following``."""
        if self._ending:
            raise ShuttingDownError("the relay is shutting down")
        return self.registry.device(address).progress

    def stopped_following(self, address: Address) -> None:
        """Forget a device that was only followed and never answered."""
        device = self.registry.devices.get(self.conn_key(address))
        if device is not None:
            self.registry.forget_if_unknown(device)

    def end_streams(self) -> None:
        """End every stream of progress: the relay is about to stop."""
        self._ending = True
        for device in self.registry.devices.values():
            device.progress.close()

    # --- without the device ---------------------------------------------------------------------

    def cached_info(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``info`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._resources.info, freshness)

    def cached_monitor_status(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``monitor_status`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._resources.status, freshness)

    def cached_events(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``events`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._resources.events, freshness)

    def cached_event(self, conn_key: str, index: int, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``event`` would answer without asking the unit, if it would."""
        answer = self._without_asking(conn_key, self._resources.events, freshness)
        return None if answer is None else event_answer(answer, index, conn_key)

    def cached_waveform(
        self, conn_key: str, index: int, freshness: Freshness = ANY
    ) -> Answer | None:
        """Return what ``waveform`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._resources.waveform(index), freshness)

    def stats(self) -> Payload:
        """Return what the cache contains and what the connections cost; touches no device."""
        devices, served = self.registry.devices, self.registry.served
        return {
            "cache": self.cache.stats(),
            "store": self.store_service.state(),
            "devices": {key: device_statistics(devices[key], served[key]) for key in devices},
        }

    def keys(self) -> list[str]:
        """Return the key of every device that is read, or for which anything is cached."""
        return list(dict.fromkeys([*self.registry.devices, *self.cache.known_devices()]))

    def device_stats(self, conn_key: str) -> Payload | None:
        """Return the part of ``stats`` that is about one device; ``None``: it is not read."""
        device = self.registry.devices.get(conn_key)
        served = self.registry.served.get(conn_key)
        return device_statistics(device, served) if device and served else None

    def session_stats(self) -> dict[str, Payload]:
        """Return how many sessions are open and wait, with units and with unknown addresses."""
        return session_statistics(self.registry)

    @staticmethod
    def conn_key(address: Address) -> str:
        """Return the key under which everything of that address is stored."""
        return Registry.conn_key(address)

    # --- how an answer is made ------------------------------------------------------------------

    async def _ask(self, address: Address, resource: Resource, freshness: Freshness) -> Answer:
        """Answer from what is cached if that is good enough; else from the next read."""
        conn_key = self.conn_key(address)
        # 1. From memory.
        if (hit := self._without_asking(conn_key, resource, freshness)) is not None:
            return hit
        # 2. From disk.
        loaded, is_known = None, True
        if self.store_service.has_store:
            is_known = await self.registry.load(address)
            if resource.index is not None:
                loaded = await self.registry.load_waveform(
                    conn_key, resource.index, forced=freshness.force
                )
            hit = self._without_asking(conn_key, resource, freshness, loaded)
            if hit is not None:
                return hit
        if freshness.only_if_cached:
            raise NotCachedError(
                f"{conn_key}: nothing is cached that is fresh enough, "
                "and the unit was not to be asked"
            )
        # 3. From the unit, in a read that all who ask for the same share.
        device = self.registry.device(address)
        device.is_loaded |= is_known

        read = partial(self._read_unless_cached, device, resource)
        try:
            return await self._read_shared(device, resource.name, read, freshness, resource)
        except Exception as error:
            # 4. From what is cached after all, where the reader takes that after a failure.
            last = self._last_known(device, resource, freshness, loaded, error)
            if last is None:
                raise
            return last

    async def _read_unless_cached(
        self, device: Device, resource: Resource, shared_read: SharedRead[Reading]
    ) -> Reading:
        """Return what the read before this one brought, if it is good enough; else read."""
        wanted = Freshness(force=shared_read.forced, max_age_s=shared_read.max_age_s)
        candidate = self._candidate(resource, device.conn_key)
        if candidate is not None and candidate.serves(wanted, resource.allowed_s):
            return device.durable.reading_of(candidate.entry, "hit", candidate.proven_mono)
        return await resource.read(device, shared_read)

    def _candidate(
        self, resource: Resource, conn_key: str, otherwise: CacheEntry | None = None
    ) -> Candidate | None:
        """Return what is cached of a resource, or ``otherwise``, with its age."""
        entry = resource.cached(conn_key) or otherwise
        return self._resources.find(resource, entry, conn_key, self._clock())

    def _without_asking(
        self,
        conn_key: str,
        resource: Resource,
        freshness: Freshness,
        loaded: CacheEntry | None = None,
    ) -> Answer | None:
        """Return what is cached as an answer, if it is good enough; touches no device."""
        device = self.registry.devices.get(conn_key)
        if device is None or freshness.force:
            return None
        candidate = self._candidate(resource, conn_key, loaded)
        if candidate is None or not candidate.serves(freshness, resource.allowed_s):
            return None
        quality: Quality | None = None
        if not candidate.is_verified:
            quality = "not_verified_since_restart"
        elif freshness.only_if_cached and not ANY.accepts(candidate.age_s, resource.allowed_s):
            quality = "unchecked"
        return self._answer(
            device,
            device.durable.reading_of(candidate.entry, "hit", candidate.proven_mono),
            quality=quality,
            ttl_s=resource.ttl_s(candidate.age_s),
        )

    def _last_known(
        self,
        device: Device,
        resource: Resource,
        freshness: Freshness,
        loaded: CacheEntry | None,
        error: Exception,
    ) -> Answer | None:
        """Return what was known before a read failed, if the reader takes it; else ``None``."""
        is_busy = isinstance(error, BackingOffError | BusyError | ListIncompleteError)
        if not (is_busy or is_unreachable(error)):
            return None
        now, conn_key = self._clock(), device.conn_key
        entry = resource.last(conn_key) or loaded
        candidate = self._resources.find(resource, entry, conn_key, now)
        if candidate is None or not freshness.accepts_after_error(candidate.oldest_age_s(now)):
            return None
        reading = device.durable.reading_of(candidate.entry, "stale", candidate.proven_mono)
        quality: Quality = "last_known" if candidate.is_verified else "not_verified_since_restart"
        return replace(self._answer(device, reading, quality=quality), instead_of=error)

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
            is_cut = isinstance(error, ListIncompleteError) or is_unreachable(error)
            if known is None or not is_cut:
                raise
            return replace(known, instead_of=error)
        finally:
            reading.cancel()  # a reader who goes away ends nobody's read

    def _walked(self, address: Address) -> Answer | None:
        """Return the events of a walk that has not ended as a partial list."""
        device = self.registry.devices.get(self.conn_key(address))
        events = [] if device is None else device.event_list.walked
        if device is None or not events:
            return None
        event_list = device.event_list
        value = {"events": events, "estimate_s": event_list.estimate_s()}
        reading = device.durable.new_reading(value, "partial", event_list.walk_began_mono)
        return replace(self._answer(device, reading, quality="partial"), is_complete=False)

    async def _read_directly(
        self, address: Address, name: str, read: Callable[[MiniMate], Awaitable[Payload]]
    ) -> Answer:
        """Answer from the unit and store nothing."""
        device = await self.registry.loaded_device(address)
        return await self._read_shared(device, name, lambda _: device.read_directly(read), FORCED)

    async def _read_shared(
        self,
        device: Device,
        name: str | tuple[str, int],
        read: Callable[[SharedRead[Reading]], Awaitable[Reading]],
        freshness: Freshness,
        resource: Resource | None = None,
    ) -> Answer:
        """Answer from a read that is shared with all who ask for the same, showing its progress."""
        shown = name if isinstance(name, str) else " ".join(map(str, name))
        run = partial(self._run_shared, device, shown, read)
        asked_mono = self._clock()
        try:
            for _ in range(2):
                reading, shared = await device.single_flight.ask(
                    name,
                    run,
                    forced=freshness.force,
                    max_age_s=freshness.limit_s(resource.allowed_s if resource else math.inf),
                    is_short=resource is not None and resource.is_short,
                )
                # A reader who joined late does not get a list that is proven as of its beginning
                # alone, if that was before the question.
                if not reading.is_of_beginning or reading.read_began_mono >= asked_mono:
                    break
        except Exception:
            self.registry.forget_if_unknown(device)
            raise
        ttl_s = None
        if resource is not None:
            candidate = self._candidate(resource, device.conn_key)
            ttl_s = None if candidate is None else resource.ttl_s(candidate.age_s)
        return self._answer(device, reading, shared=shared, ttl_s=ttl_s)

    async def _run_shared(
        self,
        device: Device,
        name: str,
        read: Callable[[SharedRead[Reading]], Awaitable[Reading]],
        shared_read: SharedRead[Reading],
    ) -> Reading:
        """Read, unless the device backs off; show the steps to those who follow."""
        if not shared_read.forced:
            device.back_off.check()
        shared_read.notify = partial(_report_progress, device, name)
        device.connection.on_wait = shared_read.report
        began, spent = self._clock(), device.connection.exchanges
        with _shown_progress(device, name, forced=shared_read.forced):
            reading = await read(shared_read)
        # The bill: what this read cost, whichever attempts it took.
        reading = replace(
            reading,
            exchanges=device.connection.exchanges - spent,
            took_s=self._clock() - began,
        )
        report_step(
            device.progress, "done", resource=name, why=reading.why, exchanges=reading.exchanges
        )
        return reading

    def _answer(
        self,
        device: Device,
        reading: Reading,
        *,
        shared: bool = False,
        quality: Quality | None = None,
        ttl_s: float | None = None,
    ) -> Answer:
        self.registry.served[device.conn_key].count(reading.why)
        return answer_of(
            reading,
            device.conn_key,
            self._clock(),
            self._wall,
            store_problem=self.store_service.problem_kind,
            shared=shared,
            quality=quality,
            ttl_s=ttl_s,
        )


@contextmanager
def _shown_progress(device: Device, name: str, *, forced: bool) -> Iterator[None]:
    """Show that something began, and if it failed."""
    report_step(device.progress, "begun", resource=name, forced=forced)
    try:
        yield
    except Exception as error:
        report_step(device.progress, "failed", resource=name, error=str(error))
        raise


def _report(device: Device, name: str, what: str, done: float, total: float | None) -> None:
    report_step(device.progress, "step", resource=name, what=what, done=done, total=total)


def _report_progress(device: Device, name: str, step: Progress) -> None:
    _report(device, name, step.what, step.done, step.total)


async def _read_storage_range(unit: MiniMate) -> Payload:
    return payloads.storage_range_payload(await unit.read_storage_range())


async def _read_lifetime_count(unit: MiniMate) -> Payload:
    return {"lifetime_count": await unit.read_lifetime_count()}


async def _read_call_home(unit: MiniMate) -> Payload:
    return payloads.call_home_payload(await unit.read_call_home())
