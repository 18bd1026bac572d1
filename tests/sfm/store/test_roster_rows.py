"""The roster on disk, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from kit.durable_world import NOW, events, rows, save_list
from sqlalchemy import text

from sfm.records.roster import Roster, Seeds
from sfm.store import Store, Wanted, archive, audit, roster
from sfm.store.audit import AuditEntry
from sfm.store.errors import DamagedRecordError, NoSuchUnitError, RosterConflictError
from sfm.store.maintenance import check

pytest_plugins = ["kit.durable_databases"]

ENTRY = AuditEntry(
    at=NOW, actor="ada", role="admin", origin="here", command="unit_add", outcome="done"
)
SEEDS = Seeds(
    units={"North face": "tcp://10.0.0.5", "South": "/dev/ttyUSB0"},
    zones={"North face": "Europe/Oslo", "*": "UTC"},
)


def change(store: Store, function: Callable[..., object], *given: Any, **more: Any) -> Roster:
    return store.write(roster.changed, lambda connection: function(connection, *given, **more))


def numbered(found: Roster, name: str) -> int:
    location = found.location_named(name)
    assert location is not None
    return location.id


def test_what_was_added_is_loaded_again_in_sound_rows(store: Store, database_url: str) -> None:
    change(store, roster.add_unit, "BE1", NOW, notes="third floor", calibrated_on="2026-01-02")
    found = change(store, roster.seed, SEEDS)
    north = numbered(found, "north FACE")
    change(store, roster.change_location, north, project="Tunnel", latitude=59.91, longitude=10.75)
    change(store, roster.change_route, "tcp://10.0.0.5:12345", priority=3, keep_open_s=60.0)
    change(store, roster.change_unit, "BE1", state="benched")
    found = change(store, roster.place_unit, north, "BE1", "2026-03-01T00:00:00")
    assert found.damaged == ()
    unit, location, [route] = (
        found.units["BE1"],
        found.locations[north],
        found.routes_of(found.locations[north]),
    )
    assert (unit.state, unit.notes, unit.calibrated_on) == ("benched", "third floor", "2026-01-02")
    assert (location.project, location.latitude, location.serial) == ("Tunnel", 59.91, "BE1")
    assert (route.priority, route.keep_open_s, route.enabled) == (3, 60.0, True)
    assert found.location_of("BE1") == location
    store.close()
    assert check(database_url).faults == []


def test_a_calibration_is_never_due_before_the_last_one_was_made(store: Store) -> None:
    change(store, roster.add_unit, "BE1", NOW, calibrated_on="2026-01-02")
    for wrong in ({"calibration_due_on": "2026-01-01"}, {"calibration_due_on": "2025-12-31"}):
        with pytest.raises(RosterConflictError, match=r"before .* 2026-01-02; change both dates"):
            change(store, roster.change_unit, "BE1", **wrong)
    change(store, roster.change_unit, "BE1", calibration_due_on="2027-01-02")
    with pytest.raises(RosterConflictError, match="cannot be due on 2027-01-02"):
        change(store, roster.change_unit, "BE1", calibrated_on="2027-02-01")
    both = {"calibrated_on": "2027-02-01", "calibration_due_on": "2028-02-01"}
    change(store, roster.change_unit, "BE1", **both)
    wrong = {"calibrated_on": "2026-01-02", "calibration_due_on": "2025-01-02"}
    with pytest.raises(RosterConflictError):
        change(store, roster.add_unit, "BE2", NOW, **wrong)


def test_settings_are_added_once_and_never_again(store: Store) -> None:
    first = change(store, roster.seed, SEEDS)
    north = numbered(first, "North face")
    change(store, roster.change_location, north, name="Portal")
    change(store, roster.change_zone, north, "", "", "Asia/Tokyo")
    differences = store.write(roster.seed, SEEDS)
    found = store.read(roster.load)
    assert found.location_named("North face") is None
    assert [one.address for one in found.routes] == [one.address for one in first.routes]
    assert found.zones_of(north)[0].zone == "Asia/Tokyo"
    [difference] = [one for one in differences if "SFM_UNITS" in one]
    assert "tcp://10.0.0.5:12345" in difference


@pytest.mark.parametrize("name", ["north FACE", "be1", "BE1"])
def test_a_name_is_one_locations_in_whatever_case(store: Store, name: str) -> None:
    change(store, roster.seed, SEEDS)
    change(store, roster.add_unit, "BE1", NOW)
    before = store.read(roster.load)
    with pytest.raises(RosterConflictError):
        change(store, roster.add_location, name)
    with pytest.raises(RosterConflictError):
        change(store, roster.change_location, numbered(before, "South"), name=name)
    change(store, roster.change_location, numbered(before, "North face"), name="NORTH face")
    assert len(store.read(roster.load).locations) == 2


def test_an_address_is_one_locations(store: Store) -> None:
    found = change(store, roster.seed, SEEDS)
    with pytest.raises(RosterConflictError, match=r"10\.0\.0\.5"):
        change(store, roster.add_route, numbered(found, "South"), "tcp://10.0.0.5:12345")
    assert len(store.read(roster.load).routes) == 2


def test_a_change_and_its_audit_entry_are_one(store: Store) -> None:
    store.write(roster.changed, partial(roster.add_unit, serial="BE1", at=NOW), ENTRY)
    with pytest.raises(RosterConflictError):
        store.write(roster.changed, partial(roster.add_unit, serial="BE1", at=NOW), ENTRY)
    assert len(rows(store, "audit")) == 1
    assert store.read(audit.verify).is_sound


def test_the_first_unit_of_a_location_stood_there_always(store: Store) -> None:
    north = numbered(change(store, roster.seed, SEEDS), "North face")
    found = change(
        store, roster.note_contact, north, "BE1", NOW, conn_key="tcp:10.0.0.5:12345", simulated=True
    )
    assert found.units["BE1"].simulated is True
    assert found.locations[north].confirmed_serial == "BE1"
    place = found.place_at("BE1", datetime(1999, 1, 1))
    assert place is not None
    assert place.location_id == north


def test_another_unit_at_a_location_is_noted_and_moves_nothing(store: Store) -> None:
    found = change(store, roster.seed, SEEDS)
    north, south = numbered(found, "North face"), numbered(found, "South")
    change(
        store,
        roster.note_contact,
        north,
        "BE1",
        NOW,
        conn_key="tcp:10.0.0.5:12345",
        simulated=False,
    )
    found = change(
        store,
        roster.note_contact,
        north,
        "BE2",
        NOW,
        conn_key="tcp:10.0.0.5:12345",
        simulated=False,
    )
    assert found.locations[north].serial == "BE2"
    assert found.locations[north].confirmed_serial == "BE1"
    assert [one.serial for one in found.places] == ["BE1"]
    assert found.location_of("BE1") is None
    # It is met at its new location, where nothing stood: since when is not known.
    found = change(
        store,
        roster.note_contact,
        south,
        "BE1",
        NOW,
        conn_key="tcp:10.0.0.5:12345",
        simulated=False,
    )
    assert found.location_of("BE1") == found.locations[south]
    assert [one.location_id for one in found.places] == [north]


def test_a_move_ends_one_stay_and_begins_another(store: Store) -> None:
    found = change(store, roster.seed, SEEDS)
    north, south = numbered(found, "North face"), numbered(found, "South")
    for serial in ("BE1", "BE2"):
        change(store, roster.add_unit, serial, NOW)
    change(store, roster.place_unit, north, "BE1", "")
    change(store, roster.place_unit, south, "BE2", "")
    found = change(store, roster.place_unit, south, "BE1", "2026-05-01T12:00:00")
    assert found.locations[north].serial is None
    assert (found.locations[south].serial, found.locations[south].confirmed_serial) == ("BE1",) * 2
    assert {
        (p.serial, p.location_id, p.from_device_time, p.until_device_time) for p in found.places
    } == {
        ("BE1", north, "", "2026-05-01T12:00:00"),
        ("BE1", south, "2026-05-01T12:00:00", None),
        ("BE2", south, "", "2026-05-01T12:00:00"),
    }
    with pytest.raises(RosterConflictError, match="later time"):
        change(store, roster.place_unit, north, "BE1", "2026-04-01T00:00:00")
    # The same time corrects the place.
    found = change(store, roster.place_unit, north, "BE1", "2026-05-01T12:00:00")
    assert [p.location_id for p in found.places_of("BE1")] == [north, north]
    found = change(store, roster.place_unit, north, None, "2026-06-01T00:00:00")
    assert found.location_of("BE1") is None
    assert found.place_at("BE1", datetime(2026, 6, 1)) is None


def test_what_has_a_past_is_not_removed(store: Store) -> None:
    north = numbered(change(store, roster.seed, SEEDS), "North face")
    save_list(store, events(1))  # of BE18189
    change(
        store,
        roster.note_contact,
        None,
        "BE18189",
        NOW,
        conn_key="tcp:10.0.0.5:12345",
        simulated=False,
    )
    change(store, roster.add_unit, "BE1", NOW)
    change(store, roster.place_unit, north, "BE1", "")
    for serial in ("BE1", "BE18189"):
        with pytest.raises(RosterConflictError, match="retired"):
            change(store, roster.remove_unit, serial)
    with pytest.raises(RosterConflictError, match="BE1"):
        change(store, roster.remove_location, north)
    change(store, roster.add_unit, "BE2", NOW)
    change(store, roster.remove_unit, "BE2")
    found = change(store, roster.remove_location, numbered(store.read(roster.load), "South"))
    assert [one.address for one in found.routes] == ["tcp://10.0.0.5:12345"]
    with pytest.raises(NoSuchUnitError):
        change(store, roster.remove_unit, "BE2")


def test_zones_begin_at_different_times(store: Store) -> None:
    north = numbered(change(store, roster.seed, SEEDS), "North face")
    change(store, roster.add_zone, north, "", "Asia/Tokyo", "2026-03-01T00:00:00")
    with pytest.raises(RosterConflictError):
        change(store, roster.add_zone, north, "", "UTC", "2026-03-01T00:00:00")
    found = change(store, roster.remove_zone, north, "", "")
    assert [one.zone for one in found.zones_of(north)] == ["Asia/Tokyo"]
    with pytest.raises(NoSuchUnitError):
        change(store, roster.change_zone, north, "", "", "UTC")


DAMAGE = {
    "units": "state = 'retired'",
    "locations": "name = 'North fact'",
    "routes": "address = 'tcp://10.0.0.6:12345'",
    "unit_places": "until_device_time = '2026-01-01T00:00:00'",
    "zones": "zone = 'Asia/Tokyo'",
}


@pytest.mark.parametrize("table", DAMAGE)
def test_a_damaged_row_is_named_and_never_used(store: Store, table: str, database_url: str) -> None:
    north = numbered(change(store, roster.seed, SEEDS), "North face")
    change(
        store,
        roster.note_contact,
        north,
        "BE1",
        NOW,
        conn_key="tcp:10.0.0.5:12345",
        simulated=False,
    )
    sound = store.read(roster.load)
    at = datetime(2026, 2, 1)
    assert sound.zone_at("BE1", at) is not None
    key = "serial = 'BE1'" if table == "units" else f"id = (SELECT min(id) FROM {table})"
    with store.engines.write() as connection:
        connection.execute(text(f"UPDATE {table} SET {DAMAGE[table]} WHERE {key}"))
    found = store.read(roster.load)
    assert len(found.damaged) == 1
    assert table in found.damaged[0]
    assert [one.address for one in found.routes] == (
        [one.address for one in sound.routes]
        if table != "routes"
        else ["serial:/dev/ttyUSB0:38400"]
    )
    assert (found.zone_at("BE1", at) is None) is (table in ("zones", "unit_places"))
    if found.has_damaged_zones:
        save_list(store, events(1))
        [row] = store.read(archive.load_page, Wanted(), zones=found).rows
        assert (row["utc"], row["utc_unknown"]) == (None, "damaged-zones")
    # Nothing is added in the place of what cannot be read.
    store.write(roster.seed, SEEDS)
    assert len(rows(store, "locations")) == 2
    assert len(rows(store, "routes")) == 2
    if table == "locations":
        with pytest.raises(DamagedRecordError):
            change(store, roster.change_location, north, project="x")
    store.close()
    [fault] = check(database_url).faults
    assert table in fault
