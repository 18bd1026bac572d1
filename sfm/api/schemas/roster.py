"""Bodies, queries and answers of the roster: units, locations, routes, zones."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from minimateplus.link import Address
from sfm.access.names import LONGEST_NAME, check_name, check_serial, parse_host, parse_unit

__all__ = [
    "ChangeLocationIn",
    "ChangeRouteIn",
    "ChangeUnitIn",
    "ChangeZoneIn",
    "LocationIn",
    "LocationOut",
    "LocationsOut",
    "PlaceIn",
    "RouteIn",
    "RouteOut",
    "RouteQuery",
    "UnitIn",
    "UnitOut",
    "UnitsOut",
    "ZoneIn",
    "ZoneOut",
    "ZoneQuery",
    "ZonesOut",
]

State = Literal["deployed", "benched", "retired"]


def _device_time(text: str) -> str:
    """Return a unit time as it is stored, so that two compare as texts."""
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("give unit time, ISO 8601 without zone, as 2026-04-01T00:28:12") from None
    if at.tzinfo is not None:
        raise ValueError("give it without zone: it is the unit's own clock")
    return at.replace(microsecond=0).isoformat()


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("give a date, as 2026-04-01") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}; give an IANA name, as Europe/Oslo") from None
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must contain only printable characters")
    return text


def _note(text: str) -> str:
    if not all(c.isprintable() or c in "\n\t" for c in text):
        raise ValueError("must not contain control characters other than line ends and tabs")
    return text


def _address(text: str) -> str:
    unit = parse_unit(text)
    address = unit if isinstance(unit, Address) else parse_host(unit)
    if address.kind == "replay":
        raise ValueError("a capture cannot be a unit's address")
    return str(address)


DeviceTime = Annotated[
    str,
    Field(max_length=40, description="By the unit's clock, ISO 8601 without zone; empty: always."),
    AfterValidator(_device_time),
]
Day = Annotated[str, Field(max_length=10, description="ISO 8601."), AfterValidator(_day)]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description="Unique without regard to case; reads neither as an address nor as a serial "
        "number.",
    ),
    AfterValidator(check_name),
]
Serial = Annotated[
    str,
    Field(min_length=1, max_length=16, description="The unit's serial number."),
    AfterValidator(check_serial),
]
ZoneName = Annotated[
    str, Field(max_length=64, description="IANA name, as Europe/Oslo."), AfterValidator(_zone)
]
GivenAddress = Annotated[
    str,
    Field(
        min_length=1,
        max_length=300,
        description="HOST, HOST:PORT, tcp://HOST:PORT, /dev/ttyUSB0, COM3, serial:PORT:BAUD, "
        "rfc2217://HOST:PORT or telnet://HOST:PORT.",
    ),
    AfterValidator(_address),
]
Project = Annotated[str, Field(max_length=100), AfterValidator(_printable)]
Notes = Annotated[str, Field(max_length=4000), AfterValidator(_note)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, description="Degrees.")]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, description="Degrees.")]
MicrophoneLow = Annotated[
    float,
    Field(
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="The microphone's lower corner (-3 dB), Hz; limits of airblast depend on it.",
    ),
]
Priority = Annotated[int, Field(ge=0, le=1000, description="The lowest is tried first.")]
KeepOpen = Annotated[
    float,
    Field(
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="How long a link stays open after a read, s; null: as the settings say.",
    ),
]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChangeUnitIn(_In):
    """New values of a unit. What is absent stays; null removes it."""

    state: State = Field("deployed", description="benched, retired: not in the field.")
    notes: Notes | None = None
    calibrated_on: Day | None = None
    calibration_due_on: Day | None = None
    microphone_low_hz: MicrophoneLow | None = None


class UnitIn(ChangeUnitIn):
    """A unit that was not read yet."""

    serial: Serial


class ChangeLocationIn(_In):
    """New values of a location. What is absent stays; null removes it."""

    name: Name = ""
    project: Project | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None


class LocationIn(_In):
    """A new location."""

    name: Name
    project: Project | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None


class PlaceIn(_In):
    """Which unit stands at a location, since when."""

    serial: Serial | None = Field(description="null: none does any more.")
    from_device_time: DeviceTime | None = Field(
        None, description="By the unit's clock; absent: now, by the zone in force there."
    )


class ChangeRouteIn(_In):
    """New values of a route. What is absent stays."""

    priority: Priority = 0
    keep_open_s: KeepOpen | None = None
    enabled: bool = True


class RouteIn(ChangeRouteIn):
    """An address of a location."""

    location: Name
    address: GivenAddress


class RouteQuery(_In):
    """Which route."""

    address: GivenAddress


class ZoneQuery(_In):
    """Whose zone, and from when: of a location, of one unit, or of all if neither is given."""

    location: Annotated[Name | None, Field(description="A location's name.")] = None
    serial: Annotated[
        Serial | None, Field(description="Of one unit's clock; neither: of all others.")
    ] = None
    from_device_time: DeviceTime = ""

    @model_validator(mode="after")
    def _one_scope(self) -> ZoneQuery:
        if self.location is not None and self.serial is not None:
            raise ValueError("give location or serial, not both")
        return self


class ZoneIn(ZoneQuery):
    """A zone that is in force from a time on, until the next one begins."""

    zone: ZoneName


class ChangeZoneIn(_In):
    """The zone that is right."""

    zone: ZoneName


class RouteOut(BaseModel):
    """An address of a location."""

    address: str
    conn_key: str = Field(description="As provenance has it.")
    priority: int = Field(description="The lowest is tried first.")
    keep_open_s: float | None = Field(description="s; null: as the settings say.")
    enabled: bool
    backing_off: bool = Field(description="It failed repeatedly and is not tried now.")
    last_contact_at: str | None = Field(
        description="When a unit answered last, UTC; null: not since the relay's start."
    )
    last_serial: str | None = Field(description="Which unit that was.")


class UnitOut(BaseModel):
    """A unit with the location where it is; or a location whose unit is not known yet."""

    name: str | None = Field(description="Of its location; null: it is at none.")
    conn_key: str | None = Field(
        description="The route that a request for it takes now, registered or where it answered "
        "last; null: none leads to it."
    )
    serial: str | None = Field(description="null: no unit has answered at this location yet.")
    confirmed: bool = Field(
        description="False: another unit answers at this location than the one that commands by "
        "name are for; such a command must give the new serial number."
    )
    simulated: bool | None = Field(description="null: it was never read.")
    state: State | None
    notes: str | None
    calibrated_on: str | None
    calibration_due_on: str | None
    microphone_low_hz: float | None
    added_at: str | None = Field(description="UTC.")
    project: str | None = Field(description="Of its location.")
    latitude: float | None
    longitude: float | None
    routes: list[RouteOut] = Field(description="The registered ones, the preferred one first.")
    last_contact_at: str | None = Field(description="UTC; null: not since the relay's start.")


class UnitsOut(BaseModel):
    """Units and locations, by name, then by serial number."""

    units: list[UnitOut]
    damaged: list[str] = Field(description="Rows of the roster that do not match their hash.")


class ZoneOut(BaseModel):
    """A zone in force from a time on."""

    location: str | None
    serial: str | None = Field(description="Of one unit's clock; * for all others.")
    zone: str
    from_device_time: str = Field(description="By the unit's clock; empty: always.")


class StayOut(BaseModel):
    """A unit's stay at a location, by its own clock."""

    serial: str
    from_device_time: str = Field(description="Empty: always.")
    until_device_time: str | None = Field(description="null: it is still there.")


class LocationOut(BaseModel):
    """A named place."""

    name: str
    project: str | None
    latitude: float | None
    longitude: float | None
    serial: str | None = Field(description="The unit that answered there last.")
    confirmed_serial: str | None = Field(description="The unit that commands by name are for.")
    routes: list[RouteOut]
    zones: list[ZoneOut]
    stays: list[StayOut] = Field(description="Which unit stood there when, the latest first.")


class LocationsOut(BaseModel):
    """Every location, by name."""

    locations: list[LocationOut]


class ZonesOut(BaseModel):
    """Every zone."""

    zones: list[ZoneOut]
