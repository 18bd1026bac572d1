"""
Entered facts: what persons state about a recording, such as the distance from the blast.

They stand beside the recording with author and date, and are never mixed with what the unit
reported. 30 CFR 816.68(c) wants several of them in a blasting record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ENTERED_FACTS", "NUMBERS", "EnteredFact", "checked_fact"]

NUMBERS = {"distance_m": (0.01, 100_000.0), "charge_kg": (0.001, 1_000_000.0)}
"""Those that are numbers: the least and the largest of each."""
TEXTS = (
    "operator",
    "operator_firm",
    "analyst",
    "analyst_firm",
    "place",
    "client",
    "user",
    "general",
    "calibrated_by",
    "sensor_check",
)
ENTERED_FACTS = (*NUMBERS, *TEXTS)
"""Every fact that can be entered."""
MAX_TEXT = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class EnteredFact:
    """One fact, who entered it, and when."""

    name: str
    value: float | str | None
    """``None``: withdrawn."""
    by: str
    at: str
    """UTC, ISO 8601."""

    def payload(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"name": self.name, "value": self.value, "by": self.by, "at": self.at}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> EnteredFact:
        """Return the fact of a JSON form."""
        return cls(**payload)


def checked_fact(name: str, value: object) -> float | str | None:
    """
    Return a fact's value as it is stored; ``None``: it is withdrawn.

    >>> checked_fact("distance_m", "182.9"), checked_fact("operator", " Pat Doe ")
    (182.9, 'Pat Doe')

    Raises:
        ValueError: there is no such fact, or this cannot be its value.
    """
    if name not in ENTERED_FACTS:
        raise ValueError(f"{name!r} cannot be entered; known are {', '.join(ENTERED_FACTS)}")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if name in NUMBERS:
        low, high = NUMBERS[name]
        try:
            number = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"{name} is a number from {low:g} to {high:g}, not {value!r}")
        return number
    text = str(value).strip()
    if len(text) > MAX_TEXT or not text.isprintable():
        raise ValueError(f"{name} is a text of at most {MAX_TEXT} printable characters")
    return text
