"""``seismo-relay fetch`` as a person gives it, and what a refused erase offers."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kit.command_line import Call, caller
from kit.relay_process import relay
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.cli import operation

ERASE = ("--serial", "SIM0043", "--count", "2")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr(operation, "POLL_S", 0.05)
    return caller(capsys)


@pytest.fixture
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0043")
    for _ in range(2):
        simulated.record_event()
    with served(simulated) as found:
        yield found


def images(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM recording_waveforms").fetchone()[0]
    return count


def test_a_refused_erase_names_the_events_and_the_command_that_archives_them(
    unit: Served, call: Call, tmp_path: Path
) -> None:
    database = tmp_path / "db"
    with relay(database=database) as started:
        through = ("--relay", started.base)
        status, out, err = call("erase", unit.url, *ERASE, *through)
        assert (status, out) == (4, "")
        for event in unit.unit.events:
            assert event.device_time is not None
            line = f"event {event.index}, key {event.key.hex()}, {event.device_time.isoformat()}"
            assert line in err
        advice = f"seismo-relay fetch {unit.url} --relay {started.base}"
        assert f"Archive them with: {advice}\n" in err
        assert unit.unit.events, "a refused erase erased"
        status, out, err = call(*advice.split()[1:], "--json")
        assert (status, json.loads(out)["archived"]) == (0, 2)
        assert "2 of 2 events archived" in err
        assert images(database) == 2
        assert call("erase", unit.url, *ERASE, *through)[0] == 0
    assert not unit.unit.events


def test_a_unit_is_fetched_directly_into_the_database_of_the_settings(
    unit: Served, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    status, out, _ = call("fetch", unit.url, "--since", "2100-01-01", "--json")
    assert (status, json.loads(out)["archived"]) == (0, 0)
    status, out, _ = call("fetch", unit.url)
    assert status == 0
    assert "Archived now" in out
    assert images(tmp_path / "db") == 2
    status, _, err = call("fetch", unit.url, "--since", "yesterday")
    assert (status, "ISO 8601" in err) == (2, True)


def test_an_interrupted_fetch_says_how_far_it_is_and_how_it_continues(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object, on_progress: operation.OnLook, **more: object) -> None:
        silent = {"detail": "tcp:10.0.0.5:12345: no answer within 10 s"}
        for done, failed in (None, None), (0, silent), (0, silent), (0, None), (1, silent):
            far = {"done": done, "total": 6, "read_bytes": 4096}
            on_progress({**far, "trying_again": failed})
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    monkeypatch.setattr(importlib.import_module("sfm.cli.fetch"), "ask", ask)
    status, out, err = call("fetch", "tcp://10.0.0.5:12345")
    assert (status, out) == (130, "")
    assert "Interrupted: 1 of 6 events archived" in err
    assert err.count("Trying again: tcp:10.0.0.5:12345: no answer within 10 s") == 2
    assert "the same command continues" in " ".join(err.split())


def test_without_a_database_a_fetch_says_so(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", "none")
    status, out, err = call("fetch", unit.url)
    assert (status, out) == (4, "")
    assert "nothing can be fetched: SFM_DATABASE_URL is none" in err
