"""
People in buildings by DIN 4150-2: the three steps A_u, A_o, A_r, and what goes with them.

Values are compared as the table prints them: rounded half up to its decimals, a whole number to one
decimal, which is the stricter reading. The procedure and the 15 % for the uncertainty of
measurement are those of the worked examples of annex C.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple

__all__ = [
    "PeopleVerdict",
    "admissible_exposure_h",
    "estimated_kb_fmax",
    "judge_people",
    "rounded_as",
]

UNCERTAINTY = 0.15
KB_CORNER_HZ = 5.6


class PeopleVerdict(NamedTuple):
    """Whether the vibration may be expected of people, and by which of the three values."""

    complies: bool | None
    """``None``: the third step needs KB_FTr, which a single event does not have."""
    by: Literal["A_u", "A_o", "A_r"]
    within_uncertainty: bool = False
    """Whether it complies only because of the 15 % for the uncertainty."""


def rounded_as(value: float, printed: float) -> Decimal:
    """
    Return a value rounded half up to as many decimals as a printed one has.

    >>> rounded_as(0.155, 0.15), rounded_as(0.154, 0.15)
    (Decimal('0.16'), Decimal('0.15'))
    """
    places = Decimal(str(printed)).as_tuple().exponent
    # The shortest decimal of a float is what a person reads: 0.155 is not 0.15499999999999999.
    return Decimal(repr(value)).quantize(Decimal((0, (1,), int(places))), ROUND_HALF_UP)


def _is_at_most(value: float, limit: float) -> bool:
    return rounded_as(value, limit) <= Decimal(str(limit))


def judge_people(
    kb_fmax: float,
    values: tuple[float, float, float],
    kb_ftr: float | None = None,
    *,
    is_rare: bool = False,
) -> PeopleVerdict:
    """
    Return the verdict of DIN 4150-2 section 6.2.

    At most A_u complies; above A_o does not; in between KB_FTr decides by A_r.

    Args:
        kb_fmax: the largest KB_F.
        values: A_u, A_o and A_r.
        kb_ftr: of the assessment period; ``None``: not known.
        is_rare: up to three short events a day: A_o alone decides.
    """
    a_u, a_o, a_r = values
    if _is_at_most(kb_fmax, a_u):
        return PeopleVerdict(True, "A_u")
    if not is_rare and kb_fmax <= a_u * (1 + UNCERTAINTY):
        return PeopleVerdict(True, "A_u", within_uncertainty=True)
    if not _is_at_most(kb_fmax, a_o):
        return PeopleVerdict(False, "A_o")
    if is_rare:
        return PeopleVerdict(True, "A_o")
    if kb_ftr is None:
        return PeopleVerdict(None, "A_r")
    return PeopleVerdict(_is_at_most(kb_ftr, a_r), "A_r")


def admissible_exposure_h(kb_ftm: float, a_r: float, period_h: float) -> float:
    """
    Return how long a vibration may last within an assessment period, h.

    >>> round(admissible_exposure_h(0.23, 0.07, 16), 2)
    1.48
    """
    return period_h * (a_r / kb_ftm) ** 2


def estimated_kb_fmax(peak_mm_s: float, hz: float, c_f: float) -> float:
    """
    Return KB_Fmax estimated from a peak velocity and its frequency.

    >>> round(estimated_kb_fmax(4.0, 14.0, 0.8), 1)
    2.1

    Args:
        peak_mm_s: the peak velocity, mm/s.
        hz: its frequency.
        c_f: by the kind of vibration: 0.8 for single events without resonance (annex C.7).
    """
    return c_f * peak_mm_s / math.sqrt(2) / math.sqrt(1 + (KB_CORNER_HZ / hz) ** 2)
