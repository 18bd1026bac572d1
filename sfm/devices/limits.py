"""
The limits in memory: the curves, who confirmed them, and which count for an event now.

What the database has counts. Without one, the program's own curves and the region setting are all
there is. ``on_change`` is awaited after every change, so that what was computed from them is
computed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import Connection

from sfm.analysis.limits import Catalogue
from sfm.back_off import BackingOffError
from sfm.records.limit_choices import LimitChoices, region_curves
from sfm.settings import Settings
from sfm.store import StoreError, limits
from sfm.store.audit import AuditEntry
from sfm.store.limits import StoredLimits
from sfm.store.service import StoreService

__all__ = ["Limits"]

log = structlog.get_logger(__name__)


class Limits:
    """
    The present limits. Lives as long as the gateway.

    Args:
        settings: name the region.
        store_service: has the rest on disk.
    """

    def __init__(self, settings: Settings, store_service: StoreService) -> None:
        self._region = settings.region
        self._store_service = store_service
        self._loading = asyncio.Lock()
        self._catalogue: Catalogue | None = None
        self._choices: LimitChoices | None = None
        self.damaged: tuple[str, ...] = ()
        """Rows of the database that do not match their hash, as sentences."""
        self.is_loaded = not store_service.has_store
        self.on_change: Callable[[], Awaitable[None]] = _nothing
        """Awaited after every change."""

    @property
    def loaded_catalogue(self) -> Catalogue | None:
        """The curves as the database has them; ``None``: the program's own, not read yet."""
        return self._catalogue

    @property
    def catalogue(self) -> Catalogue:
        """The curves. The program's own file is read when they are first needed."""
        if self._catalogue is None:
            self._catalogue = Catalogue()
        return self._catalogue

    @property
    def choices(self) -> LimitChoices:
        """Which curves count where."""
        if self._choices is None:
            self._choices = LimitChoices((), region_curves(self._region))
        return self._choices

    def _adopt(self, stored: StoredLimits) -> None:
        self._catalogue, self.damaged = stored.catalogue, stored.damaged
        self._choices = LimitChoices(stored.choices, region_curves(self._region), stored.damaged)

    async def load(self) -> None:
        """
        Load the database's limits once.

        While it cannot be read the program's own curves count; the next caller tries again.
        """
        if self.is_loaded:
            return
        async with self._loading:
            if self.is_loaded:
                return
            try:
                stored = await self._store_service.executor.read(limits.load)
            except (StoreError, BackingOffError) as error:
                log.warning("limits_not_loaded", error=str(error))
                return
            self.is_loaded = True
            self._adopt(stored)
            await self.on_change()
        for sentence in self.damaged:
            log.warning("limits_damaged", what=sentence)

    async def change(self, function: Callable[[Connection], object], entry: AuditEntry) -> None:
        """
        Change the limits on disk by a function of ``sfm.store.limits``.

        Raises:
            NoStoreError: there is no database.
            StoreError: the function's own, or the database failed; nothing is changed.
        """
        self._adopt(await self._store_service.write(limits.changed, function, entry))
        self.is_loaded = True
        await self.on_change()


async def _nothing() -> None:
    """Nobody follows the changes."""
