"""A backup that is restored after an erase: what is read then is in an epoch of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import Call, caller
from kit.relay_process import relay
from kit.served_unit import served

from minimateplus.simulator import SimulatedUnit

SERIAL = "SIM0049"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(capsys)


def test_after_a_restored_backup_a_unit_begins_an_epoch_beyond_every_recording(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, copy = tmp_path / "relay.sqlite", tmp_path / "copy"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{database}")
    unit = SimulatedUnit(SERIAL)
    unit.record_event()
    epochs: list[int] = []
    with served(unit) as at:

        def read(relay_base: str) -> dict[str, Any]:
            """Read list and waveform; return the list, whose epoch is noted."""
            status, out, err = call("events", at.url, "--json", "--relay", relay_base)
            assert status == 0, err
            body: dict[str, Any] = json.loads(out)
            for event in body["events"]:
                index = str(event["index"])
                assert call("waveform", at.url, index, "--relay", relay_base)[0] == 0
            epochs.append(body["provenance"]["epoch"])
            keys = [event["waveform_key"] for event in body["events"]]
            assert keys == [event.key.hex() for event in unit.events]
            return body

        def erase_and_record(relay_base: str, events: int) -> None:
            words = ("--serial", SERIAL, "--count", str(len(unit.events)))
            status, _, err = call("erase", at.url, *words, "--relay", relay_base)
            assert status == 0, err
            for _ in range(events):
                unit.record_event()

        with relay(database=database) as started:
            read(started.base)
            status, out, err = call("db", "backup", str(copy))
            assert (status, "verified" in out) == (0, True), err
            # Twice: the last memory is in no database that is restored.
            for events in (1, 2):
                erase_and_record(started.base, events)
                read(started.base)
        status, out, err = call("db", "restore", str(copy))
        assert (status, "restored from" in out) == (0, True), err
        with relay(database=database) as started:
            body = read(started.base)
            assert body["provenance"]["source"] == "device"
    assert epochs == sorted(set(epochs)), epochs
    # The backup's event, and the two that were read after it was restored.
    status, out, err = call("archive", "list", "--json")
    assert (status, len(json.loads(out)["events"])) == (0, 3), err
