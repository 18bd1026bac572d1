"""
Verdicts on events: from what the archive has of an event to whether it keeps to its limits.

A ``Judge`` is one state of the limits, the choices and the roster, and never changes. It judges by
the figures that were computed from the samples, and where there are none by the peaks that the unit
itself stores with the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sfm.analysis import Figure
from sfm.analysis.compliance import AXES, judge_all
from sfm.analysis.limits import Catalogue, Curve
from sfm.analysis.verdicts import AxisMotion, CurveVerdict, Motion, Reason, Results
from sfm.records.limit_choices import LimitChoices, Selection
from sfm.records.payloads import Payload, peak_bounds
from sfm.records.roster import NO_ROSTER, Roster

__all__ = ["NOT_JUDGED", "Judge", "Judged", "motion_of_peaks", "motions_of_analysis"]

NOT_JUDGED: Payload = {"verdicts": None, "no_verdict": "not-judged"}
"""What a list has of an event that is not judged yet."""
UNIT = "unit"
"""The method of what the unit itself computed."""
PEAK_NAMES = {"Tran": "tran_in_s", "Vert": "vert_in_s", "Long": "long_in_s"}
UNDECODED = Reason("undecoded", "its samples cannot be decoded")
MICROPHONE = "MicL"


class Judged(NamedTuple):
    """The verdicts on one event."""

    selection: Selection
    verdicts: tuple[CurveVerdict, ...]

    def brief(self) -> Payload:
        """Return what a list has of them."""
        reason = self.selection.reason
        return {
            "verdicts": [one.brief() for one in self.verdicts],
            "no_verdict": None if reason is None else reason.code,
        }

    def payload(self) -> Payload:
        """Return all of them, with marks, sources and statements."""
        selection = self.selection
        return {
            "chosen_by": selection.by,
            "results": selection.results,
            "parameters": dict(selection.parameters),
            "verdicts": [one.payload() for one in self.verdicts],
            "no_verdict": None if selection.reason is None else selection.reason._asdict(),
        }


class Judge:
    """
    One state of everything that a verdict depends on beside the event; immutable.

    Args:
        catalogue: the curves; ``None``: the program's own.
        choices: which count where.
        roster: where the units stood.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        choices: LimitChoices | None = None,
        roster: Roster = NO_ROSTER,
    ) -> None:
        self._catalogue = catalogue
        self._choices = choices or LimitChoices()
        self._roster = roster

    @property
    def has_curves(self) -> bool:
        """Whether any curve is chosen anywhere; without one no figures need to be loaded."""
        return bool(self._choices.choices) or self._choices.region is not None

    def judge(
        self,
        serial: str | None,
        event: Mapping[str, Any],
        analysis: Mapping[str, Any] | None = None,
        geo_range_in_s: float | None = None,
        *,
        is_undecoded: bool = False,
    ) -> Judged:
        """
        Return the verdicts on an event.

        Args:
            serial: of the unit.
            event: its payload: ``timestamp``, ``project`` and ``peaks`` are looked at.
            analysis: what was computed from its samples (``Analysis.payload``).
            geo_range_in_s: at which it was recorded, where that is known.
            is_undecoded: it has samples, and no decoder reads them.
        """
        selection = self._choices.select(self._roster, serial, event["timestamp"], event["project"])
        if not selection.curves:
            return Judged(selection, ())
        motions: dict[Results, Motion] = {"peaks": motion_of_peaks(event["peaks"], geo_range_in_s)}
        if analysis is not None:
            motions |= motions_of_analysis(analysis)
        elif is_undecoded:
            motions[selection.results] = Motion(results=selection.results, reason=UNDECODED)
        if self._catalogue is None:
            self._catalogue = Catalogue()
        catalogue, verdicts = self._catalogue, []
        for name in selection.curves:
            curve = catalogue.get(name)
            if isinstance(curve, Curve):  # a choice names no other
                verdicts.append(
                    judge_all(
                        curve,
                        motions,
                        selection.results,
                        selection.parameters,
                        catalogue.why_off(curve),
                    )
                )
        return Judged(selection, tuple(verdicts))


def motion_of_peaks(
    peaks: Mapping[str, float | None], geo_range_in_s: float | None = None
) -> Motion:
    """
    Return the motion that the unit's own peaks show: no frequencies.

    Args:
        peaks: of an event's payload, in in/s and dB.
        geo_range_in_s: at which the event was recorded, where that is known.
    """
    bounds = peak_bounds(peaks, geo_range_in_s)
    axes = []
    for channel, name in PEAK_NAMES.items():
        figure = _stored(peaks[name], "in/s", bounds[name])
        if figure is not None:
            axes.append(AxisMotion(channel=channel, ppv=figure))
    return Motion(
        results="peaks",
        axes=tuple(axes),
        pvs=_stored(peaks["vector_sum_in_s"], "in/s", bounds["vector_sum_in_s"]),
        airblast=_stored(peaks.get("mic_db"), "dB(L)", bounds["mic_db"]),
    )


def _stored(value: float | None, unit: str, bound: str | None) -> Figure | None:
    if value is None:
        return None
    return Figure(value=value, unit=unit, bound=">" if bound == ">" else None, method=UNIT)


def motions_of_analysis(analysis: Mapping[str, Any]) -> dict[Results, Motion]:
    """Return the motion by each set of figures of an analysis (``Analysis.payload``)."""
    channels: Mapping[str, Mapping[str, Mapping[str, Any]]] = analysis["channels"]
    found: dict[Results, Motion] = {}
    names: tuple[Results, ...] = ("vendor", "refined")
    for name in names:
        axes = tuple(
            AxisMotion(
                channel=channel,
                ppv=Figure.from_payload(channels[channel][name]["ppv"]),
                frequency=Figure.from_payload(channels[channel][name]["zc_frequency"]),
                kb_fmax=_figure(channels[channel].get("weighted", {}).get("kb_fmax")),
            )
            for channel in AXES
            if channel in channels and name in channels[channel]
        )
        pvs = analysis["pvs"].get(name)
        of_microphone = channels.get(MICROPHONE, {}).get(name, {})
        found[name] = Motion(
            results=name,
            axes=axes,
            pvs=_figure(pvs),
            airblast=_figure(of_microphone.get("level")),
        )
    return found


def _figure(payload: Mapping[str, Any] | None) -> Figure | None:
    return None if payload is None else Figure.from_payload(payload)
