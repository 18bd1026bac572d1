"""What a read of a unit brings, before it becomes an answer to a reader."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minimateplus.client import MiniMate
from minimateplus.errors import (
    DeadlineError,
    KeyChainError,
    LinkError,
    MemoryChangedError,
    NoSuchEventError,
    OutcomeUnknownError,
    ReadBackError,
    RemoteProtocolError,
    ReplyTimeoutError,
    SampleDecodeError,
)
from sfm.live_cache import Memo
from sfm.records.payloads import Payload

__all__ = [
    "ATTEMPTS_WHILE_CHANGING",
    "DISK",
    "NO_FACTS",
    "ArchivedFacts",
    "ReadTimes",
    "Reading",
    "Source",
    "Why",
    "event_at",
    "is_unreachable",
    "memory_keeps_changing",
]

ATTEMPTS_WHILE_CHANGING = 3
"""How often a read starts again when the unit is erased during it, or contradicts itself."""

Why = Literal["hit", "miss", "request", "stale", "partial"]
"""Why the device was read, in the words of RFC 9211 (``fwd=``); ``hit`` when nothing was."""

Source = Literal["device", "cache", "disk"]
"""``disk``: read before the relay's last start, or loaded again from the database."""

DISK = "disk"
"""The source of what was read before the relay's last start."""


@dataclass(frozen=True, slots=True)
class ArchivedFacts:
    """What the archive knows of a list's events and their records do not say. Never changed."""

    epoch: int
    """Of which memory; with another one they are forgotten."""
    by_index: Mapping[int, Payload]
    """``verdicts`` and ``no_verdict``; of an event whose samples gave it, ``geo_range_in_s``."""


NO_FACTS = ArchivedFacts(-1, {})


@dataclass(slots=True, kw_only=True)
class Reading:
    """
    What a read brings for all readers that share it. Nobody changes it.

    (Not frozen, as ``Provenance`` is not: each hit makes one.)
    """

    produce: Callable[[], Any]
    """Returns the payload."""
    why: Why
    read_began_mono: float
    route: str
    """The key of the route over which it was read."""
    epoch: int
    serial: str | None
    """Which unit was asked."""
    simulated: bool | None
    """Whether that unit says it is a simulation; ``None``: it was not asked."""
    checked_mono: float | None = None
    """When the unit was last asked whether its memory still contains the value."""
    exchanges: int = 0
    took_s: float = 0.0
    stored: bool = False
    """Whether it was stored in the cache."""
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)
    """What readers derived from the payload, such as its encoded body; they share it."""
    source: Source = "device"
    facts: ArchivedFacts = NO_FACTS
    """Of a list: what the archive adds to its events."""
    recorded_since: int | None = None
    """Of a list: events that the unit recorded while it was read; ``None``: not known."""
    is_of_beginning: bool = False
    """Whether a list is proven as of the read's beginning only: the unit keeps recording."""


class ReadTimes:
    """How long reads took, as a histogram: readings up to each bound."""

    BOUNDS_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, math.inf)

    def __init__(self) -> None:
        self.counts = [0] * len(self.BOUNDS_S)
        self.sum_s = 0.0

    def add(self, took_s: float) -> None:
        """Count one read."""
        self.counts[bisect_left(self.BOUNDS_S, took_s)] += 1
        self.sum_s += took_s


def is_unreachable(error: Exception) -> bool:
    """Whether an error means that the unit cannot be read now, by its own fault or the link's."""
    if isinstance(error, KeyChainError | SampleDecodeError | ReadBackError):
        return False  # it answers well; what it contains is damaged, or not what was written
    if isinstance(error, OutcomeUnknownError):
        return True
    return isinstance(error, LinkError | ReplyTimeoutError | DeadlineError | RemoteProtocolError)


def event_at(events: list[Payload], index: int, unit: str) -> Payload:
    """
    Return the event with that index.

    Raises:
        NoSuchEventError: the list has none.
    """
    for event in events:
        if event["index"] == index:
            return event
    numbers = [event["index"] for event in events]
    known = f"{len(events)}, numbered {min(numbers)} to {max(numbers)}" if numbers else "none"
    raise NoSuchEventError(f"{unit}: no event {index}; the unit stores {known}")


def memory_keeps_changing(unit: MiniMate) -> MemoryChangedError:
    """Return the error of a read that started again as often as it may."""
    return MemoryChangedError(
        f"{unit.name}: the unit's memory changed during each of {ATTEMPTS_WHILE_CHANGING} "
        "reads; it may be recording; ask again in a moment"
    )
