"""Other verbs between two records of a walk and between two chunks of a download."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from kit import virtual_time
from kit.client_session import asked
from kit.end_to_end import START_UNIT, counts_of

from minimateplus.client import MiniMate
from minimateplus.errors import (
    DeadlineError,
    LinkClosedError,
    LocalProtocolError,
    MemoryChangedError,
    ReplyTimeoutError,
)
from minimateplus.link import Deadlines, Link
from minimateplus.model import FIRST_KEY
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.faulty_links import LateLink
from minimateplus.wire import commands
from minimateplus.wire.framing import Frame
from minimateplus.wire.protocol_state import ProtocolState

Verb = Callable[[MiniMate], Awaitable[Any]]

CHECK = [0x0A, 0x0A, 0x0C, 0x0C]
"""An event visited and its record read."""
ARM = [0x0A, 0x0A, 0x1E, 0x1E, 0x0C, 0x0C, 0x1F, 0x1F, *[0x5B] * 6]
NEXT_EVENT = [0x1F, 0x1F, 0x0A, 0x0A, 0x1F, 0x1F, 0x0A, 0x0A, 0x0C, 0x0C]
"""From an event to the next: the log entry between them, its header, its record."""
OTHERS: dict[str, tuple[Verb, list[int]]] = {
    "status": (MiniMate.read_monitor_status, [0x1C, 0x1C]),
    "identity": (MiniMate.read_serial, [0x15, 0x15]),
    "another event": (lambda host: host.read_event(FIRST_KEY, 0), CHECK),
}


class MovedUnit(SimulatedUnit):
    """Forgets its place at every status and identity read: its cursor goes to the first record."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0, now_device_time=START_UNIT)
        self.asked: list[int] = []
        self.disarmed = False

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        self.asked.append(request.sub)
        if request.sub in (0x1C, 0x15):
            self._cursors[protocol] = FIRST_KEY
            self.disarmed = True
        if request.sub == 0x1E and request.params[7] == commands.ARM:
            self.disarmed = False
        if request.sub == 0x5A and self.disarmed:
            return None
        return super().answer(protocol, request)

    def fill(self, events: int, samples: int = 300) -> MovedUnit:
        for number in range(events):
            self.record_event(counts=counts_of(samples, number))
        return self


class Pauses:
    """Counts the pauses of one verb and does something in some of them."""

    def __init__(self, do: Callable[[], Awaitable[Any]], at: set[int] | None = None) -> None:
        self.do, self.at = do, at
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        if self.at is None or self.count in self.at:
            await self.do()


async def nothing() -> None:
    """Nobody waits."""


# --- walks ----------------------------------------------------------------------------------------


def test_a_walk_pauses_after_each_event_but_the_last_and_costs_nothing_if_nobody_waits() -> None:
    unit = MovedUnit().fill(4)
    pauses = Pauses(nothing)
    last = unit.events[-1].key
    asked(unit, lambda host: host.read_events(until_key=last))
    without = list(unit.asked)
    unit.asked.clear()
    events = asked(unit, lambda host: host.read_events(until_key=last, pause=pauses))
    assert events == unit.events
    assert unit.asked == without
    assert pauses.count == 3


@pytest.mark.parametrize("name", OTHERS)
def test_after_a_pause_that_was_used_the_last_event_is_compared_before_the_next_key(
    name: str,
) -> None:
    other, subs = OTHERS[name]
    unit = MovedUnit().fill(3)
    last = unit.events[-1].key

    async def verb(host: MiniMate) -> None:
        pauses = Pauses(lambda: other(host), {2})
        events = await host.read_events(until_key=last, pause=pauses)
        # Each event once and in order, although the cursor was moved.
        assert events == unit.events

    asked(unit, verb)
    first = [0x5B, 0x5B, 0x1E, 0x1E, *CHECK]
    assert unit.asked == [*first, *NEXT_EVENT, *subs, *CHECK, *NEXT_EVENT]


@pytest.mark.parametrize("name", OTHERS)
def test_a_walk_is_right_with_another_verb_in_every_pause(name: str) -> None:
    unit = MovedUnit().fill(6)

    async def verb(host: MiniMate) -> None:
        pauses = Pauses(lambda: OTHERS[name][0](host))
        assert await host.read_events(pause=pauses) == unit.events
        assert pauses.count == 6

    asked(unit, verb)


@pytest.mark.parametrize("then", ["nothing", "another event", "an event of the same time"])
def test_an_erase_in_a_pause_is_a_memory_that_changed(then: str) -> None:
    unit = MovedUnit().fill(3)

    async def verb(host: MiniMate) -> None:
        async def erase() -> None:
            first = unit.events[0]
            unit.erase()
            if then != "nothing":
                at = first.device_time if then == "an event of the same time" else None
                unit.set_clock(datetime(2026, 5, 1))
                again = unit.record_event(counts=counts_of(300, 9), at_device_time=at)
                assert again.key == first.key
            await host.read_monitor_status()

        with pytest.raises(MemoryChangedError):
            await host.read_events(pause=Pauses(erase, {1}))

    asked(unit, verb)
    assert unit.asked[-1] in (0x0A, 0x0C)


# --- downloads ------------------------------------------------------------------------------------


def test_a_download_pauses_after_each_chunk_but_the_last_and_costs_nothing_if_nobody_waits() -> (
    None
):
    unit = MovedUnit().fill(1, 2000)
    (event,) = unit.events
    whole = asked(unit, lambda host: host.read_waveform(event))
    without = list(unit.asked)
    unit.asked.clear()
    pauses = Pauses(nothing)
    waveform = asked(unit, lambda host: host.read_waveform(event, pause=pauses))
    assert waveform.image == whole.image
    assert unit.asked == without
    # The first chunk is read and the size known before anybody else is let in.
    assert pauses.count == unit.asked.count(0x5A) - 2


@pytest.mark.parametrize("name", OTHERS)
def test_after_a_pause_that_was_used_the_unit_is_armed_again_before_the_next_chunk(
    name: str,
) -> None:
    other, subs = OTHERS[name]
    unit = MovedUnit().fill(2, 2000)
    event = unit.events[1]

    async def verb(host: MiniMate) -> None:
        pauses = Pauses(lambda: other(host), {2})
        waveform = await host.read_waveform(event, pause=pauses)
        assert np.array_equal(waveform.counts, unit.counts_of(1))

    asked(unit, verb)
    chunks = unit.asked.count(0x5A)
    again = [*subs, *ARM, *[0x5A] * (chunks - 3), *CHECK]
    assert unit.asked == [0x5B, 0x5B, *ARM, *[0x5A] * 3, *again]


@pytest.mark.parametrize("then", ["nothing", "an event of the same time"])
@pytest.mark.parametrize("pause", [1, 4])
def test_an_erase_in_a_pause_of_a_download_is_a_memory_that_changed(pause: int, then: str) -> None:
    unit = MovedUnit().fill(1, 2000)
    (event,) = unit.events
    chunks: list[int] = []

    async def verb(host: MiniMate) -> None:
        async def erase() -> None:
            unit.erase()
            if then != "nothing":
                unit.record_event(counts=counts_of(2000, 9), at_device_time=event.device_time)
            await host.read_monitor_status()
            chunks.append(unit.asked.count(0x5A))

        with pytest.raises(MemoryChangedError):
            await host.read_waveform(event, pause=Pauses(erase, {pause}))

    asked(unit, verb)
    assert chunks == [unit.asked.count(0x5A)] == [pause + 1]


# --- sessions that end in a pause -----------------------------------------------------------------

LONG: dict[str, Callable[[MiniMate, Pauses], Awaitable[Any]]] = {
    "walk": lambda host, pauses: host.read_events(pause=pauses),
    "download": lambda host, pauses: host.read_waveform(0, pause=pauses),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("how", ["closed", "a verb that failed"])
def test_a_session_that_ended_in_a_pause_is_a_link_that_closed(how: str, name: str) -> None:
    unit = MovedUnit().fill(3, 2000)
    before: list[int] = []

    async def verb(host: MiniMate) -> None:
        async def end() -> None:
            if how == "closed":
                await host.close()
            else:
                unit.ignores.add(0x1C)
                with pytest.raises(ReplyTimeoutError):
                    await host.read_monitor_status()
            before.extend(unit.asked)

        with pytest.raises(LinkClosedError, match="ended while others used it"):
            await LONG[name](host, Pauses(end, {1}))
        assert not host.is_usable

    asked(unit, verb)
    # Nothing more is asked of the unit.
    assert unit.asked == before


@pytest.mark.parametrize("name", LONG)
def test_a_pause_does_not_count_against_the_deadline_which_begins_again_behind_it(
    name: str,
) -> None:
    unit = MovedUnit().fill(3, 2000)
    deadlines = Deadlines(operation_s=30.0)

    async def verb(host: MiniMate) -> None:
        async def wait() -> None:
            await asyncio.sleep(1000.0)
            # A verb of its own, with a deadline of its own.
            await host.read_info()

        await LONG[name](host, Pauses(wait))

    asked(unit, verb, LateLink, deadlines)


@pytest.mark.parametrize("name", LONG)
def test_a_verb_that_stands_still_behind_a_pause_is_given_up(name: str) -> None:
    wrap_links: list[LateLink] = []

    def late(inner: Link) -> Link:
        wrap_links.append(LateLink(inner))
        return wrap_links[0]

    async def verb(host: MiniMate) -> None:
        async def slow_down() -> None:
            await host.read_serial()
            wrap_links[0].delay_s = 9.0
            paused_until_s.append(virtual_time.now_s())

        paused_until_s: list[float] = []
        with pytest.raises(DeadlineError, match="made no progress for 30 s"):
            await LONG[name](host, Pauses(slow_down, {1}))
        # The record is compared first: 4 exchanges or more of 9 s.
        assert virtual_time.now_s() - paused_until_s[0] == pytest.approx(30.0)

    asked(MovedUnit().fill(3, 2000), verb, late, Deadlines(operation_s=30.0))


class _OurOwnError(Exception):
    pass


@pytest.mark.parametrize("name", LONG)
def test_an_error_of_the_pause_passes_and_ends_the_session(name: str) -> None:
    async def verb(host: MiniMate) -> None:
        async def fail() -> None:
            raise _OurOwnError

        with pytest.raises(_OurOwnError):
            await LONG[name](host, Pauses(fail, {2}))
        assert not host.is_usable
        with pytest.raises(LocalProtocolError):
            await host.read_serial()

    asked(MovedUnit().fill(3, 2000), verb)


@pytest.mark.parametrize("name", LONG)
def test_outside_its_pauses_a_long_verb_is_alone(name: str) -> None:
    async def verb(host: MiniMate) -> None:
        async def refused() -> None:
            await asyncio.sleep(0.5)
            with pytest.raises(LocalProtocolError, match="while another operation runs"):
                await host.read_serial()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(LONG[name](host, Pauses(nothing)))  # type: ignore[arg-type]
            tasks.create_task(refused())

    asked(MovedUnit().fill(3, 2000), verb, LateLink)
