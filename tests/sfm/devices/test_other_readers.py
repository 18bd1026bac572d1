"""
A long read does not lock others out: a status goes in after an event of a walk, or after a chunk.

Whether 1C or 15 moves the unit's one cursor is unknown, so here they do: then the walk has to visit
its last key again before it asks for the next one.
"""

from __future__ import annotations

import asyncio

import pytest
from kit.raw_world import (
    RawWorld,
    in_raw_world,
    listed,
    quality,
    round_trip_of_replies,
    samples_match,
    stamps,
)
from kit.virtual_time import now_s

REPLY_S = 0.25
SOON_S = 40 * REPLY_S
"""One event (10 exchanges), a status with who answers (4), and the walk's next step, with room."""


async def status_after(world: RawWorld, seconds: float, path: str) -> float:
    await asyncio.sleep(seconds)
    began = now_s()
    answer = await world.get(path, force="true")
    assert answer.status_code == 200, answer.text
    return now_s() - began


@pytest.mark.parametrize("path", ["/device/monitor/status", "/device/info"])
@pytest.mark.parametrize("lost_by", [set(), {0x1C, 0x15, 0x01, 0x1A}])
@in_raw_world
async def test_a_status_goes_in_after_an_event_of_a_walk(
    world: RawWorld, path: str, lost_by: set[int]
) -> None:
    unit = world.unit.record(60)
    unit.cursor_lost_by = lost_by
    world.connection.delay = round_trip_of_replies(REPLY_S)
    asked = [asyncio.create_task(status_after(world, at, path)) for at in (20.0, 60.0, 90.0)]
    answer = await world.get("/device/events")
    waited = [await task for task in asked]
    assert max(waited) <= SOON_S, f"{path} waited {waited} s"
    assert answer.status_code == 200, answer.text
    assert listed(answer) == stamps(unit.events)
    assert quality(answer) == "good"


@in_raw_world
async def test_a_status_goes_in_after_a_chunk_of_a_download(world: RawWorld) -> None:
    unit = world.unit.record(1, samples=8192, loud=200)
    await world.get("/device/events")
    world.connection.delay = round_trip_of_replies(REPLY_S)
    path = "/device/monitor/status"
    asked = [asyncio.create_task(status_after(world, at, path)) for at in (6.0, 10.0)]
    answer = await world.get("/device/event/0/waveform")
    waited = [await task for task in asked]
    chunks_s = len(unit.events[0].image) / 1024 * REPLY_S
    assert chunks_s > 8
    assert max(waited) <= 14 * REPLY_S, f"a status waited {waited} s"
    assert samples_match(answer.json(), unit.events[0])
