"""Cursors: where the next page of the archive begins. Opaque to readers, checked on return."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import NamedTuple

from sfm.store.errors import BadCursorError

__all__ = ["MAX_PAGE_SIZE", "Cursor", "check_page_size"]

MAX_PAGE_SIZE = 1000
"""Rows on a page."""


def check_page_size(limit: int) -> None:
    """
    Return if a page may have ``limit`` rows.

    Raises:
        ValueError: it may not.
    """
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise ValueError(f"limit: expected 1 to {MAX_PAGE_SIZE}, got {limit}")


class Cursor(NamedTuple):
    """The last row of a page: its unit time, as text, and its number."""

    timestamp: str
    number: int

    def text(self) -> str:
        """Return its encoded form: letters, digits, ``-`` and ``_``."""
        return base64.urlsafe_b64encode(f"{self.number} {self.timestamp}".encode()).decode("ascii")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """
        Return the cursor that a reader sends back.

        Raises:
            BadCursorError: no page of this archive returned it.
        """
        try:
            number, _, timestamp = (
                base64.b64decode(text, b"-_", validate=True).decode().partition(" ")
            )
            if not (number.isascii() and number.isdigit() and len(number) < 19):
                raise ValueError(number)
            if timestamp and datetime.fromisoformat(timestamp).isoformat() != timestamp:
                raise ValueError(timestamp)
            place = cls(timestamp, int(number))
            if place.text() != text:
                raise ValueError(text)
        except (ValueError, binascii.Error) as error:
            raise BadCursorError(
                "this cursor is not one that a page gave; begin without"
            ) from error
        return place
