"""
The analysis of one event: every default quantity of every channel, by each rule.

``VERSION`` rises with every change that changes a result; what was stored under an older one is
computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sfm.analysis.figures import Figure
from sfm.analysis.filters import Spectrum, derivative
from sfm.analysis.human_vibration import kb, kb_f, mtvv, rms, vdv, weighting
from sfm.analysis.quantities import (
    REFINED,
    VENDOR,
    Offset,
    is_over_range,
    offset_of,
    refined_figures,
    vector_sums,
    vendor_figures,
)
from sfm.analysis.seismogram import GEOPHONES, MICROPHONE, Seismogram
from sfm.analysis.sound import MIN_A_RATE_HZ, max_level_a, peak_level_c
from sfm.analysis.spectra import amplitude_spectrum
from sfm.analysis.units_of_measure import System, factor

__all__ = ["BAND_NOTE", "VERSION", "Analysis", "analyse"]

VERSION = 1
"""Of all methods together."""

Figures = Mapping[str, Figure]
FFT, KB, BODY, SOUND = "fft-1", "din45669-1 1-80 Hz", "iso8041-1 {}", "iec61672-1 {}"
AXIS_WEIGHTINGS = {"Tran": "Wd", "Vert": "Wb", "Long": "Wd"}
"""As BS 6472-1 has them for people in buildings: along the spine W_b, across it W_d."""
BAND_NOTE = (
    "The instrument records 2 to 250 Hz. DIN 45669-1 and ISO 8041-1 begin below that, so that KB "
    "values and weighted accelerations are estimates."
)
"""A note on every event with a geophone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Results of one event."""

    channels: Mapping[str, Mapping[str, Figures]]
    """
    By channel, then by set: ``vendor``, ``refined``, ``reported`` (by the unit or the vendor's
    program), ``offset``, ``spectrum``, ``weighted``.
    """
    pvs: Figures
    """The peak vector sum by set: ``vendor``, ``refined``, ``reported`` where it is known."""
    pvs_time: Figures
    samples: int
    """Analysed in each channel."""
    recorded_samples: int | None
    rate_hz: float | None
    notes: tuple[str, ...]
    """Sentences for a person about the results as a whole."""
    version: int = VERSION

    @property
    def flags(self) -> tuple[str, ...]:
        """Every flag of a vendor or refined figure, once, sorted; reasons to look closer."""
        return tuple(sorted({flag for figure in self._compared() for flag in figure.flags}))

    def _compared(self) -> Iterator[Figure]:
        for sets in self.channels.values():
            for name in ("vendor", "refined"):
                yield from sets[name].values()
        yield from self.pvs.values()

    def in_system(self, system: System) -> Analysis:
        """Return the same results in the units of measure of a system."""
        return replace(
            self,
            channels={
                channel: {name: _in(figures, system) for name, figures in sets.items()}
                for channel, sets in self.channels.items()
            },
            pvs=_in(self.pvs, system),
            pvs_time=_in(self.pvs_time, system),
        )

    def payload(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "version": self.version,
            "samples": self.samples,
            "recorded_samples": self.recorded_samples,
            "sample_rate_hz": self.rate_hz,
            "channels": {
                channel: {name: _payload(figures) for name, figures in sets.items()}
                for channel, sets in self.channels.items()
            },
            "pvs": _payload(self.pvs),
            "pvs_time": _payload(self.pvs_time),
            "flags": list(self.flags),
            "notes": list(self.notes),
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Analysis:
        """Return the results of a JSON form."""
        return cls(
            channels={
                channel: {name: _figures(figures) for name, figures in sets.items()}
                for channel, sets in payload["channels"].items()
            },
            pvs=_figures(payload["pvs"]),
            pvs_time=_figures(payload["pvs_time"]),
            samples=payload["samples"],
            recorded_samples=payload["recorded_samples"],
            rate_hz=payload["sample_rate_hz"],
            notes=tuple(payload["notes"]),
            version=payload["version"],
        )


def _in(figures: Figures, system: System) -> dict[str, Figure]:
    return {name: figure.in_system(system) for name, figure in figures.items()}


def _payload(figures: Figures) -> dict[str, Any]:
    return {name: figure.payload() for name, figure in figures.items()}


def _figures(payload: Mapping[str, Any]) -> dict[str, Figure]:
    return {name: Figure.from_payload(one) for name, one in payload.items()}


def analyse(seismogram: Seismogram) -> Analysis:
    """Return the default quantities of an event, each by every rule that defines it."""
    offsets = {name: offset_of(seismogram, name) for name in seismogram.traces}
    channels: dict[str, dict[str, Figures]] = {}
    for name, trace in seismogram.traces.items():
        channels[name] = {
            "vendor": _compared_with(
                vendor_figures(seismogram, name, offsets[name]), trace.reported, trace.step
            ),
            "refined": refined_figures(seismogram, name, offsets[name]),
            "reported": dict(trace.reported),
            "offset": _offset_figures(seismogram, name, offsets[name]),
        }
    further = _further(seismogram, offsets)
    for name, sets in further.items():
        channels[name].update(sets)
    pvs, time = vector_sums(seismogram, VENDOR, None)
    refined_pvs, refined_time = vector_sums(seismogram, REFINED, offsets)
    reported = seismogram.reported
    sums = {
        "vendor": _compared_with({"pvs": pvs}, reported, pvs.step)["pvs"],
        "refined": refined_pvs,
    }
    times = {"vendor": time, "refined": refined_time}
    for found, name in ((sums, "pvs"), (times, "pvs_time")):
        if name in reported:
            found["reported"] = reported[name]
    return Analysis(
        channels=channels,
        pvs=sums,
        pvs_time=times,
        samples=seismogram.samples,
        recorded_samples=seismogram.recorded_samples,
        rate_hz=seismogram.rate_hz,
        notes=tuple(_notes(seismogram)),
    )


COMPARED = ("ppv", "pvs", "peak_pressure")
"""What a unit stores with an event."""


def _compared_with(figures: Figures, reported: Figures, step: float | None) -> dict[str, Figure]:
    """Return figures, flagged where a peak is more than one count from the reported one."""
    found = dict(figures)
    for name in COMPARED:
        if name not in found or name not in reported or step is None:
            continue
        mine, theirs = found[name], reported[name].in_unit(found[name].unit)
        value = mine.limit if mine.value is None else mine.value
        other = theirs.limit if theirs.value is None else theirs.value
        # What is printed is rounded; half of its last digit is no difference.
        allowed = step * (1 + 1e-6) + (theirs.step or 0.0) / 2
        if value is not None and other is not None and abs(value - other) > allowed:
            found[name] = mine.with_flags("differs_from_unit")
    return found


def _offset_figures(seismogram: Seismogram, name: str, offset: Offset) -> Figures:
    trace = seismogram.traces[name]
    flags = trace.flags if trace.is_scaled else (*trace.flags, "scale_unknown")
    value = offset.value if trace.is_scaled else None
    if offset.value is None:
        flags = (*flags, "offset_unknown")
    if value is None:
        flags = (*flags, "not_available")
    before = seismogram.pretrigger_samples
    # The mean of n samples resolves a count by the square root of n.
    step = trace.step / before**0.5 if trace.step and before else None
    return {"offset": Figure(value=value, unit=trace.unit, step=step, method=REFINED, flags=flags)}


def _further(
    seismogram: Seismogram, offsets: Mapping[str, Offset]
) -> dict[str, dict[str, Figures]]:
    """Return ``spectrum`` and ``weighted`` of each channel; nothing without rate or samples."""
    rate = seismogram.rate_hz
    names = [name for name in seismogram.traces if len(seismogram.common(name))]
    if rate is None or not names:
        return {}
    # A step at the first sample would ring through every filter: where no quiet part shows the
    # offset, the mean of the record is what is removed.
    still = {}
    for name in names:
        values, offset = seismogram.common(name), offsets[name].value
        still[name] = values - (values.mean() if offset is None else offset)
    found = {name: _spectrum(seismogram, name, rate) for name in names}
    geophones = [name for name in names if name in GEOPHONES and seismogram.traces[name].is_scaled]
    if geophones:
        mm_s = np.stack(
            [still[name] * factor(seismogram.traces[name].unit, "mm/s") for name in geophones]
        )
        for name, figures in _weighted(seismogram, geophones, Spectrum(mm_s, rate)).items():
            found[name]["weighted"] = figures
    if MICROPHONE in names and seismogram.traces[MICROPHONE].is_scaled:
        to_pa = factor(seismogram.traces[MICROPHONE].unit, "Pa")
        levels = _sound(seismogram, Spectrum(still[MICROPHONE] * to_pa, rate))
        found[MICROPHONE]["weighted"] = levels
    return found


def _spectrum(seismogram: Seismogram, name: str, rate: float) -> dict[str, Figures]:
    trace = seismogram.traces[name]
    spectrum = amplitude_spectrum(seismogram.common(name), rate)
    dominant = spectrum.dominant()
    shared = _shared(seismogram, name)
    if dominant is None:
        shared = (*shared, "not_available")
    frequency, amplitude = dominant or (None, None)
    scale = () if trace.is_scaled else ("scale_unknown", "not_available")
    return {
        "spectrum": {
            "dominant_frequency": Figure(
                value=frequency,
                unit="Hz",
                step=spectrum.resolution_hz,
                method=FFT,
                flags=tuple(dict.fromkeys(shared)),
            ),
            "dominant_amplitude": Figure(
                value=amplitude if trace.is_scaled else None,
                unit=trace.unit,
                method=FFT,
                flags=tuple(dict.fromkeys((*shared, *scale))),
            ),
        }
    }


def _weighted(
    seismogram: Seismogram, names: list[str], mm_s: Spectrum
) -> dict[str, dict[str, Figure]]:
    rate = mm_s.rate_hz
    kb_fmax = kb_f(kb(mm_s), rate).max(axis=-1)
    found: dict[str, dict[str, Figure]] = {}
    for weight in ("Wb", "Wd"):
        rows = [row for row, name in enumerate(names) if AXIS_WEIGHTINGS[name] == weight]
        if not rows:
            continue
        m_s2 = mm_s.rows(rows).filtered(derivative, *weighting(weight)) / 1000
        method = BODY.format(weight)
        values = zip(rows, rms(m_s2), vdv(m_s2, rate), mtvv(m_s2, rate), strict=True)
        for row, a_rms, dose, transient in values:
            flags = _estimated(seismogram, names[row])
            found[names[row]] = {
                "kb_fmax": _estimate(float(kb_fmax[row]), "1", KB, flags),
                "rms": _estimate(float(a_rms), "m/s2", method, flags),
                "vdv": _estimate(float(dose), "m/s1.75", method, flags),
                "mtvv": _estimate(float(transient), "m/s2", method, flags),
            }
    return found


def _sound(seismogram: Seismogram, pressure: Spectrum) -> dict[str, Figure]:
    flags = _estimated(seismogram, MICROPHONE)
    level_a = max_level_a(pressure) if pressure.rate_hz >= MIN_A_RATE_HZ else None
    return {
        "peak_level_c": _estimate(peak_level_c(pressure), "dB(C)", SOUND.format("C peak"), flags),
        "max_level_a": _estimate(level_a, "dB(A)", SOUND.format("A FAST"), flags),
    }


def _estimate(value: float | None, unit: str, method: str, flags: tuple[str, ...]) -> Figure:
    """Return an estimate; over range it is a lower limit in practice, not by proof: no value."""
    if value is None or "over_range" in flags:
        value, flags = None, (*flags, "not_available")
    return Figure(value=value, unit=unit, method=method, flags=tuple(dict.fromkeys(flags)))


def _estimated(seismogram: Seismogram, name: str) -> tuple[str, ...]:
    return ("estimate", *_shared(seismogram, name))


def _shared(seismogram: Seismogram, name: str) -> tuple[str, ...]:
    """Return the flags of all that is computed from a channel's samples and times."""
    flags = (*seismogram.traces[name].flags, *seismogram.time_flags)
    if not seismogram.is_whole:
        flags = (*flags, "incomplete")
    return (*flags, "over_range") if is_over_range(seismogram, name) else flags


def _notes(seismogram: Seismogram) -> Iterator[str]:
    if not seismogram.is_whole:
        of = seismogram.recorded_samples
        longest = max((len(trace.values) for trace in seismogram.traces.values()), default=0)
        yield (
            f"Computed from the first {seismogram.samples} of "
            f"{longest if of is None else max(of, longest)} samples."
        )
    if seismogram.rate_hz is None:
        yield "The sample rate is not known: there are no times, frequencies or accelerations."
    missing = [name for name in GEOPHONES if name not in seismogram.traces]
    if missing:
        yield f"Not recorded: {', '.join(missing)}. There is no vector sum."
    if any(name in seismogram.traces for name in GEOPHONES):
        yield BAND_NOTE
