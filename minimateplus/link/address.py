"""Addresses of units, as people write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = [
    "DEFAULT_BAUD",
    "DEFAULT_TCP_PORT",
    "Address",
    "parse_address",
    "split_host_port",
]

DEFAULT_TCP_PORT = 12345
DEFAULT_BAUD = 38400

_DEVICE = re.compile(r"/dev/.|COM\d+$|(?:rfc2217|telnet)://.", re.IGNORECASE)
_SERVED = re.compile(r"(?:rfc2217|telnet):", re.IGNORECASE)
_SERVED_WITH_BAUD = re.compile(r"(?:rfc2217|telnet)://.*:\d+:\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where a unit is: ``tcp`` with host and port, ``serial`` with port and baud, or a ``replay``.

    Its text is one that ``parse_address`` reads back to the same address.
    """

    kind: str
    target: str
    number: int = 0
    """TCP port, or baud; 0 for a replay."""

    def __str__(self) -> str:
        if self.kind == "tcp":
            return f"tcp://{_bracketed(self.target)}:{self.number}"
        return f"{self.kind}:{self.target}" + (f":{self.number}" if self.number else "")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def split_host_port(text: str, default_port: int = DEFAULT_TCP_PORT) -> tuple[str, int]:
    """
    Return host and port of ``HOST[:PORT]``; an IPv6 host with a port needs brackets.

    Raises:
        ValueError: no host, or a port that is none.
    """
    match = re.fullmatch(
        r"\[([^\]]+)\](?::([0-9]+))?|([^:/\s\[\]]+)(?::([0-9]+))?|(\S*:\S*:\S*)", text
    )
    if match is None:
        raise ValueError(f"expected HOST or HOST:PORT, got {text!r}")
    if six := match[1] or match[5]:
        try:
            ipaddress.IPv6Address(six)
        except ValueError as error:
            raise ValueError(f"expected HOST or HOST:PORT, got {text!r}: {error}") from error
    host = six or match[3]
    port = int(match[2] or match[4] or default_port)
    if not 1 <= port <= 65535:
        raise ValueError(f"a TCP port is 1 to 65535, got {port}")
    return host, port


def parse_address(text: str) -> Address:
    """
    Return the address that ``text`` names.

    >>> parse_address("tcp://10.0.0.5").number
    12345
    >>> str(parse_address("/dev/ttyUSB0"))
    'serial:/dev/ttyUSB0:38400'

    Raises:
        ValueError: it names none; the message lists what would.
    """
    text = text.strip()
    kind, _, rest = text.partition(":")
    kind = kind.lower()
    if kind == "tcp" and rest:
        return Address("tcp", *split_host_port(rest.removeprefix("//")))
    if kind == "replay" and rest:
        return Address("replay", rest)
    if kind == "serial" and rest:
        rest = rest.removeprefix("//")
        port, _, baud = rest.rpartition(":")
        # Of rfc2217://HOST:PORT the last number is no baud.
        is_port_of_host = _SERVED.match(rest) and not _SERVED_WITH_BAUD.match(rest)
        if port and baud.isdecimal() and not is_port_of_host:
            return _serial(port, int(baud))
        if rest:
            return _serial(rest, DEFAULT_BAUD)
    if _DEVICE.match(text):
        return _serial(text, DEFAULT_BAUD)
    raise ValueError(
        f"cannot read {text!r} as the address of a unit: expected tcp://HOST:PORT, "
        "serial:PORT:BAUD, /dev/ttyUSB0, COM3, rfc2217://HOST:PORT, telnet://HOST:PORT or "
        "replay:FILE"
    )


def _serial(port: str, baud: int) -> Address:
    if baud < 1:
        raise ValueError(f"a baud rate is at least 1, got {baud}")
    return Address("serial", port, baud)
