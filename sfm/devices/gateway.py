"""
The gateway: every device has one owner; readers get answers that say where they come from.

The rule: nothing is answered that a read begun after the last doubt would contradict. The event
list is doubted at every request, so the unit's memory is probed each time (``sfm.cache.identity``
gives the verdict); a waveform is good for a while after such a proof (``Settings.validated_s``); a
monitor status for 30 s from the start of its read; device info until its settings are written.
``force`` doubts everything, and ``sfm.cache.freshness`` says what else a reader will take.

Readers who ask for the same thing share a flight (``sfm.devices.single_flight``); what a flight
does on the unit's one conversation is ``sfm.devices.device``. A long read of the list takes
unforced readers until the probe that closes it: 200 who ask at once cost one read.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from minimateplus.client.reads import MiniMate
from minimateplus.errors import NoSuchEventError
from minimateplus.link import Address, open_link
from sfm.access.egress import Reach
from sfm.back_off import RestingError
from sfm.cache.freshness import ANY, FORCED, Freshness
from sfm.devices.connection import Connect, Line
from sfm.devices.device import (
    DISK,
    ListIncompleteError,
    Owner,
    Reading,
    Source,
    Why,
    is_unreachable,
    pick,
)
from sfm.devices.progress import ProgressLog, report_step
from sfm.devices.session_limit import Conversations
from sfm.devices.single_flight import BusyError, ClosingError, Departures, Flight, take_note
from sfm.live_cache import Held, LiveCache, Memo
from sfm.records import payloads
from sfm.records.payloads import Form
from sfm.records.site_time import is_credible
from sfm.settings import Settings
from sfm.store import StoreError
from sfm.store.service import Keeper

__all__ = [
    "Answer",
    "BusyError",
    "ClosingError",
    "Gateway",
    "ListIncompleteError",
    "NothingHeldError",
    "Provenance",
    "RestingError",
]

T = TypeVar("T")

PARTIAL_WAIT_S = 2.0
"""How long a reader who takes a partial list waits for the whole one."""
PICKED_BYTES = 1024
"""What the form of one event takes in memory, about."""

Report = Callable[[str, float, float | None], None]
"""Takes a step of something long: what is counted, how many, of how many."""

Quality = Literal["good", "partial", "unchecked", "last_known", "not_verified_since_restart"]
"""
``partial``: ``reasons`` says what of a waveform is missing, contradicted or not certain; or the
list is not whole (``is_complete``). ``unchecked``: the reader asked not to ask the unit, and
nothing proved lately that this is still so. ``last_known``: the unit could not be read.
``not_verified_since_restart``: as one of these two, and the unit was not read since the relay
started; only a reader who asked for either gets it.
"""


class NothingHeldError(Exception):
    """The reader wants no device read, and nothing is held that would do."""


@dataclass(slots=True, kw_only=True)
class Provenance:
    """
    Where an answer comes from. Made for each answer, since it ages; nobody changes it.

    (Not frozen: that would make each one three times as dear, on the path of every hit.)
    """

    conn_key: str
    serial: str | None
    epoch: int
    """Which memory of the unit this is of; rises with every erase that was noticed."""
    source: Source
    why: Why
    quality: Quality
    read_at: str | None
    """When the device read began, UTC, by the relay's clock; ``None``: that was never set."""
    age_s: float
    """Seconds since then, by the monotonic clock; ``inf``: unknown, the machine started since."""
    checked_age_s: float | None
    """Seconds since the unit was last asked whether this is still so; ``None``: it was not."""
    exchanges: int
    """Requests sent to the unit for this answer."""
    took_s: float
    """How long the line was used for it."""
    stored: bool
    """Whether what was read is now kept."""
    store_problem: str | None
    """What is wrong with the database now, in a word; ``None``: nothing."""
    ttl_s: float | None
    """Seconds for which it may be served again without asking the unit; ``None``: no such time."""
    shared: bool
    """Whether another reader's flight brought it."""
    simulated: bool | None
    """Whether the unit says of itself that it is a simulation; ``None``: it was not asked."""
    reasons: list[Form] = field(default_factory=list)
    """Why it is partial: a stable code and a sentence each."""

    @property
    def confirmed_age_s(self) -> float:
        """Seconds since the unit last said so, by the read itself or a later proof; or ``inf``."""
        return self.age_s if self.checked_age_s is None else min(self.age_s, self.checked_age_s)


@dataclass(slots=True)
class Answer:
    """A form with its provenance. Readers of one flight share the form: nobody changes it."""

    provenance: Provenance
    produce: Callable[[], Any]
    memo: Memo
    """What was made of the form before, such as its encoded form; shared with the cache."""
    part: str = ""
    """Of one event out of a list: what its entries in the list's memo begin with."""
    instead_of: Exception | None = None
    """The failure that this last known or partial answer stands in for."""
    recorded_since: int | None = None
    """Of a list: events that the unit recorded since its read began; ``None``: not known."""
    is_complete: bool = True
    """False for a list of which only the beginning was read."""

    @property
    def value(self) -> Any:
        """The form."""
        return self.produce()


@dataclass(frozen=True, slots=True)
class _Thing:
    """One thing that a device can be asked for: where it is held, how long it keeps, its read."""

    name: str | tuple[str, int]
    held: Callable[[str], Held | None]
    last: Callable[[str], Held | None]
    """The same, past its time as well."""
    allowed_s: float
    """How long it keeps since the unit last said so, when the reader has no wish."""
    read: Callable[[Owner, Flight[Reading]], Awaitable[Reading]]
    follows_list: bool = False
    """Whether a proof of the event list proves it."""
    is_short: bool = False
    """Whether its read may go in between two steps of a long one."""
    index: int | None = None
    """Which waveform, of one."""

    def ttl_s(self, age_s: float) -> float | None:
        """Return how long it may still answer a reader without a wish; ``None``: no such time."""
        if not math.isfinite(self.allowed_s):
            return None
        return round(max(0.0, self.allowed_s - age_s), 3)


class _Found(NamedTuple):
    """What is held of a thing, and how long ago the unit last said so."""

    held: Held
    age_s: float
    proven_mono: float | None
    is_verified: bool
    """Whether the unit said so since the relay started."""

    def serves(self, freshness: Freshness, allowed_s: float) -> bool:
        """Whether it will do for a reader, with nobody asked."""
        if not self.is_verified:
            return freshness.only_if_cached and freshness.max_age_s is None
        return freshness.accepts(self.age_s, allowed_s)

    def oldest_age_s(self, now_mono: float) -> float:
        """Return how long ago the unit last said so for certain, before a restart too."""
        return self.age_s if self.is_verified else self.held.age_s(now_mono)


@dataclass(slots=True, eq=False)
class _Look:
    """A look into the store, and how many readers have not gone on from it yet."""

    task: asyncio.Task[Any]
    waiting: int = 0
    gone_on: asyncio.Event = field(default_factory=asyncio.Event)


class _Tally:
    """How one device's readers were served."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses: dict[str, int] = {}

    def count(self, why: Why) -> None:
        if why == "hit":
            self.hits += 1
        else:
            self.misses[why] = self.misses.get(why, 0) + 1


class Gateway:
    """
    Every device that ever answered, each with one owner. Lives as long as the relay.

    A device whose first contact fails is forgotten, so that wrong addresses cost no memory.

    Args:
        cache: what is remembered between reads; its clock must be ``clock``.
        settings: deadlines and times.
        keeper: what is kept over a restart; nothing, if not given. Closed with the gateway.
        connect: opens a conversation; by TCP or serial if not given.
        connect_unheard: opens one with a unit that is not woken; as ``connect`` if not given.
        reach: what may be connected to; as the settings say if not given.
        clock: monotonic seconds.
        wall: the time of day, UTC, for people.
    """

    def __init__(
        self,
        cache: LiveCache,
        settings: Settings | None = None,
        *,
        keeper: Keeper | None = None,
        connect: Connect | None = None,
        connect_unheard: Connect | None = None,
        reach: Reach | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cache = cache
        self.settings = settings or Settings()
        self._connect: Connect = connect or self._open
        self._connect_unheard: Connect = (
            connect_unheard or connect or partial(self._open, wake=False)
        )
        known, strange = self.settings.most_conversations, self.settings.max_unknown_conversations
        self.conversations = Conversations(known, self.settings.queue_s, is_known=True, clock=clock)
        self.unknown_conversations = Conversations(
            strange, self.settings.queue_s, is_known=False, clock=clock
        )
        self.reach = reach or Reach(self.settings.reach, self.settings.registered)
        self._orders = itertools.count(1)
        self._clock = clock
        self._wall = wall
        self.keeper = keeper or Keeper(None, clock=clock, wall=wall)
        self._closed = False
        self._ending = False
        self._owners: dict[str, Owner] = {}
        self._looking: dict[Hashable, _Look] = {}
        """What is being looked up in the store."""
        self._tallies: dict[str, _Tally] = {}
        held, status = cache.held_info, cache.held_monitor_status
        self._info = _Thing("info", held, held, math.inf, _read_info, is_short=True)
        self._status = _Thing(
            "status",
            status,
            lambda key: cache.held_monitor_status(key, expired=True),
            self.settings.status_ttl_s,
            _read_status,
            is_short=True,
        )
        self._events = _Thing(
            "events",
            cache.held_events,
            cache.held_events,
            -math.inf,
            lambda owner, flight: owner.read_events(flight),
            follows_list=True,
        )

    async def _open(self, address: Address, *, wake: bool = True) -> MiniMate:
        deadlines = self.settings.deadlines
        link = await open_link(await self.reach.resolve(address), deadlines)
        return await MiniMate.open(link, deadlines=deadlines, wake=wake)

    def _conversations_for(self, address: Address) -> Conversations:
        """Return the places for an address: those of units, or those of unknown addresses."""
        owner = self._owners.get(self.conn_key(address))
        has_answered = owner is not None and owner.serial is not None
        is_known = has_answered or self.reach.is_registered(address)
        return self.conversations if is_known else self.unknown_conversations

    async def close(self) -> None:
        """End every read and hang up every line; who asks from now on gets ``ClosingError``."""
        self._closed = True
        looks = [found.task for found in self._looking.values()]
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        await asyncio.gather(*(owner.close() for owner in self._owners.values()))
        await self.keeper.close()

    # --- verbs ----------------------------------------------------------------------------------

    async def info(self, address: Address, freshness: Freshness = ANY) -> Answer:
        """Return identity and recording setup; from the cache unless a write made them doubtful."""
        return await self._ask(address, self._info, freshness)

    async def monitor_status(self, address: Address, freshness: Freshness = ANY) -> Answer:
        """Return monitoring, clock, battery and memory; from the cache for 30 s."""
        return await self._ask(address, self._status, freshness)

    async def events(
        self, address: Address, freshness: Freshness = ANY, *, partial: bool = False
    ) -> Answer:
        """
        Return the event list, after the unit's memory was probed; new events alone are read.

        Args:
            address: of the unit.
            freshness: what the reader will take.
            partial: while the list is not whole, take what was read of it so far: of a walk that
                was cut, or of one under way that does not end within ``PARTIAL_WAIT_S``.

        Raises:
            ListIncompleteError: the walk was cut, and ``partial`` was not asked for.
        """
        asked = self._ask(address, self._events, freshness)
        if not partial:
            return await asked
        return await self._or_partial(address, asked)

    async def _or_partial(self, address: Address, asked: Coroutine[Any, Any, Answer]) -> Answer:
        """Return the whole list if it comes soon; else what is known of it. The read goes on."""
        reading = asyncio.create_task(asked)
        reading.add_done_callback(take_note)
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=PARTIAL_WAIT_S)
                if not reading.done() and (known := self._walked(address)) is not None:
                    return known
            return reading.result()
        except Exception as error:
            known = self._walked(address)
            if known is None or not (
                isinstance(error, ListIncompleteError) or is_unreachable(error)
            ):
                raise
            return replace(known, instead_of=error)
        finally:
            reading.cancel()  # a reader who goes away ends nobody's read

    def _walked(self, address: Address) -> Answer | None:
        """Return the events of a walk that has not ended as a partial list."""
        owner = self._owners.get(self.conn_key(address))
        events = [] if owner is None else owner.walked
        if owner is None or not events:
            return None
        value = {"events": events, "estimate_s": owner.estimate_s()}
        epoch = self.cache.epoch(owner.conn_key).number
        reading = Reading(
            produce=lambda: value,
            why="partial",
            read_began_mono=owner.walk_began_mono,
            epoch=epoch,
            serial=owner.serial,
            simulated=owner.simulated,
        )
        answer = self._answer(owner, reading, self._clock(), quality="partial")
        return replace(answer, is_complete=False)

    async def event(
        self, address: Address, index: int, freshness: Freshness = ANY, *, partial: bool = False
    ) -> Answer:
        """
        Return one event of the list, proven as the list is; ``partial`` as with ``events``.

        Raises:
            NoSuchEventError: the list has no such index.
            ListIncompleteError: the list is not whole, and was not read as far as that.
        """
        answer = await self.events(address, freshness, partial=partial)
        if not answer.is_complete:
            events = answer.value["events"]
            if index >= len(events):
                raise ListIncompleteError(
                    f"{address}: event {index} was not read yet; {len(events)} were",
                    len(events),
                    answer.value["estimate_s"],
                )
            picked = pick(events, index, str(address))
            return replace(answer, produce=lambda: picked, memo=Memo())
        try:
            return _one_event(answer, str(address), index)
        except NoSuchEventError as absent:
            # A list that was not proven cannot say that an event is absent.
            if answer.instead_of is not None:
                raise answer.instead_of from absent
            if answer.provenance.quality in ("unchecked", "not_verified_since_restart"):
                raise NothingHeldError(f"{address}: event {index} was never read") from absent
            raise

    async def waveform(self, address: Address, index: int, freshness: Freshness = ANY) -> Answer:
        """
        Return the waveform in a slot (a form of ``sfm.records.payloads``), its slot proven lately
        or now.

        Raises:
            NoSuchEventError: the list has no such index.
        """
        return await self._ask(address, self._waveform(index), freshness)

    async def storage_range(self, address: Address) -> Answer:
        """Return the keys of first and last event; always from the unit."""

        async def say(unit: MiniMate) -> Form:
            return payloads.storage_range_form(await unit.read_storage_range())

        return await self._direct(address, "storage_range", say)

    async def lifetime_count(self, address: Address) -> Answer:
        """Return the lifetime event counter; always from the unit."""

        async def say(unit: MiniMate) -> Form:
            return {"lifetime_count": await unit.read_lifetime_count()}

        return await self._direct(address, "lifetime_count", say)

    async def order(
        self, address: Address, name: str, act: Callable[[Owner, Report], Awaitable[T]]
    ) -> T:
        """
        Let ``act`` have a unit's line for itself; for what is done once and shared with nobody.

        It waits for its turn like everybody. If its reader is gone before that (``BusyError``), it
        does not happen; once begun, it is finished whoever goes away.

        Args:
            address: of the unit.
            name: for who follows the progress.
            act: is given the owner, and what reports steps: what, how many, of how many.
        """
        is_known = await self._recall(address)
        owner = self._owner(address)
        owner.is_recalled |= is_known

        def report(what: str, done: float, total: float | None) -> None:
            report_step(owner.progress, "step", thing=name, what=what, done=done, total=total)

        async def fly(flight: Flight[T]) -> T:
            if not flight.readers:
                raise BusyError(f"{name}: whoever asked for it is gone; it was not done", 0.0)
            report_step(owner.progress, "begun", thing=name, forced=True)
            owner.line.on_wait = lambda step: report(step.what, step.done, step.total)
            try:
                done = await act(owner, report)
            except Exception as error:
                report_step(owner.progress, "failed", thing=name, error=str(error))
                raise
            report_step(owner.progress, "done", thing=name)
            return done

        try:
            done, _ = await owner.departures.ask((name, next(self._orders)), fly, forced=True)
        except Exception:
            self._forget_if_unknown(owner)
            raise
        return done

    async def call_home(self, address: Address) -> Answer:
        """Return when and whom the unit calls by itself; always from the unit."""

        async def say(unit: MiniMate) -> Form:
            return payloads.call_home_form(await unit.read_call_home())

        return await self._direct(address, "call_home", say)

    def progress(self, address: Address) -> ProgressLog:
        """Return the steps of that device's reads, to follow; see ``stopped_following``."""
        if self._ending:
            raise ClosingError("the relay is shutting down")
        return self._owner(address).progress

    def stopped_following(self, address: Address) -> None:
        """Forget a device that was only followed and never answered."""
        owner = self._owners.get(self.conn_key(address))
        if owner is not None:
            self._forget_if_unknown(owner)

    def end_streams(self) -> None:
        """End everybody who follows a progress: the relay is about to stop."""
        self._ending = True
        for owner in self._owners.values():
            owner.progress.close()

    async def drop(self, address: Address, reason: str) -> None:
        """
        Forget everything held of a device, archive excepted; the next reader asks the unit.

        Raises:
            StoreError: memory has forgotten; the database could not, and may bring it back.
        """
        conn_key = self.conn_key(address)
        if not await self._is_known(conn_key):
            return
        self.cache.drop_device(conn_key, reason)
        epoch = self.cache.epoch(conn_key).number
        try:
            beyond = await self.keeper.drop(conn_key, epoch, reason)
        except RestingError as error:
            raise StoreError(str(error)) from error
        if beyond is not None and beyond > epoch:
            self.cache.drop_device(conn_key, reason, beyond=beyond - 1)

    async def _is_known(self, conn_key: str) -> bool:
        """Whether anything may be held of a device; a wrong address leaves nothing behind."""
        found = None
        if self.keeper.has_store and not self._is_in_memory(conn_key):
            try:
                found = await self.keeper.recall(conn_key)
            except (StoreError, RestingError):
                return True  # nobody can tell now, so it is dropped in memory all the same
        return found is not None or self._is_in_memory(conn_key)

    def _is_in_memory(self, conn_key: str) -> bool:
        return conn_key in self._owners or self.cache.knows(conn_key)

    # --- without the device ---------------------------------------------------------------------

    def held_info(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``info`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._info, freshness)

    def held_monitor_status(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``monitor_status`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._status, freshness)

    def held_events(self, conn_key: str, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``events`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._events, freshness)

    def held_event(self, conn_key: str, index: int, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``event`` would answer without asking the unit, if it would."""
        answer = self._without_asking(conn_key, self._events, freshness)
        return None if answer is None else _one_event(answer, conn_key, index)

    def held_waveform(self, conn_key: str, index: int, freshness: Freshness = ANY) -> Answer | None:
        """Return what ``waveform`` would answer without asking the unit, if it would."""
        return self._without_asking(conn_key, self._waveform(index), freshness)

    def stats(self) -> Form:
        """Return what the cache holds and what the lines cost; touches no device."""
        return {
            "cache": self.cache.stats(),
            "store": self.keeper.state(),
            "devices": {key: self._stats_of(owner) for key, owner in self._owners.items()},
        }

    def keys(self) -> list[str]:
        """Return the key of every device that is read, or of which anything is held."""
        return list(dict.fromkeys([*self._owners, *self.cache.known_devices()]))

    def device_stats(self, conn_key: str) -> Form | None:
        """Return the part of ``stats`` that is about one device; ``None``: it is not read."""
        owner = self._owners.get(conn_key)
        return None if owner is None else self._stats_of(owner)

    def conversation_stats(self) -> dict[str, Form]:
        """Return how many conversations are open and wait, with units and unknown addresses."""
        return {
            kind: {
                "open": places.open,
                "waiting": places.waiting,
                "longest_wait_s": round(places.longest_wait_s, 3),
            }
            for kind, places in (
                ("known", self.conversations),
                ("unknown", self.unknown_conversations),
            )
        }

    def _stats_of(self, owner: Owner) -> Form:
        tally, departures = self._tallies[owner.conn_key], owner.departures
        return {
            "serial": owner.serial,
            "simulated": owner.simulated,
            "hits": tally.hits,
            "misses": dict(tally.misses),
            "verdicts": dict(owner.verdicts),
            "flights": departures.departed,
            "joined_readers": departures.joined,
            "readers": departures.readers,
            "waiting_readers": departures.waiting_readers,
            "turned_away": departures.turned_away,
            "failures_in_a_row": owner.back_off.failures,
            "conversations": owner.line.conversations,
            "exchanges": owner.line.exchanges,
            "read_times": {
                "bounds_s": [b for b in owner.read_times.BOUNDS_S if math.isfinite(b)],
                "counts": list(owner.read_times.counts),
                "sum_s": round(owner.read_times.sum_s, 3),
            },
            "under_way": [
                {"what": p.what, "done": p.done, "total": p.total}
                for p in departures.progress.values()
            ],
        }

    # --- the ways an answer is made -------------------------------------------------------------

    @staticmethod
    def conn_key(address: Address) -> str:
        """Return the key under which everything of that address is kept."""
        if address.kind == "tcp":
            return LiveCache.make_conn_key(address.target, address.number, None, None)
        return LiveCache.make_conn_key(None, None, address.target, address.number)

    def _waveform(self, index: int) -> _Thing:
        def held(conn_key: str) -> Held | None:
            return self.cache.held_waveform(conn_key, index)

        async def read(owner: Owner, flight: Flight[Reading]) -> Reading:
            return await owner.read_waveform(flight, index)

        window_s = self.settings.validated_s or -math.inf
        return _Thing(
            ("waveform", index), held, held, window_s, read, follows_list=True, index=index
        )

    def _owner(self, address: Address) -> Owner:
        if self._closed:
            raise ClosingError("the relay is shutting down")
        key = self.conn_key(address)
        owner = self._owners.get(key)
        if owner is None:
            line = Line(
                address,
                self._connect,
                self.settings.keep_open_s_of(address),
                self._connect_unheard,
                partial(self._conversations_for, address),
                silent_limit_s=2 * self.settings.reply_s,
            )
            departures = Departures(
                line.lock,
                most_readers=self.settings.most_readers,
                queue_s=self.settings.queue_s,
            )
            owner = self._owners[key] = Owner(
                key,
                line,
                self.cache,
                self.keeper,
                self._clock,
                departures,
                self._wall,
                self.settings.zones,
            )
            self._tallies[key] = _Tally()
        return owner

    async def _recall(self, address: Address) -> bool:
        """Take up what the store knows of a device; return whether that is known now."""
        key = self.conn_key(address)
        owner = self._owners.get(key)
        is_known = owner is not None and owner.is_recalled and key not in self._looking
        if is_known or not self.keeper.has_store:
            return True
        return await self._together(key, lambda: self._recall_now(address, key))

    async def _recall_now(self, address: Address, key: str) -> bool:
        try:
            found = await self.keeper.recall(key)
        except (StoreError, RestingError):
            return False  # the keeper has noted it; what is written later is fenced
        if found is None:
            return True  # no owner is made for it: wrong addresses cost no memory
        owner = self._owner(address)
        if not owner.is_recalled:
            owner.is_recalled = True
            if owner.take_up(found):
                self.keeper.took_up(key, found)
        return True

    async def _recall_waveform(
        self, conn_key: str, thing: _Thing, freshness: Freshness
    ) -> Held | None:
        """Return a waveform that left memory, or was there before a restart."""
        owner, index = self._owners.get(conn_key), thing.index
        if owner is None or index is None or owner.departures.is_waiting(thing.name):
            return None  # whoever flies for it looks into the store himself
        what = (conn_key, index)
        if freshness.force and what not in self._looking:
            return None
        # A forced reader waits as well: his flight must not leave the others behind.
        return await self._together(what, lambda: owner.recall_waveform(index))

    async def _together(self, what: Hashable, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Look into the store once for all who want the same thing now.

        So they go on at one moment, and nobody is left behind by the flight of another.
        """
        found = self._looking.get(what)
        if found is None:
            found = self._looking[what] = _Look(asyncio.create_task(look()))
            found.task.add_done_callback(lambda _: self._looked(what))
            found.task.add_done_callback(take_note)
        if found.task.done():
            # Those who waited for it are about to go on: not before them.
            await found.gone_on.wait()
        else:
            found.waiting += 1
            try:
                # A cancelled reader ends his own waiting, not the look.
                await asyncio.wait([found.task])
            finally:
                found.waiting -= 1
                self._looked(what)
        if found.task.cancelled():
            raise ClosingError("the relay is shutting down")
        result: T = found.task.result()
        return result

    def _looked(self, what: Hashable) -> None:
        """Forget a look that has ended and that everybody has gone on from."""
        found = self._looking.get(what)
        if found is not None and found.task.done() and not found.waiting:
            del self._looking[what]
            found.gone_on.set()

    async def _ask(self, address: Address, thing: _Thing, freshness: Freshness) -> Answer:
        """Answer from what is held if the reader takes it; else from the next departure."""
        conn_key = self.conn_key(address)
        if (hit := self._without_asking(conn_key, thing, freshness)) is not None:
            return hit
        recalled, is_known = None, True
        if self.keeper.has_store:
            is_known = await self._recall(address)
            recalled = await self._recall_waveform(conn_key, thing, freshness)
            hit = self._without_asking(conn_key, thing, freshness, recalled)
            if hit is not None:
                return hit
        if freshness.only_if_cached:
            raise NothingHeldError(
                f"{conn_key}: nothing is held that is fresh enough, "
                "and the unit was not to be asked"
            )
        owner = self._owner(address)
        owner.is_recalled |= is_known

        async def fly(flight: Flight[Reading]) -> Reading:
            # The flight before this one may have brought what was missing.
            wanted = Freshness(force=flight.forced, max_age_s=flight.max_age_s)
            found = self._find(thing, thing.held(conn_key), conn_key, self._clock())
            if found is not None and found.serves(wanted, thing.allowed_s):
                return owner.reading_of(found.held, "hit", found.proven_mono)
            return await thing.read(owner, flight)

        try:
            return await self._fly(owner, thing.name, fly, freshness, thing)
        except Exception as error:
            now = self._clock()
            found = self._find(thing, thing.last(conn_key) or recalled, conn_key, now)
            is_busy = isinstance(error, RestingError | BusyError | ListIncompleteError)
            if found is None or not (is_busy or is_unreachable(error)):
                raise
            if not freshness.accepts_after_error(found.oldest_age_s(now)):
                raise
            reading = owner.reading_of(found.held, "stale", found.proven_mono)
            quality: Quality = "last_known" if found.is_verified else "not_verified_since_restart"
            answer = self._answer(owner, reading, now, quality=quality)
            return replace(answer, instead_of=error)

    def _without_asking(
        self, conn_key: str, thing: _Thing, freshness: Freshness, held: Held | None = None
    ) -> Answer | None:
        """Return what is held as an answer, if the reader takes it; touches no device."""
        owner = self._owners.get(conn_key)
        if owner is None or freshness.force:
            return None
        now = self._clock()
        found = self._find(thing, thing.held(conn_key) or held, conn_key, now)
        if found is None or not found.serves(freshness, thing.allowed_s):
            return None
        quality: Quality | None = None
        if not found.is_verified:
            quality = "not_verified_since_restart"
        elif freshness.only_if_cached and not ANY.accepts(found.age_s, thing.allowed_s):
            quality = "unchecked"
        return self._answer(
            owner,
            owner.reading_of(found.held, "hit", found.proven_mono),
            now,
            quality=quality,
            ttl_s=thing.ttl_s(found.age_s),
        )

    def _find(
        self, thing: _Thing, held: Held | None, conn_key: str, now_mono: float
    ) -> _Found | None:
        """Return what is held of a thing with the time since the unit last said so."""
        if held is None or held.epoch != self.cache.epoch(conn_key).number:
            return None  # it was looked up before an erase was found: of another memory
        if not thing.follows_list:
            return _Found(held, held.age_s(now_mono), None, held.source != DISK)
        proven = self.cache.validated_mono(conn_key)
        age_s = math.inf if proven is None else max(0.0, now_mono - proven)
        return _Found(held, age_s, proven, held.source != DISK or proven is not None)

    async def _direct(
        self, address: Address, thing: str, say: Callable[[MiniMate], Awaitable[Form]]
    ) -> Answer:
        """Answer from the unit and keep nothing."""
        is_known = await self._recall(address)
        owner = self._owner(address)
        owner.is_recalled |= is_known

        async def read(_: Flight[Reading]) -> Reading:
            return await owner.read_directly(say)

        return await self._fly(owner, thing, read, FORCED)

    async def _fly(
        self,
        owner: Owner,
        thing: str | tuple[str, int],
        read: Callable[[Flight[Reading]], Awaitable[Reading]],
        freshness: Freshness,
        keeps: _Thing | None = None,
    ) -> Answer:
        async def fly(flight: Flight[Reading]) -> Reading:
            if not flight.forced:
                owner.back_off.check()
            flight.notify = lambda step: report_step(
                owner.progress, "step", thing=name, what=step.what, done=step.done, total=step.total
            )
            report_step(owner.progress, "begun", thing=name, forced=flight.forced)
            owner.line.on_wait = flight.report
            try:
                reading = await read(flight)
            except Exception as error:
                report_step(owner.progress, "failed", thing=name, error=str(error))
                raise
            report_step(
                owner.progress, "done", thing=name, why=reading.why, exchanges=reading.exchanges
            )
            return reading

        name = thing if isinstance(thing, str) else " ".join(map(str, thing))

        asked_mono = self._clock()
        try:
            allowed_s = math.inf if keeps is None else keeps.allowed_s
            for _ in range(2):
                reading, shared = await owner.departures.ask(
                    thing,
                    fly,
                    forced=freshness.force,
                    max_age_s=freshness.limit_s(allowed_s),
                    is_short=keeps is not None and keeps.is_short,
                )
                # Who boarded on the way of a list that is proven as of its beginning alone does
                # not get one from before the question.
                if not reading.is_of_beginning or reading.read_began_mono >= asked_mono:
                    break
        except Exception:
            self._forget_if_unknown(owner)
            raise
        now, ttl_s = self._clock(), None
        if keeps is not None:
            found = self._find(keeps, keeps.held(owner.conn_key), owner.conn_key, now)
            ttl_s = None if found is None else keeps.ttl_s(found.age_s)
        return self._answer(owner, reading, now, shared=shared, ttl_s=ttl_s)

    def _forget_if_unknown(self, owner: Owner) -> None:
        """Let nothing remain of an address where no unit ever answered."""
        never_answered = owner.serial is None and owner.departures.is_idle
        if never_answered and self._owners.get(owner.conn_key) is owner:
            del self._owners[owner.conn_key], self._tallies[owner.conn_key]

    def _answer(
        self,
        owner: Owner,
        reading: Reading,
        now: float,
        *,
        shared: bool = False,
        quality: Quality | None = None,
        ttl_s: float | None = None,
    ) -> Answer:
        age_s = max(0.0, now - reading.read_began_mono)
        checked, memo = reading.checked_mono, reading.memo
        if memo.get("read_at") is None:
            # What comes from the store brings its own.
            memo["read_at"] = self._read_at(age_s)
        self._tallies[owner.conn_key].count(reading.why)
        provenance = Provenance(
            conn_key=owner.conn_key,
            serial=reading.serial,
            epoch=reading.epoch,
            source=reading.source,
            why=reading.why,
            quality=quality or _quality(reading),
            read_at=memo["read_at"],
            age_s=round(age_s, 3),
            checked_age_s=None if checked is None else round(max(0.0, now - checked), 3),
            exchanges=reading.exchanges,
            took_s=round(reading.took_s, 3),
            stored=reading.stored,
            store_problem=self.keeper.problem_kind,
            ttl_s=ttl_s,
            shared=shared,
            simulated=reading.simulated,
            reasons=_reasons(reading),
        )
        return Answer(provenance, reading.produce, memo, recorded_since=reading.recorded_since)

    def _read_at(self, age_s: float) -> str | None:
        """Return when something of that age was read, where the host's clock can say so."""
        if not math.isfinite(age_s):
            return None
        began = self._wall() - timedelta(seconds=age_s)
        return began.isoformat(timespec="milliseconds") if is_credible(began) else None


def _one_event(answer: Answer, unit: str, index: int) -> Answer:
    """Return one event out of a list's answer; it is picked once for all readers."""
    part = f"event {index} "
    picked = answer.memo.get(part + "picked")
    if picked is None:
        picked = pick(answer.value, index, unit)
        answer.memo.keep(part + "picked", picked, PICKED_BYTES)
    return Answer(answer.provenance, lambda: picked, answer.memo, part)


async def _read_info(owner: Owner, flight: Flight[Reading]) -> Reading:
    return await owner.read_info("request" if flight.forced else "miss")


async def _read_status(owner: Owner, flight: Flight[Reading]) -> Reading:
    return await owner.read_status("request" if flight.forced else "miss")


def _quality(reading: Reading) -> Quality:
    return "partial" if _reasons(reading) else "good"


def _reasons(reading: Reading) -> list[Form]:
    """Return why what was read is partial; looked at once for all readers."""
    if "reasons" not in reading.memo:
        reading.memo["reasons"] = payloads.reasons_of(reading.produce())
    reasons: list[Form] = reading.memo["reasons"]
    return reasons
