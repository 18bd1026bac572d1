"""
The roster over HTTP: units, locations, routes and zones. No route here reads a unit.

Every change is in the audit log, in one transaction with the change. A token that is limited to
some units sees those, and may change only the state and notes of those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy import Connection

from minimateplus.link import Address, parse_address
from sfm.access.names import LONGEST_NAME
from sfm.access.principal import ForbiddenUnitError, Principal
from sfm.api.middleware.authentication import principal_of
from sfm.api.routes.dependencies import (
    Nothing,
    audit_entry,
    described_problems,
    gateway_of,
    sent_json,
)
from sfm.api.schemas import roster as schemas
from sfm.api.schemas.bodies import body_of, described_body
from sfm.devices.gateway import Gateway
from sfm.records.payloads import Payload, plain
from sfm.records.roster import ALL_UNITS, Location, Roster, Route, Unit, Zone
from sfm.store import roster as stored
from sfm.store.errors import NoSuchUnitError

__all__ = ["roster"]

READ_PROBLEMS = described_problems(422, 500)
CHANGE_PROBLEMS = described_problems(404, 409, 413, 422, 500, 503)

OF_UNIT = (
    "simulated",
    "state",
    "notes",
    "calibrated_on",
    "calibration_due_on",
    "microphone_low_hz",
)
Named = Annotated[str, Path(max_length=LONGEST_NAME, description="The location's name.")]
Numbered = Annotated[str, Path(max_length=LONGEST_NAME, description="The unit's serial number.")]
WhichRoute = Annotated[schemas.RouteQuery, Query()]
WhichZone = Annotated[schemas.ZoneQuery, Query()]

roster = APIRouter(tags=["roster"])


CHANGES_NO_ROSTER = "your token is limited to some units and cannot change the roster"


async def _roster_of(request: Request) -> Roster:
    """Return the present roster, from the database if that can be read."""
    known = gateway_of(request).roster
    await known.load()
    return known.now


async def _change(
    request: Request,
    command: str,
    detail: Mapping[str, Any],
    function: Callable[[Connection], object],
    *,
    serial: str | None = None,
) -> Roster:
    """Change the roster and note who did; a token that is limited may change its units alone."""
    entry = audit_entry(request, "the roster", command, detail, serial)
    known = gateway_of(request).roster
    await known.load()
    return await known.change(function, entry)


def _given(body: Any) -> dict[str, Any]:
    """Return what a body sets, without what it leaves out."""
    given: dict[str, Any] = body.model_dump(exclude_unset=True)
    if not given:
        wrong = {"loc": ("body",), "msg": "give at least one value to change", "type": "missing"}
        raise RequestValidationError([wrong])
    return given


async def _location(request: Request, name: str) -> Location:
    """Return a location to change; a limited token changes none, and learns not which there are."""
    if principal_of(request).is_limited:
        raise ForbiddenUnitError(CHANGES_NO_ROSTER)
    found = (await _roster_of(request)).location_named(name)
    if found is None:
        raise NoSuchUnitError(f"the roster has no location {name!r}; GET /locations lists them")
    return found


# --- units ---------------------------------------------------------------------------------------


@roster.get("/units", response_model=schemas.UnitsOut, responses=READ_PROBLEMS)
async def get_units(request: Request, _: Nothing) -> Response:
    """Units and locations that the client may see, with routes and last contact; reads no unit."""
    now, view = await _roster_of(request), _View(request)
    homeless = [unit for unit in now.units.values() if now.location_of(unit.serial) is None]
    found = [view.unit(now, location) for location in now.locations.values()]
    found += [view.unit(now, None, unit) for unit in homeless]
    shown = [one for one in found if one is not None]
    shown.sort(key=lambda one: (one["name"] is None, one["name"] or "", one["serial"] or ""))
    return sent_json({"units": shown, "damaged": list(now.damaged)})


@roster.post(
    "/units",
    status_code=201,
    response_model=schemas.UnitOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.UnitIn),
)
async def post_unit(request: Request, _: Nothing) -> Response:
    """Add a unit that was not read yet; one that is read is added by itself."""
    body = await body_of(request, schemas.UnitIn)
    values = {k: v for k, v in body.model_dump().items() if k != "serial"}
    add = partial(stored.add_unit, serial=body.serial, at=datetime.now(UTC), **values)
    now = await _change(request, "unit_add", body.model_dump(exclude_unset=True), add)
    return sent_json(_View(request).unit(now, None, now.units[body.serial]), 201)


@roster.patch(
    "/units/{serial}",
    response_model=schemas.UnitOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ChangeUnitIn),
)
async def patch_unit(request: Request, serial: Numbered, _: Nothing) -> Response:
    """Bench, retire or deploy a unit; change its notes and calibration dates."""
    given = _given(await body_of(request, schemas.ChangeUnitIn))
    unit = _unit(request, await _roster_of(request), serial)
    change = partial(stored.change_unit, serial=unit.serial, **given)
    now = await _change(request, "unit_change", given, change, serial=unit.serial)
    location = now.location_of(unit.serial)
    return sent_json(_View(request).unit(now, location, now.units[unit.serial]))


@roster.delete("/units/{serial}", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_unit(request: Request, serial: Numbered, _: Nothing) -> Response:
    """Remove a unit that was added by mistake; one with a past is retired instead."""
    unit = _unit(request, await _roster_of(request), serial)
    remove = partial(stored.remove_unit, serial=unit.serial)
    await _change(request, "unit_remove", {"serial": unit.serial}, remove)
    return Response(status_code=204)


def _unit(request: Request, now: Roster, serial: str) -> Unit:
    """Return a unit to change; a limited token learns not which others there are."""
    found = now.unit_numbered(serial)
    if not principal_of(request).may_use(serial if found is None else found.serial):
        raise ForbiddenUnitError(CHANGES_NO_ROSTER)
    if found is None:
        raise NoSuchUnitError(f"the roster has no unit {serial}; GET /units lists them")
    return found


# --- locations -----------------------------------------------------------------------------------


@roster.get("/locations", response_model=schemas.LocationsOut, responses=READ_PROBLEMS)
async def get_locations(request: Request, _: Nothing) -> Response:
    """Locations that the client may see, with routes, zones and the units that stood there."""
    now, view = await _roster_of(request), _View(request)
    found = sorted(now.locations.values(), key=lambda one: one.name)
    shown = [view.location(now, one) for one in found if view.unit(now, one) is not None]
    return sent_json({"locations": shown})


@roster.post(
    "/locations",
    status_code=201,
    response_model=schemas.LocationOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.LocationIn),
)
async def post_location(request: Request, _: Nothing) -> Response:
    """Add a location."""
    body = await body_of(request, schemas.LocationIn)
    add = partial(stored.add_location, **body.model_dump())
    now = await _change(request, "location_add", body.model_dump(exclude_unset=True), add)
    return sent_json(_View(request).location(now, _sure(now, body.name)), 201)


@roster.patch(
    "/locations/{name}",
    response_model=schemas.LocationOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ChangeLocationIn),
)
async def patch_location(request: Request, name: Named, _: Nothing) -> Response:
    """Rename a location, change its project or coordinates."""
    given = _given(await body_of(request, schemas.ChangeLocationIn))
    location = await _location(request, name)
    change = partial(stored.change_location, location_id=location.id, **given)
    detail = {"location": location.name, **given}
    now = await _change(request, "location_change", detail, change)
    return sent_json(_View(request).location(now, now.locations[location.id]))


@roster.delete("/locations/{name}", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_location(request: Request, name: Named, _: Nothing) -> Response:
    """Remove a location at which no unit ever stood, with its routes and zones."""
    location = await _location(request, name)
    remove = partial(stored.remove_location, location_id=location.id)
    await _change(request, "location_remove", {"location": location.name}, remove)
    return Response(status_code=204)


@roster.post(
    "/locations/{name}/unit",
    response_model=schemas.LocationOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.PlaceIn),
)
async def post_location_unit(request: Request, name: Named, _: Nothing) -> Response:
    """
    Say which unit stands at a location since when; its stay elsewhere ends then.

    Its events from then on belong to this location. It also confirms the unit for commands that
    name the location.
    """
    body = await body_of(request, schemas.PlaceIn)
    location = await _location(request, name)
    now = await _roster_of(request)
    serial = None if body.serial is None else _unit(request, now, body.serial).serial
    begin = body.from_device_time
    if begin is None:
        begin = _now_at(now, location, serial)
    place = partial(
        stored.place_unit, location_id=location.id, serial=serial, from_device_time=begin
    )
    detail = {"location": location.name, "serial": serial, "from_device_time": begin}
    now = await _change(request, "location_unit", detail, place)
    return sent_json(_View(request).location(now, now.locations[location.id]))


def _now_at(now: Roster, location: Location, serial: str | None) -> str:
    """Return the present time as the clock of a unit at that location shows it."""
    at = datetime.now(UTC)
    naive = at.replace(tzinfo=None)
    of_unit = serial or location.serial or ""
    scopes: list[int | str] = [location.id, of_unit, ALL_UNITS]
    zone = now.zone_in_force(scopes, naive)
    if zone is None:
        wrong = {
            "loc": ("body", "from_device_time"),
            "msg": "give the time: the zone of this location is not known, so neither is what "
            "the unit's clock shows now",
            "type": "missing",
        }
        raise RequestValidationError([wrong])
    return at.astimezone(zone).replace(tzinfo=None, microsecond=0).isoformat()


# --- routes --------------------------------------------------------------------------------------


@roster.post(
    "/routes",
    status_code=201,
    response_model=schemas.RouteOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.RouteIn),
)
async def post_route(request: Request, _: Nothing) -> Response:
    """Add an address of a location; 403 for one that is never reached."""
    body = await body_of(request, schemas.RouteIn)
    location = await _location(request, body.location)
    gateway_of(request).egress.check_route(parse_address(body.address))
    values = body.model_dump(exclude={"location"})
    add = partial(stored.add_route, location_id=location.id, **values)
    now = await _change(request, "route_add", {"location": location.name, **values}, add)
    return sent_json(_View(request).route(_sure_route(now, body.address)), 201)


@roster.patch(
    "/routes",
    response_model=schemas.RouteOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ChangeRouteIn),
)
async def patch_route(request: Request, query: WhichRoute) -> Response:
    """Enable or disable a route, change its priority or keep-open time."""
    given = _given(await body_of(request, schemas.ChangeRouteIn))
    change = partial(stored.change_route, address=query.address, **given)
    now = await _change(request, "route_change", {"address": query.address, **given}, change)
    return sent_json(_View(request).route(_sure_route(now, query.address)))


@roster.delete("/routes", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_route(request: Request, query: WhichRoute) -> Response:
    """Remove an address from its location."""
    remove = partial(stored.remove_route, address=query.address)
    await _change(request, "route_remove", {"address": query.address}, remove)
    return Response(status_code=204)


# --- zones ---------------------------------------------------------------------------------------


@roster.get("/zones", response_model=schemas.ZonesOut, responses=READ_PROBLEMS)
async def get_zones(request: Request, _: Nothing) -> Response:
    """Every time zone, with its beginning: of locations, of units' clocks, of all others."""
    now = await _roster_of(request)
    return sent_json({"zones": [_zone_payload(now, one) for one in now.zones]})


@roster.post(
    "/zones",
    status_code=201,
    response_model=schemas.ZoneOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ZoneIn),
)
async def post_zone(request: Request, _: Nothing) -> Response:
    """Put a zone in force from a time on, until the next one begins."""
    body = await body_of(request, schemas.ZoneIn)
    location_id, serial = await _scope(request, body)
    add = partial(
        stored.add_zone,
        location_id=location_id,
        serial=serial,
        zone=body.zone,
        from_device_time=body.from_device_time,
    )
    await _change(request, "zone_add", body.model_dump(), add)
    return sent_json(_zone_of(body, body.zone, serial), 201)


@roster.patch(
    "/zones",
    response_model=schemas.ZoneOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ChangeZoneIn),
)
async def patch_zone(request: Request, query: WhichZone) -> Response:
    """Correct a zone, for everything that was and will be recorded under it."""
    body = await body_of(request, schemas.ChangeZoneIn)
    location_id, serial = await _scope(request, query)
    change = partial(
        stored.change_zone,
        location_id=location_id,
        serial=serial,
        from_device_time=query.from_device_time,
        zone=body.zone,
    )
    await _change(request, "zone_change", {**query.model_dump(), "zone": body.zone}, change)
    return sent_json(_zone_of(query, body.zone, serial))


@roster.delete("/zones", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_zone(request: Request, query: WhichZone) -> Response:
    """Remove a zone; the one before it is in force then."""
    location_id, serial = await _scope(request, query)
    remove = partial(
        stored.remove_zone,
        location_id=location_id,
        serial=serial,
        from_device_time=query.from_device_time,
    )
    await _change(request, "zone_remove", query.model_dump(), remove)
    return Response(status_code=204)


async def _scope(request: Request, query: schemas.ZoneQuery) -> tuple[int | None, str]:
    """Return the location's number, and whose clock it is otherwise."""
    if query.location is not None:
        return (await _location(request, query.location)).id, ""
    return None, query.serial or ALL_UNITS


# --- payloads ------------------------------------------------------------------------------------


def _zone_of(query: schemas.ZoneQuery, zone: str, serial: str) -> Payload:
    return {
        "location": query.location,
        "serial": serial or None,
        "zone": zone,
        "from_device_time": query.from_device_time,
    }


def _zone_payload(now: Roster, zone: Zone) -> Payload:
    location = None if zone.location_id is None else now.locations.get(zone.location_id)
    return {
        "location": None if location is None else location.name,
        "serial": zone.serial or None,
        "zone": zone.zone,
        "from_device_time": zone.from_device_time,
    }


def _sure(now: Roster, name: str) -> Location:
    found = now.location_named(name)
    assert found is not None
    return found


def _sure_route(now: Roster, address: str) -> Route:
    found = now.route_at(address)
    assert found is not None
    return found


class _View:
    """What one client may see of the roster. Lives for one request."""

    def __init__(self, request: Request) -> None:
        self._principal: Principal = principal_of(request)
        self._gateway: Gateway = gateway_of(request)

    def unit(
        self, now: Roster, location: Location | None, unit: Unit | None = None
    ) -> Payload | None:
        """Return a unit at its location, or one without; ``None``: the client may not see it."""
        if unit is None and location is not None and location.serial is not None:
            unit = now.units.get(location.serial)
        serial = None if unit is None else unit.serial
        every = [] if location is None else now.routes_of(location)
        routes = [one for one in every if self._may_see(parse_address(one.address), serial)]
        is_its_own = serial is not None and serial in self._principal.units
        if self._principal.is_limited and not (routes or is_its_own):
            return None
        if every and not routes and not is_its_own:
            return None  # the settings admit none of its addresses
        shown = [self.route(one) for one in routes]
        # As a request by serial number does: its location's routes, then where else it answered.
        met = [] if serial is None else self._met_over(serial, every)
        taken = [(one["conn_key"], one["backing_off"]) for one in shown if one["enabled"]]
        taken += [
            (self._gateway.conn_key(one), self._gateway.registry.is_backing_off(one)) for one in met
        ]
        preferred = next((key for key, is_backing_off in taken if not is_backing_off), None)
        if preferred is None and taken:
            preferred = taken[0][0]
        facts = {name: None if unit is None else getattr(unit, name) for name in OF_UNIT}
        place = {
            name: None if location is None else getattr(location, name)
            for name in ("name", "project", "latitude", "longitude")
        }
        return {
            **place,
            "conn_key": preferred,
            "serial": serial,
            "confirmed": location is None or location.serial == location.confirmed_serial,
            **facts,
            "added_at": None if unit is None else unit.added_at,
            "routes": shown,
            "last_contact_at": self._last_contact_at(
                [*(one["conn_key"] for one in shown), *map(self._gateway.conn_key, met)], serial
            ),
        }

    def _last_contact_at(self, conn_keys: Iterable[str], serial: str | None) -> str | None:
        """Return when a unit answered last over one of these routes since the relay's start."""
        known = self._gateway.roster.contacts
        contacts = [known[key] for key in conn_keys if key in known]
        return max((plain(one.at) for one in contacts if one.serial == serial), default=None)

    def _met_over(self, serial: str, routes: Iterable[Route]) -> list[Address]:
        """Return where a unit answered last beside these routes, as far as the client may know."""
        besides = [parse_address(one.address) for one in routes]
        met = self._gateway.roster.met_over(serial, besides=besides)
        return [one for one in met if self._may_see(one, serial)]

    def location(self, now: Roster, location: Location) -> Payload:
        """Return a location with what belongs to it."""
        names = ("name", "project", "latitude", "longitude", "serial", "confirmed_serial")
        stays = [one for one in now.places if one.location_id == location.id]
        stays.sort(key=lambda one: one.from_device_time, reverse=True)
        may_use = self._principal.may_use
        return {
            **{name: getattr(location, name) for name in names},
            "routes": [
                self.route(one)
                for one in now.routes_of(location)
                if self._may_see(parse_address(one.address), location.serial)
            ],
            "zones": [_zone_payload(now, one) for one in reversed(now.zones_of(location.id))],
            "stays": [
                {
                    name: getattr(one, name)
                    for name in ("serial", "from_device_time", "until_device_time")
                }
                for one in stays
                if may_use(one.serial)
            ],
        }

    def route(self, route: Route) -> Payload:
        """Return a route."""
        address = parse_address(route.address)
        conn_key = self._gateway.conn_key(address)
        contact = self._gateway.roster.contacts.get(conn_key)
        names = ("address", "priority", "keep_open_s", "enabled")
        return {
            **{name: getattr(route, name) for name in names},
            "conn_key": conn_key,
            "backing_off": self._gateway.registry.is_backing_off(address),
            "last_contact_at": None if contact is None else plain(contact.at),
            "last_serial": None if contact is None else contact.serial,
        }

    def _may_see(self, address: Address, serial: str | None) -> bool:
        principal = self._principal
        if not self._gateway.egress.allows(address, is_local=principal.token_id is None):
            return False
        return principal.may_use_route(self._gateway.conn_key(address)) or (
            serial is not None and principal.may_use(serial)
        )
