"""
How units are named: the one parser for every spelling of a unit, and the rule for names.

A unit is given as an address (``tcp://10.0.0.5:12345``, ``10.0.0.5``, ``modem.example:12345``,
``/dev/ttyUSB0``, ``COM3``, ``serial:PORT:BAUD``, ``rfc2217://HOST:PORT``) or as a word: the name of
a location, a serial number, or a host name without a dot. Which of these a word is, the roster
decides (``sfm.devices.roster``); a registered name or serial number comes before a host name.

What is known of a unit is kept under ``unit:SERIAL``, whichever address it was read at. A *route*,
the address itself, has the key ``tcp:HOST:PORT`` or ``serial:PORT:BAUD``
(``LiveCache.make_conn_key``); in tokens, where both kinds stand side by side, it is named with
``route:`` before its key.
"""

from __future__ import annotations

import re
import unicodedata

from minimateplus.link import Address, parse_address
from minimateplus.link.address import split_host_port

__all__ = [
    "EVERY_UNIT",
    "LONGEST_NAME",
    "check_name",
    "check_serial",
    "folded",
    "parse_host",
    "parse_unit",
    "reads_as_serial",
    "route_name",
    "serial_of",
    "unit_key",
]

EVERY_UNIT = "*"
"""In a token: all units."""
UNIT, ROUTE = "unit:", "route:"

LONGEST_NAME = 64
LONGEST_SERIAL = 16

_SCHEME = re.compile(r"(?:tcp|serial|replay|rfc2217|telnet):", re.IGNORECASE)
_PREFIX = re.compile(r"(?:unit|route|home):", re.IGNORECASE)
"""What keys begin with that name a unit or a route in tokens and answers."""
_SERIAL = re.compile(r"[A-Za-z]{2,3}[0-9]{4,6}")
"""BE12345, SIM0001: letters of the model, then the number."""


def parse_unit(text: str) -> Address | str:
    """
    Return the address that ``text`` spells; else the word that it is.

    >>> str(parse_unit("10.0.0.5")), str(parse_unit("modem.example:9000"))
    ('tcp://10.0.0.5:12345', 'tcp://modem.example:9000')
    >>> parse_unit("North face"), parse_unit("BE12345")
    ('North face', 'BE12345')

    Raises:
        ValueError: it is empty, or begins as an address and is none.
    """
    text = text.strip()
    if not text:
        raise ValueError("expected an address, a name or a serial number, got nothing")
    try:
        return parse_address(text)
    except ValueError:
        if text.startswith("/") or _SCHEME.match(text):
            raise
        if "://" in text:
            raise ValueError(
                f"cannot read {text!r} as the address of a unit: expected tcp://HOST:PORT, HOST, "
                "serial:PORT:BAUD or rfc2217://HOST:PORT; a relay's address is given with --relay"
            ) from None
    if re.search(r"\s", text) or not re.search(r"[.:\[]", text):
        return text
    return parse_host(text)


def parse_host(text: str) -> Address:
    """
    Return the TCP address of ``HOST`` or ``HOST:PORT``.

    Raises:
        ValueError: it is neither.
    """
    return Address("tcp", *split_host_port(text))


def reads_as_serial(text: str) -> bool:
    """
    Whether a text has the form of a serial number.

    >>> reads_as_serial("be12345"), reads_as_serial("North 12")
    (True, False)
    """
    return _SERIAL.fullmatch(text) is not None


def folded(name: str) -> str:
    """
    Return what two spellings of one name have in common: names are unique without regard to case.

    >>> folded("Straße NORD") == folded("STRASSE nord")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_name(name: str) -> str:
    """
    Return a location's name, if it may be one.

    Raises:
        ValueError: it is not 1 to 64 printable characters, or reads as something else.
    """
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(
            f"a name has 1 to {LONGEST_NAME} printable characters, without spaces around it; "
            f"got {name!r}"
        )
    if "/" in name or "\\" in name or name == "*":
        raise ValueError(f"a name is not * and contains no slash, got {name!r}")
    if reads_as_serial(name):
        raise ValueError(f"{name!r} reads as a serial number; a name must not")
    try:
        is_address = isinstance(parse_unit(name), Address) or _PREFIX.match(name) is not None
    except ValueError:
        is_address = True
    # A number alone is an IPv4 address to every system's resolver.
    if is_address or name.isdigit():
        raise ValueError(f"{name!r} reads as an address; a name must not")
    return name


def check_serial(serial: str) -> str:
    """
    Return a serial number, if it may be one.

    Raises:
        ValueError: it is not 1 to 16 printable characters without spaces.
    """
    is_word = serial.isascii() and serial.isprintable() and not re.search(r"[\s/\\*]", serial)
    # "." and ".." are no step of a path.
    if not 1 <= len(serial) <= LONGEST_SERIAL or not is_word or serial in (".", ".."):
        raise ValueError(
            f"a serial number has 1 to {LONGEST_SERIAL} letters and digits, as BE12345; "
            f"got {serial!r}"
        )
    return serial


def unit_key(serial: str) -> str:
    """
    Return the key of a unit.

    >>> unit_key("BE12345")
    'unit:BE12345'
    """
    return UNIT + serial


def serial_of(key: str) -> str | None:
    """
    Return the serial number in a unit's key; ``None`` if it is a route's.

    >>> serial_of("unit:BE12345"), serial_of("tcp:10.0.0.5:12345")
    ('BE12345', None)
    """
    return key.removeprefix(UNIT) if key.startswith(UNIT) else None


def route_name(conn_key: str) -> str:
    """
    Return how tokens name a route.

    >>> route_name("tcp:10.0.0.5:12345")
    'route:tcp:10.0.0.5:12345'
    """
    return ROUTE + conn_key
