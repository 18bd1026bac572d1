"""What one open events page takes of a slow line, with the time that the link is kept open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from kit.raw_world import RawWorld, round_trip_of_replies
from kit.virtual_time import now_s, run

from minimateplus.client import MiniMate
from minimateplus.link import Address
from sfm.settings import Settings

SOURCE = Path(__file__).parents[3] / "webapp" / "src"
HOUR_S = 3600.0
MAX_SHARE = 0.15


def constant(file: str, name: str) -> float:
    """Return a number that the web app's source names."""
    found = re.search(rf"^const {name} = ([\d.]+);", (SOURCE / file).read_text(), re.MULTILINE)
    assert found, f"{file} names no {name}"
    return float(found[1])


class WatchedWorld(RawWorld):
    """Counts for how long a link was open."""

    open_s = 0.0

    async def connect(self, address: Address) -> MiniMate:
        began = now_s()
        unit = await super().connect(address)
        close = unit.close
        is_open = True

        async def closed() -> None:
            nonlocal is_open
            await close()
            self.open_s += (now_s() - began) * is_open
            is_open = False

        unit.close = closed  # type: ignore[method-assign]
        return unit


async def share_of_an_hour(round_trip_s: float) -> tuple[float, int]:
    """Look at 60 events for an hour as the web app does; return the line's share and the looks."""
    every_s = constant("events/useEvents.ts", "POLL_S")
    slow_s, keep_open_s, share = (
        constant("data/pace.ts", name) for name in ("SLOW_S", "KEEP_OPEN_S", "SHARE")
    )
    async with WatchedWorld() as world:
        await world.with_disk()
        world.unit.record(60, samples=16)
        await world.get("/device/events")
        world.connection.delay = round_trip_of_replies(round_trip_s)
        await world.pause(60)
        began, before, looks, not_before = now_s(), world.open_s, 0, 0.0
        while now_s() < began + HOUR_S:
            if now_s() >= not_before:
                looks += 1
                answer: dict[str, Any] = (await world.get("/device/events", partial="true")).json()
                took_s = answer["provenance"]["took_s"]
                delay_s = 0.0 if took_s < slow_s else (took_s + keep_open_s) / share
                not_before = now_s() + delay_s
            # The page's timer goes on as it began.
            await world.pause(every_s - (now_s() - began) % every_s)
        return (world.open_s - before) / HOUR_S, looks


@pytest.mark.parametrize("round_trip_s", [0.2, 0.5, 1.0, 2.0])
def test_an_open_events_page_leaves_a_slow_line_to_others(round_trip_s: float) -> None:
    share, looks = run(share_of_an_hour(round_trip_s))
    assert 0 < share <= MAX_SHARE, f"{share:.1%} of the line, in {looks} looks"
    assert looks >= 10, "the page would show an hour-old list"


def test_the_page_knows_how_long_the_relay_keeps_a_link_open() -> None:
    assert Settings().keep_open_s == constant("data/pace.ts", "KEEP_OPEN_S")
