"""Files that commands save: their names, their contents, and no file replaced unasked."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfm.cli.application import CommandError

__all__ = ["file_name", "refuse_taken", "save", "waveform_csv"]

_UNSAFE = re.compile(r"^\.|[^0-9A-Za-z._-]")
"""What a file's name is not given."""
_DELIMITERS = re.compile(r'[,;"\t]')
"""What would begin another cell of a note line, in one spreadsheet or another."""


def file_name(body: dict[str, Any], ending: str) -> str:
    """
    Return a name for the file of one recording: SIMULATED, serial, unit time, key.

    Not its slot: slots start again after an erase, and so may keys.

    >>> file_name({"serial": "BE1", "timestamp": "2026-04-01", "waveform_key": "0111"}, "csv")
    'BE1_2026-04-01_0111.csv'
    """
    origin = body.get("provenance", body)
    parts = [
        *(["SIMULATED"] if origin.get("simulated") else []),
        origin.get("serial") or "unknown-unit",
        body["timestamp"] or "unknown-time",
        body["waveform_key"],
    ]
    return f"{_UNSAFE.sub('-', '_'.join(parts))}.{ending}"


def waveform_csv(body: dict[str, Any]) -> str:
    """
    Return a waveform as comma-separated values that say what they are.

    Lines that begin with ``#`` come first; numpy and gnuplot skip them, and so does pandas with
    ``comment="#"``.
    Then the column names with their units of measure, and a line for each sample. A cell is empty
    where no sample is valid, and all times are where the rate is unknown.
    """
    channels = body["channels"]
    start, step = body["time"]["start"], body["time"]["step"]
    names = [f"{name} ({_column_unit(channel)})" for name, channel in channels.items()]
    lines = [*_notes(body), ",".join(["time (s)", *names])]
    for i in range(body["samples"]):
        time_s = "" if step is None else f"{start + i * step:.6f}"
        values = [
            repr(channel["values"][i]) if i < len(channel["values"]) else ""
            for channel in channels.values()
        ]
        lines.append(",".join([time_s, *values]))
    return "\n".join(lines) + "\n"


def _column_unit(channel: Mapping[str, Any]) -> str:
    """Return a channel's unit of measure, with what makes its figures less than they seem."""
    parts = [channel["unit"]]
    if channel["bound"] is not None and channel["peak"] is not None:
        parts.append(f"over range: peak {channel['bound']} {channel['peak']}")
    elif channel["bound"] is not None:
        parts.append("over range")
    if "scale_unconfirmed" in channel["flags"]:
        parts.append("scale unconfirmed")
    return "; ".join(parts)


def _notes(body: dict[str, Any]) -> list[str]:
    origin = body.get("provenance", body)
    units = " | ".join(f"{name} {channel['unit']}" for name, channel in body["channels"].items())
    notes = {
        "Serial number": origin.get("serial"),
        "Waveform key": body["waveform_key"],
        "Unit time": (body["timestamp"] or "unknown").replace("T", " ") + " (the unit's own clock)",
        "Sample rate": _setting(body["sample_rate_hz"], "Hz", body["sample_rate_source"]),
        "Geophone range": _setting(body["geo_range_in_s"], "in/s", body["geo_range_source"]),
        "Units of measure": f"time s from the trigger | {units}",
        "Samples": f"{body['samples']} a channel",
        "Quality": origin.get("quality"),
        "Read at": f"{origin.get('read_at') or 'unknown'} by the relay's clock",
        "Project": body["project"],
    }
    simulated = ["# SIMULATED: not a recording of a real instrument"] if origin["simulated"] else []
    return simulated + [
        f"# {name}: {_one_cell(value)}" for name, value in notes.items() if value is not None
    ]


def _setting(value: float | None, unit: str, source: str | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:g} {unit} (from the {source})"


def _one_cell(value: object) -> str:
    words = "".join(c if c.isprintable() else " " for c in str(value))
    return " ".join(_DELIMITERS.sub(" ", words).split())


def is_folder(path: Path) -> bool:
    """Whether a path names a folder to save in, rather than a file."""
    return path.is_dir() or str(path).endswith(("/", os.sep))


def refuse_taken(path: Path, *, force: bool) -> None:
    """
    Refuse a file that is there already, before anything is read for it.

    Raises:
        CommandError: it is there, and ``force`` does not allow its replacement.
    """
    if not force and path.exists() and not is_folder(path):
        raise _taken(path)


def save(path: Path, name: str, text: str, *, force: bool) -> Path:
    """
    Write a file whole or not at all; return where it is.

    Args:
        path: the file; or a folder, which is made if it is not there.
        name: what it is called in a folder.
        text: what it holds.
        force: replace a file of that name. The old one stays until the new one is whole.

    Raises:
        CommandError: a file of that name is there, or it cannot be written.
    """
    if is_folder(path):
        path = path / name
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
            if force:
                part.replace(path)
            else:
                os.link(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    return path


def _taken(path: Path) -> CommandError:
    return CommandError(f"{path} is there already and was not changed; --force replaces it")
