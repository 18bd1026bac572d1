"""
A walk over a unit's event memory: what was read so far, and when it is a proven list. Pure.

The rule. A list is proven when it was walked between two probes that are equal, or of which the
second is a confirmed growth of the first: the record that was the last one is unchanged, and as
many events follow it as the lifetime counter rose. So a unit that records while it is read still
gets a list: that of what was stored when the read began.

A walk may be cut and go on in a later session. What was read before is joined to what is read now
by the same comparison of probes; the last event known is read again, as proof, before the next.

A probe is not taken at one instant: its storage range comes first, its counter last. An event that
is recorded in between leaves a *torn* probe, whose counter is ahead of its last key. A torn probe
as the earlier one shows more events than its counter explains; an erase shows fewer, since
recording the slots again raises the counter as well. So a torn probe proves no list. The first of a
session must not be torn (its storage range is read again), since later ones are compared with
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from minimateplus.model import Event, MemoryProbe
from sfm.cache import identity
from sfm.cache.identity import Verdict, counter_rise
from sfm.records import payloads
from sfm.records.payloads import Payload

__all__ = ["ProvenPart", "Walk"]


@dataclass(slots=True)
class Walk:
    """
    The events of one memory as far as they are known, from the first on without a gap.

    Args:
        epoch: which memory, in the cache's counting.
        known: events of a proven list that this walk continues; they were not read again.
        anchor: the probe under which ``known`` was proven; ``None`` when ``known`` is empty.
    """

    epoch: int
    known: list[Payload] = field(default_factory=list)
    anchor: MemoryProbe | None = None
    events: list[Event] = field(default_factory=list)
    """Events read by this walk, in this session and in earlier ones; they follow ``known``."""
    probes: list[MemoryProbe] = field(default_factory=list)
    """Taken on the way, the earliest first."""
    first_new_probe: int = 0
    """Which of them is the first of the present session."""
    began_mono: float = 0.0
    """When the present session's first read began."""
    session_events: int = 0
    """How many of ``events`` were read in earlier sessions."""

    def begin_session(self, probe: MemoryProbe, began_mono: float) -> None:
        """Note that the walk goes on in a new session, which begins with ``probe``."""
        self.first_new_probe = len(self.probes)
        self.probes.append(probe)
        self.began_mono = began_mono
        self.session_events = len(self.events)

    def forget_session(self) -> None:
        """Drop what the present session brought: another program was heard on the line."""
        del self.events[self.session_events :]
        del self.probes[self.first_new_probe :]

    @property
    def count(self) -> int:
        """How many events are known."""
        return len(self.known) + len(self.events)

    @property
    def last(self) -> Event | None:
        """The last event known, with its record where that was kept."""
        if self.events:
            return self.events[-1]
        if not self.known or self.anchor is None:
            return None
        return replace(payloads.event_of(self.known[-1]), record=self.anchor.last_record)

    def payloads(self, count: int | None = None) -> list[Payload]:
        """Return the first ``count`` events, or all, as the cache stores them."""
        every = self.known + [payloads.event_payload(event) for event in self.events]
        return every if count is None else every[:count]

    def share_walked(self) -> float | None:
        """Return which share of the memory is behind the walk, by addresses; ``None``: unknown."""
        probe, last = (self.probes[-1] if self.probes else self.anchor), self.last
        if probe is None or probe.first_key is None or probe.last_key is None or last is None:
            return None
        first, end = _address(probe.first_key), _address(probe.last_key)
        if end <= first:
            return 1.0
        return min(1.0, max(0.0, (_address(last.key) - first) / (end - first)))

    @property
    def judge(self) -> MemoryProbe | None:
        """The probe that later ones are compared with: of the proven list, else the latest."""
        return self.probes[-1] if self.anchor is None and self.probes else self.anchor

    def drop_torn(self, now: MemoryProbe, volatile: frozenset[int]) -> None:
        """
        Drop later probes of the session that was cut which ``now`` shows to have been torn.

        Compared with a torn one, ``now`` seems to be another memory; compared with the one before,
        growth that the counts confirm or not. An erase is never mistaken for that: each slot
        that was recorded again has raised the counter as well.
        """
        while (
            self.anchor is None
            and len(self.probes) - 1 > self.first_new_probe
            and identity.compare_probes(self.probes[-1], now, volatile) is Verdict.REPLACED
            and identity.compare_probes(self.probes[-2], now, volatile) is Verdict.GREW
        ):
            del self.probes[-1]

    def joins(self, probe: MemoryProbe, volatile: frozenset[int]) -> Verdict:
        """Return the verdict of ``probe`` on the memory that this walk has read so far."""
        return identity.compare_probes(self.judge, probe, volatile)

    def proven_part(
        self, closing: MemoryProbe, volatile: frozenset[int], *, is_last: bool = False
    ) -> ProvenPart | None:
        """
        Return the longest part that ``shutting-down``, taken just now, proves; ``None``: it proves
        none.

        ``shutting-down`` need not be among ``probes`` yet; events must have been read up to its
        last key. With ``is_last`` it is the last of them, and nothing was recorded since it was
        taken: then it closes itself, and all that was read is proven.
        """
        for at in reversed(range(self.first_new_probe, len(self.probes))):
            probe = self.probes[at]
            if probe is closing and not is_last:
                continue
            if not self._confirms(probe, closing, volatile):
                continue
            # What was read behind a proven list is joined to that.
            earlier = self.probes[:at] if self.anchor is None else self.probes[:0]
            if not all(self._leads_to(other, probe, volatile) for other in earlier):
                continue
            if self.anchor is not None and not (
                self._confirms(self.anchor, probe, volatile)
                or self._confirms(self.anchor, closing, volatile)
            ):
                continue
            count = 0 if probe.is_empty else self._position(probe)
            if count is None:
                continue
            is_counted = None not in (probe.lifetime_count, closing.lifetime_count)
            rise = counter_rise(probe, closing) if is_counted else None
            return ProvenPart(probe=probe, count=count, recorded_since=rise)
        return None

    def _confirms(self, before: MemoryProbe, now: MemoryProbe, volatile: frozenset[int]) -> bool:
        """Whether ``now`` is equal to ``before``, or its confirmed growth."""
        verdict = identity.compare_probes(before, now, volatile)
        if verdict is Verdict.UNPROVEN:
            # A unit that does not answer a part: equal in all that it answers, within one session.
            return before == now and not before.differing_offsets(now) - volatile
        if verdict is Verdict.SAME:
            return before.is_empty or self._position(before) is not None
        rise = self._rise_in_walk(before, now)
        return verdict is Verdict.GREW and rise == counter_rise(before, now)

    def _leads_to(self, before: MemoryProbe, now: MemoryProbe, volatile: frozenset[int]) -> bool:
        """Whether no erase came between the two, though ``before`` may be torn; see the module."""
        verdict = identity.compare_probes(before, now, volatile)
        if verdict is Verdict.GREW:
            rise = self._rise_in_walk(before, now)
            return rise is not None and rise >= counter_rise(before, now)
        return verdict is Verdict.SAME

    def _rise_in_walk(self, before: MemoryProbe, now: MemoryProbe) -> int | None:
        first, last = self._position(before), self._position(now)
        return None if first is None or last is None else last - first

    def _position(self, probe: MemoryProbe) -> int | None:
        """Return how many events lead to the probe's last one, if that was met unchanged."""
        if probe.last_key is None:
            return self.count  # the unit does not report its memory's end: the chain of keys does
        key = probe.last_key.hex()
        for at in range(self.count - 1, -1, -1):
            if at < len(self.known):
                payload = self.known[at]
                if payload["waveform_key"] == key:
                    is_same = payload["timestamp"] == probe.last_timestamp
                    return at + 1 if is_same else None
            elif (event := self.events[at - len(self.known)]).key == probe.last_key:
                return at + 1 if _is_last_of(event, probe) else None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenPart:
    """The beginning of a walk that was complete when ``probe`` was taken."""

    probe: MemoryProbe
    count: int
    recorded_since: int | None
    """Events recorded since, as far as the unit counts them; ``None``: it does not."""


def _is_last_of(event: Event, probe: MemoryProbe) -> bool:
    moment = event.device_time
    facts: tuple[Any, ...] = (None if moment is None else moment.isoformat(),)
    expected: tuple[Any, ...] = (probe.last_timestamp,)
    if probe.last_peaks is not None:
        facts += (event.peaks, event.project)
        expected += (probe.last_peaks, probe.last_project)
    return facts == expected


def _address(key: bytes) -> int:
    return int.from_bytes(key, "big")
