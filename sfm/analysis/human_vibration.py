"""
Vibration as people feel it: KB values (DIN 45669-1) and weighted accelerations (ISO 8041-1).

All start from rest at the first sample, as the standards' own check values do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sfm.analysis.filters import (
    Response,
    Spectrum,
    butterworth_high_pass,
    butterworth_low_pass,
    exponential_mean,
    running_mean,
)

__all__ = [
    "KB_BANDS_HZ",
    "WEIGHTINGS",
    "KbBand",
    "estimated_vdv",
    "kb",
    "kb_f",
    "kb_ftm",
    "kb_ftr",
    "mtvv",
    "rms",
    "vdv",
    "weighting",
]

Values = NDArray[np.floating[Any]]
KbBand = Literal["1-80", "4-315"]

KB_BANDS_HZ: dict[KbBand, tuple[float, float]] = {"1-80": (0.8, 100.0), "4-315": (3.2, 393.75)}
"""Corners of the band limitation; the second for railways and blasting (DIN 45669-1)."""
KB_CORNER_HZ = 5.6
KB_TAU_S = 0.125
KB_INTERVAL_S = 30.0
KB_IGNORED = 0.1
"""Interval maxima up to this count as 0, but stay in the number of intervals."""
MTVV_S = 1.0
INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class _Weighting:
    """One row of ISO 8041-1 table 3; frequencies in Hz, Q1 = Q2 = 1/sqrt(2)."""

    f1: float
    f2: float
    f3: float
    f4: float
    q4: float
    f5: float = INFINITE
    q5: float = 1.0
    f6: float = INFINITE
    q6: float = 1.0
    gain: float = 1.0

    def transition(
        self, s: NDArray[np.complexfloating[Any, Any]]
    ) -> NDArray[np.complexfloating[Any, Any]]:
        """The change from acceleration to velocity, and the upward step where there is one."""
        w3, w4 = 2 * np.pi * self.f3, 2 * np.pi * self.f4
        found = self.gain * (1 + s / w3) / (1 + s / (self.q4 * w4) + (s / w4) ** 2)
        if self.f5 == INFINITE:
            return found
        w5, w6 = 2 * np.pi * self.f5, 2 * np.pi * self.f6
        step = (1 + s / (self.q5 * w5) + (s / w5) ** 2) / (1 + s / (self.q6 * w6) + (s / w6) ** 2)
        return np.asarray(found * step * (w5 / w6) ** 2)


WEIGHTINGS: dict[str, _Weighting] = {
    "Wb": _Weighting(0.4, 100.0, 16.0, 16.0, 0.55, 2.5, 0.9, 4.0, 0.95, 1.024),
    "Wc": _Weighting(0.4, 100.0, 8.0, 8.0, 0.63),
    "Wd": _Weighting(0.4, 100.0, 2.0, 2.0, 0.63),
    "Wk": _Weighting(0.4, 100.0, 12.5, 12.5, 0.63, 2.37, 0.91, 3.35, 0.91),
    "Wm": _Weighting(10**-0.1, 100.0, 1 / (2 * np.pi * 0.028), 1 / (2 * np.pi * 0.028), 0.5),
}
"""Whole-body and building weightings by their name."""


def weighting(name: str) -> tuple[Response, ...]:
    """
    Return a weighting's filters of acceleration: band limitation, then the transition.

    Args:
        name: of ``WEIGHTINGS``, or ``band-limiting`` for 0.4 to 100 Hz alone.
    """
    row = WEIGHTINGS["Wk" if name == "band-limiting" else name]
    limits = (butterworth_high_pass(row.f1), butterworth_low_pass(row.f2))
    return limits if name == "band-limiting" else (*limits, _transition(name))


@lru_cache
def _transition(name: str) -> Response:
    # One object for each name, so that its samples are computed once for each length.
    return WEIGHTINGS[name].transition


def rms(values: Values) -> Values:
    """Return the root mean square along the last axis."""
    return np.asarray(np.sqrt(np.square(values).mean(axis=-1)))


def vdv(weighted: Values, rate_hz: float) -> Values:
    """Return the vibration dose value (integral of a**4)**(1/4), in m/s**1.75 of m/s²."""
    return np.asarray((np.square(np.square(weighted)).sum(axis=-1) / rate_hz) ** 0.25)


def mtvv(weighted: Values, rate_hz: float, *, is_linear: bool = True) -> Values:
    """Return the largest running r.m.s. over 1 s: with a linear or an exponential window."""
    mean = running_mean if is_linear else exponential_mean
    return np.asarray(np.sqrt(mean(np.square(weighted), rate_hz, MTVV_S).max(axis=-1)))


def estimated_vdv(rms_m_s2: float, duration_s: float) -> float:
    """Return the estimated dose 1.4 a t**0.25, valid for motion with a low crest factor only."""
    return 1.4 * rms_m_s2 * float(duration_s**0.25)


def _kb_weighting(
    s: NDArray[np.complexfloating[Any, Any]],
) -> NDArray[np.complexfloating[Any, Any]]:
    """1 / (1 - j 5.6 Hz / f), which is s / (s + 2 pi 5.6 Hz)."""
    return np.asarray(s / (s + 2 * np.pi * KB_CORNER_HZ))


def kb(velocity: Spectrum, band: KbBand = "1-80") -> Values:
    """Return KB(t) of velocities in mm/s: limited to a band, and weighted."""
    low, high = KB_BANDS_HZ[band]
    return velocity.filtered(butterworth_high_pass(low), butterworth_low_pass(high), _kb_weighting)


def kb_f(kb_values: Values, rate_hz: float) -> Values:
    """Return KB_F(t), the running r.m.s. of KB(t) with time weighting FAST (0.125 s)."""
    mean = exponential_mean(np.square(kb_values), rate_hz, KB_TAU_S)
    return np.sqrt(np.maximum(mean, 0.0))


def kb_ftm(kb_f_values: Values, rate_hz: float, ignored: float = KB_IGNORED) -> float | None:
    """
    Return KB_FTm, the r.m.s. of the maxima of whole 30 s intervals; ``None`` without one.

    A blast lasts for seconds and has no whole interval: it has no KB_FTm, rather than 0.

    Args:
        kb_f_values: shape (n,), of a measurement that begins with an interval.
        rate_hz: samples per second.
        ignored: maxima up to this count as 0; a meter's check values are without it (0).
    """
    length = round(KB_INTERVAL_S * rate_hz)
    whole = len(kb_f_values) // length
    if not whole:
        return None
    maxima = kb_f_values[: whole * length].reshape(whole, length).max(axis=1)
    counted = np.where(maxima <= ignored, 0.0, maxima)
    return float(np.sqrt(np.square(counted).mean()))


def kb_ftr(parts: Sequence[tuple[float, float, bool]], period_h: float = 16.0) -> float:
    """
    Return KB_FTr, the vibration severity of an assessment period (DIN 4150-2).

    >>> round(kb_ftr([(0.16, 6.0, False), (0.39, 1.5, False)]), 3)
    0.154

    Args:
        parts: of the period: KB_FTm, hours of exposure, whether these are rest hours, which weigh
            twice.
        period_h: 16 by day, 8 by night.
    """
    weighed = sum(hours * (2 if rest else 1) * value * value for value, hours, rest in parts)
    return float(np.sqrt(weighed / period_h))
