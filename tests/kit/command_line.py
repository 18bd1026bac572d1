"""One command line run in this process; what nobody caught is part of how it ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sfm.cli import app

Call = Callable[..., tuple[int | str, str, str]]
"""Runs words; returns the exit status, or the uncaught error in words, and both outputs."""


def caller(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int | str, str, str]:
        status: int | str = 0
        try:
            app(list(words), result_action="return_value")
        except SystemExit as end:
            status = int(end.code or 0)
        except Exception as error:
            status = f"traceback: {error!r}"
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call
