"""
The roster in memory: which address a name or serial number leads to now.

The rule: what the database has counts. The settings (``SFM_UNITS``, ``SFM_SITE_ZONES``) add what is
missing at each start and change nothing; where they say otherwise, that is logged and shown by
``doctor``. Without a database the settings are the roster.

A route that is registered here may be reached over the network, as far as the egress policy admits
registered units at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from minimateplus.link import Address, parse_address
from sfm.access.egress import EgressPolicy
from sfm.back_off import BackingOffError
from sfm.devices.registry import Registry
from sfm.records.roster import NO_ROSTER, Location, Roster, Route, Seeds
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store import roster as stored
from sfm.store.audit import AuditEntry
from sfm.store.errors import NoSuchUnitError
from sfm.store.service import StoreService

__all__ = ["Contact", "Target", "UnitRoster", "seeds_of"]

log = structlog.get_logger(__name__)


def seeds_of(settings: Settings) -> Seeds:
    """Return what the settings add to a roster."""
    return Seeds(units=settings.units, zones=settings.site_zones)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for: an address, and which unit is expected there."""

    address: Address
    location: Location | None = None
    """Which it is a route of, if it was asked for by name or serial number."""
    serial: str | None = None
    """The unit that commands are for; ``None``: any."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The last contact over a route since the relay's start."""

    at: datetime
    serial: str


class UnitRoster:
    """
    The present roster. Lives as long as the gateway.

    Args:
        settings: what it begins with.
        store_service: what has it on disk; gets the zones in force.
        egress: gets the registered routes.
        is_backing_off: whether an address fails, and is not tried now.
        wall: the time of day, UTC.
    """

    def __init__(
        self,
        settings: Settings,
        store_service: StoreService,
        egress: EgressPolicy,
        *,
        is_backing_off: Callable[[Address], bool],
        wall: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._seeds = seeds_of(settings)
        self._store_service = store_service
        self._egress = egress
        self._is_backing_off = is_backing_off
        self._wall = wall
        self._loading = asyncio.Lock()
        self.contacts: dict[str, Contact] = {}
        """By a route's address."""
        self.is_loaded = not store_service.has_store
        """Whether the database's roster is known."""
        seeded = NO_ROSTER.with_seeds(self._seeds)
        self.differences = seeded.differences
        """Where the settings say otherwise than the roster, as sentences."""
        self.now = NO_ROSTER
        self._adopt(seeded.roster)

    def _adopt(self, roster: Roster) -> None:
        self.now = roster
        self._store_service.zones = roster
        self._egress.set_routes(
            parse_address(route.address) for route in roster.routes if route.enabled
        )

    # --- the database ---------------------------------------------------------------------------

    async def load(self) -> None:
        """
        Load the database's roster once, after the settings added to it what it lacks.

        While the database cannot be read, the settings are the roster; it is tried again by the
        next caller.
        """
        if self.is_loaded:
            return
        async with self._loading:
            if self.is_loaded:
                return
            try:
                self.differences, roster = await self._store_service.executor.write(
                    _seeded_and_loaded, self._seeds
                )
            except (StoreError, BackingOffError) as error:
                log.warning("roster_not_loaded", error=str(error))
                return
            self.is_loaded = True
            self._adopt(roster)
        for sentence in (*self.differences, *roster.damaged):
            log.warning("roster_differs", what=sentence)

    async def change(
        self, function: Callable[[Connection], object], entry: AuditEntry | None = None
    ) -> Roster:
        """
        Change the roster on disk by a function of ``sfm.store.roster``; return it as it is then.

        Raises:
            NoStoreError: there is no database: the settings are the roster.
            StoreError: the function's own, or the database failed; nothing is changed.
        """
        roster = await self._store_service.write(stored.changed, function, entry)
        self._adopt(roster)
        return roster

    # --- who is meant ---------------------------------------------------------------------------

    def target(self, unit: Address | str) -> Target:
        """
        Return what an address, a name or a serial number leads to now.

        Of several routes the one with the lowest priority that is enabled and not failing; if all
        of them fail, the first.

        Raises:
            NoSuchUnitError: nothing has that name, or no enabled route leads there.
        """
        if isinstance(unit, Address):
            return Target(unit)
        location, serial = self.now.location_named(unit), None
        if location is None:
            known = self.now.unit_numbered(unit)
            if known is None:
                raise NoSuchUnitError(
                    f"no location or unit is named {unit!r}; GET /units lists them, "
                    "seismo-relay unit add registers one; a host name is given as "
                    f"host={unit} or {unit}:PORT"
                )
            serial, location = known.serial, self.now.location_of(known.serial)
            if location is None:
                raise NoSuchUnitError(
                    f"unit {serial} is at no location, so no route leads to it; say where it is: "
                    f"seismo-relay location move NAME {serial}"
                )
        routes = [one for one in self.now.routes_of(location) if one.enabled]
        if not routes:
            raise NoSuchUnitError(
                f"{location.name!r} has no enabled route; add one: seismo-relay unit route add "
                f"{location.name!r} ADDRESS"
            )
        addresses = [parse_address(route.address) for route in routes]
        chosen = next((a for a in addresses if not self._is_backing_off(a)), addresses[0])
        return Target(chosen, location, serial or location.confirmed_serial)

    def location_at(self, address: Address) -> Location | None:
        """Return the location that an address is a route of."""
        route = self.now.route_at(str(address))
        return None if route is None else self.now.locations.get(route.location_id)

    def units_at(self, address: Address) -> Collection[str]:
        """Return the serial number of the unit that a registered address leads to, if any."""
        location = self.location_at(address)
        return () if location is None or location.serial is None else (location.serial,)

    def units_with_key(self, conn_key: str) -> Collection[str]:
        """Return the serial number of the unit at the registered address of that key, if any."""
        for route in self.now.routes:
            address = parse_address(route.address)
            if Registry.conn_key(address) == conn_key:
                return self.units_at(address)
        return ()

    def keep_open_s_of(self, address: Address) -> float:
        """Return how long a link stays open after a read: the route's value, else the settings'."""
        route: Route | None = self.now.route_at(str(address))
        if route is not None and route.keep_open_s is not None:
            return route.keep_open_s
        return self._settings.keep_open_s_of(address)

    # --- who answered ---------------------------------------------------------------------------

    async def note_contact(
        self, address: Address, serial: str | None, *, simulated: bool | None
    ) -> None:
        """
        Note that a unit answered at an address; never raises for the database.

        A unit that was not known becomes one. Another unit at a location is noted and logged;
        commands that name the location are refused until it is confirmed (``confirm``).
        """
        if not serial:
            return
        await self.load()
        location = self.location_at(address)
        if location is not None:
            self.contacts[str(address)] = Contact(self._wall(), serial)
        known = self.now.units.get(serial)
        is_known = known is not None and (simulated is None or known.simulated is simulated)
        if is_known and (location is None or location.serial == serial):
            return
        if location is not None and location.serial not in (None, serial):
            log.warning(
                "other_unit_at_location",
                location=location.name,
                was=location.serial,
                serial=serial,
                advice="confirm it with: seismo-relay location move "
                f"{location.name!r} {serial} --from TIME",
            )
        if not self._store_service.has_store:
            if location is not None:
                confirmed = location.confirmed_serial or serial
                self._replace(replace(location, serial=serial, confirmed_serial=confirmed))
            return
        if not self.is_loaded:
            return
        note = partial(
            stored.note_contact,
            location_id=None if location is None else location.id,
            serial=serial,
            at=self._wall(),
            simulated=simulated,
        )
        try:
            await self.change(note)
        except StoreError as error:
            log.warning("contact_not_noted", serial=serial, error=str(error))

    def _replace(self, location: Location) -> None:
        old = self.now
        locations = {**old.locations, location.id: location}.values()
        units = (*old.units.values(),)
        self._adopt(
            Roster(units, (*locations,), old.places, old.routes, old.zones, damaged=old.damaged)
        )

    async def confirm(self, location: Location, serial: str) -> None:
        """Note that a person confirmed which unit is at a location; raises as ``note_contact``."""
        present = self.now.locations.get(location.id)
        if present is None or present.confirmed_serial == serial:
            return
        if not self._store_service.has_store:
            self._replace(replace(present, confirmed_serial=serial))
            return
        confirmed = partial(stored.confirm, location_id=location.id, serial=serial)
        try:
            await self.change(confirmed)
        except StoreError as error:
            log.warning("unit_not_confirmed", serial=serial, error=str(error))


def _seeded_and_loaded(connection: Connection, seeds: Seeds) -> tuple[list[str], Roster]:
    differences: list[str] = []

    def seed(connection: Connection) -> None:
        differences.extend(stored.seed(connection, seeds))

    return differences, stored.changed(connection, seed)
