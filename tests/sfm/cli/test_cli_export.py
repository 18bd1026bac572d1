"""``export``: from unit, cache and archive alike; nothing is overwritten unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import get_args

import httpx
import pytest
from kit.command_line import Call, caller
from kit.relay_process import relay
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.cli import export
from sfm.cli.application import CommandError
from sfm.cli.asking import file_of
from sfm.cli.event_names import NamedEvent, parse_event
from sfm.exports.formats import FORMATS
from sfm.exports.names import FormatName
from sfm.exports.readers import read_file

FOLDERS = ("live", "all", "range")
AT = [datetime(2026, 4, day, 0, 28, 12) for day in (1, 2, 3)]
NAMES = [
    f"SIMULATED_SIM0044_2026-04-0{at.day}T00-28-12_{key}"
    for at, key in zip(AT, ("01110000", "01110d28", "01111a50"), strict=True)
]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(capsys)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    monkeypatch.setenv("SFM_DATABASE_URL", url)
    return url


@pytest.fixture
def unit(database: str) -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0044")
    for at in AT:
        simulated.record_event(at_device_time=at)
    with served(simulated) as found:
        yield found


def names(folder: Path) -> list[str]:
    """Serial number and day of each file, in order of name."""
    return [path.name[:28] + path.suffix for path in sorted(folder.iterdir())]


def test_every_event_of_a_unit_becomes_a_file_named_by_serial_time_and_key(
    unit: Served, call: Call, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    status, printed, err = call("export", unit.url, "-o", str(folder))
    assert status == 0, err
    assert names(folder) == [f"{name[:28]}.csv" for name in NAMES]
    assert all(str(path) in printed for path in folder.iterdir())
    for index, path in enumerate(sorted(folder.iterdir())):
        counts = read_file(path.read_bytes()).counts
        assert counts is not None
        assert (counts == unit.unit.counts_of(index)).all()
    assert call("export", f"{unit.url}:1", "-o", str(tmp_path / "one"))[0] == 0
    assert names(tmp_path / "one") == [f"{NAMES[1][:28]}.csv"]


def test_a_range_of_unit_time_is_from_and_before(unit: Served, call: Call, tmp_path: Path) -> None:
    words = ["--since", AT[1].isoformat(), "--until", AT[2].isoformat()]
    assert call("export", unit.url, *words, "-o", str(tmp_path / "range"))[0] == 0
    assert names(tmp_path / "range") == [f"{NAMES[1][:28]}.csv"]
    status, _, err = call("export", unit.url, "--since", "2027-01-01", "-o", str(tmp_path / "none"))
    assert (status, "nothing was written" in " ".join(err.split())) == (0, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["csv", "blastware", "json"])
def test_the_archive_gives_the_units_file_after_an_erase(
    name: str, unit: Served, call: Call, tmp_path: Path, database: str
) -> None:
    live, archived = tmp_path / "live", tmp_path / "archived"
    assert call("export", unit.url, "--format", name, "-o", str(live))[0] == 0
    unit.unit.erase()
    words = ["--database", database, "--format", name]
    assert call("export", "--all", *words, "-o", str(archived))[0] == 0
    assert [path.name for path in sorted(live.iterdir())] == [
        path.name for path in sorted(archived.iterdir())
    ]
    for path in live.iterdir():
        assert path.suffix == f".{FORMATS[name].ending}"
        one, other = path.read_bytes(), (archived / path.name).read_bytes()
        if name != "json":
            assert read_file(one).seismogram.samples == read_file(other).seismogram.samples
            assert one.splitlines()[-1200:] == other.splitlines()[-1200:]
        else:
            assert json.loads(one)["counts_hash"] == json.loads(other)["counts_hash"]
    day = tmp_path / "day"
    words = ["--serial", "SIM0044", "--since", "2026-04-03", "--units", "metric"]
    assert call("export", "--all", "--database", database, *words, "-o", str(day))[0] == 0
    [path] = day.iterdir()
    assert "Tran (mm/s)" in path.read_text()
    id_ = json.loads(call("archive", "list", "--json")[1])["events"][0]["id"]
    words = ["--database", database, "--decimal", "comma"]
    assert call("export", id_[:10], *words, "-o", str(tmp_path / "one"))[0] == 0
    assert ";Tran counts;" in (tmp_path / "one" / path.name).read_text("utf-8-sig")


def test_nothing_is_overwritten_unless_asked_for(unit: Served, call: Call, tmp_path: Path) -> None:
    assert call("export", unit.url, "-o", str(tmp_path / "out"))[0] == 0
    first, second, _ = sorted((tmp_path / "out").iterdir())
    first.write_text("the one before")
    second.unlink()
    status, printed, err = call("export", unit.url, "-o", str(tmp_path / "out"))
    assert status == 7
    assert "is there already" in " ".join(err.split())
    assert first.read_text() == "the one before"
    assert str(second) in printed, "the others are written"
    status, _, err = call("export", f"{unit.url}:0", "-o", str(tmp_path / "out"))
    assert (status, first.read_text()) == (1, "the one before")
    words = ["--force", "--json"]
    status, printed, _ = call("export", unit.url, *words, "-o", str(tmp_path / "out"))
    assert (status, len(json.loads(printed)["files"])) == (0, 3)
    assert "SIM0044" in first.read_text()
    assert len(names(tmp_path / "out")) == 3, "no part is left"


def test_an_event_that_cannot_be_written_keeps_no_other_back(
    unit: Served, call: Call, tmp_path: Path, database: str
) -> None:
    assert call("events", unit.url)[0] == 0
    assert call("waveform", unit.url, "2")[0] == 0
    words = ["--database", database, "--json"]
    status, printed, _ = call("export", "--all", *words, "-o", str(tmp_path / "out"))
    body = json.loads(printed)
    assert (status, len(body["files"]), len(body["failed"])) == (7, 1, 2)
    assert "never downloaded" in body["failed"][0]["reason"]
    missing = body["failed"][0]["event"]
    words = ["--database", database]
    assert call("export", missing, *words, "-o", str(tmp_path / "out"))[0] == 4
    assert call("export", "0123456789", *words, "-o", str(tmp_path / "out"))[0] == 4
    written = body["files"][0]["event"]
    words = ["--format", "json", "--decimal", "comma"]
    for one, more in ((f"{unit.url}:0", []), (written, ["--database", database])):
        status, _, err = call("export", one, *words, *more, "-o", str(tmp_path / "out"))
        assert (status, "no decimal commas" in " ".join(err.split())) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["BE1:0", "--all"],
        ["BE1:0", "--serial", "BE1"],
        ["BE1:0", "--since", "2026-04-01"],
        ["--all", "--since", "yesterday"],
        ["--all", "--since", "2026-04-01T00:00Z"],
        ["--all", "--format", "pdf"],
        [""],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(words: list[str], call: Call, tmp_path: Path) -> None:
    status, _, err = call("export", *words, "-o", str(tmp_path / "out"))
    assert (status, bool(err.strip())) == (2, True)
    assert not (tmp_path / "out").exists()


COMPLETE = (
    "10.0.0.5:12345",
    "modem.example:9000",
    "tcp://10.0.0.5:12345",
    "TCP://modem:9000",
    "tcp:10.0.0.5:12345",
    "tcp:modem:9000",
    "tcp://[fe80::1]:12345",
    "tcp:[fe80::1]:12345",
    "[fe80::1]:9",
    "[fe80::1]",
    "/dev/ttyUSB0",
    "serial:/dev/ttyUSB0:38400",
    "COM3",
    "serial:COM3:9600",
    "rfc2217://10.0.0.5:2217",
    "serial:rfc2217://10.0.0.5:2217",
    "telnet://modem:23",
    "North face",
    "BE12345",
)
"""Spellings of a unit behind which a number can only be an index."""
WITHOUT_A_PORT = ("10.0.0.5", "modem.example", "tcp://10.0.0.5", "fe80::1", "serial:/dev/ttyUSB0")


def test_an_address_with_a_port_is_not_an_event() -> None:
    for text in (*COMPLETE, *WITHOUT_A_PORT):
        assert parse_event(text) == NamedEvent(unit=text), text
    for text in COMPLETE:
        if text != "[fe80::1]":  # (that number is its port)
            assert parse_event(f"{text}:3") == NamedEvent(unit=text, index=3), text
    assert parse_event("0123ABCD") == NamedEvent(recording="0123abcd")


def test_the_names_on_the_command_line_are_those_of_the_table() -> None:
    assert set(get_args(FormatName)) == set(FORMATS)


def test_a_relay_gives_the_same_files_and_its_names_lead_out_of_no_folder(
    unit: Served, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(database=tmp_path / "of_relay.db") as started:
        through = ("--relay", started.base)
        status, _, err = call("export", unit.url, *through, "-o", str(tmp_path / "live"))
        assert status == 0, err
        monkeypatch.setattr(export, "PAGE", 2)  # so that there is a second page
        words = ["--since", "2026-04-01", "--until", "2026-04-04"]
        for folder, more in (("all", []), ("range", words)):
            out = str(tmp_path / folder)
            assert call("export", "--all", *more, *through, "-o", out)[0] == 0
            assert names(tmp_path / folder) == names(tmp_path / "live")
        status, _, err = call("export", "0123456789", *through, "-o", str(tmp_path / "none"))
        assert (status, (tmp_path / "none").exists()) == (4, False)
    for path in (tmp_path / "live").iterdir():
        rows = [(tmp_path / f / path.name).read_text().splitlines()[-1200:] for f in FOLDERS]
        assert rows[0] == rows[1] == rows[2]


@pytest.mark.parametrize("name", ["../x.csv", ".x", "a/b.csv", "c:\\x.csv", "", 'x"; a="'])
def test_a_file_of_a_relay_that_names_another_folder_is_refused(name: str) -> None:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    with pytest.raises(CommandError, match="not as a relay does"):
        file_of(httpx.Response(200, headers=headers, content=b"x"), "http://127.0.0.1:1")


def test_a_file_that_did_not_arrive_as_it_was_sent_is_refused() -> None:
    # Of "abc", as FIPS 180-4 has it.
    digest = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    headers = {
        "content-disposition": 'attachment; filename="x.zip"',
        "repr-digest": f"sha-256=:{digest}:",
    }
    whole = httpx.Response(200, headers=headers, content=b"abc")
    assert file_of(whole, "http://127.0.0.1:1") == ("x.zip", b"abc")
    with pytest.raises(CommandError, match="SHA-256 is another one"):
        file_of(httpx.Response(200, headers=headers, content=b"xyz"), "http://127.0.0.1:1")
