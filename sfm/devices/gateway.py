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

What is cached is a unit's. Asked by serial number, it is answered whichever route it was read over.
Asked by address, it is answered if the unit named itself over that address as lately as the value
must be fresh (device info: since the relay's start); otherwise two exchanges ask who answers there.
If another unit does, the request begins anew with that one.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from minimateplus.client import MiniMate
from minimateplus.errors import NoSuchEventError
from minimateplus.link import Address, open_link
from sfm.access.egress import EgressPolicy
from sfm.access.names import unit_key
from sfm.cache.freshness import ANY, FORCED, Freshness
from sfm.devices.answer import Answer, event_answer
from sfm.devices.cached_answers import CachedAnswers
from sfm.devices.connection import Connect, Resolve, as_it_is
from sfm.devices.device import Device
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.limits import Limits
from sfm.devices.progress import ProgressLog
from sfm.devices.reading import (
    Reading,
    event_at,
    is_unreachable,
)
from sfm.devices.registry import Registry
from sfm.devices.resource import Resource, Resources
from sfm.devices.roster import UnitRoster
from sfm.devices.single_flight import (
    SharedRead,
    ShuttingDownError,
    retrieve_exception,
)
from sfm.devices.statistics import device_statistics, session_statistics
from sfm.devices.target import Target, conn_key_of
from sfm.devices.unit_access import Report, UnitAccess
from sfm.devices.verdicts import Verdicts
from sfm.errors import SfmError
from sfm.live_cache import LiveCache, Memo
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.settings import Settings
from sfm.store.service import StoreService

__all__ = ["Gateway", "NotCachedError", "as_target"]

T = TypeVar("T")

PARTIAL_WAIT_S = 2.0
"""How long a reader who takes a partial list waits for the whole one."""


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
        resolve: looks an address up before each call; by the egress policy if neither it nor
            ``connect`` is given.
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
        resolve: Resolve | None = None,
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
            resolve=resolve or (self.egress.resolve if connect is None else as_it_is),
            clock=clock,
            wall=wall,
        )
        self.roster = UnitRoster(self.settings, self.store_service, self.egress, wall=wall)
        self.registry.facts = self.roster
        self.limits = Limits(self.settings, self.store_service)
        self.verdicts = Verdicts(self.limits, self.roster, self.registry, self.store_service)
        self._resources = Resources(cache, self.settings.status_ttl_s, self.settings.validated_s)
        self._answers = CachedAnswers(
            self.registry, self._resources, self.store_service, clock, wall
        )
        self._access = UnitAccess(
            self.registry,
            self.roster,
            self.store_service,
            self._answers,
            self.settings.validated_s,
            clock,
        )
        self._alone_numbers = itertools.count(1)
        self._writers = 0
        """Commands whose end may still be written, outside the reads that ``registry`` ends."""
        self._all_written = asyncio.Event()
        self._all_written.set()
        self._clock = clock
        self._ending = False

    async def _open(self, resolved: Address) -> MiniMate:
        deadlines = self.settings.deadlines
        link = await open_link(resolved, deadlines)
        return await MiniMate.open(link, deadlines=deadlines, wake=False)

    async def close(self) -> None:
        """End every read and every session; later callers get ``ShuttingDownError``."""
        await self.registry.close()
        await self._all_written.wait()
        await self.store_service.close()

    @contextmanager
    def writing_its_end(self) -> Iterator[None]:
        """Keep the database open during the block, at whose end a command's end is written."""
        self._writers += 1
        self._all_written.clear()
        try:
            yield
        finally:
            self._writers -= 1
            if not self._writers:
                self._all_written.set()

    # --- verbs ----------------------------------------------------------------------------------

    async def info(self, target: Address | Target, freshness: Freshness = ANY) -> Answer:
        """Return identity and recording setup; from the cache until settings are written."""
        return await self._ask(target, self._resources.info, freshness)

    async def monitor_status(self, target: Address | Target, freshness: Freshness = ANY) -> Answer:
        """Return monitoring, clock, battery and memory; from the cache for 30 s."""
        return await self._ask(target, self._resources.status, freshness)

    async def events(
        self, target: Address | Target, freshness: Freshness = ANY, *, partial: bool = False
    ) -> Answer:
        """
        Return the event list, after the unit's memory was probed; new events alone are read.

        Args:
            target: an address, or what was resolved for a name or serial number.
            freshness: what the reader will take.
            partial: while the list is not whole, take what was read of it so far: of a walk that
                was cut, or of one under way that does not end within ``PARTIAL_WAIT_S``.

        Raises:
            ListIncompleteError: the walk was cut, and ``partial`` was not asked for.
        """
        asked = self._ask(target, self._resources.events, freshness)
        if not partial:
            return await asked
        return await self._or_partial(as_target(target), asked)

    def with_present_facts(self, answer: Answer) -> Answer:
        """Return a list's answer with the verdicts of now: noting its contact may change them."""
        serial = answer.provenance.serial
        device = None if serial is None else self.registry.devices.get(unit_key(serial))
        facts = None if device is None else device.durable.facts_of(answer.provenance.epoch)
        return answer if facts is None else replace(answer, facts=facts)

    async def event(
        self,
        target: Address | Target,
        index: int,
        freshness: Freshness = ANY,
        *,
        partial: bool = False,
    ) -> Answer:
        """
        Return one event of the list, proven as the list is; ``partial`` as with ``events``.

        Raises:
            NoSuchEventError: the list has no such index.
            ListIncompleteError: the list is not whole, and was not read as far as that.
        """
        name = as_target(target).name
        answer = await self.events(target, freshness, partial=partial)
        if not answer.is_complete:
            events = answer.value["events"]
            if index >= len(events):
                raise ListIncompleteError(
                    f"{name}: event {index} was not read yet; {len(events)} were",
                    len(events),
                    answer.value["estimate_s"],
                )
            picked = event_at(events, index, name)
            return replace(answer, produce=lambda: picked, memo=Memo())
        try:
            return event_answer(answer, index, name)
        except NoSuchEventError as absent:
            # A list that was not proven cannot show that an event is absent.
            if answer.instead_of is not None:
                raise answer.instead_of from absent
            if answer.provenance.quality in ("unchecked", "not_verified_since_restart"):
                raise NotCachedError(f"{name}: event {index} was never read") from absent
            raise

    async def waveform(
        self, target: Address | Target, index: int, freshness: Freshness = ANY
    ) -> Answer:
        """
        Return the waveform in a slot, its slot proven lately or now.

        Raises:
            NoSuchEventError: the list has no such index.
        """
        return await self._ask(target, self._resources.waveform(index), freshness)

    async def storage_range(self, target: Address | Target) -> Answer:
        """Return the keys of first and last event; always from the unit."""
        return await self._read_directly(target, "storage_range", _read_storage_range)

    async def lifetime_count(self, target: Address | Target) -> Answer:
        """Return the lifetime event counter; always from the unit."""
        return await self._read_directly(target, "lifetime_count", _read_lifetime_count)

    async def call_home(self, target: Address | Target) -> Answer:
        """Return when and whom the unit calls by itself; always from the unit."""
        return await self._read_directly(target, "call_home", _read_call_home)

    async def run_alone(
        self,
        target: Address | Target,
        name: str,
        act: Callable[[Device, Report], Awaitable[T]],
    ) -> T:
        """
        Let ``act`` have a unit's connection for itself; for what is done once and never shared.

        It waits for its turn like every read. If its caller is gone before that, it does not
        happen (``BusyError``); once begun, it is finished whether or not the caller stays. If it
        finds another unit (``OtherUnitError``), it is called once more, with that one's device.

        Args:
            target: an address, or what was resolved for a name or serial number.
            name: for those who follow the progress.
            act: is given the device, and what reports steps: what, how many, of how many.
        """
        target = as_target(target)
        key = (name, next(self._alone_numbers))

        async def attempt(device: Device) -> T:
            run: Callable[[SharedRead[T]], Awaitable[T]] = partial(
                self._access.run_alone, target, device, name, act
            )
            done, _ = await device.single_flight.ask(key, run, forced=True)
            return done

        await self._access.load(target)
        return await self._access.with_its_device(target, attempt, is_read=False)

    async def drop(self, target: Address | Target, reason: str) -> None:
        """
        Forget everything cached for a unit, archive excepted; the next reader asks the unit.

        Raises:
            StoreError: memory has forgotten; the database could not, and may bring it back.
        """
        target = as_target(target)
        await self._access.load(target)
        device = self.registry.known_device(target)
        if device is not None:
            await device.durable.forget(reason)

    # --- progress -------------------------------------------------------------------------------

    def progress(self, target: Address | Target) -> ProgressLog:
        """Return the steps of that unit's reads, to follow; see ``stopped_following``."""
        if self._ending:
            raise ShuttingDownError("the relay is shutting down")
        target = as_target(target)
        device = self.registry.device_for(target)
        self._access.check_permitted(target, device)
        return device.progress

    def stopped_following(self, target: Address | Target) -> None:
        """Forget an address that was only followed and where nothing ever answered."""
        self.registry.forget_if_unknown(as_target(target))

    @property
    def is_ending(self) -> bool:
        """Whether the relay is shutting down."""
        return self._ending

    def end_streams(self) -> None:
        """End every stream of progress: the relay is about to stop."""
        self._ending = True
        for device in self.registry.every_device():
            device.progress.close()

    # --- without the device ---------------------------------------------------------------------

    def cached_info(self, target: Target, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``info`` would answer without asking the unit, if it would."""
        return self._answers.find(target, self._resources.info, freshness)

    def cached_monitor_status(self, target: Target, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``monitor_status`` would answer without asking the unit, if it would."""
        return self._answers.find(target, self._resources.status, freshness)

    def cached_events(self, target: Target, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``events`` would answer without asking the unit, if it would."""
        return self._answers.find(target, self._resources.events, freshness)

    def cached_event(self, target: Target, index: int, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``event`` would answer without asking the unit, if it would."""
        answer = self._answers.find(target, self._resources.events, freshness)
        return None if answer is None else event_answer(answer, index, target.name)

    def cached_waveform(
        self, target: Target, index: int, freshness: Freshness = ANY
    ) -> Answer | None:
        """Return what ``waveform`` would answer without asking the unit, if it would."""
        return self._answers.find(target, self._resources.waveform(index), freshness)

    def stats(self) -> Payload:
        """Return what the cache contains and what the connections cost; touches no device."""
        return {
            "cache": self.cache.stats(),
            "store": self.store_service.state(),
            "devices": {one.key: device_statistics(one) for one in self.registry.every_device()},
        }

    def keys(self) -> list[str]:
        """Return the key of every unit or route that is read, or for which anything is cached."""
        read = (device.key for device in self.registry.every_device())
        return list(dict.fromkeys([*read, *self.cache.known_devices()]))

    def device_stats(self, key: str) -> Payload | None:
        """Return the part of ``stats`` that is about one key; ``None``: it is not read."""
        route = self.registry.routes.get(key)
        device = self.registry.devices.get(key) or (route.device if route is not None else None)
        return None if device is None or device.key != key else device_statistics(device)

    def session_stats(self) -> dict[str, Payload]:
        """Return how many sessions are open and wait, with units and with unknown addresses."""
        return session_statistics(self.registry)

    @staticmethod
    def conn_key(address: Address) -> str:
        """Return the key of a route."""
        return conn_key_of(address)

    # --- how an answer is made ------------------------------------------------------------------

    async def _ask(
        self, which: Address | Target, resource: Resource, freshness: Freshness
    ) -> Answer:
        """Answer from what is cached if that is good enough; else from the next read."""
        target, asked_mono = as_target(which), self._clock()
        # 1. From memory.
        if (hit := self._answers.find(target, resource, freshness)) is not None:
            return hit
        # 2. From disk.
        loaded = None
        if self.store_service.has_store:
            await self._access.load(target)
            known = self.registry.known_device(target)
            if known is not None and resource.index is not None:
                loaded = await self.registry.load_waveform(
                    known, resource.index, _flight(resource, target), forced=freshness.force
                )
            hit = self._answers.find(target, resource, freshness, loaded)
            if hit is not None:
                return hit
        if freshness.only_if_cached:
            raise NotCachedError(
                f"{target.name}: nothing is cached that is fresh enough, "
                "and the unit was not to be asked"
            )

        # 3. From the unit, in a read that all who ask for the same share.
        async def attempt(device: Device) -> Answer:
            read = partial(self._read_unless_cached, target, device, resource)
            return await self._access.read_shared(
                target, device, resource.name, read, freshness, asked_mono, resource
            )

        try:
            return await self._access.with_its_device(target, attempt)
        except Exception as error:
            # 4. From what is cached after all, where the reader takes that after a failure.
            last = self._answers.last_known(target, resource, freshness, loaded, error)
            if last is None:
                raise
            return last

    async def _read_unless_cached(
        self,
        target: Target,
        device: Device,
        resource: Resource,
        shared_read: SharedRead[Reading],
    ) -> Reading:
        """Return what the read before this one brought, if it is good enough; else read."""
        wanted = Freshness(force=shared_read.forced, max_age_s=shared_read.max_age_s)
        if self._answers.is_good_enough(resource, device, wanted):
            if not self._answers.is_contact_good_enough(target, device, resource, wanted):
                await device.identify()  # two exchanges: does the address lead to that unit still?
            # All that takes time comes before the age is judged, noting who answered as well.
            await self.registry.note_contacts()
            candidate = self._answers.candidate(resource, device.key)
            if candidate is not None and candidate.serves(wanted, resource.allowed_s):
                return device.durable.reading_of(candidate.entry, "hit", candidate.proven_mono)
        return await resource.read(device, shared_read)

    async def _or_partial(self, target: Target, asked: Coroutine[Any, Any, Answer]) -> Answer:
        """Return the whole list if it comes soon; else what is known of it. The read goes on."""
        reading = asyncio.create_task(asked)
        reading.add_done_callback(retrieve_exception)
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=PARTIAL_WAIT_S)
                if not reading.done() and (known := self._answers.walked(target)) is not None:
                    return known
            return reading.result()
        except Exception as error:
            known = self._answers.walked(target)
            is_cut = isinstance(error, ListIncompleteError) or is_unreachable(error)
            if known is None or not is_cut:
                raise
            return replace(known, instead_of=error)
        finally:
            reading.cancel()  # a reader who goes away ends nobody's read

    async def _read_directly(
        self,
        which: Address | Target,
        name: str,
        read: Callable[[MiniMate], Awaitable[Payload]],
    ) -> Answer:
        """Answer from the unit and store nothing."""
        target, asked_mono = as_target(which), self._clock()
        await self._access.load(target)

        async def attempt(device: Device) -> Answer:
            return await self._access.read_shared(
                target, device, name, lambda _: device.read_directly(read), FORCED, asked_mono
            )

        return await self._access.with_its_device(target, attempt)


def as_target(which: Address | Target) -> Target:
    """Return what an address asks for; a target as it is."""
    return which if isinstance(which, Target) else Target.at(which)


def _flight(resource: Resource, target: Target) -> Hashable:
    """Return what readers have in common who share a read."""
    return (resource.name, *target.flight)


async def _read_storage_range(unit: MiniMate) -> Payload:
    return payloads.storage_range_payload(await unit.read_storage_range())


async def _read_lifetime_count(unit: MiniMate) -> Payload:
    return {"lifetime_count": await unit.read_lifetime_count()}


async def _read_call_home(unit: MiniMate) -> Payload:
    return payloads.call_home_payload(await unit.read_call_home())
