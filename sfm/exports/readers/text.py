"""Text of unknown encoding and language: lines, cells, numbers, units of measure."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from sfm.exports.readers.errors import UnreadableFileError

__all__ = [
    "Quantity",
    "cells_of",
    "decode",
    "is_number",
    "number",
    "parse_quantity",
    "parse_rate_hz",
    "parse_seconds",
    "unit_of",
]

_UNITS = {
    "mm/s": ("mm/s", "mm/sec", "mmps", "mms-1"),
    "cm/s": ("cm/s", "cm/sec"),
    "m/s": ("m/s", "m/sec"),
    "um/s": ("um/s", "µm/s", "μm/s"),
    "in/s": (
        *("in/s", "in/sec", "ips", "inch/s", "inch/sec"),
        *("inches/s", "inches/sec", "in./s", "in./sec"),
    ),
    "Pa": ("pa", "pa.(l)", "pa(l)", "pa.", "pascal"),
    "kPa": ("kpa",),
    "mbar": ("mb", "mbar", "mb(l)", "mb.(l)"),
    "psi": ("psi", "psi(l)", "psi.(l)"),
    "dB(L)": ("db", "db(l)", "dbl", "db(lin)", "dblin"),
    "mm": ("mm",),
    "in": ("in", "in.", "inch"),
    "g": ("g",),
    "Hz": ("hz",),
    "s": ("s", "sec", "sec.", "secs", "seconds"),
}
_MILLISECONDS = frozenset(("ms", "msec", "msecs", "milliseconds"))
_UNIT_OF_NAME = {name: unit for unit, names in _UNITS.items() for name in names}
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"^\s*(\d{1,3})[,. \u00a0'](\d{3})(?![\d.,])")
_QUANTITY = re.compile(rf"^\s*([<>]?)\s*({_NUMBER.pattern})\s*(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A printed value, such as ``>100 Hz``."""

    value: float
    unit: str | None
    """``None``: no unit of measure that is known."""
    bound: str | None
    step: float
    """One of the last printed digit."""


def decode(data: bytes) -> str:
    """
    Return a file's text: by its byte-order mark, else UTF-8, else Windows-1252.

    A text of ASCII letters in two bytes each is UTF-16 without its mark. What DOS programs put
    behind a text (Ctrl-Z, zeros) is left out.
    """
    return _decoded(data).rstrip("\x00\x1a")


def _decoded(data: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    beginning = data[:200]
    if len(beginning) > 2 and beginning[1::2].count(0) > 0.9 * len(beginning[1::2]):
        return data.decode("utf-16-le", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def cells_of(line: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line; ``None`` as delimiter stands for any run of blanks."""
    if delimiter is None:
        return line.replace('"', " ").split()
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    try:
        [row] = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    except csv.Error as error:  # such as a cell of 200,000 characters
        raise UnreadableFileError(f"A line is not one of a table: {error}.") from None
    return [cell.strip() for cell in row]


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with a point or a comma for its decimals."""
    return _NUMBER.fullmatch(cell) is not None


def number(cell: str) -> float:
    """
    Return the number in a cell, with a point or a comma for its decimals.

    Raises:
        ValueError: it is none, or not a finite one: a missing sample is not a measurement.
    """
    if not is_number(cell):
        raise ValueError(f"{cell!r} is no number")
    value = float(cell.replace(",", "."))
    if not abs(value) < float("inf"):
        raise ValueError(f"{cell!r} is too large")
    return value


def parse_quantity(text: str) -> Quantity | None:
    """
    Return a printed value with its unit of measure; ``None`` for ``N/A`` and other words.

    >>> parse_quantity(">100 Hz")
    Quantity(value=100.0, unit='Hz', bound='>', step=1.0)
    """
    found = _QUANTITY.match(text)
    if found is None:
        return None
    bound, digits, rest = found.groups()
    mantissa = re.split("[eE]", digits)[0].replace(",", ".")
    decimals = len(mantissa.partition(".")[2])
    words = rest.split()
    unit = unit_of(words[0]) if words else None
    return Quantity(number(digits), unit, bound or None, float(10**-decimals))


def parse_rate_hz(text: str) -> float | None:
    """
    Return a printed sample rate.

    >>> parse_rate_hz("4,096 sps"), parse_rate_hz("1024 sps"), parse_rate_hz("2.048 kHz")
    (4096.0, 1024.0, 2048.0)
    """
    thousands = _THOUSANDS.match(text)
    if thousands is not None:
        # No instrument records 4.096 samples a second: the sign groups digits.
        return float("".join(thousands.groups()))
    found = parse_quantity(text)
    if found is None:
        return None
    return found.value * 1000 if _word_behind(text) == "khz" else found.value


def parse_seconds(text: str) -> float | None:
    """
    Return a printed time in seconds.

    >>> parse_seconds("-0.250 sec"), parse_seconds("-250 ms"), parse_seconds("N/A")
    (-0.25, -0.25, None)
    """
    found = parse_quantity(text)
    if found is None:
        return None
    return found.value / 1000 if _word_behind(text) in _MILLISECONDS else found.value


def _word_behind(text: str) -> str:
    """Return the word behind a number, in lower case."""
    return "".join(text.split()[1:2]).casefold()


def unit_of(name: str) -> str | None:
    """
    Return the unit of measure of a name in one of its spellings.

    >>> unit_of("pa.(L)"), unit_of("IPS"), unit_of("furlong")
    ('Pa', 'in/s', None)
    """
    return _UNIT_OF_NAME.get("".join(name.casefold().split()).strip("[]"))
