"""
A unit at the grain of records: what stands behind an address, and a conversation with it.

``RecordUnit`` is the memory; people touch it at any instant. ``RecordTalk`` has the verbs of
``MiniMate`` that the relay uses, in the same order of exchanges and with the same errors. Each
exchange takes virtual time, and sees the memory as it is at that exchange's end.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from auditor import Auditor, Sample, Slot

from minimateplus.client import OnImage, OnProgress
from minimateplus.errors import (
    ConnectError,
    ConnectTimeoutError,
    KeyChainError,
    LinkClosedError,
    LocalProtocolError,
    MemoryChangedError,
    NoSuchEventError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.model import (
    FIRST_KEY,
    Event,
    MemoryProbe,
    MonitorStatus,
    Peaks,
    Progress,
    RecordingSetup,
    StorageRange,
    UnitInfo,
    Waveform,
)
from minimateplus.simulator.unit import NEVER_SET_UNIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPLY_S = 10.0
T0 = datetime(2026, 4, 1, 0, 28, 12)
COLUMNS = 2
"""Chunks of a waveform: each is read at an instant of its own."""
CHUNK = struct.Struct(">Bh")
"""One chunk of an image: which one it is, and of which ground motion."""
IMAGE_BYTES = COLUMNS * CHUNK.size
LOOKS = (0.5, 0.25)


def _setup(version: int) -> RecordingSetup:
    return RecordingSetup(
        mode=None,
        sample_rate_hz=1024,
        histogram_interval_s=None,
        pretrigger_s=None,
        record_time_s=None,
        geo_range_in_s=None,
        trigger_level_in_s=None,
        alarm_level_in_s=None,
        mic_trigger_psi=None,
        mic_alarm_psi=None,
        setup_name=None,
        project=None,
        client=None,
        operator=None,
        location=None,
        notes=str(version),
    )


SETUPS = [_setup(version) for version in range(64)]
PEAKS = {
    look: Peaks(tran_in_s=look, vert_in_s=None, long_in_s=None, mic_psi=None, vector_sum_in_s=None)
    for look in LOOKS
}


class RecordUnit:
    """
    The memory of one unit, and its clock.

    Args:
        serial: its number.
        now_s: the virtual time.
        never_set: its clock always shows 1995.
        falling_counter: the lifetime counter starts again with each erase; such a unit's clock is
            set, and never shows one second twice (else nobody could notice an erase).
    """

    def __init__(
        self,
        serial: str,
        now_s: Callable[[], float],
        *,
        never_set: bool = False,
        falling_counter: bool = False,
    ) -> None:
        self.serial = serial
        self.slots: tuple[Slot, ...] = ()
        self.stored: list[Event] = []
        self.lifetime_count = 0
        self.setup_version = 0
        self.is_on = False
        self.memory = 0
        self._now_s = now_s
        self._never_set = never_set
        self._falling_counter = falling_counter
        self._clock_set_back_s = 0.0
        self._address = int.from_bytes(FIRST_KEY, "big")

    def record(self, physical: int, *, look: int = 0, size: int = 0) -> None:
        """Store one event; equal sizes in equal order make equal keys."""
        key = self._address.to_bytes(4, "big")
        self._address += 0x200 + 0x80 * size
        moment = self._moment(physical)
        index = len(self.stored)
        peaks = PEAKS[LOOKS[look]]
        slot = Slot(physical, key.hex(), moment.isoformat(), LOOKS[look])
        # The physical number tells nobody anything: the relay only keeps records, unread.
        event = Event(
            index=index,
            key=key,
            timestamp_unit=moment,
            peaks=peaks,
            project=None,
            record=" ".join(map(str, slot)).encode(),
        )
        self.stored.append(event)
        self.lifetime_count += 1
        self.slots = (*self.slots, slot)

    def _moment(self, physical: int) -> datetime:
        if self._never_set:
            return NEVER_SET_UNIT
        if self._falling_counter:
            return T0 + timedelta(seconds=10 * physical)
        return T0 + timedelta(seconds=int(self._now_s() - self._clock_set_back_s))

    def set_clock_back(self) -> None:
        self._clock_set_back_s = self._now_s()

    def erase(self, memory: int) -> None:
        self.slots = ()
        self.stored = []
        self.memory = memory
        self._address = int.from_bytes(FIRST_KEY, "big")
        if self._falling_counter:
            self.lifetime_count = 0

    def find(self, key: bytes) -> int | None:
        """Return the place of the event with that key."""
        for place, event in enumerate(self.stored):
            if event.key == key:
                return place
        return None


@lru_cache(maxsize=4096)
def counts_of(columns: tuple[int, ...]) -> Any:
    """Return counts that say, in every sample, which ground motion they are of."""
    return np.repeat(np.array([columns], dtype="<i2"), 4, axis=0)


def columns_of(image: bytes) -> tuple[int, ...]:
    """Return the ground motion of each chunk; -1, of which none ever was, where it is misplaced."""
    return tuple(
        physical if place == at else -1
        for at, (place, physical) in enumerate(CHUNK.iter_unpack(image))
    )


def usable(begun: bytes, first: bytes) -> bytes:
    """Return what ``MiniMate.read_waveform`` would use of ``begun``: whole chunks, or none."""
    if len(begun) > IMAGE_BYTES:
        return b""
    begun = begun[: len(begun) - len(begun) % CHUNK.size]
    return begun if begun.startswith(first) else b""


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
        self.talking = 0
        self.on_contact: Callable[[str], None] = lambda address: None
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

    async def open(self) -> RecordTalk:
        """Call; return a conversation once the unit has answered POLL."""
        self.on_contact(self.address)
        if self.talking:
            self.auditor.complain(f"{self.address}: called while a conversation is open")
        self.talking += 1
        talk = RecordTalk(self)
        try:
            await talk.wake()
        except BaseException:
            await talk.close()
            raise
        return talk


class RecordTalk:
    """One conversation, with the verbs of ``MiniMate``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._busy = False
        self._is_open = True
        self.exchanges = 0
        self.answers = 0
        self.serial: str | None = None
        self.is_usable = True

    @property
    def name(self) -> str:
        return self._wire.address

    async def close(self) -> None:
        self.is_usable = False
        if self._is_open:
            self._is_open = False
            self._wire.talking -= 1
            await asyncio.sleep(0)

    @asynccontextmanager
    async def _verb(self) -> AsyncIterator[None]:
        wire = self._wire
        if self._busy:
            wire.auditor.complain(f"{wire.address}: two speak at once in one conversation")
            raise LocalProtocolError("while another verb runs")
        if not self.is_usable:
            wire.auditor.complain(f"{wire.address}: spoken to after the conversation was over")
            raise LocalProtocolError("this conversation is over")
        wire.on_contact(wire.address)
        self._busy = True
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
            self._busy = False

    async def _exchange(self) -> RecordUnit:
        """One exchange; return the unit as it is at its end."""
        wire = self._wire
        self.exchanges += 1
        plugs, asked = wire.plugs, wire.unit
        await wire.pause()
        fault = ""
        if wire.next_faults:
            fault = wire.next_faults.pop()
        elif wire.fault_share and wire.chance.random() < wire.fault_share:
            fault = wire.chance.choice(("drop", "stall", "corrupt"))
        unit = wire.unit
        if unit is None or wire.plugs != plugs or asked is None or fault == "stall":
            await asyncio.sleep(REPLY_S)
            wire.trouble()
            raise ReplyTimeoutError(f"{wire.address}: no answer within {REPLY_S:g} s")
        if fault:
            wire.trouble()
            if fault == "drop":
                raise LinkClosedError(f"{wire.address}: the far end hung up")
            raise RemoteProtocolError(f"{wire.address}: broken frames")
        self.answers += 1
        return unit

    async def wake(self) -> None:
        wire = self._wire
        if wire.now_s() < wire.deaf_until_s:
            await asyncio.sleep(wire.chance.choice((0.0, 1.0, REPLY_S)))
            wire.trouble()
            kind = wire.chance.choice((ConnectError, ConnectTimeoutError))
            raise kind(f"{wire.address}: nobody there")
        async with self._verb():
            await self._exchange()

    async def read_serial(self) -> str:
        async with self._verb():
            return await self._serial()

    async def _serial(self) -> str:
        self.serial = (await self._exchange()).serial
        return self.serial

    async def read_info(self) -> UnitInfo:
        async with self._verb():
            began_s = self._wire.now_s()
            serial = await self._serial()
            number = self._sample(began_s, serial)
            setup = SETUPS[(await self._exchange()).setup_version]
            return UnitInfo(
                serial=serial,
                firmware=str(number),
                dsp_firmware=None,
                manufacturer=None,
                model=None,
                calibrated_on=None,
                simulated=True,
                setup=setup,
            )

    def _sample(self, began_s: float, serial: str) -> int:
        auditor = self._wire.auditor
        number = len(auditor.samples)
        auditor.samples[number] = Sample(began_s, auditor.step(), self._wire.now_s(), serial)
        return number

    async def read_storage_range(self) -> StorageRange:
        async with self._verb():
            return self._range_of(await self._exchange())

    @staticmethod
    def _range_of(unit: RecordUnit) -> StorageRange:
        return StorageRange(FIRST_KEY, unit.stored[-1].key if unit.stored else FIRST_KEY)

    async def read_lifetime_count(self) -> int:
        async with self._verb():
            return (await self._exchange()).lifetime_count

    async def read_probe(self) -> MemoryProbe:
        async with self._verb():
            serial = await self._serial()
            last = self._range_of(await self._exchange()).last_key
            is_empty = False
            if last == FIRST_KEY:
                is_empty = not (await self._exchange()).stored
            timestamp = None
            if not is_empty:
                event = self._visit(await self._exchange(), last)
                moment = event.timestamp_unit
                timestamp = None if moment is None else moment.isoformat()
            counted = (await self._exchange()).lifetime_count
            return MemoryProbe(
                serial=serial,
                first_key=FIRST_KEY,
                last_key=last,
                lifetime_count=counted,
                last_timestamp=timestamp,
                is_empty=is_empty,
            )

    def _visit(self, unit: RecordUnit, key: bytes) -> Event:
        place = unit.find(key)
        if place is None:
            raise KeyChainError(f"{self.name}: the record at {key.hex()} has length 00")
        return unit.stored[place]

    def _check_stamp(self, unit: RecordUnit, event: Event) -> bytes:
        try:
            now = self._visit(unit, event.key)
        except KeyChainError as error:
            raise MemoryChangedError(f"{self.name}: {event.key.hex()} is gone") from error
        if now.timestamp_unit != event.timestamp_unit:
            raise MemoryChangedError(f"{self.name}: {event.key.hex()} is of another time")
        return now.record

    async def read_events(
        self,
        *,
        after: Event | None = None,
        until_key: bytes | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Event]:
        async with self._verb():
            events: list[Event] = []
            offset, seen = 0, 0
            unit = await self._exchange()
            if after is not None:
                offset = after.index + 1
                self._check_stamp(unit, after)
                if after.key == until_key:
                    return events
                key = self._key_after(unit, after.key)
            else:
                key = FIRST_KEY if unit.stored else None
            while key is not None:
                seen += 1
                unit = await self._exchange()
                found = self._visit(unit, key)
                events.append(
                    Event(
                        index=offset + len(events),
                        key=key,
                        timestamp_unit=found.timestamp_unit,
                        peaks=found.peaks,
                        project=None,
                        record=found.record,
                    )
                )
                if on_progress is not None:
                    on_progress(Progress(what="events", done=seen, total=None))
                if key == until_key:
                    return events
                key = self._key_after(unit, key)
            if until_key is not None:
                raise KeyChainError(f"{self.name}: the chain ends before {until_key.hex()}")
            return events

    @staticmethod
    def _key_after(unit: RecordUnit, key: bytes) -> bytes | None:
        place = unit.find(key)
        following = len(unit.stored) if place is None else place + 1
        return unit.stored[following].key if following < len(unit.stored) else None

    async def read_waveform(
        self,
        event: Event,
        *,
        on_progress: OnProgress | None = None,
        begun: bytes = b"",
        on_image: OnImage | None = None,
    ) -> Waveform:
        async with self._verb():
            self._check_stamp(await self._exchange(), event)
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
            if on_progress is not None:
                on_progress(Progress(what="bytes", done=IMAGE_BYTES, total=IMAGE_BYTES))
            record = self._check_stamp(await self._exchange(), event)
            return Waveform(
                event=replace(event, record=record),
                counts=counts_of(columns_of(image)),
                vouched=(COLUMNS, COLUMNS, COLUMNS, COLUMNS),
                sample_rate_hz=1024,
                pretrigger_samples=0,
                geo_range_in_s=10.0,
                mode=None,
                image=image,
            )

    async def _chunk(self, key: bytes, at: int) -> bytes:
        unit = await self._exchange()
        place = unit.find(key)
        if place is None and not at:
            raise RemoteProtocolError(f"{self.name}: no STRT record at {key.hex()}")
        return CHUNK.pack(at, 0 if place is None else unit.slots[place].physical)

    async def read_monitor_status(self) -> MonitorStatus:
        async with self._verb():
            wire = self._wire
            began_s = wire.now_s()
            is_slow, wire.is_slow = wire.is_slow, False
            unit = await self._exchange()
            number = self._sample(began_s, unit.serial)
            status = MonitorStatus(
                monitoring=unit.is_on,
                clock_unit=None,
                battery_v=None,
                memory_total_bytes=number,
                memory_free_bytes=None,
            )
            # The answer dribbles in; what it says is of its beginning.
            await wire.pause()
            if is_slow:
                await asyncio.sleep(wire.chance.choice((8.0, 40.0)))
            return status
