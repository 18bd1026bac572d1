"""The encoder: from the counts of four channels to an event body, in the smallest blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from minimateplus.errors import SampleRangeError
from minimateplus.model import CHANNELS
from minimateplus.wire.samples.body_format import (
    CLOSING_MARK,
    GROUP_DELTAS,
    HEADER_BYTES,
    HEADER_MARK,
    HEADER_TAG,
    INT16_LIMITS,
    PREAMBLE,
    SEGMENT_SAMPLES,
    TAG_BYTES,
    padded,
    round_count,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int32]

__all__ = ["encode_body"]

_GROUP_BYTES = (0, 2, 4, 6)
"""Bytes of one group of four deltas, by block type."""
_MAX_GROUPS = tuple(size // GROUP_DELTAS for size in (0xFC, 0xFFC, 0xFFC, 0xFC))
"""Groups in the longest block, by block type."""
_DELTA_LIMITS = (-2048, 2047)
"""The range of a signed 12-bit delta, the widest block type."""


def encode_body(counts: ArrayLike) -> bytes:
    """
    Return the event body for these counts, with the closing tag and without the trailer.

    Segments contain whole groups of four, so a shorter last round is padded by repeating each
    channel's last sample (zeros for an empty record); the closing tag gives the true number.

    >>> body = encode_body([[3, 3, 3, 3], [0] * 4, [0] * 4, [0] * 4])
    >>> body[:7].hex(" "), body[-4:].hex(" ")
    ('00 02 00 00 03 00 03', '00 00 00 04')

    Args:
        counts: shape (4, n), rows in the order of ``CHANNELS``, in the body's own units.

    Raises:
        SampleRangeError: a value is not an int16, or a delta fits no block (package docstring).
        ValueError: the shape is not (4, n).
    """
    record = _as_int16(counts)
    samples = record.shape[1]
    if not samples:
        record = np.zeros((len(CHANNELS), 1), np.int32)
    padding = padded(samples) - record.shape[1]
    record = np.pad(record, ((0, 0), (0, padding)), mode="edge")
    full = (round_count(record.shape[1]) - 1) * SEGMENT_SAMPLES
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
    """Return the counts as whole numbers within int16, or raise ``SampleRangeError``."""
    given = np.asarray(counts)
    if given.ndim != 2 or given.shape[0] != len(CHANNELS):
        raise ValueError(f"counts of shape {given.shape}, expected (4, n)")
    if given.dtype.kind not in "iuf":
        raise SampleRangeError(f"counts of type {given.dtype}, expected int16")
    low, high = INT16_LIMITS
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
    _check_deltas(steps, offset)
    rows = rounds.reshape(-1, width)
    moves = steps.reshape(len(rows), -1)
    firsts = rows[:, :2].astype(">i2")
    finals = moves[:, -2:].astype(">i2")
    for first, blocks, final in zip(firsts, _packed(moves[:, :-2]), finals, strict=True):
        yield _Segment(first.tobytes(), blocks, final.tobytes())


def _check_deltas(steps: Ints, offset: int) -> None:
    """Raise for the earliest delta that is too large: 12 bits, or 16 for the last two."""
    limits = np.full((2, steps.shape[2]), np.array([_DELTA_LIMITS]).T)
    limits[:, -2:] = np.array([INT16_LIMITS]).T
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
        f" and an event body cannot encode a delta outside {low} ... {high} there"
    )


def _first_false(fits: NDArray[np.bool_]) -> tuple[int, int]:
    """Return channel and index of the earliest sample that does not fit."""
    index = int(np.argmin(fits.all(axis=0)))
    return int(np.argmin(fits[:, index])), index


def _packed(deltas: Ints) -> Iterator[bytes]:
    """Yield the blocks of each segment, a row of deltas in whole groups of four."""
    if not deltas.size:
        yield from [b""] * len(deltas)
        return
    fours = deltas.reshape(len(deltas), -1, GROUP_DELTAS)
    magnitude = (fours ^ (fours >> 31)).max(axis=2)  # -8 is as wide as 7
    narrowest = fours.any(axis=2).astype(np.int8) + (magnitude > 7) + (magnitude > 127)
    nibbles = (fours & 15).astype(np.uint8)
    highs = (fours >> 8 & 15).astype(np.uint8)
    lows = fours.astype(np.uint8)
    as_nibbles = nibbles[:, :, 0::2] << 4 | nibbles[:, :, 1::2]
    as_twelve = np.concatenate([highs[:, :, 0::2] << 4 | highs[:, :, 1::2], lows], axis=2)
    for row, types in enumerate(narrowest.tolist()):
        payloads = (b"", as_nibbles[row].tobytes(), lows[row].tobytes(), as_twelve[row].tobytes())
        parts: list[bytes] = []
        start = 0
        for type_, groups in _cheapest_blocks(types):
            for at in range(start, start + groups, _MAX_GROUPS[type_]):
                till = min(at + _MAX_GROUPS[type_], start + groups)
                parts.append(struct.pack(">H", type_ << 12 | (till - at) * GROUP_DELTAS))
                parts.append(payloads[type_][at * _GROUP_BYTES[type_] : till * _GROUP_BYTES[type_]])
            start += groups
        yield b"".join(parts)


def _cheapest_blocks(narrowest: Sequence[int]) -> list[tuple[int, int]]:
    """
    Return type and group count of the shortest sequence of blocks for these groups.

    ``narrowest`` is the narrowest block type that each group fits. A group may go into a wider
    block where that saves two tags. This is a shortest path through a lattice: one row per block
    type, one column per run of equal groups, and every change of type costs one tag.

    >>> _cheapest_blocks([1, 1, 0, 1, 0, 0, 0, 0])  # one group of zeros is not worth two tags
    [(1, 4), (0, 4)]
    """
    runs = [(type_, sum(1 for _ in same)) for type_, same in groupby(narrowest)]
    never = 1 << 30
    # Forwards: the cost in bytes of ending in each type, and the type it was reached from.
    cost = [0, 0, 0, 0]
    came_from: list[list[int]] = []
    for need, groups in runs:
        cheapest = min(cost)
        best = cost.index(cheapest)
        opened = cheapest + TAG_BYTES
        sources = [type_ if cost[type_] < opened else best for type_ in range(4)]
        cost = [
            min(cost[type_], opened) + groups * _GROUP_BYTES[type_] if type_ >= need else never
            for type_ in range(4)
        ]
        came_from.append(sources)
    # Backwards: follow the cheapest end to the start, and join runs of one type.
    type_ = cost.index(min(cost))
    blocks: list[tuple[int, int]] = []
    for (_, groups), sources in zip(reversed(runs), reversed(came_from), strict=True):
        if blocks and blocks[-1][0] == type_:
            blocks[-1] = (type_, blocks[-1][1] + groups)
        else:
            blocks.append((type_, groups))
        type_ = sources[type_]
    return blocks[::-1]


def _joined(segments: Sequence[_Segment], samples: int) -> bytes:
    """Return the body: preamble, segments with a header between each two, closing tag."""
    parts = [PREAMBLE, segments[0].firsts, segments[0].blocks]
    for counter, (previous, segment) in enumerate(pairwise(segments), start=1):
        length = HEADER_BYTES + len(segment.blocks)
        parts += [_header(previous.finals, length, counter, HEADER_MARK, segment.firsts)]
        parts += [segment.blocks]
    count = struct.pack(">I", samples)
    parts += [_header(segments[-1].finals, 0, len(segments), CLOSING_MARK, count)]
    return b"".join(parts)


def _header(finals: bytes, length: int, counter: int, mark: bytes, firsts: bytes) -> bytes:
    """Return a segment header (``40 02``), 20 bytes."""
    head = struct.pack(">HH", 0, length) + struct.pack("<I", counter)
    return HEADER_TAG + finals + head + mark + firsts
