"""What a reader asks of a report, as command line and HTTP alike take it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

__all__ = ["Form", "Paper", "Results", "Units", "Wish"]

Paper = Literal["letter", "a4"]
Units = Literal["imperial", "metric"]
Results = Literal["vendor", "refined"]
Form = Literal["zip", "pdf"]
"""Of one file with the reports of many events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a reader asks of a report; ``None``: as the settings, or the choices of limits, say."""

    paper: Paper | None = None
    units: Units | None = None
    curves: tuple[str, ...] = ()
    """Instead of those that are chosen for the event."""
    results: Results | None = None
    printed_at: datetime | None = None
    """Instead of now: with the same program the same report is made again, byte for byte."""
