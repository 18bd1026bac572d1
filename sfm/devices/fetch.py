"""
Fetch: read the image of every event that a unit stores and the archive does not have whole.

A fetch takes the unit's connection in turns. A turn proves the event list once and then downloads
event after event. It lets short reads in between two chunks, and ends between two events as soon as
anybody else waits for the unit. A turn that the link cuts is followed by another one, which
continues in the middle of the event (``download``); while turns bring nothing, the wait between
them grows (``sfm.back_off``), and after ``IDLE_LIMIT_S`` the fetch gives up.

The newest event comes first: it is the one that people wait for, older ones were often archived
before, and a link may be lost for good at any time. An event whose read ends without a new byte
goes behind the others. It is given up at the third time that the unit was to blame.

The rule: an event counts as archived when the database was asked afterwards and confirmed it, by
the check that an erase relies on (``StoreService.erase_check``). Nothing follows from a download
that ended well.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import LinkError, MemoryChangedError, MiniMateError, SampleDecodeError
from minimateplus.link import Address
from minimateplus.model import Progress
from sfm.back_off import BackingOffError, BackOff
from sfm.devices.device import Device
from sfm.devices.durable_cache import FencedError
from sfm.devices.event_list import AppendContradictedError, ListIncompleteError, ProvenList
from sfm.devices.gateway import Gateway, as_target
from sfm.devices.operations import Report as OperationReport
from sfm.devices.reading import Reading, is_unreachable
from sfm.devices.single_flight import BusyError, SharedRead
from sfm.devices.target import Target
from sfm.devices.unit_access import Report
from sfm.errors import SfmError
from sfm.records.payloads import Payload
from sfm.records.site_time import instant_of
from sfm.store.errors import NoStoreError, StoreError, StoreLostError, StoreReadOnlyError

__all__ = ["FetchIncompleteError", "Fetches", "event_names"]

IDLE_LIMIT_S = 900.0
"""How long turns may bring nothing before the fetch gives up, s."""
ATTEMPTS_PER_EVENT = 3
"""How often the read of one event may fail while the link stands."""

log = structlog.get_logger(__name__)


class FetchIncompleteError(SfmError):
    """The fetch gave up. ``result`` says what it archived and what is missing."""

    def __init__(self, message: str, result: Payload) -> None:
        super().__init__(message)
        self.result = result


class Fetches:
    """
    Fetches of every unit. Lives as long as its gateway, and owns nothing.

    Args:
        gateway: gives exclusive use of a unit's connection.
        clock: monotonic seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._sleep = sleep

    def check_store(self) -> None:
        """
        Return if there is a database to fetch into.

        Raises:
            NoStoreError: the settings name none.
            StoreReadOnlyError: a relay uses it, and this program only reads it.
        """
        if self._gateway.store_service.is_read_only:
            raise StoreReadOnlyError(
                "nothing can be fetched here: a relay uses the database, so it is open for reading "
                "only; fetch through that relay with --relay"
            )
        if not self._gateway.store_service.has_store:
            raise NoStoreError(
                "nothing can be fetched: SFM_DATABASE_URL is none, so there is no archive; set it "
                "to a database"
            )

    async def fetch(
        self,
        target: Address | Target,
        report: OperationReport,
        *,
        since: str | None = None,
        reads_contradicted: bool = False,
    ) -> Payload:
        """
        Archive the image of every event that the archive does not have whole; return what was done.

        Args:
            target: an address, or what was resolved for a name or serial number.
            report: receives each step.
            since: only events of this unit time (ISO 8601) or later; an event without a time, or of
                a clock that lost power, is always read, because it may be later.
            reads_contradicted: download once more what is whole, contradicts itself and came once
                only: an erase counts it when the same bytes come again.

        Raises:
            NoStoreError: the settings name no database.
            ConnectError: the address leads nowhere, and nothing was read yet.
            FetchIncompleteError: turns brought nothing for ``IDLE_LIMIT_S``.
            MemoryChangedError: the memory was erased meanwhile, or another unit answers.
            MiniMateError: the unit's event list is damaged.
        """
        self.check_store()
        name = as_target(target).name
        fetch = _Fetch(self._gateway, report, since, reads_contradicted)
        back_off = BackOff(name, self._clock)
        began = self._clock()
        progressed_mono, before = began, fetch.progress
        while True:
            try:
                is_done = await self._gateway.run_alone(target, "fetch", fetch.take_turn)
                cause: Exception | None = None
            except (
                MiniMateError,
                BusyError,
                ListIncompleteError,
                StoreError,
                BackingOffError,
            ) as e:
                if not _is_passing(e) or (fetch.progress == 0 and _names_nothing(e)):
                    raise
                is_done, cause = False, e
            if is_done:
                return fetch.result(round(self._clock() - began, 3))
            if cause is None or fetch.progress > before:
                progressed_mono, before = self._clock(), fetch.progress
                back_off.succeeded()
                fetch.note_progress()
            if cause is None:
                continue
            log.info("fetch_cut", unit=name, error=str(cause))
            back_off.failed(cause)
            fetch.report_cut(cause)
            if self._clock() - progressed_mono >= IDLE_LIMIT_S:
                raise FetchIncompleteError(
                    f"{name}: {fetch.sentence()}; then nothing more came for "
                    f"{IDLE_LIMIT_S / 60:.0f} minutes, and the fetch ended; start it again, and it "
                    f"continues where it was; last: {cause}",
                    fetch.result(round(self._clock() - began, 3)),
                ) from cause
            await self._sleep(back_off.remaining_s)


def _is_passing(error: Exception) -> bool:
    """Whether another turn may go better."""
    if isinstance(error, _MemoryGoneError):
        return False
    if not isinstance(error, MiniMateError):
        return True
    return is_unreachable(error) or isinstance(error, MemoryChangedError)


def _names_nothing(error: Exception) -> bool:
    """Whether the address leads nowhere from this machine, as a misspelt name does."""
    diagnosis = error.diagnosis if isinstance(error, MiniMateError) else None
    return diagnosis in ("unknown-host", "no-such-port", "not-serial")


def event_names(events: list[Payload], indices: list[int]) -> list[Payload]:
    """Return what names events to people: index, key and time, in the order of ``indices``."""
    by_index = {event["index"]: event for event in events}
    return [
        {name: by_index[index][name] for name in ("index", "waveform_key", "timestamp")}
        for index in indices
    ]


class _MemoryGoneError(MemoryChangedError):
    """The memory that the fetch began with is not there any more."""


class _Fetch:
    """One fetch: what it has archived so far, and what is left."""

    def __init__(
        self, gateway: Gateway, report: OperationReport, since: str | None, reads_contradicted: bool
    ) -> None:
        self._gateway = gateway
        self._report = report
        self._since = since
        self._reads_contradicted = reads_contradicted
        self._device: Device | None = None
        self._epoch: int | None = None
        self._events: list[Payload] = []
        self._pending: list[int] = []
        """What is to be read next, in this order."""
        self._archived: set[int] = set()
        self._there: set[int] = set()
        """Archived before, or by another reader meanwhile."""
        self._contradicted: set[int] = set()
        self._failed: dict[int, str] = {}
        self._downloaded: set[int] = set()
        self._failures: Counter[int] = Counter()
        self._set_back: Counter[int] = Counter()
        """How often an event went behind the others."""
        self._most_walked = 0
        self._is_proven_on_disk = True
        """Whether the database had the proven list when it was asked last."""
        self._image_bytes: dict[int, int] = {}
        """How much of each event's image has come so far."""
        self._exchanges = 0
        self._turns = 0

    # --- how far it is --------------------------------------------------------------------------

    @property
    def progress(self) -> int:
        """A number that rises with everything that a turn brings."""
        walked = 0 if self._device is None else len(self._device.event_list.walked)
        self._most_walked = max(self._most_walked, walked, len(self._events))
        settled = len(self._archived) + len(self._there) + len(self._failed)
        return self._most_walked + settled + self._read_bytes

    @property
    def _read_bytes(self) -> int:
        return sum(self._image_bytes.values())

    def note_progress(self) -> None:
        """Let other readers try the unit: it was read, and the next turn continues."""
        if self._device is not None:
            self._device.note_success()

    def result(self, took_s: float) -> Payload:
        """Return what was done as plain values."""
        device = self._device
        failed = event_names(self._events, sorted(self._failed))
        return {
            "command": "fetch",
            "conn_key": None if device is None else device.conn_key,
            "serial": None if device is None else device.serial,
            "simulated": None if device is None else device.simulated,
            "epoch": self._epoch,
            "events": len(self._events),
            "archived": len(self._archived),
            "already_archived": len(self._there),
            "contradicted": sorted(self._contradicted),
            "failed": [{**named, "why": self._failed[named["index"]]} for named in failed],
            "missing": event_names(self._events, sorted(self._pending)),
            "read_bytes": self._read_bytes,
            "exchanges": self._exchanges,
            "turns": self._turns,
            "took_s": took_s,
        }

    def sentence(self) -> str:
        """Return how far it came, for people."""
        if not self._events:
            return "the event list could not be read"
        missing = len(self._pending) + len(self._failed)
        return f"events archived: {len(self._archived)}, missing: {missing}"

    def report_cut(self, cause: Exception) -> None:
        """Say why the last turn ended, while the next one is waited for."""
        self._report_step(cause)

    def _report_step(self, cause: Exception | None = None) -> None:
        done = len(self._archived) + len(self._failed)
        total = None if self._epoch is None else done + len(self._pending)
        self._report("events archived", done, total, self._read_bytes, cause)

    def _gone(self, device: Device) -> _MemoryGoneError:
        return _MemoryGoneError(
            f"{device.conn_key}: the memory was erased while it was fetched, or another unit "
            f"answers there now; {self.sentence()}; start the fetch again for what is there now"
        )

    # --- one turn -------------------------------------------------------------------------------

    async def take_turn(self, device: Device, report: Report) -> bool:
        """
        Read until nothing is left or somebody else waits; return whether nothing is left.

        Raises:
            MiniMateError, StoreError, ListIncompleteError: what ended it; see ``_is_passing``.
        """
        if self._device is not None and self._device.serial not in (None, device.serial):
            raise self._gone(device)
        self._device = device
        self._turns += 1
        spent = device.usage.exchanges
        session, whole = device.session(is_read=True), False
        try:
            while True:
                try:
                    async with session as unit:
                        return await self._archive_pending(device, unit, report, whole=whole)
                except AppendContradictedError as contradiction:
                    log.info("append_contradicted", unit=device.conn_key, reason=str(contradiction))
                    whole = True
        finally:
            self._exchanges += device.usage.exchanges - spent

    async def _archive_pending(
        self, device: Device, unit: MiniMate, report: Report, *, whole: bool
    ) -> bool:
        shared_read = SharedRead[Reading]("fetch", forced=True)
        shared_read.notify = lambda step: report(step.what, step.done, step.total)
        proven = await self._prove(device, unit, shared_read, whole=whole)
        while self._pending:
            index = self._pending[0]
            event, bytes_before = proven.event(index, device.conn_key), self._image_bytes.get(index)
            shared_read.notify = partial(self._note_chunk, index, report)
            try:
                await device.downloads.download(unit, event, proven.probe, shared_read, whole=False)
            except SampleDecodeError as error:
                if error.waveform is None:
                    raise
                # The whole image was read, and archived as it is.
            except (MemoryChangedError, FencedError) as error:
                # What came is discarded. If the memory is another one, the next proof ends the
                # fetch; otherwise the event is tried again.
                self._count_failure(index, error)
                proven = await self._prove(device, unit, shared_read, whole=False)
                continue
            except MiniMateError as error:
                if self._image_bytes.get(index) == bytes_before:
                    if isinstance(error, LinkError):
                        self._move_behind(index)
                    else:
                        self._count_failure(index, error)
                raise
            self._downloaded.add(index)
            # If the unit recorded meanwhile, the download proved a longer list.
            if (device.durable.probe, device.durable.epoch) != (proven.probe, self._epoch):
                proven = await self._prove(device, unit, shared_read, whole=False)
            else:
                await self._confirm(device, index, was_walked=whole)
            # Nobody waits for more than one event: short reads go in now, and for everybody else
            # the turn ends.
            await device.single_flight.let_short_reads_in()
            if device.single_flight.waiting_readers:
                break
        return not self._pending

    async def _prove(
        self, device: Device, unit: MiniMate, shared_read: SharedRead[Reading], *, whole: bool
    ) -> ProvenList:
        """Prove the list, and find out what of it the archive does not have."""
        proven = await device.event_list.prove(unit, shared_read, whole=whole)
        if self._epoch not in (None, device.durable.epoch):
            raise self._gone(device)
        self._epoch, self._events = device.durable.epoch, proven.events
        unsettled = self._unsettled()
        missing = await self._missing(device, unsettled)
        settled = unsettled - missing
        self._archived |= settled & self._downloaded
        self._there |= settled - self._downloaded
        self._pending = list(missing)
        self._sort_pending()
        self._report_step()
        return proven

    def _unsettled(self) -> set[int]:
        """Return the selected events that are neither known to be archived nor given up."""
        selected = {event["index"] for event in self._events if self._is_selected(event)}
        return selected - self._archived - self._there - set(self._failed)

    def _is_selected(self, event: Payload) -> bool:
        if self._since is None:
            return True
        text = event["timestamp"]
        at = None if text is None else datetime.fromisoformat(text)
        # The time of a clock that lost power says nothing: the event may be later.
        has_no_time = instant_of(at, None).unknown in ("no-unit-time", "before-2000")
        return has_no_time or at is None or at >= datetime.fromisoformat(self._since)

    async def _missing(self, device: Device, indices: set[int]) -> set[int]:
        """Return which of some events are to be read, and note those that are contradicted."""
        check = await self._gateway.store_service.erase_check(
            device.key, len(self._events), self._events, indices
        )
        self._is_proven_on_disk = set(check.unarchived) <= indices
        contradicted = indices & set(check.contradicted)
        self._contradicted |= contradicted
        missing = indices & set(check.unarchived)
        return missing if self._reads_contradicted else missing - contradicted

    async def _confirm(self, device: Device, index: int, *, was_walked: bool) -> None:
        """
        Note whether the archive has an event now that was downloaded.

        Raises:
            AppendContradictedError: the database does not have the list that was proven, so it
                confirms nothing; the memory must be walked again.
            StoreLostError: the database failed.
        """
        if index not in await self._missing(device, {index}):
            self._pending.remove(index)
            self._archived.add(index)
            self._report_step()
            return
        detail = self._gateway.store_service.state()["detail"]
        if detail is not None:
            raise StoreLostError(f"event {index} was read and is not archived: {detail}")
        if not self._is_proven_on_disk and not was_walked:
            raise AppendContradictedError("the database does not have the event list")
        unlike = "it contradicts itself, and each download brought other bytes"
        absent = "it was downloaded, and the archive does not have it"
        self._count_failure(index, unlike if index in self._contradicted else absent)

    def _count_failure(self, index: int, why: Exception | str) -> None:
        """Put an event behind the others; at the third time, give it up."""
        self._failures[index] += 1
        if self._failures[index] >= ATTEMPTS_PER_EVENT:
            self._failed[index] = str(why)
            self._pending.remove(index)
        else:
            self._move_behind(index)

    def _move_behind(self, index: int) -> None:
        self._set_back[index] += 1
        self._sort_pending()

    def _sort_pending(self) -> None:
        self._pending.sort(key=lambda index: (self._set_back[index], -index))

    def _note_chunk(self, index: int, report: Report, step: Progress) -> None:
        self._image_bytes[index] = max(self._image_bytes.get(index, 0), step.done)
        report(f"bytes of event {index}", step.done, step.total)
        self._report_step()
