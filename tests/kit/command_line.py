"""One command line run in this process; what nobody caught is part of how it ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sfm.cli import app

UNIT_COMMANDS = [
    "info",
    "events",
    "waveform",
    "status",
    "start",
    "stop",
    "configure",
    "call-home",
    "erase",
    "rescue",
    "fetch",
    "analyse",
    "export",
]
ROSTER_COMMANDS = ("token", "audit", "unit", "location", "limits")

Call = Callable[..., tuple[int | str, str, str]]
"""Runs words; returns the exit status, or the uncaught error in words, and both outputs."""


def directly(words: tuple[str, ...]) -> list[str]:
    """Return a command line that asks no relay, unless it says itself whom it asks."""
    chosen = {"--relay", "--direct", "--database", "--help"} & set(words)
    may_choose = words[0] in (*UNIT_COMMANDS, *ROSTER_COMMANDS) and words[:2] != ("audit", "verify")
    return [*words, "--direct"] if may_choose and not chosen else [*words]


def caller(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int | str, str, str]:
        status: int | str = 0
        try:
            app(directly(words), result_action="return_value")
        except SystemExit as end:
            status = int(end.code or 0)
        except Exception as error:
            status = f"traceback: {error!r}"
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call
