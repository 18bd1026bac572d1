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
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from minimateplus.link import Address, parse_address
from sfm.access.egress import EgressPolicy
from sfm.access.names import folded
from sfm.back_off import BackingOffError
from sfm.devices.target import Target, conn_key_of
from sfm.records.roster import NO_ROSTER, Location, Roster, Route, Seeds, Unit
from sfm.records.site_time import utc_text
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store import roster as stored
from sfm.store.audit import AuditEntry
from sfm.store.errors import NoSuchUnitError
from sfm.store.service import StoreService

__all__ = ["Contact", "UnitRoster"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Contact:
    """The last contact over an address since the relay's start."""

    at: datetime
    serial: str


class UnitRoster:
    """
    The present roster. Lives as long as the gateway.

    Args:
        settings: what it begins with.
        store_service: what has it on disk; gets the zones in force.
        egress: gets the registered routes.
        wall: the time of day, UTC.
    """

    def __init__(
        self,
        settings: Settings,
        store_service: StoreService,
        egress: EgressPolicy,
        *,
        wall: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._seeds = Seeds.of(settings)
        self._store_service = store_service
        self._egress = egress
        self._wall = wall
        self._loading = asyncio.Lock()
        self.on_change: Callable[[str | None], Awaitable[None]] = _nothing
        """Awaited after every change on disk, with the unit that it is about, if one alone."""
        self.contacts: dict[str, Contact] = {}
        """By the key of the route over which a unit answered, of a location or not."""
        self._reached: dict[str, dict[str, None]] = {}
        """Of each unit, the keys of the routes where it answered last; the latest last."""
        self._spelled: dict[str, str] = {}
        """Serial numbers of these units as they wrote them, by their folded form."""
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
            await self.on_change(None)
        for sentence in (*self.differences, *roster.damaged):
            log.warning("roster_differs", what=sentence)

    async def change(
        self,
        function: Callable[[Connection], object],
        entry: AuditEntry | None = None,
        *,
        serial: str | None = None,
    ) -> Roster:
        """
        Change the roster on disk by a function of ``sfm.store.roster``; return it as it is then.

        Args:
            function: with its arguments.
            entry: who changed what.
            serial: the unit that it is about, if it is about one alone.

        Raises:
            NoStoreError: there is no database: the settings are the roster.
            StoreError: the function's own, or the database failed; nothing is changed.
        """
        roster = await self._store_service.write(stored.changed, function, entry)
        self._adopt(roster)
        await self.on_change(serial)
        return roster

    # --- who is meant ---------------------------------------------------------------------------

    def target(self, unit: Address | str) -> Target:
        """
        Return what an address, a name or a serial number leads to now.

        Raises:
            NoSuchUnitError: nothing has that name, or no enabled route leads to the location.
        """
        if isinstance(unit, Address):
            return Target.at(unit)
        location, serial = self.now.location_named(unit), None
        if location is None:
            serial = self._serial_numbered(unit)
            if serial is None:
                # A host name has no space; the command line itself takes other words for one.
                is_host = not any(map(str.isspace, unit))
                host = f"; a host name is given as host={unit} or {unit}:PORT" if is_host else ""
                raise NoSuchUnitError(
                    f"no location or unit is named {unit!r}; seismo-relay unit list (GET /units) "
                    f"shows them, seismo-relay unit add registers one{host}"
                )
            location = self.now.location_of(serial)
        routes = [] if location is None else self.now.routes_of(location)
        addresses = [parse_address(route.address) for route in routes if route.enabled]
        if serial is not None:
            addresses += self.met_over(serial, besides=addresses)
        elif not addresses:
            assert location is not None
            raise NoSuchUnitError(
                f"{location.name!r} has no enabled route; add one: seismo-relay unit route add "
                f"{location.name!r} ADDRESS"
            )
        return Target.at(
            *addresses,
            unit=serial,
            location=location,
            serial=serial or (None if location is None else location.confirmed_serial),
        )

    def _serial_numbered(self, serial: str) -> str | None:
        """Return the serial number of a unit that is known, as the unit spells it."""
        known = self.now.unit_numbered(serial)
        return self._spelled.get(folded(serial)) if known is None else known.serial

    def met_over(self, serial: str, *, besides: Collection[Address]) -> list[Address]:
        """
        Return the other addresses where a unit was the last to answer, disabled routes left out.

        Those of a contact since the relay's start come first, the latest of them foremost.
        """
        found = list(reversed(self._reached.get(serial, {})))
        found += (key for key in self.now.met_over(serial) if key not in self.contacts)
        left_out = set(map(conn_key_of, besides))
        addresses = (parse_address(key) for key in found if key not in left_out)
        routes = ((one, self.now.route_at(str(one))) for one in addresses)
        return [one for one, route in routes if route is None or route.enabled]

    def note_reached(self, conn_key: str, serial: str) -> None:
        """Note in memory that a unit answers over a route, as soon as that is known."""
        before = self.contacts.get(conn_key)
        if before is not None:
            self._reached[before.serial].pop(conn_key, None)
        self.contacts[conn_key] = Contact(self._wall(), serial)
        self._reached.setdefault(serial, {})[conn_key] = None
        self._spelled[folded(serial)] = serial

    def location_at(self, address: Address) -> Location | None:
        """Return the location that an address is a route of."""
        route = self.now.route_at(str(address))
        return None if route is None else self.now.locations.get(route.location_id)

    def serial_at(self, address: Address) -> str | None:
        """Return the unit that answered at an address last, before this start too."""
        location = self.location_at(address)
        if location is not None:
            return location.serial
        return next(iter(self.now.met_at(conn_key_of(address))), None)

    def units_at(self, target: Target) -> Collection[str]:
        """Return the units that ever answered at one of these addresses, or are expected there."""
        found: set[str] = set() if target.unit is None else {target.unit}
        for address, conn_key in zip(target.addresses, target.conn_keys, strict=True):
            location = self.location_at(address)
            if location is not None:
                found |= {one for one in (location.serial, location.confirmed_serial) if one}
            found.update(self.now.met_at(conn_key))
        return found

    def units_with_key(self, conn_key: str) -> Collection[str]:
        """Return the units as ``units_at`` does, for the key of a route."""
        for route in self.now.routes:
            address = parse_address(route.address)
            if conn_key_of(address) == conn_key:
                return self.units_at(Target.at(address))
        return self.now.met_at(conn_key)

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
        location, conn_key = self.location_at(address), conn_key_of(address)
        known = self.now.units.get(serial)
        is_known = known is not None and (simulated is None or known.simulated is simulated)
        is_known &= next(iter(self.now.met_at(conn_key)), None) == serial
        is_there = location is None or location.serial == serial
        if not self._store_service.has_store and (
            known is None or simulated not in (None, known.simulated)
        ):
            self._add(Unit(serial=serial, simulated=simulated, added_at=utc_text(self._wall())))
        if is_there and (is_known or not self._store_service.has_store):
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
            conn_key=conn_key,
            serial=serial,
            at=self._wall(),
            simulated=simulated,
        )
        try:
            await self.change(note, serial=serial)
        except StoreError as error:
            log.warning("contact_not_noted", serial=serial, error=str(error))

    def _add(self, unit: Unit) -> None:
        """Note a unit in memory, where there is no database."""
        units = {**self.now.units, unit.serial: unit}
        self._adopt_with((*units.values(),), (*self.now.locations.values(),))

    def _replace(self, location: Location) -> None:
        """Change a location in memory; its unit is at no other one any more."""
        left = (
            replace(one, serial=None) if one.serial == location.serial else one
            for one in self.now.locations.values()
            if one.id != location.id
        )
        self._adopt_with((*self.now.units.values(),), (*left, location))

    def _adopt_with(self, units: tuple[Unit, ...], locations: tuple[Location, ...]) -> None:
        old = self.now
        self._adopt(
            Roster(
                units,
                locations,
                old.places,
                old.routes,
                old.zones,
                old.meetings,
                damaged=old.damaged,
            )
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


async def _nothing(_: str | None) -> None:
    """Nobody follows the changes."""


def _seeded_and_loaded(connection: Connection, seeds: Seeds) -> tuple[list[str], Roster]:
    differences: list[str] = []

    def seed(connection: Connection) -> None:
        differences.extend(stored.seed(connection, seeds))

    return differences, stored.changed(connection, seed)
