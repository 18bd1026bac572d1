"""
Who asks, what he may, and how often: roles, actors and limits. Knows nothing of HTTP.

The rule: what is not allowed by a role is refused; a role includes those below it. On one person's
own machine there is no account, and everything is allowed (``LOCAL``).

Time is passed in; everything here is bounded, so that whoever knocks with ever new addresses costs
no memory.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

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
"""Clients whose failures or reads are counted at once; the one seen longest ago goes first."""


class ForbiddenUnitError(SfmError):
    """A token is not for that unit."""


class Role(Enum):
    """What a token is good for; each includes the ones before it."""

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
    """Who asks. Lives for one request."""

    name: str
    role: Role
    origin: str
    """The address that the request came from."""
    units: frozenset[str] = frozenset()
    """Connection keys and serial numbers that it is limited to; empty: all."""
    token_id: int | None = None
    """``None``: no token was shown, and none was needed."""

    @property
    def is_limited(self) -> bool:
        """Whether it may see some units only."""
        return bool(self.units)

    def may_use(self, name: str | None) -> bool:
        """Whether it may use the unit of that connection key, or see that serial number."""
        return not self.units or name in self.units

    def may_use_port(self, port: str) -> bool:
        """Whether it may use a unit at that serial port, at some speed."""
        return not self.units or any(u.rpartition(":")[0] == f"serial:{port}" for u in self.units)


LOCAL = Principal("local", Role.ADMIN, "127.0.0.1")
"""Whoever sits at this machine."""
ANYBODY = Principal("anybody", Role.ADMIN, "")
"""Everybody, where the settings say ``insecure``."""


def rate_limit_key(address: str) -> str:
    """
    Return what a limit counts by: an IPv4 address, or the /64 network of an IPv6 one.

    >>> neighbourhood("2001:db8::1:2"), neighbourhood("::ffff:10.0.0.5"), neighbourhood("10.0.0.5")
    ('2001:db8::/64', '10.0.0.5', '10.0.0.5')
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
    Whether an address is one of this machine that no other reaches.

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
    So many in a time, for each client: a bucket that fills evenly.

    Args:
        most: what may be taken at once.
        per_s: in how many seconds an empty bucket fills.
        clock: monotonic seconds.
    """

    def __init__(self, most: int, per_s: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._rate_hz = most / per_s
        self._clock = clock
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: object) -> float:
        """Return how long it must wait until it may take one; 0: it may now."""
        missing = 1.0 - self._now(client)
        return max(0.0, missing / self._rate_hz)

    def take(self, client: object) -> float:
        """Take one; return 0, or how long it must wait instead."""
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
    """How many requests of each client are under way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[object, int] = {}

    def begin(self, client: object) -> bool:
        """Count one more, unless there are as many as may be; return whether it was counted."""
        count = self._counts.get(client, 0)
        if count >= self._most:
            return False
        self._counts[client] = count + 1
        return True

    def end(self, client: object) -> None:
        """Count one less."""
        count = self._counts.pop(client) - 1
        if count:
            self._counts[client] = count
