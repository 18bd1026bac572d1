from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from kit.relay_world import World, in_virtual_time

from minimateplus.model import Progress
from sfm.devices.connection_lock import ConnectionLock
from sfm.devices.single_flight import SharedRead, ShuttingDownError, SingleFlight

READ_S = 10.0


class Reads:
    """Reads of ten seconds each; counts them, and how many ran at once."""

    def __init__(self) -> None:
        self.begun: list[bool] = []
        """Of each read whether it was forced, in order."""
        self.finished = 0
        self.at_once = self.most_at_once = 0
        self.error: Exception | None = None
        self.on_the_way: Callable[[SharedRead[int]], None] = lambda shared_read: None

    async def __call__(self, shared_read: SharedRead[int]) -> int:
        self.begun.append(shared_read.forced)
        number = len(self.begun)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.on_the_way(shared_read)
        try:
            await asyncio.sleep(READ_S)
        finally:
            self.at_once -= 1
        self.finished += 1
        if self.error is not None:
            raise self.error
        return number


def single_flight() -> SingleFlight:
    return SingleFlight(ConnectionLock())


def ask(
    flights: SingleFlight,
    reads: Callable[[SharedRead[int]], Awaitable[int]],
    *,
    forced: bool = False,
) -> asyncio.Task[tuple[int, bool]]:
    return asyncio.create_task(flights.ask("list", reads, forced=forced))


@in_virtual_time
async def test_readers_who_ask_at_once_share_one_read(world: World) -> None:
    flights, reads = single_flight(), Reads()
    answers = await asyncio.gather(*(ask(flights, reads) for _ in range(200)))
    assert answers == [(1, False)] + [(1, True)] * 199
    assert (len(reads.begun), flights.started_reads, flights.joined) == (1, 1, 199)


@in_virtual_time
async def test_readers_who_come_during_a_read_share_the_next_departure(world: World) -> None:
    flights, reads = single_flight(), Reads()
    first = ask(flights, reads)
    await asyncio.sleep(1)
    late = [ask(flights, reads) for _ in range(50)]
    await asyncio.sleep(1)
    assert flights.waiting_readers == 50
    late += [ask(flights, reads) for _ in range(50)]
    assert (await first)[0] == 1
    assert {number for number, _ in await asyncio.gather(*late)} == {2}
    assert len(reads.begun) == 2


@pytest.mark.parametrize("doors_open", [False, True])
@in_virtual_time
async def test_a_forced_reader_never_joins_a_flight_that_has_left(
    world: World, doors_open: bool
) -> None:
    flights, reads = single_flight(), Reads()

    def open_doors(shared_read: SharedRead[int]) -> None:
        shared_read.can_join_late = lambda: doors_open

    reads.on_the_way = open_doors
    first = ask(flights, reads)
    await asyncio.sleep(1)
    forced = ask(flights, reads, forced=True)
    assert (await first)[0] == 1
    assert await forced == (2, False)
    assert reads.begun == [False, True]


@in_virtual_time
async def test_forced_and_unforced_readers_who_wait_share_one_forced_flight(world: World) -> None:
    flights, reads = single_flight(), Reads()
    first = ask(flights, reads)
    await asyncio.sleep(1)
    waiting = [ask(flights, reads, forced=n == 3) for n in range(6)]
    await asyncio.gather(first, *waiting)
    assert reads.begun == [False, True]


@in_virtual_time
async def test_an_unforced_reader_boards_on_the_way_while_the_doors_are_open(world: World) -> None:
    flights, reads = single_flight(), Reads()
    is_open = True

    def open_doors(shared_read: SharedRead[int]) -> None:
        shared_read.can_join_late = lambda: is_open

    reads.on_the_way = open_doors
    first = ask(flights, reads)
    await asyncio.sleep(1)
    boards = ask(flights, reads)
    await asyncio.sleep(1)
    is_open = False
    too_late = ask(flights, reads)
    assert [(await task)[0] for task in (first, boards, too_late)] == [1, 1, 2]


@in_virtual_time
async def test_a_failing_read_is_one_failure_for_all_and_is_not_repeated(world: World) -> None:
    flights, reads = single_flight(), Reads()
    reads.error = ValueError("the unit said no")
    first = ask(flights, reads)
    await asyncio.sleep(1)
    late = [ask(flights, reads) for _ in range(20)]
    outcomes = await asyncio.gather(first, *late, return_exceptions=True)
    assert all(outcome is reads.error for outcome in outcomes)
    assert len(reads.begun) == 2
    assert flights.is_idle


@in_virtual_time
async def test_a_reader_who_goes_away_changes_nothing_for_the_others(world: World) -> None:
    flights, reads = single_flight(), Reads()
    device, *others = [ask(flights, reads) for _ in range(5)]
    await asyncio.sleep(1)
    device.cancel()
    assert [number for number, _ in await asyncio.gather(*others)] == [1] * 4
    assert device.cancelled()
    assert len(reads.begun) == 1


@pytest.mark.parametrize("fails", [False, True])
@in_virtual_time
async def test_a_read_that_nobody_waits_for_any_more_is_finished(world: World, fails: bool) -> None:
    flights, reads = single_flight(), Reads()
    reads.error = ValueError("nobody hears this") if fails else None
    readers = [ask(flights, reads) for _ in range(3)]
    await asyncio.sleep(1)
    for reader in readers:
        reader.cancel()
    await asyncio.sleep(READ_S)
    assert reads.finished == 1
    assert flights.is_idle


@in_virtual_time
async def test_a_flight_that_everybody_left_before_it_departed_still_takes_the_next(
    world: World,
) -> None:
    flights, reads = single_flight(), Reads()
    first = ask(flights, reads)
    await asyncio.sleep(1)
    gone = ask(flights, reads)
    await asyncio.sleep(1)
    gone.cancel()
    await asyncio.sleep(1)
    assert flights.waiting_readers == 0
    assert (await ask(flights, reads))[0] == 2
    await first


@in_virtual_time
async def test_flights_for_different_things_hold_the_line_one_after_another(world: World) -> None:
    flights, reads = single_flight(), Reads()
    await asyncio.gather(*(flights.ask(n, reads) for n in range(5)))
    assert (len(reads.begun), reads.most_at_once) == (5, 1)


@in_virtual_time
async def test_closing_ends_waiting_and_flying_reads_with_a_closing_error(world: World) -> None:
    flights, reads = single_flight(), Reads()
    flying = ask(flights, reads)
    await asyncio.sleep(1)
    waiting = ask(flights, reads)
    other = asyncio.create_task(flights.ask("other", reads))
    await asyncio.sleep(1)
    await flights.close()
    outcomes = await asyncio.gather(flying, waiting, other, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShuttingDownError] * 3
    assert (len(reads.begun), reads.finished, flights.is_idle) == (1, 0, True)


@in_virtual_time
async def test_who_asks_after_the_close_gets_a_closing_error_and_reads_nothing(
    world: World,
) -> None:
    flights, reads = single_flight(), Reads()
    await flights.close()
    with pytest.raises(ShuttingDownError):
        await flights.ask("list", reads)
    assert reads.begun == []


@in_virtual_time
async def test_a_reader_cancelled_while_the_relay_closes_is_cancelled(world: World) -> None:
    flights, reads = single_flight(), Reads()
    reader = ask(flights, reads)
    await asyncio.sleep(1)
    reader.cancel()
    await flights.close()
    (outcome,) = await asyncio.gather(reader, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)


@in_virtual_time
async def test_progress_is_told_while_a_read_is_under_way(world: World) -> None:
    flights, reads = single_flight(), Reads()

    def report(shared_read: SharedRead[int]) -> None:
        shared_read.progress = Progress(what="events", done=3, total=None)

    reads.on_the_way = report
    task = ask(flights, reads)
    assert flights.progress == {}
    await asyncio.sleep(1)
    assert flights.progress == {"list": Progress(what="events", done=3, total=None)}
    await task
    assert flights.progress == {}
