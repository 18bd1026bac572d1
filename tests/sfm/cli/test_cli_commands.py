"""The commands that change a unit, on the command line, without a relay and with nothing typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import directly
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.cli import app

RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0042")
    for _ in range(2):
        simulated.record_event()
    with served(simulated) as found:
        yield found


@pytest.fixture
def run_cli(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunCli:
    """Run a command; return its exit status and its words on standard output and error."""
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'kept.sqlite'}")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        status = 0
        try:
            app(directly(words), result_action="return_value")
        except SystemExit as stop:
            status = int(stop.code or 0)
        parsed = capsys.readouterr()
        return status, " ".join(parsed.out.split()), " ".join(parsed.err.split())

    return run


def parsed(result: tuple[int, str, str]) -> dict[str, Any]:
    status, out, err = result
    assert (status, err) == (0, "")
    body: dict[str, Any] = json.loads(out)
    return body


def test_settings_are_shown_before_they_are_written_and_then_are_those_of_the_unit(
    unit: Served, run_cli: RunCli
) -> None:
    words = ("configure", unit.url, "--record-time-s", "3", "--project", "Bridge pier 4")
    status, out, _ = run_cli(*words, "--dry-run")
    assert status == 0
    assert "dry run: nothing was sent" in out
    assert "record_time_s 1.0 -> 3.0 byte 18: 3f800000 -> 40400000" in out
    assert unit.unit.setup.record_time_s == 1.0
    status, out, _ = run_cli(*words)
    assert (status, "Config done" in out, "SIMULATED" in out) == (0, True, True)
    assert (unit.unit.setup.record_time_s, unit.unit.setup.project) == (3.0, "Bridge pier 4")
    assert parsed(run_cli(*words, "--json"))["outcome"] == "unchanged"


def test_a_setting_that_no_unit_takes_is_named(unit: Served, run_cli: RunCli) -> None:
    status, out, err = run_cli("configure", unit.url, "--record-time-s", "300")
    assert (status, out) == (2, "")
    assert "record_time_s: expected 1 to 100 s, got 300" in err
    status, _, err = run_cli("configure", unit.url)
    assert (status, "give at least one setting" in err) == (2, True)


def test_monitoring_is_stopped_and_started(unit: Served, run_cli: RunCli) -> None:
    unit.unit.start_monitoring()
    status, out, _ = run_cli("stop", unit.url)
    assert (status, "Monitor stop done" in out, "Monitoring now no" in out) == (0, True, True)
    assert parsed(run_cli("start", unit.url, "--no-follow", "--json"))["outcome"] == "done"


def test_call_home_is_read_and_changed(unit: Served, run_cli: RunCli) -> None:
    assert parsed(run_cli("call-home", unit.url, "--json"))["enabled"] is False
    changed = parsed(run_cli("call-home", unit.url, "--enabled", "--first-time", "06:30", "--json"))
    assert [change["field"] for change in changed["changes"]] == ["enabled", "first_time"]
    status, out, _ = run_cli("rescue", unit.url, "--serial", "SIM0042")
    assert (status, "enabled yes -> no" in out) == (0, True)
    assert parsed(run_cli("call-home", unit.url, "--json"))["enabled"] is False


def test_an_erase_waits_for_the_archive_and_says_what_it_did(unit: Served, run_cli: RunCli) -> None:
    wanted = ("erase", unit.url, "--serial", "SIM0042", "--count")
    status, out, err = run_cli(*wanted, "3")
    assert (status, out, "stores 2 events, not 3" in err) == (4, "", True)
    status, _, err = run_cli(*wanted, "2")
    assert (status, "2 of 2 events are not in the archive" in err) == (4, True)
    status, _, err = run_cli("erase", unit.url, "--count", "2")
    assert (status, "from a script needs --serial and --count" in err) == (2, True)
    assert len(unit.unit.events) == 2
    for index in ("0", "1"):
        assert run_cli("waveform", unit.url, index)[0] == 0
    status, out, err = run_cli(*wanted, "2")
    assert (status, err, "Erase done Events erased 2" in out) == (0, "", True)
    assert unit.unit.events == []
    status, out, _ = run_cli("audit", "list")
    lines = [
        "erase done, begun in 5 SIM0042 at",
        "erased: 2; not archived: none",
        "erase begun SIM0042 at",
        "count: 2; discard unarchived: no; serial: SIM0042",
        "erase refused, begun in 1 SIM0042 at",
        "stores 2 events, not 3; nothing was erased",
    ]
    assert [line for line in lines if line not in out] == []


def test_the_log_shows_a_change_of_settings_without_its_bytes(
    unit: Served, run_cli: RunCli
) -> None:
    run_cli("configure", unit.url, "--notes", "None at all")
    status, out, _ = run_cli("audit", "list")
    assert (status, "3f800000" in out, "notes Simulated data -> None at all" in out) == (
        0,
        False,
        True,
    )
    assert "bytes" in json.dumps(parsed(run_cli("audit", "list", "--json")))
