"""
What names an event on the command line: a recording's id, ``UNIT:INDEX``, or a unit for all of it.

``HOST:PORT`` with a dot or bracket in the host, and an address with its port or speed, is a unit;
with one more number behind it, that is the index. An IPv6 address needs brackets for one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sfm.cli.application import CommandError
from sfm.cli.exits import MISUSED

__all__ = ["NamedEvent", "parse_event"]

_RECORDING = re.compile(r"[0-9a-fA-F]{8,64}")
_AT_INDEX = re.compile(r"(?P<unit>.+):(?P<index>[0-9]{1,7})")
_ADDRESS_ALONE = re.compile(
    r"(serial:(//)?)?((rfc2217|telnet|tcp)://|tcp:)(\[[^\]]*\]|[^:/\[\]]+):[0-9]+|"
    r"serial:(//)?[^:]+:[0-9]+|"
    r"(\[[^\]]*\]|[^:/\[\]]*\.[^:/\[\]]*):[0-9]+",
    re.IGNORECASE,
)
"""An address with its port or speed, and no index behind it."""


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """A recording, an event of a unit, or all events of a unit."""

    recording: str | None = None
    unit: str | None = None
    index: int | None = None


def parse_event(text: str) -> NamedEvent:
    """
    Return what a word names.

    >>> parse_event("BE12345:3")
    NamedEvent(recording=None, unit='BE12345', index=3)
    >>> parse_event("10.0.0.5:12345").index, parse_event("10.0.0.5:12345:3").index
    (None, 3)
    >>> parse_event("171d8fe0").recording
    '171d8fe0'

    Raises:
        CommandError: it is empty.
    """
    if not text.strip():
        raise CommandError("an event's name is empty; for example: BE12345:0", MISUSED)
    if _RECORDING.fullmatch(text):
        return NamedEvent(recording=text.lower())
    found = _AT_INDEX.fullmatch(text)
    if found is None or _ADDRESS_ALONE.fullmatch(text) or _is_ipv6(text):
        return NamedEvent(unit=text)
    return NamedEvent(unit=found["unit"], index=int(found["index"]))
