"""The verdicts of a report: by the chosen curves, from the same figures as in lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfm.analysis.compliance import judge_all
from sfm.analysis.verdicts import CurveVerdict, Motion, Results
from sfm.records.verdicts import motion_of_peaks, motions_of_analysis
from sfm.reports.subject import ChosenCurves

__all__ = ["verdicts_of"]


def verdicts_of(
    analysis: Mapping[str, Any], event: Mapping[str, Any], limits: ChosenCurves
) -> list[CurveVerdict]:
    """
    Return the verdict by each chosen curve, in the order in which they were chosen.

    Args:
        analysis: of the event (``Analysis.payload``).
        event: its waveform's payload, with the peaks that the unit stores.
        limits: what is judged by.
    """
    motions: dict[Results, Motion] = {
        "peaks": motion_of_peaks(event["peaks"], event["geo_range_in_s"])
    }
    motions |= motions_of_analysis(analysis)
    return [
        judge_all(curve, motions, limits.results, limits.parameters, off)
        for curve, off in limits.curves
    ]
