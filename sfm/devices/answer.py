"""An answer to a reader: a payload, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sfm.devices.reading import NO_FACTS, ArchivedFacts, Reading, Source, Why, event_at
from sfm.live_cache import Memo
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.records.site_time import is_credible

__all__ = ["Answer", "Provenance", "Quality", "answer_of", "event_answer"]

PICKED_BYTES = 1024
"""What the payload of one event takes in memory, about."""

Quality = Literal["good", "partial", "unchecked", "last_known", "not_verified_since_restart"]
"""
``partial``: ``reasons`` says what of a waveform is missing, contradicted or not certain; or the
list is not whole (``is_complete``). ``unchecked``: the reader asked not to ask the unit, and
nothing proved lately that this is still so. ``last_known``: the unit could not be read.
``not_verified_since_restart``: as one of these two, and the unit was not read since the relay
started; only a reader who asked for either gets it.
"""


@dataclass(slots=True, kw_only=True)
class Provenance:
    """
    Where an answer comes from. Made for each answer, since it ages; nobody changes it.

    (Not frozen: that would make each one three times as expensive, on the path of every hit.)
    """

    conn_key: str
    """The route over which it was read."""
    serial: str | None
    epoch: int
    """Which memory of the unit this is of; rises with every erase that was noticed."""
    source: Source
    why: Why
    quality: Quality
    read_at: str | None
    """When the device read began, UTC, by the host's clock; ``None``: that was never set."""
    age_s: float
    """Seconds since then, by the monotonic clock; ``inf``: unknown, the machine started since."""
    checked_age_s: float | None
    """Seconds since the unit was last asked whether this is still so; ``None``: it was not."""
    exchanges: int
    """Requests sent to the unit for this answer."""
    took_s: float
    """How long the connection was used for it."""
    stored: bool
    """Whether what was read is now stored."""
    store_problem: str | None
    """What is wrong with the database now, in a word; ``None``: nothing."""
    ttl_s: float | None
    """Seconds for which it may be served again without asking the unit; ``None``: no such time."""
    shared: bool
    """Whether another reader's read brought it."""
    simulated: bool | None
    """Whether the unit says of itself that it is a simulation; ``None``: it was not asked."""
    reasons: list[Payload] = field(default_factory=list)
    """Why it is partial: a stable code and a sentence each."""

    @property
    def confirmed_age_s(self) -> float:
        """Seconds since the unit last confirmed it, by the read or a later proof; or ``inf``."""
        return self.age_s if self.checked_age_s is None else min(self.age_s, self.checked_age_s)


@dataclass(slots=True)
class Answer:
    """A payload with its provenance. Readers of one read share the payload: nobody changes it."""

    provenance: Provenance
    produce: Callable[[], Any]
    memo: Memo
    """What was derived from the payload before, such as its body; shared with the cache."""
    part: str = ""
    """Of one event out of a list: what its entries in the list's memo begin with."""
    facts: ArchivedFacts = NO_FACTS
    """What the archive adds to the events of a list."""
    instead_of: Exception | None = None
    """The failure that this last known or partial answer stands in for."""
    recorded_since: int | None = None
    """Of a list: events that the unit recorded since its read began; ``None``: not known."""
    is_complete: bool = True
    """False for a list of which only the beginning was read."""

    @property
    def value(self) -> Any:
        """The payload."""
        return self.produce()

    def derived(self, part: str, produce: Callable[[], Any]) -> Answer:
        """
        Return an answer with something computed from the payload, and the same provenance.

        Args:
            part: what its entries in the memo begin with.
            produce: returns the payload; the same one for each answer of that part.
        """
        return Answer(self.provenance, produce, self.memo, part)


def answer_of(
    reading: Reading,
    now_mono: float,
    wall: Callable[[], datetime],
    *,
    store_problem: str | None = None,
    shared: bool = False,
    quality: Quality | None = None,
    ttl_s: float | None = None,
) -> Answer:
    """
    Return a reading as an answer, aged by now.

    Args:
        reading: what was read, or cached.
        now_mono: the monotonic clock.
        wall: the time of day, UTC; asked once for each reading.
        store_problem: what is wrong with the database now.
        shared: whether another reader's read brought it.
        quality: by the reading's own reasons, if not given.
        ttl_s: for how long it may be served again.
    """
    age_s = max(0.0, now_mono - reading.read_began_mono)
    checked, memo = reading.checked_mono, reading.memo
    if memo.get("read_at") is None:
        # What was loaded from disk brings its own.
        memo["read_at"] = _read_at(age_s, wall)
    reasons = _reasons(reading)
    provenance = Provenance(
        conn_key=reading.route,
        serial=reading.serial,
        epoch=reading.epoch,
        source=reading.source,
        why=reading.why,
        quality=quality or ("partial" if reasons else "good"),
        read_at=memo["read_at"],
        age_s=round(age_s, 3),
        checked_age_s=None if checked is None else round(max(0.0, now_mono - checked), 3),
        exchanges=reading.exchanges,
        took_s=round(reading.took_s, 3),
        stored=reading.stored,
        store_problem=store_problem,
        ttl_s=ttl_s,
        shared=shared,
        simulated=reading.simulated,
        reasons=reasons,
    )
    return Answer(
        provenance,
        reading.produce,
        memo,
        facts=reading.facts,
        recorded_since=reading.recorded_since,
    )


def event_answer(answer: Answer, index: int, unit: str) -> Answer:
    """
    Return one event out of a list's answer; it is picked once for all readers.

    Raises:
        NoSuchEventError: the list has no such index.
    """
    part = f"event {index} "
    picked = answer.memo.get(part + "picked")
    if picked is None:
        picked = event_at(answer.value, index, unit)
        answer.memo.save(part + "picked", picked, PICKED_BYTES)
    return Answer(answer.provenance, lambda: picked, answer.memo, part, answer.facts)


def _read_at(age_s: float, wall: Callable[[], datetime]) -> str | None:
    """Return when a value of that age was read, unless the host's clock cannot be right."""
    if not math.isfinite(age_s):
        return None
    began = wall() - timedelta(seconds=age_s)
    return began.isoformat(timespec="milliseconds") if is_credible(began) else None


def _reasons(reading: Reading) -> list[Payload]:
    """Return why what was read is partial; derived once for all readers."""
    if "reasons" not in reading.memo:
        reading.memo["reasons"] = payloads.reasons_of(reading.produce())
    reasons: list[Payload] = reading.memo["reasons"]
    return reasons
