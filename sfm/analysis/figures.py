"""
A figure: one result, with everything that is needed to judge it.

A number alone does not tell in which unit of measure it is, how finely the instrument resolves it,
by which rule it was computed, or that the motion went beyond the instrument's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sfm.analysis.units_of_measure import System, factor, quantity_of, unit_in

__all__ = ["FLAGS", "Bound", "Figure"]

Bound = Literal[">", "<"]

FLAGS: dict[str, str] = {
    "over_range": "the motion reached the end of the instrument's range, and may have gone beyond",
    "not_available": "the samples do not allow this figure",
    "cut": "the half wave of the peak begins before or ends after the samples",
    "zeros_counted": "samples of exactly 0 count as positive, and make up much of this half wave",
    "above_100_hz": "above 100 Hz, the end of what the instrument's reports print",
    "below_1_hz": "no zero crossing near enough: below 1 Hz, or below what the samples resolve",
    "offset_limited": "the offset is large enough to change this figure",
    "offset_unknown": "no quiet samples before the trigger show the offset; it was not removed",
    "trigger_unknown": "the trigger's place is not known; the time counts from the first sample",
    "scale_unknown": "the range is not known, so that counts cannot be converted",
    "rate_unknown": "the sample rate is not known",
    "scale_unconfirmed": "a scale was taken from the setup, and the event does not confirm it",
    "incomplete": "only the first samples of the event were decoded; the rest may be larger",
    "differs_from_unit": "differs by more than one count from the peak that the unit reports",
    "estimate": "the instrument's band does not cover what this figure is defined over",
}
"""Each flag, and what it tells a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """
    One result.

    Raises:
        ValueError: the unit of measure or a flag is not known, or the value is no finite number.
    """

    value: float | None
    """``None``: there is none; the flags tell why."""
    unit: str
    bound: Bound | None = None
    """``>``: the true value is larger than ``value``, or than ``limit`` where there is no value."""
    step: float | None = None
    """The resolution, in ``unit``: differences below it mean nothing."""
    method: str
    """By which rule, with its version: ``vendor-1``, ``refined-1``."""
    flags: tuple[str, ...] = ()
    limit: float | None = None
    """The end of the range in ``unit``, where the motion went beyond it."""

    def __post_init__(self) -> None:
        quantity_of(self.unit)
        unknown = [flag for flag in self.flags if flag not in FLAGS]
        if unknown:
            raise ValueError(f"flag {unknown[0]!r} is not known")
        for number in (self.value, self.step, self.limit):
            if number is not None and not abs(number) < float("inf"):
                raise ValueError(f"{number} is no finite number")

    def in_unit(self, unit: str) -> Figure:
        """
        Return the figure in another unit of measure of the same quantity.

        Raises:
            ValueError: the units of measure are of different quantities.
        """
        by = factor(self.unit, unit)
        if unit == self.unit:
            return self
        value, step, limit = (
            None if number is None else number * by
            for number in (self.value, self.step, self.limit)
        )
        return replace(self, value=value, unit=unit, step=step, limit=limit)

    def in_system(self, system: System) -> Figure:
        """Return the figure in the unit of measure that a system has for its quantity."""
        return self.in_unit(unit_in(system, self.unit))

    def with_flags(self, *flags: str) -> Figure:
        """Return the figure with further flags; one that it has is not repeated."""
        return replace(self, flags=tuple(dict.fromkeys((*self.flags, *flags))))

    def payload(self) -> dict[str, Any]:
        """Return the figure's JSON form; ``limit`` stands in it where the figure has one."""
        found: dict[str, Any] = {
            "value": self.value,
            "unit": self.unit,
            "bound": self.bound,
            "step": self.step,
            "method": self.method,
            "flags": list(self.flags),
        }
        return found if self.limit is None else found | {"limit": self.limit}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Figure:
        """Return the figure of a JSON form."""
        return cls(**{**payload, "flags": tuple(payload["flags"])})
