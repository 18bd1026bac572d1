"""How long to wait: one value for connect, reply and the whole operation."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "Deadlines",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """
    The deadlines of a session, in seconds. Every wait has one.

    A reply deadline of 10 s is safe by field captures over a cellular modem, which may delay bytes
    by a second (wire notebook, timing). A unit on a cable answers in well under one.

    >>> Deadlines(reply_s=2.0).connect_s
    10.0
    """

    connect_s: float = 10.0
    """From the start of the attempt to connect to an open link."""
    reply_s: float = 10.0
    """From a request's last byte to its reply's last byte."""
    operation_s: float = 900.0
    """Progress of one operation: from one event of a walk, or chunk of a download, to the next."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "reply_s", "operation_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be more than 0 s and finite, got {value}")
