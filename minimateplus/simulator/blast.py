"""
Synthetic blasts: plausible, seeded, and not derived from any real record.

Ground motion is built like a field record: noise, a small quick P arrival that trips the
trigger, a larger S, and the slow surface wave that carries the peak, each a decaying sine with a
soft start.
The airblast reaches the microphone later, by the distance over the speed of sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minimateplus.conversions import FULL_SCALE_COUNTS, MIC_PSI_PER_COUNT, in_s_per_count

__all__ = [
    "PRETRIGGER_S",
    "P_WAVE_FT_S",
    "SOUND_FT_S",
    "Blast",
    "synthesise",
]

PRETRIGGER_S = 0.25
SOUND_FT_S = 1125.0
P_WAVE_FT_S = 15_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blast:
    """The parameters of one blast: strength, distance, and how it is recorded."""

    peak_in_s: float = 0.6
    """About the largest velocity of any axis."""
    air_psi: float = 0.004
    """About the largest overpressure."""
    distance_ft: float = 600.0
    record_time_s: float = 1.0
    sample_rate_hz: int = 1024
    geo_range_in_s: float = 10.0
    pretrigger_s: float = PRETRIGGER_S

    @property
    def samples(self) -> int:
        """Samples per channel: (record time + pre-trigger) x rate [C with 0.25 s]."""
        return round((self.record_time_s + self.pretrigger_s) * self.sample_rate_hz)


def _arrival(
    t_s: NDArray[np.float64], start_s: float, frequency_hz: float, decay_s: float, phase: float
) -> NDArray[np.float64]:
    """One wave group of height about 1: zero before ``start_s``, a soft rise, a decaying sine."""
    since = np.clip(t_s - start_s, 0.0, None)
    envelope = (1.0 - np.exp(-4.0 * frequency_hz * since)) * np.exp(-since / decay_s)
    return envelope * np.sin(2 * np.pi * frequency_hz * since + phase)


def synthesise(blast: Blast, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the counts of one blast, shape (4, n), in the rows' order of the wire."""
    n = blast.samples
    t_s = np.arange(n) / blast.sample_rate_hz - blast.pretrigger_s
    s_delay = blast.distance_ft / P_WAVE_FT_S * 0.7 + 0.03
    rows = np.empty((4, n))
    share = rng.uniform(0.45, 1.0, 3)
    share /= share.max()
    for axis in range(3):
        wave = (
            0.25 * _arrival(t_s, -0.002, rng.uniform(40, 70), 0.06, rng.uniform(-0.3, 0.3))
            + 0.6 * _arrival(t_s, s_delay, rng.uniform(18, 35), 0.12, rng.uniform(-1, 1))
            + 1.0 * _arrival(t_s, 2 * s_delay, rng.uniform(6, 14), 0.3, rng.uniform(-1, 1))
        )
        wave *= share[axis] / max(np.abs(wave).max(), 1e-9)
        rows[axis] = wave * blast.peak_in_s / in_s_per_count(blast.geo_range_in_s)
    air = _arrival(t_s, blast.distance_ft / SOUND_FT_S, rng.uniform(8, 20), 0.15, 0.0)
    rows[3] = air / max(np.abs(air).max(), 1e-9) * blast.air_psi / MIC_PSI_PER_COUNT
    rows += rng.normal(0.0, 0.6, rows.shape)
    return np.clip(np.rint(rows), -FULL_SCALE_COUNTS, FULL_SCALE_COUNTS).astype(np.int16)
