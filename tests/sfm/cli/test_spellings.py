"""Every spelling of a unit is understood wherever a command or a device route names one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from kit.command_line import Call, caller
from kit.relay_process import Relay, relay
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.access.names import check_name
from sfm.cli import operation

SERIAL, NAME = "SIM0047", "North face"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr(operation, "POLL_S", 0.05)
    return caller(capsys)


@pytest.fixture(scope="module")
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit(SERIAL)
    for _ in range(2):
        simulated.record_event()
    with served(simulated) as found:
        yield found


@pytest.fixture(scope="module", params=["database", "none"])
def started(
    request: pytest.FixtureRequest, unit: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Relay, list[str]]]:
    """Yield a relay that has a name for the unit, and all spellings of that unit."""
    database = tmp_path_factory.mktemp("db") / "db" if request.param == "database" else None
    at = f"127.0.0.1:{unit.port}"
    spelled = [at, f"tcp://{at}", f"TCP://{at}", f"tcp:{at}", f"[::ffff:127.0.0.1]:{unit.port}"]
    spelled += [NAME, NAME.upper(), SERIAL, SERIAL.lower()]
    with relay(database=database, SFM_UNITS=json.dumps({NAME: f"tcp://{at}"})) as found:
        yield found, spelled


def test_every_command_of_a_unit_takes_every_spelling(
    started: tuple[Relay, list[str]], call: Call, tmp_path: Path
) -> None:
    found, spelled = started
    through = ("--relay", found.base)
    for number, text in enumerate(spelled):
        for words in (
            ("info", text),
            ("events", text),
            ("status", text),
            ("waveform", text, "0"),
            ("analyse", f"{text}:0"),
            ("export", f"{text}:1", "-o", str(tmp_path / str(number))),
            ("export", text, "-o", str(tmp_path / f"all {number}")),
            ("configure", text, "--notes", "as before", "--dry-run"),
        ):
            status, _, err = call(*words, *through)
            assert status == 0, (words, err)
        # Of another unit: refused by the unit's own number, not for its name.
        status, _, err = call("erase", text, "--serial", "SIM9999", "--count", "2", *through)
        assert (status, SERIAL in err) == (4, True), (text, err)


def test_a_fetch_takes_every_spelling(started: tuple[Relay, list[str]], call: Call) -> None:
    found, spelled = started
    for text in spelled:
        status, _, err = call("fetch", text, "--relay", found.base)
        assert status == 0 or "database" in err, (text, err)


def test_a_unit_read_by_address_alone_is_found_by_its_serial_number(call: Call) -> None:
    simulated = SimulatedUnit("SIM0048")
    simulated.record_event()
    with served(simulated) as unit, relay() as found:
        through = ("--relay", found.base)
        assert call("info", "SIM0048", *through)[0] == 3
        assert call("info", f"127.0.0.1:{unit.port}", *through)[0] == 0
        for words in (("info", "sim0048"), ("events", "SIM0048"), ("analyse", "SIM0048:0")):
            status, _, err = call(*words, *through)
            assert status == 0, (words, err)


def test_every_device_route_takes_every_spelling(started: tuple[Relay, list[str]]) -> None:
    found, spelled = started
    for text in spelled:
        for path in ("info", "events", "event/0", "event/0/waveform", "monitor/status"):
            with urlopen(f"{found.base}/device/{path}?unit={quote(text)}") as response:
                provenance = json.load(response)["provenance"]
            assert provenance["serial"] == SERIAL, (path, text)


def test_no_spelling_of_an_address_may_be_a_name() -> None:
    for text in (
        "10.0.0.5",
        "10.0.0.5:12345",
        "modem.example",
        "modem:9000",
        "tcp://modem:9000",
        "tcp:modem:9000",
        "fe80::1",
        "[fe80::1]",
        "[fe80::1]:12345",
        "/dev/ttyUSB0",
        "COM3",
        "com12",
        "serial:COM3:9600",
        "rfc2217://modem:2217",
        "telnet://modem:23",
        "replay:file",
        "unit:BE12345",
        "route:tcp:modem:9000",
        "BE12345",
        "sim0001",
        "12345",
    ):
        with pytest.raises(ValueError, match="name"):
            check_name(text)
