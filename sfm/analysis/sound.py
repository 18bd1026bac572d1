"""
Sound levels of the microphone: C and A weighting by the poles of IEC 61672-1, normalised at 1 kHz.

At 1024 samples/s a record is blind above 400 Hz. A C-weighted level is then an estimate, and an
A-weighted one, which lives above that, is given only from 4096 samples/s on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm.analysis.filters import Spectrum, exponential_mean
from sfm.analysis.units_of_measure import level_db

__all__ = ["MIN_A_RATE_HZ", "a_weighting", "c_weighting", "max_level_a", "peak_level_c"]

Values = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]

POLES_HZ = (20.598997, 107.65265, 737.86223, 12194.217)
MIN_A_RATE_HZ = 4096.0
FAST_S = 0.125
_W1, _W2, _W3, _W4 = (2 * np.pi * pole for pole in POLES_HZ)


def _c(s: Complex) -> Complex:
    return np.asarray(_W4**2 * s**2 / ((s + _W1) ** 2 * (s + _W4) ** 2))


def _a(s: Complex) -> Complex:
    return np.asarray(_c(s) * s**2 / ((s + _W2) * (s + _W3)))


_AT_1_KHZ = np.array([2j * np.pi * 1000.0])
_C_GAIN = float(1 / abs(_c(_AT_1_KHZ)[0]))
_A_GAIN = float(1 / abs(_a(_AT_1_KHZ)[0]))


def c_weighting(s: Complex) -> Complex:
    """Return the response of the C weighting."""
    return _C_GAIN * _c(s)


def a_weighting(s: Complex) -> Complex:
    """Return the response of the A weighting."""
    return _A_GAIN * _a(s)


def peak_level_c(pressure: Spectrum) -> float | None:
    """Return the C-weighted peak level of pressures in Pa, in dB(C); ``None`` for silence."""
    return level_db(float(np.abs(pressure.filtered(c_weighting)).max()))


def max_level_a(pressure: Spectrum) -> float | None:
    """Return the largest A-weighted level with time weighting FAST, in dB(A); ``None``: silence."""
    squares = np.square(pressure.filtered(a_weighting))
    largest = float(exponential_mean(squares, pressure.rate_hz, FAST_S).max())
    return level_db(float(np.sqrt(max(largest, 0.0))))
