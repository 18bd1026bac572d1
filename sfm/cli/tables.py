"""
Tables that never cut a figure.

A terminal that is too narrow for all columns of a list gets whole columns, and a line that names
those left out. Texts are folded, figures are not. Where there is no terminal, nothing is narrow
(``sfm.cli.consoles``).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

__all__ = ["Head", "ListTable", "facts_table"]

FOLDED_COLUMNS = 12
"""How narrow a column of texts may become before another column is left out for it."""
WIDE_COLUMNS = 10_000


@dataclass(frozen=True, kw_only=True)
class Head:
    """
    The head of a column.

    Args:
        name: with the unit of measure in a second line, if there is one.
        is_right: figures stand at the right.
        is_text: may be folded.
        rank: of two columns, the one with the higher rank is left out first; then the later one.
    """

    name: str
    is_right: bool = False
    is_text: bool = False
    rank: int = 1


class ListTable(Table):
    """A table with a row for each of many things. Its first column is never left out."""

    def __init__(self, *heads: Head | str, gap: int = 2) -> None:
        super().__init__(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
        self._gap = gap
        self.heads = [Head(name=one) if isinstance(one, str) else one for one in heads]
        for head in self.heads:
            self.add_column(
                head.name,
                justify="right" if head.is_right else "left",
                no_wrap=not head.is_text,
                overflow="fold",
            )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update(width=WIDE_COLUMNS)
        widths = [self._width(console, wide, n) for n in range(len(self.columns))]
        kept = list(range(len(self.columns)))
        while len(kept) > 1:
            needed = sum(widths[n] for n in kept) + self._gap * (len(kept) - 1)
            if needed <= options.max_width:
                break
            kept.remove(max(kept[1:], key=lambda n: (self.heads[n].rank, n)))
        shown = copy.copy(self)
        shown.columns = [
            dataclasses.replace(self.columns[n], _index=place) for place, n in enumerate(kept)
        ]
        yield from Table.__rich_console__(shown, console, options)
        if len(kept) < len(self.columns):
            names = (
                self.heads[n].name.partition("\n")[0]
                for n in range(len(self.columns))
                if n not in kept
            )
            yield Text(f"Too narrow for: {', '.join(names)}.", "dim")

    def _width(self, console: Console, options: ConsoleOptions, number: int) -> int:
        """Return how wide a column must be, in characters."""
        column: Column = self.columns[number]
        cells: list[RenderableType] = [column.header, *column.cells]
        width = max(Measurement.get(console, options, cell).maximum for cell in cells)
        return min(width, FOLDED_COLUMNS) if self.heads[number].is_text else width


def facts_table(rows: Iterable[tuple[RenderableType, RenderableType]]) -> Table:
    """Return a table of names and values, one in each row; long values are folded."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table
