"""What a request asks for: addresses to try, and which unit it wants to find there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from minimateplus.link import Address
from sfm.live_cache import LiveCache
from sfm.records.roster import Location

__all__ = ["Target", "conn_key_of"]


def conn_key_of(address: Address) -> str:
    """Return the key of a route."""
    if address.kind == "tcp":
        return LiveCache.make_conn_key(address.target, address.number, None, None)
    return LiveCache.make_conn_key(None, None, address.target, address.number)


@dataclass(frozen=True, slots=True)
class Target:
    """
    What a request asks for.

    By address: that address. By the name of a location: its routes, and the unit that is there now.
    By serial number: that unit, over the routes of the location where it is.
    """

    addresses: tuple[Address, ...]
    """The preferred one first; none: no route leads to the unit."""
    conn_keys: tuple[str, ...]
    """Of the addresses."""
    unit: str | None = None
    """The serial number that was asked by; ``None``: any unit at these addresses."""
    location: Location | None = None
    """Which the addresses are routes of, if it was asked for by name or serial number."""
    serial: str | None = None
    """The unit that commands are for; ``None``: any."""
    only: frozenset[str] | None = None
    """The units whose answers the client may get; ``None``: all."""

    @classmethod
    def at(cls, *addresses: Address, **more: object) -> Target:
        """Return what asks for these addresses; ``more``: other fields."""
        return cls(addresses, tuple(map(conn_key_of, addresses)), **more)  # type: ignore[arg-type]

    def over(self, *addresses: Address) -> Target:
        """Return the same, over some of its routes only."""
        return replace(self, addresses=addresses, conn_keys=tuple(map(conn_key_of, addresses)))

    @property
    def conn_key(self) -> str:
        """The key of the preferred route; without one, the unit as it was asked for."""
        return self.conn_keys[0] if self.conn_keys else f"unit:{self.unit}"

    @property
    def name(self) -> str:
        """The target for people."""
        if self.unit is not None:
            return f"unit {self.unit}"
        return str(self.addresses[0]) if self.location is None else repr(self.location.name)

    @property
    def flight(self) -> tuple[str, ...]:
        """What readers of one resource have in common who share a read."""
        return () if self.unit is not None else self.conn_keys
