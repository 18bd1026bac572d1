"""
CSV of one event: lines that say what it is, then one line for each sample.

Lines that begin with ``#`` come first; numpy and gnuplot skip them, and so does pandas with
``comment="#"``. Then the column titles with their units of measure: the time, the four channels in
physical units, and the four channels in converter counts, from which anybody can compute the
archive's hash of the samples again. A cell is empty where no sample is valid, and all times are
where the rate is unknown. While a range is unknown, the physical column has the counts too and its
title says so, as in the API.

With decimal commas the cells are separated by semicolons and the file begins with a byte-order
mark: that is what a spreadsheet needs in a country that writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, repeat

from minimateplus.model import CHANNELS
from sfm.exports.event import ExportedChannel, ExportedEvent, Style

__all__ = ["OFFSET", "SIMULATED", "csv_bytes", "notes_of"]

FORMAT = "seismo-relay csv 1"
SIMULATED = "SIMULATED: not a recording of a real instrument"
OFFSET = "not removed; samples are as recorded"
_DELIMITERS = re.compile(r'[,;"\t]')
"""What would begin another cell of a note line, in one spreadsheet or another."""
_MARK = "\ufeff"


def csv_bytes(event: ExportedEvent, style: Style | None = None) -> bytes:
    """
    Return an event as CSV, UTF-8.

    Args:
        event: what is written.
        style: units of measure, and point or comma; the recording's own and points if not given.
    """
    style = style or Style()
    has_commas = style.decimal == "comma"
    delimiter = ";" if has_commas else ","
    channels = event.channels(style.units)
    titles = [
        "time (s)",
        *(f"{channel.name} ({_unit(channel)})" for channel in channels),
        *(f"{name} counts" for name in CHANNELS),
    ]
    samples = event.payload["samples"]
    times = event.times_s()
    columns = [
        ["" for _ in range(samples)] if times is None else [repr(time) for time in times],
        *(channel.texts(_written(channel)) for channel in channels),
    ]
    if has_commas:
        columns = [[text.replace(".", ",") for text in column] for column in columns]
    columns += [[str(count) for count in channel.counts.tolist()] for channel in channels]
    padded = [chain(column, repeat("", samples - len(column))) for column in columns]
    lines = chain(
        (f"# {line}" for line in notes_of(event, style)),
        [delimiter.join(_quoted(title, delimiter) for title in titles)],
        map(delimiter.join, zip(*padded, strict=True)),
    )
    text = "".join(f"{line}\r\n" for line in lines)
    return ((_MARK if has_commas else "") + text).encode()


def _written(channel: ExportedChannel) -> Callable[[float], str]:
    """Return what writes a channel's values, each with all digits that it has."""
    return repr if channel.scale is not None else lambda value: str(int(value))


def _quoted(title: str, delimiter: str) -> str:
    return f'"{title}"' if delimiter in title else title


def _unit(channel: ExportedChannel) -> str:
    """Return a channel's unit of measure, with what makes its figures less than they seem."""
    parts = [channel.unit]
    if channel.bound is not None and channel.peak is not None:
        parts.append(f"over range: peak {channel.bound} {channel.peak}")
    elif channel.bound is not None:
        parts.append("over range")
    if "scale_unconfirmed" in channel.flags:
        parts.append("scale unconfirmed")
    return "; ".join(parts)


def notes_of(event: ExportedEvent, style: Style) -> Iterator[str]:
    """Return the lines that say what the samples are; no text of a unit leaves its line or cell."""
    if event.is_simulated:
        yield SIMULATED
    of, channels = event.payload, event.channels(style.units)
    at, utc = of["timestamp"], event.utc or f"unknown: {event.utc_unknown}"
    notes = [
        ("Format", FORMAT),
        ("Serial number", event.serial or "unknown"),
        ("Waveform key", of["waveform_key"]),
        ("Recording", event.recording_id or "read from the unit and not from the archive"),
        (
            "Unit time",
            "unknown" if at is None else f"{at.replace('T', ' ')} (the unit's own clock)",
        ),
        ("Time zone", event.zone or "unknown"),
        ("Instant (UTC)", utc),
        ("Sample rate", _setting(of["sample_rate_hz"], "Hz", of["sample_rate_source"])),
        ("Geophone range", _setting(of["geo_range_in_s"], "in/s", of["geo_range_source"])),
        ("Scale", _each(channels, "{0.name} {0.scale!r} {0.unit} a count")),
        ("Offset", OFFSET),
        ("Units of measure", _each(channels, "{0.name} {0.unit}", "time s from the trigger")),
        ("Samples", f"{of['samples']} a channel"),
        ("Valid samples", " | ".join(f"{c.name} {len(c.counts)}" for c in channels)),
        ("Samples announced by the unit", of["announced_samples"]),
        ("Pre-trigger samples", of["pretrigger_samples"]),
        ("Counts hash", f"{event.counts_hash} (BLAKE2b-256)"),
        ("Image hash", event.image_hash and f"{event.image_hash} (BLAKE2b-256)"),
        ("Quality", event.quality),
        *(("Not good", f"{r['code']}: {r['detail']}") for r in of["reasons"]),
        ("Read at", f"{event.read_at or 'unknown'} by the relay's clock"),
        ("Project", of["project"]),
    ]
    for name, value in notes:
        if value is not None:
            yield f"{name}: {_one_cell(value)}"


def _each(channels: list[ExportedChannel], form: str, *first: str) -> str:
    """Return a part for each channel, such as its scale; counts have none."""
    unknown = "{0.name} counts of unknown scale"
    return " | ".join(
        [*first, *((unknown if c.scale is None else form).format(c) for c in channels)]
    )


def _setting(value: float | None, unit: str, source: str | None) -> str:
    return "unknown" if value is None else f"{value:g} {unit} (from the {source})"


def _one_cell(value: object) -> str:
    words = "".join(c if c.isprintable() else " " for c in str(value))
    return " ".join(_DELIMITERS.sub(" ", words).split())
