"""
Units of measure: the only place that converts one into another.

Exact by definition: 1 in = 25.4 mm, standard gravity 9.80665 m/s², 1 lb = 0.45359237 kg; hence
1 psi = 6894.757293168 Pa. A level in decibels is of another quantity than its pressure: it is
computed (``level_db``), never converted.
"""

from __future__ import annotations

import math
from typing import Literal

__all__ = [
    "MM_PER_IN",
    "MM_S2_PER_G",
    "PA_PER_PSI",
    "REFERENCE_PA",
    "UNITS_OF_MEASURE",
    "System",
    "convert",
    "factor",
    "level_db",
    "pressure_pa",
    "quantity_of",
    "unit_in",
]

System = Literal["imperial", "metric"]

MM_PER_IN = 25.4
PA_PER_PSI = 6894.757293168
MM_S2_PER_G = 9806.65
REFERENCE_PA = 20e-6
"""0 dB of sound pressure (ISO 1683)."""

UNITS_OF_MEASURE: dict[str, tuple[str, float]] = {
    "mm/s": ("velocity", 1.0),
    "cm/s": ("velocity", 10.0),
    "m/s": ("velocity", 1000.0),
    "um/s": ("velocity", 0.001),
    "in/s": ("velocity", MM_PER_IN),
    "mm": ("displacement", 1.0),
    "um": ("displacement", 0.001),
    "m": ("displacement", 1000.0),
    "in": ("displacement", MM_PER_IN),
    "g": ("acceleration", MM_S2_PER_G),
    "m/s2": ("acceleration", 1000.0),
    "mm/s2": ("acceleration", 1.0),
    "in/s2": ("acceleration", MM_PER_IN),
    "Pa": ("pressure", 1.0),
    "kPa": ("pressure", 1000.0),
    "mbar": ("pressure", 100.0),
    "psi": ("pressure", PA_PER_PSI),
    "dB(L)": ("level", 1.0),
    "dB(C)": ("level C", 1.0),
    "dB(A)": ("level A", 1.0),
    "Hz": ("frequency", 1.0),
    "s": ("time", 1.0),
    "m/s1.75": ("vibration dose", 1.0),
    "1": ("number", 1.0),
}
"""Each unit of measure: its quantity, and how much of that quantity's first unit it is."""

_OF_SYSTEM: dict[System, dict[str, str]] = {
    "imperial": {"velocity": "in/s", "displacement": "in", "pressure": "psi"},
    "metric": {"velocity": "mm/s", "displacement": "mm", "pressure": "Pa"},
}


def quantity_of(unit: str) -> str:
    """
    Return the quantity that a unit of measure is of, such as ``velocity``.

    Raises:
        ValueError: the unit of measure is not known.
    """
    if unit not in UNITS_OF_MEASURE:
        known = ", ".join(UNITS_OF_MEASURE)
        raise ValueError(f"unit of measure {unit!r} is not known; known are {known}")
    return UNITS_OF_MEASURE[unit][0]


def factor(unit: str, to: str) -> float:
    """
    Return by what a value in ``unit`` is multiplied to be one in ``to``.

    >>> factor("in/s", "mm/s")
    25.4

    Raises:
        ValueError: a unit of measure is not known, or the two are of different quantities.
    """
    if quantity_of(unit) != quantity_of(to):
        raise ValueError(f"{unit} is a {quantity_of(unit)}, {to} a {quantity_of(to)}")
    return 1.0 if unit == to else UNITS_OF_MEASURE[unit][1] / UNITS_OF_MEASURE[to][1]


def convert(value: float, unit: str, to: str) -> float:
    """
    Return a value in another unit of measure of its quantity.

    >>> convert(2.0, "in/s", "mm/s")
    50.8

    Raises:
        ValueError: as ``factor``.
    """
    return value * factor(unit, to)


def unit_in(system: System, unit: str) -> str:
    """
    Return the unit of measure that a system has for the quantity of ``unit``.

    Quantities that are written alike in both, such as frequencies, keep their unit.

    >>> unit_in("metric", "in/s"), unit_in("imperial", "Hz")
    ('mm/s', 'Hz')
    """
    return _OF_SYSTEM[system].get(quantity_of(unit), unit)


def level_db(pressure_pa: float) -> float | None:
    """
    Return the level of a pressure's magnitude, 20 log10(p / 20 µPa); ``None``: 0 has none.

    >>> level_db(20.0), level_db(0.0)
    (120.0, None)
    """
    return 20 * math.log10(abs(pressure_pa) / REFERENCE_PA) if pressure_pa else None


def pressure_pa(level: float) -> float:
    """
    Return the pressure of a level, in Pa.

    >>> round(pressure_pa(120.0), 9)
    20.0
    """
    return REFERENCE_PA * float(10 ** (level / 20))
