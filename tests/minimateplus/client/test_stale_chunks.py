"""
A unit that echoes no address when its memory is read, behind a line that repeats replies.

Such a reply can be taken for the next one. The rule: never a waveform with wrong samples, whether
the read ends, is cut, or goes on in another session with the chunks that were kept.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from kit.client_session import asked
from kit.end_to_end import START_UNIT, counts_of
from kit.virtual_time import in_virtual_time

from minimateplus.client import MiniMate
from minimateplus.errors import LinkClosedError, MiniMateError
from minimateplus.link import Link
from minimateplus.model import Event, Waveform
from minimateplus.simulator import SimulatedUnit, connect_memory
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.wire.commands import BULK_CHUNK_BYTES as CHUNK
from minimateplus.wire.commands import NO_PARAMS
from minimateplus.wire.framing import Frame, encode_reply
from minimateplus.wire.protocol_state import ProtocolState

SAMPLES = {3: 675, 4: 700, 6: 1455}
"""Samples whose image has so many chunks; of 3 and 6 the last is full: its length tells nothing."""
CHUNK_REPLY = 0xA5
PLACES = ("in one piece", "behind", "cut in half", "after the request", "before the reply")


class UnechoingUnit(SimulatedUnit):
    """Answers 5A without the address; so may a real one [U]."""

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        answer = super().answer(protocol, request)
        if request.sub != 0x5A or answer is None:
            return answer
        address = int.from_bytes(request.params[:4], "big")
        payload = self.read_memory(address, request.length)
        return encode_reply(CHUNK_REPLY, request.length, NO_PARAMS, payload)


class StaleLink(FaultyLink):
    """
    Delivers one chunk of the download again, near a later one, and may be cut thereafter.

    Args:
        again: which chunk, counted from 0.
        at: near which chunk: the same or a later one.
        place: one of ``PLACES``, as seen from the reply with chunk ``at``.
        cut: after how many replies with chunks the line is cut; never if ``None``.
    """

    def __init__(self, inner: Link, again: int, at: int, place: str, cut: int | None) -> None:
        super().__init__(inner)
        self.again, self.at, self.place, self.cut = again, at, place, cut
        self.number = -1
        self.frame = self.due = self.ahead = b""

    async def send(self, data: bytes) -> None:
        whole, self.ahead = self.ahead + data, b""
        if data[5] != CHUNK_REPLY:
            await super().send(whole)
            return
        self.number += 1
        if self.number == self.again:
            self.frame = data
        if self.number == self.cut:
            await self.close()
            raise LinkClosedError("cut")
        if self.number != self.at:
            await super().send(whole)
            return
        half = len(self.frame) // 2
        match self.place:
            case "in one piece":
                await super().send(data + self.frame)
            case "behind":
                await super().send(data)
                await super().send(self.frame)
            case "cut in half":
                await super().send(data + self.frame[:half])
                self.due = self.frame[half:]
            case "after the request":
                await super().send(data)
                self.due = self.frame
            case "before the reply":
                await super().send(data)
                self.ahead = self.frame

    async def receive(self) -> bytes:
        request = await super().receive()
        if self.due:
            due, self.due = self.due, b""
            await super().send(due)
        return request


@cache
def unit_with(chunks: int) -> tuple[UnechoingUnit, Event]:
    unit = UnechoingUnit(clock=lambda: 0.0, now_device_time=START_UNIT)
    event = unit.record_event(counts=counts_of(SAMPLES[chunks]))
    unit.record_event(counts=counts_of(SAMPLES[chunks], 1))
    size = len(unit._memory.stored[0].image)
    assert -(-size // CHUNK) == chunks
    assert (size % CHUNK == 0) is (chunks != 4)
    return unit, event


class StoredChunks:
    """What a caller keeps of an image: offset 0 drops what there was."""

    def __init__(self) -> None:
        self.image = b""

    def __call__(self, offset: int, chunk: bytes, _total: int) -> None:
        self.image = self.image[:offset] + chunk


def read(chunks: int, wrap_link: LinkFactory, kept: StoredChunks) -> Waveform | MiniMateError:
    """Return the waveform, read on behind what is kept, or the error that the read ended in."""
    unit, event = unit_with(chunks)

    try:
        found: Waveform = asked(
            unit,
            lambda host: host.read_waveform(event, begun=kept.image, on_image=kept),
            wrap_link,
        )
        return found
    except MiniMateError as error:
        return error


def check_never_wrong(chunks: int, came: Waveform | MiniMateError) -> None:
    if isinstance(came, Waveform):
        unit, event = unit_with(chunks)
        assert came.image == unit._memory.stored[0].image
        assert np.array_equal(came.counts, unit.counts_of(0))
        assert came.event == event


def test_a_unit_that_echoes_no_address_is_read_as_any_other() -> None:
    for chunks in SAMPLES:
        came = read(chunks, FaultyLink, StoredChunks())
        assert isinstance(came, Waveform)
        check_never_wrong(chunks, came)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("chunks", SAMPLES)
def test_a_chunk_that_arrives_twice_never_makes_a_waveform(chunks: int, place: str) -> None:
    """Not in the read that meets it, nor in the next, which goes on with what was kept."""
    for at in range(chunks):
        for again in range(at + 1):
            kept = StoredChunks()
            came = read(chunks, lambda inner: StaleLink(inner, again, at, place, None), kept)  # noqa: B023
            assert isinstance(came, MiniMateError), (again, at)
            assert type(came).__name__ in ("DuplicateReplyError", "LineSharedError"), came
            if place in ("in one piece", "behind", "cut in half"):
                # It begins before the next request, so it is not even kept.
                assert unit_with(chunks)[0]._memory.stored[0].image.startswith(kept.image)
            check_never_wrong(chunks, read(chunks, FaultyLink, kept))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("chunks", SAMPLES)
def test_no_cut_behind_a_chunk_that_arrives_twice_lets_it_into_a_waveform(
    chunks: int, place: str
) -> None:
    went_on = 0
    for at in range(chunks - 1):
        for again in range(at + 1):
            for cut in range(at + 1, chunks):
                wrap_link: LinkFactory = lambda inner: StaleLink(inner, again, at, place, cut)  # noqa: B023, E731
                kept = StoredChunks()
                assert isinstance(read(chunks, wrap_link, kept), MiniMateError)
                # The next session meets the same trouble, the one behind it none.
                check_never_wrong(chunks, read(chunks, wrap_link, kept))
                last = read(chunks, FaultyLink, kept)
                assert isinstance(last, Waveform)
                check_never_wrong(chunks, last)
                went_on += 1
    assert went_on >= chunks - 1


async def read_both(host: MiniMate, one: Event, other: Event, kept: StoredChunks) -> None:
    check_never_wrong(6, await host.read_waveform(one))
    await host.read_waveform(other, on_image=kept)


@in_virtual_time
async def test_a_chunk_of_the_download_before_never_makes_a_waveform() -> None:
    """Two events of one length, read in one session; the last chunk of the first comes late."""
    unit, event = unit_with(6)
    other = unit.events[1]

    for place in PLACES:
        kept = StoredChunks()
        wrap_link = lambda inner, place=place: StaleLink(inner, 5, 5, place, None)  # noqa: E731

        async with (
            connect_memory(unit, wrap_link=wrap_link) as link,
            MiniMate.connect(link) as host,
        ):
            with pytest.raises(MiniMateError) as caught:
                await read_both(host, event, other, kept)
        assert type(caught.value).__name__ == "DuplicateReplyError"
        assert unit._memory.stored[1].image.startswith(kept.image)
