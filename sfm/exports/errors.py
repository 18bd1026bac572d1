"""What can be wrong with an export."""

from __future__ import annotations

from sfm.errors import SfmError

__all__ = ["ExportError", "MissingExtraError", "UnwritableEventError"]


class ExportError(SfmError):
    """An event cannot be exported as it was asked for."""


class UnwritableEventError(ExportError):
    """The format cannot state what is known of this event without making more of it."""


class MissingExtraError(ExportError):
    """The format needs a package that is not installed."""
