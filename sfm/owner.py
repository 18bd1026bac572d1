"""
The owner of one device: the reads that its flights make, and how each fills the cache.

The rule: what a read brings is stored under the generation taken before its first byte, and under
the unit that was asked. So every read first makes sure who answers, the event list is proven by a
probe before and after it is walked, and a waveform's slot before and after its samples are fetched.

What a new probe says of the held list (``sfm.identity``) decides what is read:

============  ==================================================================================
verdict       what is read
============  ==================================================================================
same          nothing; the held list is proven
grew          the old last event again; if it and the counts confirm it, only what follows it
replaced      everything, after everything held of the device was dropped
unproven      everything; the held list must be the beginning of it, word for word
============  ==================================================================================

A list that does not follow from the held one is of another memory: everything held goes first. A
device that was dropped by somebody else during a read gets nothing of that read (``LiveCache``).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    DeadlineError,
    KeyChainError,
    LinkError,
    MemoryChangedError,
    MiniMateError,
    NoSuchEventError,
    OutcomeUnknownError,
    ReadBackError,
    RemoteProtocolError,
    ReplyTimeoutError,
    SampleDecodeError,
)
from minimateplus.model import Event, MemoryProbe, Progress, UnitInfo, Waveform
from sfm import forms
from sfm.backoff import BackOff, RestingError
from sfm.flights import Departures, Flight, shut
from sfm.forms import Form
from sfm.identity import Stamp, Verdict, compare_probes, confirms_append, last_stamp, stamp_of
from sfm.keeper import Keeper, Outcome
from sfm.line import Line
from sfm.live_cache import Held, LiveCache
from sfm.progress import ProgressLog
from sfm.store import Noted, Origin, Recalled, StoreError
from sfm.store.errors import UndecodedSamplesError

__all__ = ["DISK", "Owner", "ReadTimes", "Reading", "Source", "Why", "is_unreachable", "pick"]

T = TypeVar("T")

Why = Literal["hit", "miss", "request", "stale", "partial"]
"""Why the device was read, in the words of RFC 9211 (``fwd=``); ``hit`` when nothing was."""

Source = Literal["device", "cache", "disk"]
"""``disk``: read before the relay's last start, or brought back from the store."""

ATTEMPTS_WHILE_CHANGING = 3
"""How often a read starts again when the unit records or is erased under it."""

DISK = "disk"
"""The source of what was read before the relay's last start."""

OTHER_MEMORY = "the unit's memory is not the one that the list was read from"

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Reading:
    """
    What a flight brings for everybody aboard. It is shared: nobody changes it.

    (Not frozen, as ``Provenance`` is not: each hit makes one.)
    """

    produce: Callable[[], Any]
    """Gives the form."""
    why: Why
    read_began_mono: float
    epoch: int
    serial: str | None
    """Who was asked."""
    simulated: bool | None
    """Whether that unit says it is a simulation; ``None``: it was not asked."""
    checked_mono: float | None = None
    """When the unit's memory was last asked whether the value is still what it holds."""
    exchanges: int = 0
    took_s: float = 0.0
    stored: bool = False
    """Whether it was kept in the cache."""
    memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What readers made of the form, such as its encoded form; shared by all of them."""
    source: Source = "device"


def is_unreachable(error: Exception) -> bool:
    """Whether an error says that the unit cannot be read now, by its own fault or the road's."""
    if isinstance(error, KeyChainError | SampleDecodeError | ReadBackError):
        return False  # it answers well; what it holds is damaged, or not what was written
    if isinstance(error, OutcomeUnknownError):
        return True
    return isinstance(error, LinkError | ReplyTimeoutError | DeadlineError | RemoteProtocolError)


class ReadTimes:
    """How long reads took, as a histogram: readings up to each bound."""

    BOUNDS_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, math.inf)

    def __init__(self) -> None:
        self.counts = [0] * len(self.BOUNDS_S)
        self.sum_s = 0.0

    def add(self, took_s: float) -> None:
        """Count one read."""
        self.counts[bisect_left(self.BOUNDS_S, took_s)] += 1
        self.sum_s += took_s


class _FencedError(Exception):
    """Another relay wrote what the database holds of this device: begin anew, beyond its epoch."""


class _AppendRefusedError(Exception):
    """The new events do not simply follow the old ones: read everything."""


@dataclass(frozen=True, slots=True)
class _ProvenList:
    """The event list as the unit holds it now."""

    events: list[Form]
    why: Why
    began_mono: float
    """When the read began that the events come from."""
    proven_mono: float
    """When the probe began that proves them."""
    probe: MemoryProbe
    stored: bool = False
    of: Held | None = None
    """What was held, when nothing was read."""

    def event(self, index: int, unit: str) -> Event:
        return forms.event_of(pick(self.events, index, unit))


@dataclass(frozen=True, slots=True)
class _Begun:
    """What came of an event's image before its read was cut."""

    epoch: int
    event: Event
    image: bytearray


@dataclass(frozen=True, slots=True)
class _Told:
    """What is remembered of a list that was told, so that its epoch holds no other memory."""

    epoch: int
    probe: MemoryProbe
    count: int
    digest: bytes


def _digest(events: list[Form]) -> bytes:
    return blake2b(repr(events).encode(), digest_size=16).digest()


def pick(events: list[Form], index: int, unit: str) -> Form:
    """
    Return the event of that index.

    Raises:
        NoSuchEventError: the list has none.
    """
    for event in events:
        if event["index"] == index:
            return event
    raise NoSuchEventError(f"{unit}: no event {index}; the unit holds {len(events)}")


class Owner:
    """Talks to one device, alone. Lives as long as the gateway; ``close`` ends its reads."""

    def __init__(
        self,
        conn_key: str,
        line: Line,
        cache: LiveCache,
        keeper: Keeper,
        clock: Callable[[], float],
        departures: Departures,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        zones: Mapping[str, ZoneInfo] | None = None,
    ) -> None:
        self.conn_key = conn_key
        self.line = line
        self.departures = departures
        self.back_off = BackOff(conn_key, clock)
        self.read_times = ReadTimes()
        self.progress = ProgressLog()
        self.serial: str | None = None
        """Who answered last; ``None`` before the first contact."""
        self.simulated: bool | None = None
        """Whether that unit says it is a simulation; ``None`` before it was asked."""
        self.is_recalled = False
        """Whether what the store knows of the device was taken up, or found to be nothing."""
        self._is_met = False
        """Whether the unit that answers now was asked who it is, in this life of the relay."""
        self._begun: _Begun | None = None
        """The image of the last download, where it was cut."""
        self.verdicts: dict[str, int] = {verdict.value: 0 for verdict in Verdict}
        self._told: _Told | None = None
        """The last list that was told, whether the cache kept it or not."""
        self._cache = cache
        self._keeper = keeper
        self._clock = clock
        self._wall = wall
        self._zones = zones or {}

    async def close(self) -> None:
        """End every read and hang up."""
        self.progress.close()
        await self.departures.close()
        await self.line.close()

    def reading_of(
        self, held: Held, why: Why = "hit", checked_mono: float | None = None
    ) -> Reading:
        """Return what is held as a reading that cost nothing."""
        return Reading(
            produce=held.value,
            memo=held.memo,
            why=why,
            read_began_mono=held.read_began_mono,
            checked_mono=checked_mono,
            epoch=held.epoch,
            serial=self.serial,
            simulated=self.simulated,
            source="disk" if held.source == DISK else "cache",
        )

    # --- what the store knows -------------------------------------------------------------------

    def take_up(self, found: Recalled) -> bool:
        """
        Take what was known before the relay's last start into the cache, as not proven yet.

        Returns False when the cache knows something of the device already: then that stands.
        """
        if not self._cache.begin_at(self.conn_key, found.epoch, found.epoch_reason):
            return False
        if found.serial is None:
            return True
        self.serial, self.simulated = found.serial, found.simulated
        if found.info is not None:
            self._cache.set_device_info(
                self.conn_key,
                found.info,
                read_began_mono=self._keeper.began_mono(found.info_noted),
                source=DISK,
            )
            _note_time(self._cache.held_info(self.conn_key), found.info_noted)
        if found.events is None or found.probe is None:
            return True
        self._told = _Told(found.epoch, found.probe, len(found.events), _digest(found.events))
        if found.events_noted is None:
            return True  # it was told, and was late: it is compared with, and not shown
        self._cache.set_events(
            self.conn_key,
            len(found.events),
            found.events,
            probe=found.probe,
            read_began_mono=self._keeper.began_mono(found.events_noted),
            source=DISK,
            proven=False,
        )
        _note_time(self._cache.held_events(self.conn_key), found.events_noted)
        return True

    async def recall_waveform(self, index: int, *, is_proven: bool = False) -> Held | None:
        """
        Return the waveform of a slot from memory or from the store, if it is of this memory.

        Raises:
            UndecodedSamplesError: its image is archived, and its samples could not be decoded;
                only where the slot ``is_proven``, since nothing else may answer for it.
        """
        held = self._cache.held_waveform(self.conn_key, index)
        stamp = self._cache.event_stamp(self.conn_key, index)
        if held is not None or stamp is None or None in (stamp.key, stamp.timestamp):
            return held
        generation = self._generation()
        epoch = self._cache.epoch(self.conn_key).number
        try:
            found = await self._keeper.recall_waveform(self.conn_key, index, epoch)
        except UndecodedSamplesError:
            if is_proven:
                raise
            return None
        if found is None or self._generation() != generation or found[0].stamp != stamp:
            return None
        recalled, form = found
        if (info := self._cache.held_info(self.conn_key)) is not None:
            form = forms.with_setup(form, info.value()["setup"])
        began = self._keeper.began_mono(recalled.noted)
        kept = self._cache.set_waveform(
            self.conn_key, index, form, read_began_mono=began, source=DISK
        )
        held = self._cache.held_waveform(self.conn_key, index) if kept else None
        if held is None:
            # Larger than what memory may hold: it is answered all the same.
            held = Held(
                value=partial(deepcopy, form),
                read_began_mono=began,
                epoch=epoch,
                generation=generation,
                source=DISK,
                size_bytes=len(form["counts"]),
                stamp=stamp,
            )
        _note_time(held, recalled.noted)
        return held

    # --- what flights do ------------------------------------------------------------------------

    async def read_info(self, why: Why) -> Reading:
        """Read identity and setup, and keep them."""

        async def read(unit: MiniMate) -> Reading:
            began = self._clock()
            form, stored = await self._meet(unit)
            return self._reading(form, why, began, stored=stored)

        return await self.talk(read)

    async def read_status(self, why: Why) -> Reading:
        """Read the monitor status, and keep it for as long as it is fresh from its own start."""

        async def read(unit: MiniMate) -> Reading:
            await self.identify(unit)
            began, generation = self._clock(), self._generation()
            status = await unit.read_monitor_status()
            zone = self._zones.get(unit.serial or "", self._zones.get("*"))
            form = forms.status_form(status, self._wall(), zone)
            stored = self._cache.set_monitor_status(
                self.conn_key, form, generation=generation, read_began_mono=began
            )
            return self._reading(form, why, began, stored=stored)

        return await self.talk(read)

    async def read_directly(self, say: Callable[[MiniMate], Awaitable[Form]]) -> Reading:
        """Read something that is not kept."""

        async def read(unit: MiniMate) -> Reading:
            await self.identify(unit)
            began = self._clock()
            return self._reading(await say(unit), "miss", began)

        return await self.talk(read)

    async def read_events(self, flight: Flight[Reading]) -> Reading:
        """Prove, extend or read the event list."""

        async def read(unit: MiniMate, *, whole: bool = False) -> Reading:
            proven = await self.prove_list(unit, flight, whole=whole or flight.forced)
            if proven.of is not None:
                return self.reading_of(proven.of, checked_mono=proven.proven_mono)
            reading = self._reading(
                proven.events, proven.why, proven.began_mono, stored=proven.stored
            )
            return replace(reading, checked_mono=proven.proven_mono)

        return await self._unless_refused(read)

    async def read_waveform(self, flight: Flight[Reading], index: int) -> Reading:
        """Prove the slot, then answer from the cache or download its samples."""

        async def read(unit: MiniMate, *, whole: bool = False) -> Reading:
            for _ in range(ATTEMPTS_WHILE_CHANGING):
                proven = await self.prove_list(unit, None, whole=whole)
                event = proven.event(index, self.conn_key)
                held = None
                if not flight.forced:
                    held = await self.recall_waveform(index, is_proven=True)
                if held is not None:
                    return self.reading_of(held, checked_mono=proven.proven_mono)
                try:
                    return await self._download(unit, event, proven.probe, flight, whole=whole)
                except _FencedError:
                    log.info("waveform_proven_again", unit=self.conn_key)
                except MemoryChangedError as error:
                    # The memory changed between probe and last byte: what came is thrown away.
                    log.info("waveform_thrown_away", unit=self.conn_key, error=str(error))
            raise self._keeps_changing(unit)

        return await self._unless_refused(read)

    # --- what commands make doubtful ------------------------------------------------------------

    def doubt_status(self) -> None:
        """Drop the monitor status: monitoring is being started or stopped."""
        self._cache.invalidate_monitor_status(self.conn_key)

    async def doubt_settings(self) -> None:
        """
        Hide info and events until the next info: settings are being written. Durable.

        Raises:
            StoreError: the database could not note it.
        """
        self._cache.mark_config_dirty(self.conn_key)
        fenced_epoch = await self._keeper.forget_info(self.conn_key)
        if fenced_epoch is not None:
            self._begin_beyond(fenced_epoch)
            self._cache.mark_config_dirty(self.conn_key)

    async def doubt_memory(self, reason: str) -> None:
        """Drop everything of the device and begin a new epoch: its memory is being erased."""
        await self._drop_unless_moved(self._generation(), reason)

    async def recognise(self, unit: MiniMate) -> str:
        """Ask who answers, and no more than that; return the serial number."""
        serial = await unit.read_serial()
        await self._recognise(serial, self._generation())
        return serial

    # --- who answers ----------------------------------------------------------------------------

    async def _meet(self, unit: MiniMate) -> tuple[Form, bool]:
        """Read and keep who the unit is and how it is set up; return it and whether it is kept."""
        began, generation = self._clock(), self._generation()
        info: UnitInfo = await unit.read_info()
        form = forms.info_form(info)
        generation = await self._recognise(info.serial, generation)
        self.simulated, self._is_met = info.simulated, True
        for _ in range(2):
            stored = self._cache.set_device_info(
                self.conn_key, form, generation=generation, read_began_mono=began
            )
            if not stored:
                return form, False
            outcome = await self._keeper.keep_info(self._origin(began), form)
            if outcome.fenced_epoch is None:
                break
            generation = self._begin_beyond(outcome.fenced_epoch)
        return form, stored

    async def identify(self, unit: MiniMate) -> None:
        """Make sure who answers: the serial number, and the whole info of a unit not met yet."""
        if self._is_met:
            await self._recognise(await unit.read_serial(), self._generation())
        if not self._is_met:
            await self._meet(unit)

    async def _recognise(self, serial: str, generation: int) -> int:
        """
        Note who answers; return the generation to store under.

        When it is another unit, everything held goes, and whether it is met is open again.
        """
        if self.serial not in (None, serial):
            reason = f"unit {serial} answers where {self.serial} used to"
            self.serial, self.simulated, self._is_met = serial, None, False
            return await self._drop_unless_moved(generation, reason)
        self.serial = serial
        return generation

    # --- the list -------------------------------------------------------------------------------

    async def prove_list(
        self, unit: MiniMate, flight: Flight[Reading] | None, *, whole: bool
    ) -> _ProvenList:
        """
        Return the list as the unit holds it now, having stored it.

        Args:
            unit: whom to ask.
            flight: whose doors may open during a walk.
            whole: read everything, whatever the probe says.

        Raises:
            _AppendRefusedError: try again with ``whole``.
        """
        for _ in range(ATTEMPTS_WHILE_CHANGING):
            if not self._is_met or self._cache.held_info(self.conn_key) is None:
                # First contact, or settings were written: no list is held, or it is hidden.
                await self._meet(unit)
            began, generation = self._clock(), self._generation()
            probe = await unit.read_probe()
            generation = await self._recognise(probe.serial, generation)
            if not self._is_met:
                continue
            held = self._cache.held_events(self.conn_key)
            verdict = compare_probes(_probe_of(held), probe)
            self.verdicts[verdict.value] += 1
            if held is not None and not whole and verdict is Verdict.SAME:
                self._cache.validated(self.conn_key, probe, began)
                return _ProvenList(held.value(), "hit", held.read_began_mono, began, probe, of=held)
            if held is not None and not whole and verdict is Verdict.GREW:
                events, new = await self._read_appended(unit, held, probe, flight)
                stored = await self._keep_list(events, new, probe, began, generation)
                if stored is None:
                    continue
                return _ProvenList(events, "partial", began, began, probe, stored)
            if verdict is Verdict.REPLACED:
                generation = await self._drop_unless_moved(generation, OTHER_MEMORY)
            read = await self._walk(unit, probe, flight, generation)
            if read is None:
                continue
            walked = [forms.event_form(event) for event in read]
            if verdict is not Verdict.REPLACED and not (
                _follows(held, walked, verdict, probe) and self._follows_told(walked, probe)
            ):
                generation = await self._drop_unless_moved(generation, OTHER_MEMORY)
            stored = await self._keep_list(walked, read, probe, began, generation)
            if stored is None:
                continue
            forced = flight is not None and flight.forced
            why: Why = "request" if forced else "miss" if held is None else "stale"
            return _ProvenList(walked, why, began, began, probe, stored)
        raise self._keeps_changing(unit)

    async def _read_appended(
        self,
        unit: MiniMate,
        held: Held,
        probe: MemoryProbe,
        flight: Flight[Reading] | None,
    ) -> tuple[list[Form], list[Event]]:
        """Return the held list with what was recorded since, and that, if the unit confirms it."""
        known: list[Form] = held.value()
        last = forms.event_of(known[-1])
        try:
            new = await unit.read_events(
                after=last, until_key=probe.last_key, on_progress=_reporter(flight)
            )
            # Nothing may have been recorded, or erased and recorded, while we read.
            counted = await unit.read_lifetime_count()
        except (KeyChainError, MemoryChangedError, RemoteProtocolError, ReplyTimeoutError) as error:
            raise _AppendRefusedError(str(error)) from error
        events = known + [forms.event_form(event) for event in new]
        if (
            counted != probe.lifetime_count
            or not _follows(held, events, Verdict.GREW, probe)
            or stamp_of(events[-1]) != last_stamp(probe)
        ):
            raise _AppendRefusedError("the counts or the last stamp do not agree")
        return events, new

    async def _walk(
        self,
        unit: MiniMate,
        probe: MemoryProbe,
        flight: Flight[Reading] | None,
        generation: int,
    ) -> list[Event] | None:
        """
        Read every event; return ``None`` when the memory changed meanwhile.

        Unforced readers may board until the probe that closes the walk, if it can prove anything,
        and if nobody invalidated the device since the walk began.
        """
        if flight is not None and probe.is_complete:
            flight.doors = lambda: self._generation() == generation
        failure: KeyChainError | None = None
        events: list[Event] = []
        try:
            if not probe.is_empty:
                events = await unit.read_events(
                    until_key=probe.last_key, on_progress=_reporter(flight)
                )
        except KeyChainError as error:
            failure = error
        finally:
            if flight is not None:
                flight.doors = shut
        proof = await unit.read_probe()
        if proof != probe:
            return None
        if failure is not None:
            raise failure
        last = stamp_of(forms.event_form(events[-1])) if events else Stamp()
        return events if last == last_stamp(probe) or not probe.is_complete else None

    async def _keep_list(
        self,
        events: list[Form],
        read: list[Event],
        probe: MemoryProbe,
        began_mono: float,
        generation: int,
    ) -> bool | None:
        """
        Keep a list, and archive the events that were read for it, its end.

        Returns whether it is kept; ``None`` when another relay keeps this device in the same
        database: then everything held is dropped, and the list is to be proven again.
        """
        is_kept = self._cache.set_events(
            self.conn_key,
            len(events),
            events,
            probe=probe,
            generation=generation,
            read_began_mono=began_mono,
        )
        epoch = self._cache.epoch(self.conn_key).number
        self._told = _Told(epoch, probe, len(events), _digest(events))
        outcome = await self._keeper.keep_list(
            self._origin(began_mono), probe, events, read, is_servable=is_kept
        )
        if outcome.fenced_epoch is not None:
            self._begin_beyond(outcome.fenced_epoch)
            return None
        return is_kept and (outcome.is_archived or not self._keeper.has_store)

    def _follows_told(self, events: list[Form], probe: MemoryProbe) -> bool:
        """
        Whether ``events`` may be told under the present epoch, after the last list that was.

        That one may have been refused as late, or be hidden: then nothing held tells of it.
        """
        told = self._told
        if told is None or told.epoch != self._cache.epoch(self.conn_key).number:
            return True
        verdict = compare_probes(told.probe, probe)
        if verdict is Verdict.REPLACED or _digest(events[: told.count]) != told.digest:
            return False
        following = len(events) - told.count
        return verdict is not Verdict.GREW or (
            following > 0 < told.count
            and confirms_append(told.probe, probe, stamp_of(events[told.count - 1]), following)
        )

    # --- a waveform -----------------------------------------------------------------------------

    async def _download(
        self,
        unit: MiniMate,
        event: Event,
        probe: MemoryProbe,
        flight: Flight[Reading],
        *,
        whole: bool,
    ) -> Reading:
        """
        Read the samples of ``event`` and keep them.

        The client compares the stamp before and after. Equal records under a clock that was never
        set have equal stamps, so the lifetime counter of ``probe`` must stand as well; if it does
        not, the list must be proven to have grown only.

        Raises:
            MemoryChangedError: the slot does not hold that event any more.
            SampleDecodeError: its image was read and archived, and no sample of it can be decoded.
        """
        began, generation = self._clock(), self._generation()
        epoch = self._cache.epoch(self.conn_key).number
        undecoded: SampleDecodeError | None = None
        try:
            waveform = await self._read_samples(unit, event, epoch, flight)
        except SampleDecodeError as error:
            if error.waveform is None:
                raise
            waveform, undecoded = error.waveform, error
        # The unit gave the last stamp some time before we heard it: the start alone is certain.
        checked = began
        counter = probe.lifetime_count
        if counter is not None and await unit.read_lifetime_count() != counter:
            checked = (await self.prove_list(unit, None, whole=whole)).proven_mono
            if self._cache.epoch(self.conn_key).number != epoch:
                raise MemoryChangedError(f"{unit.name}: erased while event {event.index} was read")
        setup = None
        if undecoded is None and None in (waveform.sample_rate_hz, waveform.geo_range_in_s):
            held = self._cache.held_info(self.conn_key)
            setup = (held.value() if held is not None else (await self._meet(unit))[0])["setup"]
        form = forms.waveform_form(waveform, setup)
        is_current = self._generation() == generation
        stored = undecoded is None and self._cache.set_waveform(
            self.conn_key, event.index, form, generation=generation, read_began_mono=began
        )
        outcome = await self._keeper.keep_waveform(
            self._origin(began), waveform.event, form, waveform.image, is_mirrored=is_current
        )
        if outcome.fenced_epoch is not None:
            self._begin_beyond(outcome.fenced_epoch)
            raise _FencedError
        if undecoded is not None:
            await self._keeper.forget_chunks(self.conn_key, event)
            raise self._undecoded(undecoded, event, outcome)
        if self._keeper.has_store:
            # What is too large for memory is kept all the same.
            stored = is_current and outcome.is_archived
        why: Why = "request" if flight.forced else "miss"
        reading = self._reading(form, why, began, stored=stored)
        # Of the epoch that the slot was proven in, whatever was dropped since.
        return replace(reading, checked_mono=checked, epoch=epoch)

    def _undecoded(
        self, error: SampleDecodeError, event: Event, outcome: Outcome
    ) -> SampleDecodeError:
        """Return the error that says what became of an image whose samples cannot be decoded."""
        kept = "its whole image is in the archive" if outcome.is_archived else "it is not archived"
        told = SampleDecodeError(
            f"{self.conn_key}: event {event.index} ({event.key.hex()} of {_iso(event)}) was "
            f"downloaded and {kept}; its samples cannot be decoded: {error}"
        )
        told.waveform, told.recording_id = error.waveform, outcome.recording_id
        return told

    async def _read_samples(
        self, unit: MiniMate, event: Event, epoch: int, flight: Flight[Reading]
    ) -> Waveform:
        """
        Read the samples of ``event``, going on where an earlier read of it in this epoch was cut.

        What was read before the cut lies between two proofs of the list in one epoch, so it is of
        this event. A unit that answers the rest wrongly, or not at all, is read from the start the
        next time: whether every unit takes up in the middle is not known.
        """
        begun = self._begun
        if begun is None or begun.event != event or begun.epoch != epoch:
            image = await self._keeper.recall_chunks(self.conn_key, epoch, event)
            begun = _Begun(epoch, event, bytearray(image))
        self._begun = begun
        held_before = len(begun.image)
        came = False

        def keep(start: int, chunk: bytes, _: int) -> None:
            nonlocal came
            came = True
            del begun.image[start:]
            begun.image.extend(chunk)
            self._keeper.keep_chunk(self.conn_key, epoch, event, start, chunk)

        try:
            waveform = await unit.read_waveform(
                event, on_progress=_reporter(flight), begun=bytes(begun.image), on_image=keep
            )
        except Exception as error:
            cut = isinstance(error, LinkError | ReplyTimeoutError | DeadlineError)
            if isinstance(error, SampleDecodeError) and error.waveform is not None:
                self._begun = None  # it is whole: the chunks stay until it is archived
            elif not cut or (held_before and not came):
                self._begun = None
                await self._keeper.forget_chunks(self.conn_key, event)
            raise
        finally:
            await asyncio.shield(self._keeper.settle(self.conn_key))
        self._begun = None
        return waveform

    # --- the line -------------------------------------------------------------------------------

    async def _unless_refused(self, read: Callable[..., Awaitable[Reading]]) -> Reading:
        """Let ``read`` append if it can; if the unit contradicts, let it read everything."""
        try:
            return await self.talk(read)
        except _AppendRefusedError as refusal:
            log.info("append_refused", unit=self.conn_key, reason=str(refusal))
        return await self.talk(lambda unit: read(unit, whole=True))

    async def talk(self, say: Callable[[MiniMate], Awaitable[Reading]]) -> Reading:
        """Say something over the line, and write the bill on what it brings."""
        began, spent = self._clock(), self.line.exchanges
        reading = await self.converse(say)
        took_s = self._clock() - began
        return replace(reading, exchanges=self.line.exchanges - spent, took_s=took_s)

    async def converse(self, say: Callable[[MiniMate], Awaitable[T]]) -> T:
        """Return what ``say`` brings over the line; whoever calls holds it. See ``Line.talk``."""
        began = self._clock()
        try:
            result = await self.line.talk(say)
        except MiniMateError as error:
            log.warning("talk_failed", unit=self.conn_key, serial=self.serial, error=str(error))
            if is_unreachable(error):
                self.back_off.failed(error)
            raise
        self.back_off.succeeded()
        self.read_times.add(self._clock() - began)
        return result

    async def with_proven_list(
        self, say: Callable[[MiniMate, list[Form], MemoryProbe], Awaitable[T]]
    ) -> T:
        """
        Prove the event list, then, in the same conversation, let ``say`` go on.

        It is given the list as the unit holds it now, and the probe that proves it.
        """

        async def prove(unit: MiniMate, *, whole: bool = False) -> T:
            proven = await self.prove_list(unit, None, whole=whole)
            return await say(unit, proven.events, proven.probe)

        try:
            return await self.converse(prove)
        except _AppendRefusedError as refusal:
            log.info("append_refused", unit=self.conn_key, reason=str(refusal))
        return await self.converse(lambda unit: prove(unit, whole=True))

    def _reading(self, value: Any, why: Why, began_mono: float, *, stored: bool = False) -> Reading:
        epoch = self._cache.epoch(self.conn_key).number
        return Reading(
            produce=lambda: value,
            why=why,
            read_began_mono=began_mono,
            stored=stored,
            epoch=epoch,
            serial=self.serial,
            simulated=self.simulated,
        )

    def _generation(self) -> int:
        return self._cache.generation(self.conn_key)

    async def _drop_unless_moved(self, generation: int, reason: str) -> int:
        """Drop the device; return the generation to store under, a late one if others moved it."""
        moved = self._generation() != generation
        log.info("epoch_began", unit=self.conn_key, serial=self.serial, reason=reason)
        self._cache.drop_device(self.conn_key, reason)
        now = self._generation()
        # Durable before anybody is told of the new epoch, so that its number names one memory.
        epoch = self._cache.epoch(self.conn_key).number
        with contextlib.suppress(StoreError, RestingError):
            beyond = await self._keeper.drop(self.conn_key, epoch, reason)
            if beyond is not None and beyond > epoch:
                now = self._begin_beyond(beyond - 1)
        return generation if moved else now

    def _begin_beyond(self, epoch: int) -> int:
        """Drop the device, since others counted up to ``epoch``; return the generation now."""
        reason = f"another relay, or an earlier start of this one, knows it up to epoch {epoch}"
        log.warning("epoch_began", unit=self.conn_key, serial=self.serial, reason=reason)
        self._cache.drop_device(self.conn_key, reason, beyond=epoch)
        return self._generation()

    def _origin(self, began_mono: float) -> Origin:
        """Return where and when what is now in the cache was read."""
        return self._keeper.origin(
            self.conn_key,
            self.serial or "",
            self._cache.epoch(self.conn_key).number,
            simulated=bool(self.simulated),
            began_mono=began_mono,
        )

    def _keeps_changing(self, unit: MiniMate) -> MemoryChangedError:
        return MemoryChangedError(
            f"{unit.name}: the unit's memory changed during each of {ATTEMPTS_WHILE_CHANGING} "
            "reads; it may be recording; ask again in a moment"
        )


def _iso(event: Event) -> str:
    at = event.timestamp_unit
    return "an unknown time" if at is None else at.isoformat()


def _note_time(held: Held | None, noted: Noted | None) -> None:
    """Let what is held say when it was read, by the wall clock of then."""
    if held is not None and noted is not None:
        held.memo["read_at"] = noted.read_at


def _probe_of(held: Held | None) -> MemoryProbe | None:
    probe = None if held is None else held.probe
    return probe if isinstance(probe, MemoryProbe) else None


def _follows(held: Held | None, events: list[Form], verdict: Verdict, probe: MemoryProbe) -> bool:
    """Whether ``events`` is the held list, if there is one, with what was recorded since behind."""
    if held is None:
        return True
    old: list[Form] = held.value()
    if events[: len(old)] != old:
        return False
    if verdict is not Verdict.GREW:
        return True
    old_probe = _probe_of(held)
    return (
        old_probe is not None
        and len(events) > len(old) > 0
        and confirms_append(old_probe, probe, stamp_of(old[-1]), len(events) - len(old))
    )


def _reporter(flight: Flight[Reading] | None) -> Callable[[Progress], None] | None:
    """Return what writes progress on a flight, for whoever waits for it."""
    if flight is None:
        return None

    def report(progress: Progress) -> None:
        flight.progress = progress
        if flight.notify is not None:
            flight.notify(progress)

    return report
