"""From a file's header and table to a seismogram."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm.analysis import Figure, Seismogram, Trace
from sfm.analysis.seismogram import GEOPHONES, MICROPHONE
from sfm.analysis.units_of_measure import convert, factor, level_db, quantity_of
from sfm.exports.readers.errors import UnreadableFileError
from sfm.exports.readers.table import Column, Table, find_table, step_of
from sfm.exports.readers.text import (
    Quantity,
    decode,
    parse_quantity,
    parse_rate_hz,
    parse_seconds,
    unit_of,
)

__all__ = ["ReadFile", "read_file"]

Header = Mapping[str, str]

_KEY = re.compile(r"[^0-9a-z]")
_QUOTED = re.compile(r'^"([^"]*)"\s*([,;\t]?)\s*(.*)$')
_SEPARATOR = re.compile(r" : |[:,;\t]")
_MIC_PREFIXES = ("mic", "micl", "mic1", "microphone")
_OF_GEOPHONE = {
    "ppv": "ppv",
    "zcfreq": "zc_frequency",
    "timeofpeak": "time_of_peak",
    "peakacceleration": "peak_acceleration",
    "peakdisplacement": "peak_displacement",
}
_OF_MICROPHONE = {"zcfreq": "zc_frequency", "timeofpeak": "time_of_peak"}
_UNITS_OF = {
    "ppv": "velocity",
    "zc_frequency": "frequency",
    "time_of_peak": "time",
    "peak_acceleration": "acceleration",
    "peak_displacement": "displacement",
    "pvs": "velocity",
    "pvs_time": "time",
}
_BEFORE = ("pretriggerlength", "pretrigger", "pretriggertime")
_RECORD = ("recordtime", "recordlength")
_OF_HISTOGRAM = ("numberofintervals", "intervalsize", "histograminterval", "histogramstarttime")
"""What the header of a histogram has, and no other."""
_AT_RATE = re.compile(r"\bat\s+([\d,. ]+)\s*(?:sps|hz|samples)", re.IGNORECASE)
"""As in ``Record Time : 3.0 sec at 1024 sps``."""
MAX_HEADER_LINES = 500
MAX_COUNT = 32767
MAX_SAMPLES = 1 << 20
"""More than any event of the instrument has."""
_PSPL_FITS_DB = 0.3
"""How near a microphone's largest sample must be to the printed level to show its unit."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadFile:
    """What a file contains."""

    seismogram: Seismogram
    header: Header
    """Each named value as it stands in the file, by its name without blanks and in lower case."""
    assumptions: tuple[str, ...]
    """What the file does not state and was concluded, as sentences for a person."""
    counts: NDArray[np.int16] | None = None
    """
    Of a CSV of ours: Tran, Vert, Long, MicL, shape (4, n), 0 where the cell is empty; ``None``: the
    file has no counts. Their bytes are what its ``countshash`` is the BLAKE2b-256 of.
    """

    def text(self, *names: str) -> str | None:
        """Return the first of these header values that is not empty."""
        return next((value for name in names if (value := self.header.get(name))), None)


def read_file(data: bytes) -> ReadFile:
    """
    Return the samples and the header of an export.

    Raises:
        UnreadableFileError: it has no samples, or they are not numbers; the message tells where.
    """
    lines = decode(data).splitlines()
    try:
        table = find_table(lines)
    except UnreadableFileError:
        # Its table may have other titles than that of a waveform.
        _refuse_histogram(_header(lines[:MAX_HEADER_LINES]))
        raise
    header = _header(lines[: table.line])
    _refuse_histogram(header)
    assumptions: list[str] = []
    rate, before = _times(table, header, assumptions)
    traces = {
        name: _trace(table.columns[name], header, assumptions)
        for name in (*GEOPHONES, MICROPHONE)
        if name in table.columns
    }
    unit = next((trace.unit for name, trace in traces.items() if name != MICROPHONE), "mm/s")
    sums = {
        "pvs": _reported(header, "peakvectorsum", "pvs", unit),
        "pvs_time": _reported(header, "peakvectorsumtime", "pvs_time", unit),
    }
    seismogram = Seismogram(
        traces=traces,
        rate_hz=rate,
        pretrigger_samples=before,
        recorded_samples=_recorded_samples(table, header, rate),
        reported={name: figure for name, figure in sums.items() if figure is not None},
    )
    return ReadFile(seismogram, header, tuple(assumptions), _counts(table, header))


def _refuse_histogram(header: Header) -> None:
    kind = header.get("eventtype", "").casefold()
    is_histogram = "histogram" in kind and "waveform" not in kind
    if is_histogram or (not kind and any(name in header for name in _OF_HISTOGRAM)):
        shown = header.get("eventtype", "histogram")
        raise UnreadableFileError(
            f"Event type {shown!r}: a histogram has peaks of intervals, no samples. Export a "
            "waveform event."
        )


def _counts(table: Table, header: Header) -> NDArray[np.int16] | None:
    """
    Return the columns of counts.

    Raises:
        UnreadableFileError: a cell is no count.
    """
    columns = [table.columns.get(f"{name} counts") for name in (*GEOPHONES, MICROPHONE)]
    rows = [column.values for column in columns if column is not None]
    if len(rows) < len(columns):
        return None
    # The last samples may be valid in no channel, so that their lines are empty.
    samples = int(min(_number(header, "samples") or 0, MAX_SAMPLES))
    found = np.zeros((len(rows), max(samples, *map(len, rows))), dtype="<i2")
    for row, values in zip(found, rows, strict=True):
        if not ((values == np.round(values)) & (np.abs(values) <= MAX_COUNT)).all():
            raise UnreadableFileError("A column of counts has what is no count of a converter.")
        row[: len(values)] = values
    return found


def _header(lines: Sequence[str]) -> dict[str, str]:
    """Return the named values above the table; of a name that stands twice, the first one."""
    found: dict[str, str] = {}
    for line in lines:
        pair = _pair(line.strip().lstrip("#").strip())
        if pair is not None:
            name = _KEY.sub("", pair[0].casefold())
            found.setdefault(name, pair[1].strip())
    return found


def _pair(line: str) -> tuple[str, str] | None:
    """Return name and value of a line: ``"Name : Value"``, ``"Name","Value"``, ``Name: Value``."""
    quoted = _QUOTED.match(line)
    if quoted is not None:
        name, separator, rest = quoted.groups()
        return (name, rest.strip('"')) if separator else _pair(name)
    # The first sign that separates is the one; a value may contain the others.
    found = _SEPARATOR.search(line)
    return None if found is None else (line[: found.start()], line[found.end() :].strip('"'))


def _times(table: Table, header: Header, assumptions: list[str]) -> tuple[float | None, int | None]:
    """Return the sample rate in Hz and the samples before the trigger, as far as known."""
    samples = max(len(column.values) for column in table.columns.values())
    rate = _rate_hz(header)
    before_s = _seconds(header, *_BEFORE)
    record_s = _seconds(header, *_RECORD)
    column = table.columns.get("time")
    if column is not None and len(column.values) > 1:
        span = float(column.values[-1] - column.values[0])
        if rate is None and span > 0:
            rate = _whole((len(column.values) - 1) / span)
            assumptions.append(f"Sample rate {rate:g} Hz, from the times in the first column.")
        if before_s is None:
            before_s = float(column.values[0])
    if rate is None and record_s is not None and before_s is not None:
        rate = _whole(samples / (record_s + abs(before_s)))
        assumptions.append(f"Sample rate {rate:g} Hz, from record time and number of samples.")
    if rate is not None and not 0 < rate < float("inf"):
        raise UnreadableFileError(f"A sample rate of {rate:g} Hz is impossible.")
    if rate is None or before_s is None:
        return rate, None
    return rate, round(abs(before_s) * rate)


def _rate_hz(header: Header) -> float | None:
    names = ("samplerate", "samplespersecond", "samplingrate", "samplefrequency")
    for name in names:
        rate = parse_rate_hz(header.get(name, ""))
        if rate is not None:
            return rate
    stated = _AT_RATE.search(header.get("recordtime", ""))
    return None if stated is None else parse_rate_hz(stated.group(1).strip())


def _seconds(header: Header, *names: str) -> float | None:
    for name in names:
        found = parse_seconds(header.get(name, ""))
        if found is not None:
            return found
    return None


def _whole(rate: float) -> float:
    """Return a rate as the whole number that it is within the precision of printed times."""
    return float(round(rate)) if abs(rate - round(rate)) <= 0.01 * rate else rate


def _recorded_samples(table: Table, header: Header, rate: float | None) -> int | None:
    """Return how many samples the header promises, where those in the file are fewer."""
    record_s, before_s = _seconds(header, *_RECORD), _seconds(header, *_BEFORE)
    if rate is None or record_s is None or before_s is None:
        return None
    promised = round((record_s + abs(before_s)) * rate)
    samples = max(len(column.values) for column in table.columns.values())
    # Printed to 1 ms, or to 0.1 s: less than that is no missing sample.
    text = header.get("recordtime", header.get("recordlength", ""))
    printed = parse_quantity(text)
    precision = 2 + rate * (printed.step if printed is not None else 0.0) / 2
    return promised if promised - samples > precision else None


def _number(header: Header, *names: str) -> float | None:
    for name in names:
        found = parse_quantity(header.get(name, ""))
        if found is not None:
            return found.value
    return None


def _trace(column: Column, header: Header, assumptions: list[str]) -> Trace:
    if column.name == MICROPHONE:
        return _microphone(column, header, assumptions)
    unit = column.unit or _header_unit(header, "velocity")
    if unit is None:
        printed = parse_quantity(header.get(f"{column.name.casefold()}ppv", ""))
        unit = printed.unit if printed is not None else None
        if unit is not None:
            assumptions.append(f"{column.name} in {unit}, from the printed PPV.")
    if unit is None or quantity_of(unit) != "velocity":
        assumptions.append(f"{column.name}: the file states no unit of velocity.")
        return _without_scale(column.values, "mm/s", _results(column, header, "mm/s"))
    printed = parse_quantity(header.get("georange", ""))
    full_scale = None
    if printed is not None and quantity_of(printed.unit or unit) == "velocity":
        full_scale = convert(printed.value, printed.unit or unit, unit)
    return Trace(
        values=column.values,
        unit=unit,
        step=step_of(column),
        full_scale=full_scale,
        reported=_results(column, header, unit),
    )


def _results(column: Column, header: Header, unit: str) -> dict[str, Figure]:
    """Return a geophone's results in the header, by quantity."""
    found = {
        name: _reported(header, f"{column.name.casefold()}{key}", name, unit)
        for key, name in _OF_GEOPHONE.items()
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _without_scale(values: NDArray[np.float64], unit: str, reported: Mapping[str, Figure]) -> Trace:
    return Trace(values=values, unit=unit, step=None, is_scaled=False, reported=reported)


def _microphone(column: Column, header: Header, assumptions: list[str]) -> Trace:
    """Return the microphone's trace; samples that are levels become pressures in Pa."""
    printed = _microphone_peak(header)
    unit = column.unit or _header_unit(header, "pressure") or _header_unit(header, "level")
    if unit is None and printed is not None:
        unit = _unit_by_level(column, printed)
        if unit is not None:
            assumptions.append(f"{column.name} in {unit}, which fits the printed level.")
    reported = _microphone_results(header, printed)
    if unit is None:
        assumptions.append(f"{column.name}: the file states no unit of pressure.")
        return _without_scale(column.values, "Pa", reported)
    if unit == "dB(L)":
        values = _pressures(column.values)
        return Trace(values=values, unit="Pa", step=None, reported=reported)
    return Trace(values=column.values, unit=unit, step=step_of(column), reported=reported)


def _microphone_results(header: Header, peak: Quantity | None) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for prefix in _MIC_PREFIXES:
        for key, name in _OF_MICROPHONE.items():
            figure = _reported(header, f"{prefix}{key}", name, "mm/s")
            if figure is not None:
                found.setdefault(name, figure)
    if peak is not None and peak.unit is not None:
        name = "level" if peak.unit == "dB(L)" else "peak_pressure"
        found[name] = _figure_of(peak, peak.unit, header)
    return found


def _pressures(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return signed levels in dB(L) as pressures in Pa; a level of 0 stands for no pressure."""
    magnitudes = 20e-6 * 10 ** (np.abs(levels) / 20)
    return np.where(levels == 0, 0.0, np.copysign(magnitudes, levels))


def _microphone_peak(header: Header) -> Quantity | None:
    for prefix in (*_MIC_PREFIXES, ""):
        for key in ("pspl", "peak", "ppv", "peakoverpressure", "peaksoundpressure"):
            found = parse_quantity(header.get(f"{prefix}{key}", ""))
            if found is None or found.unit is None:
                continue
            if quantity_of(found.unit) in ("pressure", "level"):
                return found
    return None


def _unit_by_level(column: Column, printed: Quantity) -> str | None:
    """Return the only unit of measure in which the largest sample has the printed level."""
    largest = float(np.abs(column.values).max()) if len(column.values) else 0.0
    if printed.unit != "dB(L)" or not largest:
        return None
    levels = {unit: level_db(largest * factor(unit, "Pa")) for unit in ("Pa", "psi", "kPa", "mbar")}
    levels["dB(L)"] = largest
    fits = [
        unit
        for unit, level in levels.items()
        if level is not None and abs(level - printed.value) <= _PSPL_FITS_DB
    ]
    return fits[0] if len(fits) == 1 else None


def _header_unit(header: Header, quantity: str) -> str | None:
    """Return the unit of a quantity in a line such as ``Units : mm/s and pa``."""
    text = header.get("units", header.get("unitsofmeasure", ""))
    for word in re.split(r"\s+and\s+|[,;|&\s]+", text):
        unit = unit_of(word)
        if unit is not None and quantity_of(unit) == quantity:
            return unit
    return None


def _reported(header: Header, key: str, name: str, unit: str) -> Figure | None:
    """Return a result in the header as a figure; ``None`` where it is not there or ``N/A``."""
    printed = parse_quantity(header.get(key, ""))
    if printed is None:
        return None
    default = {"velocity": unit, "frequency": "Hz", "time": "s", "acceleration": "g"}
    quantity = _UNITS_OF[name]
    found = printed.unit or default.get(quantity, "in" if unit == "in/s" else "mm")
    return _figure_of(printed, found, header) if quantity_of(found) == quantity else None


def _figure_of(printed: Quantity, unit: str, header: Header) -> Figure:
    version = header.get("pcswversion")
    return Figure(
        value=printed.value,
        unit=unit,
        bound=">" if printed.bound == ">" else "<" if printed.bound == "<" else None,
        step=printed.step,
        method="reported" if version is None else f"reported, PC software {version}",
    )
