"""Analyses over HTTP: of every kind of event that the field has, and stored once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kit.field_memory import alter, damage, histogram_body
from kit.http_requests import ask, assert_problem
from kit.inline_worker import InlineWorker
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time
from kit.stored_rows import write_row

from minimateplus.simulator.unit import DEFAULT_SETUP
from sfm.analysis import Analysis
from sfm.api.schemas.analysis import (
    ArchivedAnalysisOut,
    ArchivedSpectraOut,
    DeviceAnalysisOut,
    DeviceSpectraOut,
)

UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
OF_SETS = {
    "ppv",
    "zc_frequency",
    "time_of_peak",
    "peak_acceleration",
    "peak_displacement",
}


async def analysed(world: World, index: int = 0, **more: Any) -> dict[str, Any]:
    answer = await ask(world, f"/device/event/{index}/analysis", **UNIT, **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    DeviceAnalysisOut.model_validate(body, extra="forbid")
    return body


async def recording(world: World, index: int = 0) -> str:
    rows = (await ask(world, "/archive/events")).json()["events"]
    return str(next(row["id"] for row in rows if row["index"] == index))


async def archived(world: World, name: str, **more: Any) -> dict[str, Any]:
    answer = await ask(world, f"/archive/recordings/{name}/analysis", **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    ArchivedAnalysisOut.model_validate(body, extra="forbid")
    return body


def plugged(world: World, **setup: Any) -> FieldUnit:
    unit = world.plug(FieldUnit())
    unit.setup = replace(DEFAULT_SETUP, **setup)
    return unit


# --- spectra


@in_virtual_time
async def test_the_spectra_have_the_dominant_amplitude_where_the_analysis_has_it(
    world: World,
) -> None:
    plugged(world).record_event(seed=1)
    figures = (await analysed(world))["channels"]
    live = (await ask(world, "/device/event/0/spectra", **UNIT)).json()
    DeviceSpectraOut.model_validate(live, extra="forbid")
    waveform = (await ask(world, "/device/event/0/waveform", **UNIT)).json()
    assert live["resolution_hz"] == pytest.approx(live["sample_rate_hz"] / live["samples"])
    for name in ("Tran", "Vert", "Long", "MicL"):
        found = figures[name]["spectrum"]
        amplitudes = live["channels"][name]["amplitudes"]
        hz = found["dominant_frequency"]["value"]
        place = round(hz / live["resolution_hz"])
        assert place * live["resolution_hz"] == pytest.approx(hz)
        assert amplitudes[place] == pytest.approx(found["dominant_amplitude"]["value"], rel=1e-4)
        assert live["channels"][name]["unit"] == found["dominant_amplitude"]["unit"]
        assert 249 < (len(amplitudes) - 1) * live["resolution_hz"] <= 250
        # By the definition, in another way: a sum over the samples instead of a transform.
        values = np.array(waveform["channels"][name]["values"][: live["samples"]])
        turns = np.exp(-2j * np.pi * place * np.arange(len(values)) / len(values))
        assert amplitudes[place] == pytest.approx(2 * abs(values @ turns) / len(values), rel=1e-4)


@in_virtual_time
async def test_a_recording_has_the_same_spectra_in_the_units_that_its_reader_chooses(
    world: World,
) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    live = (await ask(world, "/device/event/0/spectra", **UNIT)).json()
    path = f"/archive/recordings/{await recording(world)}/spectra"
    own, metric = (await ask(world, path)).json(), (await ask(world, path, units="metric")).json()
    ArchivedSpectraOut.model_validate(own, extra="forbid")
    assert (own["waveform_key"], own["timestamp"]) == (live["waveform_key"], live["timestamp"])
    assert own["channels"] == live["channels"]
    assert own["channels"]["MicL"]["unit"] == "psi"
    assert metric["channels"]["MicL"]["unit"] == "Pa"
    assert metric["channels"]["Tran"]["unit"] == "mm/s"
    assert metric["channels"]["Tran"]["amplitudes"] == pytest.approx(
        [25.4 * one for one in own["channels"]["Tran"]["amplitudes"]], rel=1e-4
    )


# --- a good event


@in_virtual_time
async def test_an_event_of_a_unit_has_two_sets_of_figures_and_the_units_own(world: World) -> None:
    plugged(world).record_event(seed=1)
    body = await analysed(world)
    waveform = (await ask(world, "/device/event/0/waveform", **UNIT)).json()
    for name in ("Tran", "Vert", "Long"):
        sets = body["channels"][name]
        assert set(sets["vendor"]) == set(sets["refined"]) == OF_SETS
        assert sets["vendor"]["ppv"]["value"] == pytest.approx(waveform["channels"][name]["peak"])
        assert sets["vendor"]["ppv"]["unit"] == "in/s"
        assert sets["vendor"]["ppv"]["step"] == 0.005
        assert sets["reported"]["ppv"]["method"] == "unit"
    assert {"vendor", "refined", "reported"} == set(body["pvs"])
    assert body["channels"]["MicL"]["vendor"]["level"]["unit"] == "dB(L)"
    assert body["recorded_samples"] is None
    assert "differs_from_unit" not in body["flags"]
    assert body["provenance"]["serial"] == "SIM0001"
    assert (body["waveform_key"], body["timestamp"]) == (
        waveform["waveform_key"],
        waveform["timestamp"],
    )


@in_virtual_time
async def test_units_of_measure_are_the_readers_choice(world: World) -> None:
    plugged(world).record_event(seed=1)
    own, metric = await analysed(world), await analysed(world, units="metric")
    assert metric["pvs"]["vendor"]["unit"] == "mm/s"
    assert metric["pvs"]["vendor"]["value"] == pytest.approx(25.4 * own["pvs"]["vendor"]["value"])
    assert metric["channels"]["MicL"]["vendor"]["peak_pressure"]["unit"] == "Pa"
    assert own["channels"]["MicL"]["vendor"]["peak_pressure"]["unit"] == "psi"
    assert await analysed(world) == own | {"provenance": (await analysed(world))["provenance"]}
    refused = await ask(world, "/device/event/0/analysis", **UNIT, units="nautical")
    assert_problem(refused, 422, "invalid-parameter")


@in_virtual_time
async def test_a_reader_that_has_this_result_gets_304_and_no_other_gets_it(world: World) -> None:
    plugged(world).record_event(seed=1)
    first = await ask(world, "/device/event/0/analysis", **UNIT)
    tag = {"if-none-match": first.headers["etag"]}
    assert (await ask(world, "/device/event/0/analysis", **UNIT, headers=tag)).status_code == 304
    other = await ask(world, "/device/event/0/analysis", **UNIT, units="metric", headers=tag)
    assert other.status_code == 200
    event = (await ask(world, "/device/event/0", **UNIT)).headers["etag"]
    same = {"if-match": event}
    assert (await ask(world, "/device/event/0/analysis", **UNIT, headers=same)).status_code == 200
    gone = {"if-match": '"SIM0001.other"'}
    refused = await ask(world, "/device/event/0/analysis", **UNIT, headers=gone)
    assert_problem(refused, 412, "event-mismatch")


@in_virtual_time
async def test_a_result_is_computed_once_for_all_readers_of_a_read(world: World) -> None:
    plugged(
        world,
    ).record_event(seed=1)
    await ask(world, "/device/event/0/waveform", **UNIT)
    before = InlineWorker.computed
    for units in ("metric", "imperial", "metric"):
        await analysed(world, units=units)
    assert InlineWorker.computed == before + 1


# --- what is not good


@in_virtual_time
async def test_a_clipped_event_has_lower_limits_and_no_values(world: World) -> None:
    unit = plugged(world)
    counts = np.rint(3600 * np.sin(np.arange(4 * 1280).reshape(4, -1) / 9))
    counts[1:] /= 10
    unit.record_event(counts=np.clip(counts, -2000, 2000).astype(np.int16))
    body = await analysed(world)
    tran = body["channels"]["Tran"]["vendor"]
    assert (tran["ppv"]["value"], tran["ppv"]["bound"], tran["ppv"]["limit"]) == (None, ">", 10.0)
    assert tran["ppv"]["flags"] == ["over_range"]
    assert body["channels"]["Tran"]["reported"]["ppv"]["value"] is None
    assert "limit" not in body["channels"]["Vert"]["vendor"]["ppv"]
    assert body["pvs"]["vendor"]["value"] is None
    assert body["pvs"]["vendor"]["limit"] >= 10.0
    assert "over_range" in body["flags"]


@in_virtual_time
async def test_a_partial_event_is_computed_from_its_first_samples(world: World) -> None:
    unit = plugged(world)
    unit.record_event(seed=3)
    damage(unit, "broken off")
    body = await analysed(world)
    assert body["recorded_samples"] > body["samples"] > 0
    first = f"Computed from the first {body['samples']} of {body['recorded_samples']} samples."
    assert body["notes"][0] == first
    assert "incomplete" in body["channels"]["Tran"]["vendor"]["ppv"]["flags"]
    assert body["provenance"]["quality"] == "partial"


@in_virtual_time
async def test_a_peak_that_contradicts_the_units_own_is_marked(world: World) -> None:
    unit = plugged(world)
    counts = np.rint(400 * np.sin(np.arange(4 * 1280).reshape(4, -1) / 9)).astype(np.int16)
    unit.record_event(counts=counts)
    # Near enough to confirm the range, and four counts away.
    alter(unit, peaks=1.01)
    body = await analysed(world)
    assert "differs_from_unit" in body["channels"]["Tran"]["vendor"]["ppv"]["flags"]
    assert body["channels"]["Tran"]["reported"]["ppv"]["value"] == pytest.approx(2.02)
    unit.erase()
    unit.record_event(counts=counts)
    assert "differs_from_unit" not in (await analysed(world))["flags"]


@in_virtual_time
async def test_an_undecoded_event_has_no_analysis(world: World) -> None:
    await world.with_disk()
    unit = plugged(world)
    unit.record_event(seed=1)
    alter(unit, body=histogram_body(), start={"samples": 60})
    refused = await ask(world, "/device/event/0/analysis", **UNIT)
    assert_problem(refused, 502, "samples-undecoded")
    name = await recording(world)
    refused = await ask(world, f"/archive/recordings/{name}/analysis")
    assert_problem(refused, 502, "samples-undecoded")


@in_virtual_time
async def test_an_unconfirmed_scale_is_flagged_and_no_fact_of_the_recording(world: World) -> None:
    await world.with_disk()
    unit = plugged(world, sample_rate_hz=4096, geo_range_in_s=1.25, pretrigger_s=1.0)
    counts = np.rint(40 * np.sin(np.arange(4 * 8192).reshape(4, -1) / 9)).astype(np.int16)
    unit.record_event(counts=counts)
    alter(unit, start={"pretrigger_samples": 4096}, peaks=float("nan"))
    unit.setup = DEFAULT_SETUP
    body = await analysed(world)
    tran = body["channels"]["Tran"]["vendor"]
    assert "scale_unconfirmed" in tran["ppv"]["flags"]
    assert tran["ppv"]["value"] == pytest.approx(0.2)
    assert (tran["zc_frequency"]["value"], body["sample_rate_hz"]) == (None, None)
    assert any("setup" in note for note in body["notes"])
    name = await recording(world)
    for path, which in (("/device/event/0", UNIT), (f"/archive/recordings/{name}", {})):
        spectra = (await ask(world, f"{path}/spectra", **which)).json()
        found = (spectra["sample_rate_hz"], spectra["resolution_hz"], spectra["channels"])
        assert found == (None, None, {}), "without a rate there is no frequency"
    stored = await archived(world, name)
    tran = stored["channels"]["Tran"]["vendor"]
    assert (tran["ppv"]["value"], tran["ppv"]["flags"]) == (
        None,
        ["scale_unknown", "not_available"],
    )


@in_virtual_time
async def test_a_clock_that_was_never_set_is_noted(world: World) -> None:
    unit = plugged(world)
    unit.record(1, never_set=True, size=1280, loud=40)
    body = await analysed(world)
    assert any("never set" in note for note in body["notes"])
    assert body["channels"]["Tran"]["vendor"]["ppv"]["value"] is not None


# --- stored once


@in_virtual_time
async def test_a_recordings_result_is_computed_once_and_then_read(world: World) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    live = await analysed(world)
    name = await recording(world)
    before = InlineWorker.computed
    first = await archived(world, name)
    assert InlineWorker.computed == before + 1
    assert await archived(world, name[:10]) == first
    metric = await archived(world, name, units="metric")
    assert InlineWorker.computed == before + 1
    assert metric["pvs"]["vendor"]["unit"] == "mm/s"
    for part in ("channels", "pvs", "pvs_time", "version"):
        assert first[part] == live[part]
    tag = (await ask(world, f"/archive/recordings/{name}/analysis")).headers["etag"]
    again = await ask(world, f"/archive/recordings/{name}/analysis", headers={"if-none-match": tag})
    assert again.status_code == 304


@pytest.mark.parametrize("change", ["version", "reading", "damage"])
@in_virtual_time
async def test_a_result_that_is_not_current_is_computed_again(world: World, change: str) -> None:
    disk = await world.with_disk()
    plugged(world).record_event(seed=1)
    await analysed(world)
    name = await recording(world)
    first = await archived(world, name)
    before = InlineWorker.computed
    if change == "version":
        write_row(disk, "analyses", {"waveform_id": 1}, version=0)
    elif change == "reading":
        write_row(disk, "analyses", {"waveform_id": 1}, reading_id=99)
    else:
        with disk.engines.write() as connection:
            connection.exec_driver_sql(
                "UPDATE analyses SET result_json = replace(result_json, '0.005', '0.006')"
            )
    assert await archived(world, name) == first
    assert InlineWorker.computed == before + 1
    assert await archived(world, name) == first
    assert InlineWorker.computed == before + 1


@in_virtual_time
async def test_unknown_and_not_downloaded_recordings_have_none(world: World) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    await ask(world, "/device/events", **UNIT)
    name = await recording(world)
    for path in (name, "0123456789abcdef"):
        refused = await ask(world, f"/archive/recordings/{path}/analysis")
        assert_problem(refused, 404, "no-such-record")


@in_virtual_time
async def test_stored_figures_come_back_as_they_were(world: World) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    body = await analysed(world)
    parts = {name: body[name] for name in Analysis.from_payload(body).payload()}
    assert Analysis.from_payload(parts).payload() == parts
