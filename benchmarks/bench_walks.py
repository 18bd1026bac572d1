"""
What a walk of the event list costs on links that are slow, cut, or shared with a busy site.

Two tables. The first: 300 events at several round trips, over a link that is never cut and over one
that is cut every 60 s; a reader asks again whenever the relay says to, until the list comes. The
second: a unit at 38,400 baud that records while its list is read.

The unit is the raw one of the tests, which shares no code with the product; the relay is production
with a database in memory, asked over HTTP. Time is virtual, so the seconds are exact.
``tests/sfm/devices/test_walk_figures.py`` asserts the bounds. Under 60 s.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

import httpx
from kit.raw_world import PROBLEM, RawWorld, round_trip_of_replies, serial_line
from kit.virtual_time import now_s, run

QUICK = os.environ.get("SFM_BENCH_QUICK") == "1"
EVENTS = 300
ROUND_TRIPS_S = (0.0, 0.1, 0.3, 0.5, 1.0)
CUT_EACH_S = (0.0, 60.0)
BAUD = 38_400
STORED = (20, 60, 300)
NEW_EACH_S = (2.0, 10.0, 60.0)
WARM_LISTS = 5
PAUSE_S = 5.0
MAX_ANSWERS = 400
MAX_WITHOUT_PROGRESS = 4
"""After so many answers, or so many that brought no new event, a run is given up."""
EXCHANGES_PER_EVENT = 10
"""0A, 0C and 1F of the event, 0A and 1F of the boundary record before it; each is two exchanges."""


@dataclass
class Walk:
    """One list, from the first request until it came."""

    seconds: float = 0.0
    contacts: int = 0
    """Connections that were opened."""
    exchanges: int = 0
    is_listed: bool = False
    overheads: list[int] = field(default_factory=list)
    """Of each contact: exchanges that read no new event."""
    read_twice: int = 0
    """Records read again that were neither the last known one at a contact nor the last stored."""
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def mean_overhead(self) -> float:
        """Exchanges a contact that read no new event."""
        return sum(self.overheads) / max(1, len(self.overheads))


async def walk(events: int, round_trip_s: float, cut_each_s: float) -> Walk:
    """Ask until the list comes; wait in between as long as the relay says."""
    async with RawWorld() as world:
        await world.with_disk()
        unit = world.unit.record(events, samples=16)
        world.connection.delay = round_trip_of_replies(round_trip_s)
        world.connection.cut_each_s = cut_each_s
        came, began = Walk(), now_s()
        last_known: set[bytes] = {unit.events[-1].key_bytes}
        known, spent, called, idle = 0, 0, 0, 0
        for _ in range(MAX_ANSWERS):
            answer = await world.get("/device/events")
            body = answer.json()
            # (What the unit gave does not tell: every probe reads the record of the last event.)
            new = (len(body["events"]) if "events" in body else body.get("walked", known)) - known
            if world.called > called:
                came.overheads.append(unit.exchanges - spent - EXCHANGES_PER_EVENT * new)
            known, spent, called = known + new, unit.exchanges, world.called
            if known:
                last_known.add(unit.events[known - 1].key_bytes)
            if answer.status_code == 200:
                came.is_listed = len(answer.json()["events"]) == events
                break
            came.problems[kind_of(answer)] += 1
            idle = 0 if new else idle + 1
            if idle == MAX_WITHOUT_PROGRESS:
                break
            await world.pause(float(answer.headers.get("Retry-After", PAUSE_S)))
        came.seconds = now_s() - began
        came.contacts, came.exchanges = world.called, unit.exchanges
        times = Counter(unit.records_read)
        came.read_twice = sum(n - 1 for key, n in times.items() if key not in last_known)
        return came


@dataclass
class Busy:
    """Lists of a unit that records meanwhile: one cold, then some warm."""

    answers: Counter[str] = field(default_factory=Counter)
    """How often each kind came: ``good``, or a problem."""
    behind: int = 0
    """Lists that lacked an event which was stored when the request came."""
    cold_s: float = 0.0
    cold_exchanges: int = 0
    warm_s: float = 0.0
    """The longest of the warm ones."""
    warm_exchanges: int = 0
    """The most of the warm ones."""


async def busy(stored: int, new_each_s: float) -> Busy:
    """Ask for a cold list and some warm ones while events come."""
    async with RawWorld() as world:
        await world.with_disk()
        unit = world.unit.record(stored, samples=16)
        world.connection.delay = serial_line(BAUD)
        came = Busy()
        async with world.recording(new_each_s, lambda: unit.record(samples=16)):
            for number in range(1 + WARM_LISTS):
                began, spent, before = now_s(), unit.exchanges, len(unit.events)
                answer = await world.get("/device/events")
                took_s, cost = now_s() - began, unit.exchanges - spent
                came.answers[kind_of(answer)] += 1
                if answer.status_code == 200:
                    came.behind += len(answer.json()["events"]) < before
                if number == 0:
                    came.cold_s, came.cold_exchanges = took_s, cost
                else:
                    came.warm_s = max(came.warm_s, took_s)
                    came.warm_exchanges = max(came.warm_exchanges, cost)
                await world.pause(PAUSE_S)
        return came


def kind_of(answer: httpx.Response) -> str:
    """Return the quality of an answer, or which problem it is."""
    body = answer.json()
    if answer.status_code == 200:
        return str(body["provenance"]["quality"])
    return str(body["type"]).removeprefix(PROBLEM)


def main() -> None:
    """Print both tables."""
    events = 40 if QUICK else EVENTS
    print(f"{events} events, asked for until the list comes; virtual time, raw unit")
    print(
        f"{'round trip s':>12}{'cut each s':>12}{'list':>6}{'s':>10}{'contacts':>10}"
        f"{'exchanges':>11}{'read twice':>12}{'overhead a contact':>20}{'most':>6}  problems"
    )
    for cut_each_s in CUT_EACH_S:
        for round_trip_s in ROUND_TRIPS_S[: 1 if QUICK else None]:
            one = run(walk(events, round_trip_s, cut_each_s))
            cut, came = cut_each_s or "never", "yes" if one.is_listed else "no"
            print(
                f"{round_trip_s:>12g}{cut:>12}{came:>6}"
                f"{one.seconds:>10,.1f}{one.contacts:>10,}{one.exchanges:>11,}{one.read_twice:>12,}"
                f"{one.mean_overhead:>20.1f}{max(one.overheads):>6}  {counts_text(one.problems)}"
            )
    print(
        f"\na unit that records while it is read, {BAUD:,} baud; 1 cold and {WARM_LISTS} warm lists"
    )
    print(
        f"{'stored':>12}{'one new each s':>16}{'cold s':>10}{'exchanges':>11}{'warm s':>10}"
        f"{'exchanges':>11}{'behind':>8}  answers"
    )
    for stored in STORED[: 1 if QUICK else None]:
        for new_each_s in NEW_EACH_S:
            two = run(busy(stored, new_each_s))
            print(
                f"{stored:>12}{new_each_s:>16g}{two.cold_s:>10.1f}{two.cold_exchanges:>11,}"
                f"{two.warm_s:>10.1f}{two.warm_exchanges:>11,}{two.behind:>8}  "
                f"{counts_text(two.answers)}"
            )


def counts_text(counts: Counter[str]) -> str:
    """Return counts as words."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


if __name__ == "__main__":
    main()
