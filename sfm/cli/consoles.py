"""
Standard output and standard error, as wide and with the letters that there are.

A terminal has its own width. A pipe or a file has no width, so nothing is folded or left out in it
unless ``COLUMNS`` gives one. What the encoding of either lacks, such as that of a Windows terminal
(cp1252), is shown with plain signs instead of ending the command.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from rich.console import Console, ConsoleDimensions

__all__ = ["AnyConsole", "replace_missing_letters"]

PIPE_COLUMNS = 10_000


class AnyConsole(Console):
    """A console that knows the encoding of its file; in a pipe it is ``pipe_columns`` wide."""

    pipe_columns = PIPE_COLUMNS

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if "width" not in options:
            self._width = None  # ``COLUMNS`` is read when something is printed, not now

    @property
    def size(self) -> ConsoleDimensions:
        """Width and height in characters."""
        if self._width is None and not self.is_terminal and "COLUMNS" not in os.environ:
            return ConsoleDimensions(self.pipe_columns, 25)
        return Console.size.fget(self)  # type: ignore[attr-defined, no-any-return]

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    @property
    def encoding(self) -> str:
        """The encoding of the file that is written to now."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()


def replace_missing_letters() -> None:
    """Let what an encoding lacks become ``?`` on both outputs, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        # A stream that is no text file of ours, or in the middle of a file, stays as it is.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
