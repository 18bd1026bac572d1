"""The five kinds of event that are less than whole, stored by one simulated unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kit.field_memory import alter, cut_samples, histogram_body
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.unit import DEFAULT_SETUP

__all__ = ["LESSER", "SERIAL", "lesser_unit"]

SERIAL = "SIM0020"
LESSER = ("clipped", "partial", "undecoded", "scale-unconfirmed", "never-set-clock")
"""By the places of their events in the unit's list."""


def lesser_unit() -> SimulatedUnit:
    """Return a unit that stores one event of each kind, of a motion of 1 in/s at 25 Hz or more."""
    unit = SimulatedUnit(SERIAL)
    unit.record_event(counts=np.clip(_motion(3600), -2000, 2000).astype(np.int16))
    unit.record_event(counts=_motion(200))
    cut_samples(unit, 1280, 1024)
    unit.record_event(counts=_motion(200))
    alter(unit, body=histogram_body(), start={"samples": 60})
    # Two ranges and two rates fit what this event has, and the setup is the one after it.
    unit.setup = replace(DEFAULT_SETUP, sample_rate_hz=4096, geo_range_in_s=1.25, pretrigger_s=1.0)
    unit.record_event(counts=_motion(200, samples=8192))
    alter(unit, start={"pretrigger_samples": 4096}, peaks=float("nan"))
    unit.setup = DEFAULT_SETUP
    unit.record_event(counts=_motion(200), at_device_time=datetime(1995, 1, 1, 0, 3))
    return unit


def _motion(peak_counts: int, samples: int = 1280) -> NDArray[np.int16]:
    """Return a burst around the middle of the record, after quiet; at 1024 samples/s of 25.6 Hz."""
    time = np.arange(samples) - 400
    # Downwards first, and no sample of exactly 0: these would lengthen its first half wave.
    burst = np.where((time > 0) & (time < 400), -np.sin(2 * np.pi * (time - 0.5) / 40), 0.0)
    counts: NDArray[np.int16] = np.rint(peak_counts * np.outer([1, 0.2, 0.1, 0.1], burst)).astype(
        np.int16
    )
    return counts
