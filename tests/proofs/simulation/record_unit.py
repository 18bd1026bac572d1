"""
A unit at the grain of records: what stands behind an address, and a session with it.

``RecordUnit`` is the memory; people touch it at any instant. ``RecordSession`` has the verbs of
``MiniMate`` that the relay uses, in the same order of exchanges and with the same errors. Each
exchange takes virtual time, and sees the memory as it is at that exchange's end. The verbs that
change a unit are those of production, frame by frame; a unit hears a command at the begin or at the
end of its exchange, so one that is lost was followed or was not.
"""

from __future__ import annotations

import asyncio
import math
import random
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from auditor import Auditor, Sample
from kit.record_memory import RecordMemory, setup_with_notes, unit_info
from orders import LAST_WORDS, FollowsOrders, Order, Slot

from minimateplus.client import Pause
from minimateplus.client.commands import CommandSession
from minimateplus.client.reads import OnEvent, OnImage, OnProgress
from minimateplus.errors import (
    ConnectError,
    ConnectTimeoutError,
    KeyChainError,
    LineSharedError,
    LinkClosedError,
    LocalProtocolError,
    MemoryChangedError,
    NoSuchEventError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.model import (
    FIRST_KEY,
    CallHome,
    Event,
    MemoryProbe,
    MonitorStatus,
    Progress,
    StorageRange,
    UnitInfo,
    Waveform,
)
from minimateplus.simulator import payloads
from minimateplus.simulator.settings_write import SettingsWrite
from minimateplus.simulator.unit import DEFAULT_SETUP, NEVER_SET_DEVICE_TIME, SENSOR_CHECK_S
from minimateplus.wire import commands, layouts
from minimateplus.wire.commands import NO_PARAMS, Command
from minimateplus.wire.framing import Frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")

REPLY_S = 10.0
T0 = datetime(2026, 4, 1, 0, 28, 12)
COLUMNS = 2
"""Chunks of a waveform: each is read at an instant of its own."""
CHUNK = struct.Struct(f">{layouts.BODY_OFFSET}sBh")
"""
One chunk of an image: the file-type tag and STRT record in the first, zeros in the others; which
chunk it is, and of which ground motion.
"""
IMAGE_BYTES = COLUMNS * CHUNK.size
LOOKS = (0.5, 0.25)


SETUPS = [setup_with_notes(str(version)) for version in range(64)]


@lru_cache(maxsize=64)
def setup_block(version: int) -> bytes:
    """Return the block of a setup that says its version in its notes."""
    return payloads.setup_block(replace(DEFAULT_SETUP, notes=str(version)))


@lru_cache(maxsize=256)
def version_of(block: bytes) -> int:
    """Return the version that a setup block says."""
    return int(layouts.parse_setup(block).notes or -1)


def home_in_few_words(home: CallHome) -> tuple[bool, int]:
    """Return what the worlds change of call-home settings."""
    return home.enabled, home.retries


@lru_cache(maxsize=256)
def home_of(block: bytes) -> tuple[bool, int]:
    """Return what a call-home block says, in few words."""
    return home_in_few_words(layouts.parse_call_home(block))


class RecordUnit(RecordMemory, FollowsOrders):
    """
    The memory of one unit, and its clock.

    Args:
        serial: its number.
        now_s: the virtual time.
        never_set: its clock always shows 1995.
        falling_counter: the lifetime counter starts again with each erase; such a unit's clock is
            set, and never shows one second twice (else nobody could notice an erase).
        counter_step: how far the lifetime counter rises with an event; other than 1 is dishonest,
            and then no two events have equal peaks (else nobody could notice an erase).
    """

    def __init__(
        self,
        serial: str,
        now_s: Callable[[], float],
        *,
        never_set: bool = False,
        falling_counter: bool = False,
        counter_step: int = 1,
    ) -> None:
        RecordMemory.__init__(self, serial)
        FollowsOrders.__init__(self)
        self.slots: tuple[Slot, ...] = ()
        self.setup_version = 0
        self.call_home_block = payloads.call_home_block()
        self._monitor_since_s: float | None = None
        self.memory = 0
        self.sessions: list[RecordSession] = []
        """Those that are open with it, over whatever address; the oldest first."""
        self._now_s = now_s
        self._never_set = never_set
        self._falling_counter = falling_counter
        self._counter_step = counter_step
        self._clock_set_back_s = 0.0

    def record(self, physical: int, *, look: int = 0, size: int = 0) -> None:
        """Store one event; equal sizes in equal order make equal keys."""
        moment = self._moment(physical)
        tran_in_s = LOOKS[look] if self._counter_step == 1 else physical / 8
        slot = Slot(physical, self.next_key.hex(), moment.isoformat(), tran_in_s)
        # The physical number tells nobody anything: the relay only keeps records, unread.
        record = " ".join(map(str, slot)).encode()
        self.store(moment, tran_in_s, size=size, record=record, counts=self._counter_step)
        self.slots = (*self.slots, slot)

    def _moment(self, physical: int) -> datetime:
        if self._never_set:
            return NEVER_SET_DEVICE_TIME
        if self._falling_counter:
            return T0 + timedelta(seconds=10 * physical)
        return T0 + timedelta(seconds=int(self._now_s() - self._clock_set_back_s))

    @property
    def shown_device_time(self) -> datetime:
        """What its clock shows now."""
        return self._moment(0)

    def set_clock_back(self) -> None:
        self._clock_set_back_s = self._now_s()

    def erase(self, memory: int) -> None:
        self.clear()
        self.slots = ()
        self.memory = memory
        if self._falling_counter:
            self.lifetime_count = 0

    @property
    def call_home(self) -> tuple[bool, int]:
        return home_of(self.call_home_block)

    @property
    def is_on(self) -> bool:
        """Whether monitoring was started."""
        return self._monitor_since_s is not None

    @property
    def is_monitoring(self) -> bool:
        since_s = self._monitor_since_s
        return since_s is not None and self._now_s() - since_s >= SENSOR_CHECK_S

    def start_monitoring(self) -> None:
        if self._monitor_since_s is None:
            self._monitor_since_s = self._now_s()

    def stop_monitoring(self) -> None:
        self._monitor_since_s = None

    def look(self, command: Command) -> bytes:
        """Return the block that a command fetches; of the status nobody reads it here."""
        if command.sub in LAST_WORDS:
            self.note_memory_read(command.sub, self.slots)
        match command.sub:
            case commands.CALL_HOME.sub:
                return self.call_home_block
            case commands.EVENT_COUNTER.sub:
                return layouts.EVENT_COUNTER.build({"lifetime_count": self.lifetime_count})
            case commands.TRIGGER_BLOCK.sub | commands.UNKNOWN_BLOCK.sub:
                return payloads.unknown_block(command.sub)
            case _:
                return b""


def place_of(unit: RecordUnit, key: bytes) -> int:
    """Return the place of an event that is there."""
    place = unit.find(key)
    assert place is not None
    return place


@lru_cache(maxsize=4096)
def counts_of(columns: tuple[int, ...]) -> Any:
    """Return counts that say, in every sample, which ground motion they are of."""
    return np.repeat(np.array([columns], dtype="<i2"), 4, axis=0)


def columns_of(image: bytes) -> tuple[int, ...]:
    """Return the ground motion of each chunk; -1, of which none ever was, where it is misplaced."""
    return tuple(
        physical if place == at else -1
        for at, (_, place, physical) in enumerate(CHUNK.iter_unpack(image))
    )


@lru_cache(maxsize=4096)
def _image_head(address: int) -> bytes:
    """Return tag and STRT record of an image, which say where it ends: so it can be whole."""
    return layouts.IMAGE_TAG + layouts.STRT.build(
        {
            "magic": b"STRT",
            "recording": bytes.fromhex("fffe"),
            "end_address": address + IMAGE_BYTES,
            "start_address": address,
            "samples": COLUMNS,
            "pretrigger_samples": 0,
            "mode_byte": 0x46,
        }
    )


def usable(begun: bytes, first: bytes) -> bytes:
    """Return what ``MiniMate.read_waveform`` would use of ``begun``: whole chunks, or none."""
    if len(begun) > IMAGE_BYTES:
        return b""
    begun = begun[: len(begun) - len(begun) % CHUNK.size]
    return begun if begun.startswith(first) else b""


class HeardCommands:
    """What a unit remembers of the commands of one session, and follows of them."""

    def __init__(self) -> None:
        self._finish_lookup: set[int] | None = None
        """SUBs fetched since an erase began."""
        self._write = SettingsWrite()

    def note_memory_read(self, sub: int) -> None:
        if self._finish_lookup is not None:
            self._finish_lookup.add(sub)

    def follow(self, unit: RecordUnit, frame: Frame, order: Order | None) -> bool:
        """Let ``unit`` follow a command; return whether it is acknowledged."""
        match frame.sub:
            case commands.START_MONITORING.sub:
                unit.start_monitoring()
                unit.on_followed(order, "start")
            case commands.STOP_MONITORING.sub:
                unit.stop_monitoring()
                unit.on_followed(order, "stop")
            case commands.ERASE_BEGIN.sub:
                self._finish_lookup = set()
            case commands.ERASE_CONFIRM.sub:
                looked, self._finish_lookup = self._finish_lookup or set(), None
                if not {commands.MONITOR_STATUS.sub, commands.STORAGE_RANGE.sub} <= looked:
                    return False
                unit.on_erasing(order)
                unit.erase(unit.new_memory())
                unit.on_followed(order, "erase")
            case _:
                if not self._write.takes(frame):
                    return False
                self._take_settings(unit, order)
        return True

    def _take_settings(self, unit: RecordUnit, order: Order | None) -> None:
        write = self._write
        if write.setup is not None:
            unit.setup_version, write.setup = version_of(write.setup), None
            unit.on_followed(order, "config")
        if write.call_home is not None:
            unit.call_home_block, write.call_home = write.call_home, None
            unit.on_followed(order, "call home")


class Wire:
    """What lies between the relay and whatever stands behind one address."""

    def __init__(
        self,
        address: str,
        auditor: Auditor,
        chance: random.Random,
        now_s: Callable[[], float],
        *,
        pace_s: float,
        fault_share: float,
    ) -> None:
        self.address = address
        self.auditor = auditor
        self.chance = chance
        self.now_s = now_s
        self.pace_s = pace_s
        self.fault_share = fault_share
        self.unit: RecordUnit | None = None
        self.plugs = 0
        """How often something was plugged in or out."""
        self.is_slow = False
        """The next status takes 40 s."""
        self.next_faults: list[str] = []
        """What goes wrong at the next exchanges, and until when nobody answers a call."""
        self.deaf_until_s = 0.0
        self.cut_every = 0
        """After so many exchanges of a call the link is cut; 0: it is not."""
        self.foreign_in = 0
        """So many exchanges from now another program moves the record cursor; 0: there is none."""
        self.open_sessions = 0
        self.on_contact: Callable[[str], None] = lambda address: None
        self.on_record: Callable[[int, object], None] = lambda physical, contact: None
        """Is given each event that a walk reads as one that it did not know."""
        self.on_send: Callable[[str, int], Order | None] = lambda address, sub: None
        self.is_closing: Callable[[], bool] = lambda: False

    def plug(self, unit: RecordUnit | None) -> None:
        """Put a unit behind the address, or nothing. A line that is idle now stays up."""
        self.unit = unit
        self.plugs += 1

    async def pause(self) -> None:
        pace_s = self.pace_s
        await asyncio.sleep(pace_s * (1, 1, 2)[self.chance.randrange(3)] if pace_s else 0)

    def trouble(self) -> None:
        self.auditor.note_trouble(self.address, self.now_s())

    async def open(self, *, wake: bool = True) -> RecordSession:
        """Call; return a session once the unit has answered POLL, if it was to be woken."""
        self.on_contact(self.address)
        if self.open_sessions:
            self.auditor.complain(f"{self.address}: called while a session is open")
        self.open_sessions += 1
        run = RecordSession(self)
        try:
            await run.call()
            if wake:
                await run.wake()
        except BaseException:
            await run.close()
            raise
        return run


class RecordSession(CommandSession):
    """One session, with the verbs of ``MiniMate``; those that change a unit are its own."""

    def __init__(self, wire: Wire) -> None:
        # (Nothing of ``Session`` below its exchanges is used: there are no bytes here.)
        self._wire = wire
        self.called = wire.address
        """The address over which the relay called, which may be another name of the wire's."""
        self._heard = HeardCommands()
        self._busy = False
        self._is_open = True
        self.exchanges = 0
        self.answers = 0
        self.commands_sent = 0
        self.serial: str | None = None
        self.is_usable = True
        self.volatile_offsets = frozenset()
        self._is_cursor_moved = False
        self._unit: RecordUnit | None = None
        """The unit that answered last."""
        self._asks_who = False
        """Whether this exchange only wakes the unit, or asks for its serial number."""
        self._idle_since_s = 0.0
        self._is_asking = self._is_first_contact = False
        """Whether all of them did, and whether the relay had not met the unit there before."""
        self._hears_another = False

    @property
    def name(self) -> str:
        return self._wire.address

    async def close(self) -> None:
        self.is_usable = False
        if self._is_open:
            self._is_open = False
            self._wire.open_sessions -= 1
            self._leave_unit()
            await asyncio.sleep(0)

    @asynccontextmanager
    async def _verb(self) -> AsyncIterator[None]:
        wire = self._wire
        if self._busy:
            wire.auditor.complain(f"{wire.address}: two operations at once in one session")
            raise LocalProtocolError("while another operation runs")
        if not self.is_usable:
            wire.auditor.complain(f"{wire.address}: used after the session was closed")
            raise LocalProtocolError("this session is over")
        wire.on_contact(wire.address)
        self._busy, self._hears_another = True, False
        try:
            yield
        except (KeyChainError, MemoryChangedError, NoSuchEventError):
            raise
        except asyncio.CancelledError:
            self.is_usable = False
            if not wire.is_closing():
                wire.auditor.complain(f"{wire.address}: a read once begun was not finished")
            raise
        except BaseException:
            self.is_usable = False
            raise
        finally:
            self._busy, self._idle_since_s = False, wire.now_s()

    @asynccontextmanager
    async def _operation(self, doing: str) -> AsyncIterator[None]:
        async with self._verb():
            yield

    async def _paused(self, pause: Pause) -> bool:
        spent, self._busy = self.exchanges, False
        try:
            await pause()
        finally:
            self._busy = True
        if not self.is_usable:
            raise LinkClosedError(f"{self.name}: the session ended while others used it")
        return self.exchanges != spent

    async def _exchange_records(
        self, hear: Callable[[RecordUnit], None] | None = None
    ) -> RecordUnit:
        """One exchange; return the unit as it is at its end. ``hear``: what a command does."""
        wire = self._wire
        self.exchanges += 1
        if self._hears_another:
            self._hear_foreign()
        plugs, asked = wire.plugs, wire.unit
        if hear is not None and asked is not None and wire.chance.random() < 0.5:
            hear(asked)
            hear = None
        await wire.pause()
        fault = ""
        if wire.next_faults:
            fault = wire.next_faults.pop()
        elif wire.fault_share and wire.chance.random() < wire.fault_share:
            fault = wire.chance.choice(("drop", "stall", "corrupt"))
        unit = wire.unit
        if wire.cut_every and self.exchanges >= wire.cut_every:
            fault = fault or "drop"
        if wire.foreign_in:
            wire.foreign_in -= 1
            self._is_cursor_moved = not wire.foreign_in
        if unit is None or wire.plugs != plugs or asked is None or fault == "stall":
            await asyncio.sleep(REPLY_S)
            wire.trouble()
            raise ReplyTimeoutError(f"{wire.address}: no answer within {REPLY_S:g} s")
        if fault:
            wire.trouble()
            if fault == "drop":
                raise LinkClosedError(f"{wire.address}: the far end hung up")
            raise RemoteProtocolError(f"{wire.address}: broken frames")
        if hear is not None:
            hear(unit)
        self.answers += 1
        self._be_with(unit)
        return unit

    def _leave_unit(self) -> None:
        if self._unit is not None:
            self._unit.sessions.remove(self)
            self._unit = None

    @property
    def _may_overlap(self) -> bool:
        """Whether it only asks who is there, and hangs up at once."""
        is_over = not self._busy and self._idle_since_s < self._wire.now_s()
        return self._is_first_contact and self._is_asking and not is_over

    def _be_with(self, unit: RecordUnit) -> None:
        """
        Complain of a second session with one unit, over whatever address.

        Only to find out who answers where the relay did not meet that unit last, since its start,
        may a session begin beside another one: neither at the address that it called nor at another
        name of the same endpoint. If a read is under way in the other one, it hears the replies.
        """
        if not self._is_open:
            self._wire.auditor.complain(f"{self.name}: the session was closed during an exchange")
            return
        if self._unit is not unit:
            self._leave_unit()
            self._unit = unit
            unit.sessions.append(self)
            auditor, endpoint = self._wire.auditor, self._wire.address
            met = auditor.named_at(self.called, math.inf), auditor.answered.get(endpoint)
            self._is_asking, self._is_first_contact = self._asks_who, unit.serial not in met
        self._is_asking &= self._asks_who
        for other in [one for one in unit.sessions if one is not self]:
            if not any(one._may_overlap for one in (self, other)):
                self._wire.auditor.complain(
                    f"{self.name}: {unit.serial} is talked to while a session with it is open "
                    f"over {other.name}"
                )
            other._hears_another = other._busy

    async def _command(
        self, command: Command, data: bytes = b"", *, params: bytes = NO_PARAMS
    ) -> None:
        wire = self._wire
        self.commands_sent += 1
        order = wire.on_send(wire.address, command.sub)
        frame = Frame(command.sub, len(data), params, data)
        followed: list[bool] = []
        await self._exchange_records(
            lambda unit: followed.append(self._heard.follow(unit, frame, order))
        )
        if not followed[0]:
            await asyncio.sleep(REPLY_S)
            wire.trouble()
            raise ReplyTimeoutError(f"{wire.address}: no answer within {REPLY_S:g} s")

    async def _send_without_reply(self, command: Command) -> None:
        """The unit hears it at once, a while later, or never."""
        wire = self._wire
        self.exchanges += 1
        if not command.changes:
            return
        self.commands_sent += 1
        order = wire.on_send(wire.address, command.sub)
        unit, later = wire.unit, wire.chance.randrange(3)
        frame = Frame(command.sub, 0, NO_PARAMS, b"")
        if unit is not None and later < 2:
            loop = asyncio.get_running_loop()
            loop.call_later(later * wire.pace_s, self._heard.follow, unit, frame, order)

    async def _fetch(self, command: Command, params: bytes = NO_PARAMS) -> bytes:
        unit = await self._exchange_records()
        self._heard.note_memory_read(command.sub)
        return unit.look(command)

    async def _if_answered(self, command: Command, read: Callable[[], Awaitable[T]]) -> T | None:
        return await read()

    async def _read_setup_block(self) -> bytes:
        return setup_block((await self._exchange_records()).setup_version)

    async def call(self) -> None:
        wire = self._wire
        if wire.now_s() < wire.deaf_until_s:
            await asyncio.sleep(wire.chance.choice((0.0, 1.0, REPLY_S)))
            wire.trouble()
            kind = wire.chance.choice((ConnectError, ConnectTimeoutError))
            raise kind(f"{wire.address}: nobody there")

    async def wake(self) -> None:
        async with self._verb():
            self._asks_who = True
            await self._exchange_records()
            self._asks_who = False

    async def read_serial(self) -> str:
        async with self._verb():
            self._serial_began_s = self._wire.now_s()
            self._asks_who = True
            serial = await self._read_serial()
            self._asks_who = False
            self._wire.auditor.note_named(self.called, self._wire.address, serial)
            return serial

    async def _read_serial(self) -> str:
        self.serial = (await self._exchange_records()).serial
        return self.serial

    async def read_info(self, *, serial: str) -> UnitInfo:
        async with self._verb():
            began_s = self._serial_began_s
            number = self._sample(began_s, serial)
            setup = SETUPS[(await self._exchange_records()).setup_version]
            return unit_info(serial, setup, firmware=str(number))

    def _sample(self, began_s: float, serial: str, monitoring: bool | None = None) -> int:
        auditor, now_s = self._wire.auditor, self._wire.now_s()
        number = len(auditor.samples)
        auditor.samples[number] = Sample(began_s, auditor.step(), now_s, serial, monitoring)
        return number

    async def read_storage_range(self) -> StorageRange:
        async with self._verb():
            return await self._read_storage_range()

    async def _read_storage_range(self) -> StorageRange:
        unit = await self._exchange_records()
        unit.look(commands.STORAGE_RANGE)
        self._heard.note_memory_read(commands.STORAGE_RANGE.sub)
        return unit.storage_range()

    async def read_lifetime_count(self) -> int:
        async with self._verb():
            return await self._read_lifetime_count()

    async def _read_lifetime_count(self) -> int:
        unit = await self._exchange_records()
        unit.note_memory_read(commands.EVENT_COUNTER.sub, unit.slots)
        return unit.lifetime_count

    async def read_probe(
        self, *, serial: str | None = None, newest: Event | None = None
    ) -> MemoryProbe:
        async with self._verb():
            if serial is None:
                serial = await self._read_serial()
            last = (await self._read_storage_range()).last_key
            is_empty = False
            if last == FIRST_KEY:
                is_empty = not (await self._exchange_records()).events
            timestamp = peaks = None
            if not is_empty:
                if newest is None or newest.key != last:
                    newest = (await self._exchange_records()).visit(last)
                moment, peaks = newest.device_time, newest.peaks
                timestamp = None if moment is None else moment.isoformat()
            counted = await self._read_lifetime_count()
            return MemoryProbe(
                serial=serial,
                first_key=FIRST_KEY,
                last_key=last,
                lifetime_count=counted,
                last_timestamp=timestamp,
                is_empty=is_empty,
                last_peaks=peaks,
            )

    async def read_events(
        self,
        *,
        after: Event | None = None,
        until_key: bytes | None = None,
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        pause: Pause | None = None,
    ) -> list[Event]:
        async with self._verb():
            events: list[Event] = []
            offset, seen, is_shared = 0, 0, False
            unit = await self._exchange_records()
            if after is not None:
                offset = after.index + 1
                unit.check(after)
                if after.key == until_key:
                    return events
                key = unit.key_after(after.key)
            else:
                key = FIRST_KEY if unit.events else None
            while key is not None:
                seen += 1
                unit = await self._exchange_records()
                found = unit.visit(key)
                events.append(
                    Event(
                        index=offset + len(events),
                        key=key,
                        device_time=found.device_time,
                        peaks=found.peaks,
                        project=None,
                        record=found.record,
                    )
                )
                self._wire.on_record(unit.slots[place_of(unit, key)].physical, self)
                if on_event is not None:
                    on_event(events[-1])
                if on_progress is not None:
                    on_progress(Progress(what="events", done=seen, total=None))
                if is_shared:
                    self._hear_foreign()
                if key == until_key:
                    return events
                if pause is not None and await self._paused(pause):
                    unit = await self._exchange_records()
                    unit.check(events[-1])
                key = unit.key_after(key)
                if self._is_cursor_moved and key is not None and key != until_key:
                    # The other program's 1F came before ours, and its reply is heard later.
                    key = unit.key_after(key)
                    is_shared = True
            if until_key is not None:
                raise KeyChainError(f"{self.name}: the chain ends before {until_key.hex()}")
            return events

    def _hear_foreign(self) -> None:
        self._wire.trouble()
        raise LineSharedError(f"{self.name}: another program is using this line")

    async def read_waveform(
        self,
        event: Event,
        *,
        on_progress: OnProgress | None = None,
        begun: bytes = b"",
        on_image: OnImage | None = None,
        pause: Pause | None = None,
    ) -> Waveform:
        async with self._verb():
            (await self._exchange_records()).check(event)
            first = await self._chunk(event.key, 0)
            image = usable(begun, first)
            if not image:
                image = first
                if on_image is not None:
                    on_image(0, first, IMAGE_BYTES)
            while len(image) < IMAGE_BYTES:
                if on_progress is not None:
                    on_progress(Progress(what="bytes", done=len(image), total=IMAGE_BYTES))
                chunk = await self._chunk(event.key, len(image) // CHUNK.size)
                if on_image is not None:
                    on_image(len(image), chunk, IMAGE_BYTES)
                image += chunk
                if pause is not None and len(image) < IMAGE_BYTES and await self._paused(pause):
                    (await self._exchange_records()).check(event)
            if on_progress is not None:
                on_progress(Progress(what="bytes", done=IMAGE_BYTES, total=IMAGE_BYTES))
            record = (await self._exchange_records()).check(event).record
            return Waveform(
                event=replace(event, record=record),
                counts=counts_of(columns_of(image)),
                valid_samples=(COLUMNS, COLUMNS, COLUMNS, COLUMNS),
                sample_rate_hz=1024,
                pretrigger_samples=0,
                geo_range_in_s=10.0,
                mode=None,
                image=image,
            )

    async def _chunk(self, key: bytes, at: int) -> bytes:
        unit = await self._exchange_records()
        place = unit.find(key)
        if place is None and not at:
            raise RemoteProtocolError(f"{self.name}: no STRT record at {key.hex()}")
        head = b"" if at else _image_head(int.from_bytes(key, "big"))
        return CHUNK.pack(head, at, 0 if place is None else unit.slots[place].physical)

    async def read_monitor_status(self) -> MonitorStatus:
        async with self._verb():
            wire = self._wire
            began_s = wire.now_s()
            is_slow, wire.is_slow = wire.is_slow, False
            unit = await self._exchange_records()
            monitoring = unit.is_monitoring
            number = self._sample(began_s, unit.serial, monitoring)
            status = MonitorStatus(
                monitoring=monitoring,
                clock_device_time=None,
                battery_v=None,
                memory_total_bytes=number,
                memory_free_bytes=None,
            )
            # The answer dribbles in; what it says is of its beginning.
            await wire.pause()
            if is_slow:
                await asyncio.sleep(wire.chance.choice((8.0, 40.0)))
            return status
