"""
Independent packages on the same samples. They are imported here alone, in the tests: together they
take seconds to import, and standing in one module they are imported by few processes.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from sfm.analysis.spectra import amplitude_spectrum, response_spectrum, third_octaves

RATE = 1024.0
Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def shaking() -> Values:
    """Three seconds of noise between 2 and 200 Hz that swells and fades."""
    random = np.random.default_rng(20)
    n = int(3 * RATE)
    bins = np.fft.rfft(random.normal(size=n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    bins[(hz < 2) | (hz > 200)] = 0
    noise = np.fft.irfft(bins, n) * np.hanning(n)
    return np.asarray(noise - noise.mean())  # As endaq does.


FREQUENCIES_HZ = np.geomspace(1.0, 200.0, 30)


def test_the_response_spectrum_is_that_of_eqsig(shaking: Values) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eqsig
    record = eqsig.AccSignal(shaking, 1 / RATE)
    record.generate_response_spectrum(response_times=1 / FREQUENCIES_HZ, xi=0.05, min_dt_ratio=1e-9)
    theirs = 2 * np.pi * FREQUENCIES_HZ * record.s_d
    ours = response_spectrum(shaking, RATE, FREQUENCIES_HZ)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_the_response_spectrum_is_that_of_scipy(shaking: Values) -> None:
    from scipy import signal

    ours = response_spectrum(shaking, RATE, FREQUENCIES_HZ)
    for hz, found in zip(FREQUENCIES_HZ, ours, strict=True):
        omega = 2 * np.pi * hz
        oscillator = ([-1.0], [1.0, 0.1 * omega, omega * omega])
        _, displacement, _ = signal.lsim(oscillator, shaking, np.arange(len(shaking)) / RATE)
        assert found == pytest.approx(omega * np.abs(displacement).max(), rel=1e-9)


def test_the_response_spectrum_is_that_of_endaq() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from endaq.calc import shock
    # A pulse that fades: of noise with slow oscillators, endaq's own filter drifts away from the
    # two other packages.
    t = np.arange(int(6 * RATE)) / RATE
    pulse = t**2 * np.exp(-9 * t) * np.sin(2 * np.pi * 11 * t)
    pulse = np.gradient(pulse, t)
    frequencies_hz = FREQUENCIES_HZ[FREQUENCIES_HZ > 2]
    frame = pd.DataFrame({"x": pulse}, index=pd.Index(t))
    theirs = shock.shock_spectrum(
        frame, freqs=frequencies_hz, damp=0.05, mode="pvss", two_sided=False
    )["x"].to_numpy()
    ours = response_spectrum(pulse, RATE, frequencies_hz)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_fourier_amplitudes_are_those_of_endaq(shaking: Values) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from endaq.calc import fft
    frame = pd.DataFrame({"x": shaking}, index=pd.Index(np.arange(len(shaking)) / RATE))
    theirs = np.abs(fft.rfft(frame, norm="forward")["x"].to_numpy()) * 2
    ours = amplitude_spectrum(shaking, RATE)
    assert ours.amplitudes[1:-1] == pytest.approx(theirs[1:-1], abs=1e-12)


def test_third_octaves_are_those_of_pyoctaveband() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyoctaveband import octavefilter
    rate = 4096
    noise = np.random.default_rng(21).normal(size=20 * rate)
    levels, middles = octavefilter(noise, rate, fraction=3, order=6, limits=[20.0, 1000.0])[:2]
    ours_hz, ours = third_octaves(noise, float(rate), 20.0)
    for middle, level in zip(middles, levels, strict=True):
        at = int(np.abs(ours_hz - middle).argmin())
        assert ours_hz[at] == pytest.approx(middle, rel=0.01)
        assert 20 * np.log10(ours[at] / 20e-6) == pytest.approx(level, abs=0.15)
