"""
Verdicts in answers: the present judge, and lists that are judged again when it changes.

What a verdict depends on beside the event is the limits, the choices and the roster. When one of
them changes, or new figures were stored, the facts beside each cached list are loaded again; its
encoded body and its tag follow. A hit costs nothing for it.
"""

from __future__ import annotations

from collections.abc import Collection

from sfm.devices.limits import Limits
from sfm.devices.registry import Registry
from sfm.devices.roster import UnitRoster
from sfm.records.verdicts import Judge
from sfm.store.service import StoreService

__all__ = ["Verdicts"]


class Verdicts:
    """
    Judges what is cached. Lives as long as the gateway.

    Args:
        limits: curves and choices.
        roster: where the units stood.
        registry: has the devices whose lists are cached.
        store_service: gets the present judge.
    """

    def __init__(
        self, limits: Limits, roster: UnitRoster, registry: Registry, store_service: StoreService
    ) -> None:
        self._limits = limits
        self._roster = roster
        self._registry = registry
        self._store_service = store_service
        limits.on_change = roster.on_change = self.renew
        self._set_judge()

    def _set_judge(self) -> None:
        limits = self._limits
        self._store_service.judge = Judge(limits.loaded_catalogue, limits.choices, self._roster.now)

    async def renew(
        self, serial: str | None = None, recordings: Collection[int] | None = None
    ) -> None:
        """
        Judge cached lists again.

        Args:
            serial: only this unit's; ``None``: all, by the limits and the roster as they are now.
            recordings: of these alone results are new, by their numbers in the database.
        """
        had_curves = self._store_service.judge.has_curves
        self._set_judge()
        if not (had_curves or self._store_service.judge.has_curves):
            return  # nothing is judged, before as after
        for device in list(self._registry.devices.values()):
            durable = device.durable
            if durable.events is not None and serial in (None, durable.serial):
                await durable.load_facts(recordings)
