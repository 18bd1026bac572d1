"""A result reaches its reader, whatever becomes of its age, of a progress display or of the log."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from secrets import token_bytes
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from kit.command_line import Call, caller
from kit.relay_process import PATIENCE_S, RUN, environment, relay
from kit.served_unit import Served, served
from rich.console import Console

from minimateplus.simulator import SimulatedUnit
from sfm.cli import application, following
from sfm.cli.application import progress_bar
from sfm.devices.analyses import Analyses
from sfm.devices.progress import ProgressLog
from sfm.store import Store, tokens


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
    monkeypatch.setattr(following, "err", shown)
    monkeypatch.setattr(application, "err", shown)


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
    monkeypatch.setattr(following, "progress_bar", lambda: Failing(step))
    status, out, _ = call("events", unit.url, "--json")
    assert status == 0
    assert json.loads(out)["count"] == 2


def displayed(*entries: tuple[str, dict[str, Any]]) -> str:
    """What a terminal of 80 columns shows after these entries of a unit's progress."""

    async def display() -> str:
        shown = Console(file=StringIO(), force_terminal=True, width=80)
        bar = progress_bar()
        bar.live.console = shown
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(following, "progress_bar", lambda: bar)

            async def follow(*_: object) -> AsyncIterator[tuple[str, Any]]:
                for entry in entries:
                    yield entry

            patch.setattr(following, "_entries", follow)
            await following._display(None, {}, "tcp://10.0.0.5:12345", None)  # type: ignore[arg-type]
        with shown.capture() as captured:
            shown.print(bar.make_tasks_table(bar.tasks))
        return " ".join(captured.get().split())

    return asyncio.run(display())


BEGUN = ("begun", {"resource": "fetch", "forced": True})
CUT = ("failed", {"resource": "fetch", "error": "tcp://10.0.0.5:12345: connection refused"})


def test_why_a_fetch_tries_again_stays_on_the_line_until_there_is_news() -> None:
    assert "connection refused" not in displayed(BEGUN)
    for entries in ((BEGUN, CUT), (BEGUN, CUT, BEGUN)):
        shown = displayed(*entries)
        assert "trying again" in shown
        assert "refused" in shown
    step = ("step", {"resource": "fetch", "what": "bytes of event 3", "done": 1, "total": 9})
    assert "refused" not in displayed(BEGUN, CUT, BEGUN, step)
    assert "refused" not in displayed(BEGUN, CUT, ("done", {"resource": "fetch"}))
    # Another read that failed is not what this command does again.
    assert "refused" not in displayed(("failed", {"resource": "info", "error": "refused"}))


def test_one_event_is_no_events() -> None:
    one = {"resource": "events", "what": "events", "done": 1, "total": None}
    assert "1 event " in displayed(("step", one)) + " "
    assert "1 of 1 event" in displayed(("step", one | {"total": 1, "what": "events archived"}))
    assert "1 of 6 events" in displayed(("step", one | {"total": 6}))
    assert "1 s without" in displayed(("step", one | {"what": "s without an answer"}))


def test_a_long_reason_is_not_cut_on_a_narrow_terminal() -> None:
    what = "s until the next try: the modem may not have freed its line yet"
    step = ("step", {"resource": "fetch", "what": what, "done": 0, "total": 10})
    shown = displayed(step)
    assert "yet" in shown
    assert "…" not in shown


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


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_log_without_a_reader_replaces_no_result(
    unit: Served, tmp_path: Path, unbuffered: str
) -> None:
    settings = environment(tmp_path / "db", PYTHONUNBUFFERED=unbuffered)
    command = [*RUN, "serve", "--http-port", "0"]
    with subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stderr is not None
            lines = iter(started.stderr.readline, "")
            base = next(
                found[1] for line in lines if (found := re.search(r"answers at (\S+);", line))
            )
            started.stderr.readline()  # where the archive is; it says no more by itself
            started.stderr.close()  # from here on, each line that it logs meets a broken pipe
            of_unit: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": unit.port}
            with httpx.Client(base_url=base, params=of_unit, timeout=PATIENCE_S) as client:
                body = {"serial": "SIM0043", "count": 2, "discard_unarchived": True}
                answer = client.post("/device/events/erase", json=body)
            assert answer.status_code == 200
            assert answer.json()["outcome"] == "done"
            assert not unit.unit.events
            started.terminate()
            assert started.wait(PATIENCE_S) == 0
        finally:
            started.kill()


def test_a_command_without_standard_error_at_all_has_its_own_status() -> None:
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *RUN, "--version"]
    assert subprocess.run(closed, stdout=subprocess.PIPE, check=False).returncode == 0


# --- results of what was read without a relay ----------------------------------------------------


def test_what_a_direct_fetch_archived_is_judged_in_each_list(
    unit: Served, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    assert call("limits", "choose", "usbm-ri8507-plaster", "--direct")[0] == 0

    def judged(*command: str) -> list[tuple[str, str | None]]:
        body = json.loads(call(*command, "--json")[1])
        return [
            (verdict["outcome"], verdict["reason"])
            for listed in body["events"]
            for verdict in listed["verdicts"]
        ]

    assert ("no_verdict", "frequency-unknown") in judged("events", unit.url, "--direct")
    assert call("fetch", unit.url, "--direct")[0] == 0
    assert judged("archive", "list") == [("exceeds", None), ("exceeds", None)]
    assert judged("events", unit.url, "--direct") == [("exceeds", None), ("exceeds", None)]


def test_results_that_an_earlier_command_left_out_are_computed_before_the_list(
    unit: Served, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    with monkeypatch.context() as without:
        without.setattr(Analyses, "catch_up", AsyncMock())
        assert call("fetch", unit.url, "--direct")[0] == 0
    assert call("limits", "choose", "usbm-ri8507-plaster", "--direct")[0] == 0
    body = json.loads(call("events", unit.url, "--json", "--direct")[1])
    assert {listed["verdicts"][0]["outcome"] for listed in body["events"]} == {"exceeds"}


def test_a_command_does_not_wait_for_results(
    unit: Served, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    computed = AsyncMock()
    monkeypatch.setattr(Analyses, "catch_up", computed)
    assert call("stop", unit.url, "--direct")[0] == 0
    assert computed.await_count == 0
    assert call("status", unit.url, "--direct")[0] == 0
    assert computed.await_count > 0
