"""
A MiniMate Plus written from the wire notebook alone: a second opinion beside the simulator.

It imports nothing of ``minimateplus`` or ``sfm`` (a test parses this file's imports), so a mistake
that the product's client and its simulator share does not appear here as well. Each choice carries
the mark of its evidence: C captured, D derived, I inferred, U unknown and therefore chosen here.

The core is pure: ``RawUnit.feed`` takes bytes and returns replies, with no clock, socket or
randomness. ``RawServer`` connects it to TCP, ``RawTerminal`` to a pseudo-terminal.

What it models and the simulator did not when this file was written:

- one record cursor for everybody who is connected (``RawServer(shared=True)`` lets every client
  hear every reply, as a serial server with several clients does) [I, the safe assumption];
- a lifetime counter that is honest, stands still, jumps, falls, or is not answered;
- replies that repeat, links that are cut at an exchange, a unit that records while it is read.
"""

from __future__ import annotations

import asyncio
import math
import os
import struct
import tty
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from types import TracebackType
from typing import Self

# --- frames [C; the escaping rule D] --------------------------------------------------------------

ESCAPED = frozenset(b"\x02\x03\x04\x10")
"""Each of these in body or checksum has a 10 in front of it on the wire, in both directions."""
ON_THE_WIRE = [bytes((0x10, b)) if b in ESCAPED else bytes((b,)) for b in range(256)]
REQUEST_START = bytes.fromhex("41 02 10 10 00")
REPLY_START = bytes.fromhex("10 02 00 10 10")
NO_PARAMS = bytes(10)
TOKEN = bytes.fromhex("00 00 00 00 00 00 00 fe 00 00")
"""Parameters with the token FE at place 7 [C]."""


@dataclass(frozen=True)
class Message:
    """One frame without envelope, escapes and checksum."""

    sub: int
    length: int
    params: bytes
    data: bytes


def request(sub: int, length: int = 0, params: bytes = NO_PARAMS, data: bytes = b"") -> bytes:
    """Return the wire bytes of a request, host to unit."""
    return _frame(b"\x41\x02", bytes((0x10, 0, sub, 0)), length, params, data)


def reply(sub: int, length: int = 0, params: bytes = NO_PARAMS, data: bytes = b"") -> bytes:
    """Return the wire bytes of the reply to a request's ``sub``: its own SUB is FF - sub [C]."""
    return _frame(b"\x10\x02", bytes((0, 0x10, 0xFF - sub, 0)), length, params, data)


def _frame(envelope: bytes, head: bytes, length: int, params: bytes, data: bytes) -> bytes:
    body = head + length.to_bytes(2, "big") + params + data
    body += bytes((sum(body) & 0xFF,))
    wire = b"".join([ON_THE_WIRE[b] for b in body])
    return envelope + wire + b"\x03"


class Scanner:
    """Cuts a byte stream into frames; a frame with a wrong checksum is dropped in silence [U]."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._bytes = b""

    def feed(self, received: bytes) -> list[Message]:
        """Return the frames that ``received`` completes."""
        self._bytes += received
        found: list[Message] = []
        while (at := self._bytes.find(self._start)) >= 0:
            self._bytes = self._bytes[at:]
            body, end = self._body()
            if end is None:
                if len(self._bytes) < 8192:  # longer than any frame: this was no start
                    return found
                end = 1
            if len(body) >= 17 and sum(body[:-1]) & 0xFF == body[-1]:
                self._bytes = self._bytes[end:]
                length = int.from_bytes(body[4:6], "big")
                found.append(Message(body[2], length, body[6:16], body[16:-1]))
            else:
                # A frame that broke off swallowed the start of the next one: look for it inside.
                self._bytes = self._bytes[1:]
        self._bytes = self._bytes[-(len(self._start) - 1) :]
        return found

    def _body(self) -> tuple[bytes, int | None]:
        """Return the un-escaped body up to the bare 03, and where it ends."""
        body = bytearray()
        at = 2
        while at < len(self._bytes):
            byte = self._bytes[at]
            if byte == 0x03:
                return bytes(body), at + 1
            if byte == 0x10:
                at += 1
                if at == len(self._bytes):
                    break
                byte = self._bytes[at]
            body.append(byte)
            at += 1
        return bytes(body), None


# --- an event in memory ---------------------------------------------------------------------------

CHANNELS = ("Tran", "Vert", "Long", "MicL")
FIRST_KEY = 0x01110000
"""The key of the first event after an erase [C]."""
BOUNDARY_BYTES = 0x46
"""A boundary record lies this far before the next event's key [I]."""
NEVER_SET = datetime(1995, 1, 1)
"""What a clock shows that was never set: the year is C, the day I."""
IN_S_PER_COUNT = 0.005
"""At the 10 in/s range [C]."""
PSI_PER_COUNT = 2.9008e-9 * 10 ** (81.94 / 20)
"""From the dB(L) formula [D]."""
RATE_HZ = 1024
PRETRIGGER_SAMPLES = 256
"""A quarter of a second at 1,024 a second [I; one event shows 208, X]."""
SEGMENT = 512
"""Samples of one channel in a full segment [C]."""


def stamp(moment: datetime) -> bytes:
    """Return a date of eight bytes: day, month, year (2), 00, hour, minute, second [D]."""
    return struct.pack(
        ">BBHBBBB",
        moment.day,
        moment.month,
        moment.year,
        0,
        moment.hour,
        moment.minute,
        moment.second,
    )


def motion(loud: int, axis: int, samples: int) -> list[list[int]]:
    """
    Return counts of four channels: a wave of ``loud`` counts on ``axis``, small ones elsewhere.

    Equal ``samples`` make images of equal length, whatever the motion is.
    """
    heights = [loud if channel == axis else 2 + channel for channel in range(4)]
    return [
        [round(height * math.sin(math.tau * (n + channel) / 32)) for n in range(samples)]
        for channel, height in enumerate(heights)
    ]


def encode_samples(counts: Sequence[Sequence[int]]) -> bytes:
    """
    Return an event body, every delta as one signed byte (block form ``2X NN``) [C].

    The number of samples is a multiple of 4, at least 4, and no step is larger than 127.
    """
    samples = len(counts[0])
    out = bytearray(b"\x00\x02\x00" + struct.pack(">hh", *counts[0][:2]))
    segments = [
        channel[first : first + SEGMENT]
        for first in range(0, samples, SEGMENT)
        for channel in counts
    ]
    for number, part in enumerate(segments):
        steps = [after - before for before, after in pairwise(part)][1:]
        inside, last = steps[:-2], steps[-2:]
        if inside:
            out += struct.pack(">BB", 0x20 | len(inside) >> 8, len(inside) & 0xFF)
            out += struct.pack(f">{len(inside)}b", *inside)
        following = segments[number + 1][:2] if number + 1 < len(segments) else None
        # The header that ends this segment: its last two deltas, and the next one's first samples.
        head = struct.pack(">hh", *last)
        if following is not None:
            # Its length to the next header [C; from where it counts is U], a rising counter [C].
            ahead = 20 + (len(segments[number + 1]) - 2 if len(segments[number + 1]) > 4 else 0)
            head += struct.pack(">HH", 0, ahead) + (number + 1).to_bytes(4, "little")
            head += struct.pack(">H2h", 0x0200, *following)
        else:
            # Where MicL's last two samples lie is U: a closing tag without the 02 00, as the
            # notebook recommends, with the number of samples behind it.
            head += bytes(10) + samples.to_bytes(4, "big")
        out += b"\x40\x02" + head
    return bytes(out)


def _float(value: float) -> bytes:
    return struct.pack(">f", value)


@dataclass(frozen=True)
class RawEvent:
    """One event as it lies in memory. ``key`` is its address."""

    key: int
    at: datetime
    stop: datetime
    counts: list[list[int]]
    record: bytes
    """What 0C answers: 210 bytes."""
    image: bytes

    @property
    def end(self) -> int:
        """The address behind the image, where the boundary before the next event lies."""
        return self.key + len(self.image)

    @property
    def key_bytes(self) -> bytes:
        """The key as it goes over the wire."""
        return self.key.to_bytes(4, "big")

    @property
    def peaks_in_s(self) -> tuple[float, float, float]:
        """The peaks of Tran, Vert and Long that its record shows, in in/s."""
        tran, vert, long = (max(map(abs, channel)) * IN_S_PER_COUNT for channel in self.counts[:3])
        return tran, vert, long


def make_record(at: datetime, counts: Sequence[Sequence[int]], project: str) -> bytes:
    """
    Return the 210 bytes of 0C.

    The date is at 0 [D]; the vector sum 12 before ``Tran``, each peak 6 behind its label [C]. Where
    the labels are is U: here at 99, 16 apart, so that the sum is at 87, as one note has it [X].
    """
    block = bytearray(210)
    block[0:8] = stamp(at)
    geo = list(zip(*counts[:3], strict=True))
    largest = math.sqrt(max(t * t + v * v + n * n for t, v, n in geo)) * IN_S_PER_COUNT
    block[87:91] = _float(largest)
    for number, name in enumerate(CHANNELS):
        scale = PSI_PER_COUNT if name == "MicL" else IN_S_PER_COUNT
        label_at = 99 + 16 * number
        block[label_at : label_at + 4] = name.encode()
        peak = max(map(abs, counts[number])) * scale
        block[label_at + 6 : label_at + 10] = _float(peak)
    text = b"Project:\0" + project.encode("cp1252")
    block[165 : 165 + len(text)] = text
    return bytes(block)


TEXTS = (
    ("Project:", "North face"),
    ("Client:", "Quarry"),
    ("User Name:", "Operator"),
    ("Seis Loc:", "House 7"),
    ("Extended Notes", ""),
)


def _texts() -> bytes:
    """Return labels of 22 bytes before values of 42 [U]."""
    return b"".join(
        label.encode().ljust(22, b"\0") + text.encode().ljust(42, b"\0") for label, text in TEXTS
    )


def make_image(
    key: int, at: datetime, stop: datetime, counts: Sequence[Sequence[int]], size: int | None
) -> bytes:
    """Return tag, STRT, samples, texts and footer [D]; filled with zeros up to ``size`` bytes."""
    inside = encode_samples(counts) + _texts()
    footer = b"\x0e\x08" + stamp(at) + stamp(stop) + bytes(8)
    if size is not None:
        assert size >= 25 + len(inside) + 26, "the samples do not fit"
        inside = inside.ljust(size - 25 - 26, b"\0")
    end = key + 25 + len(inside) + 26
    samples = len(counts[0])
    pretrigger = min(PRETRIGGER_SAMPLES, samples // 4)
    start = struct.pack(">4s2sIIHHBH", b"STRT", b"\xff\xfe", end, key, samples, pretrigger, 0x46, 0)
    return bytes.fromhex("00 12 03 00") + start + inside + footer


# --- the lifetime counter of 08 -------------------------------------------------------------------

Counter = Callable[["RawUnit"], int | None]
"""Gives what 08 answers; ``None``: it is not answered."""


def honest(unit: RawUnit) -> int:
    """Count every event ever recorded; not lowered by an erase [C]."""
    return len(unit.history)


def standing_still(_: RawUnit) -> int:
    """Show the same number for ever."""
    return 7


def unanswered(_: RawUnit) -> None:
    """Do not answer 08."""


def jumping(unit: RawUnit) -> int:
    """Rise by one at every read, although nothing was recorded."""
    return len(unit.history) + unit.asked.get(0x08, 0)


def falling(unit: RawUnit) -> int:
    """Fall to the number of stored events at an erase, as an early reading of 08 had it [X]."""
    return len(unit.events)


# --- the unit -------------------------------------------------------------------------------------

LENGTHS = {0x5B: 0x30, 0x15: 0x0A, 0x01: 0x98, 0x06: 0x24, 0x08: 0x58, 0x1C: 0x2C, 0x1E: 8, 0x1F: 8}
LENGTHS |= {0x0C: 0xD2, 0x2C: 0x7C, 0x22: 0x2C, 0x09: 0xCA}
"""Bytes of each read [C; POLL and 22 I]; 0A gives its length, 1A has pages, 5A what is asked."""


@dataclass
class RawUnit:
    """
    The instrument. Everything that can be set is an attribute, so that a test can change it.

    ``exchanges`` counts requests that were answered or could have been.
    """

    serial: str = "BE11529"
    echo_params: bool = True
    """Whether replies repeat the request's parameters [D for zeros, I else]."""
    counter: Counter = honest
    clock_was_set: bool = True
    """Otherwise every date is ``NEVER_SET`` [C]."""
    now: datetime = datetime(2026, 4, 1, 0, 28, 12)
    """Its clock; goes on by one minute with each event."""
    unanswered_subs: set[int] = field(default_factory=set)
    cursor_lost_by: set[int] = field(default_factory=set)
    """SUBs after which no record is visited any more; whether 1C or 15 do so is U."""
    cut_every: int = 0
    """Cut the link after each so many exchanges of one connection; 0: never."""
    record_every: int = 0
    """Record an event after each so many exchanges; 0: never."""

    events: list[RawEvent] = field(default_factory=list)
    history: list[RawEvent] = field(default_factory=list)
    """Every event that it ever recorded, erased ones too."""
    exchanges: int = 0
    asked: dict[int, int] = field(default_factory=dict)
    """How often each SUB was fetched (or, of what has no fetch, sent)."""
    records_read: list[bytes] = field(default_factory=list)
    """Key of each record that 0C gave, in order."""
    erases: int = 0
    monitoring: bool = False
    is_cut: bool = False
    """Whether the link was cut; the server hangs up and calls ``hung_up``."""

    def __post_init__(self) -> None:
        self._scanner = Scanner(REQUEST_START)
        self._cursor: int | None = None
        self._is_armed = False
        self._erase_steps: list[int] = []
        self._this_connection = 0
        self._acts: dict[int, list[Callable[[], object]]] = {}
        self._nth: dict[int, list[list[object]]] = {}
        self._repeats: dict[tuple[int, int], bool] = {}
        self._late: list[bytes] = []

    # --- hands at the unit ------------------------------------------------------------------------

    def record(
        self,
        count: int = 1,
        *,
        loud: int = 40,
        axis: int = 0,
        samples: int = 64,
        size: int | None = None,
        at: datetime | None = None,
        project: str = "North face",
    ) -> Self:
        """Record ``count`` events; ``size`` is that of each image, in bytes."""
        for _ in range(count):
            key = self.events[-1].end + BOUNDARY_BYTES if self.events else FIRST_KEY
            self.now += timedelta(minutes=1)
            moment = at or (self.now if self.clock_was_set else NEVER_SET)
            stop = moment + timedelta(seconds=round(samples / RATE_HZ))
            counts = motion(loud, axis, samples)
            record = make_record(moment, counts, project)
            image = make_image(key, moment, stop, counts, size)
            event = RawEvent(key, moment, stop, counts, record, image)
            self.events.append(event)
            self.history.append(event)
        return self

    def erase(self) -> Self:
        """
        Erase everything, as at the keypad; keys start again [C].

        A bulk read that was armed stays so: what a unit does is U, and this misleads a reader most.
        """
        self.events.clear()
        self.erases += 1
        return self

    def at_exchange(self, number: int, act: Callable[[], object]) -> None:
        """Let something happen just before the reply of the ``number``-th exchange from now."""
        self._acts.setdefault(self.exchanges + number, []).append(act)

    def at_fetch(self, sub: int, nth: int, act: Callable[[], object]) -> None:
        """Let something happen just before the ``nth`` fetch of that SUB from now is answered."""
        self._nth.setdefault(sub, []).append([self.asked.get(sub, 0) + nth, act])

    def repeat_reply(self, sub: int, nth: int, *, late: bool = False) -> None:
        """
        Send the reply of the ``nth`` fetch of that SUB from now a second time.

        At once, or ``late``: when the next request has come, before that one's own reply.
        """
        self._repeats[sub, self.asked.get(sub, 0) + nth] = late

    def cut_at_exchange(self, number: int) -> None:
        """Cut the link in place of the reply of the ``number``-th exchange from now."""

        def cut() -> None:
            self.is_cut = True

        self.at_exchange(number, cut)

    def hung_up(self) -> None:
        """Begin a new connection: what the last one left half-sent is gone."""
        self.is_cut = False
        self._this_connection = 0
        self._scanner = Scanner(REQUEST_START)
        self._late.clear()

    # --- the line ---------------------------------------------------------------------------------

    def feed(self, received: bytes) -> list[bytes]:
        """Return the replies to the requests that ``received`` completes, in order."""
        replies: list[bytes] = []
        for message in self._scanner.feed(received):
            if self.is_cut:
                break
            self.exchanges += 1
            self._this_connection += 1
            is_fetch = message.length > 0 or message.sub not in {*LENGTHS, 0x0A, 0x1A}
            if is_fetch:
                self.asked[message.sub] = self.asked.get(message.sub, 0) + 1
            for act in self._acts.pop(self.exchanges, []):
                act()
            if is_fetch:
                self._do_nth(message.sub)
            if self.record_every and self.exchanges % self.record_every == 0:
                self.record()
            if self.cut_every and self._this_connection > self.cut_every:
                self.is_cut = True
            if self.is_cut:
                break
            answer = None if message.sub in self.unanswered_subs else self._answer(message)
            if answer is None:
                continue
            if message.sub in self.cursor_lost_by:
                self._cursor = None
            replies += [*self._late, answer]
            self._late = []
            place = message.sub, self.asked.get(message.sub, 0)
            if is_fetch and place in self._repeats:
                (self._late if self._repeats.pop(place) else replies).append(answer)
        return replies

    def _do_nth(self, sub: int) -> None:
        for due in [one for one in self._nth.get(sub, []) if one[0] == self.asked[sub]]:
            self._nth[sub].remove(due)
            act = due[1]
            assert callable(act)
            act()

    def _answer(self, message: Message) -> bytes | None:
        """Return the reply; ``None`` where a unit is silent."""
        match message.sub:
            case 0x0A:
                return self._record_header(message)
            case 0x1A:
                return self._page(message)
            case 0x5A:
                return self._memory(message)
            case 0x96 | 0x97:
                self.monitoring = message.sub == 0x96
                return self._reply(message, b"")
            case 0xA3:
                self._erase_steps = [0xA3]
                return self._reply(message, b"")
            case 0xA2:
                # Behind A3, 1C and 06, as captured; else silence [U].
                complete = self._erase_steps == [0xA3, 0x1C, 0x06] and message.params == TOKEN
                self._erase_steps = []
                if not complete:
                    return None
                self.erase()
                return self._reply(message, b"")
        if message.sub not in LENGTHS:
            return None  # unknown: silence [U]
        payload = self._payload(message)
        if payload is None:
            return None
        if message.length and message.sub in (0x1C, 0x06) and self._erase_steps:
            self._erase_steps.append(message.sub)
        return self._reply(message, payload[: message.length])

    def _reply(self, message: Message, payload: bytes, params: bytes | None = None) -> bytes:
        echoed = message.params if self.echo_params else NO_PARAMS
        return reply(message.sub, message.length if payload else 0, params or echoed, payload)

    # --- what each read answers -------------------------------------------------------------------

    def _payload(self, message: Message) -> bytes | None:
        match message.sub:
            case 0x5B:  # what it holds is U
                return b"Instantel\0MiniMate Plus\0".ljust(48, b"\0")
            case 0x15:  # serial, a unit-specific byte, firmware minor 17 [C]
                return self.serial.encode().ljust(8, b"\0") + b"\x79\x11"
            case 0x01:  # the texts are C, their places U
                texts = ("Instantel", "MiniMate Plus", self.serial, "S337.17", "10.72")
                return b"".join(t.encode().ljust(20, b"\0") for t in texts).ljust(0x98, b"\0")
            case 0x06:  # first and last key at 28 and 32 [C]
                last = self.events[-1].key if self.events else FIRST_KEY
                return bytes(28) + struct.pack(">II", FIRST_KEY, last)
            case 0x08:  # lifetime counter at 3 [C, X]
                count = self.counter(self)
                return (
                    None
                    if count is None
                    else (bytes(3) + struct.pack(">I", count)).ljust(88, b"\0")
                )
            case 0x1C:
                return self._status()
            case 0x1E:
                return self._first(message)
            case 0x1F:  # speaks of the record that 0A visited [C]; without one: null [U]
                return struct.pack(">II", self._key_behind(self._cursor), 0)
            case 0x0C:
                return self._record(message)
            case _:  # 2C, 22, 09: their own length, then zeros [U]
                size = LENGTHS[message.sub]
                return size.to_bytes(2, "big").ljust(size, b"\0")

    def _status(self) -> bytes:
        """Return 44 bytes: flag, clock, two timers, battery, memory (vector V1 of the notebook)."""
        clock = stamp(self.now if self.clock_was_set else NEVER_SET)
        used = self.events[-1].end - FIRST_KEY if self.events else 0
        timers = stamp(datetime(1995, 1, 1, 6)) + stamp(datetime(1995, 1, 1, 21))
        figures = struct.pack(">HHII", 0, 680, 983_026, max(0, 983_026 - used))
        flag = 0x10 if self.monitoring else 0
        return bytes((0, flag)) + clock + bytes(6) + timers + figures

    def _chain(self) -> dict[int, RawEvent | None]:
        """Return every key in the order of memory; ``None`` is a boundary record (2C) [I]."""
        chain: dict[int, RawEvent | None] = {}
        for event in self.events:
            if chain:
                chain[event.key - BOUNDARY_BYTES] = None
            chain[event.key] = event
        return chain

    def _key_behind(self, key: int | None) -> int:
        keys = list(self._chain())
        if key not in keys:
            return 0
        following = keys[keys.index(key) + 1 :]
        return following[0] if following else 0

    def _first(self, message: Message) -> bytes:
        if message.params[7] == 0xFE:
            # Arms the bulk read when a record was visited [C].
            self._is_armed = self._cursor is not None
            return struct.pack(">II", FIRST_KEY, 0)
        self._cursor, self._is_armed = None, False  # a plain 1E drops the cursor [I]
        return struct.pack(">II", FIRST_KEY if self.events else 0, 0)

    def _record_header(self, message: Message) -> bytes | None:
        """Answer 0A: the probe's reply alone carries a length, before the key [C]."""
        key = int.from_bytes(message.params[4:8], "big")
        chain = self._chain()
        length = 0 if key not in chain else 0x2C if chain[key] is None else 0x46
        if message.length == 0:
            tail = message.params[4:] if self.echo_params else bytes(6)
            return reply(0x0A, 0, bytes(3) + bytes((length,)) + tail)
        if length == 0:
            return None
        self._cursor, self._is_armed = key, False
        event = chain[key] or self.events[list(chain).index(key) // 2]
        text = self.serial.encode().ljust(9, b"\0") + b"Geo: 0.500 in/s"
        payload = stamp(event.at) + stamp(event.stop) + text.ljust(28, b"\0")
        return self._reply(message, payload.ljust(length, b"\0")[: message.length])

    def _record(self, message: Message) -> bytes | None:
        """Answer 0C, which must follow 0A [C]."""
        key = int.from_bytes(message.params[4:8], "big")
        event = self._chain().get(key)
        if event is None or self._cursor is None:
            return None
        if message.length:
            self.records_read.append(event.key_bytes)
        return event.record

    def _page(self, message: Message) -> bytes:
        """Answer 1A: 2,090 bytes in pages from the 16-bit address in params 2 and 3 [C, D]."""
        at = int.from_bytes(message.params[2:4], "big")
        return self._reply(message, setup_block()[at : at + message.length])

    def _memory(self, message: Message) -> bytes | None:
        """Answer 5A, a plain read of memory [D]; not before 1E with FE behind 0A [C]."""
        if not self._is_armed:
            return None
        address = int.from_bytes(message.params[:4], "big")
        length = min(message.length, 0x0400)
        out = bytearray(length)  # where nothing is stored: zeros [U]
        for event in self.events:
            first, last = max(address, event.key), min(address + length, event.end)
            if first < last:
                out[first - address : last - address] = event.image[
                    first - event.key : last - event.key
                ]
        return self._reply(message, bytes(out))


def setup_block() -> bytes:
    """Return the 2,090 bytes of 1A: head and channel blocks where the notebook has them."""
    block = bytearray(0x082A)
    # mode 1 (continuous), rate, histogram interval 300 s, 0, pre-trigger -0.25 s, 0, 1.0 s [C, D]
    block[5:22] = struct.pack(">BHHHfHf", 1, RATE_HZ, 300, 0, -0.25, 0, 1.0)
    for number, name in enumerate(CHANNELS):
        at = 0x60 + 80 * number  # where the blocks start is U
        block[at : at + 4] = name.encode()
        block[at + 20] = 1
        if name == "MicL":  # trigger, text, low threshold, "psi", alarm as in a captured 71
            block[at + 40 : at + 44] = bytes.fromhex("3d 38 51 ec")
            block[at + 46 : at + 50] = bytes.fromhex("3c 23 d7 0a")
            block[at + 50 : at + 54] = b"psi\0"
            block[at + 54 : at + 58] = bytes.fromhex("3c ac 08 31")
        else:  # the geophone constant at 28, the range byte at 33: 00 is 10 in/s [C]
            block[at + 28 : at + 32] = _float(6.206053)
            block[at + 40 : at + 44] = _float(0.5)
            block[at + 44 : at + 48] = b"in./"
            block[at + 48 : at + 52] = _float(1.0)
    title = b"Standard Recording Setup"
    block[0x1C0 : 0x1C0 + len(title)] = title
    block[0x200 : 0x200 + len(_texts())] = _texts()
    return bytes(block)


# --- where it is connected ------------------------------------------------------------------------

Delay = Callable[[bytes], float]
"""Gives how long a reply of these bytes takes, in s."""
Sleep = Callable[[float], Awaitable[None]]


def no_delay(_: bytes) -> float:
    """Answer at once."""
    return 0.0


class RawServer:
    """
    The unit on a TCP port of loopback; entered with ``async with``.

    Args:
        unit: who answers; there is one, with one cursor, for all clients.
        shared: every client hears every reply, as behind ser2net with several connections. Without
            it a second client is hung up on at once.
        delay: how long each reply takes.
        sleep: waits that long.
    """

    def __init__(
        self,
        unit: RawUnit,
        *,
        port: int = 0,
        shared: bool = False,
        delay: Delay = no_delay,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.unit = unit
        self.port = port
        self.connections = 0
        self._shared = shared
        self._delay = delay
        self._sleep = sleep
        self._clients: set[asyncio.StreamWriter] = set()
        self._turn = asyncio.Lock()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for client in list(self._clients):
            client.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients and not self._shared:
            writer.close()
            return
        self._clients.add(writer)
        self.connections += 1
        if len(self._clients) == 1:
            self.unit.hung_up()
        try:
            while received := await reader.read(4096):
                async with self._turn:
                    await self._answer(received)
        except ConnectionError:
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, received: bytes) -> None:
        for answer in self.unit.feed(received):
            if (wait_s := self._delay(answer)) > 0:
                await self._sleep(wait_s)
            for client in list(self._clients):
                client.write(answer)
                with suppress(ConnectionError):
                    await client.drain()
        if self.unit.is_cut:
            for client in list(self._clients):
                client.close()
            self._clients.clear()
            self.unit.hung_up()


class RawTerminal:
    """The unit at the far end of a pseudo-terminal; entered with ``async with``."""

    def __init__(self, unit: RawUnit) -> None:
        self.unit = unit
        self.path = ""
        self._ends: tuple[int, int] = (-1, -1)

    async def __aenter__(self) -> Self:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._ends = ours, theirs
        self.path = os.ttyname(theirs)
        asyncio.get_running_loop().add_reader(ours, self._readable)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._ends[0])
        for end in self._ends:
            os.close(end)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            for answer in self.unit.feed(os.read(self._ends[0], 4096)):
                os.write(self._ends[0], answer)
