"""
Principals, roles and limits of clients, independent of HTTP.

The rule: a request that the principal's role does not permit is rejected; a role includes those
below it. A local client needs no token and may do everything (``LOCAL``).

Time is passed in; all memory is bounded, also for clients with ever new addresses.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from sfm.access.names import EVERY_UNIT, route_name
from sfm.errors import SfmError

__all__ = [
    "ANYBODY",
    "LOCAL",
    "ConcurrencyLimit",
    "ForbiddenUnitError",
    "Principal",
    "Role",
    "TokenBucket",
    "is_loopback",
    "rate_limit_key",
]

MAX_REMEMBERED = 10_000
"""Clients counted at the same time; the least recent one is dropped first."""


class ForbiddenUnitError(SfmError):
    """A token does not permit that unit."""


class Role(Enum):
    """What a token permits; each role includes the ones before it."""

    VIEWER = "viewer"
    """Reads."""
    OPERATOR = "operator"
    """Forced reads, monitoring, settings, reviews."""
    ADMIN = "admin"
    """Erase, rescue, tokens, audit, dropping what is cached."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what ``other`` may."""
        return _RANK[self] >= _RANK[other]


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated client of one request, also as the audit log names it."""

    name: str
    role: Role
    origin: str
    """The client's address."""
    units: frozenset[str] = frozenset((EVERY_UNIT,))
    """Serial numbers, and routes as ``route:KEY``, that the token permits; ``*``: all."""
    token_id: int | None = None
    """``None``: no token was given, and none was required."""

    @property
    def is_limited(self) -> bool:
        """Whether it is limited to some units."""
        return EVERY_UNIT not in self.units

    def may_use(self, serial: str | None) -> bool:
        """Whether it may use the unit of that serial number."""
        return not self.is_limited or serial in self.units

    def may_use_route(self, conn_key: str) -> bool:
        """Whether it may use whatever unit answers over that route."""
        return not self.is_limited or route_name(conn_key) in self.units

    def may_use_port(self, port: str) -> bool:
        """Whether it may use a unit at that serial port, at some speed."""
        named = route_name(f"serial:{port}")
        return not self.is_limited or any(u.rpartition(":")[0] == named for u in self.units)


LOCAL = Principal("local", Role.ADMIN, "127.0.0.1")
"""A client on the relay's own machine."""
ANYBODY = Principal("anybody", Role.ADMIN, "")
"""Any client, with the setting ``insecure``."""


@lru_cache(maxsize=1024)
def rate_limit_key(address: str) -> str:
    """
    Return the key of a rate limit: an IPv4 address, or the /64 network of an IPv6 one.

    >>> rate_limit_key("2001:db8::1:2"), rate_limit_key("::ffff:10.0.0.5")
    ('2001:db8::/64', '10.0.0.5')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def is_loopback(address: object) -> bool:
    """
    Whether an address is a loopback address of this machine.

    >>> is_loopback("127.0.0.9"), is_loopback("::ffff:127.0.0.1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if address == "localhost":
        return True
    try:
        found = ipaddress.ip_address(str(address))
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


class TokenBucket:
    """
    A rate limit per client: a bucket that refills evenly.

    Args:
        most: the bucket's capacity.
        per_s: the time in which an empty bucket refills, s.
        clock: monotonic seconds.
    """

    def __init__(self, most: int, per_s: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._rate_hz = most / per_s
        self._clock = clock
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: object) -> float:
        """Return the delay until the client may take one; 0: now."""
        if client not in self._left:
            return 0.0
        missing = 1.0 - self._now(client)
        return max(0.0, missing / self._rate_hz)

    def take(self, client: object) -> float:
        """Take one and return 0, or return the delay until one is available."""
        wait_s = self.wait_s(client)
        if wait_s <= 0.0:
            self._left[client] = (self._now(client) - 1.0, self._clock())
            self._left.move_to_end(client)
            if len(self._left) > MAX_REMEMBERED:
                self._left.popitem(last=False)
        return wait_s

    def _now(self, client: object) -> float:
        left, then = self._left.get(client, (float(self._most), self._clock()))
        return min(float(self._most), left + (self._clock() - then) * self._rate_hz)


class ConcurrencyLimit:
    """A limit on concurrent requests per client."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[object, int] = {}

    def begin(self, client: object) -> bool:
        """Count one more request; return False, without counting, at the limit."""
        count = self._counts.get(client, 0)
        if count >= self._most:
            return False
        self._counts[client] = count + 1
        return True

    def end(self, client: object) -> None:
        """Count one request less."""
        count = self._counts.pop(client) - 1
        if count:
            self._counts[client] = count
