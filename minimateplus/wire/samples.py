"""
The samples of one event: from the event body to counts and back.

The rule: of every channel the decoder says how many samples it can vouch for. It never pads in
silence, never reads a delta beyond the segment it stands in, and never wraps a value round. Counts
are the body's own units, int16 as they stand there; one unit is 16 counts of the converter
(``minimateplus.wire.conversions`` turns them into in/s and psi).

The theory. A body is a chain of *segments*, each up to 512 samples of one channel. The channels
take turns (Tran, Vert, Long, MicL), four segments make a *round*, and only the last round may be
shorter, alike for all four [C]: 28 segments for 3328 samples, 12 for 1280. A segment is told by
its first two samples, then by differences between neighbours ("deltas"), packed in blocks of one
width; its last two deltas stand in the header that opens the next segment [C]::

    00 02 00 | a0 a1 |  Tran: blocks of deltas
    40 02 | Tran's last two | head | v0 v1 |  Vert: blocks
    40 02 | Vert's last two | head | l0 l1 |  Long: blocks
    40 02 | Long's last two | head | m0 m1 |  MicL: blocks
    40 02 | MicL's last two | head | a512 a513 |  Tran: blocks      the next round
     ...
    40 02 | MicL's last two | head of the closing tag | count |      our own choice [U]
    trailer: ASCII strings ("Project:" ...)                         not ours to read

    m samples = 2 in front + (m - 4) deltas in blocks + 2 deltas in the next header; m = 512 if full

Blocks, all [C], ``n`` deltas each, ``n`` a multiple of 4:

=========  =========  =========================================================================
tag        data       deltas
=========  =========  =========================================================================
``00 NN``  none       NN zeros
``1X NN``  n / 2      n = X NN: signed 4 bits, high nibble first; ``11 90`` is 400 in 202 bytes
``2X NN``  n          n = X NN: signed 8 bits
``30 NN``  1.5 n      n = NN: signed 12 bits, four in six bytes: four high nibbles, then low bytes
=========  =========  =========================================================================

The header ``40 02``, offsets after the tag; 16-bit words are big endian [C]:

========  =======================================================================================
[0:4]     two deltas that finish the previous channel [C]
[4:6]     not spoken of in the sources [U]; written as zero, not looked at
[6:8]     byte length to the next header [C]; from where it counts is [U]: we write tag to tag
[8:12]    a counter, little endian, rising [C]; its start and step are [U]: we write 1, 2, 3 ...
[12:14]   ``02 00`` [C]; without it a ``40 02`` is no header, for the trailer holds such bytes too
[14:18]   first two samples of the new channel [C]
========  =======================================================================================

What is not known, and what follows from it here:

- Where a unit puts MicL's last two samples is [U]: no header follows them, and the byte-exact
  comparison (72,972 samples of nine events) covered the geophones only, MicL just by its peak. We
  write a closing ``40 02`` with ``00 00`` at [12:14] and the true count at [14:18]. A body without
  one is accepted, and MicL's last two samples are then not vouched for.
- Two of the nine reference events, the loudest, lack 1 to 7 samples at the end of each channel, and
  of a larger set 126 loud ones decode only in part; the cause is [U], perhaps a block form that
  nobody has met. A tag outside the table therefore ends the decoding; nothing is guessed.
- A step beyond 12 bits (-2048 ... 2047) has no known form [U], but for the last two of a segment,
  which have 16. The encoder refuses it.
- No sum guards a body: a byte that was changed can yield wrong samples, and nobody can tell.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from minimateplus.errors import SampleDecodeError, SampleRangeError
from minimateplus.model import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int32]

__all__ = ["BodyReading", "decode_body", "encode_body", "padded", "read_body"]

SEGMENT_SAMPLES = 512
"""Samples of one channel in a full segment [C]."""

PREAMBLE = bytes.fromhex("000200")
"""What every body starts with, before Tran's first two samples [C]."""

HEADER_TAG = bytes.fromhex("4002")
HEADER_MARK = bytes.fromhex("0200")
"""Bytes 12..13 behind the tag: a ``40 02`` without them is no segment header [C]."""

CLOSING_MARK = bytes.fromhex("0000")
"""The same two bytes in our closing tag: anything but ``HEADER_MARK`` [U]."""

_PREAMBLE_BYTES = 7
_HEADER_BYTES = 20
_TAG_BYTES = 2
_ENDS = 4  # samples of a segment that stand outside its blocks: two in front, two at the end
_MAX_DELTAS = SEGMENT_SAMPLES - _ENDS
_GROUP = 4  # every block holds whole groups of four deltas [C]

_ZEROS, _NIBBLES, _BYTES, _TWELVE = range(4)  # the high nibble of a tag
_GROUP_BYTES = (0, 2, 4, 6)  # by kind
_MAX_GROUPS = (0xFC // _GROUP, 0xFFC // _GROUP, 0xFFC // _GROUP, 0xFC // _GROUP)  # by kind

_DELTA_LIMITS = (-2048, 2047)
_INT16_LIMITS = (-32768, 32767)


def _block_counts() -> list[int]:
    """Return the deltas of a block by its tag word; a number beyond any segment if it is none."""
    word = np.arange(0x10000)
    head, short, wide = word >> 8, word & 0xFF, word & 0xFFF
    payloads = [head == 0, head >> 4 == _NIBBLES, head >> 4 == _BYTES, head == 0x30]
    counts = np.select(payloads, [short, wide, wide, short], 0)
    counts[(counts == 0) | (counts % _GROUP != 0)] = _NO_BLOCK
    listed: list[int] = counts.tolist()
    return listed


_NO_BLOCK = 0x10000
_COUNTS = _block_counts()
_LONGEST_BLOCK = _TAG_BYTES + _MAX_DELTAS
_ZERO_DELTAS = bytes(SEGMENT_SAMPLES)
_HEADER_FIELDS = np.array([[2], [4], [16], [18]])  # offsets in a header: two deltas, two samples

_LANE = 32
_UP_TO = np.triu(np.ones((_LANE, _LANE), np.float32))
"""Row by column: element j of a row times this is the sum of elements 0 ... j."""
_LANES_BEFORE = np.triu(np.ones((SEGMENT_SAMPLES // _LANE,) * 2, np.float32), 1)
_WHOLE_LANE = np.ones(_LANE, np.float32)


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class BodyReading:
    """What a body says, and how far it can be trusted."""

    counts: NDArray[np.int16]
    """Shape (4, n), n the longest channel; rows in the order of ``CHANNELS``."""
    valid_samples: tuple[int, int, int, int]
    """Samples decoded of each channel; the rest of its row is zero and is no measurement."""
    end: int
    """Offset in the body of the first byte behind the samples, where the trailer begins."""
    stopped: str | None
    """Where and why samples are missing; ``None`` when every one is there."""
    holds: int
    """Samples per channel that the body itself holds, as far as it was followed."""
    closing: int | None = None
    """Samples per channel that its closing tag gives; ``None`` without one [U: our own tag]."""
    goes_on: bool = False
    """Whether a further segment follows the rounds that ``samples`` allows."""


def decode_body(body: bytes, samples: int | None = None) -> NDArray[np.int16]:
    """
    Return the counts of an event body, shape (4, n), in the body's own units.

    ``n`` is what all four channels can vouch for, so a body without a closing tag yields two
    samples less than were recorded (module docstring); ``read_body`` tells each channel apart.

    >>> decode_body(encode_body([[5, 6], [7, 8], [9, 9], [0, -1]])).tolist()
    [[5, 6], [7, 8], [9, 9], [0, -1]]

    Args:
        body: the bytes behind the STRT record; a trailer may follow the samples.
        samples: samples per channel as the STRT record says, where known; a cap, never a promise.

    Raises:
        SampleDecodeError: the preamble is wrong, or some channel has no sample to vouch for.
    """
    reading = read_body(body, samples)
    valid_samples = min(reading.valid_samples)
    if not valid_samples and reading.stopped:
        raise SampleDecodeError(f"no sample of all four channels: {reading.stopped}")
    return np.ascontiguousarray(reading.counts[:, :valid_samples])


def read_body(body: bytes, samples: int | None = None) -> BodyReading:
    """
    Return what an event body says, channel by channel, in the body's own units.

    Broken bodies are read as far as they go. How many samples were recorded is taken from
    ``samples``, else from the closing tag if it fits what was decoded, else from what was decoded.

    Args:
        body: the bytes behind the STRT record; a trailer may follow the samples.
        samples: samples per channel as the STRT record says, where known; a cap, never a promise.

    Raises:
        SampleDecodeError: the preamble is wrong or cut.
        ValueError: ``samples`` is negative.
    """
    if samples is not None and samples < 0:
        raise ValueError(f"samples per channel cannot be {samples}")
    if len(body) < _PREAMBLE_BYTES or not body.startswith(PREAMBLE):
        expected = PREAMBLE.hex(" ")
        found = body[:_PREAMBLE_BYTES].hex(" ")
        raise SampleDecodeError(f"body starts with {found!r}, expected {expected!r} + 4 bytes")
    scan = _scan(body, None if samples is None else max(1, _rounds(samples)))
    wanted = scan.recorded if samples is None else samples
    valid_samples = [min(wanted, decoded) for decoded in scan.decoded()]
    values = _running_sums(_steps(scan))
    reasons = [] if scan.stopped is None else [scan.stopped]
    if values.min() < _INT16_LIMITS[0] or values.max() > _INT16_LIMITS[1]:
        reasons += _cut_at_first_beyond_int16(values, valid_samples)
        np.clip(values, *_INT16_LIMITS, out=values)
    if min(valid_samples) >= wanted:
        reasons = []
    elif not reasons:
        reasons = [f"the body closes after {min(valid_samples)} of {wanted} samples"]
    tran, vert, long, mic = valid_samples
    return BodyReading(
        counts=_side_by_side(values, valid_samples),
        valid_samples=(tran, vert, long, mic),
        end=scan.end,
        stopped="; ".join(reasons) or None,
        holds=scan.recorded,
        closing=scan.closing,
        goes_on=scan.goes_on,
    )


@dataclass(slots=True)
class _Scan:
    """The skeleton of a body: where its blocks and headers stand, and how far they lead."""

    words: NDArray[np.uint16]
    """The big-endian word at every offset of the body."""
    deltas: list[bytes]
    """All steps as int8, 512 for each segment; zeros for what is wider or missing."""
    headers: list[int]
    """Offsets of the headers, the closing tag included; header k ends segment k."""
    twelves: list[int]
    """Of each 12-bit block, in threes: offset of its data, its deltas, place of the first one."""
    rounds: int
    """Rounds begun; all but the last are full."""
    width: int
    """Samples per segment of the last round."""
    channel: int
    """The channel of the last segment begun."""
    filled: int
    """Samples of that segment."""
    recorded: int
    """Samples per channel as the closing tag says, or as the rounds hold."""
    end: int
    stopped: str | None
    closing: int | None
    goes_on: bool

    def decoded(self) -> Iterator[int]:
        """Yield the samples of each channel."""
        before = (self.rounds - 1) * SEGMENT_SAMPLES
        for channel in range(len(CHANNELS)):
            if channel == self.channel:
                yield before + self.filled
            else:
                yield before + (self.width if channel < self.channel else 0)


def _scan(body: bytes, max_rounds: int | None) -> _Scan:
    """
    Follow the tags through a body, once from front to back.

    This is the one loop that Python walks itself: a step per block, not per delta. It cuts and
    keeps slices; nobody looks into them before numpy does.
    """
    words, nibbles = _words(body), _nibbles(body)
    tag_at, counts, zeros = words.data, _COUNTS, _ZERO_DELTAS
    parts = [zeros[:2]]
    push = parts.append
    headers: list[int] = []
    twelves: list[int] = []
    at = _PREAMBLE_BYTES
    start = rounds = base = left = 0
    stopped = None
    goes_on = False
    while stopped is None:
        rounds += 1
        deltas = _MAX_DELTAS  # of one segment; Tran's settles it for the other three
        gap = zeros[:_ENDS]
        for channel in range(len(CHANNELS)):
            left = deltas
            while left:
                word = tag_at[at]
                n = counts[word]
                if n > left:
                    break
                start = at
                at += _TAG_BYTES
                if word < 0x1000:
                    push(zeros[:n])
                elif word < 0x2000:
                    push(nibbles[at + at : at + at + n])
                    at += n >> 1
                elif word < 0x3000:
                    push(body[at : at + n])
                    at += n
                else:
                    twelves += (at, n, base + deltas - left + 2)
                    push(zeros[:n])
                    at += n + (n >> 1)
                left -= n
            if at > len(body):
                # What was cut from the last block stays, in places that nobody vouches for.
                at = start
                left += counts[tag_at[at]]
                stopped = _stop(body, at, rounds, channel, left)
                break
            is_header = tag_at[at] == 0x4002 and tag_at[at + 14] == 0x0200
            is_header = is_header and at + _HEADER_BYTES <= len(body)
            if channel == 0 and is_header:
                deltas -= left
                gap = zeros[: _ENDS + left]
                left = 0
            if left or (channel < 3 and not is_header):
                stopped = _stop(body, at, rounds, channel, left)
                break
            base += SEGMENT_SAMPLES
            if channel == 3 and (deltas < _MAX_DELTAS or rounds == max_rounds or not is_header):
                goes_on = is_header
                break
            push(gap)
            headers.append(at)
            at += _HEADER_BYTES
        else:
            continue
        break
    width = deltas + _ENDS
    filled = deltas - left + 2
    recorded = (rounds - 1) * SEGMENT_SAMPLES + width
    closing = None
    if stopped is None:
        closing = _closing_count(body, at, recorded)
        if closing is None:
            where = f"body offset {at}"
            stopped = f"no closing tag at {where}, so MicL's last two samples are not known"
        else:
            headers.append(at)
            at += _HEADER_BYTES
            filled += 2
            recorded = closing
    return _Scan(
        words,
        parts,
        headers,
        twelves,
        rounds,
        width,
        channel,
        filled,
        recorded,
        at,
        stopped,
        closing,
        goes_on,
    )


def _closing_count(body: bytes, at: int, decoded: int) -> int | None:
    """Return the count of the closing tag here; ``None`` when none stands here that fits."""
    tag = body[at : at + _HEADER_BYTES]
    if not tag.startswith(HEADER_TAG) or tag[6:10] != bytes(4) or _mark(body, at) != CLOSING_MARK:
        return None
    count = int.from_bytes(tag[16:])
    return count if padded(count) == decoded else None


def _mark(body: bytes, at: int) -> bytes:
    """Return bytes 12..13 behind a ``40 02``; nothing when the header is cut."""
    return body[at + 14 : at + 16] if at + _HEADER_BYTES <= len(body) else b""


def _stop(body: bytes, at: int, rounds: int, channel: int, left: int) -> str:
    """Return the sentence that says where and why decoding stopped."""
    head, nn = body[at : at + 1], body[at + 1 : at + 2]
    tag = (head + nn).hex(" ")
    if not nn:
        why = "the body ends"
    elif head + nn == HEADER_TAG:
        if not (mark := _mark(body, at)):
            why = "the body ends inside a header"
        elif mark != HEADER_MARK:
            why = f"tag 40 02 is no header: bytes 12..13 are {mark.hex(' ')}, expected 02 00"
        else:
            why = f"header with {left} deltas of this segment still to come"
    elif head[0] >> 4 in (_NIBBLES, _BYTES) or head[0] in (0x00, 0x30):
        n = nn[0] + (head[0] % 16 << 8 if head[0] != 0x30 else 0)
        if not n or n % _GROUP:
            why = f"block {tag} of {n} deltas, expected a multiple of 4"
        elif n > left:
            why = f"block {tag} of {n} deltas overruns the segment, which lacks {left}"
        else:
            why = f"block {tag} of {n} deltas overruns the body"
    else:
        why = f"unknown tag {tag}"
    segment = f"{CHANNELS[channel]} segment of round {rounds}"
    return f"stopped at body offset {at}, {segment}: {why}"


def _words(body: bytes) -> NDArray[np.uint16]:
    """Return the big-endian word at every offset of a body, with room for one block behind it."""
    octets = np.frombuffer(body, np.uint8)
    words = np.empty(len(body) + _LONGEST_BLOCK + _HEADER_BYTES, np.uint16)
    inside = words[: len(body) - 1]
    np.left_shift(octets[:-1], 8, out=inside, dtype=np.uint16)
    inside |= octets[1:]
    words[len(body) - 1 :] = 0xFFFF  # a tag that is none: the scan ends there
    words[len(body) - 1] = int(octets[-1]) << 8 | 0xFF  # nor is any with FF behind
    return words


def _nibbles(body: bytes) -> bytes:
    """
    Return every nibble of a body as an int8, high nibble first.

    Both nibbles of a byte travel through one 16-bit lane: parted, then ``(x ^ 8) - 8`` for each,
    done as ``((x ^ 8) + 0x78) ^ 0x80`` so that nothing is carried from one into the other.
    """
    pairs = np.frombuffer(body, np.uint8).astype("<u2")
    pairs *= 0x1001  # the low nibble once more at the top
    pairs >>= 4
    pairs &= 0x0F0F
    pairs ^= 0x0808
    pairs += 0x7878
    pairs ^= 0x8080
    return pairs.tobytes()


def _steps(scan: _Scan) -> NDArray[np.float32]:
    """Return each segment as a row of 512: its first sample, then the step to each next one."""
    places = scan.rounds * len(CHANNELS) * SEGMENT_SAMPLES
    steps = np.zeros(places + 2, np.float32)
    narrow = np.frombuffer(b"".join(scan.deltas), np.int8)
    steps[: narrow.size] = narrow
    words = scan.words.view(np.int16)
    steps[:2] = words[[3, 5]]
    steps[1] -= steps[0]
    if scan.headers:
        at = np.array(scan.headers)
        heads = words[at + _HEADER_FIELDS].astype(np.float32)
        heads[3] -= heads[2]
        starts = np.arange(at.size) * SEGMENT_SAMPLES
        ends = starts + SEGMENT_SAMPLES
        ends[(scan.rounds - 1) * len(CHANNELS) :] += scan.width - SEGMENT_SAMPLES
        steps[ends - 2], steps[ends - 1] = heads[0], heads[1]
        starts += SEGMENT_SAMPLES
        steps[starts], steps[starts + 1] = heads[2], heads[3]
    if scan.twelves:
        _fill_in_twelve_bit_steps(steps, scan)
    # Behind the closing tag stand no first two samples.
    return steps[:places].reshape(-1, SEGMENT_SAMPLES)


def _running_sums(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Return the running sum of each row; spoils its argument.

    A running sum is a product with a triangle of ones, and numpy multiplies several times faster
    than it accumulates. Each row is cut into lanes, and the sum of the lanes before is put into the
    first place of each lane. Whole numbers below 2**24 are exact in float32, in any order of
    summing, and no row reaches that: 2**15 + 2**16 + 508 * 2**11 + 2 * 2**15.

    One product per round, never one for all: a large one OpenBLAS would share out to threads, and
    on a busy machine they wait for each other ten times longer than the work takes.
    """
    lanes = steps.reshape(-1, len(CHANNELS), SEGMENT_SAMPLES // _LANE, _LANE)
    by_round = lanes.reshape(len(lanes), -1, _LANE)
    sums = (by_round @ _WHOLE_LANE).reshape(lanes.shape[:3])
    lanes[..., 0] += sums @ _LANES_BEFORE
    values: NDArray[np.float32] = (by_round @ _UP_TO).reshape(steps.shape)
    return values


def _fill_in_twelve_bit_steps(steps: NDArray[np.float32], scan: _Scan) -> None:
    """Put the deltas of all 12-bit blocks into their places."""
    at, lengths, places = np.array(scan.twelves).reshape(-1, 3).T
    groups = lengths // _GROUP
    turn = np.arange(groups.sum()) - np.repeat(np.cumsum(groups) - groups, groups)
    at = np.repeat(at, groups) + 6 * turn
    places = np.repeat(places, groups) + _GROUP * turn
    highs = scan.words[at].view(np.int16)
    for place in range(_GROUP):
        high = highs << 4 * place >> 12 << 8  # the sign comes along
        steps[places + place] = high | scan.words[at + place + 2] >> 8


def _cut_at_first_beyond_int16(
    values: NDArray[np.float32], valid_samples: list[int]
) -> Iterator[str]:
    """Shorten each channel to before its first value beyond int16; yield a sentence for each."""
    low, high = _INT16_LIMITS
    for row, place in np.argwhere((values < low) | (values > high)).tolist():
        turn, channel = divmod(row, len(CHANNELS))
        index = turn * SEGMENT_SAMPLES + place
        if index < valid_samples[channel]:
            valid_samples[channel] = index
            yield f"{CHANNELS[channel]} sample {index} would be {values[row, place]:.0f}, no int16"


def _side_by_side(values: NDArray[np.float32], valid_samples: Sequence[int]) -> NDArray[np.int16]:
    """Return the segments joined to four channels, each zero behind what is vouched for."""
    by_round = values.reshape(-1, len(CHANNELS), SEGMENT_SAMPLES)
    counts = np.empty((len(CHANNELS), len(by_round), SEGMENT_SAMPLES), np.int16)
    np.copyto(counts, by_round.transpose(1, 0, 2), casting="unsafe")
    told = np.ascontiguousarray(counts.reshape(len(CHANNELS), -1)[:, : max(valid_samples)])
    for row, decoded in zip(told, valid_samples, strict=True):
        row[decoded:] = 0
    return told


# --- writing ------------------------------------------------------------------------------------


def encode_body(counts: ArrayLike) -> bytes:
    """
    Return the event body that holds these counts, closing tag included, trailer not.

    Segments hold whole groups of four, so a shorter last round is filled up by repeating each
    channel's last sample (zeros for an empty record); the closing tag tells the true number.

    >>> body = encode_body([[3, 3, 3, 3], [0] * 4, [0] * 4, [0] * 4])
    >>> body[:7].hex(" "), body[-4:].hex(" ")
    ('00 02 00 00 03 00 03', '00 00 00 04')

    Args:
        counts: shape (4, n), rows in the order of ``CHANNELS``, in the body's own units.

    Raises:
        SampleRangeError: a value is no int16, or a step has no form (module docstring).
        ValueError: the shape is not (4, n).
    """
    record = _as_int16(counts)
    samples = record.shape[1]
    if not samples:
        record = np.zeros((len(CHANNELS), 1), np.int32)
    padding = padded(samples) - record.shape[1]
    record = np.pad(record, ((0, 0), (0, padding)), mode="edge")
    full = (_rounds(record.shape[1]) - 1) * SEGMENT_SAMPLES
    segments: list[_Segment] = []
    if full:
        rounds = record[:, :full].reshape(len(CHANNELS), -1, SEGMENT_SAMPLES).transpose(1, 0, 2)
        segments += _segments(rounds, 0)
    segments += _segments(record[None, :, full:], full)
    return _joined(segments, samples)


@dataclass(slots=True)
class _Segment:
    """One segment of one channel, packed."""

    firsts: bytes
    blocks: bytes
    finals: bytes


def _as_int16(counts: ArrayLike) -> Ints:
    """Return the counts as whole numbers within int16, or refuse."""
    given = np.asarray(counts)
    if given.ndim != 2 or given.shape[0] != len(CHANNELS):
        raise ValueError(f"counts of shape {given.shape}, expected (4, n)")
    if given.dtype.kind not in "iuf":
        raise SampleRangeError(f"counts of type {given.dtype}, expected int16")
    low, high = _INT16_LIMITS
    fits = (given >= low) & (given <= high) & (given == np.trunc(given))  # false for NaN
    if not fits.all():
        channel, index = _first_false(fits)
        value = given[channel, index]
        raise SampleRangeError(
            f"{CHANNELS[channel]} sample {index} is {value}, expected an int16 ({low} ... {high})"
        )
    return given.astype(np.int32)


def _segments(rounds: Ints, offset: int) -> Iterator[_Segment]:
    """Yield the packed segments of rounds of one width, the first sample at index ``offset``."""
    width = rounds.shape[2]
    steps = np.diff(rounds, axis=2)[:, :, 1:]
    _refuse_unencodable_steps(steps, offset)
    rows = rounds.reshape(-1, width)
    moves = steps.reshape(len(rows), -1)
    firsts = rows[:, :2].astype(">i2")
    finals = moves[:, -2:].astype(">i2")
    for first, blocks, final in zip(firsts, _packed(moves[:, :-2]), finals, strict=True):
        yield _Segment(first.tobytes(), blocks, final.tobytes())


def _refuse_unencodable_steps(steps: Ints, offset: int) -> None:
    """Raise for the earliest step that is too large: 12 bits, or 16 for the last two."""
    limits = np.full((2, steps.shape[2]), np.array([_DELTA_LIMITS]).T)
    limits[:, -2:] = np.array([_INT16_LIMITS]).T
    fits = (steps >= limits[0]) & (steps <= limits[1])
    if fits.all():
        return
    by_channel = fits.transpose(1, 0, 2).reshape(len(CHANNELS), -1)
    channel, flat = _first_false(by_channel)
    turn, place = divmod(flat, steps.shape[2])
    step = steps[turn, channel, place]
    index = offset + turn * SEGMENT_SAMPLES + place + 2
    low, high = limits[:, place]
    raise SampleRangeError(
        f"{CHANNELS[channel]} sample {index} is {step:+d} from its neighbour,"
        f" and the body has no form for a step beyond {low} ... {high} there"
    )


def _first_false(fits: NDArray[np.bool_]) -> tuple[int, int]:
    """Return channel and index of the earliest sample that does not fit."""
    index = int(np.argmin(fits.all(axis=0)))
    return int(np.argmin(fits[:, index])), index


def _packed(deltas: Ints) -> Iterator[bytes]:
    """Yield the blocks of each segment, a row of deltas; rows hold whole groups of four."""
    if not deltas.size:
        yield from [b""] * len(deltas)
        return
    fours = deltas.reshape(len(deltas), -1, _GROUP)
    magnitude = (fours ^ (fours >> 31)).max(axis=2)  # -8 is as wide as 7
    narrowest = fours.any(axis=2).astype(np.int8) + (magnitude > 7) + (magnitude > 127)
    nibbles = (fours & 15).astype(np.uint8)
    highs = (fours >> 8 & 15).astype(np.uint8)
    lows = fours.astype(np.uint8)
    as_nibbles = nibbles[:, :, 0::2] << 4 | nibbles[:, :, 1::2]
    as_twelve = np.concatenate([highs[:, :, 0::2] << 4 | highs[:, :, 1::2], lows], axis=2)
    for row, kinds in enumerate(narrowest.tolist()):
        payloads = (b"", as_nibbles[row].tobytes(), lows[row].tobytes(), as_twelve[row].tobytes())
        parts: list[bytes] = []
        start = 0
        for kind, groups in _cheapest_blocks(kinds):
            for at in range(start, start + groups, _MAX_GROUPS[kind]):
                till = min(at + _MAX_GROUPS[kind], start + groups)
                parts.append(struct.pack(">H", kind << 12 | (till - at) * _GROUP))
                parts.append(payloads[kind][at * _GROUP_BYTES[kind] : till * _GROUP_BYTES[kind]])
            start += groups
        yield b"".join(parts)


def _cheapest_blocks(narrowest: Sequence[int]) -> list[tuple[int, int]]:
    """
    Return kind and groups of the blocks that cost least, for the narrowest kind of each group.

    A group may go into a wider block than it needs where that saves two tags. This is the shortest
    way through a lattice of four kinds by runs of equal groups; a change of kind costs one tag.

    >>> _cheapest_blocks([1, 1, 0, 1, 0, 0, 0, 0])  # one group of zeros is not worth two tags
    [(1, 4), (0, 4)]
    """
    runs = [(kind, sum(1 for _ in same)) for kind, same in groupby(narrowest)]
    never = 1 << 30
    cost = [0, 0, 0, 0]
    came_from: list[list[int]] = []
    for need, groups in runs:
        cheapest = min(cost)
        best = cost.index(cheapest)
        opened = cheapest + _TAG_BYTES
        sources = [kind if cost[kind] < opened else best for kind in range(4)]
        cost = [
            min(cost[kind], opened) + groups * _GROUP_BYTES[kind] if kind >= need else never
            for kind in range(4)
        ]
        came_from.append(sources)
    kind = cost.index(min(cost))
    blocks: list[tuple[int, int]] = []
    for (_, groups), sources in zip(reversed(runs), reversed(came_from), strict=True):
        if blocks and blocks[-1][0] == kind:
            blocks[-1] = (kind, blocks[-1][1] + groups)
        else:
            blocks.append((kind, groups))
        kind = sources[kind]
    return blocks[::-1]


def _joined(segments: Sequence[_Segment], samples: int) -> bytes:
    """Return the body: preamble, segments with a header between each two, closing tag."""
    parts = [PREAMBLE, segments[0].firsts, segments[0].blocks]
    for counter, (previous, segment) in enumerate(pairwise(segments), start=1):
        length = _HEADER_BYTES + len(segment.blocks)
        parts += [_header(previous.finals, length, counter, HEADER_MARK, segment.firsts)]
        parts += [segment.blocks]
    count = struct.pack(">I", samples)
    parts += [_header(segments[-1].finals, 0, len(segments), CLOSING_MARK, count)]
    return b"".join(parts)


def _header(finals: bytes, length: int, counter: int, mark: bytes, firsts: bytes) -> bytes:
    """Return a ``40 02``, 20 bytes."""
    head = struct.pack(">HH", 0, length) + struct.pack("<I", counter)
    return HEADER_TAG + finals + head + mark + firsts


def _rounds(samples: int) -> int:
    """Return the rounds that so many samples per channel fill or begin."""
    return -(-samples // SEGMENT_SAMPLES)


def padded(samples: int) -> int:
    """Return the samples per channel that a body holds for so many recorded ones."""
    return max(_ENDS, -(-samples // _GROUP) * _GROUP)
