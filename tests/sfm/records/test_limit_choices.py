from __future__ import annotations

from typing import Any

import pytest

from sfm.analysis.limits import load_shipped
from sfm.records.limit_choices import Choice, LimitChoices
from sfm.records.roster import Location, Place, Roster, Unit
from sfm.settings import Region

ROSTER = Roster(
    (Unit(serial="BE1", microphone_low_hz=2.0), Unit(serial="BE2")),
    (Location(id=1, name="North", project="Tunnel"), Location(id=2, name="South")),
    (
        Place(id=1, serial="BE1", location_id=1, until_device_time="2026-03-01T00:00:00"),
        Place(id=2, serial="BE1", location_id=2, from_device_time="2026-03-01T00:00:00"),
    ),
)


def choice(curve: str, **more: Any) -> Choice:
    return Choice(id=1, curves=(curve,), chosen_by="Ada", chosen_at="2026-01-01", **more)


EVERY = LimitChoices(
    [
        choice("of-south", location_id=2, results="refined", parameters={"distance_ft": 300.0}),
        choice("of-tunnel", project="tunnel"),
        choice("of-all"),
    ],
    ("US", ("of-region",)),
)
BEFORE, AFTER = "2026-02-01T00:00:00", "2026-04-01T00:00:00"


@pytest.mark.parametrize(
    ("serial", "at", "project", "curve", "by"),
    [
        ("BE1", BEFORE, None, "of-tunnel", "project"),
        ("BE1", AFTER, None, "of-south", "location"),
        ("BE2", AFTER, None, "of-all", "default"),
        ("BE2", AFTER, "TUNNEL", "of-tunnel", "project"),
        (None, None, None, "of-all", "default"),
    ],
)
def test_the_nearest_choice_counts(
    serial: str | None, at: str | None, project: str | None, curve: str, by: str
) -> None:
    found = EVERY.select(ROSTER, serial, at, project)
    assert (found.curves, found.by, found.reason) == ((curve,), by, None)


def test_a_choice_has_its_results_and_parameters_and_the_unit_s_microphone() -> None:
    found = EVERY.select(ROSTER, "BE1", AFTER, None)
    assert found.results == "refined"
    assert found.parameters == {"microphone_low_hz": 2.0, "distance_ft": 300.0}


@pytest.mark.parametrize("at", [None, "1995-01-01T00:12:00", "no time"])
def test_a_time_that_shows_no_place_gives_no_curve_where_choices_differ(at: str | None) -> None:
    found = EVERY.select(ROSTER, "BE1", at, None)
    assert found.curves == ()
    assert found.reason is not None
    assert found.reason.code == "place-unknown"
    one = LimitChoices([choice("of-all")])
    assert one.select(ROSTER, "BE1", at, None).curves == ("of-all",)


def test_the_region_counts_where_nobody_chose() -> None:
    found = LimitChoices([], ("US", ("of-region",))).select(ROSTER, "BE2", AFTER, None)
    assert (found.curves, found.by) == (("of-region",), "region")


def test_without_choice_and_region_the_reason_says_what_to_do() -> None:
    found = LimitChoices().select(ROSTER, "BE2", AFTER, None)
    assert found.curves == ()
    assert found.reason is not None
    assert found.reason.code == "no-curve-chosen"
    assert "limits choose" in found.reason.detail


def test_the_setting_knows_the_regions_of_the_limits_file() -> None:
    assert set(Region.__args__) == set(load_shipped().regions)  # type: ignore[attr-defined]


def test_no_region_assumes_drywall() -> None:
    for names in load_shipped().regions.values():
        assert "usbm-ri8507-drywall" not in names


def test_nothing_is_judged_while_stored_limits_are_damaged() -> None:
    sound = LimitChoices([choice("of-all")], ("US", ("of-region",)))
    damaged = LimitChoices([choice("of-all")], ("US", ("of-region",)), ("limit_curves 1: no",))
    assert sound.select(ROSTER, "BE2", AFTER, None).curves == ("of-all",)
    found = damaged.select(ROSTER, "BE2", AFTER, None)
    assert (found.curves, found.reason and found.reason.code) == ((), "limits-damaged")
