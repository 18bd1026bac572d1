"""
Content codings: which ones a reader takes, and JSON that is compressed once for all its readers.

The rule: what two readers share is compressed once; what differs between them (an answer's
provenance) is appended uncompressed. A gzip member (RFC 1952) is a deflate stream between a header
and a checksum; a deflate stream may end in a stored block (RFC 1951, 3.2.4). So the shared part is
compressed up to a flush, and each reader's own part costs one checksum over its few bytes.

Compressed answers contain no secrets beside text that somebody else may have chosen: ``/session``,
which returns one, is never compressed.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["MIN_BYTES", "OpenGzip", "compressed", "takes"]

MIN_BYTES = 1024
"""A smaller body gains less than its reader's time is worth."""
LEVEL = 6
FAST_LEVEL = 1
FAST_FROM_BYTES = 256_000
"""A larger body is compressed less, so that it does not hold the event loop: 1.25 MB take 5 ms
instead of 20 (`benchmarks/bench_http.py`)."""
MAX_STORED_BYTES = 65_535
"""What one stored block can have (RFC 1951, 3.2.4)."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, unknown system (RFC 1952, 2.3)."""


@dataclass(frozen=True, slots=True)
class OpenGzip:
    """The beginning of a gzip member, whose end is another for each reader."""

    beginning: bytes
    crc: int
    """Of the uncompressed beginning."""
    size_bytes: int
    """Of the uncompressed beginning."""

    @classmethod
    def of(cls, beginning: bytes) -> OpenGzip:
        """Compress what all readers share."""
        packer = zlib.compressobj(_level_for(beginning), zlib.DEFLATED, -zlib.MAX_WBITS)
        # The flush ends on a byte, so that a stored block may follow.
        packed = packer.compress(beginning) + packer.flush(zlib.Z_SYNC_FLUSH)
        return cls(_HEADER + packed, zlib.crc32(beginning), len(beginning))

    def closed(self, end: bytes) -> bytes:
        """Return the whole member, with ``end`` behind the shared beginning."""
        blocks = [self.beginning]
        for at in range(0, len(end) or 1, MAX_STORED_BYTES):
            part = end[at : at + MAX_STORED_BYTES]
            is_last = at + MAX_STORED_BYTES >= len(end)
            blocks.append(struct.pack("<BHH", is_last, len(part), len(part) ^ 0xFFFF))
            blocks.append(part)
        size = (self.size_bytes + len(end)) & 0xFFFFFFFF
        blocks.append(struct.pack("<II", zlib.crc32(end, self.crc), size))
        return b"".join(blocks)


def compressed(body: bytes) -> bytes:
    """Return a whole body as one gzip member; equal bodies give equal bytes."""
    return gzip.compress(body, _level_for(body), mtime=0)


def _level_for(body: bytes) -> int:
    return LEVEL if len(body) < FAST_FROM_BYTES else FAST_LEVEL


@lru_cache(maxsize=256)
def takes(coding: str, accept_encoding: str) -> bool:
    """
    Return whether an ``Accept-Encoding`` takes a coding (RFC 9110, 12.5.3).

    Cached, since few browsers ask in many ways. A weight that cannot be read takes nothing.

    >>> takes("gzip", "br, gzip;q=0.5"), takes("zstd", "*, zstd;q=0"), takes("gzip", "")
    (True, False, False)
    """
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weights[name] = weight
    return weights.get(coding, weights.get("*", 0.0)) > 0
