"""The table of samples: where it begins, what its columns are, its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfm.analysis.seismogram import GEOPHONES
from sfm.exports.readers.errors import UnreadableFileError
from sfm.exports.readers.text import cells_of, is_number, number, unit_of

__all__ = ["Column", "Table", "find_table", "step_of"]

_NAMES = {
    "Tran": ("tran", "trans", "transverse", "tran1", "t"),
    "Vert": ("vert", "vertical", "vert1", "v"),
    "Long": ("long", "longitudinal", "radial", "long1", "l"),
    "MicL": ("micl", "mic", "mic1", "micl1", "microphone", "air", "airblast", "sound"),
    "time": ("time", "t(s)", "seconds"),
}
_NAME_OF = {alias: name for name, aliases in _NAMES.items() for alias in aliases}
_NAME_OF |= {f"{name.casefold()}counts": f"{name} counts" for name in _NAMES if name != "time"}
_LETTERS = frozenset("tvl")
"""Single letters name channels only together: a lone ``t`` may be anything."""
_IN_BRACKETS = re.compile(r"^(.*?)[(\[]\s*([^)\];]*(?:\([^)]*\))?).*$")
LOOK_AHEAD = 3
"""Lines below titles: an empty one, one of units of measure, the first row."""
MIN_VALUES = 8
"""Fewer different values do not show what a count is."""
DELIMITERS = ("\t", ";", ",", None)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column of samples, or of times."""

    name: str
    unit: str | None
    """As the column's title or the row below it names it."""
    values: NDArray[np.float64]
    decimals: int
    """The most decimals of any of its numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The columns of a file."""

    columns: dict[str, Column]
    line: int
    """Of the titles, counted from 0: above it is the header."""


def find_table(lines: Sequence[str]) -> Table:
    """
    Return the table of samples.

    Raises:
        UnreadableFileError: no line names channels, or a row is not of numbers.
    """
    for at, line in enumerate(lines):
        titles = _titles(line, lines[at + 1 : at + 1 + LOOK_AHEAD])
        if titles is not None:
            return _read_table(lines, at, *titles)
    raise UnreadableFileError(
        "No line names the channels (Tran, Vert, Long, MicL): this is no export with samples. "
        "Export it again as ASCII or CSV with waveform data."
    )


def _titles(
    line: str, below: Sequence[str]
) -> tuple[str | None, list[tuple[str, str | None] | None]] | None:
    """
    Return delimiter and columns of a line of titles; ``None`` for any other line.

    A column that is no channel's is ``None`` (a counter, a vector sum); a line with such columns is
    one of titles only if it names all geophones and numbers follow it.
    """
    for delimiter in DELIMITERS:
        if delimiter is not None and delimiter not in line:
            continue
        cells = cells_of(line.strip().lstrip("#").strip(), delimiter)
        while cells and not cells[-1]:
            cells.pop()
        columns = [_column(cell) for cell in cells]
        known = [column for column in columns if column is not None]
        names = {name for name, _ in known}
        letters = [cell for cell in cells if cell.casefold() in _LETTERS]
        is_title = (
            len(known) == len(names)
            and any(name != "time" and not name.endswith(" counts") for name in names)
            and len(letters) in (0, 3)
            and (
                len(known) == len(cells)
                or (
                    delimiter is not None
                    and names >= set(GEOPHONES)
                    and _are_numbers_below(below, delimiter, columns)
                )
            )
        )
        if is_title:
            return delimiter, columns
    return None


def _are_numbers_below(
    below: Sequence[str], delimiter: str, columns: Sequence[tuple[str, str | None] | None]
) -> bool:
    """Whether one of the next lines has a number under each channel."""
    for line in below:
        cells = cells_of(line, delimiter)
        if len(cells) >= len(columns) and all(
            is_number(cell) for cell, column in zip(cells, columns, strict=False) if column
        ):
            return True
    return False


def _column(cell: str) -> tuple[str, str | None] | None:
    """Return a title's channel and unit of measure, such as ``Tran (in/s)`` or ``Tran in/s``."""
    bracket = _IN_BRACKETS.match(cell)
    word = bracket.group(1) if bracket else cell
    name = _NAME_OF.get("".join(word.casefold().split()))
    if name is not None:
        return name, unit_of(bracket.group(2)) if bracket else None
    first, _, rest = cell.partition(" ")
    name, unit = _NAME_OF.get(first.casefold()), unit_of(rest)
    return None if name is None or unit is None else (name, unit)


def _read_table(
    lines: Sequence[str],
    at: int,
    delimiter: str | None,
    titles: list[tuple[str, str | None] | None],
) -> Table:
    units = [None if title is None else title[1] for title in titles]
    first = at + 1
    while first < len(lines) and _is_empty(lines[first]):
        first += 1
    below = cells_of(lines[first], delimiter) if first < len(lines) else []
    named = [unit_of(cell.strip("()")) for cell in below]
    if any(named) and len(named) == len(units):
        # A row of units of measure, as "(mm/s)".
        units = [unit or other for unit, other in zip(units, named, strict=True)]
        first += 1
    rows = _rows(lines, first, delimiter, len(titles))
    columns = {}
    for place, (title, unit) in enumerate(zip(titles, units, strict=True)):
        if title is None:
            continue
        name = title[0]
        cells = [row[place] for row in rows]
        while cells and not cells[-1]:
            cells.pop()  # A channel may have fewer valid samples than the others.
        columns[name] = Column(name, unit, _numbers(cells, first, name), _decimals(cells))
    if not any(len(column.values) for name, column in columns.items() if name != "time"):
        raise UnreadableFileError(f"Line {at + 1} names the channels, but no sample follows it.")
    return Table(columns, at)


def _rows(lines: Sequence[str], first: int, delimiter: str | None, width: int) -> list[list[str]]:
    """
    Return the cells of each row, up to a line behind an empty one that is no row.

    Some programs write an empty line behind each row; what follows the samples begins otherwise.
    """
    rows: list[list[str]] = []
    is_behind_empty = False
    for number_of_line, line in enumerate(lines[first:], first + 1):
        if _is_empty(line):
            is_behind_empty = True
            continue
        cells = cells_of(line, delimiter)
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if is_behind_empty and not (len(cells) == width and is_number(cells[0] or "0")):
            break
        is_behind_empty = False
        if len(cells) != width:
            is_ambiguous = delimiter == "," and len(cells) == 2 * width
            hint = (
                " Decimal commas look like separators here; export with decimal points."
                * is_ambiguous
            )
            raise UnreadableFileError(
                f"Line {number_of_line} has {len(cells)} values, expected {width}.{hint}"
            )
        rows.append(cells)
    return rows


def _is_empty(line: str) -> bool:
    return not line.strip(' \t\r\n,;"')


def _numbers(cells: list[str], first: int, name: str) -> NDArray[np.float64]:
    try:
        return np.array([number(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        for number_of_line, cell in enumerate(cells, first + 1):
            if not is_number(cell):
                raise UnreadableFileError(
                    f"Line {number_of_line}, {name}: {cell!r} is no number. A sample is missing, "
                    "or the file is damaged; export it again."
                ) from None
        raise


def _decimals(cells: Sequence[str]) -> int:
    return max((len(cell.replace(",", ".").partition(".")[2]) for cell in cells[:1000]), default=0)


def step_of(column: Column) -> float:
    """
    Return one count of a column, found from the distances between its values.

    Printed values are rounded: 7, 8 and 9 counts of 0.007874 mm/s are 0.055, 0.063 and 0.071. The
    common distance is estimated from the smallest values, then from ever larger ones. Where no
    distance explains all values, or all are zero, the last printed digit is the step.
    """
    digit = float(10**-column.decimals)
    found = np.unique(np.abs(column.values))
    found = found[found > digit / 2]
    if not len(found):
        return digit
    distances = np.diff(np.concatenate(([0.0], found)))[:32]
    step = float(np.median(distances))
    if step <= 2 * digit or len(distances) < MIN_VALUES:
        return digit
    for most in (8, 32, 128, 512, 2048):
        near = found[found < (most + 0.5) * step]
        counts = np.round(near / step)
        if not counts.any():
            return digit
        step = float(near @ counts / (counts @ counts))
    # From 10 on, one decimal less is printed.
    allowed = np.where(found < 10, 1.0, 10.0) * digit
    is_explained = np.abs(found - np.round(found / step) * step) <= allowed
    return step if is_explained.all() else digit
