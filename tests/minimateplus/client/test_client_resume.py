"""Records as sent, chunks handed out as they come, and reads that go on behind a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from kit.client_session import asked
from kit.end_to_end import START_UNIT, counts_of

from minimateplus.client import MiniMate
from minimateplus.errors import (
    LinkClosedError,
    MemoryChangedError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.model import Event, Progress, Waveform
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.faulty_links import CutLink
from minimateplus.simulator.payloads import record_payload
from minimateplus.wire.commands import BULK_CHUNK_BYTES as CHUNK
from minimateplus.wire.framing import Direction, Frame, FrameReader, encode_reply
from minimateplus.wire.layouts import parse_waveform_record
from minimateplus.wire.protocol_state import ProtocolState

BESIDES = 18
"""Exchanges of a download besides its chunks: 4 + 2 + 2 + 6 to arm the unit, 4 to check again."""
SAMPLES = {1: 8, 2: 300, 4: 700, 6: 1455, 9: 2000}
"""Samples whose image has so many chunks; that of 1455 ends with a full one."""


class NotingUnit(SimulatedUnit):
    """Notes where it is read in bulk, and lets a test step in before it answers that."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0, now_device_time=START_UNIT)
        self.bulk: list[tuple[int, int]] = []
        """Offset from the first event's key, and length, of each 5A."""
        self.asked = 0
        self.record_change: tuple[int, int] | None = None
        """An offset in its records and the byte that it sends there."""
        self.on_bulk: Callable[[Frame], bytes | None] = lambda _: None

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        self.asked += 1
        if request.sub == 0x0C and request.length and self.record_change is not None:
            answer = super().answer(protocol, request)
            assert answer is not None
            (reply,) = FrameReader(Direction.REPLY).feed(answer)
            at, value = self.record_change
            payload = reply.payload[:at] + bytes((value,)) + reply.payload[at + 1 :]
            return encode_reply(reply.sub, reply.length, reply.params, payload)
        if request.sub != 0x5A:
            return super().answer(protocol, request)
        self.bulk.append((int.from_bytes(request.params[:4], "big") - 0x01110000, request.length))
        return self.on_bulk(request) or super().answer(protocol, request)


class ReceivedChunks:
    """Keeps chunks as a caller would: offset 0 drops what there was."""

    def __init__(self, begun: bytes = b"") -> None:
        self.kept = begun
        self.totals: set[int] = set()
        self.offsets: list[int] = []

    def __call__(self, offset: int, chunk: bytes, total: int) -> None:
        self.offsets.append(offset)
        self.totals.add(total)
        if offset == 0:
            self.kept = b""
        assert offset == len(self.kept), "chunks overlap or leave a gap"
        assert chunk
        self.kept += chunk


def unit_with(chunks: int) -> tuple[NotingUnit, Event, Waveform]:
    """Return a unit with one event of so many chunks, that event, and its waveform."""
    unit = NotingUnit()
    event = unit.record_event(counts=counts_of(SAMPLES[chunks]))
    waveform = asked(unit, lambda host: host.read_waveform(event))
    assert unit.bulk == asked_from(0, len(waveform.image))
    assert len(unit.bulk) == chunks
    unit.bulk.clear()
    return unit, event, waveform


def asked_from(loaded: int, size: int) -> list[tuple[int, int]]:
    """
    Return the bulk reads of a download whose first ``loaded`` bytes are known.

    They are the first chunk, the last one held (it may be a stale answer in place of the true one
    where 5A echoes no address), and all that follow.
    """
    last_loaded = list(range(CHUNK, loaded, CHUNK))[-1:]
    offsets = [0, *last_loaded, *range(loaded or CHUNK, size, CHUNK)]
    return [(at, CHUNK if at == 0 else min(CHUNK, size - at)) for at in offsets]


def facts(waveform: Waveform) -> dict[str, Any]:
    values = {f.name: getattr(waveform, f.name) for f in fields(waveform)}
    values["counts"] = waveform.counts.tolist()
    return values | {"record": waveform.event.record}


def go_on(
    unit: NotingUnit, event: Event, begun: bytes, received: ReceivedChunks | None = None
) -> tuple[Waveform, int, list[Progress]]:
    """Return waveform, exchanges and progress of a read that goes on behind ``begun``."""
    steps: list[Progress] = []

    async def verb(host: MiniMate) -> tuple[Waveform, int, list[Progress]]:
        before = host.exchanges
        waveform = await host.read_waveform(
            event, begun=begun, on_image=received, on_progress=steps.append
        )
        return waveform, host.exchanges - before, steps

    unit.bulk.clear()
    result: tuple[Waveform, int, list[Progress]] = asked(unit, verb)
    return result


# --- records --------------------------------------------------------------------------------------


def test_an_event_carries_its_record_from_which_the_same_facts_are_read() -> None:
    unit = NotingUnit()
    # A stamp and peaks whose bytes need escapes: the record has none of them.
    unit.record_event(
        counts=counts_of(40), project="Long Lake", at_device_time=datetime(2026, 4, 2, 3)
    )
    unit.record_event(counts=counts_of(40, 1), project="North")
    events = asked(unit, lambda host: host.read_events())
    for event, truth in zip(events, unit.events, strict=True):
        assert type(event.record) is bytes
        assert len(event.record) == 210
        assert truth.device_time is not None
        assert event.record == record_payload(truth.device_time, truth.peaks, truth.project)
        facts_of = (event.device_time, event.peaks, event.project)
        assert parse_waveform_record(event.record) == facts_of
    again = asked(unit, lambda host: host.read_event(events[1].key, 1))
    assert again.record == events[1].record != events[0].record


def test_a_record_is_no_part_of_what_an_event_is() -> None:
    (event,) = asked(unit_with(1)[0], lambda host: host.read_events())
    bare = replace(event, record=b"")
    assert event == bare
    assert hash(event) == hash(bare)
    assert "record" not in repr(event)


@pytest.mark.parametrize("known", ["index", "no record"])
def test_a_waveform_carries_its_record_whatever_the_caller_had(known: str) -> None:
    unit, event, _ = unit_with(1)
    (listed,) = asked(unit, lambda host: host.read_events())
    known_as: dict[str, Event | int] = {"index": 0, "no record": replace(event, record=b"")}
    waveform = asked(unit, lambda host: host.read_waveform(known_as[known]))
    assert waveform.event == event
    assert waveform.event.record == listed.record
    assert parse_waveform_record(waveform.event.record).peaks == event.peaks


def test_the_record_of_a_waveform_is_the_one_read_behind_the_samples() -> None:
    unit, _event, _ = unit_with(2)
    (listed,) = asked(unit, lambda host: host.read_events())
    volatile = 0xD1

    def counts_on(_: Frame) -> None:
        unit.record_change = volatile, 0x5A

    unit.on_bulk = counts_on

    async def verb(host: MiniMate) -> Waveform:
        host.volatile_offsets = frozenset({volatile})
        return await host.read_waveform(listed)

    record = asked(unit, verb).event.record
    assert record != listed.record
    assert (record[:volatile], record[volatile]) == (listed.record[:volatile], 0x5A)


def test_another_event_of_the_same_stamp_that_came_before_the_samples_is_thrown_away() -> None:
    unit, event, _ = unit_with(2)

    def same_stamp_other_event(_: Frame) -> None:
        unit.erase()
        again = unit.record_event(
            counts=counts_of(SAMPLES[2], 1), project="Other", at_device_time=event.device_time
        )
        assert (again.key, again.device_time) == (event.key, event.device_time)
        unit.on_bulk = lambda _: None

    # It comes before the first chunk is sent, so samples and record are both the other's.
    unit.on_bulk = same_stamp_other_event
    with pytest.raises(MemoryChangedError, match=r"with PVS [\d.]+ in/s now, was of"):
        asked(unit, lambda host: host.read_waveform(event))


# --- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", SAMPLES)
def test_the_chunks_handed_out_tile_the_image(chunks: int) -> None:
    unit, event, whole = unit_with(chunks)
    received = ReceivedChunks()
    waveform, exchanges, _ = go_on(unit, event, b"", received)
    assert exchanges == BESIDES + chunks
    assert received.kept == waveform.image == whole.image
    assert received.totals == {len(whole.image)}
    assert received.offsets == list(range(0, len(whole.image), CHUNK))


def test_a_chunk_is_handed_out_before_it_is_reported_as_done() -> None:
    unit, event, whole = unit_with(4)
    received = ReceivedChunks()
    ahead: list[int] = []

    def on_progress(step: Progress) -> None:
        ahead.append(len(received.kept) - step.done)

    asked(unit, lambda h: h.read_waveform(event, on_image=received, on_progress=on_progress))
    assert ahead == [0, 0, 0, 0]
    assert received.kept == whole.image


class _OurOwnError(Exception):
    pass


def test_an_error_of_the_chunk_consumer_propagates_and_ends_the_session() -> None:
    unit, event, _ = unit_with(4)

    def fail(*_: object) -> None:
        raise _OurOwnError

    async def verb(host: MiniMate) -> None:
        with pytest.raises(_OurOwnError):
            await host.read_waveform(event, on_image=fail)
        assert not host.is_usable

    asked(unit, verb)
    assert unit.bulk == [(0, CHUNK)]


# --- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "loaded"), [(chunks, loaded) for chunks in SAMPLES for loaded in range(chunks + 1)]
)
def test_a_read_goes_on_behind_what_is_held_and_brings_the_same(chunks: int, loaded: int) -> None:
    unit, event, whole = unit_with(chunks)
    size = len(whole.image)
    begun = whole.image[: loaded * CHUNK]
    received = ReceivedChunks(begun)
    waveform, exchanges, steps = go_on(unit, event, begun, received)
    assert facts(waveform) == facts(whole)
    # The first chunk is always read, and of the others that are held the last.
    assert exchanges == BESIDES + chunks - max(0, loaded - 2)
    assert unit.bulk == asked_from(len(begun), size)
    assert received.kept == whole.image
    assert received.offsets == [*range(len(begun), size, CHUNK)]
    assert [step.done for step in steps] == [*range(len(begun) or CHUNK, size, CHUNK), size]
    assert {step.total for step in steps} == {size}


def test_an_image_that_is_held_to_its_last_byte_costs_its_first_and_last_chunk() -> None:
    for chunks in (4, 6):
        unit, event, whole = unit_with(chunks)
        received = ReceivedChunks(whole.image)
        waveform, exchanges, steps = go_on(unit, event, whole.image, received)
        assert facts(waveform) == facts(whole)
        last = (chunks - 1) * CHUNK, len(whole.image) - (chunks - 1) * CHUNK
        assert (exchanges, unit.bulk) == (BESIDES + 2, [(0, CHUNK), last])
        assert received.offsets == []
        assert [step.done for step in steps] == [len(whole.image)]


@pytest.mark.parametrize("after_bytes", range(600, 10_200, 397))
def test_a_read_cut_at_any_byte_goes_on_with_what_was_kept(after_bytes: int) -> None:
    unit, event, whole = unit_with(9)
    received = ReceivedChunks()
    with pytest.raises(LinkClosedError):
        asked(
            unit,
            lambda host: host.read_waveform(event, on_image=received),
            lambda inner: CutLink(inner, after_bytes),
        )
    kept = len(received.kept)
    assert whole.image.startswith(received.kept)
    waveform, exchanges, _ = go_on(unit, event, received.kept, received)
    assert facts(waveform) == facts(whole)
    assert received.kept == whole.image
    chunks_kept = -(-kept // CHUNK)
    assert exchanges == BESIDES + 9 - max(0, chunks_kept - 2)


@pytest.mark.parametrize("loaded", [0, 1, 2, 3])
@pytest.mark.parametrize("tail", [1, 7, 511, 1023])
def test_what_lies_behind_the_last_whole_chunk_held_is_not_used(loaded: int, tail: int) -> None:
    unit, event, whole = unit_with(6)
    for piece in (whole.image[loaded * CHUNK :][:tail], b"\xee" * tail):
        received = ReceivedChunks(whole.image[: loaded * CHUNK])
        waveform, _, _ = go_on(unit, event, received.kept + piece, received)
        assert facts(waveform) == facts(whole)
        assert unit.bulk == asked_from(loaded * CHUNK, len(whole.image))
        assert received.kept == whole.image


def test_a_last_chunk_that_is_held_but_for_a_byte_is_read_again() -> None:
    unit, event, whole = unit_with(4)
    waveform, _, _ = go_on(unit, event, whole.image[:-2] + b"\xee")
    assert facts(waveform) == facts(whole)
    assert unit.bulk == asked_from(3 * CHUNK, len(whole.image))


# --- what is held may be of another event ---------------------------------------------------------


def check_everything_is_read(
    unit: NotingUnit, event: Event, begun: bytes, whole: Waveform, chunks: int
) -> None:
    received = ReceivedChunks(begun)
    waveform, exchanges, steps = go_on(unit, event, begun, received)
    assert facts(waveform) == facts(whole)
    assert exchanges == BESIDES + chunks
    assert unit.bulk == asked_from(0, len(whole.image))
    assert received.offsets == list(range(0, len(whole.image), CHUNK))
    assert received.kept == whole.image
    assert steps[0].done == min(CHUNK, len(whole.image))


@pytest.mark.parametrize("loaded", [1, 2, 4])
@pytest.mark.parametrize("at", [0, 12, 512, CHUNK - 1])
def test_what_does_not_begin_with_the_first_chunk_is_thrown_away(at: int, loaded: int) -> None:
    unit, event, whole = unit_with(4)
    begun = bytearray(whole.image[: loaded * CHUNK])
    begun[at] ^= 1
    check_everything_is_read(unit, event, bytes(begun), whole, 4)


@pytest.mark.parametrize("chunks", [1, 4, 6])
@pytest.mark.parametrize("more", [1, 512, CHUNK, 5 * CHUNK])
def test_more_than_the_image_holds_is_thrown_away(chunks: int, more: int) -> None:
    unit, event, whole = unit_with(chunks)
    check_everything_is_read(unit, event, whole.image + bytes(more), whole, chunks)


def test_another_event_of_the_same_stamp_is_not_gone_on_with() -> None:
    unit, event, before = unit_with(4)
    unit.erase()
    # Another amplitude at one instant alone: key, stamp and length are the same.
    counts = counts_of(SAMPLES[4])
    counts[0, 3] += 1
    again = unit.record_event(counts=counts, at_device_time=event.device_time)
    assert (again.key, again.device_time) == (event.key, event.device_time)
    whole = asked(unit, lambda host: host.read_waveform(event))
    assert len(whole.image) == len(before.image)
    check_everything_is_read(unit, event, before.image[: 2 * CHUNK], whole, 4)
    assert np.array_equal(whole.counts, counts)


def test_what_is_held_of_an_event_that_is_another_now_is_not_gone_on_with() -> None:
    unit, event, whole = unit_with(4)
    unit.erase()
    unit.set_clock(datetime(2026, 4, 2))
    unit.record_event(counts=counts_of(SAMPLES[4]))
    received = ReceivedChunks(whole.image[:CHUNK])
    with pytest.raises(MemoryChangedError, match="2026-04-02"):
        go_on(unit, event, whole.image[:CHUNK], received)
    assert unit.bulk == []
    assert received.offsets == []


@pytest.mark.parametrize("loaded", [0, 1, 2, 4])
@pytest.mark.parametrize("then", ["erased", "recorded anew"])
def test_an_event_that_changes_during_a_read_is_reported_as_changed(loaded: int, then: str) -> None:
    unit, event, whole = unit_with(4)
    reads = len(asked_from(min(loaded * CHUNK, len(whole.image)), len(whole.image)))

    def change(request: Frame) -> bytes | None:
        if len(unit.bulk) < reads:
            return None
        # The last chunk is of the event still, so only the second check can know.
        address = int.from_bytes(request.params[:4], "big")
        payload = unit.read_memory(address, request.length)
        unit.erase()
        if then == "recorded anew":
            unit.set_clock(datetime(2026, 4, 2))
            unit.record_event(counts=counts_of(SAMPLES[4]))
        return encode_reply(0xA5, request.length, request.params, payload)

    unit.on_bulk = change
    with pytest.raises(MemoryChangedError):
        go_on(unit, event, whole.image[: loaded * CHUNK])
    assert len(unit.bulk) == reads


# --- a unit that does not answer behind the gap ---------------------------------------------------


@pytest.mark.parametrize("loaded", [1, 2, 3])
def test_a_unit_that_does_not_answer_behind_the_gap_is_not_asked_again(loaded: int) -> None:
    unit, event, whole = unit_with(4)
    received = ReceivedChunks()

    def first_alone(_: Frame) -> None:
        if len(unit.bulk) > 1:
            unit.ignores.add(0x5A)

    unit.on_bulk = first_alone
    with pytest.raises(ReplyTimeoutError, match="5A"):
        go_on(unit, event, whole.image[: loaded * CHUNK], received)
    assert unit.bulk == asked_from(loaded * CHUNK, len(whole.image))[:2]
    assert received.offsets == []
    # A read that then begins anew gets everything.
    unit.ignores.clear()
    unit.on_bulk = lambda _: None
    check_everything_is_read(unit, event, b"", whole, 4)


def test_a_wrong_answer_behind_the_gap_is_an_error_like_any_other() -> None:
    unit, event, whole = unit_with(4)
    received = ReceivedChunks()

    def short(request: Frame) -> bytes | None:
        if len(unit.bulk) == 1:
            return None
        return encode_reply(0xA5, request.length, request.params, bytes(request.length - 1))

    unit.on_bulk = short
    with pytest.raises(RemoteProtocolError, match="got 1023"):
        go_on(unit, event, whole.image[: 2 * CHUNK], received)
    assert len(unit.bulk) == 2
    assert received.offsets == []
