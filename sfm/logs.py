"""The log: one line per event on standard error, for people or as JSON."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, TextIO, cast

import structlog

__all__ = [
    "ACCESS_LOGGER",
    "CLIENT_LINE_S",
    "ClientLog",
    "configure_logs",
    "log_is_json",
    "reset_logs",
]

ACCESS_LOGGER = "uvicorn.access"

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


def configure_logs(
    *, quiet: bool = False, level: str = "info", kind: Literal["auto", "text", "json"] = "auto"
) -> None:
    """
    Write the relay's log to standard error, with that of every library in it.

    A JSON log contains nothing but JSON objects, one in each line: also warnings, what nobody
    caught, and the server's access log, go through it.

    Args:
        quiet: for a command that says itself what went wrong: nothing is written.
        level: the least severe lines that are written.
        kind: lines for people, or JSON; auto: for people on a terminal, otherwise JSON.
    """
    is_terminal = sys.stderr.isatty()
    sink = cast(TextIO, _BestEffort(sys.stderr))
    is_json = not quiet and (kind == "json" or (kind == "auto" and not is_terminal))
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if is_json
        # With quotes and escapes: what a unit says moves no cursor and forges no line.
        else structlog.dev.ConsoleRenderer(repr_native_str=True, colors=is_terminal)
    )
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    least = logging.CRITICAL if quiet else getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sink),
    )
    _catch_libraries(sink, shared, renderer, logging.CRITICAL + 1 if quiet else least)
    _State.is_json = is_json
    if is_json:
        sys.excepthook = _log_uncaught


def log_is_json() -> bool:
    """Whether standard error is a JSON log now, where no sentence for people belongs."""
    return _State.is_json


def reset_logs() -> None:
    """Undo ``configure_logs``; for tests, which run more than one command in a process."""
    structlog.reset_defaults()
    _State.is_json = False
    sys.excepthook = sys.__excepthook__
    logging.captureWarnings(False)
    if _State.handler is not None:
        logging.getLogger().removeHandler(_State.handler)
        _State.handler = None


class _State:
    """What ``configure_logs`` changed in this process."""

    is_json = False
    handler: logging.Handler | None = None


def _catch_libraries(
    sink: TextIO,
    shared: list[structlog.typing.Processor],
    renderer: structlog.typing.Processor,
    least: int,
) -> None:
    """Write what libraries log with the standard library's ``logging``, as our own lines."""
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            pass_foreign_args=True,
            foreign_pre_chain=[*shared, _access_fields, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    if _State.handler is not None:
        root.removeHandler(_State.handler)
    _State.handler = handler
    root.addHandler(handler)
    # Of libraries only what may need somebody: their information is about themselves.
    root.setLevel(max(least, logging.WARNING))
    logging.captureWarnings(True)


def _access_fields(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Return a line of uvicorn's access log with its parts as fields."""
    record: logging.LogRecord = event["_record"]
    parts = event.pop("positional_args", ())
    if record.name == ACCESS_LOGGER and len(parts) == 5:
        client, method, path, http, status = parts
        event.update(event="request", client=client, method=method, path=path)
        event.update(http=http, status=status)
    return event


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    structlog.get_logger(__name__).critical("uncaught", exc_info=(kind, error, trace))
