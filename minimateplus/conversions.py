"""
From counts to physical units: in/s for the geophones, psi and dB(L) for the microphone.

The rule: a count is a unit of the event body (``minimateplus.wire.samples``), and the factor of the
geophones depends on the range they were set to. Nothing here guesses: an unknown range raises, and
a quantity that has no value is ``None``.

Where the factors come from:

- Geo: 0.005 in/s a count at the 10.000 in/s range. The instrument's own ASCII export is met
  byte for byte on that grid [C]. **The sources contradict each other here**: they also state that a
  count is 16 steps of a converter whose full scale, 32768, is 10.000 in/s, which would make
  16 x 10 / 32768 = 0.00488 in/s. The export wins, for it was compared on 72,972 samples.
- Geo at the 1.250 in/s range: 0.005 x 1.25 / 10 = 0.000625 in/s, by the ratio of the ranges; no
  capture at that range is known [I].
- Mic: dB(L) = sign x (81.94 + 20 log10 |count|); 813 counts = 140.14 dB where the report has
  140.1 [C]. With psi = 2.9008e-9 x 10^(dB/20), 20 micropascal being the reference of dB(L), psi is
  linear in counts [D]. A captured MicL peak, the float ``39 64 1d aa`` = 0.00021755 psi, is
  6 counts to within 0.03 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from minimateplus.model import Peaks

__all__ = [
    "FULL_SCALE_COUNTS",
    "GEO_RANGES_IN_S",
    "MIC_DB_OF_ONE_COUNT",
    "MIC_PSI_PER_COUNT",
    "REFERENCE_PSI",
    "db_from_psi",
    "fits_peak",
    "in_s_per_count",
    "mic_db",
    "mic_psi",
    "peak_vector_sum_in_s",
    "range_from_peaks",
    "ranges_possible",
    "sample_times_s",
]

GEO_RANGES_IN_S = (10.0, 1.25)
"""Full scale of the geophones: normal, sensitive [C]."""

FULL_SCALE_COUNTS = 2000
"""
Full scale of a channel: 10.000 in/s at 0.005 in/s a count [C], and of the microphone 148 dB(L), the
end that printed reports give, which is 2000 counts by the dB formula [D]. What reads this much, or
more, was at least this much.
"""

MIC_DB_OF_ONE_COUNT = 81.94
"""dB(L) of one count [C]."""

REFERENCE_PSI = 2.9008e-9
"""0 dB(L): 20 micropascal, in psi [D]."""

MIC_PSI_PER_COUNT = REFERENCE_PSI * 10 ** (MIC_DB_OF_ONE_COUNT / 20)
"""About 3.627e-5 psi [D]."""

_IN_S_PER_COUNT_AT_10_IN_S = 0.005
_PEAK_TOLERANCE_COUNTS = 0.5
_PEAK_TOLERANCE = 0.02


def in_s_per_count(range_in_s: float) -> float:
    """
    Return the velocity of one geophone count, in in/s.

    On the grid of the ASCII export [C], not 16/32768 of the range (module docstring).

    >>> in_s_per_count(10.0), in_s_per_count(1.25)
    (0.005, 0.000625)

    Raises:
        ValueError: no unit has that range.
    """
    if range_in_s not in GEO_RANGES_IN_S:
        raise ValueError(f"geophone range {range_in_s} in/s, expected one of {GEO_RANGES_IN_S}")
    return _IN_S_PER_COUNT_AT_10_IN_S * range_in_s / 10.0


def sample_times_s(samples: int, pretrigger_samples: int, rate_hz: float) -> NDArray[np.float64]:
    """Return the time of each sample relative to the trigger, in s, shape (samples,)."""
    import numpy as np  # with the first samples: facts without samples need no numpy

    return (np.arange(samples) - pretrigger_samples) / rate_hz


@overload
def mic_psi(counts: int) -> float: ...
@overload
def mic_psi(counts: NDArray[np.int16]) -> NDArray[np.float64]: ...
def mic_psi(counts: int | NDArray[np.int16]) -> float | NDArray[np.float64]:
    """
    Return the pressure of microphone counts, in psi, with its sign.

    Linear in counts, since it is the dB(L) formula undone [D].

    >>> round(mic_psi(6), 8)
    0.00021761
    """
    if isinstance(counts, int):
        return counts * MIC_PSI_PER_COUNT
    return counts.astype("float64") * MIC_PSI_PER_COUNT


def mic_db(counts: int) -> float | None:
    """
    Return the level of one microphone count, in dB(L); ``None`` for 0, which has none.

    The sign is that of the pressure, not of the level: below the resting pressure the unit's
    report shows the level with a minus [C].

    >>> round(mic_db(813), 2), round(mic_db(-813), 2), mic_db(0)
    (140.14, -140.14, None)
    """
    if not counts:
        return None
    return math.copysign(MIC_DB_OF_ONE_COUNT + 20 * math.log10(abs(counts)), counts)


def db_from_psi(psi: float) -> float | None:
    """
    Return the level of a pressure, in dB(L); ``None`` for 0 psi or what is no number.

    Signed as in ``mic_db`` [C]. Below 20 micropascal the level itself is negative; a sign rule
    cannot show that, and no microphone count is that small.
    """
    if not psi or not math.isfinite(psi):
        return None
    return math.copysign(1.0, psi) * 20 * math.log10(abs(psi) / REFERENCE_PSI)


def range_from_peaks(counts: NDArray[np.int16], peaks: Peaks) -> float | None:
    """
    Return the geophone range in in/s at which the counts fit the unit's own peaks.

    The body does not contain its range, and today's setup may have another one; the peak floats of
    the same event show it [C that they are in/s, D that the two must agree]. A peak
    fits within half a count or 2 %. ``None`` when no range fits every known peak, or when both do,
    as on a silent record.

    Args:
        counts: Tran, Vert, Long and MicL, shape (4, n); give only samples that are valid.
        peaks: of the same event; an unknown peak is passed over.
    """
    possible = ranges_possible(counts, peaks) if counts.shape[1] else ()
    return possible[0] if len(possible) == 1 else None


def ranges_possible(
    counts: NDArray[np.int16], peaks: Peaks, *, is_whole: bool = True
) -> tuple[float, ...]:
    """
    Return every geophone range at which the counts and the unit's own peaks can be of one event.

    Of a whole record each known peak must be that of the samples. Of a part of one, a peak may be
    larger, since its sample may be missing; but no range reports a peak beyond its own end.

    Args:
        counts: Tran, Vert, Long and MicL, shape (4, n); give only samples that are valid.
        peaks: of the same event; an unknown peak excludes no range.
        is_whole: whether these are all samples of the event.
    """
    geo = abs(counts[:3].astype("int32"))
    largest = geo.max(axis=1).tolist() if counts.shape[1] else [0, 0, 0]
    reported = (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s)
    pairs = [(n, peak) for n, peak in zip(largest, reported, strict=True) if peak is not None]
    return tuple(
        range_in_s
        for range_in_s in GEO_RANGES_IN_S
        if all(
            fits_peak(n, peak, in_s_per_count(range_in_s))
            or (not is_whole and n * in_s_per_count(range_in_s) < peak <= range_in_s * 1.03)
            for n, peak in pairs
        )
    )


def fits_peak(largest_counts: float, peak: float, scale: float) -> bool:
    """
    Return whether a peak of the unit is that of the counts, within half a count or 2 %.

    False for what is no number.

    Args:
        largest_counts: magnitude, in counts.
        peak: as the unit reports it, in the unit of measure of ``scale``.
        scale: of one count.
    """
    allowed = max(_PEAK_TOLERANCE_COUNTS * scale, _PEAK_TOLERANCE * abs(peak))
    # A rounding error of the float must not decide at the very edge of half a count.
    return abs(largest_counts * scale - peak) <= allowed * (1 + 1e-6)


def peak_vector_sum_in_s(velocities: NDArray[np.float64]) -> float:
    """
    Return the largest vector sum over the record, in in/s.

    Taken sample by sample: the root-sum of the three channel peaks is only an upper bound, since
    the peaks need not coincide (Instantel operator manual, peak vector sum).

    >>> import numpy as np
    >>> peak_vector_sum_in_s(np.array([[3.0, 0.0], [4.0, 0.0], [0.0, 4.5]]))
    5.0

    Args:
        velocities: Tran, Vert, Long in in/s, shape (3, n), n > 0.

    Raises:
        ValueError: the shape is another, or the record is empty; 0.0 in/s would be a measurement.
    """
    if velocities.ndim != 2 or velocities.shape[0] != 3:
        raise ValueError(f"velocities of shape {velocities.shape}, expected (3, n)")
    if not velocities.shape[1]:
        raise ValueError("an empty record has no peak vector sum")
    return math.sqrt(float((velocities.astype("float64") ** 2).sum(axis=0).max()))
