"""
Shapes of limits: what is allowed as a function of frequency, or of another key.

Each shape of frequency has ``value_at``, which returns ``None`` where the curve does not reach, and
``corners_hz``, the frequencies at which it turns or jumps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

__all__ = [
    "Band",
    "Constant",
    "DayNight",
    "DayNightRow",
    "Displacement",
    "FrequencyShape",
    "InverseGuide",
    "Join",
    "Points",
    "Ri8507",
    "Row",
    "Shape",
    "Steps",
    "Table",
    "Vertex",
    "Weighting",
]

Join = Literal["linear", "loglog"]


class Vertex(NamedTuple):
    """A corner of a curve."""

    hz: float
    value: float


class Band(NamedTuple):
    """A step of a curve."""

    from_hz: float
    to_hz: float
    value: float


def _joined(vertices: tuple[Vertex, ...], hz: float, join: Join) -> float | None:
    """Return the value between two vertices; ``None`` outside them."""
    for low, high in pairwise(vertices):
        if low.hz <= hz <= high.hz:
            if join == "linear":
                return low.value + (high.value - low.value) * (hz - low.hz) / (high.hz - low.hz)
            share = math.log(hz / low.hz) / math.log(high.hz / low.hz)
            return float(low.value * (high.value / low.value) ** share)
    return None


@dataclass(frozen=True, slots=True)
class Constant:
    """One value at every frequency."""

    value: float
    ceiling: float | None = None
    """Above ``value`` a rule may admit some events; above this one it admits none."""

    def value_at(self, _: float) -> float | None:
        """Return the limit at a frequency: it is the same at all."""
        return self.value

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Where the curve turns or jumps."""
        return ()


@dataclass(frozen=True, slots=True)
class Points:
    """Vertices, joined; beyond them the value is held, follows a displacement, or ends."""

    vertices: tuple[Vertex, ...]
    join: Join
    below: Literal["hold", "none", "displacement"] = "none"
    above: Literal["hold", "none"] = "none"
    displacement: float | None = None
    """Zero to peak, in the length of the curve's unit of measure: mm for mm/s, in for in/s."""

    def value_at(self, hz: float) -> float | None:
        """Return the limit at a frequency; ``None``: the curve does not reach it."""
        first, last = self.vertices[0], self.vertices[-1]
        if hz < first.hz:
            if self.below == "displacement":
                assert self.displacement is not None
                return 2 * math.pi * hz * self.displacement
            return first.value if self.below == "hold" else None
        if hz > last.hz:
            return last.value if self.above == "hold" else None
        return _joined(self.vertices, hz, self.join)

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Where the curve turns or jumps."""
        return tuple(vertex.hz for vertex in self.vertices)


@dataclass(frozen=True, slots=True)
class Steps:
    """
    Bands of frequency, each with one value.

    An upper edge belongs to the next band, except the last one's. With ``edge_hz`` a frequency that
    is at most that far above an edge still belongs to the band below it.
    """

    bands: tuple[Band, ...]
    edge_hz: float | None = None

    def value_at(self, hz: float) -> float | None:
        """Return the limit at a frequency; ``None``: the curve does not reach it."""
        if hz < self.bands[0].from_hz:
            return None
        for band in self.bands:
            is_last = band is self.bands[-1]
            if self.edge_hz is not None:
                is_in = hz <= band.to_hz + self.edge_hz
            else:
                is_in = hz < band.to_hz or (is_last and hz == band.to_hz)
            if is_in:
                return band.value
        return None

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Where the curve jumps, and the middle of each band."""
        edges = {edge for band in self.bands for edge in (band.from_hz, band.to_hz)}
        return tuple(sorted(edges | {(b.from_hz + b.to_hz) / 2 for b in self.bands}))


@dataclass(frozen=True, slots=True)
class Ri8507:
    """
    The four lines of USBM RI 8507 appendix B, in/s.

    ``min(2 pi f low, max(plateau, 2 pi f mid), cap)``: a displacement, a plateau, a smaller
    displacement, a velocity. The plain minimum of the four lines would leave the plateau out.
    """

    low_in: float
    plateau: float
    mid_in: float
    cap: float
    span_hz: tuple[float, float]

    def value_at(self, hz: float) -> float | None:
        """Return the limit at a frequency, in/s; ``None`` outside the figure."""
        if not self.span_hz[0] <= hz <= self.span_hz[1]:
            return None
        omega = 2 * math.pi * hz
        return min(omega * self.low_in, max(self.plateau, omega * self.mid_in), self.cap)

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Where the curve turns."""
        at = (self.plateau / self.low_in, self.plateau / self.mid_in, self.cap / self.mid_in)
        return (self.span_hz[0], *(each / (2 * math.pi) for each in at), self.span_hz[1])


@dataclass(frozen=True, slots=True)
class Displacement:
    """A displacement by frequency (in), and a velocity that holds beside it (in/s)."""

    vertices: tuple[Vertex, ...]
    join: Join
    cap_in_s: float

    def value_at(self, hz: float) -> float | None:
        """Return the limit as a displacement, in; ``None``: the curve does not reach it."""
        return _joined(self.vertices, hz, self.join)

    def velocity_at(self, hz: float) -> float | None:
        """Return the limit as a velocity, in/s: the smaller of 2 pi f d and the one beside it."""
        displacement = self.value_at(hz)
        return None if displacement is None else min(2 * math.pi * hz * displacement, self.cap_in_s)

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Where the curve turns."""
        return tuple(vertex.hz for vertex in self.vertices)


@dataclass(frozen=True, slots=True)
class Weighting:
    """One value for the weighted signal; a pure tone may have ``value / weight``."""

    value: float
    vertices: tuple[Vertex, ...]
    join: Join

    def weight_at(self, hz: float) -> float | None:
        """Return the weight at a frequency; ``None``: the rule gives none."""
        return _joined(self.vertices, hz, self.join)

    def value_at(self, hz: float) -> float | None:
        """Return what an unweighted tone of that frequency may have."""
        weight = self.weight_at(hz)
        return None if weight is None else self.value / weight

    @property
    def corners_hz(self) -> tuple[float, ...]:
        """Where the curve turns."""
        return tuple(vertex.hz for vertex in self.vertices)


@dataclass(frozen=True, slots=True)
class InverseGuide:
    """A weighting by the inverse of a guide curve, one guide for each line of a table."""

    guides: Mapping[str, Points]
    reference_hz: float

    def weight_at(self, line: str, hz: float) -> float | None:
        """Return ``guide(reference) / guide(f)``; ``None``: the guide does not reach it."""
        guide = self.guides[line]
        at_reference, here = guide.value_at(self.reference_hz), guide.value_at(hz)
        return None if at_reference is None or here is None else at_reference / here


class Row(NamedTuple):
    """A row of a table: up to a number, or of a name."""

    to: float | None
    name: str | None
    value: float
    scaled_distance: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Values by a number (rows up to and including ``to``, ``None``: without end) or by a name."""

    key: str
    rows: tuple[Row, ...]

    @property
    def is_of_numbers(self) -> bool:
        """Whether the key is a number."""
        return self.rows[0].name is None

    def row_at(self, key: float | str) -> Row | None:
        """Return the row of a key; ``None``: the table has none."""
        if isinstance(key, str):
            return next((row for row in self.rows if row.name == key), None)
        if not self.is_of_numbers:
            return None
        return next((row for row in self.rows if row.to is None or key <= row.to), None)

    def charge_lb(self, distance_ft: float) -> float | None:
        """Return the largest charge for 8 ms by the scaled distance, lb; ``None``: no rule."""
        row = self.row_at(distance_ft)
        if row is None or row.scaled_distance is None:
            return None
        return (distance_ft / row.scaled_distance) ** 2


class DayNightRow(NamedTuple):
    """A_u, A_o and A_r by day and by night."""

    name: str
    day: tuple[float, float, float]
    night: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class DayNight:
    """Three values by area and time of day (DIN 4150-2)."""

    key: str
    rows: tuple[DayNightRow, ...]

    def values_of(self, area: str, time: Literal["day", "night"]) -> tuple[float, float, float]:
        """
        Return A_u, A_o and A_r.

        Raises:
            KeyError: the table has no such area.
        """
        row = next((row for row in self.rows if row.name == area), None)
        if row is None:
            raise KeyError(area)
        return row.day if time == "day" else row.night


FrequencyShape = Constant | Points | Steps | Ri8507 | Displacement | Weighting
Shape = FrequencyShape | InverseGuide | Table | DayNight
