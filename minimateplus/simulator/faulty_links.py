"""
Faulty links: each class wraps the unit's end of a link, adds one fault, and is a link itself.

One end-to-end test uses all of them. They are deterministic: time comes from the running event
loop, randomness from the generator passed in.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from minimateplus.errors import LinkClosedError
from minimateplus.link import Link

__all__ = [
    "BOOT_TEXT",
    "RING_CONNECT",
    "ColdLink",
    "CorruptingLink",
    "CutLink",
    "FaultyLink",
    "LateLink",
    "LinkFactory",
    "LossyLink",
    "ModemTextLink",
    "OneByteLink",
    "StalledLink",
    "StrayAckLink",
]

RING_CONNECT = b"\r\nRING\r\n\r\nCONNECT\r\n"
"""What a cellular modem sends to its client before the first bytes of the unit. [C]"""
BOOT_TEXT = b"Operating System"
"""What a unit sends when it wakes up. [C]"""

LinkFactory = Callable[[Link], Link]
"""Wraps the unit's end of a link."""


class FaultyLink:
    """Passes everything unchanged; each subclass adds one fault."""

    def __init__(self, inner: Link) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """The name of the link underneath."""
        return self.inner.name

    async def send(self, data: bytes) -> None:
        """Pass ``data`` on; see ``Link.send``."""
        await self.inner.send(data)

    async def receive(self) -> bytes:
        """Return the next chunk; see ``Link.receive``."""
        return await self.inner.receive()

    async def close(self) -> None:
        """Close the link underneath."""
        await self.inner.close()


class OneByteLink(FaultyLink):
    """Delivers every byte in a chunk of its own."""

    async def send(self, data: bytes) -> None:
        """Pass ``data`` on byte by byte."""
        for value in data:
            await super().send(bytes((value,)))


class LateLink(FaultyLink):
    """Delays every chunk, as a modem does that waits for more to forward [C: up to 1 s]."""

    def __init__(self, inner: Link, delay_s: float = 1.0) -> None:
        super().__init__(inner)
        self.delay_s = delay_s

    async def send(self, data: bytes) -> None:
        """Pass ``data`` on after the delay."""
        await asyncio.sleep(self.delay_s)
        await super().send(data)


class LossyLink(FaultyLink):
    """Loses single bytes on the way to the host."""

    def __init__(self, inner: Link, rng: random.Random, share: float = 0.002) -> None:
        super().__init__(inner)
        self.rng = rng
        self.share = share

    async def send(self, data: bytes) -> None:
        """Pass on the bytes that are not lost."""
        await super().send(bytes(b for b in data if self.rng.random() >= self.share))


class CorruptingLink(FaultyLink):
    """
    Flips single bits on the way to the host.

    One flip in a frame is always detected; two may cancel out in the frame's 8-bit sum.
    """

    def __init__(self, inner: Link, rng: random.Random, share: float = 0.002) -> None:
        super().__init__(inner)
        self.rng = rng
        self.share = share

    async def send(self, data: bytes) -> None:
        """Pass ``data`` on with a few bits flipped."""
        flipped = (
            b ^ (1 << self.rng.randrange(8)) if self.rng.random() < self.share else b for b in data
        )
        await super().send(bytes(flipped))


class CutLink(FaultyLink):
    """Breaks after ``after_bytes`` bytes to the host, also in the middle of a frame."""

    def __init__(self, inner: Link, after_bytes: int) -> None:
        super().__init__(inner)
        self.left = after_bytes

    async def send(self, data: bytes) -> None:
        """Pass on the remaining bytes, then end the link."""
        await super().send(data[: self.left])
        self.left -= len(data)
        if self.left < 0:
            await self.close()
            raise LinkClosedError(f"{self.name}: the link was cut")


class StalledLink(FaultyLink):
    """Passes ``after_bytes`` bytes to the host, then nothing, and stays open: a half-open link."""

    def __init__(self, inner: Link, after_bytes: int) -> None:
        super().__init__(inner)
        self.left = after_bytes

    async def send(self, data: bytes) -> None:
        """Pass on the remaining bytes; drop the rest."""
        await super().send(data[: max(0, self.left)])
        self.left -= len(data)


class ModemTextLink(FaultyLink):
    """A modem sends RING and CONNECT to the client before the unit's first bytes."""

    def __init__(self, inner: Link, text: bytes = RING_CONNECT) -> None:
        super().__init__(inner)
        self._text = text

    async def receive(self) -> bytes:
        """Send the modem's text once; then pass everything on."""
        if self._text:
            text, self._text = self._text, b""
            await super().send(text)
        return await super().receive()


class ColdLink(FaultyLink):
    """The unit was asleep: it loses the first request, and sends its boot text."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self._asleep = True

    async def receive(self) -> bytes:
        """Drop the first chunk and send the boot text; then pass everything on."""
        if self._asleep:
            await super().receive()
            self._asleep = False
            await super().send(BOOT_TEXT)
        return await super().receive()


class StrayAckLink(FaultyLink):
    """A stray 41 precedes every frame of the unit. [C: often seen]"""

    async def send(self, data: bytes) -> None:
        """Pass ``data`` on after a 41."""
        await super().send(b"\x41" + data)
