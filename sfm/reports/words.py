"""
The words of a report: the texts of a language, and figures, times and dates as they are printed.

Digits are those of the vendor's event report: frequencies two significant (3.7, 32), others three
decimals below 10, two below 100, one above. A flag of a figure is printed as a number behind it, of
the footnote that explains it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from sfm.analysis import Figure
from sfm.analysis.figures import FLAGS
from sfm.reports.errors import ReportError

__all__ = ["Footnotes", "Texts", "frequency_words", "number_words", "printable", "value_words"]

NEVER_NOTED = frozenset(
    {"not_available", "over_range", "above_100_hz", "below_1_hz", "cut", "incomplete"}
)
"""Flags that the printed figure itself shows, or the page's head."""
MAX_CELL = 64


class Texts:
    """
    The texts of one language.

    Raises:
        ReportError: there is no such language.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = _load(language)

    def __call__(self, name: str, **values: Any) -> str:
        """Return a text, such as ``head.time``, with its values filled in."""
        section, _, key = name.partition(".")
        text: str = self._texts[section][key]
        return text.format(**values) if values else text

    @property
    def not_available(self) -> str:
        """What is printed for what is not known."""
        return self("values.not_available")

    def date(self, day: date) -> str:
        """Return a date with the month's name."""
        months = self._texts["months"]
        return self("values.date", month=months[day.month - 1], day=day.day, year=day.year)

    def moment(self, at: datetime) -> str:
        """Return a date and the time of day."""
        return f"{self.date(at.date())} {at:%H:%M:%S}"


@lru_cache(maxsize=8)
def _load(language: str) -> Mapping[str, Any]:
    folder = files("sfm.reports") / "texts"
    known = sorted(each.name.removesuffix(".toml") for each in folder.iterdir())
    if language not in known:
        raise ReportError(f"reports are printed in {', '.join(known)}, not in {language!r}")
    return tomllib.loads((folder / f"{language}.toml").read_text("utf-8"))


class Footnotes:
    """The flags of the printed figures, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, figure: Figure) -> str:
        """Return the numbers of a figure's flags, such as ``1,3``; empty: it has none."""
        flags = [flag for flag in figure.flags if flag not in NEVER_NOTED]
        for flag in flags:
            self._numbers.setdefault(flag, len(self._numbers) + 1)
        return ",".join(str(self._numbers[flag]) for flag in flags)

    def lines(self) -> list[str]:
        """Return the footnotes."""
        return [f"{number}  {FLAGS[flag]}" for flag, number in self._numbers.items()]


def number_words(value: float, decimals: int = 3) -> str:
    """
    Return a number as the vendor's report prints it.

    >>> number_words(0.6), number_words(13.364), number_words(254.0), number_words(0.001024, 5)
    ('0.600', '13.36', '254.0', '0.00102')
    """
    value += 0.0  # no minus before a zero
    fewer = 0 if abs(value) < 10 else 1 if abs(value) < 100 else 2
    return f"{value:.{max(decimals - fewer, 0)}f}"


def value_words(figure: Figure, texts: Texts, decimals: int = 3, *, unit: bool = False) -> str:
    """Return a figure; what is over range is above what was measured."""
    behind = f" {figure.unit}" if unit else ""
    if figure.value is not None:
        bound = f"{figure.bound} " if figure.bound else ""
        return f"{bound}{number_words(figure.value, decimals)}{behind}"
    if figure.limit is not None:
        return f"> {number_words(figure.limit, decimals)}{behind}"
    return texts("values.no_frequency") if figure.unit == "Hz" else texts.not_available


def frequency_words(figure: Figure | None, texts: Texts, *, unit: bool = False) -> str:
    """Return a frequency with two significant digits: 3.7, 32, >100."""
    if figure is None or figure.value is None:
        is_cut = figure is not None and "cut" in figure.flags
        return texts("values.no_frequency") if is_cut else texts.not_available
    behind = " Hz" if unit else ""
    if figure.bound is not None:
        return f"{figure.bound}{figure.value:.0f}{behind}"
    two = float(f"{figure.value:.2g}")
    return f"{two:.1f}{behind}" if two < 10 else f"{two:.0f}{behind}"


def printable(text: object, length: int = MAX_CELL) -> str:
    """
    Return a text of a person or a unit as it may be printed: one line, and no longer than its cell.

    >>> printable("north\\nface"), printable("x" * 9, 5)
    ('north face', 'xxxx…')
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return words if len(words) <= length else words[: length - 1] + "…"
