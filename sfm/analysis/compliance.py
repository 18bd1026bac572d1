"""
Compliance: whether an event keeps to a limit curve, by how much, on which axis, at which frequency.

The rules:

- Every axis is judged at its own frequency; the worst ratio to the limit counts, which need not be
  the largest peak. Full precision; equality complies.
- ``>100 Hz`` is judged at 100 Hz, ``<1 Hz`` at 1 Hz. A frequency that is not available (the wave
  was not captured whole) gives no verdict, unless the peak is above every value of the curve.
- A lower bound (over range, first samples only) can exceed a limit and never complies with it.
- From peaks without frequencies an event exceeds where a peak is above every value of the curve,
  and complies where all are at most its strictest value; otherwise there is no verdict.
- No verdict always has a reason: a stable code, and a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from sfm.analysis.figures import Figure
from sfm.analysis.limits import (
    JUDGED_HZ,
    SOUND_UNITS,
    Constant,
    Curve,
    DayNight,
    Limit,
    NoLimit,
    Parameters,
    extremes_of,
    limit_at,
)
from sfm.analysis.limits.people import judge_people
from sfm.analysis.verdicts import (
    AxisMotion,
    CurveVerdict,
    Motion,
    Outcome,
    Reason,
    Results,
    Verdict,
)

__all__ = ["AXES", "GEO_BAND_HZ", "judge", "judge_all"]

GEO_BAND_HZ = (2.0, 250.0)
"""What the geophones of a MiniMate Plus record (data sheet)."""
ROUNDING = 1e-9
"""Two values that differ by less are equal: one of them was converted between units of measure."""
HORIZONTAL = ("Tran", "Long")
AXES = ("Tran", "Vert", "Long")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One axis against the limit."""

    outcome: Outcome
    share: float | None = None
    is_at_least: bool = False
    channel: str
    peak: Figure | None = None
    frequency: Figure | None = None
    limit: float | None = None
    reason: Reason | None = None
    statements: tuple[str, ...] = field(default=())


def judge_all(
    curve: Curve,
    motions: Mapping[Results, Motion],
    chosen: Literal["vendor", "refined"],
    parameters: Parameters,
    off: NoLimit | None = None,
) -> CurveVerdict:
    """
    Return the verdict on an event of which several sets of results may exist.

    The chosen set decides. Where its samples give no verdict because they are not all there or
    their scale is not certain, the peaks that the unit itself stores may still give one. The other
    set is judged too, and is returned where it disagrees.

    Args:
        curve: to judge by.
        motions: by set; ``peaks`` alone where there are no samples.
        chosen: which set counts.
        parameters: of the curve: distance, category, the microphone's corner.
        off: why the curve must not be used.
    """
    other_set: Results = "refined" if chosen == "vendor" else "vendor"
    peaks = motions.get("peaks")
    if chosen not in motions:
        nothing = Motion(results="peaks", reason=Reason("no-figures", "nothing is known of it"))
        found = judge(curve, peaks or nothing, parameters, off)
        return CurveVerdict(curve=curve, verdict=found)
    found = judge(curve, motions[chosen], parameters, off)
    reason = found.reason
    if reason is not None and reason.code in BY_PEAKS_INSTEAD and peaks is not None:
        instead = judge(curve, peaks, parameters, off)
        note = f"By the unit's own peaks, because {reason.detail}"
        has_verdict = instead.outcome != "no_verdict"
        instead = replace(
            instead,
            statements=(note, *instead.statements),
            reason=None if has_verdict else reason,
        )
        return CurveVerdict(curve=curve, verdict=instead)
    other = None
    if other_set in motions:
        other = judge(curve, motions[other_set], parameters, off)
    is_same = other is None or other.outcome == found.outcome
    return CurveVerdict(curve=curve, verdict=found, other=None if is_same else other)


BY_PEAKS_INSTEAD = frozenset({"undecoded", "incomplete", "scale-unconfirmed", "scale-unknown"})
"""Reasons of samples that do not touch the peaks which the unit computed itself."""


def judge(
    curve: Curve, motion: Motion, parameters: Parameters, off: NoLimit | None = None
) -> Verdict:
    """Return the verdict on one set of results."""

    def nothing(reason: Reason) -> Verdict:
        return Verdict(
            curve=curve.id,
            results=motion.results,
            outcome="no_verdict",
            reason=reason,
            statements=_statements(curve, ()),
        )

    if off is not None:
        return nothing(Reason(*off))
    if motion.reason is not None:
        return nothing(motion.reason)
    if isinstance(curve.shape, DayNight):
        return _people_verdict(curve, motion, parameters)
    judged = _judged(curve, motion, parameters)
    if isinstance(judged, Reason):
        return nothing(judged)
    return _worst(curve, motion.results, judged)


def _judged(curve: Curve, motion: Motion, parameters: Parameters) -> list[_Judged] | Reason:
    """Return each axis that counts, judged; or why none can be."""
    if curve.applies_to == "microphone":
        if motion.airblast is None:
            return Reason("no-microphone", "the microphone was not recorded")
        return [_against(curve, "MicL", motion.airblast, [], motion.results, parameters)]
    axes = {axis.channel: axis for axis in motion.axes}
    wanted: Iterable[str] = AXES
    if curve.applies_to == "vertical":
        wanted = ("Vert",)
    elif curve.applies_to == "horizontal":
        wanted = HORIZONTAL
    missing = [name for name in wanted if name not in axes]
    if missing:
        return Reason("channel-missing", f"{' and '.join(missing)} was not recorded")
    if curve.applies_to == "vector_sum":
        if motion.pvs is None:
            return Reason("channel-missing", "the vector sum is not known")
        frequencies = [axes[name].frequency for name in AXES]
        return [_against(curve, "PVS", motion.pvs, frequencies, motion.results, parameters)]
    counted = [axes[name] for name in wanted]
    if curve.applies_to in ("largest_axis", "horizontal"):
        counted = _largest(counted)
    return [
        _against(curve, axis.channel, axis.ppv, [axis.frequency], motion.results, parameters)
        for axis in counted
    ]


def _largest(axes: list[AxisMotion]) -> list[AxisMotion]:
    """Return the axes that may have the largest peak; all of them where one is not known."""
    amounts = [_amount(axis.ppv) for axis in axes]
    if any(amount is None for amount in amounts):
        return axes
    top = max(amount.value for amount in amounts if amount is not None)
    return [
        axis
        for axis, amount in zip(axes, amounts, strict=True)
        if amount is not None and (amount.value >= top or amount.is_at_least)
    ]


class _Amount(NamedTuple):
    value: float
    """In the figure's own unit of measure."""
    is_at_least: bool


def _amount(figure: Figure) -> _Amount | None:
    """Return what a peak amounts to; ``None``: nothing is known of it."""
    if "scale_unknown" in figure.flags:
        return None
    is_partial = "incomplete" in figure.flags
    if figure.value is not None:
        return _Amount(abs(figure.value), figure.bound == ">" or is_partial)
    if figure.limit is not None and "over_range" in figure.flags:
        return _Amount(abs(figure.limit), True)
    return None


def _why_not(figure: Figure, what: str) -> Reason:
    """Return the reason of a peak or frequency that cannot be judged."""
    flags = figure.flags
    if "scale_unknown" in flags:
        return Reason("scale-unknown", f"the range of {what} is not known")
    if "rate_unknown" in flags:
        return Reason("rate-unknown", f"the sample rate is not known, so neither is {what}")
    if "scale_unconfirmed" in flags:
        return Reason(
            "scale-unconfirmed",
            f"the scale of {what} is the setup's; the event does not confirm it",
        )
    return Reason("not-available", f"{what} is not available")


def _against(
    curve: Curve,
    channel: str,
    peak: Figure,
    frequencies: list[Figure | None],
    results: Results,
    parameters: Parameters,
) -> _Judged:
    """Judge one peak, at one frequency or, of a vector sum, at the strictest of three."""

    def no(reason: Reason, **more: Any) -> _Judged:
        return _Judged(outcome="no_verdict", channel=channel, peak=peak, reason=reason, **more)

    if "scale_unconfirmed" in peak.flags:
        return no(_why_not(peak, channel))
    if curve.unit in SOUND_UNITS:
        amount = _amount(peak)
    else:
        amount = _amount(peak.in_unit(curve.compared_unit))
    if amount is None:
        return no(_why_not(peak, channel))
    chosen = _limits(curve, channel, frequencies, parameters)
    if isinstance(chosen, NoLimit):
        return no(Reason(*chosen))
    share = _share(curve, amount.value, chosen.permissive)
    facts: dict[str, Any] = {
        "share": share,
        "is_at_least": amount.is_at_least or chosen.is_range,
        "limit": chosen.permissive,
        "frequency": chosen.frequency,
        "statements": chosen.notes,
    }
    if not _complies(amount.value, chosen.permissive):
        return _Judged(outcome="exceeds", channel=channel, peak=peak, **facts)
    if amount.is_at_least:
        return no(_why_at_least(peak, channel), **facts)
    if not chosen.is_range:
        return _Judged(outcome="complies", channel=channel, peak=peak, **facts)
    # The frequency is not known. Peaks that the unit stores are whole; a wave that was cut is not.
    if results == "peaks" and chosen.is_covered and _complies(amount.value, chosen.strictest):
        facts |= {"share": _share(curve, amount.value, chosen.strictest), "is_at_least": False}
        facts |= {"limit": chosen.strictest}
        note = "Below the curve's strictest value, so at every frequency."
        return _Judged(
            outcome="complies",
            channel=channel,
            peak=peak,
            **(facts | {"statements": (note, *chosen.notes)}),
        )
    assert chosen.reason is not None
    return no(chosen.reason, **facts)


def _why_at_least(peak: Figure, channel: str) -> Reason:
    if "over_range" in peak.flags or peak.bound == ">":
        return Reason(
            "over-range", f"{channel} reached the end of its range, which is below the limit"
        )
    return Reason("incomplete", f"only the first samples of {channel} are there")


class _Limits(NamedTuple):
    """The limit of a peak; strictest and most permissive differ where the frequency is unknown."""

    strictest: float
    permissive: float
    frequency: Figure | None
    is_covered: bool = True
    reason: Reason | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_range(self) -> bool:
        """Whether the limit depends on a frequency that is not known."""
        return self.reason is not None


def _limits(
    curve: Curve, channel: str, frequencies: list[Figure | None], parameters: Parameters
) -> _Limits | NoLimit:
    """Return the limit at the frequencies of a peak, the strictest of several."""
    fixed = limit_at(curve, None, parameters)
    if isinstance(fixed, Limit):
        return _Limits(fixed.compared, fixed.compared, _only(frequencies), notes=fixed.notes)
    if fixed.code != "frequency-unknown":
        return fixed
    unknown = [each for each in frequencies if not _is_known(each)]
    if unknown or not frequencies:
        extremes = extremes_of(curve, parameters)
        if isinstance(extremes, NoLimit):
            return extremes
        return _Limits(
            extremes.strictest,
            extremes.most_permissive,
            None,
            extremes.is_covered,
            _why_no_frequency(channel, unknown[0] if unknown else None),
        )
    found: list[tuple[float, Figure, tuple[str, ...]]] = []
    for figure in frequencies:
        assert figure is not None
        assert figure.value is not None
        hz = min(max(figure.value, JUDGED_HZ[0]), JUDGED_HZ[1])
        limit = limit_at(curve, hz, parameters)
        if isinstance(limit, NoLimit):
            return limit
        found.append((limit.compared, figure, limit.notes))
    strictest, figure, notes = min(found, key=lambda one: one[0])
    if len(found) > 1:
        notes += ("The vector sum has no frequency: the strictest of the axes' limits counts.",)
    if figure.value is not None and figure.value < GEO_BAND_HZ[0]:
        notes += (
            f"{_hz(figure)} is below the geophones' band, {GEO_BAND_HZ[0]:g} to "
            f"{GEO_BAND_HZ[1]:g} Hz: the motion may have been larger.",
        )
    return _Limits(strictest, strictest, figure, notes=notes)


def _only(frequencies: list[Figure | None]) -> Figure | None:
    return frequencies[0] if len(frequencies) == 1 else None


def _is_known(frequency: Figure | None) -> bool:
    return (
        frequency is not None
        and frequency.value is not None
        and "scale_unconfirmed" not in frequency.flags
    )


def _why_no_frequency(channel: str, frequency: Figure | None) -> Reason:
    if frequency is None:
        return Reason(
            "frequency-unknown", f"the unit stores no frequency with the peak of {channel}"
        )
    if {"scale_unconfirmed", "scale_unknown", "rate_unknown"} & set(frequency.flags):
        return _why_not(frequency, f"the frequency of {channel}")
    return Reason(
        "frequency-not-available",
        f"the frequency of {channel} is N/A: the wave of its peak was not captured whole",
    )


def _hz(figure: Figure) -> str:
    return f"{figure.bound or ''}{figure.value:g} Hz"


def _complies(value: float, limit: float) -> bool:
    return value <= limit * (1 + ROUNDING)


def _share(curve: Curve, value: float, limit: float) -> float:
    """Return the part of a limit that a peak uses; of levels, the ratio of the pressures."""
    return 10 ** ((value - limit) / 20) if curve.unit in SOUND_UNITS else value / limit


def _worst(curve: Curve, results: Results, judged: list[_Judged]) -> Verdict:
    """Return the verdict of several axes: any that exceeds, then any without, then the closest."""
    exceeding = [one for one in judged if one.outcome == "exceeds"]
    without = [one for one in judged if one.outcome == "no_verdict"]
    outcome: Outcome = "exceeds" if exceeding else "no_verdict" if without else "complies"
    worst = max(exceeding or judged, key=_known_share)
    reason = max(without, key=_known_share).reason if outcome == "no_verdict" else None
    # What an axis without a verdict adds can only be more.
    is_at_least = worst.share is not None and (worst.is_at_least or bool(without))
    statements = worst.statements
    shape = curve.shape
    if exceeding and isinstance(shape, Constant) and shape.ceiling is not None:
        assert worst.peak is not None
        amount = _amount(worst.peak.in_unit(curve.compared_unit))
        if amount is not None and not amount.is_at_least:
            is_above = not _complies(amount.value, shape.ceiling)
            statements += (
                f"{'Above' if is_above else 'Not above'} {shape.ceiling:g} {curve.unit}, which "
                "no event may exceed.",
            )
    return Verdict(
        curve=curve.id,
        results=results,
        outcome=outcome,
        share=worst.share,
        bound=">" if is_at_least else None,
        channel=worst.channel,
        peak=worst.peak,
        frequency=worst.frequency,
        limit=worst.limit,
        unit=curve.compared_unit,
        reason=reason,
        statements=_statements(curve, statements, worst.peak),
    )


def _known_share(judged: _Judged) -> float:
    return -math.inf if judged.share is None else judged.share


def _statements(curve: Curve, own: tuple[str, ...], peak: Figure | None = None) -> tuple[str, ...]:
    found = list(own)
    if peak is not None and "differs_from_unit" in peak.flags:
        found.append("The peak differs by more than one count from the one that the unit stores.")
    prescribed = curve.prescribed
    if prescribed is not None and prescribed.never:
        found.append(
            f"The standard prescribes {prescribed.text}; this instrument records "
            f"{GEO_BAND_HZ[0]:g} to {GEO_BAND_HZ[1]:g} Hz and does not meet it."
        )
    elif prescribed is not None:
        found.append(
            f"The rule requires that {prescribed.text}; whether this instrument does is not known."
        )
    if curve.dispute is not None:
        found.append(f"Disputed: {curve.dispute}")
    return tuple(dict.fromkeys((*found, *curve.notes)))


def _people_verdict(curve: Curve, motion: Motion, parameters: Parameters) -> Verdict:
    """Return the verdict by KB_Fmax (DIN 4150-2); A_r needs a whole assessment period."""
    shape = curve.shape
    assert isinstance(shape, DayNight)
    known = limit_at(curve, None, parameters)
    base = Verdict(curve=curve.id, results=motion.results, outcome="no_verdict", unit=curve.unit)
    if isinstance(known, NoLimit) and known.code != "not-a-frequency-curve":
        return replace(base, reason=Reason(*known), statements=_statements(curve, ()))
    axes = {axis.channel: axis for axis in motion.axes}
    figures = {name: axes[name].kb_fmax for name in AXES if name in axes}
    values = {
        name: figure.value
        for name, figure in figures.items()
        if figure is not None
        and figure.value is not None
        and not {"scale_unconfirmed", "incomplete"} & set(figure.flags)
    }
    if len(values) < len(AXES):
        reason = Reason("not-available", "KB_Fmax of the three axes is not available")
        return replace(base, reason=reason, statements=_statements(curve, ()))
    three = shape.values_of(
        str(parameters[shape.key]), "night" if parameters["time"] == "night" else "day"
    )
    channel = max(values, key=lambda name: values[name])
    found = judge_people(values[channel], three)
    limit = three[0] if found.by == "A_u" else three[1]
    notes: tuple[str, ...] = (f"Judged by {found.by}.",)
    if found.within_uncertainty:
        notes += ("Above the value, within the 15 % for the uncertainty of measurement.",)
    outcome: Outcome = "no_verdict"
    if found.complies is not None:
        outcome = "complies" if found.complies else "exceeds"
    reason_or_none = None
    if outcome == "no_verdict":
        reason_or_none = Reason(
            "needs-assessment-period",
            f"KB_Fmax is between A_u {three[0]:g} and A_o {three[1]:g}: KB_FTr of the whole "
            "assessment period decides",
        )
    return replace(
        base,
        outcome=outcome,
        share=values[channel] / limit,
        channel=channel,
        peak=figures[channel],
        limit=limit,
        reason=reason_or_none,
        statements=_statements(curve, notes),
    )
