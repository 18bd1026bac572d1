"""
Which unit answers: asked before anything else is believed.

A modem may have been moved to another unit, and a unit replaced at its address. So every read first
reads the serial number. If it is another unit's, the read ends there with ``OtherUnitError``:
nothing is stored, what is known of either unit stays, and the route leads to the other one.
"""

from __future__ import annotations

from collections.abc import Callable

from minimateplus.client import MiniMate
from sfm.devices.durable_cache import DurableCache, FencedError
from sfm.devices.route import OtherUnitError
from sfm.records import payloads
from sfm.records.payloads import Payload

__all__ = ["Identification"]

OTHER_CLASS = "a simulated unit has the serial number of a real one"

Met = Callable[[str, float, bool | None], None]
"""Notes a serial number, when it came in, and whether the unit is simulated, if that is known."""


class Identification:
    """
    Makes sure that one unit answers. Lives as long as its device.

    Args:
        durable: what is known of the unit.
        clock: monotonic seconds.
        met: notes who answered; raises ``OtherUnitError`` if it is another unit.
        just_named: returns the serial number, and when it was asked for, if it is the last thing
            that was read over this link.
        keep_name: keeps the same of another unit, whose read goes on over this link.
    """

    def __init__(
        self,
        durable: DurableCache,
        clock: Callable[[], float],
        met: Met,
        just_named: Callable[[MiniMate], tuple[str, float] | None],
        keep_name: Callable[[MiniMate, str, float], None],
    ) -> None:
        self.is_met = False
        """Whether the unit was read in full since the relay started."""
        self._durable = durable
        self._clock = clock
        self._met = met
        self._just_named = just_named
        self._keep_name = keep_name

    async def identify(self, unit: MiniMate) -> None:
        """
        Read the serial number, and all of identity and setup from a unit not met yet.

        Raises:
            OtherUnitError: another unit answers.
        """
        if self.is_met:
            await self.name(unit)
        else:
            await self.meet(unit)

    async def name(self, unit: MiniMate) -> tuple[str, float]:
        """
        Return the serial number that answers, and when it was asked for.

        Raises:
            OtherUnitError: it is another unit's.
        """
        serial, began = self._just_named(unit) or ("", self._clock())
        serial = serial or await unit.read_serial()
        try:
            self._met(serial, self._clock(), None)
        except OtherUnitError:
            self._keep_name(unit, serial, began)
            raise
        return serial, began

    def check(self, serial: str) -> None:
        """Return if that serial number, read in this session, is the unit's; raises as ``name``."""
        self._met(serial, self._clock(), None)

    async def meet_again(self, unit: MiniMate, generation: int) -> int:
        """
        Make sure that a unit with another memory is not a simulation of the known one, or the unit.

        Returns the generation to store under. Raises as ``meet``.
        """
        is_late = self._durable.generation != generation
        await self.meet(unit)
        return generation if is_late else self._durable.generation

    async def meet(self, unit: MiniMate) -> tuple[Payload, bool, float]:
        """
        Read and store identity and setup; return them, whether they are stored, and their time.

        Raises:
            OtherUnitError: another unit answers.
        """
        generation = self._durable.generation
        serial, began = await self.name(unit)
        info = await unit.read_info(serial=serial)
        payload = payloads.info_payload(info)
        known = self._durable.simulated
        self._durable.simulated, self.is_met = info.simulated, True
        if known is not None and known is not info.simulated:
            # Equal numbers, two units: nothing of one is the other's.
            generation = await self._durable.drop(generation, OTHER_CLASS)
        self._met(serial, self._clock(), info.simulated)
        for _ in range(2):
            try:
                stored = await self._durable.save_info(payload, generation, began)
            except FencedError:
                # What was read is of this unit still: stored in the epoch that has begun now.
                generation = self._durable.generation
            else:
                return payload, stored, began
        return payload, False, began
