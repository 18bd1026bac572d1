"""Public ids of recordings: what names a recording in every database alike."""

from __future__ import annotations

import re
from hashlib import blake2b

__all__ = ["ID", "public_id"]

SHORTEST_PREFIX = 8
ID = re.compile(r"[0-9a-f]{8,64}")
"""An id, or the beginning of one."""


def public_id(serial: str, waveform_key: str, event_timestamp: str, record: bytes) -> str:
    """
    Return a recording's id: BLAKE2b-256 over four parts, each behind its length (4 bytes, big).

    Args:
        serial: of the unit, UTF-8.
        waveform_key: eight hex digits, in lower case.
        event_timestamp: the unit's time, ISO 8601 without zone; empty where it is unknown.
        record: the unit's own record, byte for byte.

    >>> public_id("BE12345", "01110000", "2026-03-01T10:00:00", b"")[:16]
    '171d8fe0c89abe97'
    """
    out = blake2b(digest_size=32)
    for part in (serial.encode(), waveform_key.encode(), event_timestamp.encode(), record):
        out.update(len(part).to_bytes(4, "big"))
        out.update(part)
    return out.hexdigest()
