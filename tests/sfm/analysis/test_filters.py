from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.analysis.filters import (
    Spectrum,
    _fast_length,
    butterworth_low_pass,
    exponential_mean,
    recursion,
    running_mean,
)


@given(st.integers(1, 1500), st.floats(0.05, 0.999999), st.integers(0, 2**32 - 1))
def test_the_blocked_recursion_is_the_plain_one(n: int, factor: float, seed: int) -> None:
    inputs = np.random.default_rng(seed).normal(size=n)
    plain, last = np.empty(n), 0.0
    for at, one in enumerate(inputs):
        last = plain[at] = factor * last + one
    assert recursion(inputs, factor) == pytest.approx(plain, abs=1e-9)


def test_a_complex_recursion_over_rows() -> None:
    inputs = np.random.default_rng(1).normal(size=(2, 5000))
    factor = 0.97 * np.exp(0.3j)
    last = np.zeros(2, dtype=complex)
    plain = np.empty((2, 5000), dtype=complex)
    for at in range(5000):
        last = factor * last + inputs[:, at]
        plain[:, at] = last
    assert np.abs(recursion(inputs, factor) - plain).max() < 1e-9


def test_a_fast_length_is_the_smallest_even_one_of_small_factors() -> None:
    smooth = sorted(
        2**two * 3**three * 5**five
        for two in range(1, 13)
        for three in range(8)
        for five in range(6)
    )
    for least in range(1, 2500):
        assert _fast_length(least) == next(length for length in smooth if length >= least)


def test_a_filter_starts_from_rest_and_does_not_hear_the_end() -> None:
    rate = 1024.0
    loud_end = np.zeros(2048)
    loud_end[-200:] = 1.0
    filtered = Spectrum(loud_end, rate).filtered(butterworth_low_pass(20.0))
    assert np.abs(filtered[:1000]).max() < 1e-3
    circular = np.fft.irfft(
        np.fft.rfft(loud_end)
        * butterworth_low_pass(20.0)(2j * np.pi * np.fft.rfftfreq(2048, 1 / rate))
    )
    assert np.abs(circular[:100]).max() > 0.05


def test_running_means_start_from_rest() -> None:
    ones = np.ones(3000)
    linear = running_mean(ones, 1000.0, 1.0)
    assert linear[499] == pytest.approx(0.5)
    assert linear[-1] == pytest.approx(1.0)
    exponential = exponential_mean(ones, 1000.0, 0.125)
    assert exponential[124] == pytest.approx(1 - np.exp(-1), abs=1e-9)


def test_the_energy_of_an_open_filter_is_that_of_the_samples() -> None:
    values = np.random.default_rng(2).normal(size=777)
    spectrum = Spectrum(values, 500.0)
    everything = np.ones((1, len(spectrum.frequencies_hz)))
    assert spectrum.energies(everything) == pytest.approx([np.square(values).sum()])
