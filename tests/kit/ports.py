"""
Ports for programs that cannot take port 0, and for addresses where nobody may listen.

The rule: a port is given out once in a run, and lies below those that the system gives to sockets
bound to port 0. So a port that one test has released is never met by another.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

__all__ = ["FIRST_PORT", "PORTS_PER_WORKER", "ports_of", "reserve_port"]

FIRST_PORT = 20_000
PORTS_PER_WORKER = 500
"""Each process of a parallel run has numbers of its own."""


def ports_of(worker: str) -> Iterator[int]:
    """Return the numbers that one process of the test run may give out, by the process's name."""
    number = int("".join(filter(str.isdigit, worker)) or 0)
    first = FIRST_PORT + number * PORTS_PER_WORKER
    return iter(range(first, first + PORTS_PER_WORKER))


_ports = ports_of(os.environ.get("PYTEST_XDIST_WORKER", ""))


def reserve_port() -> int:
    """
    Return a port on which nobody listens, and that nobody else in this run is given.

    Raises:
        RuntimeError: every number of this process has been given out.
    """
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # another program of this machine uses it
        return port
    raise RuntimeError(f"all {PORTS_PER_WORKER} ports of this process were given out")
