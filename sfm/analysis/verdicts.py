"""Verdicts as values: the input of one, the verdict itself, and their JSON forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sfm.analysis.figures import Figure
from sfm.analysis.limits import Curve

__all__ = ["AxisMotion", "CurveVerdict", "Motion", "Outcome", "Reason", "Results", "Verdict"]

Outcome = Literal["complies", "exceeds", "no_verdict"]
Results = Literal["vendor", "refined", "peaks"]
"""``peaks``: those that the unit stores with the event, without frequencies."""


class Reason(NamedTuple):
    """Why there is no verdict: a stable code, and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisMotion:
    """The motion of one axis."""

    channel: str
    ppv: Figure
    frequency: Figure | None = None
    """``None``: it was never computed, as of a peak that the unit stores."""
    kb_fmax: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What one set of results has of an event: the input of a verdict."""

    results: Results
    axes: tuple[AxisMotion, ...] = ()
    pvs: Figure | None = None
    airblast: Figure | None = None
    """The peak level of the microphone, dB(L); ``None``: it was not recorded."""
    reason: Reason | None = None
    """Why nothing can be judged, such as samples that cannot be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether an event complies with a curve. Figures are those of the axis that decides."""

    curve: str
    results: Results
    outcome: Outcome
    share: float | None = None
    """Of the limit, 1 is all of it; of airblast the ratio of pressures."""
    bound: Literal[">"] | None = None
    """``>``: the share is at least that."""
    channel: str | None = None
    peak: Figure | None = None
    frequency: Figure | None = None
    limit: float | None = None
    """In ``unit``; at the frequency, or where that is unknown the most permissive value."""
    unit: str | None = None
    reason: Reason | None = None
    """Only of no verdict."""
    statements: tuple[str, ...] = ()
    """What a reader has to know beside it."""

    @property
    def margin_percent(self) -> float | None:
        """How far the motion is below the limit, per cent of it; negative: above."""
        return None if self.share is None else 100 * (1 - self.share)

    def payload(self) -> dict[str, Any]:
        """Return the JSON form."""
        share, margin = self.share, self.margin_percent
        return {
            "outcome": self.outcome,
            "results": self.results,
            "share_percent": None if share is None else 100 * share,
            "bound": self.bound,
            "margin_percent": margin,
            "channel": self.channel,
            "peak": None if self.peak is None else self.peak.payload(),
            "frequency": None if self.frequency is None else self.frequency.payload(),
            "limit": self.limit,
            "unit": self.unit,
            "reason": None if self.reason is None else self.reason._asdict(),
            "statements": list(self.statements),
        }

    def brief(self) -> dict[str, Any]:
        """Return the JSON form for a list: what fits into a row."""
        frequency = self.frequency
        return {
            "curve": self.curve,
            "outcome": self.outcome,
            "results": self.results,
            "share_percent": None if self.share is None else round(100 * self.share, 2),
            "bound": self.bound,
            "channel": self.channel,
            "frequency_hz": None if frequency is None else frequency.value,
            "frequency_bound": None if frequency is None else frequency.bound,
            "reason": None if self.reason is None else self.reason.code,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveVerdict:
    """The verdict by the chosen set of results, and the other set's where it differs."""

    curve: Curve
    verdict: Verdict
    other: Verdict | None = None

    def payload(self) -> dict[str, Any]:
        """Return the JSON form, with the curve's mark and sources."""
        curve = self.curve
        return {
            "curve": curve.id,
            "title": curve.title,
            "mark": curve.mark,
            "sources": list(curve.sources),
            "dispute": curve.dispute,
            **self.verdict.payload(),
            "other": None if self.other is None else self.other.payload(),
        }

    def brief(self) -> dict[str, Any]:
        """Return the JSON form for a list."""
        return {
            **self.verdict.brief(),
            "other_outcome": None if self.other is None else self.other.outcome,
        }
