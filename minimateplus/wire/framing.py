"""
Frames: escaping, checksum, envelopes, and a reader that accepts bytes in any chunks.

The rule: on the wire every byte of body and checksum equal to 02, 03, 04 or 10 is preceded by a 10,
in both directions. A bare 03 therefore ends a frame, and nothing else does. Lengths, offsets and
the checksum (8-bit sum of the body) refer to un-escaped bytes. [D, two captured checksums pin it]

::

    host to unit   41 02 | 10 00 SUB  00 | length(2) | params(10) | data    | sum | 03      [C]
    unit to host   10 02 | 00 10 SUB' 00 | length(2) | params(10) | payload | sum | 03      [C]

``SUB'`` is ``FF - SUB`` [C]. Since the body's own 10 is escaped, every request starts with
``41 02 10 10 00`` and every reply with ``10 02 00 10 10``: five bytes to search for. Bytes before
them are skipped: a stray 41, a modem's RING and CONNECT, or the text ``Operating System`` of a unit
that has just woken up.

A truncated frame swallows the start of the next one, because ``10 02`` is also an escaped 02. When
a checksum is wrong, the reader therefore searches for a later start inside the bytes it would
drop.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

__all__ = [
    "HEADER_BYTES",
    "MAX_WIRE_BYTES",
    "PARAMS_BYTES",
    "RUBBISH_KEPT_BYTES",
    "Direction",
    "Frame",
    "FrameReader",
    "encode_reply",
    "encode_request",
    "reply_sub",
]

HEADER_BYTES = 16
PARAMS_BYTES = 10
MAX_WIRE_BYTES = 8192
"""Longest frame accepted, escapes included: four times the longest known (1,024 bytes of data)."""

RUBBISH_KEPT_BYTES = 64

_REQUEST_START = bytes.fromhex("41 02 10 10 00")
_REPLY_START = bytes.fromhex("10 02 00 10 10")
_ENVELOPE_BYTES = 2
_END = 0x03
_MAX_RESCANS = 4

_ESCAPE = b"\x10"
_ALSO_ESCAPED = (b"\x02", b"\x03", b"\x04")
_UP_TO_BARE_END = re.compile(rb"(?:[^\x03\x10]++|\x10[\x00-\xff])*+")


class Direction(Enum):
    """The direction of a frame; the value is its first bytes on the wire."""

    REQUEST = _REQUEST_START
    REPLY = _REPLY_START


class Frame(NamedTuple):
    """
    One frame, un-escaped, with a correct checksum.

    ``sub`` is the byte on the wire: of a reply that is ``FF`` minus the request's. ``length`` is
    the 16-bit field of a request, or its echo; it need not be the length of ``payload``
    (a probe asks with 0; some replies carry less than was asked).
    """

    sub: int
    length: int
    params: bytes
    payload: bytes


def reply_sub(sub: int) -> int:
    """Return the reply's SUB for a request's: ``FF - SUB``, no exception known. [C]"""
    return 0xFF - sub


def encode_request(
    sub: int, length: int = 0, params: bytes = bytes(PARAMS_BYTES), data: bytes = b""
) -> bytes:
    """
    Return the wire bytes of a request, host to unit.

    Args:
        sub: the command, 0 to FF.
        length: 0 to probe; the bytes wanted to fetch; the bytes of ``data`` to write.
        params: exactly ten bytes.
        data: for write commands only.

    Raises:
        ValueError: a field is out of range.

    >>> encode_request(0x5B).hex(" ")
    '41 02 10 10 00 5b 00 00 00 00 00 00 00 00 00 00 00 00 00 6b 03'
    """
    return _encode(_REQUEST_START, b"\x10\x00", sub, length, params, data)


def encode_reply(
    sub: int, length: int = 0, params: bytes = bytes(PARAMS_BYTES), payload: bytes = b""
) -> bytes:
    """
    Return the wire bytes of a reply, unit to host. ``sub`` is the reply's own byte.

    Raises:
        ValueError: a field is out of range.

    >>> encode_reply(reply_sub(0x5B)).hex(" ")
    '10 02 00 10 10 a4 00 00 00 00 00 00 00 00 00 00 00 00 00 b4 03'
    """
    return _encode(_REPLY_START, b"\x00\x10", sub, length, params, payload)


def _encode(
    start: bytes, head: bytes, sub: int, length: int, params: bytes, payload: bytes
) -> bytes:
    if not 0 <= sub <= 0xFF:
        raise ValueError(f"SUB must be 0 to FF, got {sub:#x}")
    if not 0 <= length <= 0xFFFF:
        raise ValueError(f"the length field must be 0 to FFFF, got {length:#x}")
    if len(params) != PARAMS_BYTES:
        raise ValueError(f"a frame has {PARAMS_BYTES} parameter bytes, got {len(params)}")
    body = b"".join((head, bytes((sub, 0)), length.to_bytes(2, "big"), params, payload))
    checked = body + bytes((sum(body) & 0xFF,))
    return start[:_ENVELOPE_BYTES] + _escaped(checked) + b"\x03"


def _escaped(body: bytes) -> bytes:
    # The escape first: those that precede other bytes are not to be escaped again.
    wire = body.replace(_ESCAPE, _ESCAPE + _ESCAPE)
    for byte in _ALSO_ESCAPED:
        wire = wire.replace(byte, _ESCAPE + byte)
    return wire


def _unescaped(wire: bytes) -> bytes:
    """Return the body; an escape that precedes nothing, at the end, is dropped."""
    # A pair is a 10 of the body, since a run of them begins with an escape; any other precedes.
    return _ESCAPE.join([part.replace(_ESCAPE, b"") for part in wire.split(_ESCAPE + _ESCAPE)])


def _decode(raw: bytes) -> Frame | None:
    """Return the frame between envelope and end byte, or ``None`` if its checksum is wrong."""
    body = _unescaped(raw)
    if len(body) <= HEADER_BYTES or sum(body[:-1]) & 0xFF != body[-1]:
        return None
    return Frame(
        body[2], int.from_bytes(body[4:6], "big"), body[6:HEADER_BYTES], body[HEADER_BYTES:-1]
    )


class FrameReader:
    """
    Extracts frames from chunks of any size, with other bytes between the frames.

    Lives as long as one link. Buffers at most ``limit_bytes`` of an unfinished frame; a longer one
    without an end is dropped, and the search continues after its start.

    Args:
        direction: the frames to read; both directions if not given.
        limit_bytes: the longest frame accepted, escapes and envelope included.

    >>> wire = encode_reply(0xA4)
    >>> reader = FrameReader()
    >>> reader.feed(b"RING" + wire[:9]), reader.feed(wire[9:])[0].sub == 0xA4
    ([], True)
    """

    def __init__(
        self, direction: Direction | None = None, *, limit_bytes: int = MAX_WIRE_BYTES
    ) -> None:
        starts = [d.value for d in (Direction if direction is None else (direction,))]
        # A look-ahead, because two starts may share a byte: one truncated after 10 02 00 10 does.
        self._start = re.compile(b"(?=%s)" % b"|".join(re.escape(start) for start in starts))
        self._limit_bytes = limit_bytes
        self._buffer = b""
        self._scanned = 0
        self._searching = True
        self.start_counting()

    def start_counting(self) -> None:
        """Reset the counters of bytes outside frames; pending bytes stay."""
        self.skipped_bytes = 0
        """Bytes outside any frame, including boot and modem texts."""
        self.rubbish = b""
        """The first of those bytes, for a message that shows what arrived instead."""
        self.broken_frames = 0
        """Frames whose checksum was wrong or that had no end within the limit."""
        self.first_broken = b""
        """The wire bytes of the first frame whose checksum was wrong, without its end byte."""

    @property
    def pending(self) -> bytes:
        """The buffered bytes, which may be the start of a frame."""
        return self._buffer

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the frames that ``chunk`` completes, in wire order."""
        frames: list[Frame] = []
        # Piece by piece, so that the cost of a large chunk is linear in its length.
        for at in range(0, len(chunk), self._limit_bytes):
            self._buffer += chunk[at : at + self._limit_bytes]
            while (raw := self._next_raw()) is not None:
                if (frame := self._salvage(raw)) is not None:
                    frames.append(frame)
        return frames

    def _next_raw(self) -> bytes | None:
        """Remove the next span from a start to a bare 03 from the buffer, and return it."""
        while True:
            if self._searching:
                # 1. Find a start. Without one, keep only the bytes that a start could begin with.
                if (start := self._start.search(self._buffer)) is None:
                    self._drop(max(0, len(self._buffer) - len(_REPLY_START) + 1))
                    return None
                self._drop(start.start())
                self._searching = False
                # After 10 02 or 41 02 the next byte is never escaped, whether the scan met them as
                # a start or inside a longer frame, so what was scanned is not scanned again.
                self._scanned = max(self._scanned, _ENVELOPE_BYTES)
            # 2. Scan on to the first 03 that is not escaped: only that ends a frame [D].
            match = _UP_TO_BARE_END.match(self._buffer, self._scanned)
            self._scanned = match.end() if match else self._scanned
            if self._scanned < min(len(self._buffer), self._limit_bytes) and (
                self._buffer[self._scanned] == _END
            ):
                raw, self._buffer = self._buffer[: self._scanned], self._buffer[self._scanned + 1 :]
                self._scanned, self._searching = 0, True
                return raw
            # 3. No end yet: wait for more, up to the limit; then drop this start and search again.
            if len(self._buffer) < self._limit_bytes:
                return None
            self.broken_frames += 1
            self._drop(_ENVELOPE_BYTES)
            self._searching = True

    def _salvage(self, raw: bytes) -> Frame | None:
        """Decode ``raw``, or the last whole frame that a truncated one has swallowed."""
        if (frame := _decode(raw[_ENVELOPE_BYTES:])) is not None:
            return frame
        # The checksum is wrong. A later start inside may be a whole frame that follows a truncated
        # one; the last few are tried, so that the cost stays bounded.
        self.broken_frames += 1
        self.first_broken = self.first_broken or raw
        for start in list(self._start.finditer(raw, 1))[: -_MAX_RESCANS - 1 : -1]:
            if (frame := _decode(raw[start.start() + _ENVELOPE_BYTES :])) is not None:
                self._skip(raw[: start.start()])
                return frame
        self._skip(raw + bytes((_END,)))
        return None

    def _drop(self, count: int) -> None:
        self._skip(self._buffer[:count])
        self._buffer = self._buffer[count:]
        self._scanned = max(0, self._scanned - count)

    def _skip(self, rubbish: bytes) -> None:
        self.skipped_bytes += len(rubbish)
        self.rubbish += rubbish[: RUBBISH_KEPT_BYTES - len(self.rubbish)]
