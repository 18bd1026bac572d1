"""
Bad roads, as classes: each wraps the unit's end of a link and is a link itself.

One end-to-end test drives all of them. A road never decides by itself when something happens: time
comes from the running loop, chance from the generator that it is given.
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
"""What a cellular modem says to its caller before the first bytes of the unit. [C]"""
BOOT_TEXT = b"Operating System"
"""What a unit says when it wakes up. [C]"""

LinkFactory = Callable[[Link], Link]
"""Makes a road out of the unit's end of a link."""


class FaultyLink:
    """Changes nothing; the others change one thing each."""

    def __init__(self, inner: Link) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """The name of the link underneath."""
        return self.inner.name

    async def send(self, data: bytes) -> None:
        """Hand ``data`` on; see ``Link.send``."""
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
        """Hand ``data`` on byte by byte."""
        for value in data:
            await super().send(bytes((value,)))


class LateLink(FaultyLink):
    """Holds every chunk back, as a modem that waits for more to forward does [C: up to 1 s]."""

    def __init__(self, inner: Link, delay_s: float = 1.0) -> None:
        super().__init__(inner)
        self.delay_s = delay_s

    async def send(self, data: bytes) -> None:
        """Hand ``data`` on after the delay."""
        await asyncio.sleep(self.delay_s)
        await super().send(data)


class LossyLink(FaultyLink):
    """Loses single bytes on the way to the host."""

    def __init__(self, inner: Link, rng: random.Random, share: float = 0.002) -> None:
        super().__init__(inner)
        self.rng = rng
        self.share = share

    async def send(self, data: bytes) -> None:
        """Hand on what is not lost."""
        await super().send(bytes(b for b in data if self.rng.random() >= self.share))


class CorruptingLink(FaultyLink):
    """
    Flips single bits on the way to the host.

    One flip in a frame is sure to be seen; two may cancel out in the frame's 8-bit sum.
    """

    def __init__(self, inner: Link, rng: random.Random, share: float = 0.002) -> None:
        super().__init__(inner)
        self.rng = rng
        self.share = share

    async def send(self, data: bytes) -> None:
        """Hand ``data`` on with a few bits flipped."""
        flipped = (
            b ^ (1 << self.rng.randrange(8)) if self.rng.random() < self.share else b for b in data
        )
        await super().send(bytes(flipped))


class CutLink(FaultyLink):
    """Is cut after so many bytes to the host, in the middle of whatever they are."""

    def __init__(self, inner: Link, after_bytes: int) -> None:
        super().__init__(inner)
        self.left = after_bytes

    async def send(self, data: bytes) -> None:
        """Hand on what still passes, then end the road."""
        await super().send(data[: self.left])
        self.left -= len(data)
        if self.left < 0:
            await self.close()
            raise LinkClosedError(f"{self.name}: the road was cut")


class StalledLink(FaultyLink):
    """Passes so many bytes to the host and then nothing, without ending: a half-open link."""

    def __init__(self, inner: Link, after_bytes: int) -> None:
        super().__init__(inner)
        self.left = after_bytes

    async def send(self, data: bytes) -> None:
        """Hand on what still passes; the rest is gone."""
        await super().send(data[: max(0, self.left)])
        self.left -= len(data)


class ModemTextLink(FaultyLink):
    """A modem says RING and CONNECT to the caller before anything of the unit."""

    def __init__(self, inner: Link, text: bytes = RING_CONNECT) -> None:
        super().__init__(inner)
        self._text = text

    async def receive(self) -> bytes:
        """Speak first, once; then hand on."""
        if self._text:
            text, self._text = self._text, b""
            await super().send(text)
        return await super().receive()


class ColdLink(FaultyLink):
    """The unit was asleep: it swallows the first request, and boots with its text."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self._asleep = True

    async def receive(self) -> bytes:
        """Lose the first chunk and say the boot text; then hand on."""
        if self._asleep:
            await super().receive()
            self._asleep = False
            await super().send(BOOT_TEXT)
        return await super().receive()


class StrayAckLink(FaultyLink):
    """A stray 41 stands before every frame of the unit. [C: often seen]"""

    async def send(self, data: bytes) -> None:
        """Hand ``data`` on behind a 41."""
        await super().send(b"\x41" + data)
