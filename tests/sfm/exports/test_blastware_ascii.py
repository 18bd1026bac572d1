"""Blastware ASCII: read back by our reader, and by a few lines that share no code with it."""

from __future__ import annotations

import math
import re
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from kit.exported_events import PARTIAL, SETUP, exported, exported_events, motion
from kit.reference_data import reference
from numpy.typing import NDArray

from sfm.analysis import Analysis, analyse
from sfm.exports.blastware_ascii import blastware_bytes
from sfm.exports.errors import UnwritableEventError
from sfm.exports.event import ExportedEvent, Style
from sfm.exports.readers import read_file
from sfm.records.analysed import analyse_payload
from sfm.records.payloads import counts_of

METRIC = Style(units="metric")
GEOPHONES = ("Tran", "Vert", "Long")


def independent(data: bytes) -> tuple[dict[str, str], NDArray[np.float64]]:
    """Return header and samples, by what docs/reference/exports.md says of the format alone."""
    lines = data.decode("cp1252").splitlines()
    [body] = [at for at, line in enumerate(lines) if line.split()[:3] == list(GEOPHONES)]
    header = dict(line.strip('"').split(" : ", 1) for line in reversed(lines[: body - 1]))
    cells = [line.split("\t") for line in lines[body + 1 :]]
    return header, np.array([[float(cell or "nan") for cell in map(str.strip, r)] for r in cells])


def vendor_results(samples: NDArray[np.float64], rate: float, before: float, g: float) -> list[str]:
    """Return the printed results of a channel, by the vendor's rules and none of our code."""
    at = int(np.abs(samples).argmax())
    is_positive = samples >= 0
    start = stop = at
    while start > 0 and is_positive[start - 1] == is_positive[at]:
        start -= 1
    while stop < len(samples) and is_positive[stop] == is_positive[at]:
        stop += 1
    areas = [
        abs(part.sum()) / rate / 2
        for part in np.split(samples, np.flatnonzero(np.diff(is_positive)) + 1)
    ][1:-1]
    return [
        f"{abs(samples[at]):.6f}",
        f"{rate / (2 * (stop - start)):.6f}",
        f"{at / rate - before:.6f}",
        f"{np.abs(np.diff(samples)).max() * rate / g:.6f}",
        f"{max(areas):.6f}",
    ]


def number(text: str) -> float:
    return float(text.split()[0].lstrip("<>"))


def half_digit(text: str) -> float:
    return 0.5 * 10.0 ** -len(text.split()[0].partition(".")[2])


@pytest.mark.parametrize("units", ["imperial", "metric"])
@pytest.mark.parametrize("geo_range", [10.0, 1.25])
@pytest.mark.parametrize("rate", [1024, 2048, 4096])
def test_an_independent_reading_gives_the_results_of_the_header(
    units: str, geo_range: float, rate: int
) -> None:
    counts = motion(6000, 1024, peak_counts=1777)
    counts[:3, 1000:] += 1  # so that no stretch of zeros decides a frequency
    event = exported(counts, geo_range_in_s=geo_range, rate_hz=rate, before=1024)
    style = METRIC if units == "metric" else Style(units="imperial")
    header, samples = independent(blastware_bytes(event, style))
    before, length = -number(header["Pre-trigger Length"]), number(header["Record Time"])
    assert header["Sample Rate"] == f"{rate} sps"
    assert len(samples) == round((before + length) * rate) == 6000
    g = 9806.65 if units == "metric" else 9806.65 / 25.4
    for column, name in enumerate(GEOPHONES):
        computed = vendor_results(samples[:, column], rate, before, g)
        titles = ("PPV", "ZC Freq", "Time of Peak", "Peak Acceleration", "Peak Displacement")
        for title, mine in zip(titles, computed, strict=True):
            printed = header[f"{name} {title}"]
            if printed.startswith((">", "<")) or printed == "N/A":
                continue
            # The rows are rounded, too: half a digit of each sample moves what is computed of it.
            allowed = half_digit(printed) * 1.01 + 0.002 * abs(float(mine))
            assert abs(number(printed) - float(mine)) <= allowed, (name, title, printed, mine)
    pvs = np.sqrt((samples[:, :3] ** 2).sum(axis=1)).max()
    assert number(header["Peak Vector Sum"]) == pytest.approx(pvs, rel=1e-3)
    full_scale = number(header["Geo Range"]) / 2000
    printed_counts = np.round(samples[:, :3].T / full_scale).astype(np.int16)
    assert (printed_counts == counts[:3]).all()


def figures(results: Analysis) -> dict[str, float | None]:
    found = {
        f"{channel} {name}": figure.limit if figure.value is None else figure.value
        for channel in ("Tran", "Vert", "Long", "MicL")
        for name, figure in results.channels[channel]["vendor"].items()
    }
    return found | {"pvs": results.pvs["vendor"].limit or results.pvs["vendor"].value}


@pytest.mark.parametrize("style", [Style(), METRIC])
@pytest.mark.parametrize("geo_range", [10.0, 1.25])
def test_our_reader_gives_the_same_results(style: Style, geo_range: float) -> None:
    event = exported(motion(peak_counts=1777), geo_range_in_s=geo_range)
    file = read_file(blastware_bytes(event, style))
    assert file.assumptions == ()
    assert file.text("pcswversion") == "seismo-relay 0.1.0"
    back = analyse(file.seismogram)
    before = analyse_payload(event.payload).in_system(style.units or "imperial")
    for name, value in figures(before).items():
        mine = figures(back)[name]
        assert (mine is None) == (value is None), name
        # Rounded rows: a hundredth of a count, or the format's own three decimals.
        assert mine is None or mine == pytest.approx(value, rel=2e-3, abs=2e-3), name
    for channel in GEOPHONES:
        reported = file.seismogram.traces[channel].reported
        for name, figure in before.channels[channel]["vendor"].items():
            if figure.value is not None:
                printed = reported[name]
                assert printed.value == pytest.approx(figure.value, abs=(printed.step or 0) * 0.51)
                assert printed.unit == figure.unit
    assert not any("differs_from_unit" in one for one in (back.flags,))


@given(event=exported_events())
@settings(max_examples=40, deadline=None)
def test_every_sample_is_that_of_the_event_and_none_is_invented(event: ExportedEvent) -> None:
    if event.payload["geo_range_in_s"] is None:
        with pytest.raises(UnwritableEventError, match="export it as csv"):
            blastware_bytes(event)
        return
    for style in (Style(), METRIC):
        header, samples = independent(blastware_bytes(event, style))
        by = 25.4 if style.units else 1.0
        pressure = 0.2500557063 if style.units else 3.62681e-05
        counts, valid = counts_of(event.payload), event.payload["valid_samples"]
        scales = [event.payload["geo_range_in_s"] / 2000 * by] * 3 + [pressure]
        assert len(samples) == event.payload["samples"]
        for row, (column, scale) in enumerate(zip(samples.T, scales, strict=False)):
            back = np.round(column[: valid[row]] / scale)
            assert (back == counts[row, : valid[row]]).all()
            assert np.isnan(column[valid[row] :]).all()
        assert samples.shape[1] == (4 if valid[3] else 3)
        assert event.counts_hash in header["Counts Hash"]


def test_the_header_has_the_vendors_lines_in_the_vendors_order() -> None:
    def names(data: bytes) -> list[str]:
        found = re.findall(r'^"([^"]*?) *:+ ', data.decode("cp1252"), re.MULTILINE)
        # Lines that only some exports have, and the notes, whose titles are the unit's own.
        optional = ("Auto Window", "Test Freq", "Test Ratio")
        return [name for name in found if not name.endswith(optional)]

    mine = names(blastware_bytes(exported()))
    for file in ("5m.TXT", "10m.TXT"):
        theirs = names(reference(f"vectors/blastware_ascii/{file}").read_bytes())
        notes = theirs.index("Setup") + 1
        assert mine[:notes] == theirs[:notes]
        rest = [name for name in mine[notes + 4 :] if not name.startswith("MicL ")]
        assert rest[: len(theirs) - notes - 4] == theirs[notes + 4 :]
    assert mine[notes : notes + 4] == ["Project", "Client", "User Name", "Seis Loc"]


def test_rows_are_padded_and_separated_as_the_vendors() -> None:
    form = re.compile(r"-?\d+\.\d+ *(\t-?\d+\.\d+ *)*")
    lines = blastware_bytes(exported(motion(peak_counts=1999)), METRIC).decode().split("\r\n")
    at = lines.index("   Tran   \t   Vert   \t   Long   \t   MicL   ")
    assert lines[at - 1] == ""
    for row in lines[at + 1 : -1]:
        assert form.fullmatch(row)
        for cell in row.split("\t"):
            assert len(cell) == 10
            digits = 2 if abs(float(cell)) >= 10 else 3
            assert len(cell.strip().partition(".")[2]) == digits
    theirs = reference("vectors/blastware_ascii/5m.TXT").read_text().splitlines()
    body = theirs[theirs.index("   Tran   \t   Vert   \t   Long   ") + 1 :]
    assert all(form.fullmatch(row) and len(row) == 32 for row in body)


def test_what_is_not_known_is_never_a_value() -> None:
    header, _ = independent(blastware_bytes(exported(at=None)))
    for name in (
        *("Version", "Event Time", "Event Date", "Trigger", "Geo Trigger Level", "Battery Level"),
        *("Calibration", "Operator", "Setup", "Client:", "Tran  Test Results", "Time Zone"),
    ):
        assert header[name].startswith("not available"), name
    assert "Passed" not in str(header)
    header, _ = independent(blastware_bytes(exported(rate_hz=None)))
    assert header["Sample Rate"] == header["Record Time"] == "not available"
    assert header["Tran ZC Freq"] == header["Tran Peak Acceleration"] == "N/A"


def test_what_is_less_than_it_seems_says_so() -> None:
    clipped = exported(motion(peak_counts=2600).clip(-2000, 2000))
    header, _ = independent(blastware_bytes(clipped))
    assert header["Tran PPV"] == ">10.00 in/s"
    assert header["Peak Vector Sum"].startswith(">")
    assert "over_range" in header["Flags"]

    proposed = exported(geo_range_in_s=None, rate_hz=None, setup=SETUP)
    header, _ = independent(blastware_bytes(proposed))
    assert header["Geo Range"] == "10.00 in/s (of the setup, unconfirmed)"
    assert header["Sample Rate"] == "2048 sps (of the setup, unconfirmed)"
    assert "scale_unconfirmed" in header["Flags"]

    partial = exported(reasons=(PARTIAL,), announced=4096)
    data = blastware_bytes(partial)
    header, samples = independent(data)
    assert (header["Record Time"], len(samples)) == ("3.75 sec", 2048)
    assert "first 2048 of 4096 samples" in data.decode()
    assert read_file(data).seismogram.recorded_samples == 4096

    never_set = exported(at=datetime(1995, 1, 1, 4, 5, 6), utc_unknown="before-2000")
    data = blastware_bytes(never_set)
    assert independent(data)[0]["Event Date"] == "January 1, 1995"
    assert "clock was never set" in data.decode()
    assert "SIMULATED: not" in blastware_bytes(exported(is_simulated=True)).decode()
    assert "SIMULATED" not in data.decode()


def test_a_channel_without_valid_samples_has_no_result() -> None:
    samples = 2048
    no_air = exported(valid=(samples, samples, samples, 0), reasons=(PARTIAL,))
    header, rows = independent(blastware_bytes(no_air))
    assert header["MicL PSPL"] == "N/A"
    assert rows.shape == (samples, 3)


@pytest.mark.parametrize(
    "text", ['"', 'a" : "b', 'x\r\n"Tran PPV : 9 mm/s"', "tab\there", "=1+1", "São", "日本", ""]
)
def test_a_text_of_the_unit_stays_in_its_line(text: str) -> None:
    event = exported(project=text)
    data = blastware_bytes(event)
    plain = blastware_bytes(exported(project=""))
    lines = data.decode("cp1252").split("\r\n")
    assert len(lines) == len(plain.decode("cp1252").split("\r\n"))
    [project] = [line for line in lines if line.startswith('"Project: ')]
    assert project.isprintable()
    assert project.count('"') == 2
    assert [line for line in lines if line.startswith('"Tran PPV')] == [
        line for line in plain.decode("cp1252").split("\r\n") if line.startswith('"Tran PPV')
    ]
    if text == "São":
        assert b"S\xe3o" in data
    assert math.isfinite(len(read_file(data).seismogram.traces["Tran"].values))
