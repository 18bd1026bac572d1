"""What every link can do, and no more."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = [
    "Link",
]


@runtime_checkable
class Link(Protocol):
    """A two-way road for opaque bytes."""

    @property
    def name(self) -> str:
        """The address as a person would write it, for messages and captures."""

    async def send(self, data: bytes) -> None:
        """
        Hand ``data`` to the road.

        Raises:
            LinkClosedError: the road has ended.
        """

    async def receive(self) -> bytes:
        """
        Return the next chunk, at least one byte, as the road cut it.

        Cancelling loses no byte: what had not been returned comes with the next call.

        Raises:
            LinkClosedError: the road has ended.
        """

    async def close(self) -> None:
        """End the road. Never fails, and may be called twice."""
