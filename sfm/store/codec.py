"""
Samples at rest: counts as one zstd frame, with a hash of what is inside.

``CODEC`` names the form: int16, little-endian, channel after channel (Tran, Vert, Long, MicL), in
one zstd frame (RFC 8878). It is also what goes out over HTTP under ``Content-Encoding: zstd``.
"""

from __future__ import annotations

import sys

from sfm.records.digests import digest
from sfm.store.errors import DamagedRecordError

__all__ = ["CODEC", "MAX_BYTES", "pack", "unpack"]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODEC = "int16le-channel-major+zstd"
LEVEL = 3
"""More costs several times the time for a few per cent (benchmarks, "size at rest")."""
MAX_BYTES = 64 << 20
"""No frame of ours unpacks to more: the longest event of the instrument has under 3 MB."""


def pack(counts: bytes) -> bytes:
    """Return counts as one frame."""
    return zstd.compress(counts, LEVEL)


def unpack(frame: object, counts_hash: bytes, what: str) -> bytes:
    """
    Return a frame's counts; the frame may be any stored value.

    Raises:
        DamagedRecordError: the frame cannot be read, or its content is not what was stored.
    """
    if not isinstance(frame, bytes | memoryview):
        raise DamagedRecordError(f"{what}: the stored samples do not match their hash")
    try:
        unpacker = zstd.ZstdDecompressor()
        counts = unpacker.decompress(frame, MAX_BYTES)
    except zstd.ZstdError as error:
        raise DamagedRecordError(
            f"{what}: the stored samples cannot be unpacked: {error}"
        ) from None
    if not unpacker.eof or unpacker.unused_data or digest(counts) != counts_hash:
        raise DamagedRecordError(f"{what}: the stored samples do not match their hash")
    return counts
