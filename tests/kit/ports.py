"""
Ports for programs that cannot take port 0, and for addresses where nobody may listen.

The rule: a port is given out once, and lies below those that the system gives to sockets bound to
port 0. So a port that one test has released is never met by another, not even by one of another
test run on this machine: each process claims a block of ports by holding the first of it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

__all__ = ["BLOCK", "FIRST_PORT", "LAST_PORT", "Ports", "reserve_port"]

FIRST_PORT, LAST_PORT = 20_000, 31_999
BLOCK = 200
"""Ports that a process claims at a time."""


class Ports:
    """The ports of one process. What it has claimed is free again when it ends."""

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []
        self._ports: Iterator[int] = iter(())

    def reserve(self) -> int:
        """
        Return a port on which nobody listens, and that nobody else is given.

        Raises:
            RuntimeError: all blocks are claimed.
        """
        while True:
            for port in self._ports:
                if _bound(port, reuse=True) is not None:
                    return port
            first = self._claim()
            self._ports = iter(range(first + 1, first + BLOCK))

    def _claim(self) -> int:
        for first in range(FIRST_PORT, LAST_PORT, BLOCK):
            claim = _bound(first, reuse=False)
            if claim is not None:
                self._claims.append(claim)
                return first
        raise RuntimeError(f"the ports {FIRST_PORT} to {LAST_PORT} are claimed by test runs")

    def close(self) -> None:
        """Let others claim what this one has."""
        for claim in self._claims:
            claim.close()


def _bound(port: int, *, reuse: bool) -> socket.socket | None:
    """Return a socket bound to a port; ``None``: another program uses it."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        return None
    if reuse:
        bound.close()
    return bound


_PORTS = Ports()


def reserve_port() -> int:
    """Return a port as ``Ports.reserve`` does, of this process."""
    return _PORTS.reserve()
