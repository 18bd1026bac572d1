"""
The event list: probe the unit's memory, then read what the probe says is missing.

What a new probe says about the cached list (``sfm.cache.identity``) decides what is read:

============  ==================================================================================
verdict       what is read
============  ==================================================================================
same          nothing; the cached list is proven
grew          the old last event again; if it and the counts confirm it, only what follows it
replaced      everything, after everything cached for the device was dropped
unproven      everything; the cached list must be the beginning of it, word for word
============  ==================================================================================

A list that does not follow from the cached one is of another memory: everything cached goes first.
A device that was dropped by somebody else during a read gets nothing of that read (``LiveCache``).

Each event of a walk is archived as soon as its record was read. A walk that is cut is remembered
(``sfm.records.walk``) and continues at the next contact; until it ends there is no list
(``ListIncompleteError``), and only readers who ask for a partial list get what there is.

Open ``EventList.prove`` first: it reads from top to bottom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from minimateplus.client import MiniMate, Pause
from minimateplus.errors import (
    DuplicateReplyError,
    KeyChainError,
    LineSharedError,
    LinkError,
    MemoryChangedError,
    RemoteProtocolError,
    ReplyTimeoutError,
    UnitError,
)
from minimateplus.model import Event, MemoryProbe
from sfm.cache import identity
from sfm.cache.identity import Verdict, confirms_append, looks_torn, stamp_of
from sfm.devices.durable_cache import DurableCache, FencedError, probe_of
from sfm.devices.identification import Identification
from sfm.devices.reading import (
    ATTEMPTS_WHILE_CHANGING,
    Reading,
    Why,
    event_at,
    is_unreachable,
    memory_keeps_changing,
)
from sfm.devices.single_flight import SharedRead, joins_closed
from sfm.errors import SfmError
from sfm.live_cache import CacheEntry
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.records.walk import ProvenPart, Walk
from sfm.store import Origin
from sfm.store.service import StoreService

__all__ = [
    "AppendContradictedError",
    "EventList",
    "ListIncompleteError",
    "ProvenList",
]

PROBES_WHILE_RECORDING = 8
"""
How often a walk is closed anew while the unit records. One recording in 2 s, the worst rate seen,
tears about one probe in ten on a cable; eight in a row are one in 10^8.
"""
PROBES_ONCE_PROVEN = 2
"""How often a list that is proven as of its beginning is tried to be proven as of its end."""
RETRY_WALK_S = 2.0
"""When a reader of a walk that was cut may ask again: the walk continues at once."""
EXCHANGES_PER_EVENT = 10
"""Of a walk: the log entry between two events costs four, the event six."""

OTHER_MEMORY = "the unit's memory is not the one that the list was read from"

log = structlog.get_logger(__name__)


class ListIncompleteError(SfmError):
    """
    The walk over the unit's memory was cut; there is no list yet. The next read continues it.

    ``walked``: events read so far. ``estimate_s``: what the rest takes; ``None``: unknown.
    """

    retry_after_s = RETRY_WALK_S

    def __init__(self, message: str, walked: int, estimate_s: float | None) -> None:
        super().__init__(message)
        self.walked = walked
        self.estimate_s = estimate_s


class AppendContradictedError(SfmError):
    """The new events do not simply follow the old ones: read everything."""


@dataclass(frozen=True, slots=True)
class ProvenList:
    """The event list as the unit holds it now."""

    events: list[Payload]
    why: Why
    began_mono: float
    """When the read began that the events come from."""
    proven_mono: float
    """When the probe began that proves them."""
    probe: MemoryProbe
    stored: bool = False
    entry: CacheEntry | None = None
    """The cached list, when nothing was read."""
    recorded_since: int | None = None
    """Events recorded since ``probe``, as far as the unit counts them."""

    def event(self, index: int, unit: str) -> Event:
        """Return the event with that index; ``NoSuchEventError`` where there is none."""
        return payloads.event_of(event_at(self.events, index, unit))


class EventList:
    """
    One device's event list. Lives as long as its device.

    Args:
        durable: where the list is cached and archived.
        identification: which unit answers.
        store_service: where a walk's progress is written.
        clock: monotonic seconds.
        pause: lets short reads in between two steps of a walk.
    """

    def __init__(
        self,
        durable: DurableCache,
        identification: Identification,
        store_service: StoreService,
        clock: Callable[[], float],
        pause: Pause,
    ) -> None:
        self.verdicts: dict[str, int] = {verdict.value: 0 for verdict in Verdict}
        """What happened to the cached list at each contact; see the table above."""
        self.walk: Walk | None = None
        """The walk under way, or one that was cut and continues at the next contact."""
        self._exchange_s: float | None = None
        """How long an exchange took lately, for estimates."""
        self._durable = durable
        self._identification = identification
        self._store_service = store_service
        self._clock = clock
        self._pause = pause

    # --- a list that is not whole yet -----------------------------------------------------------

    @property
    def walked(self) -> list[Payload]:
        """The events of a walk that has not ended, in the order of memory; none without one."""
        walk = self._present_walk()
        return walk.payloads() if walk is not None and walk.events else []

    @property
    def walk_began_mono(self) -> float:
        """When the session began that read the latest of ``walked``."""
        return self._clock() if self.walk is None else self.walk.began_mono

    def estimate_s(self) -> float | None:
        """Return how long the rest of the walk takes, by addresses; ``None``: unknown."""
        walk = self.walk
        share = None if walk is None else walk.share_walked()
        if walk is None or not share or self._exchange_s is None:
            return None
        rest = walk.count * (1 - share) / share
        return round(rest * EXCHANGES_PER_EVENT * self._exchange_s, 1)

    async def walk_estimate_s(self, unit: MiniMate, count: int) -> float:
        """
        Return how long a walk over ``count`` events takes.

        By the exchanges of the last walk; if there was none since the relay's start, by two that
        are timed now, which read the serial number.

        Raises:
            OtherUnitError: another unit answers.
        """
        if self._exchange_s is None:
            began_s, spent = self._clock(), unit.exchanges
            while unit.exchanges == spent:  # (a name that was just read costs none)
                await self._identification.name(unit)
            self._exchange_s = (self._clock() - began_s) / (unit.exchanges - spent)
        return count * EXCHANGES_PER_EVENT * self._exchange_s

    # --- the proof ------------------------------------------------------------------------------

    async def prove(
        self,
        unit: MiniMate,
        shared_read: SharedRead[Reading] | None,
        *,
        whole: bool,
        is_steady: bool = False,
    ) -> ProvenList:
        """
        Return the list as the unit held it when the read began, having stored it.

        Args:
            unit: which to ask.
            shared_read: which further readers may join during a walk.
            whole: read everything, whatever the probe says.
            is_steady: refuse a unit that records meanwhile; for what destroys.

        Raises:
            ListIncompleteError: the walk was cut; what it read is kept for the next contact.
            MemoryChangedError: the memory kept changing.
            AppendContradictedError: try again with ``whole``.
        """
        shorter: list[Payload] | None = None
        for _ in range(ATTEMPTS_WHILE_CHANGING):
            # 1. Which unit answers, and how it is set up: at the first contact, and after settings
            #    were written, no list is cached or may be.
            is_named = not self._identification.is_met or self._durable.info is None
            if is_named:
                await self._identification.meet(unit)
            # 2. Probe the memory. The generation is taken first, so that whatever invalidates the
            #    device from here on makes this read late (promise 2).
            began, generation = self._clock(), self._durable.generation
            if not is_named:
                await self._identification.name(unit)
            cut = self._cut_walk()
            known = self._durable.probe if cut is None else cut.judge
            probe = await self._probe(unit, known, serial=self._durable.serial)
            self._identification.check(probe.serial)
            if (cut := self._cut_walk()) is not None:
                cut.drop_torn(probe, self._durable.volatile_offsets)
            # 3. Judge what is cached. If it is proven, that is all.
            entry, verdict = self._durable.events, self._judge(probe)
            if entry is not None and not whole and verdict is Verdict.SAME:
                return await self._confirm(entry, probe, began)
            if verdict is Verdict.REPLACED:
                generation = await self._durable.drop(generation, OTHER_MEMORY)
                if not is_named:
                    generation = await self._identification.meet_again(unit, generation)
            # 4. Walk: continue a walk that was cut, read behind the cached list, or read it all.
            walk = self._walk_to_continue(probe, entry, verdict, whole=whole)
            may_lose = walk.anchor is None or bool(walk.events)
            if may_lose and await self._is_torn(unit, probe, walk.judge):
                continue
            walk.begin_session(probe, began)
            appends = walk.anchor is not None
            part = await self._extend_until_proven(unit, walk, shared_read, generation, is_steady)
            if part is None:
                # The memory changed otherwise than by recording: what was walked proves nothing.
                await self._forget_walk()
                if is_steady:
                    break
                continue
            listed, read = walk.payloads(part.count), walk.events[: part.count - len(walk.known)]
            # 5. A list read from the first event must begin with the one that readers were given;
            #    otherwise it is of another memory, whatever the probe showed (promise 4).
            if not appends and verdict is not Verdict.REPLACED:
                if self._misses_known_events(unit, entry, listed, part) and listed != shorter:
                    shorter = listed
                    await self._forget_walk()
                    continue
                if self._follows(entry, listed, part.probe):
                    await self._compare_last_record(entry, read)
                else:
                    verdict = Verdict.REPLACED
                    generation = await self._durable.drop(generation, OTHER_MEMORY)
            # 6. Store it, and archive what was read for it.
            try:
                stored = await self._durable.save_list(listed, read, part.probe, generation, began)
            except FencedError:
                continue
            self.verdicts[verdict.value] += 1
            await self._save_rest_of_walk(walk, listed, part)
            return ProvenList(
                listed,
                _why(shared_read, entry, appends=appends),
                began,
                began,
                part.probe,
                stored,
                recorded_since=part.recorded_since,
            )
        raise memory_keeps_changing(unit)

    def _judge(self, probe: MemoryProbe) -> Verdict:
        """Return what a probe says about the cached list."""
        volatile, cut = self._durable.volatile_offsets, self._cut_walk()
        if cut is not None and cut.joins(probe, volatile) is Verdict.REPLACED:
            # What was read last is of another memory, whatever the older list says.
            return Verdict.REPLACED
        return identity.compare_probes(self._durable.probe, probe, volatile)

    async def _confirm(
        self, entry: CacheEntry, probe: MemoryProbe, began_mono: float
    ) -> ProvenList:
        """Return the cached list, which ``probe`` proves; a walk that was cut is not needed."""
        self.verdicts[Verdict.SAME.value] += 1
        await self._forget_walk()
        self._durable.confirm_list(probe, began_mono)
        return ProvenList(
            entry.value(),
            "hit",
            entry.read_began_mono,
            began_mono,
            probe,
            entry=entry,
            recorded_since=0,
        )

    async def _probe(
        self,
        unit: MiniMate,
        known: MemoryProbe | None,
        *,
        serial: str | None = None,
        newest: Event | None = None,
    ) -> MemoryProbe:
        """
        Return a probe that an event recorded under it does not make look like an erase.

        ``serial`` and ``newest`` are what this session has just read; see ``read_probe``.
        """
        for _ in range(ATTEMPTS_WHILE_CHANGING):
            # A probe takes several exchanges. If the unit records between two of them, its parts
            # are of two moments, and look like an erase: the last key is of before, the counter of
            # after. The storage range, asked once more, shows which it was.
            probe = await unit.read_probe(serial=serial, newest=newest)
            serial = newest = None  # not just read any more
            if known is None or not looks_torn(known, probe):
                break
            if (await unit.read_storage_range()).last_key == probe.last_key:
                break
        return probe

    async def _is_torn(self, unit: MiniMate, probe: MemoryProbe, judge: MemoryProbe | None) -> bool:
        """
        Whether an event was recorded while ``probe`` was taken; asked where a walk begins with it.

        (Right behind a proven list the counts show it, and a probe costs two exchanges less. The
        same where the probe equals ``judge``, that of the session before: had either been torn, the
        storage range would have changed and the counter not.)
        """
        if probe.lifetime_count is None or probe.last_key is None or probe == judge:
            return False
        return (await unit.read_storage_range()).last_key != probe.last_key

    def _present_walk(self) -> Walk | None:
        """Return the walk, if it is over the memory that the cache knows."""
        walk = self.walk
        return walk if walk is not None and walk.epoch == self._durable.epoch else None

    def _cut_walk(self) -> Walk | None:
        """Return the walk that was cut, if it read anything of the memory that the cache knows."""
        walk = self._present_walk()
        return walk if walk is not None and walk.events else None

    def _walk_to_continue(
        self, probe: MemoryProbe, entry: CacheEntry | None, verdict: Verdict, *, whole: bool
    ) -> Walk:
        """Return the walk that was cut, one behind the cached list, or one from the first event."""
        epoch, cut = self._durable.epoch, self._cut_walk()
        # A forced reader wants everything from after the request (promise 5).
        if whole:
            return Walk(epoch)
        walk = Walk(epoch)
        # Behind the cached list, if the probe is one of the same memory that grew.
        if verdict is Verdict.GREW and entry is not None:
            walk = Walk(epoch, entry.value(), probe_of(entry))
        # The walk that was cut, if it got further and the probe joins it: only a unit that answers
        # its lifetime counter can show that both sessions met one memory (settled: Proven).
        if cut is None or cut.count <= walk.count:
            return walk
        joins = cut.joins(probe, self._durable.volatile_offsets)
        return cut if joins in (Verdict.SAME, Verdict.GREW) else walk

    async def _extend_until_proven(
        self,
        unit: MiniMate,
        walk: Walk,
        shared_read: SharedRead[Reading] | None,
        generation: int,
        is_steady: bool,
    ) -> ProvenPart | None:
        """
        Read what follows the walk's last event until a probe proves a part; ``None``: it changed.

        Unforced readers may join until the probe that closes the walk, if it can prove anything,
        and if the device was not invalidated since the walk began.
        """
        probe = walk.probes[-1]
        before, self.walk = self._present_walk(), walk
        if shared_read is not None and probe.is_complete:
            shared_read.can_join_late = lambda: self._durable.generation == generation
        part = None
        try:
            await self._extend(unit, walk, shared_read)
            part = await self._close_walk(unit, walk, shared_read, is_steady=is_steady)
            return part
        except (DuplicateReplyError, LineSharedError):
            # What was read while another program moved the record cursor may have gaps.
            walk.forget_session()
            await self._save_longer_walk(before)
            raise
        except (MemoryChangedError, KeyChainError) as error:
            # The chain does not lead on from where the walk stands: it was erased, or is damaged.
            await self._forget_walk()
            if walk.anchor is not None or walk.session_events:
                raise AppendContradictedError(str(error)) from error
            if isinstance(error, KeyChainError) and await unit.read_probe() == probe:
                raise  # the memory has not changed, so its chain is damaged
            return None
        except (LinkError, UnitError) as error:
            # The link was cut, or the unit fell silent: what was read serves the next contact.
            await self._save_longer_walk(before)
            brought = is_steady or len(walk.events) > walk.session_events
            if brought and is_unreachable(error):
                raise self._incomplete(unit, walk, error) from error
            if walk.last is not None and isinstance(error, ReplyTimeoutError | RemoteProtocolError):
                # Some units do not answer for a key that they do not hold any more.
                raise AppendContradictedError(str(error)) from error
            raise
        finally:
            if shared_read is not None:
                shared_read.can_join_late = joins_closed
            settled = self._store_service.walks.settle(self._durable.unit_id, is_cut=part is None)
            await asyncio.shield(settled)

    async def _close_walk(
        self,
        unit: MiniMate,
        walk: Walk,
        shared_read: SharedRead[Reading] | None,
        *,
        is_steady: bool,
    ) -> ProvenPart | None:
        """Probe until a probe proves a part of the walk; ``None``: the memory is another one."""
        # From here on nothing is proven after a reader who joins asked.
        if shared_read is not None:
            shared_read.can_join_late = joins_closed
        opening, part = walk.probes[-1], None
        # 1. Behind a proven list the counter alone closes the walk, if nothing was recorded.
        if walk.anchor is not None:
            counted = await unit.read_lifetime_count()
            if counted == opening.lifetime_count:
                part = walk.proven_part(opening, self._durable.volatile_offsets, is_last=True)
                if part is not None:
                    return part
        # 2. The record of the last event was the last thing read (or, known before, compared), and
        #    nothing in the list was read after it: the list was true then, if the rest of the probe
        #    has not changed. (Before an erase it is read again all the same.)
        newest: Event | None = None
        if walk.anchor is None and not is_steady and walk.events:
            newest = walk.events[-1]
        # 3. Probe. An equal probe proves the list; one that only grew proves what was stored when
        #    the walk began, and the walk reads on to prove the rest too, if the unit pauses.
        tries = 1 if is_steady else PROBES_WHILE_RECORDING
        while tries > 0:
            tries -= 1
            latest = walk.probes[-1]
            closing, newest = await self._probe(unit, latest, newest=newest), None
            if latest == closing:
                await self._durable.save_volatile_bytes(latest.last_record, closing.last_record)
            elif is_steady or identity.compare_probes(opening, closing) is not Verdict.GREW:
                return None
            else:
                if identity.compare_probes(latest, closing) is Verdict.REPLACED:
                    walk.probes.pop()  # it was torn: see sfm.records.walk
                walk.probes.append(closing)
                await self._extend(unit, walk, shared_read)
            part = walk.proven_part(closing, self._durable.volatile_offsets) or part
            if part is not None and latest != closing:
                # Proven as of the beginning. If nothing came while the rest was read, it is as of
                # now, with the rest.
                if await unit.read_lifetime_count() == closing.lifetime_count:
                    part = (
                        walk.proven_part(closing, self._durable.volatile_offsets, is_last=True)
                        or part
                    )
                tries = min(tries, PROBES_ONCE_PROVEN)
            if latest == closing or (part is not None and part.recorded_since == 0):
                break
        if part is None and walk.anchor is not None:
            raise AppendContradictedError("the counts or the last record do not agree")
        return part

    async def _extend(
        self, unit: MiniMate, walk: Walk, shared_read: SharedRead[Reading] | None
    ) -> None:
        """Read on from the walk's last event to the last key of its latest probe."""
        probe, last = walk.probes[-1], walk.last
        if probe.is_empty:
            return
        origin = self._durable.origin(walk.began_mono)
        began_s, spent = self._clock(), unit.exchanges
        try:
            await unit.read_events(
                after=last,
                until_key=probe.last_key,
                on_progress=None if shared_read is None else shared_read.report,
                on_event=partial(self._save_walked, walk, origin),
                pause=self._pause,
            )
        finally:
            if unit.exchanges > spent:
                self._exchange_s = (self._clock() - began_s) / (unit.exchanges - spent)

    def _save_walked(self, walk: Walk, origin: Origin, event: Event) -> None:
        """Add an event to the walk, and archive it soon."""
        walk.events.append(event)
        self._store_service.walks.save_event(origin, walk, event)

    def _misses_known_events(
        self, unit: MiniMate, entry: CacheEntry | None, listed: list[Payload], part: ProvenPart
    ) -> bool:
        """
        Whether a walk met a part of the known events and nothing else of them: it is walked again.

        Either the memory was erased and recorded again, event for event alike, or another program
        moved the record cursor and was not heard. A second walk is skipped the same way by chance
        only.

        Raises:
            LineSharedError: the memory has not changed, so it is the other program.
        """
        known: list[Payload] = [] if entry is None else entry.value()
        if len(listed) >= len(known) or entry is None:
            return False
        verdict = identity.compare_probes(
            probe_of(entry), part.probe, self._durable.volatile_offsets
        )
        if verdict is Verdict.SAME:
            raise LineSharedError(
                f"{unit.name}: Another program is using this unit's line. Close it, then try "
                f"again. (The walk met {len(listed)} events; {len(known)} are known, and the "
                "memory has not changed.)"
            )
        by_key = {payload["waveform_key"]: payload for payload in known}
        met = [payload for payload in listed if payload["waveform_key"] in by_key]
        return verdict is Verdict.GREW and all(
            {**payload, "index": 0} == {**by_key[payload["waveform_key"]], "index": 0}
            for payload in met
        )

    def _incomplete(self, unit: MiniMate, walk: Walk, error: Exception) -> ListIncompleteError:
        return ListIncompleteError(
            f"{unit.name}: the event list is not complete: the session ended after {walk.count} of "
            f"its events ({error}). What was read is kept. Ask again to read on from there.",
            walk.count,
            self.estimate_s(),
        )

    async def _save_longer_walk(self, before: Walk | None) -> None:
        """Of the walk that was just cut and the one before it, remember the longer one."""
        cut = self.walk
        if before is not None and before is not cut and before.count > (cut.count if cut else 0):
            self.walk = before
            await self._store_service.walks.save(self._durable.origin(before.began_mono), before)

    async def _save_rest_of_walk(self, walk: Walk, listed: list[Payload], part: ProvenPart) -> None:
        """
        Keep what was read behind the proven part: the next contact goes on from there.

        (What the database held of the walk went with the list that was just written.)
        """
        rest = walk.events[part.count - len(walk.known) :]
        at = walk.probes.index(part.probe)
        self.walk = None
        if rest and part.probe.lifetime_count is not None:
            epoch = self._durable.epoch
            self.walk = Walk(
                epoch,
                listed,
                part.probe,
                events=rest,
                probes=walk.probes[at + 1 :],
                began_mono=walk.began_mono,
                session_events=len(rest),
            )
            await self._store_service.walks.save(self._durable.origin(walk.began_mono), self.walk)

    async def _forget_walk(self) -> None:
        """Forget the walk that was cut; its events stay in the archive."""
        walk, self.walk = self._present_walk(), None
        if walk is not None:
            # (Of another epoch, it went with the mirror.)
            await self._store_service.walks.forget(self._durable.unit_id)

    async def _compare_last_record(self, entry: CacheEntry | None, read: list[Event]) -> None:
        """Note what changed in the record of the cached list's last event, which is still there."""
        probe = probe_of(entry)
        for event in read:
            if probe is not None and event.key == probe.last_key:
                await self._durable.save_volatile_bytes(probe.last_record, event.record)

    def _follows(self, entry: CacheEntry | None, events: list[Payload], probe: MemoryProbe) -> bool:
        """
        Whether ``events`` is what readers were given before, with what was recorded since behind.

        Compared with the cached list, if there is one, and with the last list returned.
        """
        if not self._durable.follows_last_returned(events, probe):
            return False
        if entry is None:
            return True
        old: list[Payload] = entry.value()
        if events[: len(old)] != old:
            return False
        old_probe = probe_of(entry)
        verdict = identity.compare_probes(old_probe, probe, self._durable.volatile_offsets)
        if verdict is not Verdict.GREW:
            return True
        return (
            old_probe is not None
            and len(events) > len(old) > 0
            and confirms_append(old_probe, probe, stamp_of(old[-1]), len(events) - len(old))
        )


def _why(
    shared_read: SharedRead[Reading] | None, entry: CacheEntry | None, *, appends: bool
) -> Why:
    """Return why the list was read, in the words of RFC 9211."""
    if shared_read is not None and shared_read.forced:
        return "request"
    if appends:
        return "partial"
    return "miss" if entry is None else "stale"
