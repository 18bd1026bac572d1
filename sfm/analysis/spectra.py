"""Spectra of a record: Fourier amplitudes, response spectrum, one-third octaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm.analysis.filters import Spectrum, recursion

__all__ = [
    "DAMPING",
    "DOMINANT_HZ",
    "RESPONSE_HZ",
    "AmplitudeSpectrum",
    "amplitude_spectrum",
    "response_spectrum",
    "third_octaves",
]

Values = NDArray[np.floating[Any]]

DOMINANT_HZ = (2.0, 250.0)
"""The band of the instrument, in which the dominant frequency is looked for."""
DAMPING = 0.05
RESPONSE_HZ = np.round(np.geomspace(1.0, 250.0, 49), 3)
"""Frequencies of a default response spectrum, even on a logarithmic axis."""


@dataclass(frozen=True, slots=True, eq=False)
class AmplitudeSpectrum:
    """
    One-sided Fourier amplitudes: rectangular window, no padding, 2|X|/n, and |X|/n at 0 Hz.

    Blastware's own window is unknown; this is not its spectrum.
    """

    frequencies_hz: Values
    amplitudes: Values
    """In the unit of measure of the samples; shape (..., bins)."""
    resolution_hz: float
    """1/T: frequencies nearer to each other than this are one."""

    def dominant(self) -> tuple[float, float] | None:
        """
        Return frequency and amplitude of the largest bin from 2 to 250 Hz.

        ``None`` where the record is too short to have such a bin, or silent there.
        """
        low, high = DOMINANT_HZ
        inside = np.flatnonzero((self.frequencies_hz >= low) & (self.frequencies_hz <= high))
        if not len(inside):
            return None
        at = inside[int(self.amplitudes[inside].argmax())]
        amplitude = float(self.amplitudes[at])
        return (float(self.frequencies_hz[at]), amplitude) if amplitude > 0 else None


def amplitude_spectrum(values: Values, rate_hz: float) -> AmplitudeSpectrum:
    """
    Return the Fourier amplitudes of samples.

    Raises:
        ValueError: there is no sample.
    """
    samples = values.shape[-1]
    if not samples:
        raise ValueError("an empty record has no spectrum")
    amplitudes = np.abs(np.fft.rfft(values)) * (2 / samples)
    amplitudes[..., 0] /= 2
    return AmplitudeSpectrum(np.fft.rfftfreq(samples, 1 / rate_hz), amplitudes, rate_hz / samples)


def response_spectrum(
    acceleration: Values, rate_hz: float, frequencies_hz: Values, damping: float = DAMPING
) -> Values:
    """
    Return the pseudo velocities 2 pi f max|u| of damped oscillators on a shaken base.

    Between two samples the base acceleration is a straight line, for which the motion is exact
    (Nigam and Jennings, 1969). Written with the complex pole p of the oscillator, the relative
    displacement is the imaginary part of z over the damped frequency, where z is a recursion of
    first order: z[k+1] = exp(p h) z[k] + c0 a[k] + c1 a[k+1].

    Args:
        acceleration: of the base, shape (n,), in any unit of measure; the result is in that x s.
        rate_hz: samples per second.
        frequencies_hz: undamped frequencies of the oscillators, above 0.
        damping: part of the critical, 0 to below 1.

    Raises:
        ValueError: the damping or a frequency is out of range, or there is no sample.
    """
    if not 0 <= damping < 1 or not len(acceleration) or not (frequencies_hz > 0).all():
        raise ValueError("expected samples, a damping from 0 to below 1, frequencies above 0")
    h = 1 / rate_hz
    found = np.empty(len(frequencies_hz))
    for row, frequency_hz in enumerate(frequencies_hz):
        omega = 2 * np.pi * float(frequency_hz)
        damped = omega * np.sqrt(1 - damping * damping)
        pole = complex(-damping * omega, damped)
        growth = complex(np.exp(pole * h))
        constant = (growth - 1) / pole
        linear = (growth - 1 - pole * h) / (pole * pole * h)
        inputs = np.zeros(len(acceleration), dtype=np.complex128)
        inputs[1:] = (constant - linear) * acceleration[:-1] + linear * acceleration[1:]
        displacement = recursion(-inputs, growth).imag / damped
        found[row] = omega * float(np.abs(displacement).max())
    return found


def third_octaves(
    values: Values, rate_hz: float, least_hz: float = 1.0, order: int = 6
) -> tuple[Values, Values]:
    """
    Return the one-third-octave bands of samples: mid-band frequencies, and r.m.s. values.

    Mid-bands are 1000 G**(k/3) Hz with G = 10**0.3 (IEC 61260-1, base ten), edges at
    G**(1/6) from them; each filter is a Butterworth band-pass of the given order. A band is given
    only where its upper edge is below half the sample rate.

    Args:
        values: shape (n,), n > 0; remove the offset first.
        rate_hz: samples per second.
        least_hz: nominal frequency of the lowest band.
        order: of the low-pass prototype.
    """
    # A nominal 20 Hz stands for 19.95 Hz: a tenth of a band is no other band.
    first = int(np.ceil(10 * np.log10(least_hz / 1000) - 0.1))
    last = int(np.floor(10 * np.log10(rate_hz / 2 / 1000) - 0.5))
    middles = 1000 * 10 ** (0.1 * np.arange(first, last + 1))
    half_width = 10**0.05
    spectrum = Spectrum(values, rate_hz)
    frequencies = spectrum.frequencies_hz[1:]
    # |H|² = 1 / (1 + x**(2 order)), x = (f² - fm²) / (f bandwidth): the band-pass of a low-pass.
    width = middles * (half_width - 1 / half_width)
    x = (frequencies**2 - middles[:, np.newaxis] ** 2) / (frequencies * width[:, np.newaxis])
    magnitudes = np.zeros((len(middles), len(frequencies) + 1))
    magnitudes[:, 1:] = 1 / np.sqrt(1 + x ** (2 * order))
    return middles, np.sqrt(spectrum.energies(magnitudes) / len(values))
