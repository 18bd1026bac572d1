"""
Filters by their analogue response, applied to a zero-padded spectrum; running means.

The standards define their weightings as analogue transfer functions. The usual way, a bilinear
digital filter, bends them near half the sample rate: at 315 Hz and 1024 samples/s it gives 0.032
where DIN 45669-1 table 9 prints 0.071. Multiplying the spectrum by the analogue response itself
meets every printed value within 0.001, and needs numpy alone (docs/decisions/0023).

The samples are followed by zeros for as long as a response rings. Without them the product would be
circular: what rings on after the end would be heard before the beginning, which hides the switch-on
transient (a running maximum comes out 3 to 5 % low).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Response",
    "Spectrum",
    "butterworth_high_pass",
    "butterworth_low_pass",
    "derivative",
    "exponential_mean",
    "forget_responses",
    "recursion",
    "running_mean",
]

Values = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]
Response = Callable[[Complex], Complex]
"""A transfer function of s = j 2 pi f, in rad/s."""

RING_S = 8.0
"""Longer than any response here rings: at 0.4 Hz and Q 0.71 it has fallen to 1e-6."""
MAX_GROWTH = 300.0
"""The largest exponent within one block of a recursion: e**300 is far from overflow."""


class Spectrum:
    """
    The padded spectrum of one or more rows of samples, from which filtered rows are computed.

    Args:
        values: shape (..., n).
        rate_hz: samples per second.
    """

    def __init__(self, values: Values, rate_hz: float) -> None:
        self.samples = values.shape[-1]
        self.rate_hz = rate_hz
        self.length = _fast_length(self.samples + int(RING_S * rate_hz))
        self.bins = np.fft.rfft(values, self.length)

    def rows(self, rows: list[int]) -> Spectrum:
        """Return the spectrum of some of the rows."""
        found = copy(self)
        found.bins = self.bins[rows]
        return found

    def filtered(self, *responses: Response) -> Values:
        """Return the samples after filters in series, from rest; shape as given."""
        bins = self.bins
        for response in responses:
            bins = bins * _sampled(response, self.length, self.rate_hz)
        return np.fft.irfft(bins, self.length)[..., : self.samples]

    def energies(self, magnitudes: Values) -> Values:
        """
        Return the sum of squares after filters of which only the magnitude counts.

        Args:
            magnitudes: of each filter at each frequency, shape (filters, bins).
        """
        power = np.square(np.abs(self.bins))
        power[..., 1:] *= 2
        if self.length % 2 == 0:
            power[..., -1] /= 2
        return np.asarray(np.square(magnitudes) @ power / self.length)

    @property
    def frequencies_hz(self) -> Values:
        """The frequency of each bin."""
        return np.fft.rfftfreq(self.length, 1 / self.rate_hz)


@lru_cache(maxsize=24)
def _sampled(
    response: Response, length: int, rate_hz: float
) -> NDArray[np.complexfloating[Any, Any]]:
    """Return a response at the frequencies of a spectrum; kept, since records have few lengths."""
    sampled = response(2j * np.pi * np.fft.rfftfreq(length, 1 / rate_hz))
    sampled.flags.writeable = False
    return sampled


def forget_responses() -> None:
    """Empty the cache of sampled responses; for measurements."""
    _sampled.cache_clear()


def _fast_length(least: int) -> int:
    """Return the smallest even length of factors 2, 3 and 5 that is not below ``least``."""
    best = 1 << max(1, (least - 1).bit_length())
    five = 2
    while five < best:
        three = five
        while three < best:
            two = three
            while two < least:
                two *= 2
            best = min(best, two)
            three *= 3
        five *= 5
    return best


def derivative(s: NDArray[np.complexfloating[Any, Any]]) -> NDArray[np.complexfloating[Any, Any]]:
    """Return the response of a derivative by time: velocity to acceleration."""
    return s


def butterworth_high_pass(corner_hz: float) -> Response:
    """Return a second-order Butterworth high-pass filter."""
    return _high_pass(corner_hz)


def butterworth_low_pass(corner_hz: float) -> Response:
    """Return a second-order Butterworth low-pass filter."""
    return _low_pass(corner_hz)


@lru_cache
def _high_pass(corner_hz: float) -> Response:
    omega = 2 * np.pi * corner_hz
    return lambda s: s * s / (s * s + np.sqrt(2) * omega * s + omega * omega)


@lru_cache
def _low_pass(corner_hz: float) -> Response:
    omega = 2 * np.pi * corner_hz
    return lambda s: omega * omega / (s * s + np.sqrt(2) * omega * s + omega * omega)


def recursion(inputs: NDArray[np.generic], factor: complex | float) -> NDArray[np.generic]:
    """
    Return y with y[k] = factor y[k-1] + inputs[k] from rest, along the last axis.

    Within a block, y[k] / factor**k is a cumulative sum. Its newest terms are the largest, so that
    no digits are lost; blocks end before 1 / factor**k overflows.

    Args:
        inputs: shape (..., n).
        factor: of magnitude above 0 and at most 1.
    """
    decay = -np.log(abs(factor))
    block = inputs.shape[-1] if decay <= 0 else max(1, int(MAX_GROWTH / decay))
    powers = np.power(factor, np.arange(1, min(block, inputs.shape[-1]) + 1))
    found = np.empty(inputs.shape, dtype=np.result_type(inputs, type(factor)))
    last = np.zeros(inputs.shape[:-1], dtype=found.dtype)
    for begin in range(0, inputs.shape[-1], block):
        part = inputs[..., begin : begin + block]
        mine = powers[: part.shape[-1]]
        found[..., begin : begin + block] = mine * (
            np.cumsum(part / mine, axis=-1) + last[..., np.newaxis]
        )
        last = found[..., begin + part.shape[-1] - 1]
    return found


def exponential_mean(values: Values, rate_hz: float, tau_s: float) -> Values:
    """Return the running mean with an exponential window, from rest: time weighting ``tau_s``."""
    factor = float(np.exp(-1 / (rate_hz * tau_s)))
    return np.asarray(recursion((1 - factor) * values, factor), dtype=np.float64)


def running_mean(values: Values, rate_hz: float, window_s: float) -> Values:
    """Return the mean over the last ``window_s`` at each sample, from rest."""
    width = max(1, round(window_s * rate_hz))
    sums = np.cumsum(values, axis=-1)
    sums[..., width:] = sums[..., width:] - sums[..., :-width]
    return sums / width
