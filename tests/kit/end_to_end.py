"""
One end-to-end body for every link: read all that a unit has, and compare it with the truth.

The body does not know which link it uses. A wrong answer is an ``AssertionError``; a link that
cannot carry the truth must end in a ``MiniMateError``.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimateplus.client import MiniMate
from minimateplus.link import Deadlines, Link
from minimateplus.model import FIRST_KEY, Progress, RecordingSetup
from minimateplus.simulator import SimulatedUnit

START_UNIT = datetime(2026, 4, 1, 0, 28, 12)
"""Its bytes need escapes (month 04) and it is the date of a captured record."""


def counts_of(samples: int, seed: int = 0) -> NDArray[np.int16]:
    """Return a quiet walk of four channels, shape (4, samples)."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.integers(-9, 10, (4, samples)), axis=1)
    walk[:, samples // 2] += 40
    return np.clip(walk, -2000, 2000).astype(np.int16)


def build_unit(events: int = 2, samples: int = 1024) -> SimulatedUnit:
    """Return a unit whose clock stands still, so that every answer is known before it is asked."""
    unit = SimulatedUnit(clock=lambda: 0.0, now_device_time=START_UNIT, seed=7)
    for number in range(events):
        unit.record_event(counts=counts_of(samples, number), project=f"Blast {number}")
    return unit


def as_reported(setup: RecordingSetup) -> RecordingSetup:
    """Return ``setup`` as the wire can tell it: floats are single."""
    values = {field.name: getattr(setup, field.name) for field in fields(setup)}
    singles: dict[str, Any] = {
        name: float(np.float32(value)) for name, value in values.items() if isinstance(value, float)
    }
    return replace(setup, **singles)


async def check_truth(
    unit: SimulatedUnit, address: str | Link, deadlines: Deadlines | None = None
) -> None:
    """Ask ``unit`` for everything over ``address``; every answer must be the exact truth."""
    async with MiniMate.connect(address, deadlines=deadlines) as host:
        info = await host.read_info()
        assert info.serial == unit.serial == host.serial
        assert (info.firmware, info.dsp_firmware) == (unit.firmware, "10.72")
        assert (info.manufacturer, info.model) == ("Instantel", "MiniMate Plus")
        assert info.simulated
        assert info.calibrated_on == unit.calibrated_on
        assert info.setup == as_reported(unit.setup)

        probe = await host.read_probe()
        assert probe.is_complete
        assert probe.serial == unit.serial
        assert probe.first_key == FIRST_KEY
        assert probe.last_key == unit.events[-1].key
        assert probe.lifetime_count == unit.lifetime_count
        assert probe.last_timestamp == str(unit.events[-1].device_time).replace(" ", "T")
        assert not probe.is_empty

        assert await host.count_events() == len(unit.events)

        seen: list[Progress] = []
        events = await host.read_events(until_key=probe.last_key, on_progress=seen.append)
        assert events == unit.events
        assert [step.done for step in seen] == list(range(1, len(events) + 1))

        for event in events:
            seen.clear()
            waveform = await host.read_waveform(event, on_progress=seen.append)
            truth = unit.counts_of(event.index)
            assert np.array_equal(waveform.counts, truth)
            assert waveform.valid_samples == (truth.shape[1],) * 4
            assert waveform.event == event
            assert waveform.sample_rate_hz == unit.setup.sample_rate_hz
            assert waveform.geo_range_in_s == unit.setup.geo_range_in_s
            assert waveform.mode == unit.setup.mode
            assert [step.what for step in seen] == ["bytes"] * len(seen)
            assert seen[-1].done == seen[-1].total == len(waveform.image)
            assert sorted({step.done for step in seen}) == [step.done for step in seen]

        status = await host.read_monitor_status()
        assert status.monitoring == unit.is_monitoring
        assert status.clock_device_time == unit.now_device_time
        assert status.battery_v == round(unit.battery_v, 2)
        assert status.memory_total_bytes is not None
        assert status.memory_free_bytes is not None
        assert status.memory_free_bytes < status.memory_total_bytes
