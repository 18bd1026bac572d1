"""An analysis for people: what was computed by each rule, side by side, and what flags mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from sfm.analysis.figures import FLAGS
from sfm.cli.tables import Head, ListTable
from sfm.cli.views import safe_text

__all__ = ["analysis_view", "figure_text"]

Figures = Mapping[str, Mapping[str, Any]]

AXES = ("Tran", "Vert", "Long")
ROWS = {
    "ppv": "PPV",
    "zc_frequency": "ZC frequency",
    "time_of_peak": "Time of peak",
    "peak_acceleration": "Peak acceleration",
    "peak_displacement": "Peak displacement",
}
SOUND_ROWS = {
    "peak_pressure": "Peak pressure",
    "level": "Level",
    "zc_frequency": "ZC frequency",
    "time_of_peak": "Time of peak",
}
FURTHER = {
    ("offset", "offset"): "Offset",
    ("spectrum", "dominant_frequency"): "Dominant frequency",
    ("weighted", "kb_fmax"): "KB_Fmax",
    ("weighted", "vdv"): "VDV",
}
SETS = ("vendor", "refined", "reported")
DIGITS = 4
"""Significant ones; the resolution of a figure is in the JSON."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class _Marks:
    """Letters for the flags that were met, in their order."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def of(self, flags: Iterable[str]) -> str:
        """Return the letters of flags."""
        shown = [flag for flag in flags if flag != "not_available"]
        for flag in shown:
            self._letters.setdefault(flag, LETTERS[len(self._letters) % len(LETTERS)])
        return "".join(sorted(self._letters[flag] for flag in shown))

    def sentences(self) -> list[str]:
        """Return what each letter means."""
        return [
            f"{letter}  {flag}: {FLAGS.get(flag, 'not known to this program')}"
            for flag, letter in self._letters.items()
        ]


def analysis_view(body: Mapping[str, Any]) -> RenderableType:
    """Return the view of an analysis."""
    marks = _Marks()
    channels = body["channels"]
    parts: list[RenderableType] = [safe_text(_title(body), "bold")]
    if any(axis in channels for axis in AXES):
        parts.append(_geophones(body, marks))
    if "MicL" in channels:
        parts.append(_microphone(channels["MicL"], marks))
    parts += [safe_text(sentence) for sentence in marks.sentences()]
    notes = [*body["notes"], *body.get("assumptions", ())]
    return Group(*parts, *(safe_text(note) for note in notes), "")


def _title(body: Mapping[str, Any]) -> str:
    origin = body.get("provenance", body)
    name = body.get("file") or (f"recording {body['id'][:12]}" if "id" in body else None)
    parts = [
        name or f"event {body['index']}",
        origin.get("serial") or "unknown unit",
        (body.get("timestamp") or "unknown time").replace("T", " "),
        f"{body['samples']} samples a channel",
    ]
    rate = body["sample_rate_hz"]
    parts.append("unknown rate" if rate is None else f"{rate:g} per s")
    if origin.get("simulated"):
        parts.append("SIMULATED")
    return "; ".join(parts)


def _geophones(body: Mapping[str, Any], marks: _Marks) -> Table:
    channels = body["channels"]
    table = _table("", "", *AXES, "")
    for quantity, title in ROWS.items():
        for name in SETS:
            figures = [channels.get(axis, {}).get(name, {}).get(quantity) for axis in AXES]
            if any(figures):
                first = title if name == SETS[0] else ""
                table.add_row(first, name, *_cells(figures, marks), _unit_of(figures))
    for title, sums in (("Peak vector sum", body["pvs"]), ("Time of it", body["pvs_time"])):
        for name in SETS:
            if name in sums:
                figure = sums[name]
                first = title if name == SETS[0] else ""
                table.add_row(first, name, figure_text(figure, marks), "", "", figure["unit"])
    for (name, quantity), title in FURTHER.items():
        figures = [channels.get(axis, {}).get(name, {}).get(quantity) for axis in AXES]
        if any(figures):
            table.add_row(title, "", *_cells(figures, marks), _unit_of(figures))
    return table


def _microphone(sets: Mapping[str, Figures], marks: _Marks) -> Table:
    table = _table("MicL", *SETS, "")
    for quantity, title in SOUND_ROWS.items():
        figures = [sets.get(name, {}).get(quantity) for name in SETS]
        table.add_row(title, *_cells(figures, marks), _unit_of(figures))
    return table


def _table(*titles: str) -> Table:
    last = len(titles) - 1
    return ListTable(
        *(
            # The unit of measure stays with the figures; the title is the first column.
            Head(name=title, is_right=0 < n < last and title != "", rank=0 if n == last else 1)
            for n, title in enumerate(titles)
        )
    )


def _cells(figures: Iterable[Mapping[str, Any] | None], marks: _Marks) -> list[str]:
    return ["" if figure is None else figure_text(figure, marks) for figure in figures]


def _unit_of(figures: Iterable[Mapping[str, Any] | None]) -> str:
    unit = next((figure["unit"] for figure in figures if figure), "")
    return "" if unit == "1" else str(unit)


def figure_text(figure: Mapping[str, Any], marks: _Marks | None = None) -> str:
    """
    Return a figure without its unit of measure, as ``>100``, with the letters of its flags.

    >>> figure_text({"value": 12.3456, "bound": None, "unit": "Hz", "flags": []})
    '12.35'
    """
    value = figure["value"] if figure["value"] is not None else figure.get("limit")
    if value is None:
        text = "N/A"
    elif figure["unit"] == "s":
        text = f"{value:.3f}"
    else:
        text = _significant(value)
    found = "" if marks is None else marks.of(figure["flags"])
    return f"{figure['bound'] or ''}{text}{' ' if found else ''}{found}"


def _significant(value: float) -> str:
    """Return a number with four significant digits, without an exponent."""
    if not value:
        return "0"
    decimals = DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(decimals, 0), 7)}f}"
