"""The log: one line per event on standard error; JSON unless it is a terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TextIO, cast

import structlog

__all__ = ["CLIENT_LINE_S", "ClientLog", "configure_logs"]

CLIENT_LINE_S = 60.0
MAX_CLIENTS = 10_000
"""Clients that are remembered at once; the one that caused a line longest ago goes first."""


class ClientLog:
    """
    Lines that clients can cause at will: one for each client and minute, the rest counted.

    Lives as long as the application. Bounded, so that no client can fill the disk or the memory.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When each last had a line, and how many were left out since."""

    def write(self, line: Callable[..., Any], event: str, client: str, **fields: Any) -> None:
        """
        Write a line unless that client had one within the last minute.

        Args:
            line: the method of a logger.
            event: what happened.
            client: the network that counts as one client (``sfm.access.principal.rate_limit_key``).
            fields: what else the line says.
        """
        now = self._clock()
        then, left_out = self._clients.get(client, (-CLIENT_LINE_S, 0))
        if now - then < CLIENT_LINE_S:
            self._clients[client] = (then, left_out + 1)
            return
        self._clients[client] = (now, 0)
        self._clients.move_to_end(client)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        if left_out:
            fields["left_out"] = left_out
        line(event, client=client, **fields)


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
    is_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        # With quotes and escapes: what a unit says moves no cursor and forges no line.
        structlog.dev.ConsoleRenderer(repr_native_str=True)
        if is_terminal
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
            logging.CRITICAL if quiet else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _BestEffort(sys.stderr))),
    )
