"""Limits on the command line: curves, values, own curves, confirmations, choices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.command_line import directly
from kit.reference_data import reference
from kit.relay_process import relay

from sfm.cli import app
from sfm.store import Store, audit

RunCli = Callable[..., tuple[int, str, str]]
OWN = """
id: permit-7
title: Permit 7, condition 3
unit: mm/s
applies_to: each_axis
shape: {kind: points, join: linear, vertices: [[1, 5], [100, 20]]}
source: Permit 7 of the county
author: A. Engineer
date: 2026-03-01
"""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "relay.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    for name in ("SFM_TOKEN", "SFM_TOKEN_FILE", "SFM_UNITS", "SFM_REGION"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], database: Path) -> RunCli:
    def run(*words: str) -> tuple[int, str, str]:
        status = 0
        try:
            app(directly(("limits", *words)), exit_on_error=False, print_error=True)
        except SystemExit as stop:
            status = int(stop.code or 0)
        reported = capsys.readouterr()
        return status, reported.out, " ".join(reported.err.split())

    return run


def at(run_cli: RunCli, *words: str) -> Any:
    status, printed, errors = run_cli("at", *words, "--json")
    assert status == 0, errors
    return json.loads(printed)


def test_a_value_needs_no_database(run_cli: RunCli, database: Path) -> None:
    found = at(run_cli, "usbm-ri8507-drywall", "10")
    assert (found["value"], found["unit"], found["reason"]) == (0.75, "in/s", None)
    assert not database.exists()


def test_each_check_value_of_the_reference_is_printed(run_cli: RunCli) -> None:
    entries = yaml.safe_load(reference("limits.yaml").read_text("utf-8"))["curves"]
    shown = 0
    for entry in entries:
        for where, expected in entry.get("checks", ()):
            found = at(run_cli, entry["id"], str(where))
            if entry["verified"] in ("unread", "disputed"):
                assert (found["value"], found["reason"]) == (None, entry["verified"])
            else:
                assert found["value"] == pytest.approx(expected, rel=2e-5), entry["id"]
                shown += 1
    assert shown > 70


@pytest.mark.parametrize(
    ("curve", "where", "reason"),
    [
        ("fta-damage", "I", "unread"),
        ("osmre-figure-1", "8", "disputed"),
        ("uni-9916", "10", "reference"),
        ("bs7385-2-line1", "3", "outside-range"),
        ("din45669-annex-e", "50", "parameter-missing"),
    ],
)
def test_no_value_has_a_reason(run_cli: RunCli, curve: str, where: str, reason: str) -> None:
    found = at(run_cli, curve, where)
    assert (found["value"], found["reason"]) == (None, reason)
    assert found["detail"]
    assert found["detail"] in run_cli("at", curve, where)[1].replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("at", "npc119", "fast"), "'fast' is not a frequency"),
        (("at", "npc119", "10", "--set", "distance"), "--set takes NAME=VALUE"),
        (("at", "npc119", "10", "--set", "x=1"), "has no parameter 'x'"),
        (("choose",), "name one curve or more"),
    ],
)
def test_a_wrong_command_line_is_status_2(
    run_cli: RunCli, words: tuple[str, ...], complaint: str
) -> None:
    status, _, errors = run_cli(*words)
    assert status == 2
    assert complaint in errors


@pytest.mark.parametrize("words", [("at", "nothing", "10"), ("show", "nothing")])
def test_a_curve_that_is_not_there_is_status_4(run_cli: RunCli, words: tuple[str, ...]) -> None:
    status, _, errors = run_cli(*words)
    assert status == 4
    assert "no limit curve 'nothing'" in errors


def test_parameters_are_given_by_name(run_cli: RunCli) -> None:
    words = ("gamma_t=repeated", "gamma_s=sensitive", "gamma_v=indicative")
    given = [part for word in words for part in ("--set", word)]
    assert at(run_cli, "sbr-a-2017-cat2", "10", *given)["value"] == pytest.approx(1.2255, rel=1e-4)
    printed = at(run_cli, "sbr-a-2017-cat2", "10")
    assert printed["value"] == 5
    assert "must be chosen for a verdict" in printed["notes"][0]


def story(run_cli: RunCli, folder: Path, *more: str) -> None:
    """Add a curve, confirm one, choose both; see what is in force; undo it."""
    file = folder / "own.yaml"
    file.write_text(OWN)
    added = run_cli("add", str(file), *more)
    assert added[0] == 0, added
    assert "written by A. Engineer on 2026-03-01" in added[2]
    assert at(run_cli, "permit-7", "100", *more)["value"] == 20
    confirmed = run_cli("confirm", "osmre-figure-1", "--by", "Ada", "--on", "2026-02-01", *more)
    assert "confirmed by Ada on 2026-02-01" in confirmed[2], confirmed
    assert at(run_cli, "osmre-figure-1", "8", *more)["value"] == 0.75
    assert "Confirmed by" in run_cli("show", "osmre-figure-1", *more)[1]
    chosen = run_cli("choose", "permit-7", "osmre-figure-1", "--results", "refined", *more)
    assert chosen[0] == 0, chosen
    body = json.loads(run_cli("chosen", "--json", *more)[1])
    [one] = body["choices"]
    assert (one["scope"], one["curves"], one["results"]) == (
        "default",
        ["permit-7", "osmre-figure-1"],
        "refined",
    )
    assert "for all units" in run_cli("chosen", *more)[1]
    refused = run_cli("remove", "permit-7", *more)
    assert refused[0] == 4
    assert "is chosen" in refused[2]
    assert run_cli("unchoose", *more)[0] == 0
    assert run_cli("remove", "permit-7", *more)[0] == 0
    assert run_cli("withdraw", "osmre-figure-1", *more)[0] == 0
    assert at(run_cli, "osmre-figure-1", "8", *more)["value"] is None


def test_limits_are_changed_in_the_database(
    run_cli: RunCli, database: Path, tmp_path: Path
) -> None:
    story(run_cli, tmp_path)
    with Store.open(f"sqlite:///{database}", read_only=True) as store:
        commands = {one["command"] for one in store.read(audit.load_latest, 100, None)}
    assert commands == {
        f"limit_{what}" for what in ("add", "confirm", "choose", "unchoose", "remove", "withdraw")
    }


def test_limits_are_changed_through_a_relay(
    run_cli: RunCli, tmp_path: Path, database: Path
) -> None:
    with relay(database=database) as running:
        story(run_cli, tmp_path, "--relay", running.base)
        listed = run_cli("list", "--region", "DE", "--relay", running.base)[1]
        for words in ("show", ".."), ("show", "a/b"), ("at", ".", "10"), ("remove", ".."):
            status, _, errors = run_cli(*words, "--relay", running.base)
            assert (status, f"no limit curve {words[1]!r}" in errors) == (4, True), errors
    assert "din4150-3-line2" in listed
    assert "osmre" not in listed


def test_a_file_that_is_no_curve_names_what_is_wrong(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    for text, complaint in (
        (OWN.replace("author: A. Engineer\n", ""), "author is missing"),
        (OWN.replace("kind: points", "kind: spline"), "kind of the shape is 'spline'"),
        (OWN.replace("id: permit-7", "id: npc119"), "another curve has this name"),
        (OWN + "title: again\n", "title occurs twice"),
        ("- 1", "expected names and values"),
    ):
        file.write_text(text)
        status, _, errors = run_cli("add", str(file))
        assert status == 2
        assert complaint in errors
    assert run_cli("add", str(tmp_path / "absent.yaml"))[0] == 2


def test_a_disputed_curve_is_listed_as_off(run_cli: RunCli) -> None:
    rows = run_cli("list", "--region", "US")[1].splitlines()
    [row] = [row for row in rows if row.startswith("osmre-figure-1")]
    assert "disputed, off" in row
    body = json.loads(run_cli("list", "--json")[1])
    assert len(body["curves"]) == 66
