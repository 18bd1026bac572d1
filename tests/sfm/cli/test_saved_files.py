"""A saved file says what it is, has a name of its own, and replaces no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from kit.command_line import Call, caller
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit

AT = datetime(2026, 4, 1, 0, 28, 12)
NAME = "SIMULATED_SIM0044_2026-04-01T00-28-12_01110000.csv"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("SFM_DATABASE_URL", "none")
    return caller(capsys)


@pytest.fixture
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0044")
    simulated.record_event(at_device_time=AT)
    with served(simulated) as found:
        yield found


def test_a_saved_table_says_what_it_is(unit: Served, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "event.csv"
    assert call("waveform", unit.url, "0", "--csv", str(path))[0] == 0
    notes = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert "# SIMULATED: not a recording of a real instrument" in notes[:1]
    assert "# Serial number: SIM0044" in notes
    assert "# Waveform key: 01110000" in notes
    assert "# Unit time: 2026-04-01 00:28:12 (the unit's own clock)" in notes
    assert any(note.startswith("# Sample rate: 1024 Hz") for note in notes)
    assert any(note.startswith("# Geophone range: 10 in/s") for note in notes)
    [units] = [note for note in notes if note.startswith("# Units of measure")]
    assert all(word in units for word in ("time s", "Tran in/s", "MicL psi"))


def test_a_program_of_others_reads_the_samples_behind_the_notes(
    unit: Served, call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "event.csv"
    assert call("waveform", unit.url, "0", "--csv", str(path))[0] == 0
    counts = unit.unit.counts_of(0)
    table = np.genfromtxt(path, delimiter=",")[1:]  # the column names are no numbers
    assert len(table) == counts.shape[1]
    assert np.allclose(table[:, 1], counts[0] * 0.005)


def test_in_a_folder_each_event_has_a_name_of_its_own(
    unit: Served, call: Call, tmp_path: Path
) -> None:
    assert call("waveform", unit.url, "0", "--csv", str(tmp_path))[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    unit.unit.erase()
    unit.unit.record_event(at_device_time=AT.replace(hour=9))
    assert call("waveform", unit.url, "0", "--csv", f"{tmp_path}/new/")[0] == 0
    assert call("waveform", unit.url, "0", "--csv", str(tmp_path))[0] == 0
    assert len(list(tmp_path.glob("*.csv"))) == 2, "the same slot and key, and another event"


@pytest.mark.parametrize("where", ["event.csv", "."])
def test_nothing_is_overwritten_unless_asked_for(
    where: str, unit: Served, call: Call, tmp_path: Path
) -> None:
    taken = tmp_path / (NAME if where == "." else where)
    taken.write_text("the one before")
    status, _, err = call("waveform", unit.url, "0", "--csv", str(tmp_path / where))
    assert status == 1
    assert taken.read_text() == "the one before"
    assert "--force" in err
    assert call("waveform", unit.url, "0", "--csv", str(tmp_path / where), "--force")[0] == 0
    assert "SIM0044" in taken.read_text()
    assert [path.name for path in tmp_path.iterdir()] == [taken.name], "no part is left"


def test_a_name_that_is_taken_is_found_before_the_unit_is_asked(call: Call, tmp_path: Path) -> None:
    taken = tmp_path / "event.csv"
    taken.write_text("the one before")
    status, _, err = call("waveform", "tcp://127.0.0.1:1", "0", "--csv", str(taken))
    assert (status, "is there already" in " ".join(err.split())) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("report", "171d8fe0", "--out"),
        ("export", "BE12345", "--out"),
        ("archive", "export-raw", "171d8fe0"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("name", ["out.pdf", "OUT.CSV", "taken"])
def test_a_folder_that_is_meant_as_a_file_is_refused_before_anything_is_read(
    words: tuple[str, ...], name: str, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    status, _, err = call(*words, str(tmp_path / name))
    assert (status, "give the folder to write into" in err) == (2, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_folder_that_is_there_may_have_any_name(unit: Served, call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "site.csv"
    folder.mkdir()
    assert call("export", f"{unit.url}:0", "--out", str(folder))[0] == 0
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.mark.parametrize("words", [("db", "backup"), ("capture", "127.0.0.1:1")], ids=" ".join)
def test_a_file_in_a_missing_folder_is_refused_before_anything_is_read(
    words: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    status, _, err = call(*words, str(tmp_path / "no" / "b.file"))
    assert status == 2
    assert f"there is no folder {tmp_path / 'no'}; make it first" in " ".join(err.split())
