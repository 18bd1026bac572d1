"""
Which unit answers: asked before anything else is believed.

A modem may have been moved to another unit, and a unit replaced at its address. So every read
first makes sure who answers; when it is another unit than before, everything cached is dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from minimateplus.client import MiniMate
from sfm.devices.durable_cache import DurableCache, FencedError
from sfm.records import payloads
from sfm.records.payloads import Payload

__all__ = ["Identification"]


class Identification:
    """Makes sure which unit answers at one address. Lives as long as its device."""

    def __init__(self, durable: DurableCache, clock: Callable[[], float]) -> None:
        self.is_met = False
        """Whether the unit that answers now was read in full since the relay started."""
        self._durable = durable
        self._clock = clock

    async def identify(self, unit: MiniMate) -> None:
        """Read the serial number, and all of identity and setup from a unit not met yet."""
        if self.is_met:
            await self.recognise(await unit.read_serial(), self._durable.generation)
        if not self.is_met:
            await self.meet(unit)

    async def meet(self, unit: MiniMate) -> tuple[Payload, bool]:
        """Read and store identity and setup; return them, and whether they are stored."""
        began, generation = self._clock(), self._durable.generation
        info = await unit.read_info()
        payload = payloads.info_payload(info)
        generation = await self.recognise(info.serial, generation)
        self._durable.simulated, self.is_met = info.simulated, True
        for _ in range(2):
            try:
                return payload, await self._durable.save_info(payload, generation, began)
            except FencedError:
                # What was read is of this unit still: stored in the epoch that has begun now.
                generation = self._durable.generation
        return payload, False

    async def recognise(self, serial: str, generation: int) -> int:
        """
        Note which unit answers; return the generation to store under.

        If it is another unit, everything cached is dropped, and it must be met first.
        """
        known = self._durable.serial
        if known in (None, serial):
            self._durable.serial = serial
            return generation
        self._durable.serial, self._durable.simulated, self.is_met = serial, None, False
        return await self._durable.drop(generation, f"unit {serial} answers where {known} used to")
