"""Limits of ground vibration and airblast: curves as data, their marks, and values at a point."""

from __future__ import annotations

from sfm.analysis.limits.catalogue import Catalogue, Confirmation, UnknownCurveError
from sfm.analysis.limits.curves import (
    JUDGED_HZ,
    SOUND_UNITS,
    Component,
    Curve,
    Extremes,
    Limit,
    Mark,
    NoLimit,
    Parameters,
    Prescribed,
    Withheld,
    extremes_of,
    limit_at,
)
from sfm.analysis.limits.loader import (
    LimitsError,
    Shipped,
    load_shipped,
    parse_own,
    parse_shipped,
    read_yaml,
)
from sfm.analysis.limits.shapes import Constant, DayNight, Displacement, InverseGuide, Table

__all__ = [
    "JUDGED_HZ",
    "SOUND_UNITS",
    "Catalogue",
    "Component",
    "Confirmation",
    "Constant",
    "Curve",
    "DayNight",
    "Displacement",
    "Extremes",
    "InverseGuide",
    "Limit",
    "LimitsError",
    "Mark",
    "NoLimit",
    "Parameters",
    "Prescribed",
    "Shipped",
    "Table",
    "UnknownCurveError",
    "Withheld",
    "extremes_of",
    "limit_at",
    "load_shipped",
    "parse_own",
    "parse_shipped",
    "read_yaml",
]
