"""Events for reports: a simulated blast, and what can be wrong with one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimateplus.model import CHANNELS
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.blast import Blast, synthesise
from minimateplus.simulator.unit import DEFAULT_SETUP
from minimateplus.wire.image import read_image
from sfm.analysis.limits import Catalogue
from sfm.exports.event import ExportedEvent
from sfm.records.entered_facts import EnteredFact
from sfm.records.payloads import COUNTS_DTYPE, Payload, waveform_payload
from sfm.reports.subject import ChosenCurves, Options, Subject, curves_named

__all__ = [
    "A4_MM",
    "AIRBLAST",
    "DEVICE_TIME",
    "DIN",
    "ENTERED",
    "OPTIONS",
    "RI8507",
    "blast_counts",
    "chosen",
    "clipped_counts",
    "first_samples",
    "payload_of",
    "subject_of",
    "subjects",
    "without_microphone",
]

DEVICE_TIME = datetime(2026, 11, 27, 17, 44, 11)
OPTIONS = Options(printed_at=datetime(2026, 11, 28, 9, 0, 0, tzinfo=UTC), program_version="0.1.0")
_VALUES: dict[str, float | str] = {
    "distance_m": 182.9,
    "charge_kg": 45.0,
    "operator": "Pat Doe",
    "operator_firm": "Blast Monitoring Ltd",
    "analyst": "Sam Roe",
}
ENTERED = {
    name: EnteredFact(name=name, value=value, by="Pat Doe", at="2026-11-27T18:00:00.000+00:00")
    for name, value in _VALUES.items()
}


def blast_counts(**blast: Any) -> NDArray[np.int16]:
    """Return the counts of one blast, the same each time."""
    known: dict[str, Any] = {"peak_in_s": 1.9, "air_psi": 0.0035, "distance_ft": 600.0}
    return synthesise(Blast(**(known | blast)), np.random.default_rng(7))


def clipped_counts() -> NDArray[np.int16]:
    """Return a blast of which Long reached the end of the range."""
    counts = blast_counts().astype(np.int32)
    counts[2] *= 7
    return np.clip(counts, -2000, 2000).astype(np.int16)


def payload_of(counts: NDArray[np.int16] | None = None, **setup: Any) -> Payload:
    """Return the waveform's payload of an event that a simulated unit recorded."""
    unit = SimulatedUnit("BE11529", setup=replace(DEFAULT_SETUP, **setup), seed=7)
    unit.record_event(
        counts=blast_counts() if counts is None else counts, at_device_time=DEVICE_TIME
    )
    [stored] = unit._memory.stored
    known: Any = replace(unit.setup, **setup)
    names = ("sample_rate_hz", "record_time_s", "pretrigger_s", "geo_range_in_s")
    return waveform_payload(
        read_image(stored.event, stored.image), {name: getattr(known, name) for name in names}
    )


def first_samples(payload: Payload, valid: int) -> Payload:
    """Return a payload of which only the first samples could be decoded."""
    counts = np.frombuffer(payload["counts"], COUNTS_DTYPE).reshape(4, -1).copy()
    counts[:, valid:] = 0
    reason = {
        "code": "samples-cut",
        "detail": f"only the first {valid} of {counts.shape[1]} samples can be decoded",
        "contradiction": False,
    }
    return {
        **payload,
        "counts": counts.tobytes(),
        "valid_samples": [valid] * len(CHANNELS),
        "reasons": [reason],
    }


def without_microphone(payload: Payload) -> Payload:
    """Return a payload without a sample of the microphone."""
    counts = np.frombuffer(payload["counts"], COUNTS_DTYPE).reshape(4, -1).copy()
    counts[3] = 0
    peaks = {**payload["peaks"], "mic_psi": None, "mic_db": None}
    valid = [*payload["valid_samples"][:3], 0]
    return {**payload, "counts": counts.tobytes(), "valid_samples": valid, "peaks": peaks}


def chosen(*names: str, **more: Any) -> ChosenCurves:
    """Return curves of the program, chosen for the location."""
    return ChosenCurves(**{"curves": curves_named(Catalogue(), names), "by": "location", **more})


def subject_of(payload: Payload, **more: Any) -> Subject:
    """Return the subject of a recording with that waveform."""
    event: dict[str, Any] = {
        "payload": payload,
        "serial": "BE11529",
        "is_simulated": False,
        "quality": "partial" if payload["reasons"] else "good",
        "read_at": "2026-11-27T23:02:05.120+00:00",
        "recording_id": "4f1c" * 16,
        "image_hash": "ab" * 32,
        "zone": "America/Denver",
        "utc": "2026-11-28T00:44:11.000+00:00",
        "utc_unknown": None,
    }
    own = {name: more.pop(name) for name in list(more) if name in event}
    known = {
        "decoder": 3,
        "model": "MiniMate Plus",
        "firmware": "S338.17",
        "calibrated_on": "2026-02-02",
        "calibration_is_entered": True,
        "location": "House 12, Mill Rd",
    }
    return Subject(**{"event": ExportedEvent(**(event | own)), **known, **more})


RI8507, DIN, AIRBLAST = "usbm-ri8507-drywall", "din4150-3-line2", "osmre-airblast"


A4_MM = replace(OPTIONS, paper="a4", units="metric")


def subjects() -> dict[str, Subject]:
    """Return the events that a report has to print well, by what is special about them."""
    blast = payload_of()
    milder = payload_of(blast_counts(peak_in_s=0.3))
    return {
        "simulated": subject_of(
            blast,
            is_simulated=True,
            entered=ENTERED,
            limits=chosen(RI8507, AIRBLAST, parameters={"microphone_low_hz": 2.0}),
        ),
        "clipped": subject_of(payload_of(clipped_counts()), limits=chosen(RI8507)),
        "partial": subject_of(first_samples(blast, 400), limits=chosen(RI8507)),
        "without microphone": subject_of(
            without_microphone(milder), limits=chosen(RI8507, AIRBLAST), entered=ENTERED
        ),
        "two curves": subject_of(milder, limits=chosen(RI8507, DIN), entered=ENTERED),
        "nothing known": subject_of(
            payload_of(),
            recording_id=None,
            image_hash=None,
            zone=None,
            utc=None,
            utc_unknown="no-zone",
            read_at=None,
            model=None,
            firmware=None,
            calibrated_on=None,
            location=None,
        ),
    }
