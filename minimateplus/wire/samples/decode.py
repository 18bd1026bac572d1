"""
The decoder: from an event body to the counts of each channel.

The package's docstring gives the theory of the format and what is not known of it. The steps:

1. ``_scan`` follows the tags once from front to back. It keeps slices and offsets, one step of the
   Python loop per block, and stops at the first tag that is outside the table.
2. ``_steps`` lays the deltas of all segments out as rows of 512, with numpy.
3. ``_running_sums`` turns each row of deltas into samples.
4. ``read_body`` limits each channel to the samples that are proven, and gives the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minimateplus.errors import SampleDecodeError
from minimateplus.model import CHANNELS
from minimateplus.wire.samples.body_format import (
    BYTES,
    CLOSING_MARK,
    GROUP_DELTAS,
    HEADER_BYTES,
    HEADER_MARK,
    HEADER_TAG,
    INT16_LIMITS,
    MAX_DELTAS,
    NIBBLES,
    OUTSIDE_BLOCKS,
    PREAMBLE,
    PREAMBLE_BYTES,
    SEGMENT_SAMPLES,
    TAG_BYTES,
    padded,
    round_count,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["BodyReading", "decode_body", "read_body"]


def _block_counts() -> list[int]:
    """Return the deltas of a block by its tag word; a number beyond any segment if it is none."""
    word = np.arange(0x10000)
    head, short, wide = word >> 8, word & 0xFF, word & 0xFFF
    payloads = [head == 0, head >> 4 == NIBBLES, head >> 4 == BYTES, head == 0x30]
    counts = np.select(payloads, [short, wide, wide, short], 0)
    counts[(counts == 0) | (counts % GROUP_DELTAS != 0)] = _NO_BLOCK
    listed: list[int] = counts.tolist()
    return listed


_NO_BLOCK = 0x10000
_COUNTS = _block_counts()
_LONGEST_BLOCK = TAG_BYTES + MAX_DELTAS
_ZERO_DELTAS = bytes(SEGMENT_SAMPLES)
_HEADER_FIELDS = np.array([[2], [4], [16], [18]])  # offsets in a header: two deltas, two samples

_LANE = 32
_UP_TO = np.triu(np.ones((_LANE, _LANE), np.float32))
"""Row by column: element j of a row times this is the sum of elements 0 ... j."""
_LANES_BEFORE = np.triu(np.ones((SEGMENT_SAMPLES // _LANE,) * 2, np.float32), 1)
_WHOLE_LANE = np.ones(_LANE, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class BodyReading:
    """The samples of an event body, and how many of each channel are proven."""

    counts: NDArray[np.int16]
    """Shape (4, n), n the longest channel; rows in the order of ``CHANNELS``."""
    valid_samples: tuple[int, int, int, int]
    """Samples decoded of each channel; the rest of its row is zero and is no measurement."""
    end: int
    """Offset of the first byte after the samples, where the trailer begins."""
    stopped: str | None
    """Where and why samples are missing; ``None`` when all are present."""
    body_samples: int
    """Samples per channel in the body itself, as far as it was followed."""
    closing: int | None = None
    """Samples per channel that its closing tag gives; ``None`` without one [U: our own tag]."""
    continues: bool = False
    """Whether another segment follows the rounds that ``samples`` allows."""


def decode_body(body: bytes, samples: int | None = None) -> NDArray[np.int16]:
    """
    Return the counts of an event body, shape (4, n), in the body's own units.

    ``n`` is the number of samples proven on all four channels, so a body without a closing tag
    yields two fewer than were recorded (package docstring); ``read_body`` counts each channel.

    >>> from minimateplus.wire.samples import encode_body
    >>> decode_body(encode_body([[5, 6], [7, 8], [9, 9], [0, -1]])).tolist()
    [[5, 6], [7, 8], [9, 9], [0, -1]]

    Args:
        body: the bytes after the STRT record; a trailer may follow the samples.
        samples: samples per channel as STRT gives them, where known; an upper bound only.

    Raises:
        SampleDecodeError: the preamble is wrong, or some channel has no valid sample.
    """
    reading = read_body(body, samples)
    valid_samples = min(reading.valid_samples)
    if not valid_samples and reading.stopped:
        raise SampleDecodeError(f"no sample of all four channels: {reading.stopped}")
    return np.ascontiguousarray(reading.counts[:, :valid_samples])


def read_body(body: bytes, samples: int | None = None) -> BodyReading:
    """
    Return the samples of an event body, channel by channel, in the body's own units.

    A broken body is read up to its first defect. The number of recorded samples is ``samples``, or
    the closing tag's count if it fits the decoded ones, or the number of decoded ones.

    Args:
        body: the bytes after the STRT record; a trailer may follow the samples.
        samples: samples per channel as STRT gives them, where known; an upper bound only.

    Raises:
        SampleDecodeError: the preamble is wrong or incomplete.
        ValueError: ``samples`` is negative.
    """
    if samples is not None and samples < 0:
        raise ValueError(f"samples per channel must not be negative, got {samples}")
    if len(body) < PREAMBLE_BYTES or not body.startswith(PREAMBLE):
        expected = PREAMBLE.hex(" ")
        found = body[:PREAMBLE_BYTES].hex(" ")
        raise SampleDecodeError(f"body starts with {found!r}, expected {expected!r} + 4 bytes")
    scan = _scan(body, None if samples is None else max(1, round_count(samples)))
    wanted = scan.recorded if samples is None else samples
    valid_samples = [min(wanted, decoded) for decoded in scan.decoded()]
    values = _running_sums(_steps(scan))
    reasons = [] if scan.stopped is None else [scan.stopped]
    if values.min() < INT16_LIMITS[0] or values.max() > INT16_LIMITS[1]:
        reasons += _cut_at_first_beyond_int16(values, valid_samples)
        np.clip(values, *INT16_LIMITS, out=values)
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
        body_samples=scan.recorded,
        closing=scan.closing,
        continues=scan.continues,
    )


@dataclass(slots=True)
class _Scan:
    """The skeleton of a body: offsets of its blocks and headers, and how far they reach."""

    words: NDArray[np.uint16]
    """The big-endian word at every offset of the body."""
    deltas: list[bytes]
    """All steps as int8, 512 for each segment; zeros for what is wider or missing."""
    headers: list[int]
    """Offsets of the headers, the closing tag included; header k ends segment k."""
    twelves: list[int]
    """Three numbers per 12-bit block: data offset, number of deltas, place of the first delta."""
    rounds: int
    """Rounds begun; all but the last are full."""
    width: int
    """Samples per segment of the last round."""
    channel: int
    """The channel of the last segment begun."""
    filled: int
    """Samples of that segment."""
    recorded: int
    """Samples per channel by the closing tag, or else by the rounds."""
    end: int
    stopped: str | None
    closing: int | None
    continues: bool

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

    This is the only Python loop: one step per block, not per delta. It keeps slices, which numpy
    decodes later.
    """
    words, nibbles = _words(body), _nibbles(body)
    tag_at, counts, zeros = words.data, _COUNTS, _ZERO_DELTAS
    parts = [zeros[:2]]
    push = parts.append
    headers: list[int] = []
    twelves: list[int] = []
    at = PREAMBLE_BYTES
    start = rounds = base = left = 0
    stopped = None
    continues = False
    while stopped is None:
        rounds += 1
        # Deltas in the blocks of one segment. Only the last round has fewer: there Tran's segment
        # fixes the number, and the other three must have as many.
        deltas = MAX_DELTAS
        gap = zeros[:OUTSIDE_BLOCKS]
        for channel in range(len(CHANNELS)):
            left = deltas
            while left:
                # A block: its tag gives type and number of deltas. A tag outside the table counts
                # as longer than any segment, so it ends the loop like a header does.
                word = tag_at[at]
                n = counts[word]
                if n > left:
                    break
                start = at
                at += TAG_BYTES
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
                # The body ends inside the last block. The incomplete block's deltas stay in
                # ``parts``, at places that are not counted as valid.
                at = start
                left += counts[tag_at[at]]
                stopped = _stop(body, at, rounds, channel, left)
                break
            # The blocks ended: only a segment header (tag and mark) may follow here.
            is_header = tag_at[at] == 0x4002 and tag_at[at + 14] == 0x0200
            is_header = is_header and at + HEADER_BYTES <= len(body)
            # Tran's segment may be short: then this is the last round, and its width is known now.
            if channel == 0 and is_header:
                deltas -= left
                gap = zeros[: OUTSIDE_BLOCKS + left]
                left = 0
            # Anything else that leaves the segment incomplete ends the decoding here.
            if left or (channel < 3 and not is_header):
                stopped = _stop(body, at, rounds, channel, left)
                break
            base += SEGMENT_SAMPLES
            # MicL's segment ends a round. No further round follows a short one, the last one
            # wanted, or one without a header behind it.
            if channel == 3 and (deltas < MAX_DELTAS or rounds == max_rounds or not is_header):
                continues = is_header
                break
            push(gap)
            headers.append(at)
            at += HEADER_BYTES
        else:
            continue
        break
    # MicL's last two samples are in the closing tag; without one they are not known [U].
    width = deltas + OUTSIDE_BLOCKS
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
            at += HEADER_BYTES
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
        continues,
    )


def _closing_count(body: bytes, at: int, decoded: int) -> int | None:
    """Return the closing tag's count; ``None`` without a tag at ``at`` that fits ``decoded``."""
    tag = body[at : at + HEADER_BYTES]
    if not tag.startswith(HEADER_TAG) or tag[6:10] != bytes(4) or _mark(body, at) != CLOSING_MARK:
        return None
    count = int.from_bytes(tag[16:])
    return count if padded(count) == decoded else None


def _mark(body: bytes, at: int) -> bytes:
    """Return bytes 12..13 after a ``40 02``; empty when the header is incomplete."""
    return body[at + 14 : at + 16] if at + HEADER_BYTES <= len(body) else b""


def _stop(body: bytes, at: int, rounds: int, channel: int, left: int) -> str:
    """Return where and why decoding stopped, as a sentence for people."""
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
    elif head[0] >> 4 in (NIBBLES, BYTES) or head[0] in (0x00, 0x30):
        n = nn[0] + (head[0] % 16 << 8 if head[0] != 0x30 else 0)
        if not n or n % GROUP_DELTAS:
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
    """Return the big-endian word at every offset of a body, with room for one block after it."""
    octets = np.frombuffer(body, np.uint8)
    words = np.empty(len(body) + _LONGEST_BLOCK + HEADER_BYTES, np.uint16)
    inside = words[: len(body) - 1]
    np.left_shift(octets[:-1], 8, out=inside, dtype=np.uint16)
    inside |= octets[1:]
    words[len(body) - 1 :] = 0xFFFF  # an invalid tag, so that the scan ends there
    words[len(body) - 1] = int(octets[-1]) << 8 | 0xFF  # FF as the second byte is invalid too
    return words


def _nibbles(body: bytes) -> bytes:
    """
    Return every nibble of a body as an int8, high nibble first.

    Both nibbles of a byte share one 16-bit lane: they are separated, then each becomes
    ``(x ^ 8) - 8``, computed as ``((x ^ 8) + 0x78) ^ 0x80`` so that no carry crosses the lane.
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
    # The closing tag is followed by no segment, so its "first two samples" are dropped.
    return steps[:places].reshape(-1, SEGMENT_SAMPLES)


def _running_sums(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Return the running sum of each row; overwrites its argument.

    A running sum is a product with a triangle of ones, and numpy multiplies several times faster
    than it accumulates. Each row is divided into lanes, and the sum of the preceding lanes is added
    to the first element of each lane. Integers below 2**24 are exact in float32 in any order of
    summation, and no row reaches that: 2**15 + 2**16 + 508 * 2**11 + 2 * 2**15.

    One product per round instead of one for all: OpenBLAS splits a large product between threads,
    and on a busy machine they wait for each other ten times longer than the work takes.
    """
    lanes = steps.reshape(-1, len(CHANNELS), SEGMENT_SAMPLES // _LANE, _LANE)
    by_round = lanes.reshape(len(lanes), -1, _LANE)
    sums = (by_round @ _WHOLE_LANE).reshape(lanes.shape[:3])
    lanes[..., 0] += sums @ _LANES_BEFORE
    values: NDArray[np.float32] = (by_round @ _UP_TO).reshape(steps.shape)
    return values


def _fill_in_twelve_bit_steps(steps: NDArray[np.float32], scan: _Scan) -> None:
    """Write the deltas of all 12-bit blocks to their places in ``steps``."""
    at, lengths, places = np.array(scan.twelves).reshape(-1, 3).T
    groups = lengths // GROUP_DELTAS
    turn = np.arange(groups.sum()) - np.repeat(np.cumsum(groups) - groups, groups)
    at = np.repeat(at, groups) + 6 * turn
    places = np.repeat(places, groups) + GROUP_DELTAS * turn
    highs = scan.words[at].view(np.int16)
    for place in range(GROUP_DELTAS):
        high = highs << 4 * place >> 12 << 8  # the sign comes along
        steps[places + place] = high | scan.words[at + place + 2] >> 8


def _cut_at_first_beyond_int16(
    values: NDArray[np.float32], valid_samples: list[int]
) -> Iterator[str]:
    """Limit each channel to before its first value beyond int16; yield a sentence for each."""
    low, high = INT16_LIMITS
    for row, place in np.argwhere((values < low) | (values > high)).tolist():
        turn, channel = divmod(row, len(CHANNELS))
        index = turn * SEGMENT_SAMPLES + place
        if index < valid_samples[channel]:
            valid_samples[channel] = index
            yield f"{CHANNELS[channel]} sample {index} would be {values[row, place]:.0f}, no int16"


def _side_by_side(values: NDArray[np.float32], valid_samples: Sequence[int]) -> NDArray[np.int16]:
    """Return the segments joined to four channels, each zero after its valid samples."""
    by_round = values.reshape(-1, len(CHANNELS), SEGMENT_SAMPLES)
    counts = np.empty((len(CHANNELS), len(by_round), SEGMENT_SAMPLES), np.int16)
    np.copyto(counts, by_round.transpose(1, 0, 2), casting="unsafe")
    joined = np.ascontiguousarray(counts.reshape(len(CHANNELS), -1)[:, : max(valid_samples)])
    for row, decoded in zip(joined, valid_samples, strict=True):
        row[decoded:] = 0
    return joined
