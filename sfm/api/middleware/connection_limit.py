"""
How many HTTP connections may be open at once, and which one makes room for a new one.

The rule: the process never runs out of file descriptors by its clients. At the limit the connection
that has been idle longest is closed; one that is being answered is not. So a thousand connections
that ask for nothing shut nobody out who asks. A connection is idle while the relay waits for its
client: for a request, or for the rest of one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

__all__ = ["QUEUE", "Connection", "ConnectionLimit", "accepted_at_once", "max_connections"]

MAX_CONNECTIONS = 10_000
"""However many descriptors there are: each connection costs some 20 KiB of memory."""
RESERVED = 128
"""Descriptors for everything else: the database, files, pipes, serial ports."""
ARRIVING = 128
"""Descriptors for connections that were accepted and that the limit has not seen yet."""
TURNS = 4
"""Turns of the event loop from a connection's arrival until the one it displaces is closed."""
QUEUE = 1024
"""Connections that the system keeps for us until they are accepted."""


def max_connections(descriptors: int | None, sessions: int) -> int:
    """
    Return how many connections leave room for all else.

    >>> max_connections(1024, 72), max_connections(256, 72), max_connections(None, 72)
    (696, 120, 10000)

    Args:
        descriptors: how many the process may have open; ``None``: no limit.
        sessions: with units, each of which has a descriptor.
    """
    if descriptors is None:
        return MAX_CONNECTIONS
    kept = min(RESERVED, descriptors // 8) + _arriving(descriptors) + sessions
    return max(16, min(MAX_CONNECTIONS, descriptors - kept))


def accepted_at_once(descriptors: int | None) -> int:
    """
    Return how many connections the event loop may accept in one turn.

    >>> accepted_at_once(1024), accepted_at_once(256)
    (32, 8)
    """
    return max(1, _arriving(descriptors) // TURNS)


def _arriving(descriptors: int | None) -> int:
    return ARRIVING if descriptors is None else min(ARRIVING, descriptors // 8)


class Connection(Protocol):
    """One HTTP connection, as the limit sees it."""

    @property
    def is_idle(self) -> bool:
        """Whether the relay waits for its client, and answers nothing."""

    @property
    def is_stalled(self) -> bool:
        """Whether its client does not take the answer."""

    def shed(self) -> None:
        """Close it at once."""


class ConnectionLimit:
    """
    The open connections of one server. Lives as long as the server; owns none of them.

    Args:
        most: how many may be open; ``None``: any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._open: OrderedDict[Connection, None] = OrderedDict()
        """The one that has been idle longest, or answered longest, stands first."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """Count a new connection; return False if there is no room and none can make any."""
        if self.is_full and not self._make_room():
            return False
        self._open[connection] = None
        return True

    @property
    def is_full(self) -> bool:
        """Whether a new connection closes another one."""
        return self._most is not None and len(self._open) >= self._most

    def answered(self, connection: Connection) -> None:
        """Note that a connection is idle from now on."""
        if connection in self._open:
            self._open.move_to_end(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)

    def _make_room(self) -> bool:
        oldest = next((one for one in self._open if one.is_idle), None)
        if oldest is None:
            oldest = next((one for one in self._open if one.is_stalled), None)
        if oldest is None:
            return False
        del self._open[oldest]
        oldest.shed()
        return True
