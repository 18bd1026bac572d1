from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from minimateplus.conversions import MIC_PSI_PER_COUNT
from minimateplus.model import CHANNELS, Event, Peaks, RecordMode, Waveform
from sfm.records import payloads

PEAKS = Peaks(tran_in_s=0.5, vert_in_s=0.25, long_in_s=0.125, mic_psi=0.004, vector_sum_in_s=0.6)
EVENT = Event(
    index=2,
    key=bytes.fromhex("0111245a"),
    device_time=datetime(2026, 4, 1, 0, 28, 12),
    peaks=PEAKS,
    project="North face",
)
WAVEFORM = Waveform(
    event=EVENT,
    counts=np.array(
        [[0, 100, -50, 7], [0, 1, 50, -3], [0, 2, 25, 0], [0, 6, -813, 1]], dtype=np.int16
    ),
    valid_samples=(4, 4, 4, 4),
    sample_rate_hz=1024,
    pretrigger_samples=2,
    geo_range_in_s=10.0,
    mode=RecordMode.SINGLE_SHOT,
    image=b"",
)
SETUP = {
    "sample_rate_hz": 2048,
    "record_time_s": 1.0,
    "pretrigger_s": 0.25,
    "geo_range_in_s": 1.25,
}

wire_floats = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    peaks=st.builds(
        Peaks,
        tran_in_s=wire_floats,
        vert_in_s=wire_floats,
        long_in_s=wire_floats,
        mic_psi=wire_floats,
        vector_sum_in_s=wire_floats,
    ),
    timestamp=st.none() | st.datetimes().map(lambda moment: moment.replace(microsecond=0)),
    project=st.none() | st.text(),
    key=st.binary(min_size=4, max_size=4),
)
def test_an_event_comes_back_from_its_form_as_it_was(
    peaks: Peaks, timestamp: datetime | None, project: str | None, key: bytes
) -> None:
    event = Event(index=3, key=key, device_time=timestamp, peaks=peaks, project=project)
    payload = payloads.event_payload(event)
    assert payloads.event_of(payload) == event
    assert payloads.event_payload(payloads.event_of(payload)) == payload
    if "\ud800" not in (project or "") and (project or "").isprintable():
        assert orjson.loads(orjson.dumps(payload)) == payload


def test_an_event_payload_has_what_the_unit_reported_and_the_level_beside_it() -> None:
    assert payloads.event_payload(EVENT) == {
        "index": 2,
        "waveform_key": "0111245a",
        "timestamp": "2026-04-01T00:28:12",
        "peaks": {
            "tran_in_s": 0.5,
            "vert_in_s": 0.25,
            "long_in_s": 0.125,
            "mic_psi": 0.004,
            "vector_sum_in_s": 0.6,
            "mic_db": 122.79,
        },
        "project": "North face",
    }


@pytest.mark.parametrize("mic_psi", [None, 0.0])
def test_no_pressure_has_no_level(mic_psi: float | None) -> None:
    payload = payloads.event_payload(replace(EVENT, peaks=replace(PEAKS, mic_psi=mic_psi)))
    assert payload["peaks"]["mic_db"] is None


def test_a_float_of_the_wire_is_written_as_a_person_would() -> None:
    peaks = replace(PEAKS, tran_in_s=float(np.float32(0.615)))
    assert payloads.event_payload(replace(EVENT, peaks=peaks))["peaks"]["tran_in_s"] == 0.615


def view_of(waveform: Waveform, setup: dict[str, Any] | None = None) -> dict[str, Any]:
    return payloads.waveform_view(payloads.waveform_payload(waveform, setup))


def test_a_waveform_is_shown_in_physical_units_on_a_time_axis_from_the_trigger() -> None:
    view = view_of(WAVEFORM)
    assert view["time"] == {
        "unit": "s",
        "zero": "trigger",
        "start": -2 / 1024,
        "step": 1 / 1024,
        "flags": [],
    }
    assert view["channels"]["Tran"] == {
        "unit": "in/s",
        "values": [0.0, 0.5, -0.25, 0.035],
        "peak": 0.5,
        "bound": None,
        "peak_time_s": -1 / 1024,
        "flags": [],
    }
    assert view["channels"]["Vert"]["values"] == [0.0, 0.005, 0.25, -0.015]
    mic = view["channels"]["MicL"]
    assert mic["unit"] == "psi"
    assert mic["values"] == pytest.approx(
        [0, 6 * MIC_PSI_PER_COUNT, -813 * MIC_PSI_PER_COUNT, 0], abs=5e-5
    )
    assert mic["peak"] == pytest.approx(813 * MIC_PSI_PER_COUNT, rel=1e-6)
    assert mic["peak_time_s"] == 0.0
    assert "counts" not in view


def test_the_sensitive_range_is_an_eighth_of_the_normal_one() -> None:
    view = view_of(replace(WAVEFORM, geo_range_in_s=1.25))
    assert view["channels"]["Tran"]["values"] == [0.0, 0.0625, -0.03125, 0.004375]


def test_only_valid_samples_are_shown() -> None:
    view = view_of(replace(WAVEFORM, valid_samples=(4, 2, 0, 1)))
    lengths = {name: len(view["channels"][name]["values"]) for name in CHANNELS}
    assert lengths == {"Tran": 4, "Vert": 2, "Long": 0, "MicL": 1}
    assert view["channels"]["Long"]["peak"] is None
    assert view["channels"]["Long"]["peak_time_s"] is None
    assert (view["samples"], view["valid_samples"]) == (4, [4, 2, 0, 1])


def test_an_unknown_range_leaves_counts_that_say_so() -> None:
    view = view_of(replace(WAVEFORM, geo_range_in_s=None))
    assert view["channels"]["Tran"] == {
        "unit": "counts",
        "values": [0, 100, -50, 7],
        "peak": None,
        "bound": None,
        "peak_time_s": None,
        "flags": [],
    }
    assert view["channels"]["MicL"]["unit"] == "psi"
    assert (view["geo_range_in_s"], view["geo_range_source"]) == (None, None)


def test_an_unknown_rate_leaves_no_time_axis() -> None:
    view = view_of(replace(WAVEFORM, sample_rate_hz=None))
    assert (view["time"]["start"], view["time"]["step"]) == (None, None)
    assert view["channels"]["Tran"]["peak"] == 0.5
    assert view["channels"]["Tran"]["peak_time_s"] is None


def test_the_setup_fills_in_only_what_the_event_lacks_and_is_named() -> None:
    own = payloads.waveform_payload(WAVEFORM, SETUP)
    assert (own["sample_rate_hz"], own["sample_rate_source"]) == (1024, "event")
    assert (own["geo_range_in_s"], own["geo_range_source"]) == (10.0, "event")
    poor = replace(
        WAVEFORM,
        sample_rate_hz=None,
        geo_range_in_s=None,
        sample_rates_possible=(1024, 2048),
        geo_ranges_possible=(10.0, 1.25),
    )
    filled = payloads.waveform_payload(poor, SETUP)
    assert (filled["sample_rate_hz"], filled["sample_rate_source"]) == (2048, "setup")
    assert (filled["geo_range_in_s"], filled["geo_range_source"]) == (1.25, "setup")
    codes = [reason["code"] for reason in filled["reasons"]]
    assert codes == ["rate-unconfirmed", "range-unconfirmed"]
    fact = payloads.as_fact(filled)
    assert (fact["sample_rate_hz"], fact["geo_range_in_s"]) == (None, None)
    other = payloads.waveform_payload(poor, {**SETUP, "sample_rate_hz": 4096})
    assert (other["sample_rate_hz"], other["sample_rate_source"]) == (None, None)


def test_the_counts_come_back_from_the_form() -> None:
    payload = payloads.waveform_payload(WAVEFORM, None)
    assert (payloads.counts_of(payload) == WAVEFORM.counts).all()
    assert isinstance(payload["counts"], bytes)


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


@in_virtual_time
async def test_a_waveform_of_the_unit_is_shown_with_its_true_values(world: World) -> None:
    unit = FieldUnit()
    unit.record_event(seed=7)
    world.plug(unit)
    payload = (await world.gateway.waveform(HERE, 0)).value
    view = payloads.waveform_view(payload)
    truth = unit.counts_of(0)
    peaks = unit.events[0].peaks
    reported = {"Tran": peaks.tran_in_s, "Vert": peaks.vert_in_s, "Long": peaks.long_in_s}
    for row, name in enumerate(("Tran", "Vert", "Long")):
        channel = view["channels"][name]
        assert channel["values"] == pytest.approx((truth[row] * 0.005).tolist(), abs=1e-9)
        assert channel["peak"] == pytest.approx(reported[name])
        assert (
            abs(
                channel["values"][
                    round((channel["peak_time_s"] - view["time"]["start"]) / view["time"]["step"])
                ]
            )
            == channel["peak"]
        )
    assert view["channels"]["MicL"]["peak"] == pytest.approx(peaks.mic_psi, rel=1e-4)
    assert view["time"]["start"] == -0.25
    text = json.dumps(view)
    assert json.loads(text, parse_constant=no_constant) == view
    assert all(math.isfinite(v) for c in view["channels"].values() for v in c["values"])
