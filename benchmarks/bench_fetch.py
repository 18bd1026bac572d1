"""
What it costs to archive every event of a full unit, over a link that is cut every minute.

One fetch of 300 events at several round trips, over a link that is never cut and over one that is
cut every 60 s; then the latter again while a person reads the unit's status every 45 s. "Spent
twice" is what the unit was asked more often than over the link that is never cut.

The unit is the raw one of the tests, which shares no code with the product; the relay is production
with a database in memory, asked over HTTP. Time is virtual, so the seconds are exact.
``tests/sfm/devices/test_fetch.py`` asserts the bounds. Some minutes.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from dataclasses import dataclass, field

import structlog
from kit.raw_world import PROBLEM, RawWorld, round_trip_of_replies
from kit.virtual_time import now_s, run

QUICK = os.environ.get("SFM_BENCH_QUICK") == "1"
EVENTS = 300
SAMPLES = 600
"""Of each channel: images of three chunks."""
ROUND_TRIPS_S = (0.1, 0.3, 1.0)
CUT_EACH_S = 60.0
STATUS_EACH_S = 45.0
"""Longer than a status is served from the cache."""
POLL_S = 2.0
CHUNK_BYTES = 0x0400
"""What one 5A reads."""


@dataclass
class Fetch:
    """One fetch, from its request to its end."""

    state: str = ""
    seconds: float = 0.0
    contacts: int = 0
    """Connections that were opened."""
    exchanges: int = 0
    chunks_twice: int = 0
    """Chunks of images that were read once more."""
    whole: int = 0
    """Images in the archive that equal the unit's to the last byte."""
    first_s: float = 0.0
    """When the newest event was archived."""
    waits_s: list[float] = field(default_factory=list)
    """Of each status read."""
    answers: Counter[str] = field(default_factory=Counter)
    """Of the status reads: ``good``, or a problem."""


async def fetch(events: int, round_trip_s: float, cut_each_s: float, status_each_s: float) -> Fetch:
    """Fetch everything; read the status every so often meanwhile (0: never)."""
    async with RawWorld() as world:
        await world.with_disk()
        unit = world.unit.record(events, samples=SAMPLES)
        world.connection.delay = round_trip_of_replies(round_trip_s)
        world.connection.cut_each_s = cut_each_s
        came, began = Fetch(), now_s()
        location = (await world.post("/device/fetch")).headers["location"]
        person = asyncio.create_task(_person(world, came, status_each_s))
        while True:
            operation = (await world.get(location)).json()
            if not came.first_s and (operation["done"] or 0) > 0:
                came.first_s = now_s() - began
            if operation["state"] != "running":
                break
            await world.pause(POLL_S)
        person.cancel()
        await asyncio.wait((person,))
        came.state = operation["state"]
        came.seconds = now_s() - began
        came.contacts, came.exchanges = world.called, unit.exchanges
        chunks = sum(-(-len(event.image) // CHUNK_BYTES) for event in unit.events)
        came.chunks_twice = unit.asked[0x5A] - chunks
        true = {event.key_bytes.hex(): event.image for event in unit.events}
        for recording in await world.archived():
            came.whole += recording["images"] == [true[recording["waveform_key"]]]
        return came


async def _person(world: RawWorld, came: Fetch, each_s: float) -> None:
    while each_s:
        await asyncio.sleep(each_s)
        asked = now_s()
        answer = await world.get("/device/monitor/status")
        body = answer.json()
        came.waits_s.append(now_s() - asked)
        good = answer.status_code == 200
        came.answers["good" if good else body["type"].removeprefix(PROBLEM)] += 1


def main() -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    events = 12 if QUICK else EVENTS
    print(f"{events} events, one fetch; virtual time, raw unit; newest: when it was archived")
    print(
        f"{'round trip s':>12}{'cut each s':>12}{'status each s':>15}{'whole':>7}{'s':>8}"
        f"{'newest s':>10}{'contacts':>10}{'exchanges':>11}{'spent twice':>13}{'chunks twice':>14}"
        f"{'longest wait s':>16}  status reads"
    )
    for round_trip_s in ROUND_TRIPS_S[: 1 if QUICK else None]:
        uncut = 0
        for cut_each_s, status_each_s in (
            (0.0, 0.0),
            (CUT_EACH_S, 0.0),
            (CUT_EACH_S, STATUS_EACH_S),
        ):
            one = run(fetch(events, round_trip_s, cut_each_s, status_each_s))
            uncut = uncut or one.exchanges
            twice = "" if status_each_s else f"{one.exchanges - uncut:,}"
            answers = ", ".join(f"{count} {kind}" for kind, count in one.answers.most_common())
            print(
                f"{round_trip_s:>12g}{cut_each_s or 'never':>12}{status_each_s or 'none':>15}"
                f"{one.whole:>7}{one.seconds:>8,.0f}{one.first_s:>10,.0f}{one.contacts:>10,}"
                f"{one.exchanges:>11,}{twice:>13}{one.chunks_twice:>14}"
                f"{max(one.waits_s, default=0.0):>16.1f}  {answers}",
                flush=True,
            )


if __name__ == "__main__":
    main()
