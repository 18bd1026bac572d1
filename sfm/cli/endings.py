"""How a command ends that met an error of another layer: what is printed, and the exit status."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import SettingsError

from minimateplus.errors import MiniMateError
from sfm.api.problems import problem_payload
from sfm.cli.application import CommandError
from sfm.cli.exits import FAILED, MISUSED, REFUSED, status_of
from sfm.exports.errors import ExportError
from sfm.reports.errors import ReportError
from sfm.server import CertificateError, PortTakenError
from sfm.settings import SettingsFileError, fault_lines
from sfm.store import StoreError
from sfm.store.errors import StoreInUseError, WrongUrlError

__all__ = ["ending_of"]

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (PortTakenError, FAILED),
    (CertificateError, MISUSED),
    (SettingsFileError, MISUSED),
    (WrongUrlError, MISUSED),
    (StoreInUseError, REFUSED),
    (ReportError, REFUSED),
)
"""Of errors that no request can meet, or that mean something else on the command line."""


def ending_of(error: Exception) -> CommandError | None:
    """Return how a command ends that met ``error``; ``None``: nobody expected it."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return CommandError(str(error), status)
    if isinstance(error, MiniMateError | StoreError | ExportError):
        problem = problem_payload(error)
        return CommandError(str(error), status_of(problem), problem)
    if isinstance(error, ValidationError | SettingsError):
        return CommandError("\n".join(fault_lines(error)), MISUSED)
    return None
