"""The table of formats: one truth in all of them, and none of them better than the event."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from kit.exported_events import exported, exported_events, motion
from kit.peers import lack

from minimateplus.model import CHANNELS
from sfm.analysis import Analysis, Figure
from sfm.exports.errors import ExportError, MissingExtraError
from sfm.exports.event import ExportedEvent, Style, file_name
from sfm.exports.formats import FORMATS, exported_file
from sfm.exports.readers.text import unit_of
from sfm.records.analysed import analysis_payload
from sfm.records.payloads import counts_of, waveform_view

METRIC = Style(units="metric")


def has_pyarrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def written(event: ExportedEvent, name: str, style: Style | None = None) -> bytes:
    if name == "parquet" and not has_pyarrow():
        lack("pyarrow is not installed (extra parquet)")
    return exported_file(event, name, style or Style()).data


def as_json(event: ExportedEvent, style: Style | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(exported_file(event, "json", style or Style()).data)
    return found


@given(event=exported_events())
@settings(max_examples=40, deadline=None)
def test_json_has_what_the_api_says_of_the_event_to_the_last_digit(event: ExportedEvent) -> None:
    found, view = as_json(event), json.loads(json.dumps(waveform_view(event.payload)))
    for name, value in view.items():
        if name != "channels":
            assert found[name] == value
    counts = counts_of(event.payload)
    for row, name in enumerate(CHANNELS):
        mine = dict(found["channels"][name])
        assert mine.pop("counts") == counts[row, : event.payload["valid_samples"][row]].tolist()
        scale = mine.pop("scale")
        theirs = {k: v for k, v in view["channels"][name].items() if k != "peak_time_s"}
        assert mine == theirs
        assert (scale is None) == (mine["unit"] == "counts")
    assert found["results"] == json.loads(json.dumps(analysis_payload(event.payload)))
    assert found["counts_hash"] == event.counts_hash


@given(event=exported_events())
@settings(max_examples=40, deadline=None)
def test_parquet_has_the_same_cells_as_json(event: ExportedEvent) -> None:
    data = [written(event, "parquet", style) for style in (Style(), METRIC)]
    import pyarrow.parquet as pq

    for one, style in zip(data, (Style(), METRIC), strict=True):
        table = pq.read_table(io.BytesIO(one))
        found = as_json(event, style)
        n = event.payload["samples"]
        for name in CHANNELS:
            channel = found["channels"][name]
            missing = [None] * (n - len(channel["counts"]))
            assert table[name].to_pylist() == channel["values"] + missing
            assert table[f"{name} counts"].to_pylist() == channel["counts"] + missing
            about = {k.decode(): v.decode() for k, v in table.schema.field(name).metadata.items()}
            assert about == {"unit": channel["unit"], "scale": repr(channel["scale"])}
        times = event.times_s()
        assert table["time"].to_pylist() == ([None] * n if times is None else times)
        facts = json.loads(table.schema.metadata[b"seismo-relay"])
        assert facts["counts_hash"] == event.counts_hash
        assert facts["quality"] == event.quality


def test_units_of_measure_of_json_are_those_asked_for() -> None:
    found = as_json(exported(), METRIC)
    assert found["channels"]["Tran"]["unit"] == "mm/s"
    assert found["channels"]["Tran"]["scale"] == 0.127
    assert found["channels"]["Tran"]["values"][256:258] == pytest.approx(
        (motion()[0, 256:258] * 0.127).tolist()
    )
    assert found["results"]["channels"]["Tran"]["vendor"]["ppv"]["unit"] == "mm/s"
    assert np.isclose(found["channels"]["MicL"]["scale"], 0.2500557063)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_named_by_serial_date_and_key_and_says_if_it_is_simulated(name: str) -> None:
    written(exported(is_simulated=True), name)
    file = exported_file(exported(is_simulated=True), name, Style())
    ending = FORMATS[name].ending
    assert file.name == f"SIMULATED_BE12345_2026-04-01T00-28-12_01110000.{ending}"
    assert b"imulated" in file.data or b"SIMULATED" in file.data
    assert file.media_type == FORMATS[name].media_type


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_recording_hashes_offset_and_zone(name: str) -> None:
    event = exported(recording_id="ab" * 32, zone="America/Denver")
    data = written(event, name)
    for fact in (event.counts_hash, "ab" * 32, "America/Denver", "not removed", "01110000"):
        assert fact.encode() in data, fact


# --- every format beside the API -----------------------------------------------------------------

FACTORS = {"in/s": ("mm/s", 25.4), "psi": ("Pa", 6894.757293168)}


def api_channels(event: ExportedEvent, units: str) -> dict[str, tuple[str, list[float]]]:
    """Return unit of measure and values of each channel: the API's, by its own exact factors."""
    found = {}
    for name, channel in waveform_view(event.payload)["channels"].items():
        unit, values = channel["unit"], channel["values"]
        if units == "metric":
            unit, by = FACTORS[unit]
            values = [float(f"{value * by:.10g}") for value in values]
        found[name] = (unit, values)
    return found


def of_csv(data: bytes, delimiter: str) -> tuple[list[str], list[list[str]]]:
    lines = [one for one in data.decode("utf-8-sig").split("\r\n") if one and one[0] != "#"]
    titles, *rows = (line.split(delimiter) for line in lines)
    return titles, rows


def of_blastware(data: bytes) -> tuple[dict[str, str], list[str], list[list[str]]]:
    lines = data.decode("cp1252").splitlines()
    at = lines.index("")
    header = dict(line.strip('"').split(" : ", 1) for line in lines[:at] if "Remark" not in line)
    titles, *rows = ([cell.strip() for cell in line.split("\t")] for line in lines[at + 1 :])
    return header, titles, rows


@pytest.mark.parametrize("units", ["imperial", "metric"])
@pytest.mark.parametrize("geo_range", [10.0, 1.25])
@pytest.mark.parametrize("rate", [1024, 4096])
def test_units_scale_and_counts_of_every_format_are_those_of_the_api(
    units: Any, geo_range: float, rate: int
) -> None:
    counts = motion(3000, 512, peak_counts=1777)
    event = exported(counts, geo_range_in_s=geo_range, rate_hz=rate, before=512)
    style, api = Style(units=units), api_channels(event, units)
    found = as_json(event, style)["channels"]
    for name in CHANNELS:
        assert (found[name]["unit"], found[name]["values"]) == api[name]
        assert found[name]["counts"] == counts[CHANNELS.index(name)].tolist()
    for decimal, delimiter in (("point", ","), ("comma", ";")):
        one = Style(units=units, decimal=decimal)  # type: ignore[arg-type]
        titles, rows = of_csv(written(event, "csv", one), delimiter)
        for column, name in enumerate(CHANNELS):
            unit, values = api[name]
            assert titles[1 + column] == f"{name} ({unit})"
            assert [float(row[1 + column].replace(",", ".")) for row in rows] == values
            assert [int(row[5 + column]) for row in rows] == counts[column].tolist()
    header, titles, rows = of_blastware(written(event, "blastware", style))
    assert titles == ["Tran", "Vert", "Long", "MicL"]
    words = header["Units"].split(" and ")
    assert [unit_of(word) for word in words] == [api["Tran"][0], api["MicL"][0]]
    scales = dict(part.split(" ", 1) for part in header["Scale of a Count"].split(", "))
    for column, name in enumerate(CHANNELS):
        scale, unit = scales[name].split()
        assert (float(scale), unit) == (found[name]["scale"], api[name][0])
        for row, value, count in zip(rows, api[name][1], counts[column].tolist(), strict=True):
            cell = row[column]
            half = 0.5 * 10.0 ** -len(cell.partition(".")[2])
            assert abs(float(cell) - value) <= half * 1.000001
            assert round(float(cell) / float(scale)) == count
    results = Analysis.from_payload(analysis_payload(event.payload)).in_system(units)
    for name in ("Tran", "Vert", "Long"):
        for title, quantity in RESULTS.items():
            figure = results.channels[name]["vendor"][quantity]
            assert agrees(header[f"{name} {title}"], figure), (name, title)
    assert agrees(header["Peak Vector Sum"], results.pvs["vendor"])
    assert agrees(header["MicL PSPL"], results.channels["MicL"]["vendor"]["level"])


RESULTS = {
    "PPV": "ppv",
    "ZC Freq": "zc_frequency",
    "Time of Peak": "time_of_peak",
    "Peak Acceleration": "peak_acceleration",
    "Peak Displacement": "peak_displacement",
}


def agrees(printed: str, figure: Figure) -> bool:
    """Whether a printed result is the API's figure, to half of its last digit."""
    digits, unit = printed.split(" ")
    half = 0.5 * 10.0 ** -len(digits.partition(".")[2])
    value = figure.limit if figure.value is None else figure.value
    assert value is not None
    bound = digits[0] if digits[0] in "<>" else None
    return (
        abs(float(digits.lstrip("<>")) - value) <= half * 1.000001
        and unit == {"s": "sec"}.get(figure.unit, figure.unit)
        and bound == figure.bound
    )


@pytest.mark.parametrize("serial", ["../../etc", "a/b", "CON:", ".", "x\n"])
def test_a_files_name_leads_out_of_no_folder(serial: str) -> None:
    name = file_name(exported().payload, "csv", serial=serial, is_simulated=False)
    assert not set(name) & set("/\\:\n")
    assert not name.startswith(".")


def test_decimal_commas_are_for_csv_alone() -> None:
    with pytest.raises(ExportError, match="no decimal commas; formats that do: csv"):
        exported_file(exported(), "json", Style(decimal="comma"))
    assert b"0,0" in exported_file(exported(), "csv", Style(decimal="comma")).data


def test_without_pyarrow_parquet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"seismo-relay\[parquet\]"):
        exported_file(exported(), "parquet", Style())
