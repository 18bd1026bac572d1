"""
Units and routes: one actor for each unit, and which unit each address leads to.

The rule: what is known is a unit's, and an address only leads to it. Who answers there is found out
at each read (``identification``); if it is another unit, the route moves to that one, and what is
known of the unit before stays. A route where no unit ever answered is forgotten, so that wrong
addresses cost no memory. What the database knows of a unit is loaded before its first read, once
for all who ask meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from minimateplus.link import Address
from sfm.access.egress import EgressPolicy
from sfm.access.names import unit_key
from sfm.back_off import BackingOffError
from sfm.devices.connection import Connect, Connection, Resolve
from sfm.devices.connection_lock import ConnectionLock
from sfm.devices.device import Device
from sfm.devices.endpoints import Endpoints
from sfm.devices.route import OtherUnitError, Route
from sfm.devices.session_limit import SessionLimit
from sfm.devices.single_flight import ShuttingDownError, SingleFlight, retrieve_exception
from sfm.devices.target import Target, conn_key_of
from sfm.live_cache import CacheEntry, LiveCache
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store.errors import NoSuchUnitError
from sfm.store.service import StoreService

__all__ = ["Registry"]

T = TypeVar("T")


class RouteFacts(Protocol):
    """What the roster knows of addresses; ``sfm.devices.roster`` has it."""

    def keep_open_s_of(self, address: Address) -> float:
        """Return how long a link stays open after a read."""

    def serial_at(self, address: Address) -> str | None:
        """Return the unit that an address led to last, before this start too."""

    def note_reached(self, conn_key: str, serial: str) -> None:
        """Note in memory which unit answers."""

    async def note_contact(
        self, address: Address, serial: str | None, *, simulated: bool | None
    ) -> None:
        """Note which unit answered; never raises for the database."""


@dataclass(slots=True, eq=False)
class _Lookup:
    """A lookup in the database, and how many readers have not continued after it yet."""

    task: asyncio.Task[Any]
    waiting: int = 0
    all_continued: asyncio.Event = field(default_factory=asyncio.Event)


class Registry:
    """
    Every unit that ever answered, and every route. Lives as long as the gateway, which closes it.

    Args:
        cache: the live cache of all units.
        settings: deadlines and times.
        store_service: the database.
        egress: what is registered, and may be connected to.
        connect: opens a session.
        resolve: looks an address up, before each call.
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
        resolve: Resolve,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self.connect = connect
        self.devices: dict[str, Device] = {}
        """Of units, by their keys."""
        self.routes: dict[str, Route] = {}
        queue_s = settings.queue_s
        self.session_limit = SessionLimit(
            settings.max_sessions, queue_s, is_known=True, clock=clock
        )
        self.unknown_session_limit = SessionLimit(
            settings.max_unknown_sessions, queue_s, is_known=False, clock=clock
        )
        self.is_closed = False
        self.facts: RouteFacts
        """Set by the gateway, whose roster needs this registry."""
        self._endpoints = Endpoints(queue_s, clock)
        self._resolve = resolve
        self._cache = cache
        self._settings = settings
        self._store_service = store_service
        self._egress = egress
        self._clock = clock
        self._wall = wall
        self._met: dict[str, tuple[Address, str, bool | None]] = {}
        """Who answered over which route, until it is written down."""
        self._leaving: list[Device] = []
        """Devices without a unit whose routes have moved to one while they were reading."""
        self._lookups: dict[Hashable, _Lookup] = {}
        """What is being looked up in the database."""

    async def close(self) -> None:
        """End every read and every session; later callers get ``ShuttingDownError``."""
        self.is_closed = True
        # Now, because a reader whose read ends forgets an address where no unit answered.
        connections = [route.connection for route in self.routes.values()]
        devices = [*self.every_device(), *self._leaving]
        lookups = [lookup.task for lookup in self._lookups.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await asyncio.gather(*(device.close() for device in devices))
        await asyncio.gather(*(connection.close() for connection in connections))

    def every_device(self) -> list[Device]:
        """Return the devices of all units, and those of routes whose unit is not known yet."""
        unknown = (one.device for one in self.routes.values() if one.device.serial is None)
        return [*self.devices.values(), *unknown]

    # --- units and routes -----------------------------------------------------------------------

    def unit(self, serial: str) -> Device:
        """Return a unit's device, made now if need be; raises as ``route``."""
        key = unit_key(serial)
        return self.devices.get(key) or self._add_device(key, serial)

    def _add_device(self, key: str, serial: str | None) -> Device:
        if self.is_closed:
            raise ShuttingDownError("the relay is shutting down")
        settings = self._settings
        single_flight = SingleFlight(
            ConnectionLock(), max_readers=settings.max_readers, queue_s=settings.queue_s
        )
        device = Device(
            key,
            serial,
            self._cache,
            self._store_service,
            self._clock,
            single_flight,
            self,
            self._wall,
        )
        if serial is not None:
            self.devices[key] = device
        return device

    def route(self, address: Address) -> Route:
        """
        Return the route of an address, made now if need be.

        Raises:
            ShuttingDownError: the relay is shutting down.
        """
        key = conn_key_of(address)
        route = self.routes.get(key)
        if route is None:
            serial = self.facts.serial_at(address)
            device = self._add_device(key, None) if serial is None else self.unit(serial)
            connection = Connection(
                address,
                self.connect,
                self.facts.keep_open_s_of(address),
                partial(self._session_limit_for, address),
                deadlines=self._settings.deadlines,
                resolve=self._resolve,
                endpoints=self._endpoints,
            )
            route = self.routes[key] = Route(key, connection, device, self._clock)
            device.routes[key] = route
        return route

    def device(self, address: Address) -> Device:
        """Return the device that an address leads to; raises as ``route``."""
        return self.route(address).device

    def device_for(self, target: Target) -> Device:
        """
        Return the device that is to answer a request.

        Raises:
            NoSuchUnitError: no route leads to the unit.
            ShuttingDownError: the relay is shutting down.
        """
        routes = [self.route(address) for address in target.addresses]
        if not routes:
            raise NoSuchUnitError(
                f"no route leads to unit {target.unit} now; say where it is: seismo-relay location "
                f"move NAME {target.unit}, or ask for an address"
            )
        if target.unit is not None:
            device = self.unit(target.unit)
            if any(one.device is device or one.device.serial is None for one in routes):
                return device
        live = (one for one in routes if not one.back_off.is_backing_off)
        return next(live, routes[0]).device

    def known_device(self, target: Target) -> Device | None:
        """Return the device of the unit that a target leads to; makes none."""
        if target.unit is not None:
            return self.devices.get(unit_key(target.unit))
        for key in target.conn_keys:
            route = self.routes.get(key)
            if route is not None and route.device.serial is not None:
                return route.device
        return None

    def contact_mono(self, target: Target, device: Device) -> float | None:
        """
        Return when a unit last named itself over one of the addresses asked for.

        ``None``: it did not since the relay's start. Asked by serial number, the route is the
        relay's choice and proves nothing more: then it is now.
        """
        if target.unit is not None:
            return self._clock()
        latest: float | None = None
        for key in target.conn_keys:
            route = device.routes.get(key)
            if route is not None and route.contact_mono is not None:
                latest = max(route.contact_mono, latest or route.contact_mono)
        return latest

    def is_backing_off(self, address: Address) -> bool:
        """Whether an address fails, and is not tried now; makes no route."""
        route = self.routes.get(conn_key_of(address))
        return route is not None and route.back_off.is_backing_off

    def forget_if_unknown(self, target: Target) -> None:
        """Forget addresses where no unit ever answered; a registered one backs off instead."""
        for key in target.conn_keys:
            route = self.routes.get(key)
            if route is None or route.device.serial is not None:
                continue
            is_registered = self._egress.is_registered(route.address)
            if not is_registered and route.device.single_flight.is_idle:
                del self.routes[key]

    def _session_limit_for(self, address: Address) -> SessionLimit:
        """Return the slots for an address: those of units, or those of unknown addresses."""
        route = self.routes.get(conn_key_of(address))
        has_answered = route is not None and route.device.serial is not None
        is_known = has_answered or self._egress.is_registered(address)
        return self.session_limit if is_known else self.unknown_session_limit

    # --- who answers ----------------------------------------------------------------------------

    def met(
        self, device: Device, route: Route, serial: str, at_mono: float, simulated: bool | None
    ) -> None:
        """
        Note which unit answered over a route, in a session of ``device``.

        Raises:
            OtherUnitError: it is not that device's unit; the route leads to the other one now.
        """
        self.facts.note_reached(route.conn_key, serial)
        if route.connection.resolved is not None:
            self._endpoints.note_unit(route.connection.resolved, serial)
        self._move(route, device if serial == device.serial else self.unit(serial))
        route.contact_mono = max(at_mono, route.contact_mono or at_mono)
        # It is written down after the session: the database may take its time, and meanwhile the
        # unit could be swapped.
        self._met[route.conn_key] = (route.address, serial, simulated)
        if serial != device.serial:
            known = "" if device.serial is None else f", not {device.serial}"
            raise OtherUnitError(f"{route.conn_key}: unit {serial} answers there{known}", serial)

    def check_endpoint(self, device: Device, route: Route, resolved: Address) -> None:
        """
        Return if the unit that answered last at an endpoint is the device's, or is not known.

        Raises:
            OtherUnitError: it is another one, which has its own turn; the route leads there now.
        """
        serial = self._endpoints.serial_at(resolved)
        if serial in (None, device.serial):
            return
        self._move(route, self.unit(serial))
        message = f"{route.conn_key}: another name of {resolved}, where unit {serial} answers"
        raise OtherUnitError(message, serial, is_answer=False)

    async def note_contacts(self) -> None:
        """Write down who answered since the last call; never fails."""
        while self._met:
            _, (address, serial, simulated) = self._met.popitem()
            await self.facts.note_contact(address, serial, simulated=simulated)

    def _move(self, route: Route, device: Device) -> None:
        """Let a route lead to a unit."""
        before = route.device
        if before is device:
            return
        before.routes.pop(route.conn_key, None)
        self._leaving = [one for one in self._leaving if not one.single_flight.is_idle]
        if before.serial is None and before not in self._leaving:
            self._leaving.append(before)
        if before.serial is None and not device.routes and not device.is_in_session:
            # Who follows the first contact follows the unit's reads from here on.
            device.progress, before.progress = before.progress, device.progress
        else:
            before.restart_progress()
        serial = device.serial or ""
        before.single_flight.redirect(
            (route.conn_key,), OtherUnitError(f"{route.conn_key}: unit {serial} answers", serial)
        )
        if not (before.routes or self._cache.knows(before.key)) and before.single_flight.is_idle:
            self.devices.pop(before.key, None)  # it named itself, and nothing more
        route.device, route.contact_mono = device, None
        device.routes[route.conn_key] = route

    def is_talked_to(self, serial: str) -> bool:
        """Return whether a session with that unit is under way."""
        device = self.devices.get(unit_key(serial))
        return device is not None and device.is_in_session

    # --- what the database knows ----------------------------------------------------------------

    async def load(self, target: Target) -> bool:
        """Load what the database knows of the unit asked for; return whether that is known now."""
        serial = target.unit
        for address in target.addresses:
            if serial is None:
                route = self.routes.get(conn_key_of(address))
                serial = self.facts.serial_at(address) if route is None else route.device.serial
                if serial is not None:
                    self.route(address)
        return True if serial is None else await self.load_unit(serial)

    async def load_unit(self, serial: str) -> bool:
        """Load what the database knows of a unit; return whether that is known now."""
        key = unit_key(serial)
        device = self.devices.get(key)
        is_known = device is not None and device.is_loaded and key not in self._lookups
        if is_known or not self._store_service.has_store:
            return True
        return await self.look_up_together(key, partial(self._load_now, serial, key))

    async def _load_now(self, serial: str, key: str) -> bool:
        try:
            found = await self._store_service.load(key)
        except (StoreError, BackingOffError):
            return False  # the service has noted it; what is written later is fenced
        device = self.unit(serial)
        if not device.is_loaded:
            device.is_loaded = True
            if found is not None and device.adopt(found):
                self._store_service.mark_adopted(key, found)
                await device.durable.load_facts()
        return True

    async def load_waveform(
        self, device: Device, index: int, flight: Hashable, *, forced: bool
    ) -> CacheEntry | None:
        """Return a waveform that left memory, or was there before a restart."""
        if device.single_flight.is_waiting(flight):
            return None  # the read that waits looks into the database itself
        what = (device.key, index)
        if forced and what not in self._lookups:
            return None
        # A forced reader waits as well: its read must not leave the others behind.
        return await self.look_up_together(what, partial(device.durable.load_waveform, index))

    async def look_up_together(
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
