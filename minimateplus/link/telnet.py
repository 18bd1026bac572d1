"""
Telnet (RFC 854): a serial server whose port doubles FF, without asking it for port settings.

The rule: the data is what the server's serial port sends, byte for byte. FF arrives doubled and is
sent doubled; binary transmission (RFC 856) is offered and accepted, so that no side adds a 00 after
a 0D; every other option is declined. The port's speed is the server's own setting: for servers that
do not acknowledge the settings of RFC 2217, such as ser2net over a pseudo-terminal.
"""

from __future__ import annotations

import re

from minimateplus.link.address import Address, split_host_port
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.link import Link
from minimateplus.link.tcp import open_tcp

__all__ = [
    "BINARY",
    "IAC",
    "MAX_NEGOTIATION_BYTES",
    "TelnetDecoder",
    "TelnetLink",
    "open_telnet",
]

IAC = 0xFF
_SE, _SB, _WILL, _WONT, _DO, _DONT = 0xF0, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE
BINARY = 0

MAX_NEGOTIATION_BYTES = 4096
"""Bytes that look like a sub-negotiation and are longer than this are taken for data."""

_TOKEN = re.compile(
    rb"(?P<data>[^\xff]+)"
    rb"|\xff(?:(?P<ff>\xff)|(?P<verb>[\xfb-\xfe])(?P<option>.)"
    rb"|\xfa(?:[^\xff]|\xff\xff)*+\xff\xf0|(?P<word>[\xf0-\xf9]))",
    re.DOTALL,
)


class TelnetDecoder:
    """
    Separates a Telnet server's data from its negotiation, and answers the latter. Pure.

    >>> decoder = TelnetDecoder()
    >>> decoder.feed(bytes.fromhex("fffd00 10ffff02"))
    (b'\\x10\\xff\\x02', b'\\xff\\xfb\\x00')
    """

    def __init__(self) -> None:
        self._pending = b""
        self._agreed: set[bytes] = set()
        """Answers already sent: each is sent once, so that negotiation ends."""

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return the data that ``chunk`` completes, and the bytes to answer."""
        self._pending += chunk
        data, answer, at = bytearray(), bytearray(), 0
        while match := _TOKEN.match(self._pending, at):
            at = match.end()
            data += match["data"] or match["ff"] or b""
            if match["verb"] is not None:
                answer += self._answer(match["verb"][0], match["option"])
        self._pending = self._pending[at:]
        if len(self._pending) > MAX_NEGOTIATION_BYTES or re.match(
            rb"\xff[\x00-\xef]", self._pending
        ):
            # No Telnet command begins like this: the far end does not double FF.
            data += self._pending
            self._pending = b""
        return bytes(data), bytes(answer)

    def _answer(self, verb: int, option: bytes) -> bytes:
        if verb in (_WONT, _DONT):
            return b""
        is_binary = option[0] == BINARY
        reply = (_DO if is_binary else _DONT) if verb == _WILL else (_WILL if is_binary else _WONT)
        answer = bytes((IAC, reply)) + option
        if answer in self._agreed:
            return b""
        self._agreed.add(answer)
        return answer


class TelnetLink:
    """Telnet over another link; closes that link."""

    def __init__(self, inner: Link, name: str) -> None:
        self._inner = inner
        self._name = name
        self._decoder = TelnetDecoder()

    @property
    def name(self) -> str:
        """The address that was opened."""
        return self._name

    async def send(self, data: bytes) -> None:
        """Send ``data`` with every FF doubled; see ``Link.send``."""
        await self._inner.send(data.replace(b"\xff", b"\xff\xff"))

    async def receive(self) -> bytes:
        """Return the next data of the serial port; see ``Link.receive``."""
        while True:
            data, answer = self._decoder.feed(await self._inner.receive())
            if answer:
                await self._inner.send(answer)
            if data:
                return data

    async def close(self) -> None:
        """Close the link underneath."""
        await self._inner.close()


async def open_telnet(address: Address, deadlines: Deadlines) -> TelnetLink:
    """
    Return an open link to the Telnet port of a serial server; errors as with ``open_tcp``.

    Does not wait: a server negotiates alongside the data.
    """
    host, port = split_host_port(address.target.partition("://")[2].rstrip("/"))
    inner = await open_tcp(Address("tcp", host, port), deadlines)
    try:
        # Offer binary transmission in both directions: many servers wait for the client to begin.
        await inner.send(bytes((IAC, _WILL, BINARY, IAC, _DO, BINARY)))
    except BaseException:
        await inner.close()
        raise
    return TelnetLink(inner, str(address))
