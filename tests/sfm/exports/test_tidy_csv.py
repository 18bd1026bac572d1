"""Our CSV: what it says of itself, the API's figures to the last digit, and the archive's hash."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from kit.exported_events import PARTIAL, SETUP, exported, exported_events, motion

from minimateplus.model import CHANNELS
from sfm.analysis import analyse
from sfm.exports.event import ExportedEvent, Style
from sfm.exports.readers import read_file
from sfm.exports.tidy_csv import csv_bytes
from sfm.records.payloads import counts_of, waveform_view

COMMA = Style(decimal="comma")
METRIC = Style(units="metric")


def cells(data: bytes, delimiter: str = ",") -> tuple[list[str], list[str], list[list[str]]]:
    """Return note lines, titles and rows, read by a few lines that know nothing of the writer."""
    lines = data.decode("utf-8-sig").split("\r\n")[:-1]
    notes = [line for line in lines if line.startswith("# ")]
    titles, *rows = csv.reader(lines[len(notes) :], delimiter=delimiter)
    assert all(len(row) == len(titles) == 9 for row in rows)
    return notes, titles, rows


def note(data: bytes, name: str) -> str:
    [found] = re.findall(rf"^# {re.escape(name)}: (.*)\r$", data.decode("utf-8-sig"), re.MULTILINE)
    return str(found)


def hash_of_counts(rows: list[list[str]]) -> str:
    channels = zip(*[row[5:] for row in rows], strict=True) if rows else [(), (), (), ()]
    counts = [[int(cell or 0) for cell in channel] for channel in channels]
    return blake2b(np.array(counts, "<i2").tobytes(), digest_size=32).hexdigest()


@given(event=exported_events())
@settings(max_examples=60, deadline=None)
def test_figures_and_counts_are_those_of_the_api_to_the_last_digit(event: ExportedEvent) -> None:
    data, view = csv_bytes(event), waveform_view(event.payload)
    _, titles, rows = cells(data)
    assert len(rows) == view["samples"]
    counts = counts_of(event.payload)
    for column, name in enumerate(CHANNELS):
        channel, valid = view["channels"][name], view["valid_samples"][column]
        assert titles[1 + column].startswith(f"{name} ({channel['unit']}")
        mine = [row[1 + column] for row in rows]
        assert [float(cell) for cell in mine[:valid]] == channel["values"]
        assert [int(row[5 + column]) for row in rows[:valid]] == counts[column, :valid].tolist()
        assert not any(mine[valid:])
        assert not any(row[5 + column] for row in rows[valid:])
    start, step = view["time"]["start"], view["time"]["step"]
    if step is None:
        assert {row[0] for row in rows} == {""}
    else:
        assert [float(row[0]) for row in rows] == [start + i * step for i in range(len(rows))]
    assert note(data, "Counts hash").startswith(hash_of_counts(rows))
    assert event.counts_hash == hash_of_counts(rows)


@given(event=exported_events())
@settings(max_examples=30, deadline=None)
def test_in_metric_units_and_with_commas_the_figures_are_the_same(event: ExportedEvent) -> None:
    plain, metric = cells(csv_bytes(event))[2], cells(csv_bytes(event, METRIC))[2]
    is_scaled = event.payload["geo_range_in_s"] is not None
    by = [25.4 if is_scaled else 1.0] * 3 + [6894.757293168]
    for row, converted in zip(plain, metric, strict=True):
        for cell, other, factor in zip(row[1:5], converted[1:5], by, strict=True):
            assert (cell == "") == (other == "")
            assert float(other or 0) == pytest.approx(float(cell or 0) * factor, rel=1e-9)
        assert row[5:] == converted[5:]
    _, _, commas = cells(csv_bytes(event, COMMA), ";")
    assert [[cell.replace(",", ".") for cell in row] for row in commas] == plain


def test_a_converted_figure_has_no_tail_of_a_multiplication() -> None:
    data = csv_bytes(exported(), METRIC)
    assert note(data, "Scale").startswith("Tran 0.127 mm/s a count | ")
    assert max(len(cell) for row in cells(data)[2] for cell in row[1:4]) <= len("-254.0000")


def test_the_notes_say_what_the_samples_are() -> None:
    archived = exported(
        recording_id="ab" * 32,
        image_hash="cd" * 32,
        zone="America/Denver",
        utc="2026-04-01T06:28:12.000+00:00",
        utc_unknown=None,
        is_simulated=True,
    )
    data = csv_bytes(archived)
    notes = cells(data)[0]
    assert notes[0] == "# SIMULATED: not a recording of a real instrument"
    assert note(data, "Serial number") == "BE12345"
    assert note(data, "Waveform key") == "01110000"
    assert note(data, "Recording") == "ab" * 32
    assert note(data, "Unit time") == "2026-04-01 00:28:12 (the unit's own clock)"
    assert note(data, "Time zone") == "America/Denver"
    assert note(data, "Instant (UTC)") == "2026-04-01T06:28:12.000+00:00"
    assert note(data, "Sample rate") == "1024 Hz (from the event)"
    assert note(data, "Geophone range") == "10 in/s (from the event)"
    assert "Vert 0.005 in/s a count" in note(data, "Scale")
    assert "not removed" in note(data, "Offset")
    units = "time s from the trigger | Tran in/s | Vert in/s | Long in/s | MicL psi"
    assert note(data, "Units of measure") == units
    assert note(data, "Image hash").startswith("cd" * 32)
    assert note(data, "Quality") == "good"
    assert "SIMULATED" not in csv_bytes(exported()).decode()


@pytest.mark.parametrize("style", [Style(), METRIC, COMMA])
def test_our_reader_reads_it_back_with_the_same_results(style: Style) -> None:
    event = exported()
    file = read_file(csv_bytes(event, style))
    assert file.counts is not None
    assert file.counts.tobytes() == event.payload["counts"]
    assert (file.header["countshash"], file.assumptions) == (
        f"{event.counts_hash} (BLAKE2b-256)",
        (),
    )
    one = file.seismogram
    assert (one.rate_hz, one.pretrigger_samples, one.samples) == (1024.0, 256, 2048)
    ppv = analyse(one).channels["Tran"]["vendor"]["ppv"].in_unit("in/s").value
    assert ppv == pytest.approx(abs(motion()[0]).max() * 0.005, rel=1e-9)


@given(event=exported_events())
@settings(max_examples=30, deadline=None)
def test_our_reader_finds_the_counts_of_every_event(event: ExportedEvent) -> None:
    if not any(event.payload["valid_samples"]):
        return
    file = read_file(csv_bytes(event))
    assert file.counts is not None
    assert file.counts.tobytes() == event.payload["counts"]


def test_a_damaged_count_is_no_count() -> None:
    data = csv_bytes(exported())
    for wrong in (b"0.5", b"99999"):
        with pytest.raises(Exception, match="no count"):
            read_file(data.replace(b",0,0,0,0\r\n", b",0,0,0,%s\r\n" % wrong, 1))


@pytest.mark.parametrize("style", [Style(), COMMA])
@pytest.mark.parametrize(
    "text", ['a,"b', "x;=HYPERLINK(1)", "=1+1", "tab\there", "line\nend", 'q"\r\n', "\x00", "São"]
)
def test_a_text_of_the_unit_stays_in_one_cell(text: str, style: Style) -> None:
    data = csv_bytes(exported(project=text, serial=text), style)
    lines = data.decode("utf-8-sig").split("\r\n")
    for name in ("# Project", "# Serial number"):
        [line] = [line for line in lines if line.startswith(name)]
        assert line.isprintable()
        for delimiter in ",;\t":
            assert [line] == next(csv.reader([line], delimiter=delimiter))
    for row in csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=";"):
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in row)
    assert len(read_file(data).seismogram.traces["Tran"].values) == 2048


def test_what_is_less_than_it_seems_says_so_in_its_title_and_notes() -> None:
    clipped = exported(motion(peak_counts=2600).clip(-2000, 2000))
    assert cells(csv_bytes(clipped))[1][1] == "Tran (in/s; over range: peak > 10.0)"
    assert cells(csv_bytes(clipped, METRIC))[1][1] == "Tran (mm/s; over range: peak > 254.0)"
    assert cells(csv_bytes(clipped, COMMA), ";")[1][1] == "Tran (in/s; over range: peak > 10.0)"

    proposed = exported(geo_range_in_s=None, rate_hz=None, setup=SETUP)
    assert cells(csv_bytes(proposed))[1][1] == "Tran (in/s; scale unconfirmed)"
    assert note(csv_bytes(proposed), "Geophone range") == "10 in/s (from the setup)"
    assert note(csv_bytes(proposed), "Sample rate") == "2048 Hz (from the setup)"
    assert "# Not good: range-unconfirmed: " in csv_bytes(proposed).decode()

    unknown = exported(geo_range_in_s=None, rate_hz=None)
    data = csv_bytes(unknown, METRIC)
    assert cells(data)[1][1:5] == ["Tran (counts)", "Vert (counts)", "Long (counts)", "MicL (Pa)"]
    assert note(data, "Geophone range") == note(data, "Sample rate") == "unknown"
    assert note(data, "Scale").startswith("Tran counts of unknown scale | ")

    partial = exported(valid=(2048, 100, 2048, 2048), reasons=(PARTIAL,), announced=4096)
    data = csv_bytes(partial)
    assert note(data, "Valid samples").startswith("Tran 2048 | Vert 100 | ")
    assert note(data, "Samples announced by the unit") == "4096"
    assert (note(data, "Quality"), note(data, "Not good")[:15]) == ("partial", "samples-missing")

    never_set = exported(at=datetime(1995, 1, 1), utc_unknown="before-2000")
    assert note(csv_bytes(never_set), "Instant (UTC)") == "unknown: before-2000"
    assert note(csv_bytes(exported(at=None)), "Unit time") == "unknown"
