"""Two connected links within one process."""

from __future__ import annotations

import asyncio

from minimateplus.errors import LinkClosedError

__all__ = [
    "MemoryLink",
    "memory_pair",
]

_END = b""


class MemoryLink:
    """One end of a pair made by ``memory_pair``. Chunks arrive as they were sent."""

    def __init__(
        self, name: str, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]
    ) -> None:
        self._name = name
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False

    @property
    def name(self) -> str:
        """The name given to the pair."""
        return self._name

    async def send(self, data: bytes) -> None:
        """Send ``data`` to the other end; see ``Link.send``."""
        if self._closed:
            raise LinkClosedError(f"{self._name}: the link is closed")
        if data:
            self._outgoing.put_nowait(data)

    async def receive(self) -> bytes:
        """Return the next chunk; see ``Link.receive``."""
        if self._closed:
            raise LinkClosedError(f"{self._name}: the link is closed")
        chunk = await self._incoming.get()
        if chunk == _END:
            self._closed = True
            raise LinkClosedError(f"{self._name}: the far end closed the link")
        return chunk

    async def close(self) -> None:
        """End both links; data already sent to the other end still arrives."""
        if self._closed:
            return
        self._closed = True
        self._outgoing.put_nowait(_END)
        self._incoming.put_nowait(_END)


def memory_pair(name: str = "memory") -> tuple[MemoryLink, MemoryLink]:
    """Return two new links: what one sends, the other receives."""
    there: asyncio.Queue[bytes] = asyncio.Queue()
    back: asyncio.Queue[bytes] = asyncio.Queue()
    return MemoryLink(name, back, there), MemoryLink(name, there, back)
