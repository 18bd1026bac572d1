"""
Frames: escaping, checksum, envelopes, and a reader that takes bytes however the road cut them.

The rule: on the wire every byte of body and checksum equal to 02, 03, 04 or 10 is preceded by a 10,
in both directions. A bare 03 therefore ends a frame, and nothing else does. Lengths, offsets and
the checksum (8-bit sum of the body) refer to un-escaped bytes. [D, two captured checksums pin it]

::

    host to unit   41 02 | 10 00 SUB  00 | length(2) | params(10) | data    | sum | 03      [C]
    unit to host   10 02 | 00 10 SUB' 00 | length(2) | params(10) | payload | sum | 03      [C]

``SUB'`` is ``FF - SUB`` [C]. Since the body's own 10 is escaped, every request starts with
``41 02 10 10 00`` and every reply with ``10 02 00 10 10``: five bytes to hunt for. What stands
before them is skipped, be it a stray 41, a modem's RING and CONNECT, or the text
``Operating System`` of a unit that has just woken up.

A frame that was cut off swallows the start of the next one, as ``10 02`` is also an escaped 02.
So when a sum is wrong the reader looks for a later start inside what it would throw away.
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

_NEEDS_ESCAPE = re.compile(rb"[\x02\x03\x04\x10]")
_ESCAPED = re.compile(rb"\x10([\x00-\xff])")
_UP_TO_BARE_END = re.compile(rb"(?:[^\x03\x10]++|\x10[\x00-\xff])*+")


class Direction(Enum):
    """Which way a frame travels; the values are what it starts with on the wire."""

    REQUEST = _REQUEST_START
    REPLY = _REPLY_START


class Frame(NamedTuple):
    """
    One frame, un-escaped, its checksum right.

    ``sub`` is the byte on the wire: of a reply that is ``FF`` minus the request's. ``length`` is
    the 16-bit field of a request, or its echo; it need not be the length of ``payload``
    (a probe asks with 0; some replies carry less than was asked).
    """

    sub: int
    length: int
    params: bytes
    payload: bytes


def reply_sub(sub: int) -> int:
    """Return the SUB that answers a request's SUB: ``FF - SUB``, no exception known. [C]"""
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
        data: of write commands only.

    Raises:
        ValueError: a field does not fit its place.

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
        ValueError: a field does not fit its place.

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
    return start[:_ENVELOPE_BYTES] + _NEEDS_ESCAPE.sub(b"\x10\\g<0>", checked) + b"\x03"


def _decode(raw: bytes) -> Frame | None:
    """Return the frame between envelope and end byte, or ``None`` when the sum is wrong."""
    body = _ESCAPED.sub(rb"\1", raw)
    if len(body) <= HEADER_BYTES or sum(body[:-1]) & 0xFF != body[-1]:
        return None
    return Frame(
        body[2], int.from_bytes(body[4:6], "big"), body[6:HEADER_BYTES], body[HEADER_BYTES:-1]
    )


class FrameReader:
    """
    Turns chunks into frames: cut anywhere, several in one chunk, rubbish between.

    Lives as long as one link. Holds at most ``limit_bytes`` of an unfinished frame; what grows
    beyond that without an end is dropped, and the hunt goes on behind its start.

    Args:
        direction: which frames to read; both when not given.
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
        # Looked ahead, so that two starts may share a byte: one cut off after 10 02 00 10 does.
        self._start = re.compile(b"(?=%s)" % b"|".join(re.escape(start) for start in starts))
        self._limit_bytes = limit_bytes
        self._buffer = b""
        self._scanned = 0
        self._hunting = True
        self.start_counting()

    def start_counting(self) -> None:
        """Set the counters of what was no frame to nothing; what is held back stays."""
        self.skipped_bytes = 0
        """Bytes that belonged to no frame, boot and modem text included."""
        self.rubbish = b""
        """The first of those bytes, for a message that shows what came instead."""
        self.broken_frames = 0
        """Frames whose checksum was wrong or that had no end within the limit."""
        self.first_broken = b""
        """The wire bytes of the first frame whose checksum was wrong, without its end byte."""

    @property
    def pending(self) -> bytes:
        """The bytes held back because a frame may be in the making."""
        return self._buffer

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the frames that ``chunk`` completes, in the order of the wire."""
        frames: list[Frame] = []
        # Piece by piece, so that a chunk of any size costs no more than its length.
        for at in range(0, len(chunk), self._limit_bytes):
            self._buffer += chunk[at : at + self._limit_bytes]
            while (raw := self._next_raw()) is not None:
                if (frame := self._salvage(raw)) is not None:
                    frames.append(frame)
        return frames

    def _next_raw(self) -> bytes | None:
        """Cut the next span from a start up to a bare 03 out of the buffer, envelope included."""
        while True:
            if self._hunting:
                if (start := self._start.search(self._buffer)) is None:
                    self._drop(max(0, len(self._buffer) - len(_REPLY_START) + 1))
                    return None
                self._drop(start.start())
                self._hunting = False
                # Behind 10 02 or 41 02 the next byte is never an escaped one, whether the scan met
                # them as a start or inside a longer frame: what was scanned need not be again.
                self._scanned = max(self._scanned, _ENVELOPE_BYTES)
            match = _UP_TO_BARE_END.match(self._buffer, self._scanned)
            self._scanned = match.end() if match else self._scanned
            if self._scanned < min(len(self._buffer), self._limit_bytes) and (
                self._buffer[self._scanned] == _END
            ):
                raw, self._buffer = self._buffer[: self._scanned], self._buffer[self._scanned + 1 :]
                self._scanned, self._hunting = 0, True
                return raw
            if len(self._buffer) < self._limit_bytes:
                return None
            self.broken_frames += 1
            self._drop(_ENVELOPE_BYTES)
            self._hunting = True

    def _salvage(self, raw: bytes) -> Frame | None:
        """Decode ``raw``, or the last whole frame that a cut-off one has swallowed."""
        if (frame := _decode(raw[_ENVELOPE_BYTES:])) is not None:
            return frame
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
