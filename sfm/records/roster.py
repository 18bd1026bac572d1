"""
The roster: units, locations, routes and zones, and where each unit stood when. Plain values.

- *Unit*: the instrument, by its serial number.
- *Location*: a named place with coordinates, routes and zones, and the unit that is there now.
- *Place*: from when until when a unit stood at a location, by the unit's own clock.
- *Route*: an address of a location.
- *Zone*: the time zone in force from a unit time on: at a location, for one unit, or for all.
- *Meeting*: that a unit answered over an address once, whether or not that is a route.

``Roster`` is one state of all of it and never changes; ``sfm.devices.roster`` has the present one.
A time is ISO 8601 without zone, by the unit's clock; an empty one is before every other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from minimateplus.link import parse_address
from sfm.access.names import folded

if TYPE_CHECKING:
    from sfm.settings import Settings

__all__ = [
    "ALL_UNITS",
    "NO_ROSTER",
    "STATES",
    "Location",
    "Meeting",
    "Place",
    "Roster",
    "Route",
    "Seeded",
    "Seeds",
    "State",
    "Unit",
    "Zone",
]

State = Literal["deployed", "benched", "retired"]
STATES: tuple[State, ...] = get_args(State)
ALL_UNITS = "*"
"""Stands for every unit without a zone of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An instrument."""

    serial: str
    simulated: bool | None = None
    """``None``: it was never read."""
    state: State = "deployed"
    notes: str | None = None
    calibrated_on: str | None = None
    """ISO 8601, a date, as the two below."""
    calibration_due_on: str | None = None
    microphone_low_hz: float | None = None
    """The microphone's lower corner (-3 dB), on which limits of airblast depend."""
    added_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A named place. The number is of one database alone and is shown to nobody."""

    id: int
    name: str
    project: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    serial: str | None = None
    """The unit that answered there last; ``None``: none ever did, or it was moved away."""
    confirmed_serial: str | None = None
    """The unit that commands by name are for; another one must be confirmed first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A unit's stay at a location, by its own clock."""

    id: int
    serial: str
    location_id: int
    from_device_time: str = ""
    until_device_time: str | None = None
    """``None``: it is still there."""

    def has(self, device_time: str) -> bool:
        """Whether the unit stood there at that time."""
        until = self.until_device_time
        return self.from_device_time <= device_time and (until is None or device_time < until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An address of a location. The lowest priority is tried first."""

    id: int
    location_id: int
    address: str
    priority: int = 0
    keep_open_s: float | None = None
    """``None``: as the settings say."""
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The zone in force from a time on: at a location, or of a unit's clock, or of all (``*``)."""

    id: int
    location_id: int | None = None
    serial: str = ""
    """Empty if it is a location's."""
    zone: str
    from_device_time: str = ""

    @property
    def scope(self) -> int | str:
        """What it is for: a location's number, a serial number, or ``*``."""
        return self.serial if self.location_id is None else self.location_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """That a unit answered over a route once, registered or not."""

    conn_key: str
    serial: str
    is_latest: bool
    """Whether no other unit answered there since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """What the settings name: they add what is missing, and change nothing."""

    units: Mapping[str, str] = field(default_factory=dict)
    """Names of locations, and an address of each (``SFM_UNITS``)."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """By serial number, by name of a location, or by ``*`` (``SFM_SITE_ZONES``)."""

    @classmethod
    def of(cls, settings: Settings) -> Seeds:
        """Return what the settings add to a roster."""
        return cls(units=settings.units, zones=settings.site_zones)


class Seeded(NamedTuple):
    """A roster after seeding: what was added to it, and where the settings say otherwise."""

    roster: Roster
    locations: list[Location]
    routes: list[Route]
    zones: list[Zone]
    differences: list[str]


@lru_cache(maxsize=64)
def _zone_info(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # the system's zone data have changed
        return None


def _folded_host(address: str) -> str:
    return address.lower() if address.startswith("tcp:") else address


class Roster:
    """
    One state of the roster; immutable.

    Args:
        units: every unit.
        locations: every location.
        places: where each unit stood.
        routes: of the locations.
        zones: of locations, units and ``*``.
        meetings: which units answered over which routes.
        damaged: rows that do not match their hash, as sentences; they are left out of the rest.
        has_damaged_zones: whether one of them is a place or a zone: then no zone is known.
    """

    def __init__(
        self,
        units: tuple[Unit, ...] = (),
        locations: tuple[Location, ...] = (),
        places: tuple[Place, ...] = (),
        routes: tuple[Route, ...] = (),
        zones: tuple[Zone, ...] = (),
        meetings: tuple[Meeting, ...] = (),
        *,
        damaged: tuple[str, ...] = (),
        has_damaged_zones: bool = False,
    ) -> None:
        self.units = {one.serial: one for one in units}
        self.locations = {one.id: one for one in locations}
        self.places = places
        self.routes = tuple(sorted(routes, key=lambda one: (one.priority, one.id)))
        """The preferred ones first."""
        self.zones = zones
        self.meetings = meetings
        self._met: dict[str, list[str]] = {}
        self._met_over: dict[str, list[str]] = {}
        for meeting in sorted(meetings, key=lambda one: not one.is_latest):
            self._met.setdefault(meeting.conn_key, []).append(meeting.serial)
            if meeting.is_latest:
                self._met_over.setdefault(meeting.serial, []).append(meeting.conn_key)
        self.damaged = damaged
        self.has_damaged_zones = has_damaged_zones
        self._by_name = {folded(one.name): one for one in locations}
        self._by_serial = {folded(one.serial): one for one in units}
        self._of_unit = {one.serial: one for one in locations if one.serial is not None}
        self._by_address = {_folded_host(one.address): one for one in self.routes}
        self._places: dict[str, list[Place]] = {}
        for place in sorted(places, key=lambda one: one.from_device_time, reverse=True):
            self._places.setdefault(place.serial, []).append(place)
        self._zones: dict[int | str, list[Zone]] = {}
        for zone in sorted(zones, key=lambda one: one.from_device_time, reverse=True):
            self._zones.setdefault(zone.scope, []).append(zone)

    # --- looking up -----------------------------------------------------------------------------

    def location_named(self, name: str) -> Location | None:
        """Return the location of a name, in whatever case."""
        return self._by_name.get(folded(name))

    def unit_numbered(self, serial: str) -> Unit | None:
        """Return the unit of a serial number, in whatever case."""
        return self._by_serial.get(folded(serial))

    def location_of(self, serial: str) -> Location | None:
        """Return the location where a unit is now; ``None``: it has none."""
        return self._of_unit.get(serial)

    def routes_of(self, location: Location) -> list[Route]:
        """Return a location's routes, the preferred one first, disabled ones too."""
        return [one for one in self.routes if one.location_id == location.id]

    def route_at(self, address: str) -> Route | None:
        """Return the route of an address, as ``str(Address)`` writes it; hosts ignore case."""
        return self._by_address.get(_folded_host(address))

    def met_at(self, conn_key: str) -> Sequence[str]:
        """Return the units that ever answered over a route, the latest first."""
        return self._met.get(conn_key, ())

    def met_over(self, serial: str) -> Sequence[str]:
        """Return the keys of the routes over which a unit was the last to answer."""
        return self._met_over.get(serial, ())

    def zones_of(self, scope: int | str) -> list[Zone]:
        """Return the zones of a location's number, a serial number or ``*``, the latest first."""
        return self._zones.get(scope, [])

    def place_at(self, serial: str, device_time: datetime) -> Place | None:
        """Return where a unit stood at a time of its own clock."""
        text = device_time.isoformat()
        return next((one for one in self._places.get(serial, ()) if one.has(text)), None)

    def places_of(self, serial: str) -> list[Place]:
        """Return every stay of a unit, the latest first."""
        return self._places.get(serial, [])

    def zone_at(self, serial: str, device_time: datetime | None) -> ZoneInfo | None:
        """
        Return the zone of a unit's clock at a time of that clock; ``None``: it is not known.

        That of the location where the unit stood, else the unit's own, else that of ``*``.
        """
        if device_time is None:
            return None
        place = self.place_at(serial, device_time)
        of_place = [] if place is None else [place.location_id]
        return self.zone_in_force([*of_place, serial, ALL_UNITS], device_time)

    def zone_in_force(self, scopes: Sequence[int | str], device_time: datetime) -> ZoneInfo | None:
        """Return the zone in force at a unit time, of the first scope that has one then."""
        if self.has_damaged_zones:
            return None
        text = device_time.isoformat()
        for scope in scopes:
            for zone in self.zones_of(scope):
                if zone.from_device_time <= text:
                    return _zone_info(zone.zone)
        return None

    # --- seeding --------------------------------------------------------------------------------

    def with_seeds(self, seeds: Seeds) -> Seeded:
        """
        Return this roster with what the settings name and it does not have.

        What is added has negative numbers: it is in no database yet.
        """
        numbers = count(-1, -1)
        locations: list[Location] = []
        routes: list[Route] = []
        zones: list[Zone] = []
        differences: list[str] = []
        by_name, addresses = dict(self._by_name), {one.address for one in self.routes}
        for name, given in seeds.units.items():
            address = str(parse_address(given))
            known = by_name.get(folded(name))
            if known is not None:
                there = [
                    one.address
                    for one in [*self.routes_of(known), *routes]
                    if one.location_id == known.id
                ]
                if address not in there:
                    differences.append(
                        f"SFM_UNITS has {name!r} at {address}; the roster has "
                        f"{', '.join(there) or 'no route'} for it, and that counts"
                    )
            elif self.unit_numbered(name) is not None:
                differences.append(
                    f"SFM_UNITS has {name!r}, which is the serial number of a unit; give that "
                    "address another name"
                )
            elif address in addresses:
                differences.append(
                    f"SFM_UNITS has {name!r} at {address}; the roster has that address for "
                    "another location, and that counts"
                )
            else:
                added = by_name[folded(name)] = Location(id=next(numbers), name=name)
                locations.append(added)
                routes.append(Route(id=next(numbers), location_id=added.id, address=address))
                addresses.add(address)
        for key, zone in seeds.zones.items():
            named = by_name.get(folded(key))
            scope: int | str = key if named is None else named.id
            if not (there_now := self.zones_of(scope)):
                location_id = None if named is None else named.id
                serial = key if named is None else ""
                added_zone = Zone(
                    id=next(numbers), location_id=location_id, serial=serial, zone=zone
                )
                zones.append(added_zone)
            elif there_now[-1].zone != zone:
                differences.append(
                    f"SFM_SITE_ZONES has {zone} for {key!r}; the roster has {there_now[-1].zone} "
                    "for it, and that counts"
                )
        roster = Roster(
            tuple(self.units.values()),
            (*self.locations.values(), *locations),
            self.places,
            (*self.routes, *routes),
            (*self.zones, *zones),
            self.meetings,
            damaged=self.damaged,
            has_damaged_zones=self.has_damaged_zones,
        )
        return Seeded(roster, locations, routes, zones, differences)


NO_ROSTER = Roster()
"""A roster without anything."""
