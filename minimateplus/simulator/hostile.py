"""
A hostile unit: a simulated unit behind a link that lies, floods, stalls or disconnects.

A ``Behaviour`` replaces the unit's replies and, rarely, changes the requests that the unit gets. It
is part of the link, so the unit itself stays honest, and any simulated unit on any link can be made
hostile::

    serve_tcp(SimulatedUnit(), wrap_link=hostile_link("endless-frames"))

A replacement is a series of pieces, which may be endless: bytes are sent, a number is a wait in
seconds, ``DISCONNECT`` ends the link. Pieces are generated one at a time, so a terabyte takes no
memory. During an endless series the unit notices nothing but the end of the link.
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

__all__ = [
    "BEHAVIOURS",
    "BYTES_PER_S",
    "DISCONNECT",
    "NEXT_REQUEST_S",
    "PIECE_BYTES",
    "TERABYTE",
    "Behaviour",
    "Exchange",
    "HostileLink",
    "Piece",
    "Replies",
    "byte_a_minute",
    "chain_endless",
    "chain_loops",
    "control_characters",
    "control_serial",
    "endless_bytes",
    "endless_frame",
    "endless_frames",
    "endless_starts",
    "endless_wrong_sums",
    "hangs_up",
    "hangs_up_once_awake",
    "header_length",
    "hostile_link",
    "huge_count",
    "huge_event",
    "huge_samples",
    "just_in_time",
    "last_key_nowhere",
    "late_repeats",
    "long",
    "long_event",
    "many_serials",
    "not_numbers",
    "other_commands",
    "other_key",
    "path_serial",
    "redirect_to_first_record",
    "repeated_replies",
    "restless",
    "short",
    "silent",
    "silent_once_awake",
    "stale_chunks",
    "stray_replies",
    "strays_first",
    "terabyte",
    "wrong_sum",
]

BYTES_PER_S = 1_000_000
"""Speed of a flood: beyond any serial line, and within what one processor can handle."""
PIECE_BYTES = 4096
NEXT_REQUEST_S = 0.001
"""Time within which a host that has its reply sends the next request."""
TERABYTE: Final = 1 << 40
DISCONNECT: Final = None

Piece = bytes | float | None


class Exchange(NamedTuple):
    """One exchange: the host's request, and the reply of the honest unit."""

    request: Frame
    """The host's request."""
    reply: Frame
    """The unit's reply."""
    number: int
    """How many replies it sent before, over all its sessions."""

    @property
    def wire(self) -> bytes:
        """The honest reply on the wire."""
        return _wire(self.reply)

    def fetches(self, command: Command) -> bool:
        """Return whether the host requested the payload of ``command``."""
        return self.request.sub == command.sub and self.request.length > 0


Replies = Callable[[Exchange], Iterator[Piece]]
"""Yields what is sent to the host in place of the honest reply."""


class Behaviour(NamedTuple):
    """One way to be hostile."""

    replies: Replies
    alter_request: Callable[[Frame], Frame] = lambda request: request
    """Returns the request that the unit gets in place of the host's."""

    @property
    def description(self) -> str:
        """What a host sees of it, as a sentence."""
        return (self.replies.__doc__ or "").strip()


class HostileLink(FaultyLink):
    """The unit's end of a link, with one hostile behaviour."""

    def __init__(self, inner: Link, behaviour: Behaviour, numbers: Iterator[int]) -> None:
        super().__init__(inner)
        self._behaviour = behaviour
        self._numbers = numbers
        self._request_reader = FrameReader(Direction.REQUEST)
        self._reply_reader = FrameReader(Direction.REPLY)
        self._pending: list[Frame] = []
        self._request = Frame(0, 0, commands.NO_PARAMS, b"")

    async def receive(self) -> bytes:
        """Return the next request, as the behaviour changes it."""
        while not self._pending:
            self._pending = self._request_reader.feed(await super().receive())
        self._request = self._pending.pop(0)
        altered = self._behaviour.alter_request(self._request)
        return encode_request(altered.sub, altered.length, altered.params, altered.payload)

    async def send(self, data: bytes) -> None:
        """Send what the behaviour makes of each reply, until it or the link ends."""
        for reply in self._reply_reader.feed(data):
            exchange = Exchange(self._request, reply, next(self._numbers))
            pieces = self._behaviour.replies(exchange)
            first = next(pieces, b"")
            second = next(pieces, b"")
            await self._send_piece(first)
            if second != b"":
                await self._send_series(second, pieces)

    async def _send_series(self, piece: Piece, pieces: Iterator[Piece]) -> None:
        """Send a long series; watch for the end of the link, which a sender does not notice."""
        end = asyncio.create_task(self._wait_for_end())
        try:
            while not end.done():
                await self._send_piece(piece)
                try:
                    piece = next(pieces)
                except StopIteration:
                    return
            raise LinkClosedError(f"{self.name}: the far end closed the link")
        finally:
            end.cancel()
            await asyncio.wait((end,))

    async def _wait_for_end(self) -> None:
        with contextlib.suppress(LinkError):
            while True:
                self._pending += self._request_reader.feed(await super().receive())
                # Requests are ignored meanwhile, except for the host's last one.
                del self._pending[:-1]

    async def _send_piece(self, piece: Piece) -> None:
        if piece is DISCONNECT:
            await self.close()
            raise LinkClosedError(f"{self.name}: disconnected")
        if isinstance(piece, bytes):
            await super().send(piece)
            piece = len(piece) / BYTES_PER_S
        await asyncio.sleep(piece)


def hostile_link(name: str) -> LinkFactory:
    """
    Return the link factory that makes a simulated unit hostile.

    Args:
        name: a name from ``BEHAVIOURS``.

    Raises:
        ValueError: there is no such behaviour.
    """
    if name not in BEHAVIOURS:
        raise ValueError(
            f"no hostile behaviour is named {name!r}; there are {', '.join(BEHAVIOURS)}"
        )
    numbers = count()
    return lambda inner: HostileLink(inner, BEHAVIOURS[name], numbers)


# --- floods -------------------------------------------------------------------------------------


def endless_frames(exchange: Exchange) -> Iterator[Piece]:
    """Repeats its correct reply for ever."""
    while True:
        yield exchange.wire


def other_commands(exchange: Exchange) -> Iterator[Piece]:
    """Sends well-formed replies to a command that was not sent, for ever."""
    while True:
        yield _wire(exchange.reply._replace(sub=exchange.reply.sub ^ 0x55))


def repeated_replies(exchange: Exchange) -> Iterator[Piece]:
    """Wakes up, and then sends each reply twice, in one chunk."""
    yield exchange.wire if _is_poll(exchange) else exchange.wire + exchange.wire


def late_repeats(exchange: Exchange) -> Iterator[Piece]:
    """Wakes up, and then repeats each reply after the host's next request."""
    yield exchange.wire
    if not _is_poll(exchange):
        yield NEXT_REQUEST_S
        yield exchange.wire


def stale_chunks(exchange: Exchange) -> Iterator[Piece]:
    """Echoes no address when its memory is read, and repeats each chunk shortly afterwards."""
    if not exchange.fetches(commands.BULK_READ):
        yield exchange.wire
        return
    chunk = _wire(exchange.reply._replace(params=commands.NO_PARAMS))
    yield chunk
    yield NEXT_REQUEST_S
    yield chunk


def stray_replies(exchange: Exchange) -> Iterator[Piece]:
    """Wakes up, and then sends after each reply one to another program's command."""
    yield exchange.wire if _is_poll(exchange) else exchange.wire + _of_another_program(exchange)


def strays_first(exchange: Exchange) -> Iterator[Piece]:
    """Wakes up, and then sends before each reply one to another program's command."""
    yield exchange.wire if _is_poll(exchange) else _of_another_program(exchange) + exchange.wire


def endless_bytes(_exchange: Exchange) -> Iterator[Piece]:
    """Sends bytes that belong to no frame, for ever."""
    while True:
        yield bytes(PIECE_BYTES)


def endless_frame(exchange: Exchange) -> Iterator[Piece]:
    """Begins a reply and never ends it."""
    yield exchange.wire[:20]
    while True:
        yield b"\x55" * PIECE_BYTES


def endless_starts(_exchange: Exchange) -> Iterator[Piece]:
    """Begins one reply after another and ends none."""
    while True:
        yield Direction.REPLY.value * 100


def endless_wrong_sums(exchange: Exchange) -> Iterator[Piece]:
    """Sends replies with a wrong checksum, for ever."""
    while True:
        yield _with_wrong_sum(exchange.reply) * 20


def terabyte(exchange: Exchange) -> Iterator[Piece]:
    """Sends a terabyte of random bytes in place of each chunk of a waveform."""
    if not exchange.fetches(commands.BULK_READ):
        yield exchange.wire
        return
    rubbish = random.Random(exchange.number)
    for _ in range(TERABYTE // PIECE_BYTES):
        yield rubbish.randbytes(PIECE_BYTES)


# --- slow and silent ----------------------------------------------------------------------------


def silent(_exchange: Exchange) -> Iterator[Piece]:
    """Accepts the connection and never replies."""
    return iter(())


def silent_once_awake(exchange: Exchange) -> Iterator[Piece]:
    """Wakes up and then never replies."""
    if exchange.request.sub == commands.POLL.sub:
        yield exchange.wire


def byte_a_minute(exchange: Exchange) -> Iterator[Piece]:
    """Sends one byte of its reply a minute."""
    for value in exchange.wire:
        yield bytes((value,))
        yield 60.0


def just_in_time(exchange: Exchange) -> Iterator[Piece]:
    """Takes nine seconds for each reply: just within the usual reply deadline."""
    yield 9.0
    yield exchange.wire


def hangs_up(exchange: Exchange) -> Iterator[Piece]:
    """Disconnects in the middle of each reply."""
    yield exchange.wire[: len(exchange.wire) // 2]
    yield DISCONNECT


def hangs_up_once_awake(exchange: Exchange) -> Iterator[Piece]:
    """Wakes up, and disconnects in the middle of the next reply."""
    if exchange.request.sub == commands.POLL.sub:
        yield exchange.wire
    else:
        yield exchange.wire[:12]
        yield DISCONNECT


# --- frames that are wrong ----------------------------------------------------------------------


def wrong_sum(exchange: Exchange) -> Iterator[Piece]:
    """Gives every reply a wrong checksum."""
    yield _with_wrong_sum(exchange.reply)


def short(exchange: Exchange) -> Iterator[Piece]:
    """Leaves out the last byte of every payload."""
    yield _wire(exchange.reply._replace(payload=exchange.reply.payload[:-1]))


def long(exchange: Exchange) -> Iterator[Piece]:
    """Adds three thousand bytes to every payload."""
    yield _wire(exchange.reply._replace(payload=exchange.reply.payload + bytes(3000)))


def other_key(exchange: Exchange) -> Iterator[Piece]:
    """Replies about another record than the one requested."""
    reply = exchange.reply
    if exchange.request.sub in _OF_A_RECORD:
        key = bytes(byte ^ 0x20 for byte in reply.params[4:8])
        reply = reply._replace(params=reply.params[:4] + key + reply.params[8:])
    yield _wire(reply)


# --- false content ------------------------------------------------------------------------------


def huge_count(exchange: Exchange) -> Iterator[Piece]:
    """Reports that it has recorded four thousand million events."""
    yield _wire(_with(exchange, commands.EVENT_COUNTER, *_COUNT, 0xFFFFFFFF))


def restless(exchange: Exchange) -> Iterator[Piece]:
    """Reports another lifetime count on every read, as if it recorded continuously."""
    yield _wire(_with(exchange, commands.EVENT_COUNTER, *_COUNT, exchange.number))


def last_key_nowhere(exchange: Exchange) -> Iterator[Piece]:
    """Reports a last key that its chain of keys never reaches."""
    key = bytes.fromhex("0f112233")
    yield _wire(_with(exchange, commands.STORAGE_RANGE, layouts.STORAGE_RANGE, "last_key", key))


def chain_loops(exchange: Exchange) -> Iterator[Piece]:
    """Reports that the first record follows every record."""
    yield _wire(_with(exchange, commands.NEXT_EVENT, layouts.KEY, "key", FIRST_KEY))


def chain_endless(exchange: Exchange) -> Iterator[Piece]:
    """Has another record after every record, each of them a copy of the first."""
    key = int.from_bytes(FIRST_KEY, "big") + 0x400 * exchange.number
    reply = _with(exchange, commands.NEXT_EVENT, layouts.KEY, "key", key.to_bytes(4, "big"))
    if exchange.request.sub in _OF_A_RECORD:
        reply = reply._replace(params=reply.params[:4] + exchange.request.params[4:])
    yield _wire(reply)


def redirect_to_first_record(request: Frame) -> Frame:
    """Return a request for any record as one for the first."""
    if request.sub in _OF_A_RECORD:
        return request._replace(params=commands.key_params(FIRST_KEY))
    return request


def header_length(exchange: Exchange) -> Iterator[Piece]:
    """Reports that each record's header has 255 bytes."""
    reply = exchange.reply
    if exchange.request.sub == commands.RECORD_HEADER.sub and not exchange.request.length:
        reply = reply._replace(params=bytes((0, 0, 0, 0xFF)) + reply.params[4:])
    yield _wire(reply)


def huge_event(exchange: Exchange) -> Iterator[Piece]:
    """Reports that each event ends four gigabytes later."""
    yield _wire(_with_start(exchange, "end_address", 0xFFFFFFFF))


def long_event(exchange: Exchange) -> Iterator[Piece]:
    """Reports that each event fills the whole memory, with zeros."""
    base = int.from_bytes(exchange.request.params[:4], "big")
    yield _wire(_with_start(exchange, "end_address", base + (1 << 20)))


def huge_samples(exchange: Exchange) -> Iterator[Piece]:
    """Reports that each event has 65,535 samples per channel."""
    yield _wire(_with_start(exchange, "samples", 0xFFFF))


def not_numbers(exchange: Exchange) -> Iterator[Piece]:
    """Reports peaks that are not numbers and invalid dates."""
    reply = exchange.reply
    if exchange.fetches(commands.WAVEFORM_RECORD):
        payload = bytearray(b"\xff" * layouts.STAMP_BYTES + reply.payload[layouts.STAMP_BYTES :])
        for label in CHANNELS:
            at = reply.payload.index(label.encode()) + layouts.PEAK_AFTER_LABEL
            payload[at : at + 4] = struct.pack(">f", float("nan"))
        reply = reply._replace(payload=bytes(payload))
    yield _wire(reply)


def control_characters(exchange: Exchange) -> Iterator[Piece]:
    """Sends texts that would clear a terminal, begin a new line and are not ASCII."""
    text = b"\x1b[2J\r\n\xe9\x07%s"
    # In the middle of each text after a label, so that no field moves.
    pattern = rb"((?:Project|Client|User Name|Seis Loc):\0*[ -~]{3}).{%d}" % len(text)
    payload = re.sub(pattern, lambda m: m.group(1) + text, exchange.reply.payload, flags=re.DOTALL)
    yield _wire(exchange.reply._replace(payload=payload))


def path_serial(exchange: Exchange) -> Iterator[Piece]:
    """Reports a serial number that is a path out of a folder."""
    yield _wire(_with(exchange, commands.SERIAL, *_SERIAL, "../../e"))


def control_serial(exchange: Exchange) -> Iterator[Piece]:
    """Reports a serial number that begins a new line of a log or a header."""
    yield _wire(_with(exchange, commands.SERIAL, *_SERIAL, "A\r\nX: 1"))


def many_serials(exchange: Exchange) -> Iterator[Piece]:
    """Reports another serial number on every read."""
    yield _wire(_with(exchange, commands.SERIAL, *_SERIAL, f"HST{exchange.number % 10_000:04d}"))


_OF_A_RECORD = (commands.RECORD_HEADER.sub, commands.WAVEFORM_RECORD.sub)
_COUNT = (layouts.EVENT_COUNTER, "lifetime_count")
_SERIAL = (layouts.SERIAL, "serial")

_REPLIES_ONLY: tuple[Replies, ...] = (
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

BEHAVIOURS: dict[str, Behaviour] = {
    **{replies.__name__.replace("_", "-"): Behaviour(replies) for replies in _REPLIES_ONLY},
    "chain-endless": Behaviour(chain_endless, redirect_to_first_record),
}
"""Every behaviour by its name on the command line."""


def _wire(reply: Frame) -> bytes:
    return encode_reply(reply.sub, reply.length, reply.params, reply.payload)


def _is_poll(exchange: Exchange) -> bool:
    return exchange.request.sub == commands.POLL.sub


def _of_another_program(exchange: Exchange) -> bytes:
    """Return a reply to a probe of the monitor status; of the serial number if that was open."""
    is_open = exchange.request.sub == commands.MONITOR_STATUS.sub
    command = commands.SERIAL if is_open else commands.MONITOR_STATUS
    return encode_reply(reply_sub(command.sub))


def _with_wrong_sum(reply: Frame) -> bytes:
    # No reply has 20 in its header, and neither 20 nor 21 needs an escape.
    wire = bytearray(_wire(reply._replace(params=reply.params[:9] + b"\x20")))
    wire[wire.index(0x20)] ^= 1
    return bytes(wire)


def _with(
    exchange: Exchange,
    command: Command,
    layout: layouts.Layout,
    field: str,
    value: object,
    start: int = 0,
) -> Frame:
    """Return the reply with another value in a field of ``layout``, if it answers ``command``."""
    reply = exchange.reply
    if not exchange.fetches(command):
        return reply
    at, raw = layout.encode(field, value)
    at += start
    return reply._replace(payload=reply.payload[:at] + raw + reply.payload[at + len(raw) :])


def _with_start(exchange: Exchange, field: str, value: int) -> Frame:
    """Return the reply with another value in the STRT record, if it contains one."""
    if not exchange.reply.payload.startswith(layouts.IMAGE_TAG + b"STRT"):
        return exchange.reply
    return _with(exchange, commands.BULK_READ, layouts.STRT, field, value, layouts.STRT_OFFSET)
