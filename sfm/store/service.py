"""
The keeper: between the relay, which must not wait for a disk unknowingly, and the store.

The rule: what a unit said is durable before an answer says ``stored``; and when the database fails,
readers are served from memory and from the unit, nothing is pretended, and what could not be
archived waits here, in a bounded backlog, until it can. A failing database is left alone for a
while that doubles (``sfm.back_off``), like a failing unit.

Writes run one after another in one thread, so those of one device keep their order. The version of
each device's mirror rows (``sfm.store.mirror``) is known here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from minimateplus.model import Event, MemoryProbe
from sfm.back_off import BackingOffError, BackOff
from sfm.records.payloads import Payload
from sfm.records.site_time import is_credible
from sfm.records.walk import Walk
from sfm.store import (
    AuditEntry,
    EraseCheck,
    Fenced,
    LoadedDevice,
    LoadedWaveform,
    Origin,
    ReadTime,
    Store,
    StoreError,
    WriteResult,
)
from sfm.store.errors import (
    AmbiguousIdError,
    BadCursorError,
    DamagedMirrorError,
    DamagedRecordError,
    NoSerialError,
    NoStoreError,
    NoSuchRecordError,
    NoSuchTokenError,
    RevisionError,
    StoreInUseError,
    StoreLostError,
    StoreReplacedError,
    TokenNameTakenError,
    UndecodedSamplesError,
)

__all__ = ["Outcome", "StoreService", "boot_id", "in_threads"]

BACKLOG_BYTES = 64 * 1024 * 1024
"""Of records that wait for the database; beyond it the oldest go, and are counted as lost to it."""
READERS = 4
RETRY_S = 5.0

T = TypeVar("T")
log = structlog.get_logger(__name__)

_NOT_THE_DATABASES_FAULT = (
    AmbiguousIdError,
    BadCursorError,
    DamagedMirrorError,
    DamagedRecordError,
    NoSerialError,
    NoSuchRecordError,
    NoSuchTokenError,
    TokenNameTakenError,
    UndecodedSamplesError,
)


class Run(Protocol):
    """How a blocking verb of the store is run: ``await run(verb, is_write)``."""

    def __call__(self, verb: Callable[[], T], is_write: bool, /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a write."""

    is_archived: bool
    fenced_epoch: int | None = None
    """Somebody else wrote this device's mirror: begin beyond that epoch."""
    public_id: str | None = None
    """Of the recording whose waveform was written."""


NOT_ARCHIVED = Outcome(False)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record that waits for the database."""

    what: str
    size_bytes: int
    save: Callable[[Store], WriteResult]


class _WalkUnderWay:
    """Events of a walk that are not written yet, and the task that writes."""

    def __init__(self) -> None:
        self.events: list[tuple[Origin, Walk, Event]] = []
        self.task: asyncio.Task[None] | None = None


class _Image:
    """Parts of an image under way: those not written yet, and the task that writes."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, bytes]] = []
        self.task: asyncio.Task[None] | None = None


def boot_id() -> str | None:
    """
    Return which boot of which machine the monotonic clock counts from; ``None`` where unknown.

    Linux: ``/proc/sys/kernel/random/boot_id`` (random(4)). With it the age of what was read before
    a restart of the relay stays exact; after a restart of the machine it is unknown.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def in_threads() -> Run:
    """Return a way to run verbs beside the event loop: writes in one thread, reads in a few."""
    writing = ThreadPoolExecutor(1, thread_name_prefix="store-writes")
    reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reads")

    def run(verb: Callable[[], T], is_write: bool, /) -> Awaitable[T]:
        executor = writing if is_write else reading
        return asyncio.get_running_loop().run_in_executor(executor, verb)

    return run


class StoreService:
    """
    Keeps what units say, and brings it back. Lives as long as the gateway; ``close`` it.

    Args:
        open_store: opens the database; ``None``: there is none, and every verb says so.
        clock: monotonic seconds.
        wall: the time of day, UTC.
        boot: which boot the clock counts from; see ``boot_id``.
        run: how blocking verbs are run.
    """

    def __init__(
        self,
        open_store: Callable[[], Store] | None,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        boot: str | None = None,
        run: Run | None = None,
    ) -> None:
        self._open_store = open_store
        self._clock = clock
        self._wall = wall
        self._boot = boot
        self._run = run or in_threads()
        self._store: Store | None = None
        self._closed = self._gone = False
        self._back_off = BackOff("the database", clock)
        self._versions: dict[str, int] = {}
        """Of each device's mirror rows; written by verbs that write, one after another."""
        self._unsound: set[tuple[str, int]] = set()
        """Slots whose stored waveform is damaged, until it was read again."""
        self._backlog: deque[_Waiting] = deque()
        self._backlog_bytes = 0
        self._retrying: asyncio.Task[None] | None = None
        self._images: dict[str, _Image] = {}
        self._walks: dict[str, _WalkUnderWay] = {}
        self._written_walks: set[str] = set()
        """Devices of which the database may hold a walk that has not ended."""
        self._writes_fail = False
        self._problem: StoreError | None = None
        self._problem_since: datetime | None = None
        self.writes = 0
        """Writes that were durable."""
        self.failures = 0
        """Verbs that failed by the database's fault."""
        self.damaged = 0
        """Stored waveforms that were not what their hash says."""
        self.not_archived = 0
        """Records that left the backlog unarchived, for lack of room or at the end."""

    @property
    def has_store(self) -> bool:
        """Whether there is a database, by the settings."""
        return self._open_store is not None

    async def start(self) -> None:
        """
        Open the database; if that fails, go on without it and try again later.

        Raises:
            RevisionError: it must be upgraded by hand.
            StoreInUseError: another relay has it.
        """
        if self._open_store is None:
            return
        try:
            await self._do(lambda store: store.where, is_write=True)
        except (RevisionError, StoreInUseError):
            raise
        except (StoreError, BackingOffError):
            pass  # noted and logged by ``_do``

    async def close(self) -> None:
        """Write what waits, if it can be written, and close the database."""
        if self._closed:
            return
        self._closed = True
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait([self._retrying])
        tasks = [image.task for image in self._images.values()]
        tasks += [walk.task for walk in self._walks.values()]
        for task in tasks:
            if task is not None:
                await asyncio.wait([task])
        if self._backlog:
            try:
                await self._flush()
            except (StoreError, BackingOffError) as error:
                self.not_archived += len(self._backlog)
                log.error("records_not_archived", count=len(self._backlog), error=str(error))
        self._gone = True
        store, self._store = self._store, None
        if store is not None:
            await self._run(store.close, True)

    def state(self) -> Payload:
        """Return how the database does, for people and machines."""
        self._check_file()
        if self._open_store is None:
            state = "none"
        else:
            state = "degraded" if self._problem is not None else "ok"
        since = self._problem_since
        return {
            "state": state,
            "where": None if self._store is None else self._store.where,
            "problem": None if self._problem is None else self._problem.kind,
            "detail": None if self._problem is None else str(self._problem),
            "since": None if since is None else since.isoformat(timespec="seconds"),
            "writes": self.writes,
            "failures": self.failures,
            "waiting_records": len(self._backlog),
            "waiting_bytes": self._backlog_bytes,
            "not_archived": self.not_archived,
            "damaged": self.damaged,
        }

    @property
    def problem_kind(self) -> str | None:
        """What is wrong with the database, in a word; ``None``: nothing."""
        return None if self._problem is None else self._problem.kind

    @property
    def host_clock_is_credible(self) -> bool:
        """Whether the host's clock can be right: one that was never set starts in 1970."""
        return is_credible(self._wall())

    def check_file(self) -> None:
        """
        Return if what was archived is in the file that the settings name, as far as it is known.

        Raises:
            StoreReplacedError: the database file was removed, renamed or replaced.
        """
        self._check_file()
        if isinstance(self._problem, StoreReplacedError):
            raise self._problem

    def _check_file(self) -> None:
        """Note it at once where the database file was taken away; a glance that waits for none."""
        if self._store is None or self.problem_kind not in (None, StoreReplacedError.kind):
            return
        try:
            self._store.check_file()
        except StoreError as error:
            if self._problem is None:
                self._failed(error, is_write=False)
        else:
            if self._problem is not None and not self._writes_fail:
                self._succeeded()

    # --- keeping ---------------------------------------------------------------------------------

    def origin(
        self, conn_key: str, serial: str, epoch: int, *, simulated: bool, began_mono: float
    ) -> Origin:
        """
        Return where and when something was read whose read began at ``began_mono``.

        When is unknown while the host's clock cannot be right.
        """
        read_at = self._wall() - timedelta(seconds=self._clock() - began_mono)
        return Origin(
            conn_key=conn_key,
            serial=serial,
            epoch=epoch,
            simulated=simulated,
            read_at=read_at if is_credible(read_at) else None,
            began_mono=began_mono,
            boot_id=self._boot,
        )

    async def save_info(self, origin: Origin, info: Payload) -> Outcome:
        """Write down who a unit is."""
        return await self._save(
            origin.conn_key, lambda store, seen: store.save_info(origin, seen, info)
        )

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
        waiting = _Waiting(
            f"{len(read)} events of {origin.serial}",
            sum(len(event.record) + 200 for event in read),
            lambda store: store.save_events(origin, read),
        )
        ends_walk = origin.conn_key in self._written_walks
        outcome = await self._save(
            origin.conn_key,
            lambda store, seen: store.save_list(
                origin, seen, probe, listed, read, is_servable=is_servable, ends_walk=ends_walk
            ),
            waiting if read else None,
        )
        if outcome.is_archived:
            self._written_walks.discard(origin.conn_key)
        return outcome

    async def save_waveform(
        self, origin: Origin, event: Event, payload: Payload, image: bytes, *, is_mirrored: bool
    ) -> Outcome:
        """Archive a waveform with its event; mirror that it is in its slot."""
        waiting = _Waiting(
            f"the waveform of {event.key.hex()} of {origin.serial}",
            len(image) + len(payload["counts"]),
            lambda store: store.save_waveform(
                origin, None, event, payload, image, is_mirrored=False
            ),
        )
        return await self._save(
            origin.conn_key,
            lambda store, seen: store.save_waveform(
                origin, seen, event, payload, image, is_mirrored=is_mirrored
            ),
            waiting,
            waveform=event.index,
        )

    async def drop(self, conn_key: str, epoch: int, reason: str) -> int | None:
        """
        Drop the mirror of a device; return the epoch that it is at now.

        Raises:
            StoreError: it could not be dropped there.
        """
        if self._open_store is None:
            return None

        def drop(store: Store) -> int:
            beyond, self._versions[conn_key] = store.drop(conn_key, epoch, reason)
            return beyond

        return await self._do(drop, is_write=True)

    async def forget_info(self, conn_key: str) -> int | None:
        """
        Forget in the mirror how a device is set up: its settings were written.

        Returns the epoch to begin beyond, if somebody else wrote the device's rows and nothing was
        forgotten; ``None``: it is forgotten, or there is no database.

        Raises:
            StoreError: it could not be forgotten there.
            BackingOffError: the database failed lately and is left alone for a moment.
        """
        if self._open_store is None:
            return None

        def forget(store: Store) -> int | None:
            mirrored = store.forget_info(conn_key, self._versions.get(conn_key)).mirror
            if isinstance(mirrored, Fenced):
                self._versions[conn_key] = mirrored.version
                return mirrored.epoch
            assert mirrored is not None
            self._versions[conn_key] = mirrored
            return None

        return await self._do(forget, is_write=True)

    async def erase_check(
        self, conn_key: str, count: int, walked: Sequence[Payload] | None = None
    ) -> EraseCheck:
        """
        Return which of a device's ``count`` events an erase would lose, by their indices.

        Without a database, and where the mirror does not prove otherwise: all of them. What waits
        for the database is not archived. ``walked`` is the list just walked, if it was.

        Raises:
            StoreError: the database could not be read.
            BackingOffError: it could not be opened lately and is left alone for a moment.
        """
        seen = self._versions.get(conn_key)
        if self._open_store is None or seen is None:
            return EraseCheck(unarchived=list(range(count)), contradicted=[])
        return await self._do(
            lambda store: store.erase_check(conn_key, seen, count, walked), is_write=False
        )

    async def note(self, entry: AuditEntry) -> int | None:
        """
        Add an entry to the audit log; return its number, ``None`` where there is no database.

        It is durable then: what must not happen unseen waits for this.

        Raises:
            StoreError: there is a database, and it did not take the entry.
        """
        if self._open_store is None:
            return None
        return await self.change(lambda store: store.note(entry))

    # --- bringing back ---------------------------------------------------------------------------

    async def load(self, conn_key: str) -> LoadedDevice | None:
        """
        Return what is known of a device from before; ``None``: nothing.

        Where a row of it is damaged, all of it is dropped: only an epoch beyond is left.

        Raises:
            StoreError: the database could not be read, or what is damaged not be dropped.
        """
        try:
            return await self._do(lambda store: store.load(conn_key), is_write=False)
        except DamagedMirrorError as error:
            damage = str(error)
        self.damaged += 1
        log.error("mirror_damaged", unit=conn_key, error=damage)

        def drop(store: Store) -> LoadedDevice | None:
            store.drop_damaged(conn_key, damage)
            return store.load(conn_key)

        return await self._do(drop, is_write=True)

    def mark_adopted(self, conn_key: str, found: LoadedDevice) -> None:
        """Note that the cache begins where the mirror stands; else what is written is fenced."""
        self._versions[conn_key] = found.version
        self._written_walks.add(conn_key)

    async def load_waveform(
        self, conn_key: str, index: int, epoch: int
    ) -> tuple[LoadedWaveform, Payload] | None:
        """
        Return the waveform of a slot in that epoch, if the store has it and it is sound.

        Raises:
            UndecodedSamplesError: its image is archived, and its samples could not be decoded.
        """
        seen = self._versions.get(conn_key)
        if seen is None or (conn_key, index) in self._unsound:
            return None
        try:
            return await self._do(
                lambda store: store.load_waveform(conn_key, index, epoch, seen), is_write=False
            )
        except DamagedRecordError as error:
            self.damaged += 1
            self._unsound.add((conn_key, index))
            log.error("stored_waveform_damaged", unit=conn_key, index=index, error=str(error))
        except UndecodedSamplesError:
            raise
        except (StoreError, BackingOffError):
            pass
        return None

    def began_mono(self, read_time: ReadTime | None) -> float:
        """Return when a value was read, by our clock; ``-inf`` where that is unknown."""
        if read_time is None or read_time.began_mono is None or read_time.boot_id is None:
            return -math.inf
        if read_time.boot_id != self._boot or read_time.began_mono > self._clock():
            return -math.inf
        return read_time.began_mono

    async def ask(self, look: Callable[[Store], T]) -> T:
        """
        Return what ``look`` finds in the archive.

        Raises:
            StoreError: of the archive, or of the database.
        """
        return await self._asked(look, is_write=False)

    async def change(self, act: Callable[[Store], T]) -> T:
        """Return what ``act`` brings, durable; errors as with ``ask``."""
        return await self._asked(act, is_write=True)

    async def _asked(self, verb: Callable[[Store], T], *, is_write: bool) -> T:
        if self._open_store is None:
            raise NoStoreError(
                "this relay keeps no archive: SFM_DATABASE_URL is none; set it to a database"
            )
        try:
            return await self._do(verb, is_write=is_write)
        except BackingOffError as error:
            kind = type(self._problem) if self._problem is not None else StoreLostError
            raise kind(f"{self._problem or error}; it is tried again soon") from None

    # --- images under way ------------------------------------------------------------------------

    def save_chunk(self, conn_key: str, epoch: int, event: Event, start: int, data: bytes) -> None:
        """Keep a part of an image that is being read, soon; ``settle`` waits for it."""
        if self._open_store is None:
            return
        image = self._images.setdefault(conn_key, _Image())
        image.parts.append((start, data))
        if image.task is None:
            image.task = asyncio.create_task(self._write_chunks(conn_key, epoch, event, image))

    async def settle(self, conn_key: str) -> None:
        """Return once every part given so far is written, or could not be."""
        image = self._images.get(conn_key)
        if image is not None and image.task is not None:
            await asyncio.wait([image.task])

    async def load_chunks(self, conn_key: str, epoch: int, event: Event) -> bytes:
        """Return what was kept of an event's image in that epoch, from its first byte on."""
        seen = self._versions.get(conn_key)
        if seen is None:
            return b""
        try:
            return await self._do(
                lambda store: store.load_chunks(conn_key, epoch, seen, event), is_write=False
            )
        except (StoreError, BackingOffError):
            return b""

    async def forget_chunks(self, conn_key: str, event: Event) -> None:
        """Forget what was kept of an event's image."""
        if self._open_store is not None:
            await self._quietly(lambda store: store.forget_chunks(conn_key, event))

    async def _write_chunks(self, conn_key: str, epoch: int, event: Event, image: _Image) -> None:
        # Whatever comes while a write is under way goes together with the next.
        try:
            while image.parts:
                parts, image.parts = image.parts, []
                await self._quietly(
                    lambda store, parts=parts: store.save_chunks(  # type: ignore[misc]
                        conn_key, epoch, self._versions.get(conn_key), event, parts
                    )
                )
        finally:
            image.task = None

    async def _quietly(self, verb: Callable[[Store], Any]) -> None:
        # A failure is noted by ``_do``; what was not kept is read again.
        with contextlib.suppress(StoreError, BackingOffError):
            await self._do(verb, is_write=True)

    # --- walks under way -------------------------------------------------------------------------

    def save_walked_event(self, origin: Origin, walk: Walk, event: Event) -> None:
        """
        Archive an event of a walk, soon; ``settle_walk`` waits for it.

        The last one waits for its follower: what ends a list is written together with the list.
        """
        if self._open_store is None:
            return
        under_way = self._walks.setdefault(origin.conn_key, _WalkUnderWay())
        under_way.events.append((origin, walk, event))
        if len(under_way.events) > 1 and under_way.task is None:
            under_way.task = asyncio.create_task(self._write_walked(under_way, spare=1))

    async def settle_walk(self, conn_key: str, *, is_cut: bool) -> None:
        """
        Return once every event given so far is written, or could not be.

        Unless the walk was cut, those not begun yet are left to the list that it ends in.
        """
        under_way = self._walks.pop(conn_key, None)
        if under_way is None:
            return
        if not is_cut:
            under_way.events.clear()
        if under_way.task is not None:
            await asyncio.wait([under_way.task])
        if under_way.events:
            await self._write_walked(under_way, spare=0)

    async def save_walk(self, origin: Origin, walk: Walk) -> None:
        """Write down all that a walk has read."""
        if self._open_store is not None:
            await self._save_walked_events(origin, walk, list(walk.events))

    async def forget_walk(self, conn_key: str) -> None:
        """Forget a walk that has not ended; its events stay in the archive."""
        if conn_key in self._written_walks:
            await self._quietly(lambda store: store.forget_walk(conn_key))
            self._written_walks.discard(conn_key)

    async def save_volatile_offsets(
        self, serial: str, firmware: str, offsets: frozenset[int]
    ) -> None:
        """Write down which bytes of a unit's records change while the event stays the same."""
        if self._open_store is not None and serial:
            await self._quietly(
                lambda store: store.save_volatile_offsets(serial, firmware, offsets)
            )

    async def _write_walked(self, under_way: _WalkUnderWay, *, spare: int) -> None:
        # Whatever comes while a write is under way goes together with the next.
        try:
            while len(under_way.events) > spare:
                batch = under_way.events[: len(under_way.events) - spare]
                del under_way.events[: len(batch)]
                origin, walk, _ = batch[0]
                await self._save_walked_events(origin, walk, [event for _, _, event in batch])
        finally:
            under_way.task = None

    async def _save_walked_events(self, origin: Origin, walk: Walk, read: Sequence[Event]) -> None:
        first = read[0].index if read else walk.count
        waiting = _Waiting(
            f"{len(read)} walked events of {origin.serial}",
            sum(len(event.record) + 200 for event in read),
            lambda store: store.save_events(origin, read, is_proven=False),
        )
        self._written_walks.add(origin.conn_key)
        # Where another relay wrote, the list that follows finds it out: the version stays as it is.
        await self._save(
            origin.conn_key,
            lambda store, seen: store.save_walk(origin, seen, walk, first, read),
            waiting if read else None,
            notes_fence=False,
        )

    # --- inside ----------------------------------------------------------------------------------

    async def _save(
        self,
        conn_key: str,
        save: Callable[[Store, int | None], WriteResult],
        waiting: _Waiting | None = None,
        waveform: int | None = None,
        *,
        notes_fence: bool = True,
    ) -> Outcome:
        """Write, or let the record wait for a better time; never fails."""
        if self._open_store is None:
            return NOT_ARCHIVED

        def write(store: Store) -> WriteResult:
            kept = save(store, self._versions.get(conn_key))
            if isinstance(kept.mirror, Fenced):
                if notes_fence:
                    self._versions[conn_key] = kept.mirror.version
            elif kept.mirror is not None:
                self._versions[conn_key] = kept.mirror
            return kept

        try:
            if self._backlog:
                await self._flush()
            kept = await self._do(write, is_write=True)
        except NoSerialError as error:
            log.error("record_refused", unit=conn_key, error=str(error))
            return NOT_ARCHIVED
        except (StoreError, BackingOffError):
            if waiting is not None:
                self._let_wait(waiting)
            return NOT_ARCHIVED
        self.writes += 1
        if waveform is not None:
            self._unsound.discard((conn_key, waveform))
        fenced = kept.mirror.epoch if isinstance(kept.mirror, Fenced) else None
        return Outcome(True, fenced, kept.public_id)

    async def _do(self, verb: Callable[[Store], T], *, is_write: bool) -> T:
        """
        Run a verb, opening the database first if it is not; note how the database does.

        Raises:
            StoreError: what went wrong.
            BackingOffError: it failed lately and is left alone for a moment.
        """
        if self._gone:
            raise StoreLostError("the relay is shutting down")
        if is_write or self._store is None:
            self._back_off.check()

        def run() -> T:
            if self._store is None:
                assert self._open_store is not None
                self._store = self._open_store()
            return verb(self._store)

        try:
            result = await self._run(run, is_write or self._store is None)
        except _NOT_THE_DATABASES_FAULT:
            raise
        except StoreError as error:
            self._failed(error, is_write=is_write)
            raise
        except SQLAlchemyError as error:
            # Our fault; what the statement was stands in the log and nowhere else.
            ours = StoreError("the database refused a statement; the relay's log says which")
            self._failed(ours, is_write=is_write)
            log.error("store_statement_refused", error=str(error), exc_info=error)
            raise ours from error
        if is_write or not self._writes_fail:
            self._succeeded()
        return result

    def _failed(self, error: StoreError, *, is_write: bool) -> None:
        self.failures += 1
        if is_write or self._store is None:
            # A read that fails keeps no record waiting.
            self._back_off.failed(error)
            self._writes_fail = True
        if self._problem is None:
            self._problem_since = self._wall()
        is_new = self._problem is None or self._problem.kind != error.kind
        if is_new and not isinstance(error, RevisionError | StoreInUseError):
            log.error("store_failed", problem=error.kind, error=str(error))
        self._problem = error

    def _succeeded(self) -> None:
        self._back_off.succeeded()
        if self._problem is not None:
            log.info("store_recovered", problem=self._problem.kind, waiting=len(self._backlog))
        self._problem = self._problem_since = None
        self._writes_fail = False

    def _let_wait(self, waiting: _Waiting) -> None:
        self._backlog.append(waiting)
        self._backlog_bytes += waiting.size_bytes
        while self._backlog_bytes > BACKLOG_BYTES:
            lost = self._backlog.popleft()
            self._backlog_bytes -= lost.size_bytes
            self.not_archived += 1
            log.error("record_not_archived", what=lost.what, reason="too many wait")
        if self._retrying is None and not self._closed:
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        try:
            while self._backlog:
                await asyncio.sleep(RETRY_S)
                try:
                    await self._flush()
                except (StoreError, BackingOffError):
                    continue
        finally:
            self._retrying = None

    async def _flush(self) -> None:
        """Write what waits, the oldest first; what is written twice is there once."""
        while self._backlog:
            waiting = self._backlog[0]
            await self._do(waiting.save, is_write=True)
            if self._backlog and self._backlog[0] is waiting:
                self._backlog.popleft()
                self._backlog_bytes -= waiting.size_bytes
            self.writes += 1
            log.info("record_archived_late", what=waiting.what)
