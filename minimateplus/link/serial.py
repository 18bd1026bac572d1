"""Serial ports, and RFC 2217 servers, through serialx: 8 data bits, no parity, 1 stop bit."""

from __future__ import annotations

import asyncio

import serialx

from minimateplus.errors import ConnectError, ConnectTimeoutError
from minimateplus.link.address import Address
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.stream import FOREIGN_ERRORS, StreamLink


async def open_serial(address: Address, deadlines: Deadlines) -> StreamLink:
    """
    Return an open link over a serial port or an ``rfc2217://`` address.

    Raises:
        ConnectTimeoutError: the port did not open within ``deadlines.connect_s``.
        ConnectError: no such port, no permission, or another program holds it.
    """
    try:
        async with asyncio.timeout(deadlines.connect_s):
            reader, writer = await serialx.open_serial_connection(
                url=address.target, baudrate=address.number
            )
    except TimeoutError as error:
        raise ConnectTimeoutError(
            f"{address}: the port did not open within {deadlines.connect_s:g} s"
        ) from error
    except (ValueError, *FOREIGN_ERRORS) as error:
        raise ConnectError(
            f"{address}: {error}; is the port right, free, and yours to open?"
        ) from error
    return StreamLink(str(address), reader, writer)
