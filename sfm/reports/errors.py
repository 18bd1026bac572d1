"""What can go wrong with a report."""

from __future__ import annotations

from sfm.errors import SfmError

__all__ = ["NoTypesetterError", "ReportError"]


class ReportError(SfmError):
    """The report cannot be made as it was asked for."""


class NoTypesetterError(ReportError):
    """The extra ``report`` is not installed."""
