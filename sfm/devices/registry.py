"""
The devices: one actor for each address that answered, made when it is first asked for.

A device whose first contact fails is forgotten, so that wrong addresses cost no memory. What the
database knows of a device is loaded before its first read, once for all who ask meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from minimateplus.link import Address
from sfm.access.egress import EgressPolicy
from sfm.back_off import BackingOffError
from sfm.devices.connection import Connect, Connection
from sfm.devices.device import Device
from sfm.devices.reading import Why
from sfm.devices.session_limit import SessionLimit
from sfm.devices.single_flight import ShuttingDownError, SingleFlight, retrieve_exception
from sfm.live_cache import CacheEntry, LiveCache
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store.service import StoreService

__all__ = ["Registry", "ServedCounts"]

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Lookup:
    """A lookup in the database, and how many readers have not continued after it yet."""

    task: asyncio.Task[Any]
    waiting: int = 0
    all_continued: asyncio.Event = field(default_factory=asyncio.Event)


class ServedCounts:
    """How one device's readers were served."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses: dict[str, int] = {}

    def count(self, why: Why) -> None:
        """Count one answer."""
        if why == "hit":
            self.hits += 1
        else:
            self.misses[why] = self.misses.get(why, 0) + 1


class Registry:
    """
    Every device that ever answered. Lives as long as the gateway, which closes it.

    Args:
        cache: the live cache of all devices.
        settings: deadlines and times.
        store_service: the database.
        egress: what is registered, and may be connected to.
        connect: opens a session.
        clock: monotonic seconds.
        wall: the time of day, UTC.
    """

    def __init__(
        self,
        cache: LiveCache,
        settings: Settings,
        *,
        store_service: StoreService,
        egress: EgressPolicy,
        connect: Connect,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self.connect = connect
        self.devices: dict[str, Device] = {}
        self.served: dict[str, ServedCounts] = {}
        queue_s = settings.queue_s
        self.session_limit = SessionLimit(
            settings.max_sessions, queue_s, is_known=True, clock=clock
        )
        self.unknown_session_limit = SessionLimit(
            settings.max_unknown_sessions, queue_s, is_known=False, clock=clock
        )
        self.is_closed = False
        self.keep_open_s_of = settings.keep_open_s_of
        self._cache = cache
        self._settings = settings
        self._store_service = store_service
        self._egress = egress
        self._clock = clock
        self._wall = wall
        self._lookups: dict[Hashable, _Lookup] = {}
        """What is being looked up in the database."""

    async def close(self) -> None:
        """End every read and every session; later callers get ``ShuttingDownError``."""
        self.is_closed = True
        lookups = [lookup.task for lookup in self._lookups.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await asyncio.gather(*(device.close() for device in self.devices.values()))

    @staticmethod
    def conn_key(address: Address) -> str:
        """Return the key under which everything of that address is stored."""
        if address.kind == "tcp":
            return LiveCache.make_conn_key(address.target, address.number, None, None)
        return LiveCache.make_conn_key(None, None, address.target, address.number)

    def device(self, address: Address) -> Device:
        """
        Return the device at an address, made now if need be.

        Raises:
            ShuttingDownError: the relay is shutting down.
        """
        if self.is_closed:
            raise ShuttingDownError("the relay is shutting down")
        key = self.conn_key(address)
        device = self.devices.get(key)
        if device is None:
            settings = self._settings
            connection = Connection(
                address,
                self.connect,
                self.keep_open_s_of(address),
                partial(self._session_limit_for, address),
                deadlines=settings.deadlines,
            )
            single_flight = SingleFlight(
                connection.lock, max_readers=settings.max_readers, queue_s=settings.queue_s
            )
            device = self.devices[key] = Device(
                key,
                connection,
                self._cache,
                self._store_service,
                self._clock,
                single_flight,
                self._wall,
            )
            self.served[key] = ServedCounts()
        return device

    def is_backing_off(self, address: Address) -> bool:
        """Whether an address fails, and is not tried now; makes no device."""
        device = self.devices.get(self.conn_key(address))
        return device is not None and device.back_off.is_backing_off

    async def loaded_device(self, address: Address) -> Device:
        """Return the device at an address, with what the database knows of it adopted."""
        is_known = await self.load(address)
        device = self.device(address)
        device.is_loaded |= is_known
        return device

    def forget_if_unknown(self, device: Device) -> None:
        """Forget an address where no unit ever answered; a registered one backs off instead."""
        never_answered = device.serial is None and device.single_flight.is_idle
        is_registered = self._egress.is_registered(device.connection.address)
        if never_answered and not is_registered and self.devices.get(device.conn_key) is device:
            del self.devices[device.conn_key], self.served[device.conn_key]

    def _session_limit_for(self, address: Address) -> SessionLimit:
        """Return the slots for an address: those of units, or those of unknown addresses."""
        device = self.devices.get(self.conn_key(address))
        has_answered = device is not None and device.serial is not None
        is_known = has_answered or self._egress.is_registered(address)
        return self.session_limit if is_known else self.unknown_session_limit

    # --- what the database knows ----------------------------------------------------------------

    async def load(self, address: Address) -> bool:
        """Load what the database knows of a device; return whether that is known now."""
        key = self.conn_key(address)
        device = self.devices.get(key)
        is_known = device is not None and device.is_loaded and key not in self._lookups
        if is_known or not self._store_service.has_store:
            return True
        return await self._look_up_together(key, partial(self._load_now, address, key))

    async def _load_now(self, address: Address, key: str) -> bool:
        try:
            found = await self._store_service.load(key)
        except (StoreError, BackingOffError):
            return False  # the service has noted it; what is written later is fenced
        if found is None:
            return True  # no device is made for it: wrong addresses cost no memory
        device = self.device(address)
        if not device.is_loaded:
            device.is_loaded = True
            if device.adopt(found):
                self._store_service.mark_adopted(key, found)
        return True

    async def load_waveform(self, conn_key: str, index: int, *, forced: bool) -> CacheEntry | None:
        """Return a waveform that left memory, or was there before a restart."""
        device = self.devices.get(conn_key)
        if device is None or device.single_flight.is_waiting(("waveform", index)):
            return None  # the read that waits looks into the database itself
        what = (conn_key, index)
        if forced and what not in self._lookups:
            return None
        # A forced reader waits as well: its read must not leave the others behind.
        return await self._look_up_together(what, partial(device.durable.load_waveform, index))

    async def _look_up_together(
        self, what: Hashable, look_up: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """
        Look into the database once for all who want the same resource now.

        So they continue at one moment, and nobody is left behind by the read of another.
        """
        lookup = self._lookups.get(what)
        if lookup is None:
            lookup = self._lookups[what] = _Lookup(asyncio.create_task(look_up()))
            lookup.task.add_done_callback(lambda _: self._finish_lookup(what))
            lookup.task.add_done_callback(retrieve_exception)
        if lookup.task.done():
            # Those who waited for it are about to continue: not before them.
            await lookup.all_continued.wait()
        else:
            lookup.waiting += 1
            try:
                # A cancelled reader ends its own waiting, not the lookup.
                await asyncio.wait([lookup.task])
            finally:
                lookup.waiting -= 1
                self._finish_lookup(what)
        if lookup.task.cancelled():
            raise ShuttingDownError("the relay is shutting down")
        result: T = lookup.task.result()
        return result

    def _finish_lookup(self, what: Hashable) -> None:
        """Forget a lookup that has ended and that everybody has continued from."""
        lookup = self._lookups.get(what)
        if lookup is not None and lookup.task.done() and not lookup.waiting:
            del self._lookups[what]
            lookup.all_continued.set()
