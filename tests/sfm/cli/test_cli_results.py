"""A result reaches its reader, whatever becomes of its age, of a progress display or of the log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from typing import Any

import httpx
import pytest
from kit.command_line import Call, caller
from kit.relay_process import PATIENCE_S, environment, relay
from kit.served_unit import Served, served
from rich.console import Console

from minimateplus.simulator import SimulatedUnit
from sfm.cli import application
from sfm.cli import unit as unit_commands
from sfm.devices.progress import ProgressLog
from sfm.store import Store, tokens

COMMAND = [sys.executable, "-c", "from sfm.cli import main; main()"]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(capsys)


@pytest.fixture
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0043")
    for _ in range(2):
        simulated.record_event()
    with served(simulated) as found:
        yield found


# --- an age that nobody knows -------------------------------------------------------------------


@pytest.mark.parametrize("boots", [("first", "second"), (None, None)], ids=["reboot", "no boot id"])
@pytest.mark.parametrize("words", [("events",), ("waveform", "1")], ids=["events", "waveform"])
def test_what_was_read_before_a_restart_is_shown_with_an_unknown_age(
    boots: tuple[str | None, str | None],
    words: tuple[str, ...],
    unit: Served,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    command, *index = words
    monkeypatch.setattr("sfm.api.app.boot_id", lambda: boots[0])
    assert call(command, unit.url, *index)[0] == 0
    monkeypatch.setattr("sfm.api.app.boot_id", lambda: boots[1])
    status, out, _ = call(command, unit.url, *index)
    assert status == 0
    assert unit.unit.events[1].key.hex() in out
    assert "age unknown" in " ".join(out.split())
    status, out, _ = call(command, unit.url, *index, "--json")
    assert (status, json.loads(out)["provenance"]["age_s"]) == (0, None)


# --- a display or a log that fails --------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is a terminal, and the display asks for progress at once."""
    shown = Console(stderr=True, force_terminal=True)
    monkeypatch.setattr(unit_commands, "err", shown)
    monkeypatch.setattr(application, "err", shown)
    monkeypatch.setattr(unit_commands, "POLL_PROGRESS_S", 0.0)


def limited_token(database: Path, unit: Served) -> str:
    with Store.open(f"sqlite:///{database}") as store:
        units = (f"tcp:127.0.0.1:{unit.port}", unit.unit.serial)
        return store.write(
            tokens.create, "limited", "admin", units, datetime.now(UTC), token_bytes
        )[1]


def test_an_erase_with_a_token_for_one_unit_ends_in_its_result(
    terminal: None, unit: Served, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "db"
    monkeypatch.setenv("SFM_TOKEN", limited_token(database, unit))
    units = json.dumps({"north": f"tcp://127.0.0.1:{unit.port}"})
    settings = {"SFM_REQUIRE_TOKENS": "true", "SFM_UNITS": units}
    with relay(database=database, **settings) as started:
        erase = ("erase", unit.url, "--serial", "SIM0043", "--count", "2", "--discard-unarchived")
        status, out, _ = call(*erase, "--relay", started.base, "--json")
        assert status == 0
        assert json.loads(out)["outcome"] == "done"
    assert not unit.unit.events


class Failing:
    """A display that fails at one of its steps."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __getattr__(self, name: str) -> Any:
        def do(*args: Any, **more: Any) -> Any:
            if name == self.step:
                raise RuntimeError(f"the display failed at {name}")
            return self

        return do

    def __enter__(self) -> Failing:
        return self.__getattr__("enter")()  # type: ignore[no-any-return]

    def __exit__(self, *args: object) -> None:
        self.__getattr__("exit")()


@pytest.mark.parametrize("step", ["enter", "add_task", "update", "exit"])
def test_a_display_that_fails_replaces_no_result(
    step: str, terminal: None, unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", "none")
    monkeypatch.setattr(unit_commands, "progress_bar", lambda: Failing(step))
    status, out, _ = call("events", unit.url, "--json")
    assert status == 0
    assert json.loads(out)["count"] == 2


def test_progress_that_cannot_be_kept_replaces_no_result(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError("no progress")

    monkeypatch.setenv("SFM_DATABASE_URL", "none")
    monkeypatch.setattr(ProgressLog, "add", fail)
    status, out, _ = call("waveform", unit.url, "1", "--json")
    assert status == 0
    assert json.loads(out)["index"] == 1
    erase = ("erase", unit.url, "--serial", "SIM0043", "--count", "2", "--discard-unarchived")
    status, out, _ = call(*erase, "--json")
    assert (status, json.loads(out)["outcome"]) == (0, "done")


def test_a_log_without_a_reader_replaces_no_result(unit: Served, tmp_path: Path) -> None:
    started = subprocess.Popen(
        [*COMMAND, "serve", "--http-port", "0"],
        env=environment(tmp_path / "db"),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stderr is not None
        lines = iter(started.stderr.readline, "")
        base = next(found[1] for line in lines if (found := re.search(r"answers at (\S+);", line)))
        started.stderr.readline()  # where the archive is; it says no more by itself
        started.stderr.close()  # from here on, each line that it logs meets a broken pipe
        of_unit: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": unit.port}
        with httpx.Client(base_url=base, params=of_unit, timeout=PATIENCE_S) as client:
            body = {"serial": "SIM0043", "count": 2, "discard_unarchived": True}
            answer = client.post("/device/events/erase", json=body)
        assert answer.status_code == 200
        assert answer.json()["outcome"] == "done"
        assert not unit.unit.events
    finally:
        started.terminate()
        assert started.wait(PATIENCE_S) == 0
