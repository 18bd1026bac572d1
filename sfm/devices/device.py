"""
The device actor: everything that the relay does with one unit, one thing at a time.

The rule: what a read brings is stored under the generation taken before its first byte, and under
the unit that was asked. So every read first makes sure which unit answers (``identification``), the
event list is proven by a probe before and after it is walked (``event_list``), and a waveform's
slot before and after its samples are fetched (``download``). ``durable_cache`` stores what came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import structlog

from minimateplus.client import MiniMate, Pause
from minimateplus.errors import DuplicateReplyError, MemoryChangedError, MiniMateError
from minimateplus.model import MemoryProbe
from sfm.back_off import BackOff
from sfm.devices.connection import Connection
from sfm.devices.download import Downloads
from sfm.devices.durable_cache import DurableCache, FencedError
from sfm.devices.event_list import AppendContradictedError, EventList, ListIncompleteError
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

__all__ = ["Device"]

T = TypeVar("T")
P = ParamSpec("P")

log = structlog.get_logger(__name__)


class Device:
    """
    Talks to one unit, alone. Lives as long as the gateway; ``close`` ends its reads.

    Args:
        conn_key: names the device in the cache and in the database.
        connection: to the unit.
        cache: the live cache of all devices.
        store_service: the database.
        clock: monotonic seconds.
        single_flight: its reads, one at a time.
        wall: the time of day, UTC.
        zones: of units' clocks, by serial number; ``*`` for all others.
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
        zones: Mapping[str, ZoneInfo] | None = None,
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
        self._zones = zones or {}

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
        return await self._read(self._read_info, why)

    async def _read_info(self, unit: MiniMate, why: Why) -> Reading:
        began = self._clock()
        payload, stored = await self.identification.meet(unit)
        return self.durable.new_reading(payload, why, began, stored=stored)

    async def read_status(self, why: Why) -> Reading:
        """Read the monitor status; it is stored for as long as it is fresh from its own start."""
        return await self._read(self._read_status, why)

    async def _read_status(self, unit: MiniMate, why: Why) -> Reading:
        await self.identification.identify(unit)
        began, generation = self._clock(), self.durable.generation
        status = await unit.read_monitor_status()
        zone = self._zones.get(unit.serial or "", self._zones.get("*"))
        payload = payloads.status_payload(status, self._wall(), zone)
        stored = self.durable.save_status(payload, generation, began)
        return self.durable.new_reading(payload, why, began, stored=stored)

    async def read_directly(self, operation: Callable[[MiniMate], Awaitable[Payload]]) -> Reading:
        """Read something that is not stored."""
        return await self._read(self._read_directly, operation)

    async def _read_directly(
        self, unit: MiniMate, operation: Callable[[MiniMate], Awaitable[Payload]]
    ) -> Reading:
        await self.identification.identify(unit)
        began = self._clock()
        return self.durable.new_reading(await operation(unit), "miss", began)

    async def read_events(self, shared_read: SharedRead[Reading]) -> Reading:
        """Prove, extend or read the event list."""
        try:
            return await self._read(self._read_events, shared_read, shared_read.forced)
        except AppendContradictedError as contradiction:
            log.info("append_contradicted", unit=self.conn_key, reason=str(contradiction))
        return await self._read(self._read_events, shared_read, True)

    async def _read_events(
        self, unit: MiniMate, shared_read: SharedRead[Reading], whole: bool
    ) -> Reading:
        proven = await self.event_list.prove(unit, shared_read, whole=whole or shared_read.forced)
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
        try:
            return await self._read(self._read_waveform, shared_read, index, False)
        except AppendContradictedError as contradiction:
            log.info("append_contradicted", unit=self.conn_key, reason=str(contradiction))
        return await self._read(self._read_waveform, shared_read, index, True)

    async def _read_waveform(
        self, unit: MiniMate, shared_read: SharedRead[Reading], index: int, whole: bool
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

    async def _read(
        self,
        operation: Callable[Concatenate[MiniMate, P], Awaitable[Reading]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Reading:
        """Run a read in a session; record its exchanges and duration in what it brings."""
        began, spent = self._clock(), self.connection.exchanges

        def read(unit: MiniMate) -> Awaitable[Reading]:
            return operation(unit, *args, **kwargs)

        try:
            reading = await self.run(read, is_read=True)
        except DuplicateReplyError as error:
            log.info("read_tried_once_more", unit=self.conn_key, reason=str(error))
            reading = await self.run(read, is_read=True)
        took_s = self._clock() - began
        return replace(reading, exchanges=self.connection.exchanges - spent, took_s=took_s)

    # --- sessions -------------------------------------------------------------------------------

    async def run(
        self, operation: Callable[[MiniMate], Awaitable[T]], *, is_read: bool = False
    ) -> T:
        """
        Return what ``operation`` brings from the unit; the caller holds the connection's lock.

        Its outcome counts for the back-off. (It is a function and not the body of a ``with``,
        because ``Connection.run`` runs it once more where a kept link turns out to be dead.)
        """
        began = self._clock()
        try:
            result = await self.connection.run(partial(self._prepared, operation), is_read=is_read)
        except ListIncompleteError as error:
            # The unit was read, and the next read continues: no back-off.
            log.warning("walk_cut", unit=self.conn_key, serial=self.serial, error=str(error))
            self.back_off.succeeded()
            raise
        except MiniMateError as error:
            # A caller with an address where no unit ever was gets an error, and fills no log.
            write = log.warning if self.connection.is_known else log.debug
            write("session_failed", unit=self.conn_key, serial=self.serial, error=str(error))
            if is_unreachable(error):
                self.back_off.failed(error)
            raise
        self.back_off.succeeded()
        self.read_times.add(self._clock() - began)
        return result

    async def _prepared(self, operation: Callable[[MiniMate], Awaitable[T]], unit: MiniMate) -> T:
        unit.volatile_offsets = self.durable.volatile_offsets
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
