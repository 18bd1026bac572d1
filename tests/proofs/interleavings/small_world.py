"""
A small world in which every choice is made from outside: gateway, cache, one unit, few readers.

Gateway, device, shared reads, connection and cache are those of production; the unit is a fake
at record level.
Whatever can happen next is an *action*. The world lists the actions that are possible, does the one
it is given, and checks after each whether the promise (design section 3) still holds:

=============  ===================================================================================
action         what happens
=============  ===================================================================================
``run``        the callback runs that asyncio would run next
``ask A``      reader A asks; it runs until it first waits
``leave A``    reader A goes away
``step``       what the unit was asked for comes in; the read runs until it waits again
``fail``       instead of it nothing comes: the read has failed
``erase``      somebody erases the unit and an event of equal length is recorded: the same key
``wipe``       somebody erases the unit
``record``     an event is recorded
``drop``       somebody has the cache drop the device
=============  ===================================================================================

What comes from outside (``ask``, ``step``, ``fail``) runs at once and not behind what is ready: the
moment of the action stands for the moment at which its turn comes, so every order of asyncio's is
among those walked, and a few that asyncio never makes.

Not simulated: time (no reader's queue time ends, nothing grows old), bytes, the parts of a probe
coming in one by one, except in scopes with ``probe_steps=2``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from kit.record_memory import RecordMemory, setup_with_notes, unit_info
from stepping import Portrait, SteppingLoop

import sfm.devices.device
import sfm.devices.durable_cache
import sfm.devices.event_list
import sfm.devices.single_flight
from minimateplus.errors import KeyChainError, MemoryChangedError, ReplyTimeoutError
from minimateplus.link import Address
from minimateplus.model import (
    Event,
    MemoryProbe,
    StorageRange,
    UnitInfo,
)
from sfm.access.names import unit_key
from sfm.cache.freshness import ANY, FORCED
from sfm.cache.identity import Verdict, compare_probes
from sfm.devices.answer import Answer
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.gateway import Gateway
from sfm.devices.route import OtherUnitError
from sfm.devices.single_flight import SharedRead
from sfm.live_cache import LiveCache
from sfm.settings import Settings

HERE = Address("tcp", "unit.invalid", 12345)
KEY = unit_key("SIM0001")
T0 = datetime(2026, 4, 1, 0, 28, 12)
SETTINGS = Settings(keep_open_s=0, validated_s=0)
INFO = unit_info("SIM0001", setup_with_notes(None))

MEMORY_CHANGES = frozenset({"erase", "wipe", "record"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much there is in a small world."""

    readers: tuple[str, ...] = ("A", "B", "F")
    """Who asks, once each. A name with F is a forced reader; the others are alike."""
    happenings: tuple[str, ...] = ("erase", "record")
    """What people and ground motion do, once each, in any order and at any moment."""
    ordered: bool = False
    """Whether they happen in the order given."""
    failing: int = 1
    """How many reads may fail."""
    leaving: tuple[str, ...] = ()
    """Who may go away while waiting."""
    never_set: bool = False
    """The unit's clock was never set: all its events are of one time."""
    warm: bool = True
    """Whether the cache holds the list of one event at the beginning."""
    fine: bool = True
    """Whether things come from outside between any two callbacks of the loop, or only when it has
    nothing left to run."""
    probe_steps: int = 1
    """In how many steps a probe comes in."""


class Silent:
    """A log that nobody reads."""

    def info(self, *args: object, **words: object) -> None:
        pass

    debug = warning = info


class WatchedRead(SharedRead[Any]):
    """Notes who joins: the reader in whose task the number of readers rises."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "readers" and value > getattr(self, "readers", 0):
            reader = asyncio.current_task()
            world = getattr(reader.get_loop(), "world", None) if reader is not None else None
            if world is not None and reader is not None:
                world.note_join(reader.get_name(), self)
        super().__setattr__(name, value)


class SmallUnit(RecordMemory):
    """The unit of a world."""

    def portrait_parts(self) -> tuple[object, ...]:
        return ()  # drawn with its world

    def check(self, event: Event) -> Event:
        """Return the event in that place; its peaks are only the world's name for it."""
        now = self.visit(event.key)
        return super().check(replace(event, peaks=now.peaks))


class SmallSession:
    """One session with the unit of a world, with the verbs of ``MiniMate``: one step for each."""

    def __init__(self, world: SmallWorld) -> None:
        self._world = world
        self.exchanges = 0
        self.answers = 0
        self.is_usable = True
        self.volatile_offsets: frozenset[int] = frozenset()
        self.name = "unit.invalid"
        self.serial = INFO.serial

    def portrait_parts(self) -> tuple[object, ...]:
        return (self.is_usable,)

    async def wake(self) -> None:
        """Nothing: this unit never sleeps."""

    async def _step(self) -> None:
        try:
            await self._world.unit_step()
        except BaseException:
            self.is_usable = False
            raise

    async def close(self) -> None:
        self.is_usable = False
        try:
            if not self._world.is_over:
                await self._world.unit_step(can_fail=False)
        finally:
            self._world.open -= 1

    async def read_info(self, *, serial: str) -> UnitInfo:
        await self._step()
        return INFO

    async def read_serial(self) -> str:
        """There is one unit, so its serial number comes in with what is read behind it."""
        return INFO.serial

    async def read_lifetime_count(self) -> int:
        await self._step()
        return self._world.unit.lifetime_count

    async def read_probe(
        self, *, serial: str | None = None, newest: Event | None = None
    ) -> MemoryProbe:
        unit = self._world.unit
        self._world.a_read_begins(whole=not unit.events)
        await self._step()
        probe = probe_of(unit)
        if self._world.scope.probe_steps == 2 and unit.events:
            # The newest event's time is asked for last, by its key.
            await self._step()
            assert probe.last_key is not None
            probe = replace(probe, last_timestamp=_time_at(unit, unit.find(probe.last_key)))
        return probe

    async def read_storage_range(self) -> StorageRange:
        await self._step()
        return self._world.unit.storage_range()

    async def read_events(
        self,
        *,
        after: Event | None = None,
        until_key: bytes | None = None,
        on_event: Callable[[Event], None],
        on_progress: object,
        pause: object,
    ) -> list[Event]:
        unit = self._world.unit
        events: list[Event] = []
        if after is None:
            self._world.a_read_begins(whole=True)
        else:
            await self._step()
            unit.check(after)
            if after.key == until_key:
                return events
        at = 0 if after is None else after.index + 1
        while True:
            await self._step()
            if at >= len(unit.events):
                raise KeyChainError("the chain of keys ends before the last stored key")
            events.append(unit.events[at])
            on_event(events[-1])
            if events[-1].key == until_key:
                return events
            at += 1


def probe_of(unit: RecordMemory) -> MemoryProbe:
    """Return what a probe says of a unit at one instant."""
    stored = unit.storage_range()
    return MemoryProbe(
        serial=unit.serial,
        first_key=stored.first_key,
        last_key=stored.last_key,
        lifetime_count=unit.lifetime_count,
        last_timestamp=_time_at(unit, -1 if unit.events else None),
        is_empty=not unit.events,
    )


def _time_at(unit: RecordMemory, place: int | None) -> str | None:
    """Return the time of an event as a probe says it."""
    moment = None if place is None else unit.events[place].device_time
    return None if moment is None else moment.isoformat()


Truth = tuple[int, ...]
"""Which physical events, by the number under which the world recorded them."""


class Reader:
    """One who asks once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_forced = "F" in name
        self.task: asyncio.Task[Answer] | None = None
        self.is_done = False
        self.is_gone = False
        self.truths: frozenset[Truth] = frozenset()
        """What the unit held at some instant since the request."""
        self.whole_read_began = False
        """Whether a read of everything began since the request."""
        self.shared_reads: list[WatchedRead] = []
        """The reads that it joined."""
        self.reads_after: int | None = None
        """Reads that started since the request, while one was running; ``None``: none was."""

    def portrait_parts(self) -> tuple[object, ...]:
        if self.is_done:
            return ("done",)
        if self.task is None:
            return ("has not asked",)
        waits = (self.is_gone, self.truths, self.whole_read_began, self.reads_after)
        return (*waits, len(self.shared_reads), self.shared_reads[-1:], self.task)


class SmallWorld:
    """Lives for one interleaving; ``end`` it."""

    def portrait_parts(self) -> tuple[object, ...]:
        return ()  # it draws itself, part by part: see ``portrait``

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.is_over = False
        self.loop = SteppingLoop()  # type: ignore[abstract]  # what is missing is not asked for
        self.loop.world = self  # type: ignore[attr-defined]  # so that a read finds it
        self.broken: str | None = None
        """The first promise that was broken."""
        # The unit.
        self.unit = SmallUnit(INFO.serial)
        self.open = 0
        self._awaited: asyncio.Future[None] | None = None
        self._can_fail = True
        self._failing = scope.failing
        # What may still happen.
        self._happenings = list(scope.happenings)
        self._leaving = list(scope.leaving)
        self.readers = {name: Reader(name) for name in scope.readers}
        self._departed: list[object] = []
        self._just_happened = False
        """Whether memory changed, and nobody has looked yet."""
        self._dropped = False
        """Whether the device was dropped, and no read began since."""
        asyncio._set_running_loop(self.loop)
        self.cache = LiveCache(clock=self.loop.time)
        self.gateway = Gateway(
            self.cache,
            SETTINGS,
            connect=self.connect,  # type: ignore[arg-type]  # a fake that speaks MiniMate's words
            clock=self.loop.time,
            wall=lambda: datetime(2026, 5, 1, tzinfo=UTC),
        )
        self._record()
        if scope.warm:
            self._warm_up()
        self._device = self.gateway.registry.unit("SIM0001")

    def _warm_up(self) -> None:
        task = self.loop.create_task(self.gateway.events(HERE), name="before")
        while not task.done():
            if self.loop.ready:
                self.loop.run_next()
            else:
                self._come_in()
        task.result()

    def end(self) -> None:
        """Leave nothing behind."""
        self.is_over = True
        self.loop.wind_up()
        asyncio._set_running_loop(None)

    # --- the unit -------------------------------------------------------------------------------

    async def connect(self, address: Address) -> SmallSession:
        self.open += 1
        if self.open > 1 and not self.is_over:
            self._breaks("two sessions at once (promise 7)")
        return SmallSession(self)

    async def unit_step(self, *, can_fail: bool = True) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._breaks("two sessions at once (promise 7)")
        self._awaited, self._can_fail = self.loop.create_future(), can_fail
        await self._awaited

    def a_read_begins(self, *, whole: bool) -> None:
        self._dropped = False
        for reader in self.readers.values():
            reader.whole_read_began |= whole and reader.task is not None

    def _record(self) -> None:
        number = self.unit.lifetime_count + 1
        at = T0 if self.scope.never_set else T0.replace(minute=number)
        self.unit.store(at, float(number))

    @property
    def truth(self) -> Truth:
        return tuple(int(event.peaks.tran_in_s or 0) for event in self.unit.events)

    # --- actions --------------------------------------------------------------------------------

    def actions(self) -> list[str]:
        """What can happen next; nothing at the end of all."""
        self.loop.drop_cancelled()
        possible = ["run"] if self.loop.ready else []
        if self._awaited is not None and not self._awaited.done():
            possible.append("step")
            if self._failing and self._can_fail:
                possible.append("fail")
        unasked = [reader for reader in self.readers.values() if reader.task is None]
        for is_forced in (False, True):
            # Readers of one kind are alike: they come in the order of their names.
            alike = [reader for reader in unasked if reader.is_forced is is_forced]
            possible += [f"ask {reader.name}" for reader in alike[:1]]
        for name in self._leaving:
            reader = self.readers[name]
            if reader.task is not None and not reader.task.done():
                possible.append(f"leave {name}")
        return self._with_happenings(possible)

    def _with_happenings(self, possible: list[str]) -> list[str]:
        """
        Add what happens to the unit's memory, where its moment makes a difference.

        Only what comes in from the unit looks at its memory, and only who asks notes what it holds;
        everything else commutes with it, and is the harder for us the earlier it comes. So memory
        changes only when one of the two can come next, or nothing can; and then one of them does.
        """
        coming = self._happenings[:1] if self.scope.ordered else self._happenings
        looks = [action for action in possible if action.startswith("ask")]
        if "step" in possible and self._can_fail:
            looks.append("step")
        if self._just_happened:
            return looks + coming
        if looks or not possible:
            return possible + coming
        return possible + [what for what in coming if what == "drop"]

    def act(self, action: str) -> None:
        """Let one action happen, and see what became of the promise."""
        what, _, who = action.partition(" ")
        self._just_happened = what in MEMORY_CHANGES
        if what == "run":
            self.loop.run_next()
        elif what == "step":
            self._come_in()
        elif what == "fail":
            self._failing -= 1
            self._come_in(ReplyTimeoutError("no answer"))
        elif what == "ask":
            self._ask(self.readers[who])
        elif what == "leave":
            self._leaving.remove(who)
            reader = self.readers[who]
            reader.is_gone = True
            assert reader.task is not None
            reader.task.cancel()
        else:
            self._happens(action)
        self._look()
        while self.loop.ready and not self.scope.fine:
            self.loop.run_next()
            self._look()

    def _come_in(self, error: Exception | None = None) -> None:
        future = self._awaited
        assert future is not None
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        self.loop.run_last()

    def _ask(self, reader: Reader) -> None:
        freshness = FORCED if reader.is_forced else ANY
        reader.truths = frozenset({self.truth})
        running = self._running_reads()
        reader.reads_after = 0 if running else None
        reader.task = self.loop.create_task(
            self.gateway.events(HERE, freshness), name=f"reader {reader.name}"
        )
        # The reader's first step runs now; what it makes ready waits behind the rest.
        self.loop.run_last()

    def _happens(self, what: str) -> None:
        self._happenings.remove(what)
        if what == "drop":
            # Without a store nothing in it waits.
            with contextlib.suppress(StopIteration):
                self.gateway.drop(HERE, "asked to").send(None)
            self._dropped = True
        if what.startswith(("erase", "wipe")):
            self.unit.clear()
        if what.startswith(("erase", "record")):
            self._record()
        for reader in self.readers.values():
            reader.truths |= {self.truth}

    # --- the promise ----------------------------------------------------------------------------

    def _breaks(self, what: str) -> None:
        self.broken = self.broken or what

    def note_join(self, who: str, shared_read: WatchedRead) -> None:
        name = who.removeprefix("reader ")
        if name not in self.readers:
            return
        joined = self.readers[name].shared_reads
        # A first contact only finds out which unit answers; then that one is read.
        before = joined[-1].task if joined else None
        has_ended = before is not None and before.done() and not before.cancelled()
        if before is not None and has_ended and isinstance(before.exception(), OtherUnitError):
            joined.pop()
        joined.append(shared_read)

    def _running_reads(self) -> list[object]:
        return list(self._device.single_flight._running.values())

    def _look(self) -> None:
        for complaint in self.loop.complaints:
            self._breaks(f"the loop complains: {complaint}")
        running = self._running_reads()
        for shared_read in running:
            if shared_read not in self._departed:
                self._departed.append(shared_read)
                self._departs()
        for reader in self.readers.values():
            if reader.task is not None and reader.task.done() and not reader.is_done:
                self._is_answered(reader, reader.task)
                reader.is_done = True
        self._inspect_cache()

    def _departs(self) -> None:
        for reader in self.readers.values():
            if reader.task is None or reader.is_done or reader.reads_after is None:
                continue
            if not (reader.shared_reads and reader.shared_reads[-1].task.done()):
                reader.reads_after += 1
            if reader.reads_after > (2 if reader.is_forced else 1):
                self._breaks(f"{reader.name} waits for one more read than promised (promise 6)")

    def _is_answered(self, reader: Reader, task: asyncio.Task[Answer]) -> None:
        if task.cancelled():
            if not reader.is_gone:
                self._breaks(f"{reader.name} was cancelled by another's going (promise 8)")
            return
        error = task.exception()
        if len(reader.shared_reads) != 1:
            self._breaks(f"{reader.name} joined {len(reader.shared_reads)} reads (promise 6)")
            return
        shared_read = reader.shared_reads[0].task
        ending = (
            shared_read.exception() if shared_read.done() and not shared_read.cancelled() else None
        )
        if error is not ending:
            self._breaks(f"{reader.name} got {error!r}, the shared read ended with {ending!r}")
        elif error is not None and not isinstance(
            error, ReplyTimeoutError | MemoryChangedError | ListIncompleteError
        ):
            self._breaks(f"{reader.name} got {error!r}")
        elif error is None:
            self._is_true(reader, task.result())

    def _is_true(self, reader: Reader, answer: Answer) -> None:
        returned = tuple(int(event["peaks"]["tran_in_s"]) for event in answer.value)
        if returned not in reader.truths:
            entry = sorted(reader.truths)
            self._breaks(f"{reader.name} got {returned}; since the request the unit held {entry}")
        if reader.is_forced and not (
            reader.whole_read_began and answer.provenance.source == "device"
        ):
            self._breaks(f"{reader.name} is forced, and got a read begun before (promise 5)")

    def _inspect_cache(self) -> None:
        entry = self.cache.events_entry(KEY)
        if entry is None:
            return
        if self._dropped:
            self._breaks("a list is held that was read before a drop (promise 2)")
        assert isinstance(entry.probe, MemoryProbe)
        if compare_probes(entry.probe, probe_of(self.unit)) is Verdict.SAME:
            returned = tuple(int(event["peaks"]["tran_in_s"]) for event in entry.value())
            if returned != self.truth:
                self._breaks(
                    f"the held list would be proven: {returned}; the unit holds {self.truth}"
                )

    def at_end(self) -> None:
        """Nothing can happen any more: say what is not as it must be."""
        for reader in self.readers.values():
            if not reader.is_done:
                self._breaks(f"{reader.name} waits for ever")
        if not self._device.single_flight.is_idle or self.open:
            self._breaks("a read or a session never ended")

    # --- the state ------------------------------------------------------------------------------

    def portrait(self) -> bytes:
        """Draw all that decides what can happen from here on, and whether it keeps the promise."""
        device = self._device
        cached = self.cache._devices.get(KEY, self.cache._unknown)
        return Portrait().digest(
            (self.unit.events, self.unit.lifetime_count, self.open, self._can_fail, self._failing),
            (self._happenings, self._leaving, self._just_happened, self._dropped),
            self.loop.ready,
            self._awaited,
            list(self.readers.values()),
            *[
                state_of(place)
                for place in (
                    device,
                    device.durable,
                    device.identification,
                    device.event_list,
                    device.downloads,
                    device.single_flight,
                    self.gateway.registry.route(HERE),
                    self.gateway.registry.route(HERE).device,
                    self.gateway.registry.route(HERE).connection,
                    self.gateway.registry.route(HERE).back_off,
                    self.gateway.registry.route(HERE).device.single_flight,
                )
            ],
            state_of(cached),
        )


BOOKKEEPING = frozenset(
    {
        *("verdicts", "read_times", "joined", "started_reads", "rejected_readers", "exchanges"),
        *("sessions", "_operations", "_hang_up_later", "_hanging_up", "usage", "served"),
    }
)
"""Attributes of the product that count and decide nothing, since time stands still."""


def state_of(place: object) -> dict[str, object]:
    """Return every attribute of a part of the product by its name, but for the bookkeeping."""
    if is_dataclass(place):
        return {part.name: getattr(place, part.name) for part in fields(place)}
    return {name: value for name, value in vars(place).items() if name not in BOOKKEEPING}


class Quiet:
    """While it holds, reads are watched and nothing is logged."""

    _LOGGING = (sfm.devices.device, sfm.devices.durable_cache, sfm.devices.event_list)

    def __enter__(self) -> None:
        self._stack = contextlib.ExitStack()
        for module in self._LOGGING:
            self._stack.enter_context(mock.patch.object(module, "log", Silent()))
        self._stack.enter_context(
            mock.patch.object(sfm.devices.single_flight, "SharedRead", WatchedRead)
        )

    def __exit__(self, *args: object) -> None:
        self._stack.close()
