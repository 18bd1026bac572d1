"""
A hostile unit: a simulated one behind a road that lies, floods, drips or hangs up.

A kind of hostility says what the host is told in place of a reply (and, seldom, what the unit is
made to hear in place of a request). It sits on the road, so the unit underneath stays honest, and
any simulated unit on any link can be made hostile::

    serve_tcp(SimulatedUnit(), road=hostile_link("endless-frames"))

What is told is a series of pieces, which may be endless: bytes are said, a number is waited for in
seconds, ``HANG_UP`` ends the link. Nothing is made before it is said, so a terabyte costs nobody
any memory. While an endless series is told the unit hears nothing but the end of the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, NamedTuple

from minimateplus.errors import LinkClosedError, LinkError
from minimateplus.link import Link
from minimateplus.model import CHANNELS, FIRST_KEY
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.wire import commands, layouts
from minimateplus.wire.commands import Command
from minimateplus.wire.framing import (
    Direction,
    Frame,
    FrameReader,
    encode_reply,
    encode_request,
    reply_sub,
)

BYTES_PER_S = 1_000_000
"""How fast a flood runs: beyond any serial line, and no more than a processor can bear."""
PIECE_BYTES = 4096
A_MOMENT_S = 0.001
"""Until a host that has its answer has sent the next request."""
TERABYTE: Final = 1 << 40
HANG_UP: Final = None

Piece = bytes | float | None


class Turn(NamedTuple):
    """One exchange with a hostile unit, as the unit underneath means it."""

    asked: Frame
    """What the host asked."""
    reply: Frame
    """What the unit answers."""
    number: int
    """How many replies it gave before, over all its conversations."""

    @property
    def wire(self) -> bytes:
        """The honest reply on the wire."""
        return _wire(self.reply)

    def fetches(self, command: Command) -> bool:
        """Return whether the host asked for the payload of ``command``."""
        return self.asked.sub == command.sub and self.asked.length > 0


Lie = Callable[[Turn], Iterator[Piece]]
"""Yields what the host is told in place of the honest reply."""


class Kind(NamedTuple):
    """One way to be hostile."""

    tell: Lie
    hear: Callable[[Frame], Frame] = lambda request: request
    """Returns what the unit is made to hear in place of a request."""

    @property
    def sentence(self) -> str:
        """What it does."""
        return (self.tell.__doc__ or "").strip()


class HostileLink(FaultyLink):
    """The unit's end of a link, of one hostile kind."""

    def __init__(self, inner: Link, kind: Kind, numbers: Iterator[int]) -> None:
        super().__init__(inner)
        self._kind = kind
        self._numbers = numbers
        self._requests = FrameReader(Direction.REQUEST)
        self._replies = FrameReader(Direction.REPLY)
        self._asked: list[Frame] = []
        self._heard = Frame(0, 0, commands.NO_PARAMS, b"")

    async def receive(self) -> bytes:
        """Return the next request, as the unit is to hear it."""
        while not self._asked:
            self._asked = self._requests.feed(await super().receive())
        self._heard = self._asked.pop(0)
        heard = self._kind.hear(self._heard)
        return encode_request(heard.sub, heard.length, heard.params, heard.payload)

    async def send(self, data: bytes) -> None:
        """Tell the host what the kind makes of a reply, until that or the link ends."""
        for reply in self._replies.feed(data):
            told = self._kind.tell(Turn(self._heard, reply, next(self._numbers)))
            first = next(told, b"")
            following = next(told, b"")
            await self._say(first)
            if following != b"":
                await self._go_on(following, told)

    async def _go_on(self, piece: Piece, told: Iterator[Piece]) -> None:
        """Tell a long series; a link that ends meanwhile is noticed also by who only speaks."""
        hearing = asyncio.create_task(self._hear_the_end())
        try:
            while not hearing.done():
                await self._say(piece)
                try:
                    piece = next(told)
                except StopIteration:
                    return
            raise LinkClosedError(f"{self.name}: the far end closed the link")
        finally:
            hearing.cancel()
            await asyncio.wait((hearing,))

    async def _hear_the_end(self) -> None:
        with contextlib.suppress(LinkError):
            while True:
                self._asked += self._requests.feed(await super().receive())
                # Deaf, but for what the host says last.
                del self._asked[:-1]

    async def _say(self, piece: Piece) -> None:
        if piece is HANG_UP:
            await self.close()
            raise LinkClosedError(f"{self.name}: hung up")
        if isinstance(piece, bytes):
            await super().send(piece)
            piece = len(piece) / BYTES_PER_S
        await asyncio.sleep(piece)


def hostile_link(kind: str) -> LinkFactory:
    """
    Return the road that makes a simulated unit hostile.

    Args:
        kind: a name from ``KINDS``.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no hostile kind is named {kind!r}; there are {', '.join(KINDS)}")
    numbers = count()
    return lambda inner: HostileLink(inner, KINDS[kind], numbers)


# --- floods -------------------------------------------------------------------------------------


def endless_frames(turn: Turn) -> Iterator[Piece]:
    """Says its right answer again and again, for ever."""
    while True:
        yield turn.wire


def other_commands(turn: Turn) -> Iterator[Piece]:
    """Says well-formed answers to a command that nobody gave, for ever."""
    while True:
        yield _wire(turn.reply._replace(sub=turn.reply.sub ^ 0x55))


def repeated_replies(turn: Turn) -> Iterator[Piece]:
    """Wakes up, and then gives each answer twice, in one piece."""
    yield turn.wire if _is_poll(turn) else turn.wire + turn.wire


def late_repeats(turn: Turn) -> Iterator[Piece]:
    """Wakes up, and then gives each answer again when the host has asked for the next."""
    yield turn.wire
    if not _is_poll(turn):
        yield A_MOMENT_S
        yield turn.wire


def stale_chunks(turn: Turn) -> Iterator[Piece]:
    """Echoes no address when its memory is read, and gives each chunk again a moment later."""
    if not turn.fetches(commands.BULK_READ):
        yield turn.wire
        return
    chunk = _wire(turn.reply._replace(params=commands.NO_PARAMS))
    yield chunk
    yield A_MOMENT_S
    yield chunk


def stray_replies(turn: Turn) -> Iterator[Piece]:
    """Wakes up, and then gives behind each answer one to a command of another program."""
    yield turn.wire if _is_poll(turn) else turn.wire + _of_another_program(turn)


def strays_first(turn: Turn) -> Iterator[Piece]:
    """Wakes up, and then gives before each answer one to a command of another program."""
    yield turn.wire if _is_poll(turn) else _of_another_program(turn) + turn.wire


def endless_bytes(_turn: Turn) -> Iterator[Piece]:
    """Says bytes that belong to no frame, for ever."""
    while True:
        yield bytes(PIECE_BYTES)


def endless_frame(turn: Turn) -> Iterator[Piece]:
    """Begins an answer and never ends it."""
    yield turn.wire[:20]
    while True:
        yield b"\x55" * PIECE_BYTES


def endless_starts(_turn: Turn) -> Iterator[Piece]:
    """Begins one answer after the other and ends none."""
    while True:
        yield Direction.REPLY.value * 100


def endless_wrong_sums(turn: Turn) -> Iterator[Piece]:
    """Says answers with a wrong checksum, for ever."""
    while True:
        yield _with_wrong_sum(turn.reply) * 20


def terabyte(turn: Turn) -> Iterator[Piece]:
    """Says a terabyte of rubbish in place of each chunk of a waveform."""
    if not turn.fetches(commands.BULK_READ):
        yield turn.wire
        return
    rubbish = random.Random(turn.number)
    for _ in range(TERABYTE // PIECE_BYTES):
        yield rubbish.randbytes(PIECE_BYTES)


# --- slow and silent ----------------------------------------------------------------------------


def silent(_turn: Turn) -> Iterator[Piece]:
    """Takes the call and never says anything."""
    return iter(())


def silent_once_awake(turn: Turn) -> Iterator[Piece]:
    """Wakes up and then never says anything."""
    if turn.asked.sub == commands.POLL.sub:
        yield turn.wire


def byte_a_minute(turn: Turn) -> Iterator[Piece]:
    """Says one byte of its answer a minute."""
    for value in turn.wire:
        yield bytes((value,))
        yield 60.0


def just_in_time(turn: Turn) -> Iterator[Piece]:
    """Takes nine seconds for each answer: just within the usual deadline of one."""
    yield 9.0
    yield turn.wire


def hangs_up(turn: Turn) -> Iterator[Piece]:
    """Hangs up in the middle of each answer."""
    yield turn.wire[: len(turn.wire) // 2]
    yield HANG_UP


def hangs_up_once_awake(turn: Turn) -> Iterator[Piece]:
    """Wakes up, and hangs up in the middle of the next answer."""
    if turn.asked.sub == commands.POLL.sub:
        yield turn.wire
    else:
        yield turn.wire[:12]
        yield HANG_UP


# --- frames that are wrong ----------------------------------------------------------------------


def wrong_sum(turn: Turn) -> Iterator[Piece]:
    """Gives every answer a wrong checksum."""
    yield _with_wrong_sum(turn.reply)


def short(turn: Turn) -> Iterator[Piece]:
    """Leaves out the last byte of every payload."""
    yield _wire(turn.reply._replace(payload=turn.reply.payload[:-1]))


def long(turn: Turn) -> Iterator[Piece]:
    """Says three thousand bytes too many in every payload."""
    yield _wire(turn.reply._replace(payload=turn.reply.payload + bytes(3000)))


def other_key(turn: Turn) -> Iterator[Piece]:
    """Answers about another record than it was asked about."""
    reply = turn.reply
    if turn.asked.sub in _OF_A_RECORD:
        key = bytes(byte ^ 0x20 for byte in reply.params[4:8])
        reply = reply._replace(params=reply.params[:4] + key + reply.params[8:])
    yield _wire(reply)


# --- lies ---------------------------------------------------------------------------------------


def huge_count(turn: Turn) -> Iterator[Piece]:
    """Says it has recorded four thousand million events."""
    yield _wire(_with(turn, commands.EVENT_COUNTER, *_COUNT, 0xFFFFFFFF))


def restless(turn: Turn) -> Iterator[Piece]:
    """Says another lifetime count each time it is asked, as if it never stopped recording."""
    yield _wire(_with(turn, commands.EVENT_COUNTER, *_COUNT, turn.number))


def last_key_nowhere(turn: Turn) -> Iterator[Piece]:
    """Says a last key that its chain of keys never comes to."""
    key = bytes.fromhex("0f112233")
    yield _wire(_with(turn, commands.STORAGE_RANGE, layouts.STORAGE_RANGE, "last_key", key))


def chain_loops(turn: Turn) -> Iterator[Piece]:
    """Says that the first record follows every record."""
    yield _wire(_with(turn, commands.NEXT_EVENT, layouts.KEY, "key", FIRST_KEY))


def chain_endless(turn: Turn) -> Iterator[Piece]:
    """Has a further record behind every record, each of them the first one again."""
    key = int.from_bytes(FIRST_KEY, "big") + 0x400 * turn.number
    reply = _with(turn, commands.NEXT_EVENT, layouts.KEY, "key", key.to_bytes(4, "big"))
    if turn.asked.sub in _OF_A_RECORD:
        reply = reply._replace(params=reply.params[:4] + turn.asked.params[4:])
    yield _wire(reply)


def hear_of_the_first_record(request: Frame) -> Frame:
    """Return a request about any record as one about the first."""
    if request.sub in _OF_A_RECORD:
        return request._replace(params=commands.key_params(FIRST_KEY))
    return request


def header_length(turn: Turn) -> Iterator[Piece]:
    """Says that each record's header has 255 bytes."""
    reply = turn.reply
    if turn.asked.sub == commands.RECORD_HEADER.sub and not turn.asked.length:
        reply = reply._replace(params=bytes((0, 0, 0, 0xFF)) + reply.params[4:])
    yield _wire(reply)


def huge_event(turn: Turn) -> Iterator[Piece]:
    """Says that each event ends four gigabytes on."""
    yield _wire(_with_start(turn, "end_address", 0xFFFFFFFF))


def long_event(turn: Turn) -> Iterator[Piece]:
    """Says that each event is a whole memory long, and holds zeros."""
    base = int.from_bytes(turn.asked.params[:4], "big")
    yield _wire(_with_start(turn, "end_address", base + (1 << 20)))


def huge_samples(turn: Turn) -> Iterator[Piece]:
    """Says that each event has 65,535 samples a channel."""
    yield _wire(_with_start(turn, "samples", 0xFFFF))


def not_numbers(turn: Turn) -> Iterator[Piece]:
    """Says peaks that are no numbers, and dates that are no dates."""
    reply = turn.reply
    if turn.fetches(commands.WAVEFORM_RECORD):
        payload = bytearray(b"\xff" * layouts.STAMP_BYTES + reply.payload[layouts.STAMP_BYTES :])
        for label in CHANNELS:
            at = reply.payload.index(label.encode()) + layouts.PEAK_AFTER_LABEL
            payload[at : at + 4] = struct.pack(">f", float("nan"))
        reply = reply._replace(payload=bytes(payload))
    yield _wire(reply)


def control_characters(turn: Turn) -> Iterator[Piece]:
    """Says texts that would clear a terminal, begin a new line and are no ASCII."""
    text = b"\x1b[2J\r\n\xe9\x07%s"
    # In the middle of each text that stands behind a label, so that no field moves.
    pattern = rb"((?:Project|Client|User Name|Seis Loc):\0*[ -~]{3}).{%d}" % len(text)
    payload = re.sub(pattern, lambda m: m.group(1) + text, turn.reply.payload, flags=re.DOTALL)
    yield _wire(turn.reply._replace(payload=payload))


def path_serial(turn: Turn) -> Iterator[Piece]:
    """Says a serial number that leads out of a folder."""
    yield _wire(_with(turn, commands.SERIAL, *_SERIAL, "../../e"))


def control_serial(turn: Turn) -> Iterator[Piece]:
    """Says a serial number that begins a new line of a log or a header."""
    yield _wire(_with(turn, commands.SERIAL, *_SERIAL, "A\r\nX: 1"))


def many_serials(turn: Turn) -> Iterator[Piece]:
    """Says another serial number each time it is asked."""
    yield _wire(_with(turn, commands.SERIAL, *_SERIAL, f"HST{turn.number % 10_000:04d}"))


_OF_A_RECORD = (commands.RECORD_HEADER.sub, commands.WAVEFORM_RECORD.sub)
_COUNT = (layouts.EVENT_COUNTER, "lifetime_count")
_SERIAL = (layouts.SERIAL, "serial")

_ONLY_TELL: tuple[Lie, ...] = (
    endless_frames,
    other_commands,
    repeated_replies,
    late_repeats,
    stale_chunks,
    stray_replies,
    strays_first,
    endless_bytes,
    endless_frame,
    endless_starts,
    endless_wrong_sums,
    terabyte,
    silent,
    silent_once_awake,
    byte_a_minute,
    just_in_time,
    hangs_up,
    hangs_up_once_awake,
    wrong_sum,
    short,
    long,
    other_key,
    huge_count,
    restless,
    last_key_nowhere,
    chain_loops,
    header_length,
    huge_event,
    long_event,
    huge_samples,
    not_numbers,
    control_characters,
    path_serial,
    control_serial,
    many_serials,
)

KINDS: dict[str, Kind] = {
    **{tell.__name__.replace("_", "-"): Kind(tell) for tell in _ONLY_TELL},
    "chain-endless": Kind(chain_endless, hear_of_the_first_record),
}
"""Every kind by its name on the command line."""


def _wire(reply: Frame) -> bytes:
    return encode_reply(reply.sub, reply.length, reply.params, reply.payload)


def _is_poll(turn: Turn) -> bool:
    return turn.asked.sub == commands.POLL.sub


def _of_another_program(turn: Turn) -> bytes:
    """Return a reply to a probe of the monitor status or, if that was asked, of the serial."""
    asked = turn.asked.sub == commands.MONITOR_STATUS.sub
    command = commands.SERIAL if asked else commands.MONITOR_STATUS
    return encode_reply(reply_sub(command.sub))


def _with_wrong_sum(reply: Frame) -> bytes:
    # No reply has 20 in its header, and neither 20 nor 21 needs an escape.
    wire = bytearray(_wire(reply._replace(params=reply.params[:9] + b"\x20")))
    wire[wire.index(0x20)] ^= 1
    return bytes(wire)


def _with(
    turn: Turn, command: Command, layout: layouts.Layout, field: str, value: object, start: int = 0
) -> Frame:
    """Return the reply with another value in a field of ``layout``, if it is of ``command``."""
    reply = turn.reply
    if not turn.fetches(command):
        return reply
    at, raw = layout.encode(field, value)
    at += start
    return reply._replace(payload=reply.payload[:at] + raw + reply.payload[at + len(raw) :])


def _with_start(turn: Turn, field: str, value: int) -> Frame:
    """Return the reply with another value in the STRT record, if it holds one."""
    if not turn.reply.payload.startswith(layouts.IMAGE_TAG + b"STRT"):
        return turn.reply
    return _with(turn, commands.BULK_READ, layouts.STRT, field, value, layouts.STRT_OFFSET)
