"""
Endpoints: what names lead to in the end, so that two names of one never connect at once.

An endpoint is an address and port after name resolution, or a device file after symbolic links
(``sfm.access.egress.endpoint_of``). A modem and a serial port have one place: a second connection
would take it from the first, or its replies would be read by both.

Which unit answers is a fact about the endpoint, whatever name was asked for. So a new name of one
where a unit has answered since the relay's start is read in that unit's turn, as its first name is,
and never beside a session with the unit over another endpoint (promise 7).
"""

from __future__ import annotations

from collections.abc import Callable

from minimateplus.link import Address
from sfm.access.egress import endpoint_of
from sfm.devices.session_limit import SessionLimit, SessionSlot

__all__ = ["Endpoints"]


class Endpoints:
    """
    The endpoints that are in use. Lives as long as the gateway.

    Args:
        queue_s: how long a connection waits for an endpoint.
        clock: monotonic seconds.
    """

    def __init__(self, queue_s: float, clock: Callable[[], float]) -> None:
        self.queue_s = queue_s
        self._clock = clock
        self._used: dict[str, SessionLimit] = {}
        self._serials: dict[str, str] = {}
        """Which unit named itself last at an endpoint, since the relay's start."""

    def note_unit(self, resolved: Address, serial: str) -> None:
        """Note that a unit named itself there."""
        self._serials[endpoint_of(resolved)] = serial

    def serial_at(self, resolved: Address) -> str | None:
        """Return the unit that named itself there last; ``None``: none since the start."""
        return self._serials.get(endpoint_of(resolved))

    async def enter(self, resolved: Address) -> SessionSlot:
        """
        Return the slot of an endpoint; another connection that only keeps it open hangs up.

        Raises:
            BusyError: it was not free within the queue time.
        """
        for name in [name for name, one in self._used.items() if not (one.open or one.waiting)]:
            del self._used[name]
        name = endpoint_of(resolved)
        endpoint = self._used.get(name)
        if endpoint is None:
            what = f"another name of {resolved} is in use"
            endpoint = self._used[name] = SessionLimit(
                1, self.queue_s, is_known=True, clock=self._clock, what=what
            )
        return await endpoint.enter()
