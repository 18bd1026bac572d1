"""
Frames that answer no request of ours: dropped while the unit wakes up, the end of a session later.

What is expected is written as the name of the error, so that this file needs nothing but the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kit.end_to_end import build_unit
from kit.virtual_time import in_virtual_time

from minimateplus.client import MiniMate
from minimateplus.errors import MiniMateError
from minimateplus.link import Link
from minimateplus.simulator import SimulatedUnit, connect_memory
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.wire.framing import Direction, FrameReader, encode_reply

WAKING = 2
"""Replies of the start-up."""
WALK = 22
"""Replies of a walk over two events: 2 for the first key, 10 for each event."""
PROBE = 10
STATUS_PROBE = encode_reply(0xE3)
"""What a unit answers to a program that asks for its status; our walks never ask that."""
END_OF_CHAIN = encode_reply(0xE0, 8, payload=bytes(8))
"""1F behind the last record; it echoes no key."""

PLACES = ("in one piece", "behind", "cut in half", "after the request", "before the reply")


class PlacedLink(FaultyLink):
    """
    Puts one frame more among the unit's replies.

    Args:
        at: behind which reply, counted from 0.
        frame: what to put there; ``None`` for that reply again.
        place: one of ``PLACES``: with the reply, as a chunk of its own, half of it before and half
            of it after the next request, behind that request, or in one piece with its reply.
        lost: how many of the first replies are withheld, the first of them being the frame.
    """

    def __init__(
        self, inner: Link, at: int, frame: bytes | None, place: str, lost: int = 0
    ) -> None:
        super().__init__(inner)
        self.at, self.frame, self.place, self.lost = at, frame, place, lost
        self.number = -1
        self.due = b""
        self.ahead = b""

    async def send(self, data: bytes) -> None:
        self.number += 1
        if self.number < self.lost:
            self.frame = self.frame or data
            return
        data, self.ahead = self.ahead + data, b""
        if self.number != self.at:
            await super().send(data)
            return
        frame = self.frame or data
        match self.place:
            case "in one piece":
                await super().send(data + frame)
            case "behind":
                await super().send(data)
                await super().send(frame)
            case "cut in half":
                half = len(frame) // 2
                await super().send(data + frame[:half])
                self.due = frame[half:]
            case "after the request":
                await super().send(data)
                self.due = frame
            case "before the reply":
                await super().send(data)
                self.ahead = frame

    async def receive(self) -> bytes:
        request = await super().receive()
        if self.due:
            due, self.due = self.due, b""
            await super().send(due)
        return request


class SpeaksFirstLink(FaultyLink):
    """Delivers frames of an earlier session before the host has asked for anything."""

    def __init__(self, inner: Link, frames: bytes) -> None:
        super().__init__(inner)
        self.frames = frames

    async def receive(self) -> bytes:
        if self.frames:
            frames, self.frames = self.frames, b""
            await super().send(frames)
        return await super().receive()


Verbs = list[tuple[str, Callable[[MiniMate], Awaitable[Any]]]]
WALK_AND_PROBE: Verbs = [("walk", MiniMate.read_events), ("probe", MiniMate.read_probe)]


async def run(
    wrap_link: LinkFactory, verbs: Verbs = WALK_AND_PROBE, unit: SimulatedUnit | None = None
) -> tuple[str, str | None, dict[str, Any], str]:
    """Return where a session ended, in which error, what came before, and the error's message."""
    came: dict[str, Any] = {}
    step = "waking"
    async with connect_memory(unit or build_unit(), wrap_link=wrap_link) as link:
        try:
            host = await MiniMate.open(link)
        except MiniMateError as error:
            return step, type(error).__name__, came, str(error)
        try:
            for step, verb in verbs:
                came[step] = await verb(host)
        except MiniMateError as error:
            assert not host.is_usable
            return step, type(error).__name__, came, str(error)
        finally:
            await host.close()
        return "end", None, came, ""


def step_of(reply: int) -> str:
    """Return the step in which the unit gives its reply of that number."""
    if reply < WAKING:
        return "waking"
    return "walk" if reply < WAKING + WALK else "probe"


# --- leftovers ------------------------------------------------------------------------------------

LEFTOVERS = {
    "status": STATUS_PROBE,
    "next key": END_OF_CHAIN,
    "chunk": encode_reply(0xA5, 0x400, payload=bytes(range(256)) * 4),
    "poll": encode_reply(0xA4),
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("leftover", LEFTOVERS)
@in_virtual_time
async def test_frames_of_an_earlier_session_are_dropped(leftover: str, count: int) -> None:
    frames = LEFTOVERS[leftover] * count
    step, error, came, _ = await run(lambda inner: SpeaksFirstLink(inner, frames))
    assert (step, error) == ("end", None)
    assert came["walk"] == build_unit().events


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("leftover", LEFTOVERS)
@in_virtual_time
async def test_leftovers_are_dropped_until_the_last_poll_of_the_start_up(
    leftover: str, place: str
) -> None:
    frame = LEFTOVERS[leftover]
    step, error, came, _ = await run(lambda inner: PlacedLink(inner, 0, frame, place))
    assert (step, error) == ("end", None)
    assert came["walk"] == build_unit().events


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("at", [1, 2])
@in_virtual_time
async def test_a_late_answer_to_the_first_poll_of_a_cold_unit_is_dropped(
    at: int, place: str
) -> None:
    def late(inner: Link) -> Link:
        return PlacedLink(inner, at, None, place, lost=1)

    step, error, came, _ = await run(late)
    assert (step, error) == ("end", None)
    assert came["walk"] == build_unit().events


@in_virtual_time
async def test_what_else_comes_from_a_cold_unit_once_it_is_awake_is_no_leftover() -> None:
    """One answer to POLL may be late, and nothing else."""

    def twice_late(inner: Link) -> Link:
        frame = encode_reply(0xA4) * 2
        return PlacedLink(inner, 2, frame, "behind", lost=1)

    step, error, _, _ = await run(twice_late)
    assert (step, error) == ("waking", "DuplicateReplyError")


# --- once the unit is awake -----------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("frame", "error"), [(None, "DuplicateReplyError"), (STATUS_PROBE, "LineSharedError")]
)
@in_virtual_time
async def test_a_frame_that_answers_nothing_ends_the_session_wherever_it_comes(
    frame: bytes | None, error: str, place: str
) -> None:
    at_once = place in ("in one piece", "behind")
    for at in range(WAKING - 1, WAKING + WALK + PROBE - 1):
        wrap_link: LinkFactory = lambda inner, at=at: PlacedLink(inner, at, frame, place)  # type: ignore[misc] # noqa: E731
        step, ended, came, why = await run(wrap_link)
        # Behind the last reply of a verb it ends that verb; with the next request, the next verb.
        assert (step, ended) == (step_of(at if at_once else at + 1), error), at
        assert came.get("walk", build_unit().events) == build_unit().events
        assert ("arrived twice" if frame is None else "Another program is using") in why


@in_virtual_time
async def test_a_frame_that_comes_between_two_verbs_ends_the_session_before_the_next_request() -> (
    None
):
    unit = build_unit()

    async def come(host: MiniMate) -> None:
        host._link._incoming.put_nowait(STATUS_PROBE)  # type: ignore[attr-defined]

    asked_before: list[int] = []

    async def count(host: MiniMate) -> None:
        asked_before.append(unit.exchanges)

    verbs: Verbs = [WALK_AND_PROBE[0], ("come", come), ("count", count), WALK_AND_PROBE[1]]
    step, error, _, _ = await run(FaultyLink, verbs, unit)
    assert (step, error) == ("probe", "LineSharedError")
    assert asked_before == [unit.exchanges]


class EndsEarlyLink(FaultyLink):
    """Another program's end of the chain arrives while our fetch of a next key is open."""

    def __init__(self, inner: Link, at: int) -> None:
        super().__init__(inner)
        self.at = at
        self.requests = FrameReader(Direction.REQUEST)

    async def receive(self) -> bytes:
        data = await super().receive()
        for request in self.requests.feed(data):
            if request.sub == 0x1F and request.length:
                self.at -= 1
                if self.at == -1:
                    await super().send(END_OF_CHAIN)
        return data


@pytest.mark.parametrize("number", range(4))
@in_virtual_time
async def test_an_end_of_the_chain_that_answers_another_program_is_never_a_proven_list(
    number: int,
) -> None:
    """1F echoes no key, so that frame is taken for our answer; ours is then one too many."""
    step, error, came, _ = await run(lambda inner: EndsEarlyLink(inner, number))
    # The walk itself may end short, which is why a list needs the probe behind it.
    assert step in ("walk", "probe")
    # Behind the last record both answers are the same.
    assert error == ("DuplicateReplyError" if number == 3 else "LineSharedError")
    assert "probe" not in came


@in_virtual_time
async def test_an_answer_about_another_record_is_that_of_another_program() -> None:
    other = encode_reply(0xF5, 0x46, bytes.fromhex("00000000 01119999 0000"), bytes(0x46))
    step, error, _, why = await run(lambda inner: PlacedLink(inner, 4, other, "after the request"))
    assert (step, error) == ("walk", "LineSharedError")
    assert "01119999" in why


# --- the late answer to a request that was given up -----------------------------------------------


class LateCounterLink(FaultyLink):
    """Holds the answer to 08 back until the unit is asked for something else."""

    def __init__(self, inner: Link, times: int) -> None:
        super().__init__(inner)
        self.times = times
        self.entry = b""

    async def send(self, data: bytes) -> None:
        if data[5] == 0xF7:
            self.entry = data * self.times
        else:
            await super().send(self.entry + data)
            self.entry = b""


@pytest.mark.parametrize(("times", "ended"), [(1, None), (2, "LineSharedError")])
@in_virtual_time
async def test_the_answer_to_a_request_that_was_given_up_may_come_late_once(
    times: int, ended: str | None
) -> None:
    verbs: Verbs = [("probe", MiniMate.read_probe), ("walk", MiniMate.read_events)]
    _, error, came, _ = await run(lambda inner: LateCounterLink(inner, times), verbs)
    assert came["probe"].lifetime_count is None
    assert error == ended
    assert ("walk" in came) is (ended is None)
    if ended is None:
        assert came["walk"] == build_unit().events
