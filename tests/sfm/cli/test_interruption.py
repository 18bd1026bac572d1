"""Ctrl-C while a command to a unit is under way without a relay: its audit entry and outcome."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.served_unit import served

import sfm.cli
from minimateplus.simulator import SimulatedUnit
from sfm.store import Store, audit


class Interrupting(SimulatedUnit):
    """Interrupts this process when it carries out a command; then it answers as ever."""

    at = "start_monitoring"

    def start_monitoring(self) -> None:
        super().start_monitoring()
        if self.at == "start_monitoring":
            os.kill(os.getpid(), signal.SIGINT)

    @property
    def exchanges(self) -> int:
        return self._counted

    @exchanges.setter
    def exchanges(self, value: int) -> None:
        self._counted = value
        if value == 1 and self.at == "first exchange":
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def run_main(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["seismo-relay", *words])
        with pytest.raises(SystemExit) as ended:
            sfm.cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_an_interrupted_command_names_its_audit_entry_and_says_that_the_outcome_is_unknown(
    run_main: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"
    monkeypatch.setenv("SFM_DATABASE_URL", url)
    with served(Interrupting("SIM0049")) as unit:
        status, out, err = run_main("start", unit.url, "--direct")
    assert (status, out) == (130, "")
    assert err == (
        "Interrupted, outcome unknown; audit entry 1. Read the unit before you repeat the command."
        "\n"
    )
    with Store.open(url, read_only=True) as store:
        ended, begun = store.read(audit.load_latest, 10)
    assert (begun["number"], begun["outcome"]) == (1, "begun")
    assert (ended["of"], ended["outcome"], ended["command"]) == (1, "unknown", "monitor_start")


def test_without_a_database_the_line_says_that_there_is_no_entry(
    run_main: Callable[..., tuple[int, str, str]],
) -> None:
    with served(Interrupting("SIM0049")) as unit:
        status, _, err = run_main("start", unit.url, "--direct")
    assert (status, err.count("\n")) == (130, 1)
    assert err.startswith("Interrupted, outcome unknown; there is no audit entry")


def test_a_command_that_was_interrupted_before_it_was_sent_says_so(
    run_main: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    monkeypatch.setattr(Interrupting, "at", "first exchange")
    with served(Interrupting("SIM0049")) as unit:
        status, out, err = run_main("start", unit.url, "--direct")
        assert not unit.unit.is_monitoring
    assert (status, out) == (130, "")
    assert err == "Interrupted before the command was sent; audit entry 1.\n"


def test_an_interrupted_read_is_one_line(
    run_main: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupting, "at", "first exchange")
    with served(Interrupting("SIM0049")) as unit:
        assert run_main("info", unit.url, "--direct", "--json") == (130, "", "Interrupted.\n")
