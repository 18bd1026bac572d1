"""Events as exports meet them: whole, partial, clipped, without scale, without microphone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from minimateplus.conversions import FULL_SCALE_COUNTS
from minimateplus.model import Event, Reason, RecordMode, Waveform
from minimateplus.simulator.unit import peaks_of
from sfm.exports.event import ExportedEvent
from sfm.records import payloads

__all__ = ["PARTIAL", "SETUP", "exported", "exported_events", "motion"]

SETUP = {"sample_rate_hz": 2048, "record_time_s": 1.0, "pretrigger_s": 0.25, "geo_range_in_s": 10.0}
PARTIAL = Reason(code="samples-missing", detail="the image ends before its last sample")


def motion(samples: int = 2048, before: int = 256, peak_counts: float = 900.0) -> NDArray[np.int16]:
    """Return counts of a damped motion after quiet, shape (4, samples)."""
    time = np.arange(samples) - before
    one = np.where(time < 0, 0.0, np.exp(-time / 400) * np.sin(2 * np.pi * time / 61))
    rows = [one, -one / 2, np.roll(one, 7) / 3, one / 10]
    return np.round(np.stack(rows) * peak_counts).astype(np.int16)


def exported(
    counts: NDArray[np.int16] | None = None,
    *,
    valid: tuple[int, int, int, int] | None = None,
    geo_range_in_s: float | None = 10.0,
    rate_hz: int | None = 1024,
    before: int = 256,
    at: datetime | None = datetime(2026, 4, 1, 0, 28, 12),
    project: str | None = "North face",
    reasons: tuple[Reason, ...] = (),
    announced: int | None = None,
    setup: dict[str, Any] | None = None,
    **origin: Any,
) -> ExportedEvent:
    """Return an event of a unit; of a range or rate that is ``None`` only ``setup`` says more."""
    counts = motion() if counts is None else counts
    samples = counts.shape[1]
    valid = valid or (samples,) * 4
    kept = counts.copy()
    for row, length in zip(kept, valid, strict=True):
        row[length:] = 0
    waveform = Waveform(
        event=Event(
            index=0,
            key=bytes.fromhex("01110000"),
            device_time=at,
            peaks=peaks_of(kept, geo_range_in_s or 10.0),
            project=project,
        ),
        counts=kept,
        valid_samples=valid,
        sample_rate_hz=rate_hz,
        pretrigger_samples=before,
        geo_range_in_s=geo_range_in_s,
        mode=RecordMode.SINGLE_SHOT,
        image=b"",
        announced_samples=samples if announced is None else announced,
        sample_rates_possible=(1024, 2048, 4096) if rate_hz is None else (rate_hz,),
        geo_ranges_possible=(10.0, 1.25) if geo_range_in_s is None else (geo_range_in_s,),
        reasons=reasons,
    )
    payload = payloads.waveform_payload(waveform, setup)
    found: dict[str, Any] = {
        "payload": payload,
        "serial": "BE12345",
        "is_simulated": False,
        "quality": "partial" if payload["reasons"] else "good",
        "read_at": "2026-04-01T07:30:00.000+00:00",
        "recording_id": None,
        "image_hash": None,
        "zone": None,
        "utc": None,
        "utc_unknown": "no-zone",
    }
    return ExportedEvent(**{**found, **origin})


@st.composite
def exported_events(draw: st.DrawFn) -> ExportedEvent:
    """Events of any range and rate, known or not, long or short, whole or partial."""
    samples = draw(st.integers(1, 40) | st.sampled_from([2048, 9000]))
    if samples <= 40:
        within = st.integers(-FULL_SCALE_COUNTS, FULL_SCALE_COUNTS)
        counts = draw(arrays(np.int16, (4, samples), elements=within))
    else:
        counts = motion(samples, peak_counts=draw(st.floats(1, FULL_SCALE_COUNTS)))
    valid = (samples,) * 4
    if draw(st.booleans()):
        length = st.integers(0, samples)
        valid = draw(st.tuples(length, length, length, length))
    return exported(
        counts,
        valid=valid,
        geo_range_in_s=draw(st.sampled_from([10.0, 1.25, None])),
        rate_hz=draw(st.sampled_from([1024, 2048, 4096, None])),
        before=draw(st.integers(0, samples)),
        at=draw(st.sampled_from([datetime(2026, 4, 1, 0, 28, 12), datetime(1995, 1, 1), None])),
        reasons=(PARTIAL,) if min(valid) < samples else (),
        setup=draw(st.sampled_from([None, SETUP])),
    )
