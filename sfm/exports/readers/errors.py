"""What can be wrong with a file."""

from __future__ import annotations

from sfm.errors import SfmError

__all__ = ["UnreadableFileError"]


class UnreadableFileError(SfmError):
    """A file has no samples that can be analysed; the message tells what is in the way."""
