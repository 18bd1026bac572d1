from __future__ import annotations

import doctest
import math
import struct

import numpy as np
import pytest

from minimateplus import conversions
from minimateplus.conversions import (
    GEO_RANGES_IN_S,
    MIC_PSI_PER_COUNT,
    db_from_psi,
    in_s_per_count,
    mic_db,
    mic_psi,
    peak_vector_sum_in_s,
    range_from_peaks,
)
from minimateplus.model import Peaks


def peaks(tran: float | None, vert: float | None, long: float | None) -> Peaks:
    return Peaks(tran_in_s=tran, vert_in_s=vert, long_in_s=long, mic_psi=None, vector_sum_in_s=None)


def record(tran: int, vert: int, long: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Counts with these extremes, and a microphone that must not matter."""
    return np.array([[0, tran, 1], [0, vert, 0], [0, long, -1], [0, 30000, 0]], np.int16)


def test_a_geo_count_is_the_grid_of_the_ascii_export() -> None:
    assert in_s_per_count(10.0) == 0.005
    assert in_s_per_count(1.25) == 0.000625


def test_no_other_range_is_known() -> None:
    for range_in_s in (0.0, 5.0, -10.0, math.nan):
        with pytest.raises(ValueError, match="range"):
            in_s_per_count(range_in_s)


def test_the_captured_mic_peak_is_six_counts() -> None:
    (psi,) = struct.unpack(">f", bytes.fromhex("39641daa"))
    assert mic_psi(6) == pytest.approx(psi, rel=3e-4)


def test_813_counts_are_the_140_db_of_the_report() -> None:
    level = mic_db(813)
    assert level is not None
    assert round(level, 2) == 140.14


def test_negative_pressure_shows_its_level_with_a_minus() -> None:
    assert mic_db(-813) == -(mic_db(813) or 0)
    assert mic_db(-1) == -81.94
    assert db_from_psi(-1e-3) == -(db_from_psi(1e-3) or 0)


def test_silence_has_no_level() -> None:
    assert mic_db(0) is None
    assert [db_from_psi(psi) for psi in (0.0, -0.0, math.nan, math.inf)] == [None] * 4


@pytest.mark.parametrize("count", [1, -1, 6, 813, -32768, 32767])
def test_both_ways_to_a_level_agree(count: int) -> None:
    assert db_from_psi(mic_psi(count)) == pytest.approx(mic_db(count))


def test_mic_psi_of_a_record_keeps_shape_and_sign() -> None:
    psi = mic_psi(np.array([-32768, 0, 6], np.int16))
    assert psi.dtype == np.float64
    assert psi == pytest.approx([-32768 * MIC_PSI_PER_COUNT, 0.0, 6 * MIC_PSI_PER_COUNT])


@pytest.mark.parametrize("range_in_s", GEO_RANGES_IN_S)
def test_the_peaks_determine_the_range(range_in_s: float) -> None:
    scale = in_s_per_count(range_in_s)
    stored = peaks(84 * scale, 774 * scale, 99 * scale)
    assert range_from_peaks(record(-84, 774, 99), stored) == range_in_s
    assert range_from_peaks(record(-84, 774, 99), peaks(None, 774 * scale, None)) == range_in_s
    half = peaks(84.5 * scale, 774 * scale, 98.5 * scale)
    assert range_from_peaks(record(-84, 774, 99), half) == range_in_s


def test_full_scale_downwards_is_no_overflow() -> None:
    assert range_from_peaks(record(-32768, 0, 0), peaks(163.84, 0.0, 0.005)) == 10.0


@pytest.mark.parametrize(
    "stored",
    [
        peaks(None, None, None),
        peaks(0.42, 3.87, 0.6),  # Long is neither
        peaks(0.42, 774 * 0.000625, None),  # one says normal, one sensitive
        peaks(math.nan, 3.87, 0.495),
        peaks(0.42, 4.0, 0.495),  # 3 % off
    ],
)
def test_peaks_that_fit_no_range_determine_none(stored: Peaks) -> None:
    assert range_from_peaks(record(84, 774, 99), stored) is None


def test_a_silent_or_empty_record_determines_no_range() -> None:
    silent = np.zeros((4, 8), np.int16)
    assert range_from_peaks(silent, peaks(0.0, 0.0, 0.0)) is None
    assert range_from_peaks(silent[:, :0], peaks(0.0, 0.0, 0.0)) is None


def test_the_vector_sum_is_taken_sample_by_sample() -> None:
    velocities = np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 12.0]])
    assert peak_vector_sum_in_s(velocities) == 12.0


@pytest.mark.parametrize("shape", [(3, 0), (4, 8), (3,)])
def test_a_record_without_vector_sum_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"record|shape"):
        peak_vector_sum_in_s(np.zeros(shape))


def test_the_examples_in_the_docstrings_run() -> None:
    results = doctest.testmod(conversions)
    assert results.attempted
    assert not results.failed
