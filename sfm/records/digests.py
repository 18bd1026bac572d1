"""The digest that names a content: in the archive, in exports and in reports alike."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["digest", "has_digest"]


def digest(data: bytes) -> bytes:
    """Return the BLAKE2b digest that names a content here: 32 bytes."""
    return blake2b(data, digest_size=32).digest()


def has_digest(data: object, wanted: object) -> bool:
    """Whether stored bytes, if they are bytes at all, match their digest."""
    if not (isinstance(data, bytes | memoryview) and isinstance(wanted, bytes | memoryview)):
        return False
    return digest(bytes(data)) == bytes(wanted)
