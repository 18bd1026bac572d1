"""Units, locations, routes and zones on the command line: in the database, and through a relay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.relay_process import relay

from sfm.cli import app
from sfm.store import Store, audit, roster

RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "relay.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    for name in ("SFM_TOKEN", "SFM_TOKEN_FILE", "SFM_UNITS", "SFM_SITE_ZONES"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], database: Path) -> RunCli:
    def run(*words: str) -> tuple[int, str, str]:
        status = 0
        try:
            app([*words], exit_on_error=False, print_error=True)
        except SystemExit as stop:
            status = int(stop.code or 0)
        reported = capsys.readouterr()
        return status, reported.out, " ".join(reported.err.split())

    return run


def story(run_cli: RunCli, *more: str) -> Any:
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


def test_the_roster_is_changed_in_the_database(run_cli: RunCli, database: Path) -> None:
    judge(story(run_cli), database)
    shown = run_cli("unit", "list")[1]
    assert "BE12345" in shown
    assert "North face" in run_cli("location", "list")[1]
    assert "2026-05-01T12:00:00" in run_cli("location", "show", "Portal")[1]


@pytest.fixture
def live(database: Path) -> Iterator[str]:
    with relay(database=database) as started:
        yield started.base


def test_the_roster_is_changed_through_the_relay_that_has_the_database(
    run_cli: RunCli, database: Path, live: str
) -> None:
    status, _, aside = run_cli("unit", "list")
    assert status == 1
    assert "--relay" in aside
    judge(story(run_cli, "--relay", live), database)
    # Commands to units take the name: this one's only route is disabled, which the relay says.
    status, _, aside = run_cli("info", "Portal", "--relay", live)
    assert status == 1
    assert "no enabled route" in aside
    # A word that the roster does not have is a host name, as it was before there was a roster.
    status, _, aside = run_cli("info", "no-such-host.invalid", "--relay", live)
    assert status == 1
    assert "does not resolve" in aside


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("unit", "bench", "BE9"), 1, "no unit BE9"),
        (("unit", "show", "nowhere"), 1, "nowhere"),
        (("location", "add", "BE12345"), 1, "serial number"),
        (("unit", "add", "BE1", "--address", "10.0.0.5"), 2, "--location"),
        (("unit", "route", "add", "nowhere", "10.0.0.5"), 1, "nowhere"),
        (("location", "zone", "set", "*", "Europe/Nowhere"), 1, "Europe/Nowhere"),
        (("unit", "list", "--relay", "http://127.0.0.1:1"), 1, "no relay answers"),
    ],
)
def test_what_cannot_be_done_says_why(
    run_cli: RunCli, words: tuple[str, ...], status: int, text: str
) -> None:
    got, _, aside = run_cli(*words)
    assert (got, text in aside) == (status, True), aside


CSV = """serial,location,address,zone,latitude,longitude,notes
BE1,North,10.0.0.1,Europe/Oslo,59.9,10.7,"first, of two"
BE2,South,10.0.0.2,,,,
BE3,,,,,,spare
BE4,BE55555,10.0.0.4,,,,
"""


def test_a_file_is_imported_and_again_adds_nothing(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    file.write_text(CSV)
    status, reported, aside = run_cli("unit", "import", str(file), "--json")
    rows = json.loads(reported)["rows"]
    assert (status, "1 of 4 rows" in aside) == (1, True), aside
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
def test_a_file_of_another_form_is_refused_whole(
    run_cli: RunCli, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "units.csv"
    file.write_text(text)
    status, _, aside = run_cli("unit", "import", str(file))
    assert status == 2, aside
    assert json.loads(run_cli("unit", "list", "--json")[1]) == {"units": []}


def test_a_unit_and_its_location_are_shown_in_words(run_cli: RunCli) -> None:
    story(run_cli)
    unit = [" ".join(line.split()) for line in run_cli("unit", "show", "portal")[1].splitlines()]
    assert unit[:5] == [
        "Serial number BE12345",
        "State benched",
        "Location Portal",
        "Project Tunnel",
        "Coordinates not entered",
    ]
    assert " ".join(unit[8:-1]) == (
        "Route tcp://10.0.0.6:9000, priority 2, disabled, last contact not since the relay's start"
    )
    place = [
        " ".join(one.split()) for one in run_cli("location", "show", "north face")[1].split("\n")
    ]
    assert "Zone Europe/Oslo from the beginning" in place
    assert "Stay BE12345 from the beginning until 2026-05-01T12:00:00" in place
    assert "None" not in " ".join(unit + place)
