from __future__ import annotations

import doctest
import time
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kit.vectors import (
    BOOT_TEXT,
    BY_NAME,
    ESCAPED_PIECES,
    HOST,
    MODEM_TEXT,
    UNIT,
    VECTORS,
    Vector,
)

from minimateplus.wire import framing
from minimateplus.wire.framing import (
    MAX_WIRE_BYTES,
    RUBBISH_KEPT_BYTES,
    Direction,
    Frame,
    FrameReader,
    encode_reply,
    encode_request,
    reply_sub,
)

POLL = BY_NAME["POLL probe"].wire
STATUS = BY_NAME["SUB 1C idle, BE11529, captured"]
FRAMES = [vector.frame for vector in VECTORS]
HEADER_ON_WIRE_BYTES = 19  # envelope, header, and the escape of its own 10
STREAM = b"".join(vector.wire for vector in VECTORS)
# Rubbish that no frame may be hurt by; none of it holds a start.
RUBBISH = (
    b"",
    b"A",
    b"\x03",
    b"\x10",
    b"\x10\x02\x00",
    b"A\x02",
    b"\x03A",
    BOOT_TEXT,
    MODEM_TEXT,
    BOOT_TEXT + b"\r\n" + MODEM_TEXT + b"A",
    bytes(300),
    b"\xff" * 9,
)


def encode(direction: Direction, frame: Frame) -> bytes:
    return (encode_request if direction is HOST else encode_reply)(*frame)


def read(*chunks: bytes, direction: Direction | None = None) -> list[Frame]:
    reader = FrameReader(direction)
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def each_byte(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


# --- the table, read both ways ------------------------------------------------------------------


@every_vector
def test_the_fields_make_the_bytes(vector: Vector) -> None:
    assert encode(vector.direction, vector.frame).hex(" ") == vector.wire.hex(" ")


@every_vector
def test_the_bytes_make_the_fields(vector: Vector) -> None:
    reader = FrameReader()
    assert reader.feed(vector.wire) == [vector.frame]
    assert (reader.pending, reader.skipped_bytes, reader.broken_frames) == (b"", 0, 0)


@every_vector
def test_a_frame_may_arrive_cut_anywhere(vector: Vector) -> None:
    wire = vector.wire
    for cut in range(len(wire) + 1):
        assert read(wire[:cut], wire[cut:]) == [vector.frame], f"cut at {cut}"
    assert read(*each_byte(wire)) == [vector.frame]


@every_vector
def test_nothing_is_read_before_the_last_byte(vector: Vector) -> None:
    assert read(*each_byte(vector.wire[:-1])) == []


def test_all_frames_may_arrive_in_one_chunk() -> None:
    assert read(STREAM) == FRAMES
    assert read(*each_byte(STREAM)) == FRAMES


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda rubbish: rubbish[:12].hex() or "none")
def test_rubbish_between_frames_is_skipped_and_counted(rubbish: bytes) -> None:
    stream = b"".join(rubbish + vector.wire for vector in VECTORS)
    for chunks in ([stream], each_byte(stream)):
        reader = FrameReader()
        assert [frame for chunk in chunks for frame in reader.feed(chunk)] == FRAMES
        assert reader.skipped_bytes == len(rubbish) * len(VECTORS)
        assert reader.broken_frames == 0


def test_what_came_instead_is_kept_for_a_message_up_to_a_bound() -> None:
    reader = FrameReader()
    reader.feed(BOOT_TEXT + POLL)
    assert reader.rubbish == BOOT_TEXT
    reader.feed(b"x" * 1000 + POLL)
    assert reader.rubbish == (BOOT_TEXT + b"x" * 1000)[:RUBBISH_KEPT_BYTES]
    reader.start_counting()
    assert (reader.rubbish, reader.skipped_bytes, reader.broken_frames) == (b"", 0, 0)


@pytest.mark.parametrize(
    ("wire_hex", "plain_hex"),
    [piece[1:] for piece in ESCAPED_PIECES],
    ids=[piece[0] for piece in ESCAPED_PIECES],
)
def test_captured_pieces_of_payload_have_the_escapes_that_we_write(
    wire_hex: str, plain_hex: str
) -> None:
    wire, plain = bytes.fromhex(wire_hex), bytes.fromhex(plain_hex)
    frame = encode_reply(0xF3, 0, payload=plain)
    assert frame[HEADER_ON_WIRE_BYTES:].startswith(wire)
    assert read(frame)[0].payload == plain


# --- the special cases that the fact sheet names -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "end_hex"),
    [
        ("SUB 0C fetch 0xD2", "00 03"),  # a sum of 00
        ("SUB 01 probe", "11 03"),
        ("SUB 5A 512 bytes at 01111000", "01 11 10 10 00 00 00 00 00 00 00 8e 03"),
        ("SUB 5A 512 bytes at 01110200", "01 11 10 02 00 00 00 00 00 00 00 80 03"),
        ("SUB 5A 512 bytes at 01110400", "01 11 10 04 00 00 00 00 00 00 00 82 03"),
    ],
)
def test_the_special_cases_end_as_the_sheet_says(name: str, end_hex: str) -> None:
    vector = BY_NAME[name]
    assert encode(vector.direction, vector.frame).endswith(bytes.fromhex(end_hex))


@pytest.mark.parametrize("checksum", [0x02, 0x03, 0x04, 0x10])
def test_a_checksum_that_needs_an_escape_gets_one(checksum: int) -> None:
    wire = encode_reply((checksum - 0x10) & 0xFF)
    assert wire.endswith(bytes((0x10, checksum, 0x03)))
    assert len(read(wire)) == 1


@pytest.mark.parametrize("raw", [0x02, 0x04])
def test_a_host_that_does_not_escape_02_or_04_is_understood(raw: int) -> None:
    wire = encode_request(0x5A, 0x0400 if raw == 4 else 0x0200)
    lazy = wire.replace(bytes((0x10, raw)), bytes((raw,)))
    assert len(lazy) < len(wire)
    assert read(lazy) == read(wire)


def test_a_10_before_any_byte_is_dropped() -> None:
    # The sources saw it: address 1000 sent as 10 00 was taken as 0000 (changelog v0.14.3).
    wire = bytes.fromhex("41 02 10 10 00 5a 00 10 02 00 01 11 10 00 00 00 00 00 00 00 00 7e 03")
    (frame,) = read(wire)
    assert frame.params[:4].hex() == "01110000"


def test_a_reply_names_its_request() -> None:
    assert {reply_sub(reply_sub(sub)) for sub in range(256)} == set(range(256))
    assert (reply_sub(0x5B), reply_sub(0x1C), reply_sub(0x5A)) == (0xA4, 0xE3, 0xA5)


@pytest.mark.parametrize("direction", [HOST, UNIT])
def test_a_reader_of_one_direction_is_deaf_to_the_other(direction: Direction) -> None:
    wanted = [vector.frame for vector in VECTORS if vector.direction is direction]
    assert read(STREAM, direction=direction) == wanted
    assert read(*each_byte(STREAM), direction=direction) == wanted


@pytest.mark.parametrize(
    ("sub", "length", "params", "match"),
    [
        (-1, 0, bytes(10), "SUB"),
        (0x100, 0, bytes(10), "SUB"),
        (0, -1, bytes(10), "length"),
        (0, 0x10000, bytes(10), "length"),
        (0, 0, bytes(9), "parameter"),
        (0, 0, bytes(11), "parameter"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(
    sub: int, length: int, params: bytes, match: str
) -> None:
    for build in (encode_request, encode_reply):
        with pytest.raises(ValueError, match=match):
            build(sub, length, params)


# --- bad links ----------------------------------------------------------------------------------


def test_a_frame_with_a_wrong_sum_is_dropped_and_counted() -> None:
    for at in range(5, len(STATUS.wire) - 1):
        wire = bytearray(STATUS.wire)
        wire[at] ^= 0x20
        reader = FrameReader()
        assert STATUS.frame not in reader.feed(bytes(wire)), f"byte {at}"
        assert reader.feed(POLL)[-1:] == [BY_NAME["POLL probe"].frame]


def test_a_wrong_sum_counts_once_and_every_byte_is_accounted_for() -> None:
    wire = STATUS.wire[:-2] + bytes((STATUS.wire[-2] ^ 1, 0x03))
    reader = FrameReader()
    assert reader.feed(wire) == []
    assert (reader.broken_frames, reader.skipped_bytes) == (1, len(wire))


@every_vector
def test_a_frame_swallowed_by_one_that_was_cut_off_is_salvaged(vector: Vector) -> None:
    for length in range(5, len(STATUS.wire)):
        reader = FrameReader()
        found = reader.feed(STATUS.wire[:length] + vector.wire)
        assert found == [vector.frame], f"after {length} bytes"
        assert (reader.broken_frames, reader.skipped_bytes) == (1, length)


def test_two_starts_may_share_a_byte() -> None:
    # 10 02 00 10 and no more: with the 10 of the next frame's start it looks like a start itself.
    cut = STATUS.wire[:4]
    assert read(cut + STATUS.wire) == [STATUS.frame]
    assert read(STATUS.wire[:30] + cut + STATUS.wire) == [STATUS.frame]
    assert read(*each_byte(STATUS.wire[:30] + cut + STATUS.wire)) == [STATUS.frame]


def test_a_frame_that_holds_the_bytes_of_a_start_is_read_whole() -> None:
    frame = Frame(0xA5, 0x0200, bytes.fromhex("00 10 02 00 10 10 00 00 00 00"), b"\x02\x00\x10" * 9)
    wire = encode(UNIT, frame)
    assert wire.count(b"\x10\x02\x00\x10\x10") > 1
    assert read(wire + POLL) == [frame, BY_NAME["POLL probe"].frame]


def test_endless_rubbish_leaves_almost_nothing_behind() -> None:
    reader = FrameReader()
    for _ in range(100):
        assert reader.feed(b"\x10\x02\x00\x10 no frame at all " * 40) == []
        assert len(reader.pending) < 5
    assert reader.feed(POLL) == [BY_NAME["POLL probe"].frame]


@pytest.mark.parametrize(
    "endless",
    [
        STATUS.wire[:5] + bytes(7),
        STATUS.wire[:5],
        POLL[:5],
        b"\x10\x02\x00\x10\x10\x10",
        b"A\x02\x10",
    ],
    ids=["no end", "starts of replies", "starts of requests", "tens", "almost starts"],
)
@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 17])
def test_what_never_ends_is_held_to_the_limit(endless: bytes, step: int) -> None:
    stream = endless * (40_000 // len(endless))
    reader = FrameReader(limit_bytes=500)
    for at in range(0, len(stream), step):
        assert reader.feed(stream[at : at + step]) == []
        assert len(reader.pending) < 500
    # At most one limit later a good frame is found again.
    assert reader.feed(b"\x00" * 500 + POLL)[-1:] == [BY_NAME["POLL probe"].frame]


def test_a_start_without_end_is_given_up_after_the_limit() -> None:
    reader = FrameReader()
    assert reader.feed(STATUS.wire[:5] + bytes(MAX_WIRE_BYTES)) == []
    assert reader.broken_frames == 1
    assert reader.feed(STATUS.wire) == [STATUS.frame]


def test_the_limit_is_the_longest_frame_that_is_read() -> None:
    wire = STATUS.wire
    assert FrameReader(limit_bytes=len(wire)).feed(wire) == [STATUS.frame]
    assert FrameReader(limit_bytes=len(wire) - 1).feed(wire) == []


def test_a_stream_of_starts_is_scanned_once_and_not_once_a_start() -> None:
    stream = STATUS.wire[:5] * 20_000

    def seconds(limit_bytes: int) -> float:
        began = time.perf_counter()
        FrameReader(limit_bytes=limit_bytes).feed(stream)
        return time.perf_counter() - began

    # Scanned again from every start, the second takes some 32 times as long as the first.
    small = min(seconds(256) for _ in range(3))
    assert min(seconds(8192) for _ in range(3)) < 8 * small


# --- any fields, any bytes, any cuts ------------------------------------------------------------

TRICKY = st.sampled_from([0x00, 0x02, 0x03, 0x04, 0x10, 0x41, 0xE3])
BYTES = st.lists(TRICKY | st.integers(0, 255), max_size=300).map(bytes)
PARAMS = st.lists(TRICKY | st.integers(0, 255), min_size=10, max_size=10).map(bytes)
ANY_FRAME = st.tuples(
    st.sampled_from([HOST, UNIT]),
    st.builds(Frame, st.integers(0, 255), st.integers(0, 0xFFFF), PARAMS, BYTES),
)
PIECES = st.sampled_from(
    [STATUS.wire, POLL, STATUS.wire[:5], POLL[:5], STATUS.wire[:4], STATUS.wire[:30], *RUBBISH]
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:stop] for start, stop in pairwise(ends)]


@given(st.lists(ANY_FRAME, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_fields_come_back_under_any_cutting(
    sent: list[tuple[Direction, Frame]], places: list[int]
) -> None:
    stream = b"".join(encode(direction, frame) for direction, frame in sent)
    assert read(*cut(stream, places)) == [frame for _, frame in sent]


@given(st.lists(TRICKY | st.integers(0, 255), max_size=60), st.data())
def test_each_byte_is_escaped_and_read_by_itself(payload: list[int], data: st.DataObject) -> None:
    # By section 3.2 of the protocol: a 10 before 02, 03, 04 and 10; read before any byte at all.
    wire = encode_reply(0xE3, payload=bytes(payload))
    written = [bytes((0x10, b)) if b in (0x02, 0x03, 0x04, 0x10) else bytes((b,)) for b in payload]
    assert wire[HEADER_ON_WIRE_BYTES:].startswith(b"".join(written))
    end = wire[HEADER_ON_WIRE_BYTES + len(b"".join(written)) :]
    also = data.draw(st.lists(st.booleans(), min_size=len(payload), max_size=len(payload)))
    more = [w if len(w) == 2 or not a else b"\x10" + w for w, a in zip(written, also, strict=True)]
    assert read(wire[:HEADER_ON_WIRE_BYTES] + b"".join(more) + end)[0].payload == bytes(payload)


@given(
    st.lists(PIECES | BYTES, max_size=12).map(b"".join),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.sampled_from([None, HOST, UNIT]),
    st.sampled_from([60, 200, MAX_WIRE_BYTES]),
)
def test_no_bytes_raise_and_no_cut_changes_what_is_read(
    stream: bytes, places: list[int], direction: Direction | None, limit_bytes: int
) -> None:
    whole = FrameReader(direction, limit_bytes=limit_bytes)
    pieces = FrameReader(direction, limit_bytes=limit_bytes)
    frames = whole.feed(stream)
    assert [f for chunk in cut(stream, places) for f in pieces.feed(chunk)] == frames
    assert pieces.pending == whole.pending
    assert pieces.skipped_bytes == whole.skipped_bytes
    assert pieces.broken_frames == whole.broken_frames


@given(st.lists(st.sampled_from([*RUBBISH, STATUS.wire, POLL, STATUS.wire[:30]]), max_size=12))
def test_every_byte_is_in_a_frame_or_skipped_or_pending(pieces: list[bytes]) -> None:
    reader = FrameReader()
    frames = reader.feed(b"".join(pieces))
    # Eight bits are a weak sum: one in 256 frames that ran on passes, of a length not known here.
    assume(set(frames) <= {STATUS.frame, BY_NAME["POLL probe"].frame})
    in_frames = sum(len(STATUS.wire if f == STATUS.frame else POLL) for f in frames)
    assert in_frames + reader.skipped_bytes + len(reader.pending) == sum(map(len, pieces))


def test_the_examples_in_the_docstrings_run() -> None:
    results = doctest.testmod(framing)
    assert results.attempted
    assert not results.failed
