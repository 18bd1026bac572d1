"""A link over an asyncio stream pair: what TCP and serial have in common."""

from __future__ import annotations

import asyncio
import contextlib

import serialx

from minimateplus.errors import LinkClosedError

__all__ = [
    "CHUNK_BYTES",
    "CLOSE_S",
    "FOREIGN_ERRORS",
    "StreamLink",
]

FOREIGN_ERRORS = (OSError, EOFError, serialx.SerialException)
"""Exceptions of a broken stream (``TimeoutError`` is an ``OSError``); translated here."""

CHUNK_BYTES = 4096
CLOSE_S = 1.0
"""How long an orderly close may take before the connection is aborted."""


class StreamLink:
    """Owns a reader and a writer of asyncio streams; closes both."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._closed = False

    @property
    def name(self) -> str:
        """The address that was opened."""
        return self._name

    async def send(self, data: bytes) -> None:
        """Write all of ``data``; see ``Link.send``."""
        if self._writer.is_closing():
            raise LinkClosedError(f"{self._name}: the link is closed")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except FOREIGN_ERRORS as error:
            raise LinkClosedError(f"{self._name}: the link broke while sending: {error}") from error

    async def receive(self) -> bytes:
        """Return the next chunk; see ``Link.receive``."""
        try:
            chunk = await self._reader.read(CHUNK_BYTES)
        except FOREIGN_ERRORS as error:
            raise LinkClosedError(f"{self._name}: the link broke: {error}") from error
        if not chunk:
            raise LinkClosedError(f"{self._name}: the far end closed the link")
        return chunk

    async def close(self) -> None:
        """Close both directions in an orderly way; abort after ``CLOSE_S``."""
        if self._closed:
            return
        self._closed = True
        try:
            self._writer.close()
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except FOREIGN_ERRORS:
            self._abort()
        except asyncio.CancelledError:
            self._abort()
            raise

    def _abort(self) -> None:
        with contextlib.suppress(*FOREIGN_ERRORS):
            self._writer.transport.abort()
