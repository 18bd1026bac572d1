"""
The gateway: every device has one owner; readers get answers that say where they come from.

The rule: nothing is answered that a read begun after the last doubt would contradict. The event
list is doubted at every request, so the unit's memory is probed each time (``sfm.identity`` gives
the verdict); a waveform is as good as its slot in a list that was just proven; a monitor status is
good for 30 s from the start of its read; device info until its settings are written. ``force``
doubts everything.

Readers who ask for the same thing share a flight (``sfm.flights``); what a flight does on the
unit's one conversation is ``sfm.owner``. A long read of the list takes unforced readers until the
probe that closes it: 200 who ask at once cost one read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from minimateplus.client import MiniMate
from minimateplus.link import Address, open_link
from sfm import forms
from sfm.flights import ClosingError, Flight
from sfm.forms import Form
from sfm.line import Connect, Line
from sfm.live_cache import Held, LiveCache
from sfm.owner import Owner, Reading, Why, pick
from sfm.settings import Settings

__all__ = ["Answer", "ClosingError", "Gateway", "Provenance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an answer comes from."""

    conn_key: str
    serial: str | None
    epoch: int
    """Which memory of the unit this is of; rises with every erase that was noticed."""
    source: Literal["device", "cache"]
    why: Why
    quality: Literal["good", "partial"]
    """``partial``: some samples could not be vouched for."""
    read_at: str
    """When the device read began, UTC, by the relay's clock."""
    age_s: float
    """Seconds since then, by the monotonic clock."""
    checked_age_s: float | None
    """Seconds since the unit was last asked whether this is still so; ``None``: it was not."""
    exchanges: int
    """Requests sent to the unit for this answer."""
    took_s: float
    """How long the line was used for it."""
    shared: bool
    """Whether another reader's flight brought it."""
    simulated: bool | None
    """Whether the unit says of itself that it is a simulation; ``None``: it was not asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A form with its provenance. Readers of one flight share the form: nobody changes it."""

    value: Any
    provenance: Provenance


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
        connect: opens a conversation; by TCP or serial if not given.
        clock: monotonic seconds.
        wall: the time of day, UTC, for people.
    """

    def __init__(
        self,
        cache: LiveCache,
        settings: Settings | None = None,
        *,
        connect: Connect | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cache = cache
        self.settings = settings or Settings()
        self._connect = connect or self._open
        self._clock = clock
        self._wall = wall
        self._closed = False
        self._owners: dict[str, Owner] = {}
        self._tallies: dict[str, _Tally] = {}

    async def _open(self, address: Address) -> MiniMate:
        deadlines = self.settings.deadlines
        return await MiniMate.open(await open_link(address, deadlines), deadlines=deadlines)

    async def close(self) -> None:
        """End every read and hang up every line; who asks from now on gets ``ClosingError``."""
        self._closed = True
        await asyncio.gather(*(owner.close() for owner in self._owners.values()))

    # --- verbs ----------------------------------------------------------------------------------

    async def info(self, address: Address, *, force: bool = False) -> Answer:
        """Return identity and recording setup; from the cache unless a write made them doubtful."""
        owner = self._owner(address)
        return await self._kept(owner, "info", self.cache.held_info, owner.read_info, force)

    async def monitor_status(self, address: Address, *, force: bool = False) -> Answer:
        """Return monitoring, clock, battery and memory; from the cache for 30 s."""
        owner = self._owner(address)
        held = self.cache.held_monitor_status
        return await self._kept(owner, "status", held, owner.read_status, force)

    async def events(self, address: Address, *, force: bool = False) -> Answer:
        """Return the event list, after the unit's memory was probed; new events alone are read."""
        owner = self._owner(address)
        return await self._fly(owner, "events", owner.read_events, force)

    async def event(self, address: Address, index: int, *, force: bool = False) -> Answer:
        """
        Return one event of the list, proven as the list is.

        Raises:
            NoSuchEventError: the list has no such index.
        """
        answer = await self.events(address, force=force)
        return Answer(pick(answer.value, index, str(address)), answer.provenance)

    async def waveform(self, address: Address, index: int, *, force: bool = False) -> Answer:
        """
        Return the waveform in a slot (a form of ``sfm.forms``), after its slot was proven.

        Raises:
            NoSuchEventError: the list has no such index.
        """
        owner = self._owner(address)

        async def read(flight: Flight[Reading]) -> Reading:
            return await owner.read_waveform(flight, index)

        return await self._fly(owner, ("waveform", index), read, force)

    async def storage_range(self, address: Address) -> Answer:
        """Return the keys of first and last event; always from the unit."""

        async def say(unit: MiniMate) -> Form:
            return forms.storage_range_form(await unit.read_storage_range())

        return await self._direct(address, "storage_range", say)

    async def lifetime_count(self, address: Address) -> Answer:
        """Return the lifetime event counter; always from the unit."""

        async def say(unit: MiniMate) -> Form:
            return {"lifetime_count": await unit.read_lifetime_count()}

        return await self._direct(address, "lifetime_count", say)

    def stats(self) -> Form:
        """Return what the cache holds and what the lines cost; touches no device."""
        return {
            "cache": self.cache.stats(),
            "devices": {
                key: {
                    "serial": owner.serial,
                    "simulated": owner.simulated,
                    "hits": self._tallies[key].hits,
                    "misses": dict(self._tallies[key].misses),
                    "verdicts": dict(owner.verdicts),
                    "flights": owner.departures.departed,
                    "joined_readers": owner.departures.joined,
                    "waiting_readers": owner.departures.waiting_readers,
                    "conversations": owner.line.conversations,
                    "exchanges": owner.line.exchanges,
                    "under_way": [
                        {"what": p.what, "done": p.done, "total": p.total}
                        for p in owner.departures.progress.values()
                    ],
                }
                for key, owner in self._owners.items()
            },
        }

    # --- the ways an answer is made -------------------------------------------------------------

    @staticmethod
    def conn_key(address: Address) -> str:
        """Return the key under which everything of that address is kept."""
        if address.kind == "tcp":
            return LiveCache.make_conn_key(address.target, address.number, None, None)
        return LiveCache.make_conn_key(None, None, address.target, address.number)

    def _owner(self, address: Address) -> Owner:
        if self._closed:
            raise ClosingError("the relay is shutting down")
        key = self.conn_key(address)
        owner = self._owners.get(key)
        if owner is None:
            line = Line(address, self._connect, self.settings.keep_open_s)
            owner = self._owners[key] = Owner(key, line, self.cache, self._clock)
            self._tallies[key] = _Tally()
        return owner

    async def _kept(
        self,
        owner: Owner,
        thing: str,
        held: Callable[[str], Held | None],
        read: Callable[[Why], Awaitable[Reading]],
        force: bool,
    ) -> Answer:
        """Answer from the cache while it may be; else from the next departure."""
        if not force and (hit := held(owner.conn_key)) is not None:
            return self._answer(owner, owner.reading_of(hit), shared=False)

        async def fly(flight: Flight[Reading]) -> Reading:
            # The flight before this one may have brought what was missing.
            if not flight.forced and (hit := held(owner.conn_key)) is not None:
                return owner.reading_of(hit)
            return await read("request" if flight.forced else "miss")

        return await self._fly(owner, thing, fly, force)

    async def _direct(
        self, address: Address, thing: str, say: Callable[[MiniMate], Awaitable[Form]]
    ) -> Answer:
        """Answer from the unit and keep nothing."""
        owner = self._owner(address)

        async def read(_: Flight[Reading]) -> Reading:
            return await owner.read_directly(say)

        return await self._fly(owner, thing, read, force=True)

    async def _fly(
        self,
        owner: Owner,
        thing: Hashable,
        read: Callable[[Flight[Reading]], Awaitable[Reading]],
        force: bool,
    ) -> Answer:
        try:
            reading, shared = await owner.departures.ask(thing, read, forced=force)
        except Exception:
            if owner.serial is None and owner.departures.is_idle:
                self._forget(owner)
            raise
        return self._answer(owner, reading, shared=shared)

    def _forget(self, owner: Owner) -> None:
        if self._owners.get(owner.conn_key) is owner:
            del self._owners[owner.conn_key], self._tallies[owner.conn_key]

    def _answer(self, owner: Owner, reading: Reading, *, shared: bool) -> Answer:
        now = self._clock()
        age_s = max(0.0, now - reading.read_began_mono)
        checked = reading.checked_mono
        self._tallies[owner.conn_key].count(reading.why)
        provenance = Provenance(
            conn_key=owner.conn_key,
            serial=reading.serial,
            epoch=reading.epoch,
            source="cache" if reading.why == "hit" else "device",
            why=reading.why,
            quality="partial" if _is_partial(reading.value) else "good",
            read_at=(self._wall() - timedelta(seconds=age_s)).isoformat(timespec="milliseconds"),
            age_s=round(age_s, 3),
            checked_age_s=None if checked is None else round(max(0.0, now - checked), 3),
            exchanges=reading.exchanges,
            took_s=round(reading.took_s, 3),
            shared=shared,
            simulated=reading.simulated,
        )
        return Answer(reading.value, provenance)


def _is_partial(form: Any) -> bool:
    return isinstance(form, dict) and any(
        vouched < form["samples"] for vouched in form.get("vouched", ())
    )
