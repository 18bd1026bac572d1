"""The names of the files attached to a report; of several events, behind each one's own."""

from __future__ import annotations

from typing import Final

__all__ = ["RECORD", "RESULT"]

RECORD: Final = "record.csv"
RESULT: Final = "result.json"
