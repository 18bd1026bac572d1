"""From a waveform's payload to its analysis: what is computed of an event of a unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from minimateplus.conversions import FULL_SCALE_COUNTS
from minimateplus.model import CHANNELS
from sfm.analysis import Analysis, Figure, Seismogram, Trace, analyse
from sfm.analysis.seismogram import MICROPHONE
from sfm.analysis.spectra import DOMINANT_HZ, amplitude_spectrum
from sfm.analysis.units_of_measure import System, factor, unit_in
from sfm.records.payloads import (
    NEVER_SET_BEFORE_YEAR,
    OVER_RANGE,
    SCALE_CODES,
    SCALE_UNCONFIRMED,
    Payload,
    counts_of,
    peak_bounds,
    scales_of,
)

__all__ = ["analyse_payload", "analysis_payload", "seismogram_of", "spectra_payload"]

UNIT = "unit"
"""The method of what the unit itself computed."""
_PEAKS = {"Tran": "tran_in_s", "Vert": "vert_in_s", "Long": "long_in_s"}


def analysis_payload(payload: Mapping[str, Any]) -> Payload:
    """Return the analysis of a waveform's payload as plain values (``Analysis.payload``)."""
    return analyse_payload(payload).payload()


SPECTRUM_DIGITS = 5
"""Significant digits of an amplitude: more than the converter has."""


def spectra_payload(payload: Mapping[str, Any], units: System | None = None) -> Payload:
    """
    Return the Fourier amplitudes of each channel, from 0 Hz to the end of the instrument's band.

    They are those of the samples as recorded, offset included, of which the analysis gives the
    dominant one. Without a sample rate there are none.

    Args:
        payload: of a waveform.
        units: units of measure; the recording's own if not given.
    """
    seismogram = seismogram_of(payload)
    rate, samples = seismogram.rate_hz, seismogram.samples
    channels: dict[str, Payload] = {}
    for name, trace in seismogram.traces.items():
        values = seismogram.common(name)
        if rate is None or not len(values):
            continue
        spectrum = amplitude_spectrum(values, rate)
        unit, scale = trace.unit, 1.0
        if not trace.is_scaled:
            unit = "counts"
        elif units is not None:
            unit = unit_in(units, trace.unit)
            scale = factor(trace.unit, unit)
        shown = spectrum.amplitudes[spectrum.frequencies_hz <= DOMINANT_HZ[1]] * scale
        amplitudes = [float(f"{value:.{SPECTRUM_DIGITS}g}") for value in shown]
        channels[name] = {"unit": unit, "amplitudes": amplitudes, "flags": list(trace.flags)}
    return {
        "samples": samples,
        "sample_rate_hz": rate,
        "resolution_hz": rate / samples if rate is not None and samples else None,
        "channels": channels,
    }


def analyse_payload(payload: Mapping[str, Any]) -> Analysis:
    """
    Return the analysis of a waveform's payload.

    Its notes also tell why the payload is incomplete or contradicts itself, and that the unit's
    clock was never set.
    """
    found = analyse(seismogram_of(payload))
    return replace(found, notes=(*found.notes, *_notes(payload)))


def seismogram_of(payload: Mapping[str, Any]) -> Seismogram:
    """
    Return the valid samples of a waveform's payload in physical units, with the unit's own peaks.

    A channel whose range is unknown has counts. A scale that only the setup proposes is flagged on
    everything that is computed with it.
    """
    counts, scales = counts_of(payload), scales_of(payload)
    bounds = peak_bounds(payload["peaks"], payload["geo_range_in_s"])
    traces = {}
    for row, name in enumerate(CHANNELS):
        unit, scale = scales[name]
        is_proposed = name != MICROPHONE and payload["geo_range_source"] == "setup"
        mine = counts[row, : payload["valid_samples"][row]].astype(np.float64)
        traces[name] = Trace(
            values=mine if scale is None else mine * scale,
            unit=unit,
            step=scale,
            full_scale=FULL_SCALE_COUNTS * (1.0 if scale is None else scale),
            is_scaled=scale is not None,
            flags=(SCALE_UNCONFIRMED,) if is_proposed else (),
            reported=_reported(name, payload["peaks"], bounds),
        )
    sums = _own("vector_sum_in_s", "in/s", payload["peaks"], bounds)
    is_partial = any(reason["code"] not in SCALE_CODES for reason in payload["reasons"])
    return Seismogram(
        traces=traces,
        rate_hz=payload["sample_rate_hz"],
        pretrigger_samples=payload["pretrigger_samples"],
        # The announcement alone proves nothing: it has 16 bits, and long events have more samples.
        recorded_samples=max(payload["samples"], payload["announced_samples"] or 0)
        if is_partial
        else None,
        time_flags=(SCALE_UNCONFIRMED,) if payload["sample_rate_source"] == "setup" else (),
        reported={} if sums is None else {"pvs": sums},
    )


def _reported(
    name: str, peaks: Mapping[str, Any], bounds: Mapping[str, str | None]
) -> dict[str, Figure]:
    """Return what the unit itself computed of a channel."""
    if name == MICROPHONE:
        found = {
            "peak_pressure": _own("mic_psi", "psi", peaks, bounds),
            "level": _own("mic_db", "dB(L)", peaks, bounds),
        }
    else:
        found = {"ppv": _own(_PEAKS[name], "in/s", peaks, bounds)}
    return {quantity: figure for quantity, figure in found.items() if figure is not None}


def _own(
    field: str, unit: str, peaks: Mapping[str, Any], bounds: Mapping[str, str | None]
) -> Figure | None:
    value = peaks[field]
    if value is None:
        return None
    if bounds[field] is None:
        return Figure(value=value, unit=unit, method=UNIT)
    return Figure(value=None, unit=unit, bound=">", limit=value, method=UNIT, flags=(OVER_RANGE,))


def _notes(payload: Mapping[str, Any]) -> Iterator[str]:
    for reason in payload["reasons"]:
        detail = reason["detail"]
        yield f"{detail[:1].upper()}{detail[1:]}."
    at = payload["timestamp"]
    if at is None:
        yield "The unit gave no time for this event."
    elif datetime.fromisoformat(at).year < NEVER_SET_BEFORE_YEAR:
        yield f"The unit's clock was never set: it showed {at.replace('T', ' ')}."
