"""
The quantities of an event report, by two rules that are never mixed.

- ``vendor-1``: as Blastware 10.74 computes them, found by recomputing its exports, which have its
  results and every sample (docs/analysis.md): samples as recorded, whole samples between crossings.
- ``refined-1``: the offset of the quiet samples before the trigger removed, crossings interpolated.

Both give the same names: ``ppv``, ``zc_frequency``, ``time_of_peak``, ``peak_acceleration`` and
``peak_displacement`` of a geophone; ``peak_pressure``, ``level``, ``zc_frequency`` and
``time_of_peak`` of the microphone.

At the end of the range a sample may stand for a larger one. Clipping never enlarges a difference, a
sum of one sign or a vector sum, so that an amplitude computed from clipped samples is a lower limit
of the true one, and is given as such, never as a value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sfm.analysis.figures import Figure
from sfm.analysis.half_waves import HalfWaves, half_waves
from sfm.analysis.seismogram import GEOPHONES, Seismogram, Trace
from sfm.analysis.units_of_measure import factor, level_db

__all__ = [
    "MIN_QUIET_SAMPLES",
    "REFINED",
    "VENDOR",
    "Offset",
    "is_over_range",
    "offset_of",
    "refined_figures",
    "vector_sums",
    "vendor_figures",
]

VENDOR, REFINED = "vendor-1", "refined-1"
Values = NDArray[np.float64]

MAX_ZC_HZ, MIN_ZC_HZ = 100.0, 1.0
"""What the vendor's reports print as a number (manuals); beyond, only ``>100`` or ``<1``."""
MIN_QUIET_SAMPLES = 16
"""Fewer samples before the trigger do not show the offset to a fraction of a count."""
QUIET_COUNTS, QUIET_PART = 3.0, 0.25
"""Motion before the trigger that still counts as quiet: in counts, or as a part of the peak."""
OFFSET_MATTERS = 0.05
"""An offset matters where it changes a figure by more than this part, and more than its step."""


@dataclass(frozen=True, slots=True)
class Offset:
    """The mean of a channel's quiet samples before the trigger, in its unit of measure."""

    value: float | None
    """``None``: no quiet part was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    """A channel while it is computed: its samples after any correction, and what limits them."""

    values: Values
    trace: Trace
    is_over: bool
    rate_hz: float | None
    pretrigger: int | None
    shared_flags: tuple[str, ...]
    time_flags: tuple[str, ...]
    method: str

    def amplitude(
        self, value: float | None, unit: str, step: float | None, *flags: str, by_rate: bool = False
    ) -> Figure:
        """Return an amplitude, of which clipping or an unknown scale leaves no value."""
        flags = (*flags, *self.trace.flags, *self.shared_flags)
        if by_rate:
            flags += self.time_flags
        limit = None
        if not self.trace.is_scaled:
            value, flags = None, (*flags, "scale_unknown")
        if self.is_over:
            value, limit, flags = None, value, (*flags, "over_range")
        if value is None and limit is None:
            flags = (*flags, "not_available")
        return _figure(
            self.method, value, unit, step if self.trace.is_scaled else None, flags, limit
        )

    def time(self, value: float | None, unit: str, step: float | None, *flags: str) -> Figure:
        """Return a time or frequency, which does not depend on the scale."""
        flags = (*flags, *self.shared_flags, *self.time_flags)
        if self.is_over:
            flags = (*flags, "over_range")
        if value is None:
            flags = (*flags, "not_available")
        return _figure(self.method, value, unit, step, flags)

    @property
    def displacement_unit(self) -> str:
        return "in" if self.trace.unit == "in/s" else "mm"


def _figure(
    method: str,
    value: float | None,
    unit: str,
    step: float | None,
    flags: tuple[str, ...],
    limit: float | None = None,
) -> Figure:
    return Figure(
        value=value,
        unit=unit,
        bound=None if limit is None else ">",
        step=step,
        method=method,
        flags=tuple(dict.fromkeys(flags)),
        limit=limit,
    )


def offset_of(seismogram: Seismogram, name: str) -> Offset:
    """
    Return a channel's offset: the mean of its samples before the trigger, if those are quiet.

    They are not where the recording starts inside the event: then their mean would be motion.
    """
    values, before = seismogram.common(name), seismogram.pretrigger_samples
    if before is None or not MIN_QUIET_SAMPLES <= before <= len(values):
        return Offset(None)
    quiet = values[:before]
    mean = float(quiet.mean())
    largest = float(np.abs(values - mean).max())
    allowed = max(QUIET_COUNTS * (seismogram.traces[name].step or 0.0), QUIET_PART * largest)
    return Offset(mean if float(np.abs(quiet - mean).max()) <= allowed else None)


def is_over_range(seismogram: Seismogram, name: str) -> bool:
    """Whether a channel reached the end of its range, within half a count."""
    trace, values = seismogram.traces[name], seismogram.common(name)
    if trace.full_scale is None or not len(values):
        return False
    return bool(np.abs(values).max() >= trace.full_scale - (trace.step or 0.0) / 2)


def vendor_figures(seismogram: Seismogram, name: str, offset: Offset) -> dict[str, Figure]:
    """
    Return a channel's quantities as the vendor's program computes them.

    Where the offset, which that program leaves in, changes a figure visibly, it has the flag
    ``offset_limited``.
    """
    channel = _channel(seismogram, name, VENDOR, None)
    found = _figures(channel, is_refined=False)
    if not offset.value or not len(channel.values):
        return found
    without = _figures(replace(channel, values=channel.values - offset.value), is_refined=False)
    return {
        quantity: figure.with_flags("offset_limited")
        if quantity != "time_of_peak" and _differ(figure, without[quantity])
        else figure
        for quantity, figure in found.items()
    }


def refined_figures(seismogram: Seismogram, name: str, offset: Offset) -> dict[str, Figure]:
    """Return a channel's quantities without its offset, between interpolated crossings."""
    return _figures(_channel(seismogram, name, REFINED, offset), is_refined=True)


def vector_sums(
    seismogram: Seismogram, method: str, offsets: dict[str, Offset] | None
) -> tuple[Figure, Figure]:
    """
    Return the peak vector sum and its time: the largest over the samples, not over three peaks.

    Args:
        seismogram: of which all three geophones are needed.
        method: the name of the rule.
        offsets: by channel, to be removed; ``None``: none is.
    """
    present = [name for name in GEOPHONES if name in seismogram.traces]
    axes = [
        _channel(seismogram, name, method, None if offsets is None else offsets[name])
        for name in present
    ]
    unit = axes[0].trace.unit if axes else "mm/s"
    if len(axes) < len(GEOPHONES) or not all(len(axis.values) for axis in axes):
        missing = ("incomplete",) if axes and not seismogram.is_whole else ()
        nothing = (*missing, "not_available")
        return _figure(method, None, unit, None, nothing), _figure(method, None, "s", None, nothing)
    sums = np.sqrt(sum(np.square(axis.values * factor(axis.trace.unit, unit)) for axis in axes))
    steps = [
        None if axis.trace.step is None else axis.trace.step * factor(axis.trace.unit, unit)
        for axis in axes
    ]
    known = [step for step in steps if step is not None]
    flags = tuple(flag for axis in axes for flag in (*axis.trace.flags, *axis.shared_flags))
    # One axis over range, or without a scale, decides for the sum.
    all_axes = replace(
        axes[0],
        trace=replace(
            axes[0].trace, is_scaled=all(axis.trace.is_scaled for axis in axes), flags=flags
        ),
        is_over=any(axis.is_over for axis in axes),
    )
    largest = int(sums.argmax())
    pvs = all_axes.amplitude(float(sums[largest]), unit, max(known, default=None))
    if len({axis.trace.is_scaled for axis in axes}) > 1:
        # Counts of one axis and velocities of another: no instant is the largest.
        return pvs, all_axes.time(None, "s", None, "scale_unknown")
    return pvs, _time_of(all_axes, largest, float(sums[largest]))


def _channel(seismogram: Seismogram, name: str, method: str, offset: Offset | None) -> _Channel:
    values = seismogram.common(name)
    shared: tuple[str, ...] = () if seismogram.is_whole else ("incomplete",)
    if offset is not None:
        if offset.value is None:
            shared = (*shared, "offset_unknown")
        else:
            values = values - offset.value
    return _Channel(
        values=values,
        trace=seismogram.traces[name],
        is_over=is_over_range(seismogram, name),
        rate_hz=seismogram.rate_hz,
        pretrigger=seismogram.pretrigger_samples,
        shared_flags=shared,
        time_flags=seismogram.time_flags,
        method=method,
    )


def _figures(channel: _Channel, *, is_refined: bool) -> dict[str, Figure]:
    """Return a channel's quantities; each is not available where there is no sample."""
    trace, values = channel.trace, channel.values
    magnitudes = np.abs(values)
    at = int(magnitudes.argmax()) if len(values) else 0
    peak = float(magnitudes[at]) if len(values) else None
    is_pressure = trace.unit in ("Pa", "psi", "kPa", "mbar")
    dead_band = (trace.step or 0.0) / 2 if is_refined else None
    waves = half_waves(values, dead_band) if len(values) else None
    times = {
        "zc_frequency": _zc_frequency(channel, waves, at, peak),
        "time_of_peak": _time_of(channel, at, peak),
    }
    if is_pressure:
        return {
            "peak_pressure": channel.amplitude(peak, trace.unit, trace.step),
            "level": _level(channel, peak),
            **times,
        }
    return {
        "ppv": channel.amplitude(peak, trace.unit, trace.step),
        **times,
        "peak_acceleration": _peak_acceleration(channel),
        "peak_displacement": _peak_displacement(channel, waves),
    }


def _time_of(channel: _Channel, at: int, peak: float | None) -> Figure:
    """Return the time of a sample, relative to the trigger."""
    if channel.rate_hz is None:
        return channel.time(None, "s", None, "rate_unknown")
    if not peak:
        return channel.time(None, "s", 1 / channel.rate_hz)
    unknown = ("trigger_unknown",) if channel.pretrigger is None else ()
    seconds = (at - (channel.pretrigger or 0)) / channel.rate_hz
    return channel.time(seconds, "s", 1 / channel.rate_hz, *unknown)


def _level(channel: _Channel, peak: float | None) -> Figure:
    """Return the peak level in dB(L); its step is that of one count more."""
    to_pa, step = factor(channel.trace.unit, "Pa"), channel.trace.step
    level = None if not peak or not channel.trace.is_scaled else level_db(peak * to_pa)
    finer = None
    if level is not None and peak and step:
        finer = (level_db((peak + step) * to_pa) or level) - level
    return channel.amplitude(level, "dB(L)", finer)


def _zc_frequency(
    channel: _Channel, waves: HalfWaves | None, at: int, peak: float | None
) -> Figure:
    """Return the zero-crossing frequency of the half wave in which the peak lies."""
    rate = channel.rate_hz
    if rate is None:
        return channel.time(None, "Hz", None, "rate_unknown")
    if waves is None or not peak:
        return channel.time(None, "Hz", None)
    start, stop = waves.at(at)
    is_cut = waves.is_cut(start, stop)
    length = _length(waves, start, stop, is_cut=is_cut)
    frequency = rate / (2 * length)
    zeros = _zeros_decide(channel, waves, at, length)
    # A half wave longer than half a second is below 1 Hz, wherever its ends are.
    if frequency < MIN_ZC_HZ:
        figure = channel.time(MIN_ZC_HZ, "Hz", None, "below_1_hz", *zeros)
        return replace(figure, bound="<")
    if is_cut:
        return channel.time(None, "Hz", None, "cut")
    if frequency > MAX_ZC_HZ:
        return replace(channel.time(MAX_ZC_HZ, "Hz", None, "above_100_hz"), bound=">")
    if waves.dead_band is None:
        return channel.time(frequency, "Hz", frequency / (length + 1), *zeros)
    return channel.time(frequency, "Hz", _crossing_step(channel, start, stop, length, frequency))


def _length(waves: HalfWaves, start: int, stop: int, *, is_cut: bool) -> float:
    """Return the length of a half wave in samples: whole ones by the vendor's rule."""
    if waves.dead_band is None:
        # A 0 at the very beginning is the crossing, and no sample of the half wave.
        return stop - start - int(start == 0 and waves.values[0] == 0)
    if is_cut:
        return stop - start
    begin, end = waves.crossings(start, stop)
    return end - begin


def _zeros_decide(channel: _Channel, waves: HalfWaves, at: int, length: float) -> tuple[str, ...]:
    """Return a flag where samples of exactly 0 make up much of a half wave of the vendor's rule."""
    if waves.dead_band is not None:
        return ()
    start, stop = half_waves(channel.values, 0.0).at(at)
    return ("zeros_counted",) if length - (stop - start) > max(2, length / 4) else ()


def _crossing_step(
    channel: _Channel, start: int, stop: int, length: float, frequency: float
) -> float | None:
    """Return how far half a count at each crossing moves an interpolated frequency."""
    if channel.trace.step is None:
        return None
    last = len(channel.values) - 1
    pairs = [(max(0, at - 1), min(max(1, at), last)) for at in (start, stop)]
    slopes = [abs(channel.values[after] - channel.values[before]) for before, after in pairs]
    half = channel.trace.step / 2
    moved = sum(half / slope if slope > half else 1.0 for slope in slopes)
    return float(frequency * moved / length)


def _peak_acceleration(channel: _Channel) -> Figure:
    """
    Return the largest difference of two neighbouring samples, as acceleration in g.

    A central difference would be up to 11 % lower, and not what the vendor prints.
    """
    rate, values = channel.rate_hz, channel.values
    if rate is None:
        return channel.amplitude(None, "g", None, "rate_unknown", by_rate=True)
    to_g = factor(channel.trace.unit, "mm/s") * rate * factor("mm/s2", "g")
    step = channel.trace.step
    largest = float(np.abs(np.diff(values)).max()) * to_g if len(values) > 1 else None
    return channel.amplitude(largest, "g", None if step is None else step * to_g, by_rate=True)


def _peak_displacement(channel: _Channel, waves: HalfWaves | None) -> Figure:
    """
    Return the largest half-wave area, halved: the swing around the middle of the motion.

    The first and the last half wave are left out, for they may have begun before the samples or
    end after them. Where one of those is the largest, the figure is flagged as cut.
    """
    unit, rate, trace = channel.displacement_unit, channel.rate_hz, channel.trace
    if rate is None:
        return channel.amplitude(None, unit, None, "rate_unknown", by_rate=True)
    to_unit = factor(trace.unit, "mm/s") * factor("mm", unit) / rate / 2
    step = None if trace.step is None else trace.step * to_unit
    if waves is None:
        return channel.amplitude(None, unit, step, by_rate=True)
    if not channel.values.any():
        return channel.amplitude(0.0, unit, step, by_rate=True)
    areas = np.abs(np.add.reduceat(channel.values, waves.starts))
    ends = float(max(areas[0], areas[-1]))
    if len(areas) < 3:
        return channel.amplitude(None, unit, step, "cut", by_rate=True)
    areas = areas[1:-1]
    if waves.dead_band is not None:
        areas = areas + _area_corrections(channel.values, waves.starts)
    largest = float(areas.max())
    cut = ("cut",) if ends > largest else ()
    return channel.amplitude(largest * to_unit, unit, step, *cut, by_rate=True)


def _area_corrections(values: Values, starts: NDArray[np.intp]) -> Values:
    """
    Return what the plain sum of each inner half wave lacks of the area under its lines.

    The sum counts half of each end sample beyond the trapezium, but nothing of the triangle up to
    the crossing: with the crossing a part ``p`` before the first sample ``v`` that is
    ``v p / 2 - v / 2``.
    """
    inner = starts[1:]
    first, before = values[inner], values[inner - 1]
    part = np.clip(first / (first - before), 0.0, 1.0)
    at_start = np.abs(first) * (part - 1) / 2
    at_end = np.abs(before) * ((1 - part) - 1) / 2
    return np.asarray(at_start[:-1] + at_end[1:])


def _differ(figure: Figure, other: Figure) -> bool:
    """Whether two figures of one quantity differ by more than their step, and visibly."""
    mine, its = (f.limit if f.value is None else f.value for f in (figure, other))
    if mine is None or its is None:
        return (mine is None) != (its is None)
    allowed = max(figure.step or 0.0, OFFSET_MATTERS * max(abs(mine), abs(its)))
    return abs(mine - its) > allowed or figure.bound != other.bound
