"""A route: one address, its connection and back-off, and which unit answered there last."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minimateplus.link import Address
from sfm.back_off import BackOff
from sfm.devices.connection import Connection
from sfm.errors import SfmError

if TYPE_CHECKING:
    from sfm.devices.device import Device

__all__ = ["OtherUnitError", "Route"]


class OtherUnitError(SfmError):
    """
    Another unit answers over a route than the one that was to be read; nothing of it was read.

    The route leads to that unit from now on (``Registry.met``), so the request begins anew there.
    """

    def __init__(self, message: str, serial: str, *, is_answer: bool = True) -> None:
        super().__init__(message)
        self.serial = serial
        self.is_answer = is_answer
        """Whether it has just named itself; else it did over another name of the endpoint."""
        self.exchanges = 0
        """What it cost to find out."""


class Route:
    """
    One address. Lives as long as the gateway, or until it is forgotten because no unit answered.

    Args:
        conn_key: its key.
        connection: over it.
        device: that of the unit that answered there last; before a first contact one without a
            unit, which only finds out which unit answers.
        clock: monotonic seconds.
    """

    def __init__(
        self, conn_key: str, connection: Connection, device: Device, clock: Callable[[], float]
    ) -> None:
        self.conn_key = conn_key
        self.connection = connection
        self.back_off = BackOff(conn_key, clock)
        self.device = device
        self.contact_mono: float | None = None
        """When that unit last named itself over this route; ``None``: not since the start."""
        self._asking: Counter[Device] = Counter()
        """Readers who ask for this address, by the device that they ask."""
        self._gates: dict[Device, asyncio.Event] = {}
        """Of each of these devices, set when nobody asks it any more."""
        self._resuming = 0
        """Readers who wait at a gate, or have not continued behind it yet."""
        self._all_resumed = asyncio.Event()

    # When a route moves, all who asked for it continue together: nobody who asked before the first
    # read of the other unit began is left behind by it (promise 6).

    @contextmanager
    def asking(self, device: Device) -> Iterator[asyncio.Event]:
        """Count one who asks a device for this address; give the gate to wait at if it moves."""
        self._asking[device] += 1
        gate, has_moved = self._gates.setdefault(device, asyncio.Event()), False
        try:
            yield gate
        except OtherUnitError:
            has_moved = True
            raise
        finally:
            self._asking[device] -= 1
            if not self._asking[device]:
                del self._asking[device], self._gates[device]
                if has_moved or self._resuming:
                    # Not at once: who leaves last waits at the gate as the others do.
                    asyncio.get_running_loop().call_soon(gate.set)

    async def resume(self, gate: asyncio.Event) -> None:
        """Wait until all who asked a device have left it, and continue with them."""
        self._resuming += 1
        self._all_resumed.clear()
        try:
            await gate.wait()
        finally:
            self._resuming -= 1
            if not self._resuming:
                self._all_resumed.set()

    async def settled(self, device: Device) -> None:
        """Wait until nobody is on the way from another device to this one."""
        while True:
            gate = next((gate for d, gate in self._gates.items() if d is not device), None)
            if gate is not None:
                await self.resume(gate)
            elif self._resuming:
                await self._all_resumed.wait()
            else:
                return

    @property
    def address(self) -> Address:
        """What it leads to."""
        return self.connection.address
