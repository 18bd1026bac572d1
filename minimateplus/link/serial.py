"""Serial ports, and RFC 2217 servers, through serialx: 8 data bits, no parity, 1 stop bit."""

from __future__ import annotations

import asyncio
import os

import serialx

from minimateplus.errors import ConnectError, ConnectTimeoutError
from minimateplus.link.address import Address
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.diagnosis import SIGNATURES, diagnose_port_error
from minimateplus.link.stream import FOREIGN_ERRORS, StreamLink

__all__ = [
    "SerialLink",
    "open_serial",
]

_open_here: dict[str, str] = {}
"""The serial ports that this process has open: device file, and the address used to open it."""


class SerialLink(StreamLink):
    """A stream over a serial port; unregisters the port when it closes."""

    device: str | None = None

    async def close(self) -> None:
        """Close the port; see ``Link.close``."""
        try:
            await super().close()
        finally:
            if self.device is not None:
                _open_here.pop(self.device, None)
                self.device = None


async def open_serial(address: Address, deadlines: Deadlines) -> StreamLink:
    """
    Return an open link over a serial port or an ``rfc2217://`` address.

    Raises:
        ConnectTimeoutError: the port did not open within ``deadlines.connect_s``.
        ConnectError: no such port, no permission, or another program has it open.
    """
    device = _device_of(address.target)
    try:
        async with asyncio.timeout(deadlines.connect_s):
            reader, writer = await serialx.open_serial_connection(
                url=address.target, baudrate=address.number
            )
    except TimeoutError as error:
        within = f"within {deadlines.connect_s:g} s"
        if device is None:
            message = (
                f"{address}: the server did not acknowledge the settings of its port (RFC 2217) "
                f"{within}; if its port is set to {address.number} baud, 8N1 already, use "
                f"{address.target.replace('rfc2217', 'telnet', 1)}, which asks for no settings"
            )
        else:
            message = f"{address}: the port did not open {within}"
        raise ConnectTimeoutError(message) from error
    except (ValueError, *FOREIGN_ERRORS) as error:
        raise _refusal(address, device, error) from error
    link = SerialLink(str(address), reader, writer)
    if device is not None:
        link.device = device
        _open_here[device] = str(address)
    return link


def _device_of(target: str) -> str | None:
    """Return the device file of a port, links resolved; ``None`` for a server's port."""
    return None if "://" in target else os.path.realpath(target)


def _refusal(address: Address, device: str | None, error: Exception) -> ConnectError:
    """Return the error for a port that did not open, with its cause and what to do next."""
    found = diagnose_port_error(error)
    if found is not None and found.name == "port-held-elsewhere" and device in _open_here:
        found = SIGNATURES["port-held-here"]
        message = f"{address}: {found.sentence} ({_open_here[device]}). {found.advice}."
    elif found is not None:
        message = f"{address}: {found}"
    else:
        message = f"{address}: {error}; is the port right, free, and yours to open?"
    refusal = ConnectError(message)
    refusal.diagnosis = None if found is None else found.name
    return refusal
