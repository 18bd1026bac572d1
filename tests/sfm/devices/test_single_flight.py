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
    shared_reads: SingleFlight,
    reads: Callable[[SharedRead[int]], Awaitable[int]],
    *,
    forced: bool = False,
) -> asyncio.Task[tuple[int, bool]]:
    return asyncio.create_task(shared_reads.ask("list", reads, forced=forced))


@in_virtual_time
async def test_readers_who_ask_at_once_share_one_read(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    answers = await asyncio.gather(*(ask(shared_reads, reads) for _ in range(200)))
    assert answers == [(1, False)] + [(1, True)] * 199
    assert (len(reads.begun), shared_reads.started_reads, shared_reads.joined) == (1, 1, 199)


@in_virtual_time
async def test_readers_who_come_during_a_read_share_the_next_departure(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    first = ask(shared_reads, reads)
    await asyncio.sleep(1)
    late = [ask(shared_reads, reads) for _ in range(50)]
    await asyncio.sleep(1)
    assert shared_reads.waiting_readers == 50
    late += [ask(shared_reads, reads) for _ in range(50)]
    assert (await first)[0] == 1
    assert {number for number, _ in await asyncio.gather(*late)} == {2}
    assert len(reads.begun) == 2


@pytest.mark.parametrize("can_join_late", [False, True])
@in_virtual_time
async def test_a_forced_reader_never_joins_a_read_that_has_started(
    world: World, can_join_late: bool
) -> None:
    shared_reads, reads = single_flight(), Reads()

    def late_join_allowed(shared_read: SharedRead[int]) -> None:
        shared_read.can_join_late = lambda: can_join_late

    reads.on_the_way = late_join_allowed
    first = ask(shared_reads, reads)
    await asyncio.sleep(1)
    forced = ask(shared_reads, reads, forced=True)
    assert (await first)[0] == 1
    assert await forced == (2, False)
    assert reads.begun == [False, True]


@in_virtual_time
async def test_waiting_forced_and_unforced_readers_share_one_forced_read(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    first = ask(shared_reads, reads)
    await asyncio.sleep(1)
    waiting = [ask(shared_reads, reads, forced=n == 3) for n in range(6)]
    await asyncio.gather(first, *waiting)
    assert reads.begun == [False, True]


@in_virtual_time
async def test_an_unforced_reader_joins_late_while_that_is_allowed(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    is_open = True

    def late_join_allowed(shared_read: SharedRead[int]) -> None:
        shared_read.can_join_late = lambda: is_open

    reads.on_the_way = late_join_allowed
    first = ask(shared_reads, reads)
    await asyncio.sleep(1)
    joins = ask(shared_reads, reads)
    await asyncio.sleep(1)
    is_open = False
    too_late = ask(shared_reads, reads)
    assert [(await task)[0] for task in (first, joins, too_late)] == [1, 1, 2]


@in_virtual_time
async def test_a_failing_read_is_one_failure_for_all_and_is_not_repeated(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    reads.error = ValueError("the unit refused")
    first = ask(shared_reads, reads)
    await asyncio.sleep(1)
    late = [ask(shared_reads, reads) for _ in range(20)]
    outcomes = await asyncio.gather(first, *late, return_exceptions=True)
    assert all(outcome is reads.error for outcome in outcomes)
    assert len(reads.begun) == 2
    assert shared_reads.is_idle


@in_virtual_time
async def test_a_reader_who_goes_away_changes_nothing_for_the_others(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    device, *others = [ask(shared_reads, reads) for _ in range(5)]
    await asyncio.sleep(1)
    device.cancel()
    assert [number for number, _ in await asyncio.gather(*others)] == [1] * 4
    assert device.cancelled()
    assert len(reads.begun) == 1


@pytest.mark.parametrize("fails", [False, True])
@in_virtual_time
async def test_a_read_that_nobody_waits_for_any_more_is_finished(world: World, fails: bool) -> None:
    shared_reads, reads = single_flight(), Reads()
    reads.error = ValueError("nobody hears this") if fails else None
    readers = [ask(shared_reads, reads) for _ in range(3)]
    await asyncio.sleep(1)
    for reader in readers:
        reader.cancel()
    await asyncio.sleep(READ_S)
    assert reads.finished == 1
    assert shared_reads.is_idle


@in_virtual_time
async def test_a_read_that_all_readers_left_before_it_started_still_serves_the_next(
    world: World,
) -> None:
    shared_reads, reads = single_flight(), Reads()
    first = ask(shared_reads, reads)
    await asyncio.sleep(1)
    gone = ask(shared_reads, reads)
    await asyncio.sleep(1)
    gone.cancel()
    await asyncio.sleep(1)
    assert shared_reads.waiting_readers == 0
    assert (await ask(shared_reads, reads))[0] == 2
    await first


@in_virtual_time
async def test_reads_of_different_resources_use_the_connection_one_after_another(
    world: World,
) -> None:
    shared_reads, reads = single_flight(), Reads()
    await asyncio.gather(*(shared_reads.ask(n, reads) for n in range(5)))
    assert (len(reads.begun), reads.most_at_once) == (5, 1)


@in_virtual_time
async def test_closing_ends_waiting_and_running_reads_with_a_closing_error(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    running = ask(shared_reads, reads)
    await asyncio.sleep(1)
    waiting = ask(shared_reads, reads)
    other = asyncio.create_task(shared_reads.ask("other", reads))
    await asyncio.sleep(1)
    await shared_reads.close()
    outcomes = await asyncio.gather(running, waiting, other, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShuttingDownError] * 3
    assert (len(reads.begun), reads.finished, shared_reads.is_idle) == (1, 0, True)


@in_virtual_time
async def test_who_asks_after_the_close_gets_a_closing_error_and_reads_nothing(
    world: World,
) -> None:
    shared_reads, reads = single_flight(), Reads()
    await shared_reads.close()
    with pytest.raises(ShuttingDownError):
        await shared_reads.ask("list", reads)
    assert reads.begun == []


@in_virtual_time
async def test_a_reader_cancelled_while_the_relay_closes_is_cancelled(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()
    reader = ask(shared_reads, reads)
    await asyncio.sleep(1)
    reader.cancel()
    await shared_reads.close()
    (outcome,) = await asyncio.gather(reader, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)


@in_virtual_time
async def test_progress_is_reported_during_a_read(world: World) -> None:
    shared_reads, reads = single_flight(), Reads()

    def report(shared_read: SharedRead[int]) -> None:
        shared_read.progress = Progress(what="events", done=3, total=None)

    reads.on_the_way = report
    task = ask(shared_reads, reads)
    assert shared_reads.progress == {}
    await asyncio.sleep(1)
    assert shared_reads.progress == {"list": Progress(what="events", done=3, total=None)}
    await task
    assert shared_reads.progress == {}
