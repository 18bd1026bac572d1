"""Cursors: where the next page of the archive begins. Opaque to readers, checked on return."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import NamedTuple

from sfm.store.errors import BadCursorError


class Cursor(NamedTuple):
    """The last row of a page: its unit time, as text, and its number."""

    timestamp: str
    number: int

    def text(self) -> str:
        """Return it as it goes out: letters, digits, ``-`` and ``_``."""
        return base64.urlsafe_b64encode(f"{self.number} {self.timestamp}".encode()).decode("ascii")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """
        Return the cursor that a reader brings back.

        Raises:
            BadCursorError: no page of ours gave it.
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
