"""TCP: a cellular modem, a serial server, or a simulated unit."""

from __future__ import annotations

import asyncio
import socket

from minimateplus.errors import ConnectError, ConnectTimeoutError
from minimateplus.link.address import Address
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.diagnosis import SIGNATURES, diagnose_connect_error
from minimateplus.link.stream import FOREIGN_ERRORS, StreamLink

__all__ = [
    "KEEPALIVE_EVERY_S",
    "KEEPALIVE_IDLE_S",
    "KEEPALIVE_PROBES",
    "notice_half_open",
    "open_tcp",
]

KEEPALIVE_IDLE_S = 10
KEEPALIVE_EVERY_S = 5
KEEPALIVE_PROBES = 3
"""A half-open link (modem lost power) is known dead after about 25 s of silence."""


async def open_tcp(address: Address, deadlines: Deadlines) -> StreamLink:
    """
    Return an open link to ``address``.

    Raises:
        ConnectTimeoutError: no connection within ``deadlines.connect_s``.
        ConnectError: refused, unreachable, or a host name that does not resolve.
    """
    try:
        async with asyncio.timeout(deadlines.connect_s):
            reader, writer = await asyncio.open_connection(address.target, address.number)
    except TimeoutError as error:
        if error.errno is not None:  # the system's own, before ours
            raise _refusal(address, error) from error
        found = SIGNATURES["timed-out"]
        refusal = ConnectTimeoutError(
            f"{address}: no answer within {deadlines.connect_s:g} s. {found.advice}"
        )
        refusal.diagnosis = found.name
        raise refusal from error
    except (UnicodeError, *FOREIGN_ERRORS) as error:
        raise _refusal(address, error) from error
    try:
        notice_half_open(writer)
    except OSError as error:
        # The far end was gone before the socket could be set up.
        writer.transport.abort()
        raise _refusal(address, error) from error
    return StreamLink(str(address), reader, writer)


def _refusal(address: Address, error: Exception) -> ConnectError:
    """Return the error for a failed connection, with its cause and what to do next."""
    if (found := diagnose_connect_error(error)) is None:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ConnectError(f"{address}: {reason}")
    class_ = ConnectTimeoutError if found.name == "timed-out" else ConnectError
    refusal = class_(f"{address}: {found}")
    refusal.diagnosis = found.name
    return refusal


def notice_half_open(writer: asyncio.StreamWriter) -> None:
    """Enable TCP keepalive, so that a far end that disappeared is noticed."""
    sock = writer.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
