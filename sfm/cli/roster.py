"""
Commands for the roster: units, locations, routes and zones.

With ``--relay`` they go through that relay, with a token from ``SFM_TOKEN`` or ``--token-file``.
Without it they use the database itself, which no relay may have open then.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
from cyclopts import App, Parameter

from sfm.access.names import folded
from sfm.api.app import build_app
from sfm.cli.access import ANSWER_S, Admin, ThisRelay
from sfm.cli.application import (
    MISUSED,
    CommandError,
    Json,
    app,
    err,
    failure,
    handles_errors,
    out,
    shown_token,
)
from sfm.cli.database import Database, database_url
from sfm.cli.roster_views import location_view, locations_view, unit_view, units_view
from sfm.cli.unit import OPEN
from sfm.cli.views import safe_text
from sfm.logs import configure_logs
from sfm.settings import Settings
from sfm.store.errors import StoreInUseError

__all__ = ["COLUMNS", "location", "route", "unit", "zone"]

unit = App(name="unit", help="Add, list, bench and retire units; their routes.")
route = App(name="route", help="Add, change and remove addresses of locations.")
location = App(name="location", help="Add and list locations; say which unit is where since when.")
zone = App(name="zone", help="Which time zone is in force at a location, since when.")
app.command(unit)
app.command(location)
unit.command(route)
location.command(zone)

State = Literal["deployed", "benched", "retired"]
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

    def __init__(self, client: httpx.AsyncClient, where: str) -> None:
        self._client = client
        self._where = where

    async def ask(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None
    ) -> Any:
        """
        Return the body of an answer; ``None``: it has none.

        Raises:
            CommandError: it is a problem, or no answer of a relay.
        """
        try:
            # A redirection would take the token elsewhere: none is followed.
            response = await self._client.request(method, path, json=body, params=query)
            answer = response.json() if response.content else None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(
                f"no relay answers at {self._where} ({str(error) or type(error).__name__}); start "
                "one with: seismo-relay serve, or leave out --relay to use the database itself"
            ) from error
        except ValueError:
            answer = ""
        if response.is_error and isinstance(answer, dict):
            raise failure(answer)
        if response.is_error or response.is_redirect or isinstance(answer, str):
            raise CommandError(
                f"{self._where} answers {response.status_code}, but not as a relay does"
            )
        return answer


@contextlib.asynccontextmanager
async def _opened(
    relay: str | None, admin: Path | None, database: str | None
) -> AsyncIterator[Roster]:
    if relay is not None:
        secret = shown_token(admin)
        headers = None if secret is None else {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            base_url=relay.rstrip("/"), headers=headers, timeout=ANSWER_S
        ) as client:
            yield Roster(client, relay)
        return
    configure_logs(quiet=True)
    url = database_url(database)
    application = build_app(Settings(**{**OPEN, "database_url": url}))
    gateway = application.state.gateway
    try:
        try:
            await gateway.store_service.start()
        except StoreInUseError as error:
            raise CommandError(
                f"{error}. Through the relay: --relay URL with SFM_TOKEN or --token-file"
            ) from error
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", timeout=None
        ) as client:
            yield Roster(client, url)
    finally:
        await gateway.close()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _print_note(sentence: str) -> None:
    err.print(safe_text(sentence), soft_wrap=True)


def _print_json(body: Any) -> None:
    sys.stdout.write(json.dumps(body, indent=2) + "\n")


def _show(body: Any, sentence: str, as_json: bool) -> None:
    if as_json:
        _print_json(body)
    else:
        _print_note(sentence)


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
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    Add a unit; with --location and --address also where it is and how it is reached.

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
    async with _opened(relay, admin, database) as roster:
        await _add_row(roster, row)
        [found] = [one for one in await _units(roster) if one["serial"] == serial]
    _show(found, f"Unit {serial} is in the roster{_at(found)}.", as_json)


def _at(found: dict[str, Any]) -> str:
    return "" if found["name"] is None else f", at {found['name']}"


async def _units(roster: Roster) -> list[dict[str, Any]]:
    body = await roster.ask("GET", "/units")
    for damage in body["damaged"]:
        _print_note(damage)
    found: list[dict[str, Any]] = body["units"]
    return found


async def _add_row(roster: Roster, row: dict[str, Any]) -> list[str]:
    """Add what one row names and the roster does not have; return what was added."""
    added = []
    serial, name = row["serial"], row.get("location")
    known = {folded(one["serial"]) for one in await _units(roster) if one["serial"] is not None}
    if folded(serial) not in known:
        body = {"serial": serial, **{k: row[k] for k in OF_UNIT if k in row}}
        await roster.ask("POST", "/units", body)
        added.append(f"unit {serial}")
    if name is None:
        return added
    places = {
        folded(one["name"]): one for one in (await roster.ask("GET", "/locations"))["locations"]
    }
    place = places.get(folded(name))
    if place is None:
        body = {"name": name, **{k: row[k] for k in OF_LOCATION if k in row}}
        place = await roster.ask("POST", "/locations", body)
        added.append(f"location {name}")
    if "zone" in row and not place["zones"]:
        await roster.ask("POST", "/zones", {"location": place["name"], "zone": row["zone"]})
        added.append(f"zone {row['zone']}")
    if "address" in row and not place["routes"]:
        body = {"location": place["name"], "address": row["address"]}
        await roster.ask("POST", "/routes", body)
        added.append(f"route {row['address']}")
    if place["serial"] is None and not place["stays"]:
        body = {"serial": serial, "from_device_time": ""}
        await roster.ask("POST", f"/locations/{quote(place['name'], safe='')}/unit", body)
        added.append(f"{serial} at {place['name']}")
    return added


@unit.command(name="import")
@handles_errors
async def import_(
    file: Path,
    *,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    Add the units of a CSV file, with their locations, routes and zones.

    What the roster has already is left as it is, so a file may be imported again. A row that cannot
    be added is named, and the others are added all the same; the exit status is then 1.

    Parameters
    ----------
    file
        Its first line names the columns: serial, and any of location, address, project, latitude,
        longitude, zone, notes, calibrated_on, calibration_due_on.
    """
    rows = _rows_of(file)
    done: list[dict[str, Any]] = []
    async with _opened(relay, admin, database) as roster:
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
        _print_json({"rows": done})
    else:
        for one in done:
            what = one["error"] or ", ".join(one["added"]) or "nothing new"
            _print_note(f"line {one['line']}: {what}")
    if failed:
        raise CommandError(f"{len(failed)} of {len(done)} rows could not be added")


def _rows_of(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a CSV file with their line numbers, before anything is added."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", MISUSED) from error
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
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """List units with their locations, and locations whose unit is not known yet."""
    async with _opened(relay, admin, database) as roster:
        found = await _units(roster)
    if as_json:
        _print_json({"units": found})
        return
    out.print(units_view(found))


@unit.command
@handles_errors
async def show(
    unit: str,
    *,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    Show one unit: state, calibration, location, routes.

    Parameters
    ----------
    unit
        Its serial number, or the name of its location.
    """
    async with _opened(relay, admin, database) as roster:
        found = await _units(roster)
    wanted = [
        one
        for one in found
        if folded(unit) in {folded(one["serial"] or ""), folded(one["name"] or "")}
    ]
    if not wanted:
        raise CommandError(f"the roster has no unit or location {unit!r}; see: unit list")
    if as_json:
        _print_json(wanted[0])
    else:
        out.print(unit_view(wanted[0]))


async def _change_unit(
    serial: str,
    relay: str | None,
    admin: Path | None,
    database: str | None,
    as_json: bool,
    sentence: str,
    **values: Any,
) -> None:
    async with _opened(relay, admin, database) as roster:
        body = await roster.ask("PATCH", f"/units/{quote(serial, safe='')}", values)
    _show(body, sentence, as_json)


@unit.command
@handles_errors
async def bench(
    serial: str,
    *,
    notes: str | None = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Mark a unit as not in the field; where it stood stays known."""
    values = _given(state="benched", notes=notes)
    await _change_unit(
        serial, relay, admin, database, as_json, f"Unit {serial} is benched.", **values
    )


@unit.command
@handles_errors
async def retire(
    serial: str,
    *,
    notes: str | None = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Mark a unit as out of use for good; its recordings stay."""
    values = _given(state="retired", notes=notes)
    await _change_unit(
        serial, relay, admin, database, as_json, f"Unit {serial} is retired.", **values
    )


@unit.command
@handles_errors
async def deploy(
    serial: str,
    *,
    notes: str | None = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Mark a unit as in the field again."""
    values = _given(state="deployed", notes=notes)
    await _change_unit(
        serial, relay, admin, database, as_json, f"Unit {serial} is deployed.", **values
    )


# --- routes --------------------------------------------------------------------------------------


@route.command(name="add")
@handles_errors
async def add_route(
    location: str,
    address: str,
    *,
    priority: int | None = None,
    keep_open_s: float | None = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
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
    async with _opened(relay, admin, database) as roster:
        added = await roster.ask("POST", "/routes", body)
    _show(added, f"{added['address']} is a route of {location}.", as_json)


@route.command(name="change")
@handles_errors
async def change_route(
    address: str,
    *,
    enabled: bool | None = None,
    priority: int | None = None,
    keep_open_s: float | None = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
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
    async with _opened(relay, admin, database) as roster:
        changed = await roster.ask("PATCH", "/routes", body, {"address": address})
    _show(changed, f"The route {changed['address']} is changed.", as_json)


@route.command(name="remove")
@handles_errors
async def remove_route(
    address: str,
    *,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
) -> None:
    """Remove an address from its location."""
    async with _opened(relay, admin, database) as roster:
        await roster.ask("DELETE", "/routes", query={"address": address})
    _print_note(f"{address} is no route any more.")


# --- locations -----------------------------------------------------------------------------------


@location.command(name="add")
@handles_errors
async def add_location(
    name: str,
    *,
    project: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
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
    async with _opened(relay, admin, database) as roster:
        added = await roster.ask("POST", "/locations", body)
    _show(added, f"Location {name} is in the roster.", as_json)


@location.command(name="list")
@handles_errors
async def list_locations(
    *,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """List locations with the unit, routes and present zone of each."""
    async with _opened(relay, admin, database) as roster:
        body = await roster.ask("GET", "/locations")
    if as_json:
        _print_json(body)
        return
    out.print(locations_view(body["locations"]))


@location.command(name="show")
@handles_errors
async def show_location(
    name: str,
    *,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Show one location: coordinates, routes, zones, and which unit stood there when."""
    async with _opened(relay, admin, database) as roster:
        body = await roster.ask("GET", "/locations")
    found = [one for one in body["locations"] if folded(one["name"]) == folded(name)]
    if not found:
        raise CommandError(f"the roster has no location {name!r}; see: location list")
    if as_json:
        _print_json(found[0])
    else:
        out.print(location_view(found[0]))


@location.command
@handles_errors
async def move(
    name: str,
    serial: str,
    *,
    since: Annotated[str | None, Parameter(name="--from")] = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
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
    async with _opened(relay, admin, database) as roster:
        moved = await roster.ask("POST", f"/locations/{quote(name, safe='')}/unit", body)
    what = f"Unit {whose} is" if whose else "No unit is"
    _show(moved, f"{what} at {moved['name']} from then on.", as_json)


@zone.command(name="set")
@handles_errors
async def set_zone(
    name: str,
    zone: str,
    *,
    since: Annotated[str | None, Parameter(name="--from")] = None,
    relay: ThisRelay = None,
    admin: Admin = None,
    database: Database = None,
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
    async with _opened(relay, admin, database) as roster:
        try:
            body = await roster.ask("POST", "/zones", {**whose, **when, "zone": zone})
        except CommandError as error:
            if not str(error.problem.get("type", "")).endswith(":roster-conflict"):
                raise
            body = await roster.ask("PATCH", "/zones", {"zone": zone}, {**whose, **when})
    _show(body, f"{zone} is in force at {name}.", as_json)
