"""
Commands for the roster: units, locations, routes and zones.

They go through the relay that has the database, with a token from ``SFM_TOKEN`` or
``--token-file``; without a relay they use the database itself (``sfm.cli.routing``).
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

from cyclopts import App, Parameter

from sfm.access.names import folded, parse_host, parse_unit
from sfm.cli.access import ANSWER_S
from sfm.cli.application import (
    MISUSED,
    CommandError,
    Json,
    app,
    handles_errors,
    print_done,
    print_json,
    print_note,
    print_view,
    shown_token,
)
from sfm.cli.database import database_url, relay_before
from sfm.cli.exits import NO_RELAY, PARTIAL, REFUSED, TYPE_PREFIX, kind_of
from sfm.cli.roster_views import location_view, locations_view, unit_view, units_view
from sfm.cli.routing import DATABASE_DEFAULTS, DatabaseOptions, no_relay, refusal

if TYPE_CHECKING:
    import httpx

__all__ = ["COLUMNS", "ask_roster", "location", "route", "row_path", "unit", "zone"]

unit = App(name="unit", help="Add, list, change, bench and retire units; their routes.")
route = App(name="route", help="Add, change and remove addresses of locations.")
location = App(
    name="location",
    help="Add, list and change locations; record which unit is where, and since when.",
)
zone = App(name="zone", help="Which time zone is in force at a location, since when.")
app.command(unit)
app.command(location)
unit.command(route)
location.command(zone)

State = Literal["deployed", "benched", "retired"]
Removable = float | str | None
"""A number, or nothing to remove the one that is there."""
COLUMNS = (
    "serial",
    "location",
    "address",
    "project",
    "latitude",
    "longitude",
    "zone",
    "notes",
    "calibrated_on",
    "calibration_due_on",
)
"""Columns of a file for ``unit import``; only ``serial`` must have a value."""
OF_UNIT = ("notes", "calibrated_on", "calibration_due_on")
OF_LOCATION = ("project", "latitude", "longitude")


class Roster:
    """The roster routes of a relay, or of the database itself. Lives for one command."""

    def __init__(self, client: httpx.AsyncClient, where: str, base: str | None = None) -> None:
        self._client = client
        self._where = where
        self._base = base

    async def ask(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> Any:
        """
        Return the body of an answer; ``None``: it has none.

        Raises:
            CommandError: it is a problem, or no answer of a relay.
        """
        import httpx

        try:
            # A redirection would take the token elsewhere: none is followed.
            response = await self._client.request(method, path, json=body, params=query)
            answer = response.json() if response.content else None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise no_relay(self._where, error, "--direct uses the database itself") from error
        except ValueError:
            answer = ""
        if response.is_error and isinstance(answer, dict):
            raise refusal(answer, self._base)
        if response.is_error or response.is_redirect or isinstance(answer, str):
            raise CommandError(
                f"{self._where} answers {response.status_code}, but not as a relay does",
                NO_RELAY,
            )
        return answer


@contextlib.asynccontextmanager
async def _opened_roster(at: DatabaseOptions) -> AsyncIterator[Roster]:
    """Ask a relay, or the routes of one that runs in this process on the database."""
    import httpx

    if (relay := relay_before(at.database, at)) is not None:
        secret = shown_token(at.token_file)
        headers = None if secret is None else {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            base_url=relay.rstrip("/"), headers=headers, timeout=ANSWER_S
        ) as client:
            yield Roster(client, relay, relay)
        return
    from sfm.api.app import build_app
    from sfm.cli.configuration import load_settings
    from sfm.cli.direct import OPEN, client_of
    from sfm.logs import configure_logs
    from sfm.store.errors import StoreInUseError

    configure_logs(quiet=True)
    url = database_url(at.database)
    application = build_app(load_settings(**{**OPEN, "database_url": url}))
    gateway = application.state.gateway
    try:
        try:
            await gateway.store_service.start()
        except StoreInUseError as error:
            raise CommandError(
                f"{error}. Through the relay: --relay URL with SFM_TOKEN or --token-file",
                REFUSED,
            ) from error
        async with client_of(application) as client:
            yield Roster(client, url)
    finally:
        await gateway.close()


async def ask_roster(
    at: DatabaseOptions,
    method: str,
    path: str,
    body: Any = None,
    query: dict[str, Any] | None = None,
) -> Any:
    """Ask once, as ``Roster.ask``; for a command that needs one answer."""
    async with _opened_roster(at) as roster:
        return await roster.ask(method, path, body, query)


def row_path(rows: str, name: str, absent: str) -> str:
    """
    Return the path of one of the rows of a route.

    Raises:
        CommandError: ``absent``; no row can have this name, and it would lead to another route.
    """
    if name in ("", ".", "..") or "/" in name:
        raise CommandError(absent, REFUSED)
    return f"/{rows}/{quote(name, safe='')}"


def _path(kind: Literal["unit", "location"], name: str) -> str:
    return row_path(f"{kind}s", name, f"the roster has no {kind} {name!r}; see: {kind} list")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# --- units ---------------------------------------------------------------------------------------


@unit.command
@handles_errors
async def add(
    serial: str,
    *,
    location: str | None = None,
    address: str | None = None,
    notes: str | None = None,
    calibrated_on: str | None = None,
    calibration_due_on: str | None = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Add a unit; with --location and --address also where it is and how it is reached.

    What the roster lacks is added; if it says otherwise, nothing is changed (exit status 4).

    Parameters
    ----------
    serial
        Its serial number.
    location
        Where it is; the location is added if there is none of that name.
    address
        Of the location: HOST, HOST:PORT, /dev/ttyUSB0, serial:PORT:BAUD, ...
    notes
        For people.
    calibrated_on
        Date, as 2026-04-01.
    calibration_due_on
        Date.
    """
    if address is not None and location is None:
        raise CommandError("--address is of a location: give --location too", MISUSED)
    row = _given(
        serial=serial,
        location=location,
        address=address,
        notes=notes,
        calibrated_on=calibrated_on,
        calibration_due_on=calibration_due_on,
    )
    async with _opened_roster(at) as roster:
        await _add_row(roster, row)
        found = _named(await _units(roster), "serial", serial)
    assert found is not None
    print_done(found, f"Unit {found['serial']} is registered{_at(found)}.", as_json)


def _at(found: dict[str, Any]) -> str:
    return "" if found["name"] is None else f", at {found['name']}"


async def _units(roster: Roster) -> list[dict[str, Any]]:
    body = await roster.ask("GET", "/units")
    for damage in body["damaged"]:
        print_note(damage)
    found: list[dict[str, Any]] = body["units"]
    return found


async def _add_row(roster: Roster, row: dict[str, Any]) -> list[str]:
    """
    Add what one row names and the roster does not have; return what was added.

    Raises:
        CommandError: the roster says otherwise than the row, and nothing was added.
    """
    added = []
    serial, name = row["serial"], row.get("location")
    unit = _named(await _units(roster), "serial", serial)
    places = [] if name is None else (await roster.ask("GET", "/locations"))["locations"]
    place = _named(places, "name", name)
    if differences := [*_unit_differences(row, unit), *_place_differences(row, place)]:
        raise CommandError(
            f"Nothing was changed, because the roster says otherwise: {'; '.join(differences)}.",
            REFUSED,
            {
                "type": TYPE_PREFIX + "roster-conflict",
                "title": "The roster says otherwise",
                "status": 409,
                "detail": f"the roster says otherwise: {'; '.join(differences)}",
            },
        )
    if unit is None:
        await roster.ask("POST", "/units", {"serial": serial, **_facts(row, OF_UNIT)})
        added.append(f"unit {serial}")
    elif missing := _facts(row, OF_UNIT, of=unit):
        await roster.ask("PATCH", _path("unit", unit["serial"]), missing)
        added += [f"{fact} of {serial}" for fact in missing]
    if name is None:
        return added
    if place is None:
        place = await roster.ask("POST", "/locations", {"name": name, **_facts(row, OF_LOCATION)})
        added.append(f"location {name}")
    elif missing := _facts(row, OF_LOCATION, of=place):
        await roster.ask("PATCH", _path("location", place["name"]), missing)
        added += [f"{fact} of {place['name']}" for fact in missing]
    if "zone" in row and not place["zones"]:
        await roster.ask("POST", "/zones", {"location": place["name"], "zone": row["zone"]})
        added.append(f"zone {row['zone']}")
    if "address" in row and not place["routes"]:
        body = {"location": place["name"], "address": row["address"]}
        await roster.ask("POST", "/routes", body)
        added.append(f"route {row['address']}")
    if place["serial"] is None:
        body = {"serial": serial, "from_device_time": ""}
        await roster.ask("POST", f"{_path('location', place['name'])}/unit", body)
        added.append(f"{serial} at {place['name']}")
    return added


def _named(rows: list[dict[str, Any]], key: str, wanted: str | None) -> dict[str, Any] | None:
    return next(
        (one for one in rows if wanted and one[key] and folded(one[key]) == folded(wanted)), None
    )


def _facts(
    row: dict[str, Any], names: tuple[str, ...], *, of: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the facts that a row gives; those that ``of`` lacks, if there is one."""
    return {k: row[k] for k in names if k in row and (of is None or of[k] is None)}


def _unit_differences(row: dict[str, Any], unit: dict[str, Any] | None) -> list[str]:
    """Return what the roster says otherwise of the row's unit."""
    if unit is None:
        return []
    serial, name, at = unit["serial"], row.get("location"), unit["name"]
    found = _fact_differences(row, OF_UNIT, serial, unit, "unit change")
    if name is not None and at is not None and folded(at) != folded(name):
        found.append(
            f"{serial} is at {at}; to move it: seismo-relay location move '{name}' {serial}"
        )
    return found


def _place_differences(row: dict[str, Any], place: dict[str, Any] | None) -> list[str]:
    """Return what the roster says otherwise of the row's location."""
    if place is None:
        return []
    serial, name, there = row["serial"], place["name"], place["serial"]
    found = _fact_differences(row, OF_LOCATION, name, place, "location change")
    routes = [one["address"] for one in place["routes"]]
    if "address" in row and routes and _spelled(row["address"]) not in routes:
        found.append(
            f"{name} has the address {', '.join(routes)}; to add one: seismo-relay unit route add "
            f"'{name}' {row['address']}"
        )
    if "zone" in row and place["zones"] and place["zones"][0]["zone"] != row["zone"]:
        found.append(
            f"{name} has the zone {place['zones'][0]['zone']}; to change it: seismo-relay "
            f"location zone set '{name}' {row['zone']}"
        )
    if there is not None and folded(there) != folded(serial):
        found.append(
            f"{there} is at {name}; to put {serial} there: add it without a location, then "
            f"seismo-relay location move '{name}' {serial}"
        )
    if there is None and place["stays"]:
        found.append(
            f"units were at {name} before; to put {serial} there: add it without a location, then "
            f"seismo-relay location move '{name}' {serial}"
        )
    return found


def _fact_differences(
    row: dict[str, Any], names: tuple[str, ...], whose: str, known: dict[str, Any], change: str
) -> list[str]:
    return [
        f"{name} of {whose} is {known[name]!r}; to change it: seismo-relay {change} '{whose}' "
        f"--{name.replace('_', '-')} '{row[name]}'"
        for name in names
        if name in row and known[name] not in (None, row[name])
    ]


def _spelled(address: str) -> str:
    """Return an address as the roster spells it; as it is if it is none."""
    try:
        parsed = parse_unit(address)
        return str(parse_host(parsed) if isinstance(parsed, str) else parsed)
    except ValueError:
        return address


@unit.command(name="import")
@handles_errors
async def import_(
    file: Path,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Add the units of a CSV file, with their locations, routes and zones.

    What the roster has already is left as it is, so a file may be imported again. A row that cannot
    be added, or contradicts the roster, is named; the others are added all the same, and the exit
    status is 7.

    Parameters
    ----------
    file
        Its first line names the columns: serial, and any of location, address, project, latitude,
        longitude, zone, notes, calibrated_on, calibration_due_on.
    """
    rows = _rows_of(file)
    done: list[dict[str, Any]] = []
    async with _opened_roster(at) as roster:
        for number, row in rows:
            try:
                done.append({"line": number, "added": await _add_row(roster, row), "error": None})
            except CommandError as error:
                if not error.problem:
                    raise
                why = error.problem.get("detail", str(error))
                done.append({"line": number, "added": [], "error": why})
    failed = [one for one in done if one["error"] is not None]
    if as_json:
        print_json({"rows": done})
    else:
        for one in done:
            what = one["error"] or ", ".join(one["added"]) or "nothing new"
            print_note(f"line {one['line']}: {what}")
    if failed:
        raise CommandError(
            f"{len(failed)} of {len(done)} rows could not be added", PARTIAL, is_answered=True
        )


def _rows_of(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a CSV file with their line numbers, before anything is added."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise CommandError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}", MISUSED
        ) from error
    reader = csv.DictReader(text.splitlines())
    names = [name.strip() for name in reader.fieldnames or ()]
    unknown = [name for name in names if name not in COLUMNS]
    if "serial" not in names or unknown:
        raise CommandError(
            f"{file}: its first line names the columns: serial, and any of "
            f"{', '.join(COLUMNS[1:])}; unknown: {', '.join(unknown) or 'none'}",
            MISUSED,
        )
    reader.fieldnames = names
    found = []
    for cells in reader:
        number = reader.line_num
        if None in cells or None in cells.values():
            raise CommandError(f"{file}, line {number}: not as many cells as columns", MISUSED)
        row: dict[str, Any] = {k: v.strip() for k, v in cells.items() if v.strip()}
        if not row.get("serial"):
            raise CommandError(f"{file}, line {number}: no serial number", MISUSED)
        for name in ("latitude", "longitude"):
            if name in row:
                try:
                    row[name] = float(row[name])
                except ValueError:
                    raise CommandError(
                        f"{file}, line {number}: {name} is no number: {row[name]!r}", MISUSED
                    ) from None
        found.append((number, row))
    return found


@unit.command(name="list")
@handles_errors
async def list_units(
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """List units with their locations, and locations whose unit is not known yet."""
    async with _opened_roster(at) as roster:
        found = await _units(roster)
    print_view({"units": found}, lambda body: units_view(body["units"]), as_json)


@unit.command
@handles_errors
async def show(
    unit: str,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Show one unit: state, calibration, location, routes.

    Parameters
    ----------
    unit
        Its serial number, or the name of its location.
    """
    async with _opened_roster(at) as roster:
        found = await _units(roster)
    wanted = [
        one
        for one in found
        if folded(unit) in {folded(one["serial"] or ""), folded(one["name"] or "")}
    ]
    if not wanted:
        raise CommandError(f"the roster has no unit or location {unit!r}; see: unit list", REFUSED)
    print_view(wanted[0], unit_view, as_json)


async def _change_unit(
    serial: str,
    at: DatabaseOptions,
    as_json: bool,
    sentence: str,
    **values: Any,
) -> None:
    body = await ask_roster(at, "PATCH", _path("unit", serial), values)
    print_done(body, sentence, as_json)


STATES: dict[str, tuple[State, str]] = {
    "bench": ("benched", "Mark a unit as not in the field; where it stood stays known."),
    "retire": ("retired", "Mark a unit as out of use for good; its recordings stay."),
    "deploy": ("deployed", "Mark a unit as in the field again."),
}
"""What each command makes of a unit, and its help."""


def _change_to(state: State) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return the command that gives a unit this state."""

    async def change(
        serial: str,
        *,
        notes: str | None = None,
        at: DatabaseOptions = DATABASE_DEFAULTS,
        as_json: Json = False,
    ) -> None:
        values = _given(state=state, notes=notes)
        sentence = f"Unit {serial} is {state}."
        await _change_unit(serial, at, as_json, sentence, **values)

    return change


for _name, (_state, _help) in STATES.items():
    unit.command(handles_errors(_change_to(_state)), name=_name, help=_help)


@unit.command(name="change")
@handles_errors
async def change_unit(
    serial: str,
    *,
    notes: str | None = None,
    calibrated_on: str | None = None,
    calibration_due_on: str | None = None,
    microphone_low_hz: Removable = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Change what people note of a unit. What is not given stays; an empty text removes.

    Parameters
    ----------
    serial
        Its serial number.
    notes
        For people.
    calibrated_on
        Date, as 2026-04-01.
    calibration_due_on
        Date.
    microphone_low_hz
        Where the microphone's response is 3 dB down at its lower end, Hz; the data sheet has it,
        and limits of airblast depend on it.
    """
    values = _changes(
        notes=notes,
        calibrated_on=calibrated_on,
        calibration_due_on=calibration_due_on,
        microphone_low_hz=microphone_low_hz,
    )
    sentence = f"Unit {serial} is changed."
    await _change_unit(serial, at, as_json, sentence, **values)


def _changes(**values: Any) -> dict[str, Any]:
    """
    Return what a command changes; an empty text removes.

    Raises:
        CommandError: no value was given.
    """
    given = _given(**values)
    if not given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in values)
        raise CommandError(f"nothing to change: give any of {options}", MISUSED)
    return {
        name: None if value == "" or str(value).isspace() else value
        for name, value in given.items()
    }


# --- routes --------------------------------------------------------------------------------------


@route.command(name="add")
@handles_errors
async def add_route(
    location: str,
    address: str,
    *,
    priority: int | None = None,
    keep_open_s: float | None = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Add an address of a location.

    Parameters
    ----------
    location
        Its name.
    address
        HOST, HOST:PORT, tcp://HOST:PORT, /dev/ttyUSB0, COM3, serial:PORT:BAUD, rfc2217://HOST:PORT.
    priority
        The lowest is tried first; 0 if not given.
    keep_open_s
        How long a link stays open after a read, s.
    """
    body = _given(location=location, address=address, priority=priority, keep_open_s=keep_open_s)
    added = await ask_roster(at, "POST", "/routes", body)
    print_done(added, f"{added['address']} is a route of {location}.", as_json)


@route.command(name="change")
@handles_errors
async def change_route(
    address: str,
    *,
    enabled: bool | None = None,
    priority: int | None = None,
    keep_open_s: float | None = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Enable or disable a route, change its priority or keep-open time.

    Parameters
    ----------
    address
        Of the route, in any spelling.
    enabled
        Whether requests by name take it.
    priority
        The lowest is tried first.
    keep_open_s
        How long a link stays open after a read, s.
    """
    body = _given(enabled=enabled, priority=priority, keep_open_s=keep_open_s)
    changed = await ask_roster(at, "PATCH", "/routes", body, {"address": address})
    print_done(changed, f"The route {changed['address']} is changed.", as_json)


@route.command(name="remove")
@handles_errors
async def remove_route(
    address: str,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
) -> None:
    """Remove an address from its location."""
    await ask_roster(at, "DELETE", "/routes", query={"address": address})
    print_note(f"{address} is no route any more.")


# --- locations -----------------------------------------------------------------------------------


@location.command(name="add")
@handles_errors
async def add_location(
    name: str,
    *,
    project: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Add a location.

    Parameters
    ----------
    name
        1 to 64 characters, unique without regard to case; no address and no serial number.
    project
        For people.
    latitude
        Degrees.
    longitude
        Degrees.
    """
    body = _given(name=name, project=project, latitude=latitude, longitude=longitude)
    added = await ask_roster(at, "POST", "/locations", body)
    print_done(added, f"Location {name} is registered.", as_json)


@location.command(name="list")
@handles_errors
async def list_locations(
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """List locations with the unit, routes and present zone of each."""
    body = await ask_roster(at, "GET", "/locations")
    print_view(body, lambda body: locations_view(body["locations"]), as_json)


@location.command(name="show")
@handles_errors
async def show_location(
    name: str,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """Show one location: coordinates, routes, zones, and which unit stood there when."""
    body = await ask_roster(at, "GET", "/locations")
    found = [one for one in body["locations"] if folded(one["name"]) == folded(name)]
    if not found:
        raise CommandError(f"the roster has no location {name!r}; see: location list", REFUSED)
    print_view(found[0], location_view, as_json)


@location.command(name="change")
@handles_errors
async def change_location(
    name: str,
    *,
    project: str | None = None,
    latitude: Removable = None,
    longitude: Removable = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Change the project or the coordinates of a location. What is not given stays; empty removes.

    Parameters
    ----------
    name
        Of the location.
    project
        For people.
    latitude
        Degrees.
    longitude
        Degrees.
    """
    values = _changes(project=project, latitude=latitude, longitude=longitude)
    changed = await ask_roster(at, "PATCH", _path("location", name), values)
    print_done(changed, f"Location {changed['name']} is changed.", as_json)


@location.command
@handles_errors
async def move(
    name: str,
    serial: str,
    *,
    since: Annotated[str | None, Parameter(name="--from")] = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Say that a unit is at a location from a time on; its stay elsewhere ends then.

    Its events from then on belong to this location. It also confirms the unit for commands by name.

    Parameters
    ----------
    name
        Of the location.
    serial
        Of the unit; "none": no unit is there any more.
    since
        By the unit's own clock, as 2026-04-01T12:00; now, if not given and the zone is known.
    """
    whose = None if serial == "none" else serial
    body = {"serial": whose, **_given(from_device_time=since)}
    moved = await ask_roster(at, "POST", f"{_path('location', name)}/unit", body)
    what = f"Unit {whose} is" if whose else "No unit is"
    print_done(moved, f"{what} at {moved['name']} from then on.", as_json)


@zone.command(name="set")
@handles_errors
async def set_zone(
    name: str,
    zone: str,
    *,
    since: Annotated[str | None, Parameter(name="--from")] = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Put a time zone in force at a location from a time on; the same time corrects it.

    Parameters
    ----------
    name
        Of the location; "*" for all units without a zone.
    zone
        IANA name, as Europe/Oslo.
    since
        By the units' clocks, as 2026-04-01T12:00; always, if not given.
    """
    whose = {} if name == "*" else {"location": name}
    when = _given(from_device_time=since)
    async with _opened_roster(at) as roster:
        try:
            body = await roster.ask("POST", "/zones", {**whose, **when, "zone": zone})
        except CommandError as error:
            if kind_of(error.problem) != "roster-conflict":
                raise
            body = await roster.ask("PATCH", "/zones", {"zone": zone}, {**whose, **when})
    print_done(body, f"{zone} is in force at {name}.", as_json)
