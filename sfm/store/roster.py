"""
The roster on disk: units, locations, where units stood, routes and zones (``sfm.records.roster``).

The rule: rows that do not match their hash are never used. A damaged route leads nowhere; with a
damaged place or zone no zone is known, since a wrong UTC is worse than none.

All functions take a connection in a transaction of ``Store``. Those that change something are
called through ``changed``, which writes the audit entry in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from sfm.access.names import check_name, check_serial, folded
from sfm.records.roster import Location, Meeting, Place, Roster, Route, Seeds, Unit, Zone
from sfm.records.site_time import utc_text
from sfm.store import audit, schema
from sfm.store.advisory_locks import AdvisoryLock
from sfm.store.audit import AuditEntry
from sfm.store.errors import DamagedRecordError, NoSuchUnitError, RosterConflictError
from sfm.store.row_hashes import is_sound, read_rows, with_hash

__all__ = [
    "add_location",
    "add_route",
    "add_unit",
    "add_zone",
    "change_location",
    "change_route",
    "change_unit",
    "change_zone",
    "changed",
    "confirm",
    "load",
    "note_contact",
    "place_unit",
    "remove_location",
    "remove_route",
    "remove_unit",
    "remove_zone",
    "seed",
]

units, locations, places = schema.units, schema.locations, schema.unit_places
routes, zones, meetings = schema.routes, schema.zones, schema.meetings
_NOT_THEIRS = ("row_hash", "folded_name")
"""Columns that are of the table alone."""


def load(connection: Connection) -> Roster:
    """Return the whole roster; damaged rows are named in it and left out."""
    damaged: list[str] = []

    def rows(table: Table, kind: Callable[..., Any]) -> tuple[Any, ...]:
        found = []
        for key, row in read_rows(connection, table, select(table)):
            if row is None or not _is_sound(table, row):
                damaged.append(f"{table.name} {key[0]}: the row does not match its hash")
            else:
                found.append(kind(**{k: row[k] for k in row if k not in _NOT_THEIRS}))
        return tuple(found)

    parts = (rows(units, Unit), rows(locations, Location))
    before = len(damaged)
    stood, in_force = rows(places, Place), rows(zones, Zone)
    has_damaged_zones = len(damaged) > before
    return Roster(
        *parts,
        stood,
        rows(routes, Route),
        in_force,
        rows(meetings, Meeting),
        damaged=tuple(damaged),
        has_damaged_zones=has_damaged_zones,
    )


def changed(
    connection: Connection,
    function: Callable[[Connection], object],
    entry: AuditEntry | None = None,
) -> Roster:
    """
    Change the roster by ``function``; return it as it is then.

    Args:
        connection: a transaction that may write.
        function: one of this module, with its arguments.
        entry: who changed what, for the audit log; ``None``: nobody did, a unit was met.

    Raises:
        StoreError: the function's own; nothing is changed then.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({AdvisoryLock.ROSTER})"))
    function(connection)
    if entry is not None:
        audit.append(connection, entry)
    return load(connection)


def seed(connection: Connection, seeds: Seeds) -> list[str]:
    """
    Add what the settings name and the roster does not have; return where they differ otherwise.

    With damaged rows nothing is added: what seems to be missing may be one of them.
    """
    found = load(connection)
    seeded = found.with_seeds(seeds)
    if found.damaged:
        return seeded.differences
    numbers: dict[int | None, int | None] = {None: None} | {n: n for n in found.locations}
    for location in seeded.locations:
        numbers[location.id] = add_location(connection, location.name)
    for route in seeded.routes:
        number = numbers[route.location_id]
        assert number is not None
        add_route(connection, number, route.address)
    for zone in seeded.zones:
        add_zone(connection, numbers[zone.location_id], zone.serial, zone.zone)
    return seeded.differences


# --- units ---------------------------------------------------------------------------------------


def add_unit(
    connection: Connection,
    serial: str,
    at: datetime,
    *,
    simulated: bool | None = None,
    **values: Any,
) -> None:
    """
    Add a unit that was not read yet.

    Args:
        connection: a transaction that may write.
        serial: its serial number.
        at: the time of day, UTC.
        simulated: whether it is a simulation; ``None``: not known.
        values: ``state``, ``notes``, ``calibrated_on``, ``calibration_due_on``,
            ``microphone_low_hz``.

    Raises:
        RosterConflictError: it is there already, or a location has that name; its next calibration
            is due before the last one was made.
        ValueError: it is no serial number.
    """
    check_serial(serial)
    if _unit_row(connection, serial) is not None:
        raise RosterConflictError(f"unit {serial} is in the roster already")
    if _location_row(connection, locations.c.folded_name == folded(serial)) is not None:
        raise RosterConflictError(f"{serial} is the name of a location; rename that one first")
    row = {
        "serial": serial,
        "simulated": simulated,
        "state": "deployed",
        "notes": None,
        "calibrated_on": None,
        "calibration_due_on": None,
        "microphone_low_hz": None,
        "added_at": utc_text(at),
        **values,
    }
    _check_calibration(row)
    connection.execute(insert(units), [with_hash("units", row)])


def change_unit(connection: Connection, serial: str, **values: Any) -> None:
    """
    Set values of a unit; those not given stay.

    Raises:
        NoSuchUnitError: the roster does not have it.
        RosterConflictError: its next calibration would be due before the last one was made.
    """
    row = _unit_row(connection, serial)
    if row is None:
        raise NoSuchUnitError(f"the roster has no unit {serial}")
    _check_calibration({**row, **values})
    _write(connection, units, row, values)


def _check_calibration(row: Mapping[str, Any]) -> None:
    made_on, due_on = row["calibrated_on"], row["calibration_due_on"]
    if made_on is not None and due_on is not None and due_on < made_on:
        raise RosterConflictError(
            f"the next calibration cannot be due on {due_on}, before the last one was made on "
            f"{made_on}; change both dates together"
        )


def remove_unit(connection: Connection, serial: str) -> None:
    """
    Remove a unit that was added by mistake.

    Raises:
        NoSuchUnitError: the roster does not have it.
        RosterConflictError: it was read, or stood somewhere: retire it instead.
    """
    if _unit_row(connection, serial) is None:
        raise NoSuchUnitError(f"the roster has no unit {serial}")
    r = schema.recordings.c
    has_recordings = connection.execute(select(r.id).where(r.serial == serial).limit(1)).first()
    stood = connection.execute(
        select(places.c.id).where(places.c.serial == serial).limit(1)
    ).first()
    of_location = _location_row(
        connection, or_(locations.c.serial == serial, locations.c.confirmed_serial == serial)
    )
    if has_recordings or stood or of_location is not None:
        raise RosterConflictError(
            f"unit {serial} has recordings or stood at a location; set its state to retired instead"
        )
    connection.execute(delete(zones).where(zones.c.serial == serial, zones.c.location_id.is_(None)))
    connection.execute(delete(meetings).where(meetings.c.serial == serial))
    connection.execute(delete(units).where(units.c.serial == serial))


def note_contact(
    connection: Connection,
    location_id: int | None,
    serial: str,
    at: datetime,
    *,
    conn_key: str,
    simulated: bool | None,
) -> None:
    """
    Note that a unit answered over a route, at a location if the address is one of its routes.

    The first unit of a location is its confirmed one, and stood there always unless it stood
    elsewhere. Another one is only noted: a person confirms it, and says since when it is there.
    """
    row = _unit_row(connection, serial)
    if row is None:
        values = {"simulated": simulated, "state": "deployed", "added_at": utc_text(at)}
        connection.execute(insert(units), [with_hash("units", {"serial": serial, **values})])
    elif simulated is not None and row["simulated"] is not simulated:
        _write(connection, units, row, {"simulated": simulated})
    _note_meeting(connection, conn_key, serial)
    location = None if location_id is None else _location_numbered(connection, location_id)
    if location is None:
        return
    if location["serial"] != serial:
        _leave_elsewhere(connection, serial, location["id"])
        _write(connection, locations, location, {"serial": serial})
    if location["confirmed_serial"] is None:
        confirm(connection, location["id"], serial)
        stays = connection.execute(
            select(places.c.id).where(
                or_(places.c.serial == serial, places.c.location_id == location["id"])
            )
        ).first()
        if stays is None:
            _add_place(connection, serial, location["id"], "")


def _note_meeting(connection: Connection, conn_key: str, serial: str) -> None:
    """Note that a unit answered over a route; no other is the latest one there now."""
    m = meetings.c
    query = select(meetings).where(m.conn_key == conn_key)
    known = {key[1] for key, _ in read_rows(connection, meetings, query)}
    for one in known | {serial}:
        row = {"conn_key": conn_key, "serial": one, "is_latest": one == serial}
        if one in known:
            connection.execute(delete(meetings).where(m.conn_key == conn_key, m.serial == one))
        connection.execute(insert(meetings), [with_hash("meetings", row)])


# --- locations -----------------------------------------------------------------------------------


def add_location(
    connection: Connection,
    name: str,
    *,
    project: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
) -> int:
    """
    Add a location; return its number.

    Raises:
        RosterConflictError: another location has that name, or a unit that serial number.
        ValueError: it cannot be a name.
    """
    _check_free(connection, name)
    row = {
        "name": check_name(name),
        "folded_name": folded(name),
        "project": project,
        "latitude": latitude,
        "longitude": longitude,
        "serial": None,
        "confirmed_serial": None,
    }
    return _add(connection, locations, row)


def change_location(connection: Connection, location_id: int, **values: Any) -> None:
    """
    Set values of a location; those not given stay.

    Raises:
        NoSuchUnitError: there is no such location.
        RosterConflictError: another location has the new name.
        ValueError: it cannot be a name.
    """
    row = _location_numbered(connection, location_id)
    if "name" in values:
        if folded(values["name"]) != row["folded_name"]:
            _check_free(connection, values["name"])
        values = {**values, "name": check_name(values["name"])}
        values["folded_name"] = folded(values["name"])
    _write(connection, locations, row, values)


def remove_location(connection: Connection, location_id: int) -> None:
    """
    Remove a location at which no unit ever stood, with its routes and zones.

    Raises:
        NoSuchUnitError: there is no such location.
        RosterConflictError: a unit stood there: its events belong there.
    """
    row = _location_numbered(connection, location_id)
    stood = select(places.c.serial).where(places.c.location_id == location_id).limit(1)
    if found := connection.execute(stood).first():
        raise RosterConflictError(
            f"unit {found[0]} stood at {row['name']!r}, and its events belong there; disable the "
            "location's routes instead"
        )
    for table in (routes, zones, schema.limit_choices):
        connection.execute(delete(table).where(table.c.location_id == location_id))
    connection.execute(delete(locations).where(locations.c.id == location_id))


def confirm(connection: Connection, location_id: int, serial: str) -> None:
    """Let commands that name the location be for this unit from now on."""
    row = _location_numbered(connection, location_id)
    if row["confirmed_serial"] != serial:
        _write(connection, locations, row, {"confirmed_serial": serial})


def place_unit(
    connection: Connection, location_id: int, serial: str | None, from_device_time: str
) -> None:
    """
    Say that a unit stands at a location from a time of its own clock on; ``None``: no unit does.

    The stay of the unit that stood there ends then, and so does the unit's own stay elsewhere. The
    same time as that of the unit's present stay corrects where it is.

    Raises:
        NoSuchUnitError: there is no such location or unit.
        RosterConflictError: a present stay began later than that.
    """
    row = _location_numbered(connection, location_id)
    if serial is not None and _unit_row(connection, serial) is None:
        raise NoSuchUnitError(f"the roster has no unit {serial}; add it first")
    for stay in _open_stays(connection, places.c.location_id == location_id):
        if stay["serial"] != serial:
            _end(connection, stay, from_device_time)
    if serial is not None:
        is_there = False
        for stay in _open_stays(connection, places.c.serial == serial):
            if stay["location_id"] == location_id and stay["from_device_time"] <= from_device_time:
                is_there = True
            elif stay["from_device_time"] == from_device_time:
                _write(connection, places, stay, {"location_id": location_id})
                is_there = True
            else:
                _end(connection, stay, from_device_time)
        if not is_there:
            _add_place(connection, serial, location_id, from_device_time)
        _leave_elsewhere(connection, serial, location_id)
    _write(connection, locations, row, {"serial": serial, "confirmed_serial": serial})


def _end(connection: Connection, stay: RowMapping, at: str) -> None:
    if stay["from_device_time"] >= at:
        raise RosterConflictError(
            f"unit {stay['serial']} has its present place since "
            f"{stay['from_device_time'] or 'ever'}; give a later time"
        )
    _write(connection, places, stay, {"until_device_time": at})


def _open_stays(connection: Connection, which: Any) -> list[RowMapping]:
    query = select(places).where(which, places.c.until_device_time.is_(None))
    return [_sound(places, row) for _, row in read_rows(connection, places, query)]


def _leave_elsewhere(connection: Connection, serial: str, location_id: int) -> None:
    """A unit is at one location: no other has it now."""
    query = select(locations).where(locations.c.serial == serial, locations.c.id != location_id)
    for _, found in read_rows(connection, locations, query):
        _write(connection, locations, _sound(locations, found), {"serial": None})


def _add_place(connection: Connection, serial: str, location_id: int, begin: str) -> None:
    row = {
        "serial": serial,
        "location_id": location_id,
        "from_device_time": begin,
        "until_device_time": None,
    }
    _add(connection, places, row)


# --- routes --------------------------------------------------------------------------------------


def add_route(
    connection: Connection,
    location_id: int,
    address: str,
    *,
    priority: int = 0,
    keep_open_s: float | None = None,
    enabled: bool = True,
) -> int:
    """
    Add an address of a location; return the route's number.

    Raises:
        NoSuchUnitError: there is no such location.
        RosterConflictError: it is a location's address already.
    """
    _location_numbered(connection, location_id)
    row = {
        "location_id": location_id,
        "address": address,
        "priority": priority,
        "keep_open_s": keep_open_s,
        "enabled": enabled,
    }
    return _add(connection, routes, row)


def change_route(connection: Connection, address: str, **values: Any) -> None:
    """
    Set values of a route; those not given stay.

    Raises:
        NoSuchUnitError: no location has that address.
    """
    _write(connection, routes, _route_row(connection, address), values)


def remove_route(connection: Connection, address: str) -> None:
    """Remove an address. Raises as ``change_route``."""
    row = _route_row(connection, address)
    connection.execute(delete(routes).where(routes.c.id == row["id"]))


# --- zones ---------------------------------------------------------------------------------------


def add_zone(
    connection: Connection,
    location_id: int | None,
    serial: str,
    zone: str,
    from_device_time: str = "",
) -> int:
    """
    Put a zone in force from a time on; return its number.

    Args:
        connection: a transaction that may write.
        location_id: of a location; ``None``: of one unit or of all.
        serial: of which unit's clock, or ``*`` for all; empty for a location's.
        zone: an IANA name.
        from_device_time: by the unit's clock; empty: always.

    Raises:
        NoSuchUnitError: there is no such location.
        RosterConflictError: another zone begins at that time.
    """
    if location_id is not None:
        _location_numbered(connection, location_id)
    if _zone_rows(connection, location_id, serial, from_device_time):
        raise RosterConflictError(
            f"a zone begins there at {from_device_time or 'all times'} already; change that one"
        )
    row = {
        "location_id": location_id,
        "serial": serial,
        "zone": zone,
        "from_device_time": from_device_time,
    }
    return _add(connection, zones, row)


def change_zone(
    connection: Connection, location_id: int | None, serial: str, from_device_time: str, zone: str
) -> None:
    """
    Correct a zone.

    Raises:
        NoSuchUnitError: none begins there at that time.
    """
    row = _zone_row(connection, location_id, serial, from_device_time)
    _write(connection, zones, row, {"zone": zone})


def remove_zone(
    connection: Connection, location_id: int | None, serial: str, from_device_time: str
) -> None:
    """Remove a zone. Raises as ``change_zone``."""
    row = _zone_row(connection, location_id, serial, from_device_time)
    connection.execute(delete(zones).where(zones.c.id == row["id"]))


def _zone_row(
    connection: Connection, location_id: int | None, serial: str, from_device_time: str
) -> RowMapping:
    found = _zone_rows(connection, location_id, serial, from_device_time)
    if not found:
        of = serial if location_id is None else "that location"
        raise NoSuchUnitError(f"no zone of {of} begins at {from_device_time or 'all times'}")
    return found[0]


def _zone_rows(
    connection: Connection, location_id: int | None, serial: str, from_device_time: str
) -> list[RowMapping]:
    z = zones.c
    scope = z.location_id.is_(None) if location_id is None else z.location_id == location_id
    query = select(zones).where(scope, z.serial == serial, z.from_device_time == from_device_time)
    return [_sound(zones, row) for _, row in read_rows(connection, zones, query)]


# --- rows ----------------------------------------------------------------------------------------


def _belongs_to(table: Table, row: Mapping[Any, Any]) -> dict[str, str]:
    """What the hash of a row covers beside it: its number, since other rows point at that."""
    return {} if table in (units, meetings) else {"key": str(row["id"])}


def _is_sound(table: Table, row: RowMapping) -> bool:
    return is_sound(table.name, row, **_belongs_to(table, row))


def _sound(table: Table, row: RowMapping | None) -> RowMapping:
    if row is None or not _is_sound(table, row):
        raise DamagedRecordError(
            f"a row of {table.name} does not match its hash; run: seismo-relay db check"
        )
    return row


def _add(connection: Connection, table: Table, row: dict[str, Any]) -> int:
    """Insert a row and its hash, which covers the number that it gets; return that."""
    try:
        number = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
    except IntegrityError as error:
        named = row.get("address") or row.get("name")
        raise RosterConflictError(f"{named} is in the roster already") from error
    hashed = with_hash(table.name, row, key=str(number))
    connection.execute(
        update(table).where(table.c.id == number).values(row_hash=hashed["row_hash"])
    )
    return int(number)


def _write(
    connection: Connection, table: Table, row: RowMapping, values: Mapping[str, Any]
) -> None:
    """Set values of a sound row, and its hash."""
    stored = {k: v for k, v in row.items() if k != "row_hash"} | dict(values)
    [key] = table.primary_key.columns
    hashed = with_hash(table.name, stored, **_belongs_to(table, row))
    connection.execute(update(table).where(key == row[key.name]).values(hashed))


def _one(connection: Connection, table: Table, which: Any) -> RowMapping | None:
    found: Iterable[Any] = read_rows(connection, table, select(table).where(which))
    return next((_sound(table, row) for _, row in found), None)


def _unit_row(connection: Connection, serial: str) -> RowMapping | None:
    return _one(connection, units, units.c.serial == serial)


def _location_row(connection: Connection, which: Any) -> RowMapping | None:
    return _one(connection, locations, which)


def _location_numbered(connection: Connection, number: int) -> RowMapping:
    row = _location_row(connection, locations.c.id == number)
    if row is None:
        raise NoSuchUnitError("that location is not in the roster any more")
    return row


def _route_row(connection: Connection, address: str) -> RowMapping:
    row = _one(connection, routes, routes.c.address == address)
    if row is None:
        raise NoSuchUnitError(f"no location has the address {address}")
    return row


def _check_free(connection: Connection, name: str) -> None:
    if _location_row(connection, locations.c.folded_name == folded(name)) is not None:
        raise RosterConflictError(f"a location named {name!r} is in the roster already")
    known = connection.execute(select(units.c.serial)).scalars()
    if folded(name) in {folded(str(serial)) for serial in known}:
        raise RosterConflictError(f"{name!r} is the serial number of a unit")
