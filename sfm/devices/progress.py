"""
The steps of a device's reads, as a short history that can be followed and resumed.

The rule: a follower that names the last entry it received gets every later entry that is still
here, then each new one as it comes. Entries are numbered without gaps while the relay runs; the
number carries the relay's mark, so that an entry of an earlier start is not mistaken for one of
this start.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Entry", "ProgressLog", "report_step"]

MAX_ENTRIES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One step: ``begun``, ``step``, ``done`` or ``failed``, of which read, how far."""

    number: int
    kind: str
    data: dict[str, Any]


def report_step(log: ProgressLog, kind: str, **data: Any) -> None:
    """Append a step to ``log``. If that fails, the step is lost, and never the read itself."""
    with contextlib.suppress(Exception):
        log.add(kind, **data)


class ProgressLog:
    """The last steps of one device's reads. Lives as long as its device; ``close`` ends it."""

    def __init__(self, mark: str | None = None) -> None:
        self.mark = mark or secrets.token_hex(4)
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._count = 0
        self.continued: set[str] = set()
        """What began before a first contact, and goes on with the unit that was met."""
        self._closed = False
        self._grown = asyncio.Event()

    def add(self, kind: str, **data: Any) -> None:
        """Append a step and wake the followers."""
        self._count += 1
        self._entries.append(Entry(self._count, kind, data))
        self._wake()

    def close(self) -> None:
        """End every follower after what it has not received yet."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def id_of(self, entry: Entry) -> str:
        """Return the id with which a follower may resume after ``entry``."""
        return f"{self.mark}.{entry.number}"

    def number_after(self, last_id: str | None) -> int:
        """Return after which entry a follower continues; 0: it has received none so far."""
        mark, _, number = (last_id or "").partition(".")
        return int(number) if mark == self.mark and number.isdecimal() else 0

    async def follow(self, last_id: str | None = None) -> AsyncIterator[Entry]:
        """Yield the entries after ``last_id``, then each new one, until the log is closed."""
        seen = self.number_after(last_id)
        while True:
            grown = self._grown
            for entry in [e for e in self._entries if e.number > seen]:
                seen = entry.number
                yield entry
            if self._closed:
                return
            if grown is self._grown:
                await grown.wait()
