"""The C library's heap, kept from holding on to memory that the relay has freed."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["MMAP_THRESHOLD_BYTES", "return_large_blocks_at_once"]

M_MMAP_THRESHOLD = -3
"""glibc's name for the block size from which each block is a mapping of its own (mallopt(3))."""
MMAP_THRESHOLD_BYTES = 128 * 1024
"""glibc's own value at start, before it raises it by what a program frees."""


def return_large_blocks_at_once() -> bool:
    """
    Fix the size from which a freed block goes back to the operating system at once.

    glibc raises that size to the largest block freed so far, up to 32 MiB. Encoded waveforms of
    some hundred kilobytes then stay in its arenas, between smaller blocks, after they are freed:
    a relay with a budget of 64 MiB was seen to take 83.5 MiB, and 66.5 MiB with the size fixed.

    Returns:
        Whether it was fixed: not on systems without glibc, whose heaps have no such rule.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES))
