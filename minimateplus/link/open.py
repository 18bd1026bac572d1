"""Open a link from an address; the only module that maps addresses to link types."""

from __future__ import annotations

from minimateplus.errors import ConnectError
from minimateplus.link.address import Address, parse_address
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.link import Link

__all__ = [
    "open_link",
]


async def open_link(address: str | Address, deadlines: Deadlines | None = None) -> Link:
    """
    Return an open link to ``address``.

    Raises:
        ConnectError: it could not be opened, or the text names no address.
    """
    if isinstance(address, str):
        try:
            address = parse_address(address)
        except ValueError as error:
            raise ConnectError(str(error)) from error
    deadlines = deadlines or Deadlines()
    # Each is imported where it is needed: an address can be read without serialx and asyncio.
    if address.kind == "tcp":
        from minimateplus.link.tcp import open_tcp

        return await open_tcp(address, deadlines)
    if address.kind == "replay":
        from minimateplus.link.capture import open_replay

        return open_replay(address.target)
    if address.target.lower().startswith("telnet://"):
        from minimateplus.link.telnet import open_telnet

        return await open_telnet(address, deadlines)
    from minimateplus.link.serial import open_serial

    return await open_serial(address, deadlines)
