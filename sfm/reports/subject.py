"""
What a report is of: everything known of one event, as plain values that cross processes.

Nothing is looked up later: the same ``Subject`` and ``Options`` make the same PDF, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sfm.analysis.limits import Catalogue, Curve, NoLimit, Parameters, UnknownCurveError, Withheld
from sfm.exports.event import ExportedEvent
from sfm.records.entered_facts import EnteredFact
from sfm.reports.errors import ReportError
from sfm.reports.wish import Paper, Results, Units

__all__ = [
    "MAX_CURVES",
    "ChosenCurves",
    "Options",
    "Subject",
    "curves_named",
]

MAX_CURVES = 8
"""On one page; as many as can be chosen for a location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a report is printed."""

    printed_at: datetime
    """UTC; printed on the page, and the time that the file gives for itself."""
    program_version: str
    paper: Paper = "letter"
    units: Units = "imperial"
    language: str = "en"
    company: str | None = None
    logo: bytes | None = None
    """A PNG, JPEG or SVG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenCurves:
    """The limit curves of one event, and which set of results decides."""

    curves: tuple[tuple[Curve, NoLimit | None], ...] = ()
    """Each with the reason for which it must not be used; ``None``: it may."""
    results: Results = "vendor"
    parameters: Parameters = field(default_factory=dict)
    by: str | None = None
    """``location``, ``project``, ``default``, ``region``; ``request``: this report alone."""
    reason: str | None = None
    """Why there is no curve, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """One event. ``None`` is what is not known; it is printed as not available."""

    event: ExportedEvent
    """Its samples and where they come from, as exports have them."""
    decoder: int | None = None
    """Version of the decoder that read the samples."""
    model: str | None = None
    firmware: str | None = None
    calibrated_on: str | None = None
    """ISO 8601, a date."""
    calibration_is_entered: bool = False
    """Whether a person entered it; otherwise the unit reported it."""
    location: str | None = None
    """Where the unit stood, by the roster."""
    latitude: float | None = None
    longitude: float | None = None
    entered: Mapping[str, EnteredFact] = field(default_factory=dict)
    """What persons entered, by name; never mixed with what the unit reported."""
    limits: ChosenCurves = ChosenCurves()


def curves_named(
    catalogue: Catalogue, names: tuple[str, ...]
) -> tuple[tuple[Curve, NoLimit | None], ...]:
    """
    Return curves by their names, each with the reason for which it must not be used.

    Raises:
        ReportError: there is none of that name, or it has no values; or there are more than fit on
            a page.
    """
    if len(names) > MAX_CURVES:
        raise ReportError(f"{len(names)} limit curves; a page has room for {MAX_CURVES}")
    found: list[tuple[Curve, NoLimit | None]] = []
    for name in names:
        try:
            curve = catalogue.get(name)
        except UnknownCurveError as error:
            raise ReportError(str(error)) from None
        if isinstance(curve, Withheld):
            raise ReportError(f"limit curve {curve.id} has no values here: {curve.why}")
        found.append((curve, catalogue.why_off(curve)))
    return tuple(found)
