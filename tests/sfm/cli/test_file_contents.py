"""A file is written whole or not at all, and a text of the unit stays in its cell."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest

from sfm.cli import files
from sfm.cli.application import CommandError


def test_a_table_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "event.csv"
    taken.write_text("the one before")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    for force, name in ((True, "replace"), (False, "link")):
        monkeypatch.setattr(Path if name == "replace" else os, name, full)
        with pytest.raises(CommandError, match="No space"):
            files.save(taken, "", "new", force=force)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the one before"]


def waveform_body(project: str = "", **channel: Any) -> dict[str, Any]:
    """Return an answer of one sample; ``channel`` changes the fields of Tran."""
    tran = {"unit": "counts", "values": [1], "peak": None, "bound": None, "flags": []}
    return {
        "waveform_key": "01110000",
        "timestamp": None,
        "samples": 1,
        "sample_rate_hz": None,
        "sample_rate_source": None,
        "geo_range_in_s": None,
        "geo_range_source": None,
        "project": project,
        "time": {"start": None, "step": None},
        "channels": {"Tran": tran | channel},
        "provenance": {"serial": "BE1", "simulated": False, "quality": "good", "read_at": None},
    }


@pytest.mark.parametrize("text", ['a,"b', "x;=HYPERLINK(1)", "tab\there", "line\nend", 'q"\r\n'])
def test_a_text_of_the_unit_stays_in_one_cell(text: str) -> None:
    saved = files.waveform_csv(waveform_body(project=text))
    [project] = [line for line in saved.split("\n") if line.startswith("# Project")]
    for delimiter in ",;\t":
        assert [project] == next(csv.reader([project], delimiter=delimiter))
    assert list(csv.reader(io.StringIO(saved)))[-1] == ["", "1"]
    assert "# Sample rate: unknown" in saved


@pytest.mark.parametrize(
    ("channel", "column"),
    [
        ({"peak": 10.0, "bound": None}, "Tran (in/s)"),
        ({"peak": 10.0, "bound": ">"}, "Tran (in/s; over range: peak > 10.0)"),
        ({"peak": None, "bound": ">"}, "Tran (in/s; over range)"),
    ],
)
def test_a_column_says_that_its_peak_is_over_range(channel: dict[str, Any], column: str) -> None:
    saved = files.waveform_csv(waveform_body(unit="in/s", **channel))
    [head] = [line for line in saved.split("\n") if line.startswith("time (s),")]
    assert head == f"time (s),{column}"
