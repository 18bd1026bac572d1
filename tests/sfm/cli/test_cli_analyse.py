"""``analyse``: units, recordings and files, as JSON and for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from kit.analysis_vectors import VECTORS
from kit.command_line import Call, caller
from kit.field_memory import alter, damage, histogram_body
from kit.peers import lack
from kit.relay_process import PATIENCE_S, relay
from kit.served_unit import served

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.unit import DEFAULT_SETUP, NEVER_SET_DEVICE_TIME
from sfm.cli.analysis_views import figure_text
from sfm.store import Store, Wanted, archive

QUANTITIES = {
    "ppv",
    "zc_frequency",
    "time_of_peak",
    "peak_acceleration",
    "peak_displacement",
}
FIGURE = {"value", "unit", "bound", "step", "method", "flags"}


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(capsys)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/archive.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", url)
    return url


@pytest.fixture
def unit() -> SimulatedUnit:
    found = SimulatedUnit("SIM0001", seed=3)
    found.setup = replace(DEFAULT_SETUP, record_time_s=1.0)
    return found


@pytest.fixture
def address(unit: SimulatedUnit) -> Iterator[str]:
    with served(unit) as there:
        yield f"tcp://127.0.0.1:{there.port}"


def export(path: Path, amplitude: float = 12.0) -> Path:
    """A file in the form of Blastware's ASCII export, made here."""
    t = np.arange(1280) / 1024 - 0.25
    wave = np.where(t < 0, 0, amplitude * np.exp(-4 * t) * -np.sin(2 * np.pi * 11 * t))
    header = [
        '"Serial Number : UM00001"',
        '"Sample Rate : 1024 sps"',
        '"Pre-trigger Length : -0.250 sec"',
        '"Units : mm/s and "',
        f'"Tran PPV : {np.abs(wave).max():.2f} mm/s"',
    ]
    rows = [f"{v:.3f}\t{v / 2:.3f}\t{v / 4:.3f}" for v in wave]
    path.write_text("\n".join([*header, "", "Tran\tVert\tLong", *rows]) + "\n")
    return path


def body_of(call: Call, *words: str) -> dict[str, Any]:
    status, printed, complaints = call("analyse", *words, "--json")
    assert status == 0, (printed, complaints)
    found: dict[str, Any] = json.loads(printed)
    return found


# --- files


def test_a_file_has_both_sets_of_every_channel(run_cli: Call, tmp_path: Path) -> None:
    body = body_of(run_cli, str(export(tmp_path / "event.TXT")))
    assert list(body["channels"]) == ["Tran", "Vert", "Long"]
    for sets in body["channels"].values():
        for name in ("vendor", "refined"):
            assert set(sets[name]) == QUANTITIES
            assert all(set(figure) == FIGURE for figure in sets[name].values())
    tran = body["channels"]["Tran"]["vendor"]
    assert tran["ppv"]["unit"] == "mm/s"
    assert tran["ppv"]["value"] == pytest.approx(11.0, abs=0.5)
    assert tran["zc_frequency"]["value"] == pytest.approx(11.0, abs=0.2)
    assert (tran["ppv"]["method"], body["pvs"]["refined"]["method"]) == ("vendor-1", "refined-1")
    assert (body["serial"], body["assumptions"]) == ("UM00001", [])


def test_the_vendors_own_exports_give_the_vendors_results(run_cli: Call) -> None:
    folder = VECTORS / "blastware_ascii"
    if not folder.is_dir():
        lack(f"No exports in {folder}")
    body = body_of(run_cli, str(folder / "5m.TXT"), "--units", "imperial")
    for sets in body["channels"].values():
        assert sets["vendor"]["ppv"]["value"] == pytest.approx(
            sets["reported"]["ppv"]["value"], abs=0.0002
        )
        assert sets["vendor"]["ppv"]["unit"] == "in/s"
    status, printed, _ = run_cli("analyse", str(folder / "5m.TXT"))
    assert status == 0
    for words in ("PPV", "refined", "reported", "Peak vector sum", "offset_limited", "31.68"):
        assert words in printed


def test_several_events_are_a_list_and_an_error_keeps_none_back(
    run_cli: Call, tmp_path: Path
) -> None:
    good, other = export(tmp_path / "a.TXT"), export(tmp_path / "b.TXT", 3.0)
    bad = tmp_path / "c.TXT"
    bad.write_text("nothing here")
    status, printed, complaints = run_cli("analyse", str(good), str(bad), str(other), "--json")
    bodies = json.loads(printed)
    assert (status, [Path(body["file"]).name for body in bodies]) == (2, ["a.TXT", "b.TXT"])
    assert "c.TXT: No line names the channels" in " ".join(complaints.split())


@pytest.mark.parametrize("word", ["absent.TXT", "tcp://10.0.0.5:12345", "serial:/dev/ttyS0:9600"])
def test_what_names_nothing_is_a_usage_error(run_cli: Call, word: str) -> None:
    status, _, complaints = run_cli("analyse", word)
    assert status == 2
    assert "UNIT:INDEX" in complaints


# --- units and recordings


def test_an_event_of_a_unit_and_its_recording_have_the_same_figures(
    run_cli: Call, unit: SimulatedUnit, address: str, database: str
) -> None:
    unit.record_event(seed=1)
    live = body_of(run_cli, f"{address}:0")
    assert (live["provenance"]["serial"], live["index"]) == ("SIM0001", 0)
    with Store.open(database, read_only=True) as store:
        name = store.read(archive.load_page, Wanted()).rows[0]["id"]
    # "--database" uses the archive without a relay.
    stored = body_of(run_cli, name[:10], "--database", database)
    assert stored["id"] == name
    assert (stored["channels"], stored["pvs"]) == (live["channels"], live["pvs"])
    status, printed, _ = run_cli("analyse", name[:10], "--database", database)
    assert status == 0
    assert "SIMULATED" in printed


def test_a_relay_answers_for_its_units_and_recordings(
    run_cli: Call, unit: SimulatedUnit, address: str, tmp_path: Path
) -> None:
    unit.record_event(seed=1)
    with relay(database=tmp_path / "relay.sqlite") as there:
        live = body_of(run_cli, f"{address}:0", "--relay", there.base, "--units", "metric")
        [row] = httpx.get(f"{there.base}/archive/events", timeout=PATIENCE_S).json()["events"]
        stored = body_of(run_cli, row["id"], "--relay", there.base, "--units", "metric")
        assert stored["channels"] == live["channels"]
        assert live["pvs"]["vendor"]["unit"] == "mm/s"
        status, _, complaints = run_cli("analyse", "0123456789abcdef", "--relay", there.base)
        assert (status, "no recording" in complaints) == (4, True)


# --- what is not good


def test_a_clipped_event_shows_what_was_reached_at_least(
    run_cli: Call, unit: SimulatedUnit, address: str
) -> None:
    counts = np.clip(3600 * np.sin(np.arange(4 * 1280).reshape(4, -1) / 9), -2000, 2000)
    unit.record_event(counts=counts.astype(np.int16))
    status, printed, _ = run_cli("analyse", f"{address}:0")
    assert status == 0
    assert ">10.00" in printed
    assert "over_range: " in printed


def test_a_partial_event_says_first_n_of_m(
    run_cli: Call, unit: SimulatedUnit, address: str
) -> None:
    unit.record_event(seed=3)
    damage(unit, "broken off")
    status, printed, _ = run_cli("analyse", f"{address}:0")
    assert status == 0
    assert "Computed from the first" in printed
    assert "incomplete: " in printed


def test_an_undecoded_event_ends_with_its_reason(
    run_cli: Call, unit: SimulatedUnit, address: str
) -> None:
    unit.record_event(seed=1)
    alter(unit, body=histogram_body(), start={"samples": 60})
    status, _, complaints = run_cli("analyse", f"{address}:0")
    assert status == 7
    assert "decoded" in complaints


def test_an_unconfirmed_scale_is_shown_beside_each_amplitude(
    run_cli: Call, unit: SimulatedUnit, address: str
) -> None:
    unit.setup = replace(DEFAULT_SETUP, geo_range_in_s=1.25)
    counts = np.rint(40 * np.sin(np.arange(4 * 1280).reshape(4, -1) / 9)).astype(np.int16)
    unit.record_event(counts=counts)
    alter(unit, peaks=float("nan"))
    unit.setup = DEFAULT_SETUP
    status, printed, _ = run_cli("analyse", f"{address}:0")
    assert status == 0
    assert "scale_unconfirmed: " in printed


def test_a_clock_that_was_never_set_is_noted(
    run_cli: Call, unit: SimulatedUnit, address: str
) -> None:
    unit.record_event(seed=1, at_device_time=NEVER_SET_DEVICE_TIME)
    status, printed, _ = run_cli("analyse", f"{address}:0")
    assert status == 0
    assert "never set" in printed


# --- digits


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00094321, "in", "0.0009432"),
        (12345.6, "mm/s", "12346"),
        (0.0, "g", "0"),
        (-0.04512, "s", "-0.045"),
        (None, "Hz", "N/A"),
    ],
)
def test_figures_have_four_significant_digits_and_no_exponent(
    value: float | None, unit: str, text: str
) -> None:
    assert figure_text({"value": value, "bound": None, "unit": unit, "flags": []}) == text


def test_a_bound_is_shown_with_the_limit_where_there_is_no_value() -> None:
    figure = {"value": None, "bound": ">", "unit": "in/s", "flags": ["over_range"], "limit": 10.0}
    assert figure_text(figure) == ">10.00"
    assert figure_text({"value": 100.0, "bound": ">", "unit": "Hz", "flags": []}) == ">100.0"
