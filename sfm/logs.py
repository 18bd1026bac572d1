"""The log: one line an event, to standard error; JSON where nobody looks."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog


class _BestEffort:
    """
    A text file that loses a line rather than fail the caller.

    Standard error may be a file on a full disk, or a pipe that nobody reads any more. What was
    logged is lost then; the read or the command that logged it is not.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def configure_logs(*, quiet: bool = False) -> None:
    """
    Write the relay's log to standard error, coloured for a terminal, JSON otherwise.

    ``quiet`` is for a command that says itself what went wrong: nothing is written.
    """
    looked_at = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        # With quotes and escapes: what a unit says moves no cursor and forges no line.
        structlog.dev.ConsoleRenderer(repr_native_str=True)
        if looked_at
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.CRITICAL if quiet else logging.NOTSET
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _BestEffort(sys.stderr))),
    )
