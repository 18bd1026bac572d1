"""
Limit curves: who says what is allowed, and the value at a frequency or key.

A curve that is disputed has values, and none of them counts before a person confirmed it
(``Catalogue``). The frequencies of an event end at 1 and 100 Hz (``JUDGED_HZ``): an instrument's
``<1 Hz`` is judged at 1 Hz, its ``>100 Hz`` at 100 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from sfm.analysis.limits.shapes import (
    Constant,
    DayNight,
    Displacement,
    InverseGuide,
    Shape,
    Table,
)

__all__ = [
    "COMPONENTS",
    "JUDGED_HZ",
    "SOUND_UNITS",
    "Component",
    "Curve",
    "Extremes",
    "Limit",
    "Mark",
    "NoLimit",
    "Parameters",
    "Prescribed",
    "Withheld",
    "extremes_of",
    "limit_at",
]

Mark = Literal["primary", "secondary", "disputed", "own"]
Component = Literal[
    "each_axis", "largest_axis", "vector_sum", "vertical", "horizontal", "microphone"
]
COMPONENTS: tuple[Component, ...] = get_args(Component)
JUDGED_HZ = (1.0, 100.0)
GRID_STEP_HZ = 0.25
SOUND_UNITS = ("dB", "dB(L)")
Parameters = Mapping[str, str | float]
"""What a curve needs beside the frequency, such as ``distance_ft`` or ``gamma_v``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescribed:
    """How a standard wants the motion measured."""

    text: str
    never: bool = False
    """Whether no record of this kind of instrument meets it."""
    high_hz: float | None = None
    """Up to where the instrument must be flat; ``None``: not by a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A limit. Immutable; two with equal content have equal digests."""

    id: str
    title: str
    region: str | None
    unit: str
    """Of the values: in/s, mm/s, in, dB(L), dB or KB."""
    applies_to: Component
    shape: Shape
    mark: Mark
    sources: tuple[str, ...]
    """In words, not keys."""
    dispute: str | None = None
    notes: tuple[str, ...] = ()
    prescribed: Prescribed | None = None
    airblast: str | None = None
    """The curve for the microphone that belongs to the same rule."""
    divisors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By the parameter's name: what the value is divided by for each of its choices."""
    author: str | None = None
    """Of an own curve: the person who wrote it."""
    date: str | None = None
    """Of an own curve, ISO 8601."""
    digest: str = ""
    """A hash over the entry; a confirmation is for one content alone."""
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """As written, with the shape's own names."""

    @property
    def compared_unit(self) -> str:
        """The unit of measure in which a peak is compared: a displacement's is in/s."""
        return "in/s" if isinstance(self.shape, Displacement) else self.unit

    @property
    def parameters(self) -> dict[str, tuple[str, ...] | None]:
        """What the curve needs beside the frequency: the choices of each; ``None``: a number."""
        found: dict[str, tuple[str, ...] | None] = {
            name: tuple(choices) for name, choices in self.divisors.items()
        }
        shape = self.shape
        if isinstance(shape, Table):
            names = tuple(row.name for row in shape.rows if row.name is not None)
            found[shape.key] = None if shape.is_of_numbers else names
        elif isinstance(shape, InverseGuide):
            found["line"] = tuple(shape.guides)
        elif isinstance(shape, DayNight):
            found[shape.key] = tuple(row.name for row in shape.rows)
            found["time"] = ("day", "night")
        return found


class Withheld(NamedTuple):
    """A rule that has no values here, and why."""

    id: str
    title: str
    mark: str
    why: str


class Limit(NamedTuple):
    """What a curve allows."""

    value: float
    """In the curve's unit of measure."""
    compared: float
    """In ``Curve.compared_unit``: what a peak is compared with."""
    notes: tuple[str, ...] = ()


class NoLimit(NamedTuple):
    """Why a curve has no value: a stable code, and a sentence."""

    code: str
    detail: str


class Extremes(NamedTuple):
    """The strictest and the most permissive value over all frequencies that can be judged."""

    strictest: float
    most_permissive: float
    is_covered: bool
    """Whether the curve has a value at each of them."""


def limit_at(
    curve: Curve, hz: float | None, parameters: Parameters, *, is_base: bool = False
) -> Limit | NoLimit:
    """
    Return what a curve allows.

    Args:
        curve: whose limit.
        hz: the frequency; a table has none.
        parameters: those that ``Curve.parameters`` names.
        is_base: leave the divisors out: the value as the rule prints it.
    """
    missing = _missing(curve, parameters, is_base=is_base)
    if missing is not None:
        return missing
    found = _undivided(curve, hz, parameters)
    if isinstance(found, NoLimit) or is_base:
        return found
    by = math.prod(choices[str(parameters[name])] for name, choices in curve.divisors.items())
    return found._replace(value=found.value / by, compared=found.compared / by)


def _missing(curve: Curve, parameters: Parameters, *, is_base: bool) -> NoLimit | None:
    for name, choices in curve.parameters.items():
        if is_base and name in curve.divisors:
            continue
        given = parameters.get(name)
        expected = "a number" if choices is None else f"one of {'; '.join(choices)}"
        if given is None:
            return NoLimit(
                "parameter-missing",
                "the lower corner of the unit's microphone, in Hz, is not entered; it stands on "
                "its data sheet, for: seismo-relay unit change SERIAL --microphone-low-hz HZ"
                if name == "microphone_low_hz"
                else f"{curve.id} needs {name}: {expected}",
            )
        is_right = isinstance(given, int | float) if choices is None else given in choices
        if not is_right:
            return NoLimit("parameter-wrong", f"{name} of {curve.id} is {given!r}, not {expected}")
    return None


def _undivided(curve: Curve, hz: float | None, parameters: Parameters) -> Limit | NoLimit:
    shape = curve.shape
    if isinstance(shape, DayNight):
        return NoLimit(
            "not-a-frequency-curve",
            f"{curve.id} compares weighted vibration severities with three values, not a peak "
            "with one",
        )
    if isinstance(shape, Table):
        key = parameters[shape.key]
        row = shape.row_at(key)
        if row is None:
            return NoLimit("outside-range", f"{curve.id} has no row for {shape.key} {key}")
        notes = () if row.note is None else (row.note,)
        return Limit(row.value, row.value, notes)
    if hz is None:
        if isinstance(shape, Constant):
            return Limit(shape.value, shape.value)
        return NoLimit("frequency-unknown", f"{curve.id} depends on the frequency")
    if isinstance(shape, InverseGuide):
        value = shape.guides[str(parameters["line"])].value_at(hz)
    else:
        value = shape.value_at(hz)
    if value is None:
        return NoLimit("outside-range", f"{curve.id} has no value at {hz:g} Hz")
    velocity = shape.velocity_at(hz) if isinstance(shape, Displacement) else value
    assert velocity is not None
    return Limit(value, velocity)


def extremes_of(curve: Curve, parameters: Parameters) -> Extremes | NoLimit:
    """Return the strictest and most permissive value of a curve where the frequency is unknown."""
    frozen = tuple(sorted(parameters.items()))
    return _extremes(_Keyed(curve), frozen)


class _Keyed:
    """A curve as a key of the memory below, by its identity: curves hold mappings."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def __hash__(self) -> int:
        return hash((self.curve.id, self.curve.digest))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Keyed)
            and self.curve.id == other.curve.id
            and self.curve.digest == other.curve.digest
        )


@lru_cache(maxsize=1024)
def _extremes(keyed: _Keyed, parameters: tuple[tuple[str, str | float], ...]) -> Extremes | NoLimit:
    curve, given = keyed.curve, dict(parameters)
    low, high = JUDGED_HZ
    steps = round((high - low) / GRID_STEP_HZ)
    grid = {low + GRID_STEP_HZ * step for step in range(steps + 1)}
    shape = curve.shape
    if isinstance(shape, InverseGuide):
        corners = tuple(hz for guide in shape.guides.values() for hz in guide.corners_hz)
    elif isinstance(shape, Table | DayNight):
        corners = ()
    else:
        corners = shape.corners_hz
    found, first, is_covered = [], None, True
    for hz in sorted(grid | {hz for hz in corners if low <= hz <= high}):
        limit = limit_at(curve, hz, given)
        if isinstance(limit, NoLimit):
            first, is_covered = first or limit, False
        else:
            found.append(limit.compared)
    if not found:
        assert first is not None
        return first
    return Extremes(min(found), max(found), is_covered)
