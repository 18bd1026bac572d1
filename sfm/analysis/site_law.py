"""
Attenuation with distance: the site law PPV = K (D / sqrt(W))**-b, fitted to measurements.

Fitted by least squares of log10(PPV) on log10(D / sqrt(W)). Units of measure change K, never b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_POINTS", "SiteLaw", "distance_of_limit", "fit_site_law", "student_t"]

Values = NDArray[np.float64]
MIN_POINTS = 3
FEW_POINTS = 20
"""Fewer are fitted, with a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLaw:
    """A fitted line log10(PPV) = a - b log10(scaled distance), with its scatter."""

    a: float
    b: float
    """Positive where PPV falls with distance."""
    points: int
    r2: float
    scatter: float
    """Standard error of the estimate of log10(PPV), with n - 2 degrees of freedom."""
    scaled_distances: tuple[float, float]
    """The smallest and the largest that were measured: beyond, the line is extrapolated."""
    mean_log: float
    squares_log: float
    """Of log10(scaled distance): mean, and sum of squared deviations."""

    @property
    def k(self) -> float:
        """K of the 50 % line, in the PPV's unit of measure at a scaled distance of 1."""
        return float(10**self.a)

    def median(self, scaled_distance: float) -> float:
        """Return the PPV that half of the blasts exceed."""
        return float(10 ** (self.a - self.b * math.log10(scaled_distance)))

    def upper_by_prediction(self, scaled_distance: float, p: float) -> float:
        """Return the PPV that one further blast stays below with probability ``p``."""
        x = math.log10(scaled_distance)
        spread = math.sqrt(1 + 1 / self.points + (x - self.mean_log) ** 2 / self.squares_log)
        return self.median(scaled_distance) * float(
            10 ** (student_t(p, self.points - 2) * self.scatter * spread)
        )

    def upper_by_shift(self, scaled_distance: float, p: float, *, is_normal: bool = False) -> float:
        """
        Return the PPV of the median line shifted parallel by a quantile times the scatter.

        The usual way, which ignores that the line itself is uncertain.

        Args:
            scaled_distance: D / sqrt(W).
            p: probability, such as 0.95.
            is_normal: take the normal distribution's quantile instead of Student's t (n - 2).
        """
        quantile = NormalDist().inv_cdf(p) if is_normal else student_t(p, self.points - 2)
        return self.median(scaled_distance) * float(10 ** (quantile * self.scatter))

    def warnings(self, scaled_distance: float | None = None) -> list[str]:
        """Return what a reader of the law, or of its value at a scaled distance, must know."""
        found = []
        if self.points < FEW_POINTS:
            found.append(f"fitted to {self.points} points; fewer than {FEW_POINTS} are uncertain")
        least, largest = self.scaled_distances
        if scaled_distance is not None and not least <= scaled_distance <= largest:
            found.append(
                f"scaled distance {scaled_distance:g} is outside the measured {least:g} to "
                f"{largest:g}"
            )
        return found


def fit_site_law(scaled_distances: Values, ppv: Values) -> SiteLaw:
    """
    Return the site law of measurements.

    Args:
        scaled_distances: D / sqrt(W) of each, above 0.
        ppv: of each, above 0.

    Raises:
        ValueError: fewer than three points, a value that is not above 0, or one distance only.
    """
    if len(scaled_distances) != len(ppv) or len(ppv) < MIN_POINTS:
        raise ValueError(f"{len(ppv)} points, expected at least {MIN_POINTS}")
    positive = np.concatenate((scaled_distances, ppv))
    if not (np.isfinite(positive).all() and (positive > 0).all()):
        raise ValueError("scaled distances and PPV must be above 0")
    x, y = np.log10(scaled_distances), np.log10(ppv)
    about = x - x.mean()
    squares = float(np.square(about).sum())
    if not squares:
        raise ValueError("all points have one scaled distance; a line needs two")
    slope = float(about @ (y - y.mean())) / squares
    a = float(y.mean() - slope * x.mean())
    left = float(np.square(y - a - slope * x).sum())
    total = float(np.square(y - y.mean()).sum())
    return SiteLaw(
        a=a,
        b=-slope,
        points=len(x),
        r2=1 - left / total if total else 1.0,
        scatter=math.sqrt(left / (len(x) - 2)),
        scaled_distances=(float(scaled_distances.min()), float(scaled_distances.max())),
        mean_log=float(x.mean()),
        squares_log=squares,
    )


def distance_of_limit(distance: float, ppv: float, limit: float, exponent: float = 1.5) -> float:
    """
    Return the distance at which a PPV known at one distance has fallen to a limit.

    D2 = D1 (PPV1 / PPV2)**(1/1.5) (FTA, Transit Noise and Vibration, 2018, section 7).
    """
    return distance * float((ppv / limit) ** (1 / exponent))


def student_t(p: float, degrees: int) -> float:
    """
    Return the quantile of Student's t distribution.

    >>> round(student_t(0.975, 10), 4)
    2.2281

    Raises:
        ValueError: ``p`` is not between 0 and 1, or there is no degree of freedom.
    """
    if not 0 < p < 1 or degrees < 1:
        raise ValueError(f"p = {p} with {degrees} degrees of freedom")
    if p < 0.5:
        return -student_t(1 - p, degrees)
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < p else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    """
    Return the distribution function for t >= 0.

    A finite sum in cos of the angle atan(t / sqrt(n)) (Abramowitz and Stegun 26.7.3, 26.7.4).
    """
    angle = math.atan2(t, math.sqrt(degrees))
    cosine2 = math.cos(angle) ** 2
    is_odd = degrees % 2 == 1
    term = total = math.cos(angle) if is_odd else 1.0
    first = 2 if is_odd else 1
    for k in range(first, degrees - 2, 2):
        term *= cosine2 * k / (k + 1)
        total += term
    if not is_odd:
        return 0.5 + math.sin(angle) * total / 2
    inner = angle if degrees == 1 else angle + math.sin(angle) * total
    return 0.5 + inner / math.pi
