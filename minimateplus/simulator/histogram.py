"""
Histogram bodies: the one format whose blocks are captured (wire notebook, histogram body) [C].

A block of 32 bytes for each interval: the largest magnitude of each channel in one byte, and half
a period. Others exist and are not fully known; the client reads no samples from any.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOCKS_A_SEGMENT",
    "HALF_PERIODS",
    "INTERVALS",
    "REMNANT",
    "histogram_body",
    "histogram_of",
]

INTERVALS = 60
"""Intervals of one simulated histogram; ours."""
BLOCKS_A_SEGMENT = 256
HALF_PERIODS = (40, 30, 25, 9)
"""Samples of half a period of each channel; ours."""
REMNANT = bytes(9)
"""After the blocks 1 or 9 bytes remain [C]; their content is unknown."""


def histogram_of(counts: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the largest magnitude of each channel in each interval, shape (4, n)."""
    intervals = np.array_split(np.abs(counts.astype(np.int32)), min(INTERVALS, counts.shape[1]), 1)
    largest = [np.minimum(part.max(axis=1), 255) for part in intervals]
    return np.stack(largest, axis=1).astype(np.int16)


def histogram_body(peaks: NDArray[np.int16]) -> bytes:
    """Return the blocks of a histogram: ``peaks`` is of shape (4, n), each 0 to 255 counts."""
    blocks = []
    for number, interval in enumerate(peaks.T.tolist()):
        block = struct.pack("<BBH", 0, number // BLOCKS_A_SEGMENT, number) + b"\x0a\x00"
        for peak, half_period in zip(interval, HALF_PERIODS, strict=True):
            block += struct.pack("<BBH", peak, 0, half_period)
        blocks.append(block + bytes(6) + b"\x1e\x0a\x00\x00")
    return b"".join(blocks) + REMNANT
