"""
A reply that comes twice, from a unit that echoes no parameters: it is never taken for the next one.

Before, one repeated 5A reply and a cut archived 104 wrong samples as valid; an image of whole
kilobytes did not even need the cut, since no length gave the shift away.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kit.raw_unit import Scanner
from kit.raw_world import (
    RawWorld,
    in_raw_world,
    listed,
    peaks_match,
    problem_of,
    quality,
    samples_match,
    stamps,
)

CHUNK = 1024
CONTACTS = 6


def record(world: RawWorld, size: int | None = None) -> None:
    world.unit.echo_params = False
    world.unit.record(2, samples=1280, loud=300, size=size)


async def check_samples(world: RawWorld) -> int:
    """Return how many of several reads of event 0 brought samples; each that did is right."""
    brought = 0
    event = world.unit.events[0]
    for _ in range(CONTACTS):
        answer = await world.get("/device/event/0/waveform")
        if answer.status_code == 200:
            body = answer.json()
            if quality(answer) == "good":
                assert samples_match(body, event), "wrong samples, called good"
                brought += 1
            assert peaks_match(body["peaks"], event)
        await world.pause(90)
    for one in await world.archived():
        for image in one["images"]:
            assert image == event.image, "an image that the unit never had"
    return brought


@pytest.mark.parametrize("repeated", [1, 2, 3, 4])
@pytest.mark.parametrize("cut_after", [1, 2])
@pytest.mark.parametrize("late", [False, True])
@in_raw_world
async def test_a_repeated_chunk_and_a_cut_never_give_wrong_samples(
    world: RawWorld, repeated: int, cut_after: int, *, late: bool
) -> None:
    record(world)
    unit = world.unit
    unit.repeat_reply(0x5A, repeated, late=late)

    def cut() -> None:
        unit.is_cut = True

    unit.at_fetch(0x5A, repeated + 1 + cut_after, cut)
    assert await check_samples(world) > 0


@pytest.mark.parametrize("size", [6 * CHUNK, 7 * CHUNK])
@pytest.mark.parametrize("repeated", range(1, 8))
@pytest.mark.parametrize("late", [False, True])
@in_raw_world
async def test_an_image_of_whole_kilobytes_is_never_shifted(
    world: RawWorld, repeated: int, size: int, *, late: bool
) -> None:
    record(world, size)
    world.unit.repeat_reply(0x5A, repeated, late=late)
    assert await check_samples(world) > 0


SUBS = {0x15: 1, 0x06: 1, 0x08: 1, 0x1E: 1, 0x0A: 3, 0x0C: 2, 0x1F: 1, 0x5B: 1}


@pytest.mark.parametrize("echo_params", [True, False])
@pytest.mark.parametrize("sub", SUBS)
@in_raw_world
async def test_a_reply_that_comes_twice_never_spoils_a_list(
    world: RawWorld, sub: int, echo_params: bool
) -> None:
    """A read is tried once more, so a single repetition costs the reader nothing."""
    unit = world.unit.record(5)
    unit.echo_params = echo_params
    unit.repeat_reply(sub, SUBS[sub])
    answer = await world.get("/device/events")
    assert answer.status_code == 200, answer.text
    assert listed(answer) == stamps(unit.events)
    assert quality(answer) == "good"


@in_raw_world
async def test_a_unit_that_says_everything_twice_is_named(world: RawWorld) -> None:
    unit = world.unit.record(5)
    feed: Callable[[bytes], list[bytes]] = unit.feed

    def twice(received: bytes) -> list[bytes]:
        return [reply for reply in feed(received) for _ in range(2)]

    unit.feed = twice  # type: ignore[method-assign]
    answer = await world.get("/device/events", force="true")
    assert problem_of(answer) == "duplicate-reply", answer.text


@in_raw_world
async def test_an_unasked_frame_after_the_last_chunk_ends_the_read(world: RawWorld) -> None:
    """The second reply to the last 5A is heard before the record is read again."""
    record(world)
    asked: list[int] = []
    feed = world.unit.feed
    scanner = Scanner(bytes.fromhex("41 02 10 10 00"))

    def noting(received: bytes) -> list[bytes]:
        asked.extend(message.sub for message in scanner.feed(received))
        return feed(received)

    world.unit.feed = noting  # type: ignore[method-assign]
    chunks = -(-len(world.unit.events[0].image) // CHUNK)
    world.unit.repeat_reply(0x5A, chunks)
    assert await check_samples(world) > 0
    assert asked.count(0x5A) > chunks, "the read went on as if nothing had come"
