"""One state of the roster: who is where, which zone was in force when, and what settings add."""

from __future__ import annotations

from datetime import datetime

import pytest

from sfm.records.roster import (
    NO_ROSTER,
    Location,
    Place,
    Roster,
    Route,
    Seeds,
    Unit,
    Zone,
)

NORTH, SOUTH = Location(id=1, name="North face"), Location(id=2, name="Süd")
UNITS = (Unit(serial="BE1"), Unit(serial="BE2"))
MOVED = "2026-05-01T12:00:00"
PLACES = (
    Place(id=1, serial="BE1", location_id=1, until_device_time=MOVED),
    Place(id=2, serial="BE1", location_id=2, from_device_time=MOVED),
)
ZONES = (
    Zone(id=1, location_id=1, zone="America/Denver"),
    Zone(id=2, location_id=1, zone="America/Chicago", from_device_time="2026-03-01T00:00:00"),
    Zone(id=3, location_id=2, zone="Europe/Oslo"),
    Zone(id=4, serial="BE2", zone="Asia/Tokyo"),
    Zone(id=5, serial="*", zone="UTC"),
)


@pytest.mark.parametrize(
    ("serial", "at", "zone"),
    [
        ("BE1", "2026-02-28T23:59:59", "America/Denver"),
        ("BE1", "2026-03-01T00:00:00", "America/Chicago"),
        ("BE1", "2026-05-01T11:59:59", "America/Chicago"),
        ("BE1", MOVED, "Europe/Oslo"),
        ("BE2", MOVED, "Asia/Tokyo"),
        ("BE9", MOVED, "UTC"),
    ],
)
def test_an_event_has_the_zone_in_force_where_its_unit_stood(
    serial: str, at: str, zone: str
) -> None:
    roster = Roster(UNITS, (NORTH, SOUTH), PLACES, (), ZONES)
    found = roster.zone_at(serial, datetime.fromisoformat(at))
    assert found is not None
    assert found.key == zone


def test_a_zone_that_begins_later_says_nothing_of_earlier_events() -> None:
    late = Zone(id=1, serial="BE1", zone="Europe/Oslo", from_device_time="2026-03-01T00:00:00")
    roster = Roster(UNITS, zones=(late,))
    assert roster.zone_at("BE1", datetime(2026, 2, 28, 23, 59, 59)) is None
    assert roster.zone_at("BE1", datetime(2026, 3, 1)) is not None
    assert roster.zone_at("BE1", None) is None


def test_with_a_damaged_zone_none_is_known() -> None:
    roster = Roster(UNITS, zones=ZONES, has_damaged_zones=True)
    assert roster.zone_at("BE2", datetime(2026, 5, 1)) is None


def test_names_and_serial_numbers_are_found_in_any_case() -> None:
    roster = Roster(UNITS, (NORTH, SOUTH))
    assert roster.location_named("SÜD") == SOUTH
    assert roster.unit_numbered("be1") == UNITS[0]
    assert roster.location_named("Sud") is None


def test_settings_add_what_is_missing() -> None:
    seeds = Seeds(
        units={"North face": "tcp://10.0.0.5", "Süd": "/dev/ttyUSB0"},
        zones={"north FACE": "Europe/Oslo", "BE1": "UTC", "*": "Asia/Tokyo"},
    )
    seeded = NO_ROSTER.with_seeds(seeds)
    roster = seeded.roster
    north = roster.location_named("North face")
    assert north is not None
    assert [one.address for one in roster.routes_of(north)] == ["tcp://10.0.0.5:12345"]
    assert [(one.location_id, one.serial, one.zone) for one in roster.zones] == [
        (north.id, "", "Europe/Oslo"),
        (None, "BE1", "UTC"),
        (None, "*", "Asia/Tokyo"),
    ]
    assert seeded.differences == []
    again = roster.with_seeds(seeds)
    assert (again.locations, again.routes, again.zones, again.differences) == ([], [], [], [])


def test_settings_change_nothing_and_the_difference_is_reported() -> None:
    routes = (
        Route(id=1, location_id=1, address="tcp://10.0.0.6:12345"),
        Route(id=2, location_id=2, address="tcp://10.0.0.7:12345"),
    )
    roster = Roster(UNITS, (NORTH, SOUTH), (), routes, ZONES)
    seeds = Seeds(
        units={
            "NORTH FACE": "tcp://10.0.0.5",
            "Other": "tcp://10.0.0.7",
            "be1": "tcp://10.0.0.8",
            "Süd": "tcp://10.0.0.7",
        },
        zones={"North face": "Europe/Oslo", "*": "UTC"},
    )
    seeded = roster.with_seeds(seeds)
    assert (seeded.locations, seeded.routes, seeded.zones) == ([], [], [])
    assert [sentence.split("; ")[0] for sentence in seeded.differences] == [
        "SFM_UNITS has 'NORTH FACE' at tcp://10.0.0.5:12345",
        "SFM_UNITS has 'Other' at tcp://10.0.0.7:12345",
        "SFM_UNITS has 'be1', which is the serial number of a unit",
        "SFM_SITE_ZONES has Europe/Oslo for 'North face'",
    ]
    assert seeded.roster.routes == roster.routes


def test_the_preferred_route_comes_first() -> None:
    routes = tuple(
        Route(id=n, location_id=1, address=f"tcp://10.0.0.{n}:1", priority=p)
        for n, p in ((1, 5), (2, 0), (3, 0))
    )
    assert [one.id for one in Roster((), (NORTH,), (), routes).routes_of(NORTH)] == [2, 3, 1]
