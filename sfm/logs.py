"""The log: one line an event, to standard error; JSON where nobody looks."""

from __future__ import annotations

import logging
import sys

import structlog


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
