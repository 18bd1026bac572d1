"""
The device actor: everything that the relay does with one unit, one thing at a time.

The rule: what a read brings is stored under the generation taken before its first byte, and under
the unit that was asked. So every read first makes sure which unit answers (``identification``), the
event list is proven by a probe before and after it is walked (``event_list``), and a waveform's
slot before and after its samples are fetched (``download``). ``durable_cache`` stores what came.

A unit may be reached over several routes. It has one lock, so its sessions follow one another
whatever they go over; a session takes the first of its routes that answers (``DeviceSession``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Protocol, TypeVar

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import DuplicateReplyError, MemoryChangedError, MiniMateError
from minimateplus.link import Address
from minimateplus.model import MemoryProbe, Progress
from sfm.devices.connection import ConnectionSession, Named, Usage
from sfm.devices.download import Downloads
from sfm.devices.durable_cache import DurableCache, FencedError
from sfm.devices.event_list import (
    AppendContradictedError,
    EventList,
    ListIncompleteError,
    ProvenList,
)
from sfm.devices.identification import Identification
from sfm.devices.progress import ProgressLog
from sfm.devices.reading import (
    ATTEMPTS_WHILE_CHANGING,
    Reading,
    ReadTimes,
    Why,
    is_unreachable,
    memory_keeps_changing,
)
from sfm.devices.route import OtherUnitError, Route
from sfm.devices.single_flight import SharedRead, SingleFlight, joins_closed, joins_open
from sfm.live_cache import LiveCache
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.store import LoadedDevice
from sfm.store.service import StoreService

__all__ = ["Contacts", "Device", "DeviceSession", "ServedCounts"]

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Contacts(Protocol):
    """What devices need to know of one another; ``sfm.devices.registry`` has it."""

    def met(
        self, device: Device, route: Route, serial: str, at_mono: float, simulated: bool | None
    ) -> None:
        """Note which unit answered; raise ``OtherUnitError`` if it is not the device's."""

    def check_endpoint(self, device: Device, route: Route, resolved: Address) -> None:
        """Raise ``OtherUnitError`` if another unit answered there last, under whatever name."""

    def is_talked_to(self, serial: str) -> bool:
        """Return whether a session with that unit is under way."""


class ServedCounts:
    """How one unit's readers were served."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses: dict[str, int] = {}

    def count(self, why: Why) -> None:
        """Count one answer."""
        if why == "hit":
            self.hits += 1
        else:
            self.misses[why] = self.misses.get(why, 0) + 1


class Device:
    """
    Serves one unit, alone. Lives as long as the gateway; ``close`` ends its reads.

    Before the first contact over a route nobody knows its unit. Until then the route has a device
    without a unit: its reads end with ``OtherUnitError`` as soon as they know the serial number.

    Args:
        key: names the unit in the cache and in the database; without a unit, the route's key.
        serial: the unit's serial number; ``None``: a device without a unit.
        cache: the live cache of all devices.
        store_service: the database.
        clock: monotonic seconds.
        single_flight: its reads, one at a time.
        contacts: notes who answers.
        wall: the time of day, UTC.
    """

    def __init__(
        self,
        key: str,
        serial: str | None,
        cache: LiveCache,
        store_service: StoreService,
        clock: Callable[[], float],
        single_flight: SingleFlight,
        contacts: Contacts,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.key = key
        self.serial = serial
        """Which unit it serves; ``None`` before the first contact."""
        self.single_flight = single_flight
        self.routes: dict[str, Route] = {}
        """Those that lead to the unit, as far as is known; by their keys."""
        self.usage = Usage()
        """What its sessions have cost."""
        self.read_times = ReadTimes()
        self.served = ServedCounts()
        self.progress = ProgressLog()
        self.on_wait: Callable[[Progress], None] | None = None
        """Called with each step of a wait that is longer than usual."""
        self.is_loaded = False
        """Whether what the database knows of the unit was adopted, or found to be nothing."""
        self.durable = DurableCache(key, serial, cache, store_service)
        self.identification = Identification(
            self.durable, clock, self._met, self._just_named, self._keep_name
        )
        self.event_list = EventList(
            self.durable, self.identification, store_service, clock, self._pause
        )
        self.downloads = Downloads(
            self.durable,
            self.identification,
            self.event_list,
            store_service,
            clock,
            self._pause,
        )
        self._candidates: list[Route] = []
        """Routes that the present read may use, the preferred one first."""
        self._in_use: Route | None = None
        """The route of the session under way."""
        self._last_used: Route | None = None
        self._clock = clock
        self._wall = wall
        self._store_service = store_service
        self._contacts = contacts

    async def close(self) -> None:
        """End every read; the registry hangs up."""
        self.progress.close()
        await self.single_flight.close()

    @property
    def simulated(self) -> bool | None:
        """Whether the unit says it is a simulation; ``None`` before it was asked."""
        return self.durable.simulated

    @property
    def is_in_session(self) -> bool:
        """Whether a session with the unit is under way."""
        return self._in_use is not None

    @property
    def conn_key(self) -> str:
        """The key of the route in use, or of the one that was used last."""
        route = self._in_use or self._last_used or next(iter(self.routes.values()), None)
        return self.key if route is None else route.conn_key

    def restart_progress(self) -> None:
        """End all who follow the progress: they are to ask anew which unit they follow."""
        self.progress.close()
        self.progress = ProgressLog()

    # --- routes ---------------------------------------------------------------------------------

    def may_join_session(self, conn_keys: Sequence[str]) -> bool:
        """Return whether a short read may use the session under way: it goes over its route."""
        return self._in_use is None or not conn_keys or self._in_use.conn_key in conn_keys

    def choose_routes(self, routes: Sequence[Route], *, forced: bool) -> None:
        """
        Choose the routes of the read that begins; the caller has the device's turn.

        Args:
            routes: those that were asked for, the preferred one first.
            forced: also those that back off, behind the others.

        Raises:
            OtherUnitError: all lead to other units by now.
            BackingOffError: all of them back off.
        """
        if self._in_use is not None:
            return  # a short read between two steps of a long one: in its session
        mine = [route for route in routes if route.device is self or route.device.serial is None]
        if not mine:
            raise self._moved(routes[0])
        live = [route for route in mine if not route.back_off.is_backing_off]
        if not live and not forced:
            mine[0].back_off.check()
        resting = [route for route in mine if route not in live]
        self._candidates = [*live, *resting] if forced else live

    @staticmethod
    def _moved(route: Route) -> OtherUnitError:
        serial = route.device.serial or ""
        return OtherUnitError(f"{route.conn_key}: unit {serial} answers there", serial)

    async def hang_up_others(self, route: Route) -> None:
        """Hang up on every other route of the unit: one session at a time (promise 7)."""
        for other in [one for one in self.routes.values() if one is not route]:
            if other.connection.is_connected:
                async with other.connection.lock:
                    await other.connection.hang_up()

    def _met(self, serial: str, at_mono: float, simulated: bool | None) -> None:
        assert self._in_use is not None
        self._contacts.met(self, self._in_use, serial, at_mono, simulated)

    def _just_named(self, unit: MiniMate) -> tuple[str, float] | None:
        connection = self._in_use.connection if self._in_use is not None else None
        if connection is None or connection.named is None:
            return None
        named, connection.named = connection.named, None
        is_last = named.unit is unit and named.exchanges == unit.exchanges
        return (named.serial, named.began_mono) if is_last else None

    def forget_names(self, before_mono: float) -> None:
        """Forget serial numbers that were asked for earlier: the next read asks for them anew."""
        for route in self._candidates:
            named = route.connection.named
            if named is not None and named.began_mono < before_mono:
                route.connection.named = None

    def _keep_name(self, unit: MiniMate, serial: str, began_mono: float) -> None:
        assert self._in_use is not None
        self._in_use.connection.named = Named(unit, unit.exchanges, serial, began_mono)

    def note_success(self) -> None:
        """Note that the unit was read over the route used last, though the read was cut."""
        if self._last_used is not None:
            self._last_used.back_off.succeeded()

    def adopt(self, found: LoadedDevice) -> bool:
        """Take what the database knows; see ``DurableCache.adopt``."""
        is_adopted = self.durable.adopt(found)
        if is_adopted and found.serial is not None:
            self.event_list.walk = found.walk
        return is_adopted

    # --- reads ----------------------------------------------------------------------------------

    async def read_info(self, shared_read: SharedRead[Reading]) -> Reading:
        """Read identity and setup, and store them."""
        session, why = self.session(shared_read=shared_read), _why(shared_read)
        while True:
            async with session as unit:
                payload, stored, began = await self.identification.meet(unit)
                return self.durable.new_reading(payload, why, began, stored=stored)

    async def read_status(self, shared_read: SharedRead[Reading]) -> Reading:
        """Read the monitor status; it is stored for as long as it is fresh from its own start."""
        session, why = self.session(shared_read=shared_read), _why(shared_read)
        while True:
            async with session as unit:
                await self.identification.identify(unit)
                began, generation = self._clock(), self.durable.generation
                status = await unit.read_monitor_status()
                zones, shown = self._store_service.zones, status.clock_device_time
                zone = zones.zone_at(self.serial or "", shown)
                payload = payloads.status_payload(status, self._wall(), zone)
                stored = self.durable.save_status(payload, generation, began)
                return self.durable.new_reading(payload, why, began, stored=stored)

    async def read_directly(self, operation: Callable[[MiniMate], Awaitable[Payload]]) -> Reading:
        """Read something that is not stored."""
        session = self.session(is_read=True)
        while True:
            async with session as unit:
                await self.identification.identify(unit)
                began = self._clock()
                return self.durable.new_reading(await operation(unit), "miss", began)

    async def read_name(self, _: SharedRead[Reading]) -> Reading:
        """Read the serial number alone; raises ``OtherUnitError`` if it is another unit's."""
        began = self._clock()
        await self.identify()
        return self.durable.new_reading(self.serial, "miss", began)

    async def read_events(self, shared_read: SharedRead[Reading]) -> Reading:
        """Prove, extend or read the event list."""
        session, whole = self.session(shared_read=shared_read), False
        while True:
            try:
                async with session as unit:
                    whole = whole or shared_read.forced
                    return self._reading_of_list(
                        await self.event_list.prove(unit, shared_read, whole=whole)
                    )
            except AppendContradictedError as contradiction:
                log.info("append_contradicted", unit=self.key, reason=str(contradiction))
                whole = True  # and then nothing is appended that could be contradicted

    def _reading_of_list(self, proven: ProvenList) -> Reading:
        if proven.entry is not None:
            reading = self.durable.reading_of(proven.entry)
        else:
            reading = self.durable.new_reading(
                proven.events, proven.why, proven.began_mono, stored=proven.stored
            )
        return replace(
            reading,
            checked_mono=proven.proven_mono,
            recorded_since=proven.recorded_since,
            is_of_beginning=bool(proven.recorded_since),
        )

    async def read_waveform(self, shared_read: SharedRead[Reading], index: int) -> Reading:
        """Prove the slot, then answer from the cache or download its samples."""
        session, whole = self.session(shared_read=shared_read), False
        while True:
            try:
                async with session as unit:
                    return await self._read_waveform(unit, shared_read, index, whole=whole)
            except AppendContradictedError as contradiction:
                log.info("append_contradicted", unit=self.key, reason=str(contradiction))
                whole = True  # and then nothing is appended that could be contradicted

    async def _read_waveform(
        self, unit: MiniMate, shared_read: SharedRead[Reading], index: int, *, whole: bool
    ) -> Reading:
        for _ in range(ATTEMPTS_WHILE_CHANGING):
            proven = await self.event_list.prove(unit, None, whole=whole)
            event = proven.event(index, self.conn_key)
            entry = None
            if not shared_read.forced:
                entry = await self.durable.load_waveform(index, is_proven=True)
            if entry is not None:
                return self.durable.reading_of(entry, checked_mono=proven.proven_mono)
            try:
                return await self.downloads.download(
                    unit, event, proven.probe, shared_read, whole=whole
                )
            except FencedError:
                log.info("waveform_proven_again", unit=self.key)
            except MemoryChangedError as error:
                # The memory changed between probe and last byte: what came is discarded.
                log.info("waveform_discarded", unit=self.key, error=str(error))
        raise memory_keeps_changing(unit)

    # --- sessions -------------------------------------------------------------------------------

    async def identify(self) -> None:
        """
        Find out whether the unit still answers over the chosen route.

        Raises:
            OtherUnitError: another one does.
        """
        session = self.session(is_read=True)
        while True:
            async with session as unit:
                await self.identification.name(unit)
                return

    def session(
        self, *, is_read: bool = False, shared_read: SharedRead[Reading] | None = None
    ) -> DeviceSession:
        """
        Return a session with the unit; enter it as ``ConnectionSession`` shows.

        Args:
            is_read: no command is sent in it.
            shared_read: the read that it is for, which more readers may join until it begins.
        """
        return DeviceSession(self, is_read=is_read, shared_read=shared_read)

    async def run(self, operation: Callable[[MiniMate], Awaitable[T]]) -> T:
        """Return what ``operation``, which may send commands, brings from the unit."""
        session = self.session()
        while True:
            async with session as unit:
                return await operation(unit)

    async def run_without_wake(self, operation: Callable[[MiniMate], Awaitable[T]]) -> T:
        """Run ``operation`` on the preferred route as ``Connection.run_without_wake`` does."""
        route = self._candidates[0]
        await self.hang_up_others(route)
        async with route.connection.lock:
            self._use(route)
            try:
                return await route.connection.run_without_wake(operation)
            finally:
                self._in_use = None

    async def hang_up(self) -> None:
        """Hang up on the route that was used last."""
        if (route := self._last_used) is not None:
            async with route.connection.lock:
                await route.connection.hang_up()

    def _use(self, route: Route) -> None:
        """Let the session that begins go over a route, whose connection is locked."""
        self._in_use = self._last_used = route
        self.durable.route = route.conn_key
        route.connection.usage = self.usage
        route.connection.on_wait = self.on_wait
        route.connection.check_endpoint = partial(self._contacts.check_endpoint, self, route)

    async def walk_memory(
        self, unit: MiniMate, on_event: Callable[[int], None]
    ) -> tuple[list[Payload], MemoryProbe]:
        """
        Walk the whole memory, for what destroys it; return the list and the probe that proves it.

        No list from before is relied on, and nothing may be recorded meanwhile.

        Raises:
            ListIncompleteError: the link could not carry the walk.
            MemoryChangedError: the unit recorded during it, or was erased.
        """
        shared_read = SharedRead[Reading]("erase", notify=lambda step: on_event(step.done))
        proven = await self.event_list.prove(unit, shared_read, whole=True, is_steady=True)
        return proven.events, proven.probe

    async def _pause(self) -> None:
        """Let short reads in between two steps of a long one."""
        await self.single_flight.let_short_reads_in()
        # A short read may have met another unit in this session.
        if self._in_use is not None and self._in_use.device is not self:
            raise self._moved(self._in_use)


def _why(shared_read: SharedRead[Reading]) -> Why:
    return "request" if shared_read.forced else "miss"


class DeviceSession:
    """
    A session with a unit, over the first of the chosen routes that answers.

    Its outcome counts for the route's back-off, the log and the read times. Entered once for each
    attempt, like ``ConnectionSession``. A read gets one more attempt after a reply that arrived
    twice. Between two steps of a long read it is a part of that one's session.

    The wait for it may be long: for a slot, for an endpoint that is in use under another name.
    Nothing was read before it begins, so until then readers may join the read that it is for.
    """

    def __init__(
        self, device: Device, *, is_read: bool, shared_read: SharedRead[Reading] | None
    ) -> None:
        self._device = device
        self._is_read = is_read or shared_read is not None
        self._shared_read = shared_read
        if shared_read is not None:
            shared_read.can_join_late = joins_open
        self._is_repeated = False
        self._began_mono = 0.0
        self._routes: list[Route] = []
        """Those not tried yet."""
        self._route: Route | None = None
        self._session: ConnectionSession | None = None
        """Over that route; entered again when the block is run once more."""
        self._is_part = False
        """Whether it is part of another one, which is under way."""

    async def __aenter__(self) -> MiniMate:
        """
        Return the unit.

        Raises:
            MiniMateError: the unit cannot be reached over any of the routes; of the last of them.
            BusyError: no slot was free within the queue time.
        """
        device = self._device
        self._began_mono = device._clock()
        if self._session is None:
            self._routes = list(device._candidates)
            self._is_part, self._route = device._in_use is not None, device._in_use
        if self._is_part:
            assert self._route is not None
            self._session = self._session or self._route.connection.session(is_read=self._is_read)
            unit = await self._session.__aenter__()
        else:
            unit = await self._first_that_answers()
        if self._shared_read is not None:
            self._shared_read.can_join_late = joins_closed
        unit.volatile_offsets = device.durable.volatile_offsets
        return unit

    async def _first_that_answers(self) -> MiniMate:
        while True:
            if self._route is None:
                await self._take_next_route()
            assert self._session is not None
            try:
                return await self._session.__aenter__()
            except MiniMateError as error:
                self._count_failure(error)
                if self._may_repeat(error):
                    continue
                self._leave_route()
                if not (self._routes and is_unreachable(error)):
                    raise
                log.info("next_route", unit=self._device.key, reason=str(error))
            except BaseException:
                self._leave_route()
                raise

    async def _take_next_route(self) -> None:
        device = self._device
        while True:
            route = self._routes.pop(0)
            # No lock is waited for while another is held: first the other links, then this one.
            await device.hang_up_others(route)
            await route.connection.lock.acquire()
            if route.device is device or route.device.serial is None:
                break
            route.connection.lock.release()
            if not self._routes:
                raise device._moved(route)
        self._route = route
        self._session = route.connection.session(is_read=self._is_read)
        device._use(route)

    def _leave_route(self) -> None:
        route, self._route, self._session = self._route, None, None
        if route is not None and not self._is_part:
            self._device._in_use = None
            route.connection.lock.release()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Return whether the block is to run once more."""
        assert self._session is not None
        assert self._route is not None
        is_over = True
        try:
            is_over = not await self._session.__aexit__(kind, error, trace)
            if is_over:
                is_over = not await self._judge(error)
        finally:
            if is_over:
                self._leave_route()
        return not is_over

    async def _judge(self, error: BaseException | None) -> bool:
        """Count the outcome; return whether the block is to run once more."""
        device, route = self._device, self._route
        assert route is not None
        if error is None:
            route.back_off.succeeded()
            device.read_times.add(device._clock() - self._began_mono)
        elif isinstance(error, OtherUnitError):
            route.back_off.succeeded()
            if not self._is_part and device._contacts.is_talked_to(error.serial):
                await route.connection.hang_up()
        elif isinstance(error, ListIncompleteError):
            # The unit was read, and the next read continues: no back-off.
            log.warning("walk_cut", unit=device.conn_key, serial=device.serial, error=str(error))
            route.back_off.succeeded()
        elif isinstance(error, MiniMateError):
            self._count_failure(error)
            return self._may_repeat(error)
        return False

    def _may_repeat(self, error: MiniMateError) -> bool:
        """Return whether a read gets one more attempt; at most once for each session."""
        if self._is_repeated or not (self._is_read and isinstance(error, DuplicateReplyError)):
            return False
        log.info("read_tried_once_more", unit=self._device.conn_key, reason=str(error))
        self._is_repeated = True
        return True

    def _count_failure(self, error: MiniMateError) -> None:
        device, route = self._device, self._route
        assert route is not None
        # A caller with an address where no unit ever was gets an error, and fills no log.
        write = log.warning if route.connection.is_known else log.debug
        write("session_failed", unit=route.conn_key, serial=device.serial, error=str(error))
        if is_unreachable(error):
            route.back_off.failed(error)
