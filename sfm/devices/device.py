"""
The device actor: everything that the relay does with one unit, one thing at a time.

The rule: what a read brings is stored under the generation taken before its first byte, and under
the unit that was asked. So every read first makes sure which unit answers (``identification``), the
event list is proven by a probe before and after it is walked (``event_list``), and a waveform's
slot before and after its samples are fetched (``download``). ``durable_cache`` stores what came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import TypeVar

import structlog

from minimateplus.client import MiniMate, Pause
from minimateplus.errors import DuplicateReplyError, MemoryChangedError, MiniMateError
from minimateplus.model import MemoryProbe
from sfm.back_off import BackOff
from sfm.devices.connection import Connection, ConnectionSession
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
from sfm.devices.single_flight import SharedRead, SingleFlight
from sfm.live_cache import LiveCache
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.store import LoadedDevice
from sfm.store.service import StoreService

__all__ = ["Device", "DeviceSession"]

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Device:
    """
    Serves one unit, alone. Lives as long as the gateway; ``close`` ends its reads.

    Args:
        conn_key: names the device in the cache and in the database.
        connection: to the unit.
        cache: the live cache of all devices.
        store_service: the database.
        clock: monotonic seconds.
        single_flight: its reads, one at a time.
        wall: the time of day, UTC.
    """

    def __init__(
        self,
        conn_key: str,
        connection: Connection,
        cache: LiveCache,
        store_service: StoreService,
        clock: Callable[[], float],
        single_flight: SingleFlight,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.conn_key = conn_key
        self.connection = connection
        self.single_flight = single_flight
        self.back_off = BackOff(conn_key, clock)
        self.read_times = ReadTimes()
        self.progress = ProgressLog()
        self.is_loaded = False
        """Whether what the database knows of the device was adopted, or found to be nothing."""
        self.durable = DurableCache(conn_key, cache, store_service)
        self.identification = Identification(self.durable, clock)
        self.event_list = EventList(
            self.durable, self.identification, store_service, clock, self._pause_for
        )
        self.downloads = Downloads(
            self.durable,
            self.identification,
            self.event_list,
            store_service,
            clock,
            self._pause_for,
        )
        self._clock = clock
        self._wall = wall
        self._store_service = store_service

    async def close(self) -> None:
        """End every read and hang up."""
        self.progress.close()
        await self.single_flight.close()
        await self.connection.close()

    @property
    def serial(self) -> str | None:
        """Which unit answered last; ``None`` before the first contact."""
        return self.durable.serial

    @property
    def simulated(self) -> bool | None:
        """Whether that unit says it is a simulation; ``None`` before it was asked."""
        return self.durable.simulated

    def adopt(self, found: LoadedDevice) -> bool:
        """Take what the database knows; see ``DurableCache.adopt``."""
        is_adopted = self.durable.adopt(found)
        if is_adopted and found.serial is not None:
            self.event_list.walk = found.walk
        return is_adopted

    # --- reads ----------------------------------------------------------------------------------

    async def read_info(self, why: Why) -> Reading:
        """Read identity and setup, and store them."""
        session = self.session(is_read=True)
        while True:
            async with session as unit:
                began = self._clock()
                payload, stored = await self.identification.meet(unit)
                return self.durable.new_reading(payload, why, began, stored=stored)

    async def read_status(self, why: Why) -> Reading:
        """Read the monitor status; it is stored for as long as it is fresh from its own start."""
        session = self.session(is_read=True)
        while True:
            async with session as unit:
                await self.identification.identify(unit)
                began, generation = self._clock(), self.durable.generation
                status = await unit.read_monitor_status()
                zones, shown = self._store_service.zones, status.clock_device_time
                zone = zones.zone_at(unit.serial or "", shown)
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

    async def read_events(self, shared_read: SharedRead[Reading]) -> Reading:
        """Prove, extend or read the event list."""
        session, whole = self.session(is_read=True), False
        while True:
            try:
                async with session as unit:
                    whole = whole or shared_read.forced
                    return self._reading_of_list(
                        await self.event_list.prove(unit, shared_read, whole=whole)
                    )
            except AppendContradictedError as contradiction:
                log.info("append_contradicted", unit=self.conn_key, reason=str(contradiction))
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
        session, whole = self.session(is_read=True), False
        while True:
            try:
                async with session as unit:
                    return await self._read_waveform(unit, shared_read, index, whole=whole)
            except AppendContradictedError as contradiction:
                log.info("append_contradicted", unit=self.conn_key, reason=str(contradiction))
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
                log.info("waveform_proven_again", unit=self.conn_key)
            except MemoryChangedError as error:
                # The memory changed between probe and last byte: what came is discarded.
                log.info("waveform_discarded", unit=self.conn_key, error=str(error))
        raise memory_keeps_changing(unit)

    # --- sessions -------------------------------------------------------------------------------

    def session(self, *, is_read: bool = False) -> DeviceSession:
        """Return a session with the unit; enter it as ``ConnectionSession`` shows."""
        return DeviceSession(self, self.connection.session(is_read=is_read), is_read=is_read)

    async def run(self, operation: Callable[[MiniMate], Awaitable[T]]) -> T:
        """Return what ``operation``, which may send commands, brings from the unit."""
        session = self.session()
        while True:
            async with session as unit:
                return await operation(unit)

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

    def _pause_for(self, unit: MiniMate) -> Pause:
        """Return what lets short reads in between two steps of a long one."""
        return partial(self._pause, unit, self.serial)

    async def _pause(self, unit: MiniMate, serial: str | None) -> None:
        await self.single_flight.let_short_reads_in()
        if self.serial != serial:
            raise MemoryChangedError(f"{unit.name}: {self.serial} answers now, not {serial}")


class DeviceSession:
    """
    A session whose outcome counts for the device's back-off, log and read times.

    Entered once for each attempt, like ``ConnectionSession``. A read gets one more attempt after a
    reply that arrived twice.
    """

    def __init__(self, device: Device, session: ConnectionSession, *, is_read: bool) -> None:
        self._device = device
        self._session = session
        self._is_read = is_read
        self._is_repeated = False
        self._began_mono = 0.0

    async def __aenter__(self) -> MiniMate:
        """Return the unit; errors of ``ConnectionSession`` count against it."""
        device = self._device
        self._began_mono = device._clock()
        while True:
            try:
                unit = await self._session.__aenter__()
                break
            except MiniMateError as error:
                self._count_failure(error)
                if not self._may_repeat(error):
                    raise
        unit.volatile_offsets = device.durable.volatile_offsets
        return unit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Return whether the block is to run once more."""
        if await self._session.__aexit__(kind, error, trace):
            return True
        device = self._device
        if error is None:
            device.back_off.succeeded()
            device.read_times.add(device._clock() - self._began_mono)
        elif isinstance(error, ListIncompleteError):
            # The unit was read, and the next read continues: no back-off.
            log.warning("walk_cut", unit=device.conn_key, serial=device.serial, error=str(error))
            device.back_off.succeeded()
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
        device = self._device
        # A caller with an address where no unit ever was gets an error, and fills no log.
        write = log.warning if device.connection.is_known else log.debug
        write("session_failed", unit=device.conn_key, serial=device.serial, error=str(error))
        if is_unreachable(error):
            device.back_off.failed(error)
