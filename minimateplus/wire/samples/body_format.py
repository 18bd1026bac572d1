"""The constants of an event body that the decoder and the encoder share."""

from __future__ import annotations

__all__ = [
    "BYTES",
    "CLOSING_MARK",
    "GROUP_DELTAS",
    "HEADER_BYTES",
    "HEADER_MARK",
    "HEADER_TAG",
    "INT16_LIMITS",
    "MAX_DELTAS",
    "NIBBLES",
    "OUTSIDE_BLOCKS",
    "PREAMBLE",
    "PREAMBLE_BYTES",
    "SEGMENT_SAMPLES",
    "TAG_BYTES",
    "TWELVE",
    "ZEROS",
    "padded",
    "round_count",
]

SEGMENT_SAMPLES = 512
"""Samples of one channel in a full segment [C]."""

PREAMBLE = bytes.fromhex("000200")
"""The first bytes of every body, before Tran's first two samples [C]."""

HEADER_TAG = bytes.fromhex("4002")
HEADER_MARK = bytes.fromhex("0200")
"""Bytes 12..13 after the tag: a ``40 02`` without them is not a segment header [C]."""

CLOSING_MARK = bytes.fromhex("0000")
"""The same two bytes in our closing tag: anything but ``HEADER_MARK`` [U]."""

PREAMBLE_BYTES = 7
HEADER_BYTES = 20
TAG_BYTES = 2
OUTSIDE_BLOCKS = 4
"""Samples of a segment that are stored outside its blocks: the first two, the last two [C]."""
MAX_DELTAS = SEGMENT_SAMPLES - OUTSIDE_BLOCKS
GROUP_DELTAS = 4
"""Every block contains whole groups of four deltas [C]."""

ZEROS, NIBBLES, BYTES, TWELVE = range(4)
"""The block types: the high nibble of a tag."""

INT16_LIMITS = (-32768, 32767)


def round_count(samples: int) -> int:
    """Return how many rounds ``samples`` per channel take; the last may be partial."""
    return -(-samples // SEGMENT_SAMPLES)


def padded(samples: int) -> int:
    """Return the samples per channel that a body contains when ``samples`` were recorded."""
    return max(OUTSIDE_BLOCKS, -(-samples // GROUP_DELTAS) * GROUP_DELTAS)
