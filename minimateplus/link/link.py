"""The interface of every link."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = [
    "Link",
]


@runtime_checkable
class Link(Protocol):
    """A two-way stream of bytes that it does not interpret."""

    @property
    def name(self) -> str:
        """The address as a person would write it, for messages and captures."""

    async def send(self, data: bytes) -> None:
        """
        Send all of ``data``.

        Raises:
            LinkClosedError: the link has ended.
        """

    async def receive(self) -> bytes:
        """
        Return the next chunk, at least one byte, as the link delivers it.

        Cancelling loses no byte: the next call returns what was not returned.

        Raises:
            LinkClosedError: the link has ended.
        """

    async def close(self) -> None:
        """End the link. Never fails, and may be called twice."""
