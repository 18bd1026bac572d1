"""
A unit at the grain of bytes: the simulated unit of production, and links that go wrong.

Everything between the gateway and the unit's memory is production: client, framing, session,
links, the simulator's codec and how it follows commands. The world adds hands at the keypad, one
link for each call, and notes which commands were sent and followed.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from auditor import Auditor, Sample
from orders import LAST_WORDS, FollowsOrders, Order, Slot
from record_unit import home_of

from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError, LinkClosedError
from minimateplus.link import Deadlines, Link
from minimateplus.link.in_process import MemoryLink, memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.faulty_links import (
    ColdLink,
    CutLink,
    FaultyLink,
    LateLink,
    ModemTextLink,
    OneByteLink,
    StalledLink,
    StrayAckLink,
)
from minimateplus.simulator.serve import Pace
from minimateplus.simulator.settings_write import SettingsWrite
from minimateplus.simulator.unit import NEVER_SET_DEVICE_TIME
from minimateplus.wire import commands, layouts
from minimateplus.wire.commands import NO_PARAMS, Command
from minimateplus.wire.framing import Frame, encode_reply, reply_sub
from minimateplus.wire.protocol_state import ProtocolState

T0 = datetime(2026, 4, 1, 0, 28, 12)
SAMPLES = 600
"""Enough for two bulk chunks."""
QUIET = 12
"""Samples without a change, which take less room: so an image can be of whole kilobytes."""
SLOW_S = 9.0
"""How long the answer of a slow status takes, twice: just under the deadline of one exchange."""
SAMPLE_BASE = 5_000_000
"""Added to the number of a status sample: a total below what is free is not believed."""
_PHYSICALS: dict[bytes, int] = {}
SentCommands = deque[tuple[Order | None, int]]
"""Orders and SUBs of commands that went over one line, and were not heard yet."""
SENT: contextvars.ContextVar[SentCommands] = contextvars.ContextVar("sent")
"""Over which link a unit sends in this task."""


def physical_of(counts: bytes) -> int:
    """Return which ground motion these samples are of; -1 if of none that ever was."""
    return _PHYSICALS.get(counts, -1)


@cache
def whole_kilobytes() -> tuple[int, int]:
    """Return two numbers of samples whose images fill their chunks: a length tells nothing."""
    found: list[int] = []
    for samples in range(1000, 4000, 4):
        unit = SimulatedUnit(clock=lambda: 0.0, now_device_time=T0)
        unit.record_event(counts=motion(0, 0, samples, quiet=QUIET), at_device_time=T0)
        image = unit._memory.stored[0].image
        if not len(image) % commands.BULK_CHUNK_BYTES:
            found.append(samples)
            if len(found) == 2:
                break
    first, second = found
    return first, second


def motion(physical: int, look: int, samples: int, *, quiet: int = 0) -> Any:
    """Return counts that no other motion has; equal ``samples`` make equal lengths in memory."""
    steps = np.random.default_rng(physical).choice(
        np.array([-3, -2, 2, 3], dtype=np.int16), (4, samples)
    )
    # Back and forth: no step is zero, so every sample takes its four bits, and none drifts away.
    counts = np.where(np.arange(steps.shape[1]) % 2, 0, steps).astype(np.int16)
    if quiet:
        counts[3, -quiet:] = counts[3, -quiet]
    counts[0, :8] = 0
    counts[0, 1] = 5 if look else 4
    _PHYSICALS[np.ascontiguousarray(counts, dtype="<i2").tobytes()] = physical
    return counts


class ByteUnit(FollowsOrders, SimulatedUnit):
    """The simulated unit with the keypad of ``RecordUnit``, and samples that have numbers."""

    def __init__(
        self,
        serial: str,
        now_s: Callable[[], float],
        auditor: Auditor,
        *,
        never_set: bool = False,
        falling_counter: bool = False,
        echoes: bool = True,
    ) -> None:
        FollowsOrders.__init__(self)
        self.on_trouble: Callable[[], None] = lambda: None
        self._echoes = echoes
        """Whether a reply to 5A repeats the address; without, it has whole kilobytes as well."""
        self._meddling = (0, False)
        self._repeat = (0, "")
        self._due = b""
        """A reply that comes again ahead of the next one."""
        self._silenced: ProtocolState | None = None
        self.memory = 0
        self.physicals: list[int] = []
        self.is_slow = False
        self._auditor = auditor
        self._now_s = now_s
        self._never_set = never_set
        self._falling_counter = falling_counter
        self._set_back_s = 0.0
        SimulatedUnit.__init__(self, serial, clock=now_s, now_device_time=T0)
        self._order: Order | None = None
        """For whom it follows a command now."""
        self.setup_version = 0

    @property
    def setup_version(self) -> int:
        return int(self.setup.notes or -1)

    @setup_version.setter
    def setup_version(self, version: int) -> None:
        self.setup = replace(self.setup, notes=str(version))

    @property
    def call_home(self) -> tuple[bool, int]:
        return home_of(self.call_home_block)

    @property
    def is_on(self) -> bool:
        """Whether monitoring was started."""
        return self._monitor_since is not None

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(
            Slot(
                physical,
                event.key.hex(),
                event.device_time.isoformat() if event.device_time else None,
                float(str(np.float32(event.peaks.tran_in_s))),
            )
            for physical, event in zip(self.physicals, self.events, strict=True)
        )

    def record(self, physical: int, *, look: int = 0, size: int = 0) -> None:
        at_device_time: datetime = T0 + timedelta(seconds=int(self._now_s() - self._set_back_s))
        if self._never_set:
            at_device_time = NEVER_SET_DEVICE_TIME
        elif self._falling_counter:
            at_device_time = T0 + timedelta(seconds=10 * physical)
        if self._echoes:
            counts = motion(physical, look, SAMPLES + 64 * size)
        else:
            counts = motion(physical, look, whole_kilobytes()[size], quiet=QUIET)
        self.record_event(counts=counts, at_device_time=at_device_time)
        self.physicals.append(physical)

    def erase(self, memory: int | None = None) -> None:
        """Erase at the keypad; or, without a number for the new memory, by command."""
        if memory is None:
            self.on_erasing(self._order)
            memory = self.new_memory()
        super().erase()
        self.physicals = []
        self.memory = memory
        if self._falling_counter:
            self.lifetime_count = 0

    def set_clock_back(self) -> None:
        self._set_back_s = self._now_s()

    def _sample(self, *, of_status: bool = False) -> int:
        number = len(self._auditor.samples)
        tick, monitoring = self._auditor.step(), self.is_monitoring if of_status else None
        sample = Sample(None, tick, self._now_s(), self.serial, monitoring)
        self._auditor.samples[number] = sample
        return number

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        if request.sub == commands.IDENTITY.sub:
            number = self._sample()
            self.firmware = f"S{number // 100:03}.{number % 100:02}"
        if request.sub in LAST_WORDS and request.length:
            self.note_memory_read(request.sub, self.slots)
        if protocol is self._silenced:
            return None
        reply = super().answer(protocol, request)
        if request.sub == commands.BULK_READ.sub and reply is not None and not self._echoes:
            address = int.from_bytes(request.params[:4], "big")
            payload = self.read_memory(address, request.length)
            reply = encode_reply(reply_sub(request.sub), request.length, NO_PARAMS, payload)
            reply = self._with_repetition(protocol, reply)
        left, is_first = self._meddling
        if left and reply is not None:
            self._meddling = (left - 1, is_first)
            if left == 1 and self.events:
                others = self._second_program(protocol)
                reply = others + reply if is_first else reply + others
        return reply

    def meddle_in(self, exchanges: int, *, is_first: bool) -> None:
        """Let another program visit a record so many exchanges from now; its replies are heard."""
        self._meddling = (exchanges, is_first)

    def repeat_in(self, chunks: int, place: str) -> None:
        """Let the reply to the 5A so many chunks from now come twice."""
        self._repeat = (chunks, place)

    def _second_program(self, protocol: ProtocolState) -> bytes:
        """Move the one record cursor, as another program's reads do; return what it is answered."""
        self.on_trouble()
        key = self.events[len(self.events) // 2].key
        frame = Frame(commands.RECORD_HEADER.sub, 0x46, commands.key_params(key), b"")
        return super().answer(protocol, frame) or b""

    def _with_repetition(self, protocol: ProtocolState, reply: bytes) -> bytes:
        """Return a reply to 5A, with one from before beside it or in its place."""
        if self._due:
            due, self._due = self._due, b""
            self.on_trouble()
            if self._repeat[1] == "instead of the next":
                self._silenced = protocol
                return due
            return due + reply
        left, place = self._repeat
        if left:
            self._repeat = (left - 1, place)
        if left != 1:
            return reply
        self.on_trouble()
        if place == "behind":
            return reply + reply
        self._due = reply
        return reply

    def _execute(self, protocol: ProtocolState, request: Frame) -> bool:
        sent = SENT.get()
        self._order = None
        # What was sent before it and never received is not waited for.
        while sent:
            self._order, sub = sent.popleft()
            if sub == request.sub:
                break
        followed = super()._execute(protocol, request)
        what = {
            commands.START_MONITORING.sub: "start",
            commands.STOP_MONITORING.sub: "stop",
            commands.ERASE_CONFIRM.sub: "erase",
        }.get(request.sub)
        if followed and what is not None:
            self.on_followed(self._order, what)
        return followed

    def _take_settings(self, write: SettingsWrite) -> None:
        came = {"config": write.setup, "call home": write.call_home}
        super()._take_settings(write)
        for what, block in came.items():
            if block is not None:
                self.on_followed(self._order, what)

    def _status_payload(self) -> bytes:
        payload = super()._status_payload()
        fields: dict[str, Any] = dict(layouts.MONITOR_STATUS.parse(payload))
        fields["memory_total_bytes"] = SAMPLE_BASE + self._sample(of_status=True)
        return layouts.MONITOR_STATUS.build(fields)


class FlippingLink(FaultyLink):
    """Flips one bit of one answer: damage in one place, which the client must see."""

    def __init__(self, inner: Link, chance: random.Random, at_answer: int) -> None:
        super().__init__(inner)
        self._chance = chance
        self._left = at_answer

    async def send(self, data: bytes) -> None:
        self._left -= 1
        if self._left == 0 and data:
            place = self._chance.randrange(len(data))
            flipped = data[place] ^ (1 << self._chance.randrange(8))
            data = data[:place] + bytes((flipped,)) + data[place + 1 :]
        await super().send(data)


class WatchedMiniMate(MiniMate):
    """The client of production; it reports which commands it is about to send."""

    on_command: Callable[[int], None]
    on_exchange: Callable[[], None] = staticmethod(lambda: None)
    """A read turns to its unit also over a link that was kept open, which may turn out dead."""

    async def _exchange(self, command: Command, **rest: Any) -> Frame:
        self.on_exchange()
        return await super()._exchange(command, **rest)

    async def _command(
        self, command: Command, data: bytes = b"", *, params: bytes = NO_PARAMS
    ) -> None:
        self.on_command(command.sub)
        await super()._command(command, data, params=params)

    async def _send_without_reply(self, command: Command) -> None:
        if command.changes:
            self.on_command(command.sub)
        await super()._send_without_reply(command)


class ByteWire:
    """A link for each call to the unit behind one address."""

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
        self.pace = Pace(38400 if pace_s < 1 else 9600)
        self.fault_share = fault_share
        self.unit: ByteUnit | None = None
        self.is_slow = False
        self.next_faults: list[str] = []
        self.deaf_until_s = 0.0
        self.cut_every = self.foreign_in = 0  # of worlds of records alone
        self.on_contact: Callable[[str], None] = lambda address: None
        self.on_record: Callable[[int, object], None] = lambda physical, contact: (
            None
        )  # of worlds of records alone
        self.on_send: Callable[[str, int], Order | None] = lambda address, sub: None
        self.is_closing: Callable[[], bool] = lambda: False
        self._lines: list[MemoryLink] = []
        self._operations: list[asyncio.Task[None]] = []
        self._in_session = 0

    def plug(self, unit: ByteUnit | None) -> None:
        """Put a unit behind the address, or nothing; every line to the old one is cut."""
        self.unit = unit
        if unit is not None:
            unit.on_trouble = self._trouble
        if self._lines:
            self.auditor.note_trouble(self.address, self.now_s())
        for line in self._lines:
            line._outgoing.put_nowait(b"")
            line._incoming.put_nowait(b"")
        self._lines.clear()

    async def open(self, *, wake: bool = True) -> MiniMate:
        self.on_contact(self.address)
        unit = self.unit
        if unit is None or self.now_s() < self.deaf_until_s:
            self.auditor.note_trouble(self.address, self.now_s())
            raise ConnectError(f"{self.address}: connection refused")
        if self._in_session:
            self.auditor.complain(f"{self.address}: called while a session is open")
        self._in_session += 1
        ours, theirs = memory_pair(self.address)
        self._lines.append(theirs)
        link = self._wrap_link(theirs)
        sent: SentCommands = deque()
        self._operations.append(
            asyncio.get_running_loop().create_task(self._serve(unit, link, sent))
        )
        run = await WatchedMiniMate.open(_CountedLink(ours, self), deadlines=Deadlines(), wake=wake)
        run.on_exchange = lambda: self.on_contact(self.address)
        run.on_command = lambda sub: sent.append((self.on_send(self.address, sub), sub))
        return run

    async def _serve(self, unit: ByteUnit, link: Link, sent: SentCommands) -> None:
        SENT.set(sent)
        with suppress(LinkClosedError):
            await serve_link(unit, link, self.pace)

    def _trouble(self) -> None:
        self.auditor.note_trouble(self.address, self.now_s())

    def hung_up(self) -> None:
        self._in_session -= 1

    def _wrap_link(self, line: Link) -> Link:
        chance = self.chance
        fault = self.next_faults.pop() if self.next_faults else ""
        if not fault and chance.random() < 3 * self.fault_share:
            fault = chance.choice(("drop", "stall", "corrupt"))
        if fault or self.is_slow:
            self.auditor.note_trouble(self.address, self.now_s())
            # What goes wrong late in a long call still went wrong.
            self.auditor.note_trouble(self.address, self.now_s() + 200.0)
        if self.is_slow:
            self.is_slow = False
            return LateLink(line, SLOW_S)
        match fault:
            case "drop":
                return CutLink(line, chance.randrange(1, 6000))
            case "stall":
                return StalledLink(line, chance.randrange(1, 6000))
            case "corrupt":
                return FlippingLink(line, chance, chance.randrange(1, 40))
        kind = chance.choice(
            (FaultyLink, FaultyLink, OneByteLink, ModemTextLink, StrayAckLink, ColdLink)
        )
        return kind(line)


class _CountedLink(FaultyLink):
    def __init__(self, inner: Link, wire: ByteWire) -> None:
        super().__init__(inner)
        self._wire: ByteWire | None = wire

    async def close(self) -> None:
        if self._wire is not None:
            self._wire.hung_up()
            self._wire = None
        await super().close()
