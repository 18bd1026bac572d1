"""
What each fuzz target holds to be true of any bytes at all.

A target is a plain function of bytes: it returns nothing, or raises. The fuzzer calls it millions
of times, the test run once for each file of the kept corpus. Beside "nothing but the documented
errors" each says what must be so of the answer: bounded by what came, the same however it was cut,
the same as another reader of the same bytes makes of it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from kit.plain_decoding import decode_plain

from minimateplus.errors import (
    CaptureError,
    LinkClosedError,
    RemoteProtocolError,
    SampleDecodeError,
)
from minimateplus.link.capture import (
    MAX_HEADER_CHARS,
    Capture,
    CaptureLink,
    ReplayLink,
    parse_capture,
)
from minimateplus.wire import layouts
from minimateplus.wire.framing import (
    HEADER_BYTES,
    MAX_WIRE_BYTES,
    RUBBISH_KEPT_BYTES,
    Direction,
    Frame,
    FrameReader,
    encode_reply,
    encode_request,
)
from minimateplus.wire.samples import decode_body, read_body

T = TypeVar("T")

MAX_MESSAGE_CHARS = 600
"""An error names what came, and does not repeat all of it."""
ENVELOPE_BYTES = 3
MAX_PIECES = 128
SUM_BYTES = 1


# --- frames -------------------------------------------------------------------------------------

DIRECTIONS = (Direction.REPLY, Direction.REQUEST, None)
LIMITS_BYTES = (MAX_WIRE_BYTES, 200, 60)


def frames(data: bytes) -> None:
    """The frame reader; the first byte says which frames it reads and how long they may be."""
    how, stream = data[:1] or b"\0", data[1:]
    direction = DIRECTIONS[how[0] % 3]
    limit_bytes = LIMITS_BYTES[how[0] // 3 % 3]
    whole = FrameReader(direction, limit_bytes=limit_bytes)
    read = whole.feed(stream)
    for size in (1, 7, 61):
        pieces = FrameReader(direction, limit_bytes=limit_bytes)
        met: list[Frame] = []
        for chunk in _cut(stream, size, 64 * (how[0] >> 4)):
            met += pieces.feed(chunk)
            assert len(pieces.pending) <= limit_bytes
            assert len(pieces.rubbish) <= RUBBISH_KEPT_BYTES
        assert met == read
        assert pieces.pending == whole.pending
        assert pieces.skipped_bytes == whole.skipped_bytes
        assert pieces.broken_frames == whole.broken_frames
        assert pieces.rubbish == whole.rubbish
    _every_byte_is_accounted_for(whole, read, stream)
    for frame in read:
        # Which way it went is not known where both are read; its fields must carry either way.
        assert _read_again(frame, direction or Direction.REPLY) == [frame]
        if len(frame.payload) <= MAX_LOOKED_FOR_BYTES:
            assert _came_with_its_sum(frame, stream)
    _whatever_came_the_next_frame_is_read(whole, direction or Direction.REPLY, limit_bytes)


def _cut(stream: bytes, size: int, start: int) -> Iterator[bytes]:
    """Yield a stream in pieces of ``size``, but only so many of them, from ``start`` on."""
    stop = start + size * MAX_PIECES
    yield stream[:start]
    for at in range(start, stop, size):
        yield stream[at : min(at + size, stop)]
    yield stream[stop:]


def _every_byte_is_accounted_for(reader: FrameReader, read: list[Frame], stream: bytes) -> None:
    left = len(stream) - reader.skipped_bytes - len(reader.pending)
    bodies = [HEADER_BYTES + len(frame.payload) + SUM_BYTES for frame in read]
    # Each byte of a body is one or two on the wire.
    assert sum(bodies) + ENVELOPE_BYTES * len(bodies) <= left
    assert left <= 2 * sum(bodies) + ENVELOPE_BYTES * len(bodies)


MAX_LOOKED_FOR_BYTES = 16


def _came_with_its_sum(frame: Frame, stream: bytes) -> bool:
    """Look for a frame in the stream in another way than the reader does: by a pattern of it."""
    fields = frame.length.to_bytes(2, "big") + frame.params + frame.payload
    starts = b"|".join(re.escape(direction.value) for direction in Direction)
    sub = _as_sent(bytes((frame.sub,)))
    pattern = b"(?s)(?=(?:%s)%s\x10?(.)%s\x10?(.)\x03)" % (starts, sub, _as_sent(fields))
    known = 0x10 + frame.sub + sum(fields)
    return any(
        (known + match[1][0]) & 0xFF == match[2][0] for match in re.finditer(pattern, stream)
    )


def _as_sent(body: bytes) -> bytes:
    return b"".join(b"\x10?" + re.escape(bytes((byte,))) for byte in body)


def _encode(frame: Frame, direction: Direction) -> bytes:
    encode = encode_reply if direction is Direction.REPLY else encode_request
    return encode(frame.sub, frame.length, frame.params, frame.payload)


def _read_again(frame: Frame, direction: Direction) -> list[Frame]:
    # As long as it may be: escapes make it longer than it came where the sender left some out.
    return FrameReader(direction, limit_bytes=4 * MAX_WIRE_BYTES).feed(_encode(frame, direction))


def _whatever_came_the_next_frame_is_read(
    reader: FrameReader, direction: Direction, limit_bytes: int
) -> None:
    frame = Frame(0xA4, 0x30, bytes(10), b"\x03\x10\x02")
    reader.feed(bytes(limit_bytes))
    assert reader.feed(_encode(frame, direction)) == [frame]


# --- samples ------------------------------------------------------------------------------------


def samples(data: bytes) -> None:
    """The sample decoder; the first two bytes say how many samples there should be."""
    requested, body = int.from_bytes(data[:2], "big"), data[2:]
    wanted = None if requested == 0xFFFF else requested
    try:
        reading = read_body(body, wanted)
    except SampleDecodeError as error:
        _is_a_short_message(error)
        assert len(body) < 7 or body[:3] != b"\x00\x02\x00"
        return
    rows, end = decode_plain(body, wanted)
    rows_with_valid = zip(reading.counts, reading.valid_samples, strict=True)
    assert [row[:valid_samples].tolist() for row, valid_samples in rows_with_valid] == rows
    assert reading.end == end <= len(body)
    for row, valid_samples in zip(reading.counts, reading.valid_samples, strict=True):
        assert not row[valid_samples:].any()
    # The shortest block says 252 zeros in two bytes.
    assert reading.counts.shape[1] <= 512 + 126 * len(body)
    if wanted is not None:
        assert max(reading.valid_samples) <= wanted
        assert reading.stopped is not None or reading.valid_samples == (wanted,) * 4
    assert len(reading.stopped or "") <= MAX_MESSAGE_CHARS
    try:
        counts = decode_body(body, wanted)
    except SampleDecodeError as error:
        _is_a_short_message(error)
        assert min(reading.valid_samples) == 0
    else:
        assert counts.tolist() == reading.counts[:, : min(reading.valid_samples)].tolist()


# --- captures -----------------------------------------------------------------------------------


def captures(data: bytes) -> None:
    """The capture file reader, the replay of what it read, and the recording of that replay."""
    try:
        capture = parse_capture(data, "fuzzed")
    except CaptureError as error:
        _is_a_short_message(error)
        return
    assert len(capture.chunks) <= data.count(b"\n")
    assert all(chunk.data and math.isfinite(chunk.t_s) for chunk in capture.chunks)
    assert 2 * sum(len(chunk.data) for chunk in capture.chunks) <= len(data)
    for text in (capture.link, capture.started_at, capture.note):
        assert text.isprintable()
        assert len(text) <= MAX_HEADER_CHARS
    again = parse_capture(_recorded(capture).encode(), "recorded again")
    assert [(c.side, c.data) for c in again.chunks] == [(c.side, c.data) for c in capture.chunks]
    assert again.note == capture.note


def _recorded(capture: Capture) -> str:
    """Replay a capture as its host sent it, and return the file that a recording of it makes."""
    sink = io.StringIO()
    replay = ReplayLink(capture)
    started = datetime(2026, 4, 1, tzinfo=UTC)
    link = CaptureLink(replay, sink, clock=lambda: 0.0, started_at=started, note=capture.note)
    for chunk in capture.chunks:
        if chunk.side == "host":
            _ended(link.send(chunk.data))
        else:
            assert _ended(link.receive()) == chunk.data
    try:
        _ended(link.receive())
    except LinkClosedError as error:
        _is_a_short_message(error)
    else:
        raise AssertionError("a replay went on behind its end")
    return sink.getvalue()


def _ended(waiting: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine that waits for nobody returns; a loop for each would cost more."""
    for _ in range(4):
        try:
            waiting.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
    waiting.close()
    raise AssertionError("a replay waits for somebody")


# --- payloads -----------------------------------------------------------------------------------

PARSERS: tuple[Callable[[bytes], Any], ...] = (
    layouts.parse_storage_range,
    layouts.parse_monitor_status,
    lambda payload: layouts.parse_monitor_log(bytes(4), payload),
    layouts.parse_waveform_record,
    layouts.parse_setup,
    layouts.parse_call_home,
    layouts.parse_identity,
    layouts.parse_start_record,
    layouts.parse_serial,
    *(layout.parse for layout in layouts.LAYOUTS),
)
NUMBERS = ("u8", "u16", "u32", "key", "bytes")


def payloads(data: bytes) -> None:
    """The parsers of payloads; the first byte says which."""
    number = (data[0] if data else 0) % len(PARSERS)
    payload = data[1:]
    try:
        parsed = PARSERS[number](payload)
    except RemoteProtocolError as error:
        _is_a_short_message(error)
        return
    assert PARSERS[number](payload) == parsed or _holds_nan(parsed)
    for value in _leaves(parsed):
        _is_fit_to_be_shown(value, payload)
    fixed = number - (len(PARSERS) - len(layouts.LAYOUTS))
    if fixed >= 0:
        layout = layouts.LAYOUTS[fixed]
        plain = {f.name: parsed[f.name] for f in layout.fields if f.kind in NUMBERS}
        built = layout.build(plain)
        for f in layout.fields:
            if f.kind in NUMBERS:
                span = slice(f.offset, f.offset + f.size)
                assert built[span] == payload[span]


def _leaves(parsed: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(parsed) and not isinstance(parsed, type):
        parsed = [getattr(parsed, field.name) for field in dataclasses.fields(parsed)]
    if isinstance(parsed, dict):
        parsed = list(parsed.values())
    if isinstance(parsed, list | tuple):
        for part in parsed:
            yield from _leaves(part)
    else:
        yield parsed


def _is_fit_to_be_shown(value: Any, payload: bytes) -> None:
    if isinstance(value, str):
        # What a unit says goes to terminals, logs and file names.
        assert len(value) <= max(len(payload), 5)
        assert value == value.strip()
        assert all(sign.isprintable() or sign in "\ufffd\xa0" for sign in value), value
    elif isinstance(value, bytes):
        assert value in payload or value == bytes(4)
    elif isinstance(value, float):
        json.dumps(value)


def _holds_nan(parsed: Any) -> bool:
    return any(isinstance(value, float) and math.isnan(value) for value in _leaves(parsed))


def _is_a_short_message(error: Exception) -> None:
    message = str(error)
    assert len(message) <= MAX_MESSAGE_CHARS, len(message)
    assert message.isprintable(), message


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "samples": samples,
    "captures": captures,
    "payloads": payloads,
}
"""Every target by its name, which is that of its folder in the corpus."""
