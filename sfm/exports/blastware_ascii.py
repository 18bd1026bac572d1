"""
Blastware ASCII of one event: header lines with results in quotation marks, then rows of samples.

Order and number format are those of Blastware 10.74 (docs/reference/exports.md), found in exports
of Micromates. What is not known is written as ``not available`` in its line, never as a value. The
four notes have the titles of a MiniMate Plus. ``PC SW Version`` names this program. The lines
behind it are ours: what the format has no line for.

Velocities have three decimals below 10 and two from 10 on, where that tells one count from the
next; a sensitive range and a microphone in psi need more, and have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from itertools import chain, repeat

from sfm.analysis import Analysis, Figure
from sfm.analysis.seismogram import GEOPHONES, MICROPHONE
from sfm.analysis.units_of_measure import System, convert, unit_in
from sfm.exports.errors import UnwritableEventError
from sfm.exports.event import ExportedChannel, ExportedEvent, Style, file_name
from sfm.exports.tidy_csv import OFFSET, SIMULATED
from sfm.records.analysed import analyse_payload
from sfm.records.payloads import SCALE_CODES

__all__ = ["blastware_bytes"]

UNKNOWN = "not available"
WIDTH = 10
MIN_STEP = 0.002
"""Three decimals tell counts of this size apart."""
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_SCALES, _UNCONFIRMED = ("sample_rate", "geo_range"), " (of the setup, unconfirmed)"
_PRESSURE_NAMES = {"psi": "psi.(L)", "Pa": "pa.(L)"}
Line = tuple[str, str]


def blastware_bytes(event: ExportedEvent, style: Style | None = None) -> bytes:
    """
    Return an event as Blastware ASCII with results, Windows-1252.

    Args:
        event: what is written.
        style: units of measure; the recording's own if not given.

    Raises:
        UnwritableEventError: its range is unknown; the format has no line for counts.
    """
    system = (style or Style()).units or "imperial"
    if event.payload["geo_range_in_s"] is None:
        raise UnwritableEventError(
            f"event {event.payload['waveform_key']} of {event.serial or 'an unknown unit'}: its "
            "geophone range is not known, and Blastware ASCII cannot say that samples are counts; "
            "export it as csv or json"
        )
    channels = [one for one in event.channels(system) if one.name != MICROPHONE or len(one.counts)]
    results = analyse_payload(event.payload).in_system(system)
    header = (f'"{name} : {_one_line(value)}"' for name, value in _header(event, results, system))
    titles = "\t".join(f"   {channel.name}   " for channel in channels)
    lines = chain(header, ["", titles], _rows(channels, event.payload["samples"]))
    return "".join(f"{line}\r\n" for line in lines).encode("cp1252", errors="replace")


def _one_line(value: str) -> str:
    """Return a text that stays between its quotation marks."""
    words = "".join(c if c.isprintable() else " " for c in value.replace('"', "'"))
    return words.rstrip()


def _header(event: ExportedEvent, results: Analysis, system: System) -> Iterator[Line]:
    of = event.payload
    rate = of["sample_rate_hz"]
    name = file_name(of, "TXT", serial=event.serial, is_simulated=event.is_simulated)
    yield "Event Type", "Full Waveform"
    yield "Serial Number", event.serial or UNKNOWN
    yield "Version", UNKNOWN
    yield "File Name", name
    at = None if of["timestamp"] is None else datetime.fromisoformat(of["timestamp"])
    yield "Event Time", UNKNOWN if at is None else f"{at:%H:%M:%S}"
    yield (
        "Event Date",
        UNKNOWN if at is None else f"{_MONTHS[at.month - 1]} {at.day}, {at.year}",
    )
    yield "Trigger", UNKNOWN
    yield "Geo Trigger Level", UNKNOWN
    yield "Pre-trigger Length", _seconds(-of["pretrigger_samples"], rate, 3)
    yield "Record Time", _seconds(_recorded(event) - of["pretrigger_samples"], rate, 1)
    yield "Record Stop Mode", UNKNOWN
    remark = {name: _UNCONFIRMED * (of[f"{name}_source"] == "setup") for name in _SCALES}
    yield "Sample Rate", UNKNOWN if rate is None else f"{rate} sps{remark['sample_rate']}"
    yield "Battery Level", UNKNOWN
    yield "Calibration", UNKNOWN
    velocity, pressure = unit_in(system, "in/s"), unit_in(system, "psi")
    yield "Units", f"{velocity} and {_PRESSURE_NAMES[pressure]}"
    yield "Operator", UNKNOWN
    yield "Setup", UNKNOWN
    yield "Project:", of["project"] or ""
    for title in ("Client:", "User Name:", "Seis Loc:"):
        yield title, UNKNOWN
    full_scale = convert(of["geo_range_in_s"], "in/s", velocity)
    yield "Geo Range", f"{_significant(full_scale)} {velocity}{remark['geo_range']}"
    yield from _results(results)
    yield "PC SW Version", f"seismo-relay {version('seismo-relay')}"
    yield from _our_lines(event, results, system)


def _recorded(event: ExportedEvent) -> int:
    """Return how many samples a channel of the recording has; more than are here, if it is cut."""
    of = event.payload
    is_partial = any(reason["code"] not in SCALE_CODES for reason in of["reasons"])
    announced = of["announced_samples"] or 0
    return max(of["samples"], announced) if is_partial else int(of["samples"])


def _seconds(samples: int, rate: int | None, decimals: int) -> str:
    """Return a length of time, with as many decimals as it needs, and at least those."""
    if rate is None:
        return UNKNOWN
    for more in range(decimals, 7):
        if round(round(samples / rate, more) * rate, 6) == samples:
            return f"{samples / rate:.{more}f} sec"
    return f"{samples / rate:.6f} sec"


def _results(results: Analysis) -> Iterator[Line]:
    """Return the vendor's quantities, by quantity and within it by channel."""
    geophones = [(name, results.channels[name]["vendor"]) for name in GEOPHONES]
    for title, quantity, write in (
        ("PPV", "ppv", _amplitude),
        ("ZC Freq", "zc_frequency", _frequency),
        ("Time of Peak", "time_of_peak", _time),
        ("Peak Acceleration", "peak_acceleration", _acceleration),
        ("Peak Displacement", "peak_displacement", _displacement),
    ):
        for name, figures in geophones:
            yield f"{name} {title}", write(figures[quantity])
    yield "Peak Vector Sum", _amplitude(results.pvs["vendor"])
    yield "Peak Vector Sum Time", _time(results.pvs_time["vendor"])
    air = results.channels[MICROPHONE]["vendor"]
    yield "MicL PSPL", _fixed(air["level"], 1)
    yield "MicL ZC Freq", _frequency(air["zc_frequency"])
    yield "MicL Time of Peak", _time(air["time_of_peak"])
    for name in GEOPHONES:
        yield f"{name}  Test Results", UNKNOWN  # not known on this wire; never "Passed"


def _our_lines(event: ExportedEvent, results: Analysis, system: System) -> Iterator[Line]:
    of = event.payload
    if event.is_simulated:
        yield "Remark", SIMULATED
    yield "Recording", event.recording_id or "read from the unit and not from the archive"
    yield "Waveform Key", of["waveform_key"]
    scales = (f"{one.name} {one.scale!r} {one.unit}" for one in event.channels(system))
    yield "Scale of a Count", ", ".join(scales)
    yield "Offset", OFFSET
    yield "Time Base", "seconds from the trigger; dates by the unit's own clock"
    yield "Time Zone", event.zone or UNKNOWN
    yield "Event Time UTC", event.utc or f"{UNKNOWN} ({event.utc_unknown})"
    yield "Counts Hash", f"{event.counts_hash} (BLAKE2b-256)"
    if results.flags:
        yield "Flags", ", ".join(results.flags)
    for note in results.notes:
        yield "Remark", note


def _figure(figure: Figure, write: Callable[[float], str], unit: str) -> str:
    """Return a figure with its bound; ``N/A`` where it has no value."""
    value = figure.limit if figure.value is None else figure.value
    if value is None:
        return "N/A"
    return f"{figure.bound or ''}{write(value)} {unit}"


def _amplitude(figure: Figure) -> str:
    decimals = None if figure.step is None else _decimals(figure.step)
    if decimals is None or decimals == 3:
        return _figure(figure, _significant, figure.unit)
    return _figure(figure, lambda value: f"{value:.{decimals}f}", figure.unit)


def _significant(value: float) -> str:
    """Return four digits, three of them decimals at most: 6.164, 13.36, 254.0."""
    for decimals, end in ((3, 10), (2, 100)):
        if abs(round(value, decimals)) < end:
            return f"{value:.{decimals}f}"
    return f"{value:.1f}"


def _fixed(figure: Figure, decimals: int) -> str:
    return _figure(figure, lambda value: f"{value:.{decimals}f}", figure.unit)


def _frequency(figure: Figure) -> str:
    if figure.bound is not None:
        return _figure(figure, lambda value: f"{value:g}", figure.unit)
    return _fixed(figure, 1)


def _time(figure: Figure) -> str:
    return _figure(figure, lambda value: f"{value:.3f}", "sec")


def _acceleration(figure: Figure) -> str:
    return _fixed(figure, 3)


def _displacement(figure: Figure) -> str:
    return _fixed(figure, 3 if figure.unit == "mm" else 5)


def _decimals(step: float) -> int:
    """Return how many decimals tell one count from the next; the format's three, or more."""
    return 3 if step >= MIN_STEP else math.ceil(-math.log10(step / 100))


def _rows(channels: list[ExportedChannel], samples: int) -> Iterable[str]:
    """Return a line for each sample; a cell is blank where the channel has no valid one."""
    columns = []
    for channel in channels:
        texts = channel.texts(_cell_writer(channel))
        columns.append(chain(texts, repeat(" " * WIDTH, samples - len(texts))))
    return map("\t".join, zip(*columns, strict=True))


def _cell_writer(channel: ExportedChannel) -> Callable[[float], str]:
    assert channel.scale is not None
    decimals = _decimals(channel.scale)

    def write(value: float) -> str:
        digits = 2 if decimals == 3 and abs(round(value, 3)) >= 10 else decimals
        return f"{value:<{WIDTH}.{digits}f}"

    return write
