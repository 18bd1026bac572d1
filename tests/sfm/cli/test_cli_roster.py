"""Units, locations, routes and zones on the command line: in the database, and through a relay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import Call, caller
from kit.relay_process import relay
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit
from sfm.store import Store, audit, roster


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "relay.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    for name in ("SFM_TOKEN", "SFM_TOKEN_FILE", "SFM_UNITS", "SFM_SITE_ZONES"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], database: Path) -> Call:
    call = caller(capsys)

    def run(*words: str) -> tuple[int | str, str, str]:
        status, out, err = call(*words)
        return status, out, " ".join(err.split())  # wrapped at the terminal's width

    return run


def story(run_cli: Call, *more: str) -> Any:
    """Add, move and bench a unit; return what the roster says of it then."""
    added = run_cli(
        "unit", "add", "BE12345", "--location", "North face", "--address", "10.0.0.5", *more
    )
    assert added[0] == 0, added
    assert "at North face" in added[2]
    assert run_cli("location", "zone", "set", "North face", "Europe/Oslo", *more)[0] == 0
    assert run_cli("location", "add", "Portal", "--project", "Tunnel", *more)[0] == 0
    moved = run_cli("location", "move", "Portal", "be12345", "--from", "2026-05-01T12:00", *more)
    assert moved[0] == 0, moved
    assert (
        run_cli("unit", "route", "add", "Portal", "10.0.0.6:9000", "--priority", "2", *more)[0] == 0
    )
    changed = run_cli("unit", "route", "change", "10.0.0.6:9000", "--no-enabled", *more)
    assert changed[0] == 0, changed
    assert run_cli("unit", "bench", "BE12345", *more)[0] == 0
    return json.loads(run_cli("unit", "show", "portal", "--json", *more)[1])


def judge(found: Any, path: Path) -> None:
    assert (found["serial"], found["state"], found["name"]) == ("BE12345", "benched", "Portal")
    [route] = found["routes"]
    assert (route["address"], route["enabled"], route["priority"]) == (
        "tcp://10.0.0.6:9000",
        False,
        2,
    )
    with Store.open(f"sqlite:///{path}", read_only=True) as store:
        known = store.read(roster.load)
        assert [one.until_device_time for one in known.places] == ["2026-05-01T12:00:00", None]
        assert [one.zone for one in known.zones] == ["Europe/Oslo"]
        commands = {one["command"] for one in store.read(audit.load_latest, 100, None)}
    assert {"unit_add", "location_unit", "route_change", "zone_add"} <= commands


def test_the_roster_is_changed_in_the_database(run_cli: Call, database: Path) -> None:
    judge(story(run_cli), database)
    shown = run_cli("unit", "list")[1]
    assert "BE12345" in shown
    assert "North face" in run_cli("location", "list")[1]
    assert "2026-05-01T12:00:00" in run_cli("location", "show", "Portal")[1]


def test_what_people_note_is_changed_and_removed(run_cli: Call) -> None:
    def shown() -> Any:
        return json.loads(run_cli("unit", "show", "BE12345", "--json")[1])

    words = ("--location", "Portal", "--notes", "spare", "--calibrated-on", "2025-04-01")
    assert run_cli("unit", "add", "BE12345", *words)[0] == 0
    refused = run_cli("unit", "add", "BE12345", "--calibrated-on", "2026-04-02")
    hint = "seismo-relay unit change 'BE12345' --calibrated-on '2026-04-02'"
    assert (refused[0], hint in refused[2]) == (4, True), refused
    change = ("unit", "change", "BE12345", "--calibrated-on", "2026-04-02", "--notes", "")
    assert run_cli(*change, "--microphone-low-hz", "2")[0] == 0
    facts = "notes", "calibrated_on", "calibration_due_on", "microphone_low_hz", "state"
    assert [shown()[name] for name in facts] == [None, "2026-04-02", None, 2.0, "deployed"]
    assert (
        run_cli("location", "change", "portal", "--project", "Tunnel", "--latitude", "59.9")[0] == 0
    )
    place = json.loads(run_cli("location", "show", "Portal", "--json")[1])
    assert [place[name] for name in ("project", "latitude", "longitude")] == ["Tunnel", 59.9, None]


@pytest.fixture
def live(database: Path) -> Iterator[str]:
    with relay(database=database) as started:
        yield started.base


def test_the_roster_is_changed_through_the_relay_that_has_the_database(
    run_cli: Call, database: Path, live: str
) -> None:
    status, _, aside = run_cli("unit", "list")
    assert status == 4
    assert "--relay" in aside
    judge(story(run_cli, "--relay", live), database)
    # Commands to units take the name: this one's only route is disabled, which the relay says.
    status, _, aside = run_cli("info", "Portal", "--relay", live)
    assert status == 4
    assert "no enabled route" in aside
    # A word that the roster does not have is a host name, as it was before there was a roster.
    status, _, aside = run_cli("info", "no-such-host.invalid", "--relay", live)
    assert status == 3
    assert "does not resolve" in aside
    asks = ("info", "BE99999"), ("start", "BE99999"), ("fetch", "BE99999")
    for words in (*asks, ("export", "BE99999:0", "-o", ".")):
        status, _, aside = run_cli(*words, "--relay", live)
        assert (status, "no unit or location 'BE99999' is registered" in aside) == (3, True), aside
    status, _, aside = run_cli("info", "south face", "--relay", live)
    assert (status, "seismo-relay unit list" in aside, "host" in aside) == (4, True, False), aside


def test_a_unit_that_was_met_by_its_address_is_shown_with_it(run_cli: Call, live: str) -> None:
    unit = UnitThread(SimulatedUnit("SIM0001"))
    try:
        assert run_cli("info", unit.url, "--relay", live)[0] == 0
        listed = run_cli("unit", "list", "--relay", live)[1]
        shown = run_cli("unit", "show", "SIM0001", "--relay", live)[1]
    finally:
        unit.close()
    assert unit.key in listed, "an address is never cut"
    assert f"{unit.key}, where it answered; not registered" in shown
    assert "not since the relay's start" not in shown


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("unit", "bench", "BE9"), 4, "no unit BE9"),
        (("unit", "show", "nowhere"), 4, "nowhere"),
        (("unit", "change", "BE9"), 2, "--calibrated-on"),
        (("unit", "change", "BE9", "--notes", "x"), 4, "no unit BE9"),
        (("unit", "change", "BE9", "--calibrated-on", "May"), 2, "calibrated_on"),
        (("location", "change", "nowhere", "--project", "x"), 4, "nowhere"),
        (("location", "add", "BE12345"), 2, "serial number"),
        (("unit", "add", "BE1", "--address", "10.0.0.5"), 2, "--location"),
        (("unit", "route", "add", "nowhere", "10.0.0.5"), 4, "nowhere"),
        (("location", "zone", "set", "*", "Europe/Nowhere"), 2, "Europe/Nowhere"),
        (("unit", "list", "--relay", "http://127.0.0.1:1"), 6, "no relay answers"),
    ],
)
def test_what_cannot_be_done_says_why(
    run_cli: Call, words: tuple[str, ...], status: int, text: str
) -> None:
    got, _, aside = run_cli(*words)
    assert (got, text in aside) == (status, True), aside


CSV = """serial,location,address,zone,latitude,longitude,notes
BE1,North,10.0.0.1,Europe/Oslo,59.9,10.7,"first, of two"
BE2,South,10.0.0.2,,,,
BE3,,,,,,spare
BE4,BE55555,10.0.0.4,,,,
"""


def test_a_file_is_imported_and_again_adds_nothing(run_cli: Call, tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    file.write_text(CSV)
    status, reported, aside = run_cli("unit", "import", str(file), "--json")
    rows = json.loads(reported)["rows"]
    assert (status, "1 of 4 rows" in aside) == (7, True), aside
    assert [len(row["added"]) for row in rows] == [5, 4, 1, 0]
    assert "serial number" in rows[3]["error"]
    found = {
        one["serial"]: one for one in json.loads(run_cli("unit", "list", "--json")[1])["units"]
    }
    assert (found["BE1"]["notes"], found["BE1"]["latitude"]) == ("first, of two", 59.9)
    assert found["BE2"]["conn_key"] == "tcp:10.0.0.2:12345"
    assert found["BE3"]["name"] is None
    again = json.loads(run_cli("unit", "import", str(file), "--json")[1])["rows"]
    assert [row["added"] for row in again] == [[]] * 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name\nx\n",
        "serial,colour\nBE1,red\n",
        "serial,location\nBE1\n",
        "serial\n\n ,\n",
        "serial,latitude\nBE1,north\n",
        "serial,notes\n,x\n",
    ],
)
def test_a_file_of_another_form_is_refused_whole(run_cli: Call, tmp_path: Path, text: str) -> None:
    file = tmp_path / "units.csv"
    file.write_text(text)
    status, _, aside = run_cli("unit", "import", str(file))
    assert status == 2, aside
    assert json.loads(run_cli("unit", "list", "--json")[1]) == {"units": []}


def test_a_unit_and_its_location_are_shown_in_words(run_cli: Call) -> None:
    story(run_cli)
    unit = [" ".join(line.split()) for line in run_cli("unit", "show", "portal")[1].splitlines()]
    assert unit[:5] == [
        "Serial number BE12345",
        "State benched",
        "Location Portal",
        "Project Tunnel",
        "Coordinates not entered",
    ]
    assert " ".join(unit[9:-1]) == (
        "Route tcp://10.0.0.6:9000, priority 2, disabled, last contact not since the relay's start"
    )
    place = [
        " ".join(one.split()) for one in run_cli("location", "show", "north face")[1].split("\n")
    ]
    assert "Zone Europe/Oslo from the beginning" in place
    assert "Stay BE12345 from the beginning until 2026-05-01T12:00:00" in place
    assert "None" not in " ".join(unit + place)


SOUTH = ("unit", "add", "BE1", "--location", "South", "--address", "10.0.0.6")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            ("BE1", "--location", "South", "--address", "10.0.0.7"),
            "South has the address tcp://10.0.0.6:12345; to add one: seismo-relay unit route add",
        ),
        (("BE2", "--location", "south"), "BE1 is at South; to put BE2 there"),
        (("BE1", "--location", "North"), "BE1 is at South; to move it: seismo-relay location move"),
        (("BE1", "--notes", "red"), "notes of BE1 is 'blue'"),
        (("BE3", "--location", "Portal"), "units were at Portal before"),
    ],
)
def test_what_the_roster_says_otherwise_is_refused_and_nothing_is_changed(
    run_cli: Call, words: tuple[str, ...], advice: str
) -> None:
    assert run_cli(*SOUTH, "--notes", "blue")[0] == 0
    assert run_cli("unit", "add", "BE9", "--location", "Portal")[0] == 0
    assert run_cli("location", "move", "Portal", "none", "--from", "2026-05-01T12:00")[0] == 0
    before = run_cli("unit", "list", "--json")[1]
    status, _, aside = run_cli("unit", "add", *words)
    assert (status, advice in aside) == (4, True), aside
    assert run_cli("unit", "list", "--json")[1] == before
    status, body, _ = run_cli("unit", "add", *words, "--json")
    assert (status, json.loads(body)["type"]) == (4, "urn:seismo-relay:problem:roster-conflict")


def test_what_the_roster_lacks_is_added_to_a_unit_that_it_has(run_cli: Call) -> None:
    assert run_cli("unit", "add", "BE1")[0] == 0
    words = (*SOUTH, "--calibrated-on", "2026-04-01")
    status, _, aside = run_cli(*words)
    assert (status, aside) == (0, "Unit BE1 is registered, at South.")
    found = json.loads(run_cli("unit", "show", "BE1", "--json")[1])
    assert (found["calibrated_on"], found["conn_key"]) == ("2026-04-01", "tcp:10.0.0.6:12345")
    assert run_cli(*words[:-3], "tcp://10.0.0.6:12345", *words[-2:])[0] == 0, "the same again"
    assert run_cli("unit", "add", "be1")[2] == "Unit BE1 is registered, at South."


def test_a_row_that_the_roster_contradicts_is_named(run_cli: Call, tmp_path: Path) -> None:
    assert run_cli(*SOUTH)[0] == 0
    file = tmp_path / "units.csv"
    file.write_text("serial,location,address,zone\nBE1,South,10.0.0.7,\nBE2,North,,Europe/Oslo\n")
    status, _, aside = run_cli("unit", "import", str(file))
    assert (status, "line 2: the roster says otherwise: South has the address" in aside) == (
        7,
        True,
    )
    assert "line 3: unit BE2" in aside
    file.write_text("serial,location,zone\nBE2,North,UTC\n")
    status, _, aside = run_cli("unit", "import", str(file))
    assert (status, "North has the zone Europe/Oslo" in aside) == (7, True), aside


@pytest.mark.parametrize("words", [("unit", "change", "BE1"), ("location", "change", "South")])
def test_a_number_is_removed_by_an_empty_text(run_cli: Call, words: tuple[str, ...]) -> None:
    assert run_cli(*SOUTH)[0] == 0
    options = {
        "unit": (("--microphone-low-hz", "microphone_low_hz"),),
        "location": (("--latitude", "latitude"), ("--longitude", "longitude")),
    }[words[0]]
    for option, name in options:
        set_to_2 = run_cli(*words, option, "2", "--json")
        assert json.loads(set_to_2[1])[name] == 2
        removed = run_cli(*words, option, "", "--json")
        assert json.loads(removed[1])[name] is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_that_no_row_can_have_leads_to_no_other_route(run_cli: Call, name: str) -> None:
    assert run_cli(*SOUTH)[0] == 0
    for words in (
        ("unit", "change", name, "--notes", "x"),
        ("unit", "bench", name),
        ("location", "change", name, "--project", "x"),
        ("location", "move", name, "BE1"),
    ):
        status, _, aside = run_cli(*words)
        assert (status, f"the roster has no {words[0]} {name!r}" in aside) == (4, True), aside


def test_a_fetch_over_a_port_that_is_not_there_ends_at_once(run_cli: Call) -> None:
    status, _, aside = run_cli("fetch", "/dev/ttyUSB99")
    assert (status, "no such port" in aside) == (3, True), aside
