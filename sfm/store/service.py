"""
``StoreService``: the relay's one access to the database, beside the event loop.

The rule: what a unit returned is durable before an answer says ``stored``. When the database fails,
readers are served from memory and from the unit, the answers say so, and records that could not be
archived wait in a bounded backlog.

The parts: ``executor`` runs functions on the store and ``health`` notes how that went; ``backlog``
has the records that wait; ``unit_writer`` saves units' data and knows their mirrors' versions;
``chunk_log`` and ``walk_log`` save the progress of what takes long.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection

from minimateplus.model import Event, MemoryProbe
from sfm.back_off import BackingOffError
from sfm.records.payloads import Payload
from sfm.records.roster import NO_ROSTER
from sfm.records.site_time import is_credible
from sfm.records.verdicts import Judge
from sfm.store import archive, audit, mirror, mirror_rows, mirrored_lists, unit_data, verdicts
from sfm.store.archive import Origin
from sfm.store.audit import AuditEntry
from sfm.store.backlog import Backlog, WaitingRecord
from sfm.store.chunk_log import ChunkLog
from sfm.store.database import Store
from sfm.store.decodings import EraseCheck
from sfm.store.errors import (
    DamagedMirrorError,
    DamagedRecordError,
    RevisionError,
    StoreError,
    StoreInUseError,
    StoreReplacedError,
    UndecodedSamplesError,
)
from sfm.store.executor import Run, StoreExecutor, in_threads
from sfm.store.health import StoreHealth
from sfm.store.mirror import LoadedDevice, LoadedWaveform
from sfm.store.mirror_rows import ReadTime
from sfm.store.unit_writer import Outcome, UnitWriter
from sfm.store.walk_log import WalkLog, size_bytes

__all__ = ["Outcome", "StoreService", "boot_id"]

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)


def boot_id() -> str | None:
    """
    Return the identity of the boot from which the monotonic clock counts; ``None`` if unknown.

    Linux: ``/proc/sys/kernel/random/boot_id`` (random(4)). With it the age of a value that was read
    before a restart of the relay stays exact; after a restart of the machine it is unknown.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


class StoreService:
    """
    Saves what units return; loads it after a restart. Lives as long as the gateway; ``close`` it.

    Args:
        open_store: opens the database; ``None``: the settings name none, and every call says so.
        clock: monotonic seconds.
        wall: the time of day, UTC.
        boot: the boot from which the clock counts; see ``boot_id``.
        run: how blocking calls are run.
        is_read_only: the database is opened to be read; every write fails.
    """

    def __init__(
        self,
        open_store: Callable[[], Store] | None,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        boot: str | None = None,
        run: Run | None = None,
        is_read_only: bool = False,
    ) -> None:
        self.is_read_only = is_read_only
        self._clock = clock
        self._wall = wall
        self._boot = boot
        self.zones = NO_ROSTER
        """Which zone each unit's clock had when; ``sfm.devices.roster`` sets it."""
        self.judge = Judge()
        """Judges events by the present limits; ``sfm.devices.verdicts`` sets it."""
        self._health = StoreHealth(clock=clock, wall=wall)
        self.executor = StoreExecutor(open_store, run or in_threads(), self._health)
        self._backlog = Backlog(self.executor, self._health)
        self._writer = UnitWriter(self.executor, self._health, self._backlog)
        self.chunks = ChunkLog(self.executor, self._writer)
        self.walks = WalkLog(self.executor, self._writer)
        self.waveforms_changed = asyncio.Event()
        """Set when a waveform was archived; the reader that follows the archive clears it."""
        self._unsound: set[tuple[str, int]] = set()
        """Slots whose stored waveform is damaged, until it is read again."""
        self._closed = False
        self.damaged = 0
        """Stored rows that did not match their hash."""

    @property
    def has_store(self) -> bool:
        """Whether the settings name a database."""
        return self.executor.has_store

    async def start(self) -> None:
        """
        Open the database; if that fails, go on without it and try again later.

        Raises:
            RevisionError: it must be upgraded by hand.
            StoreInUseError: another relay uses it.
        """
        if not self.has_store:
            return
        try:
            await self.executor.call(lambda store: store.where, is_write=True)
        except (RevisionError, StoreInUseError):
            raise
        except (StoreError, BackingOffError):
            pass  # noted and logged by the executor

    async def close(self) -> None:
        """Write what waits, if it can be written, and close the database."""
        if self._closed:
            return
        self._closed = True
        await self._backlog.stop_retrying()
        await self.chunks.close()
        await self.walks.close()
        await self._backlog.close()
        await self.executor.close()

    def state(self) -> Payload:
        """Return the database's state, for people and machines."""
        self.executor.check_file()
        if not self.has_store:
            state = "none"
        else:
            state = "degraded" if self._health.problem is not None else "ok"
        return {
            "state": state,
            "where": self.executor.where,
            **self._health.payload(),
            "writes": self._health.writes,
            "failures": self._health.failures,
            "waiting_records": len(self._backlog),
            "waiting_bytes": self._backlog.size_bytes,
            "not_archived": self._backlog.not_archived,
            "damaged": self.damaged,
        }

    @property
    def problem_kind(self) -> str | None:
        """The database's problem in one word; ``None``: there is none."""
        return self._health.problem_kind

    @property
    def host_clock_is_credible(self) -> bool:
        """Whether the host's clock can be right: one that was never set starts in 1970."""
        return is_credible(self._wall())

    def check_file(self) -> None:
        """
        Return if the archive is in the file that the settings name, as far as that is known.

        Raises:
            StoreReplacedError: the database file was removed, renamed or replaced.
        """
        self.executor.check_file()
        if isinstance(self._health.problem, StoreReplacedError):
            raise self._health.problem

    # --- any function of the store ---------------------------------------------------------------

    async def read(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        Return ``function(connection, ...)``, which sees the database at one instant.

        Raises:
            NoStoreError: the settings name no database.
            StoreError: the function's own, or the database could not be read.
        """
        return await self.executor.for_request(
            lambda store: store.read(function, *args, **kwargs), is_write=False
        )

    async def write(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return ``function(connection, ...)``; what it wrote is durable. Raises as ``read``."""
        return await self.executor.for_request(
            lambda store: store.write(function, *args, **kwargs), is_write=True
        )

    async def note(self, entry: AuditEntry) -> int | None:
        """
        Add a durable entry to the audit log; return its number, or ``None`` without a database.

        Raises:
            StoreError: there is a database, and the entry could not be written.
        """
        return await self.write(audit.append, entry) if self.has_store else None

    # --- saving ----------------------------------------------------------------------------------

    def origin(
        self, route: str, serial: str, epoch: int, *, simulated: bool, began_mono: float
    ) -> Origin:
        """
        Return where and when a value was read whose read began at ``began_mono``.

        The time is unknown while the host's clock cannot be right.
        """
        read_at = self._wall() - timedelta(seconds=self._clock() - began_mono)
        return Origin(
            route=route,
            serial=serial,
            epoch=epoch,
            simulated=simulated,
            read_at=read_at if is_credible(read_at) else None,
            began_mono=began_mono,
            boot_id=self._boot,
        )

    async def save_info(self, origin: Origin, info: Payload) -> Outcome:
        """Save a unit's identity and setup."""
        save = partial(unit_data.save_info, origin=origin, info=info)
        return await self._writer.save(origin.unit_id, save)

    async def save_list(
        self,
        origin: Origin,
        probe: MemoryProbe,
        listed: Sequence[Payload],
        read: Sequence[Event],
        *,
        is_servable: bool,
    ) -> Outcome:
        """Archive the events that were read; mirror the list that they complete."""
        waiting = WaitingRecord(
            f"{len(read)} events of {origin.serial}",
            size_bytes(read),
            partial(archive.save_events, origin=origin, events=read),
        )
        save = partial(
            unit_data.save_list,
            origin=origin,
            probe=probe,
            listed=listed,
            read=read,
            is_servable=is_servable,
            ends_walk=self.walks.may_have(origin.unit_id),
        )
        outcome = await self._writer.save(origin.unit_id, save, waiting if read else None)
        if outcome.is_archived:
            self.walks.note_ended(origin.unit_id)
        return outcome

    async def save_waveform(
        self, origin: Origin, event: Event, payload: Payload, image: bytes, *, is_mirrored: bool
    ) -> Outcome:
        """Archive a waveform with its event; mirror that its slot has it."""
        save = partial(
            unit_data.save_waveform,
            origin=origin,
            event=event,
            payload=payload,
            image=image,
            is_mirrored=is_mirrored,
        )
        waiting = WaitingRecord(
            f"the waveform of {event.key.hex()} of {origin.serial}",
            len(image) + len(payload["counts"]),
            partial(save, seen=None, is_mirrored=False),
        )
        outcome = await self._writer.save(origin.unit_id, save, waiting)
        if outcome.is_archived:
            self._unsound.discard((origin.unit_id, event.index))
            self.waveforms_changed.set()
        return outcome

    async def save_volatile_offsets(
        self, serial: str, firmware: str, offsets: frozenset[int]
    ) -> None:
        """Save which bytes of a unit's records change while the event stays the same."""
        if self.has_store and serial:
            await self.executor.try_write(mirror.save_volatile_offsets, serial, firmware, offsets)

    async def drop(self, unit_id: str, epoch: int, reason: str) -> int | None:
        """
        Drop a device's mirror; return the epoch that it is at now, or ``None`` without a database.

        Raises:
            StoreError: the mirror could not be dropped.
            BackingOffError: the database failed recently and is not tried yet.
        """
        if not self.has_store:
            return None

        def drop(store: Store) -> int:
            beyond, version = store.write(mirror.drop, unit_id, epoch, reason)
            self._writer.note_version(unit_id, version)
            return beyond

        return await self.executor.call(drop, is_write=True)

    async def forget_info(self, unit_id: str) -> int | None:
        """
        Forget a device's setup in the mirror, because its settings were written.

        Returns the epoch to begin beyond, if another relay wrote the device's rows and nothing was
        forgotten; ``None``: the setup is forgotten, or there is no database.

        Raises:
            StoreError: the setup could not be forgotten.
            BackingOffError: the database failed recently and is not tried yet.
        """
        if not self.has_store:
            return None

        def forget(store: Store) -> int | None:
            seen = self._writer.version(unit_id)
            return self._writer.note_result(unit_id, store.write(mirror.forget_info, unit_id, seen))

        return await self.executor.call(forget, is_write=True)

    # --- loading ---------------------------------------------------------------------------------

    async def load(self, unit_id: str) -> LoadedDevice | None:
        """
        Return what the mirror has of a device; ``None``: nothing.

        If one of its rows is damaged, all of them are dropped: only an epoch beyond is left.

        Raises:
            StoreError: the database could not be read, or the damaged rows not be dropped.
        """
        try:
            return await self.executor.read(mirror.load, unit_id)
        except DamagedMirrorError as error:
            damage = str(error)
        self.damaged += 1
        log.error("mirror_damaged", unit=unit_id, error=damage)

        def drop(store: Store) -> LoadedDevice | None:
            store.write(mirror_rows.drop_damaged, unit_id, damage)
            return store.read(mirror.load, unit_id)

        return await self.executor.call(drop, is_write=True)

    def mark_adopted(self, unit_id: str, found: LoadedDevice) -> None:
        """Note that the cache begins with this mirror; otherwise its writes are fenced."""
        self._writer.note_version(unit_id, found.version)
        self.walks.note_written(unit_id)

    async def load_waveform(
        self, unit_id: str, index: int, epoch: int
    ) -> tuple[LoadedWaveform, Payload] | None:
        """
        Return a slot's waveform in that epoch, if the store has it and it is sound.

        Raises:
            UndecodedSamplesError: its image is archived, but its samples could not be decoded.
        """
        seen = self._writer.version(unit_id)
        if seen is None or (unit_id, index) in self._unsound:
            return None
        try:
            return await self.executor.call(
                lambda store: unit_data.load_waveform(store, unit_id, index, epoch, seen),
                is_write=False,
            )
        except DamagedRecordError as error:
            self.damaged += 1
            self._unsound.add((unit_id, index))
            log.error("stored_waveform_damaged", unit=unit_id, index=index, error=str(error))
        except UndecodedSamplesError:
            raise
        except (StoreError, BackingOffError):
            pass
        return None

    async def load_facts(
        self, unit_id: str, epoch: int, recordings: Collection[int] | None = None
    ) -> dict[int, Payload]:
        """
        Return what the archive adds to the events of a device's mirrored list, by their indices.

        ``recordings``: only to the events of these, by their numbers.

        Raises:
            StoreError: the database could not be read.
            BackingOffError: the database failed recently and is not tried yet.
        """
        if not self.has_store:
            return {}
        return await self.executor.read(verdicts.load_facts, unit_id, epoch, self.judge, recordings)

    async def erase_check(
        self,
        unit_id: str,
        count: int,
        walked: Sequence[Payload] | None = None,
        among: Collection[int] | None = None,
    ) -> EraseCheck:
        """
        Return which of a device's ``count`` events an erase would lose, by their indices.

        Without a database, and where the mirror does not prove otherwise: all of them. Events that
        wait for the database are not archived. ``walked``: the list that was just walked, if any.
        ``among``: look at the images of these indices only, where the mirror proves anything.

        Raises:
            StoreError: the database could not be read.
            BackingOffError: the database failed recently and is not tried yet.
        """
        seen = self._writer.version(unit_id)
        if not self.has_store or seen is None:
            return EraseCheck(unarchived=list(range(count)), contradicted=[])
        return await self.executor.read(
            mirrored_lists.erase_check, unit_id, seen, count, walked, among
        )

    def began_mono(self, read_time: ReadTime | None) -> float:
        """Return when a value was read, by our clock; ``-inf`` where that is unknown."""
        if read_time is None or read_time.began_mono is None or read_time.boot_id is None:
            return -math.inf
        if read_time.boot_id != self._boot or read_time.began_mono > self._clock():
            return -math.inf
        return read_time.began_mono
