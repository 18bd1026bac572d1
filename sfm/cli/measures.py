"""
Units of measure for people: the recording's own, imperial ones, unless ``--units`` names others.

JSON always has the recording's own, which its names end in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

__all__ = ["Units", "UnitsName", "converted", "waveform_in"]

UnitsName = Literal["imperial", "metric"]
Units = Annotated[
    UnitsName | None,
    Parameter(
        help="Units of measure: imperial (in/s, psi) or metric (mm/s, Pa). Without it, the "
        "recording's own."
    ),
]

METRIC = {"in/s": (25.4, "mm/s"), "psi": (6894.757293168361, "Pa")}
"""Factor and name for each imperial unit: 1 in = 25.4 mm; 1 psi = 4.4482216152605 N / in2."""


def converted(value: float | None, unit: str, units: UnitsName | None) -> tuple[float | None, str]:
    """
    Return a value and its unit of measure as they were asked for.

    >>> converted(2.0, "in/s", "metric"), converted(2.0, "in/s", None)
    ((50.8, 'mm/s'), (2.0, 'in/s'))
    """
    if units != "metric" or unit not in METRIC:
        return value, unit
    factor, name = METRIC[unit]
    return None if value is None else value * factor, name


def waveform_in(body: Mapping[str, Any], units: UnitsName | None) -> dict[str, Any]:
    """Return a waveform with the values and peaks of its channels in these units of measure."""
    if units != "metric":
        return dict(body)
    channels = {}
    for name, channel in body["channels"].items():
        peak, unit = converted(channel["peak"], channel["unit"], units)
        factor, _ = METRIC.get(channel["unit"], (1.0, ""))
        values = [round(value * factor, 6) for value in channel["values"]]
        channels[name] = {**channel, "unit": unit, "peak": peak, "values": values}
    return {**body, "channels": channels}
