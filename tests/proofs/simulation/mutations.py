"""
Planted faults: small breakages of the production code, each with a name.

The rule: a checker that catches nothing proves nothing. Each mutation is a context manager that
breaks one thing and puts it back; ``MUTATIONS`` says at which grain its breakage shows, and in
which world. When the worlds have changed, find those anew (an hour, or some by name):

    PYTHONPATH=tests .venv/bin/python tests/proofs/simulation/soak.py --catch [FAULT ...]
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from itertools import count, product
from typing import Any
from unittest.mock import patch

import orjson
from kit.record_memory import RecordMemory
from record_unit import RecordSession
from sqlalchemy import select

import sfm.live_cache as live_cache
from minimateplus.client import MiniMate
from minimateplus.client.commands import CommandSession
from minimateplus.client.session import Session
from minimateplus.errors import MemoryChangedError, OutcomeUnknownError
from minimateplus.model import Event, MemoryProbe, Peaks
from minimateplus.wire import commands
from minimateplus.wire.framing import reply_sub
from minimateplus.wire.protocol_state import State
from sfm.access.names import unit_key
from sfm.api import provenance
from sfm.cache import identity
from sfm.cache.freshness import Freshness
from sfm.cache.identity import Verdict, compare_probes
from sfm.devices.cached_answers import CachedAnswers
from sfm.devices.commands import Commands
from sfm.devices.commands.command import Attempt
from sfm.devices.connection import ConnectionSession
from sfm.devices.connection_lock import ConnectionLock
from sfm.devices.device import Device
from sfm.devices.download import Downloads
from sfm.devices.durable_cache import DurableCache
from sfm.devices.event_list import EventList
from sfm.devices.gateway import Gateway
from sfm.devices.registry import Registry
from sfm.devices.roster import UnitRoster
from sfm.devices.single_flight import SingleFlight
from sfm.live_cache import LiveCache
from sfm.records import payloads
from sfm.records.walk import ProvenPart, Walk
from sfm.store import EraseCheck, mirror, mirror_rows, schema
from sfm.store import roster as stored_roster
from sfm.store.row_hashes import read_rows
from sfm.store.service import Outcome, StoreService
from sfm.store.unit_writer import UnitWriter


def no_generation_check() -> Any:
    """A fill is never late."""
    return patch.object(LiveCache, "_is_late", lambda self, device, generation: False)


def forced_read_joins_a_started_read() -> Any:
    """A forced reader joins any running read."""

    def boardable(self: Any, resource: Any, forced: bool, *rest: Any) -> Any:
        return self._waiting.get(resource) or (self._running.get(resource) if forced else None)

    return patch.object(SingleFlight, "_joinable", boardable)


def late_join_always_allowed() -> Any:
    """Unforced readers join a read that has started, whether it proves anything or not."""

    def boardable(self: Any, resource: Any, forced: bool, *rest: Any) -> Any:
        return self._waiting.get(resource) or (None if forced else self._running.get(resource))

    return patch.object(SingleFlight, "_joinable", boardable)


def reader_owns_the_read() -> Any:
    """A reader who goes away ends the shared read."""
    ask = SingleFlight.ask

    async def owning(self: Any, resource: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await ask(self, resource, *args, **kwargs)
        except asyncio.CancelledError:
            shared_read = self._running.get(resource) or self._waiting.get(resource)
            if shared_read is not None:
                shared_read.task.cancel()
            raise

    return patch.object(SingleFlight, "ask", owning)


def waiters_retry() -> Any:
    """A reader who shared a failed read tries again alone."""
    ask = SingleFlight.ask

    async def retrying(self: Any, *args: Any, **kwargs: Any) -> Any:
        joined = self.joined
        try:
            return await ask(self, *args, **kwargs)
        except Exception:
            if self.joined == joined:
                raise
            return await ask(self, *args, **kwargs)

    return patch.object(SingleFlight, "ask", retrying)


def no_connection_lock() -> Any:
    """Every read has a connection lock of its own."""

    async def running(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._lock = ConnectionLock()
        lock = self._lock
        shared_read = args[0]
        await lock.acquire()
        self._waiting.pop(shared_read.resource, None)
        shared_read.started.set()
        self.started_reads += 1
        self._running[shared_read.resource] = shared_read
        try:
            return await args[1](shared_read)
        finally:
            self._running.pop(shared_read.resource, None)

    return patch.object(SingleFlight, "_run_shared", running)


def max_age_of_the_second_reader_ignored() -> Any:
    """The age that a read may bring is that which the first reader allows."""
    ask = SingleFlight.ask

    async def deaf(self: Any, resource: Any, *args: Any, **kwargs: Any) -> Any:
        waiting = self._waiting.get(resource)
        if waiting is not None:
            kwargs["max_age_s"] = waiting.max_age_s
        return await ask(self, resource, *args, **kwargs)

    return patch.object(SingleFlight, "ask", deaf)


def last_returned_list_forgotten() -> Any:
    """A list that was returned and not kept has no effect on its epoch (so it once was)."""
    return patch.object(DurableCache, "follows_last_returned", lambda self, events, probe: True)


def _probes_without(**parts: Any) -> Any:
    def careless(old: MemoryProbe | None, new: MemoryProbe, *rest: Any) -> Any:
        if old is not None:
            old = replace(old, **{name: getattr(new, name) for name in parts})
        return compare_probes(old, new, *rest)

    return patch.object(identity, "compare_probes", careless)


def probe_without_the_timestamp() -> Any:
    """Two probes that differ only in the newest timestamp are equal."""
    return _probes_without(last_timestamp=True)


def probe_without_the_counter() -> Any:
    """Two probes that differ only in the lifetime counter are equal."""
    return _probes_without(lifetime_count=True)


def append_without_confirmation() -> Any:
    """What follows the old last event is new, and nobody counts."""

    proven_part = Walk.proven_part

    def believing(self: Any, closing: MemoryProbe, volatile: frozenset[int], **how: Any) -> Any:
        if self.anchor is None:
            return proven_part(self, closing, volatile, **how)
        return ProvenPart(probe=self.probes[-1], count=self.count, recorded_since=0)

    return patch.object(Walk, "proven_part", believing)


def list_without_closing_proof() -> Any:
    """What was walked is the list, whatever happened meanwhile."""

    async def trusting(
        self: Any, unit: Any, walk: Any, shared_read: Any, *, is_steady: bool
    ) -> Any:
        return ProvenPart(probe=walk.probes[-1], count=walk.count, recorded_since=0)

    return patch.object(EventList, "_close_walk", trusting)


def waveform_without_the_counter() -> Any:
    """After a download only the stamp is looked at."""
    download = Downloads.download

    async def trusting(self: Any, unit: Any, event: Any, probe: Any, *args: Any, **kw: Any) -> Any:
        return await download(self, unit, event, replace(probe, lifetime_count=None), *args, **kw)

    return patch.object(Downloads, "download", trusting)


def stamp_not_checked_after() -> Any:
    """The client reads the stamp before a download, and not after; the relay counts nothing."""
    check = MiniMate._check_record

    async def once(self: Any, event: Any, *, arm: bool = False) -> bytes:
        return await check(self, event, arm=arm) if arm else event.record

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(MiniMate, "_check_record", once))
    stack.enter_context(waveform_without_the_counter())
    return stack


def swapped_serial_ignored() -> Any:
    """Another unit answers, and nothing of the old one goes."""

    met = Registry.met

    def ignoring(self: Any, device: Any, route: Any, serial: str, *rest: Any) -> None:
        met(self, device, route, device.serial or serial, *rest)

    return patch.object(Registry, "met", ignoring)


def age_from_the_reads_end() -> Any:
    """What was just read is reported to be as young as the end of its read."""
    reading = DurableCache.new_reading

    def young(self: Any, value: Any, why: Any, began_mono: float, *rest: Any, **kw: Any) -> Any:
        return reading(self, value, why, self._cache._clock(), *rest, **kw)

    return patch.object(DurableCache, "new_reading", young)


def status_kept_from_the_reads_end() -> Any:
    """A status is fresh for 30 s after its read ended."""
    save = LiveCache.set_monitor_status

    def keeping(self: Any, *args: Any, read_began_mono: Any = None, **kwargs: Any) -> bool:
        return save(self, *args, **kwargs)

    return patch.object(LiveCache, "set_monitor_status", keeping)


def late_status_fill_after_stop() -> Any:
    """A status that was read before monitoring was stopped is kept all the same."""
    save = LiveCache.set_monitor_status

    def keeping(self: Any, *args: Any, generation: Any = None, **kwargs: Any) -> bool:
        return save(self, *args, **kwargs)

    return patch.object(LiveCache, "set_monitor_status", keeping)


def wall_clock_for_age() -> Any:
    """Ages are counted by the time of day."""
    init = Gateway.__init__

    def by_wall(self: Any, cache: Any, *args: Any, wall: Any, **kwargs: Any) -> None:
        kwargs["clock"] = cache._clock = lambda: wall().timestamp()
        init(self, cache, *args, wall=wall, **kwargs)

    return patch.object(Gateway, "__init__", by_wall)


def eviction_forgets_the_dirty_flag() -> Any:
    """A device that loses a waveform to the budget is clean again."""
    evict = LiveCache._evict

    def forgetting(self: Any) -> None:
        before = {key: set(device.waveforms) for key, device in self._devices.items()}
        evict(self)
        for key, device in list(self._devices.items()):
            if before[key] - device.waveforms.keys():
                self._devices[key] = replace(device, dirty=False)

    return patch.object(LiveCache, "_evict", forgetting)


def dirty_flag_cleared_by_events() -> Any:
    """A stored event list ends a dirty configuration."""
    save = LiveCache.set_events

    def keeping(self: Any, conn_key: str, *args: Any, **kwargs: Any) -> bool:
        kept = save(self, conn_key, *args, **kwargs)
        if kept:
            self._devices[conn_key] = replace(self._devices[conn_key], dirty=False)
        return kept

    return patch.object(LiveCache, "set_events", keeping)


def drop_keeps_the_generation() -> Any:
    """Reads that were under way when a device was dropped may still fill it."""
    emptied = live_cache._Device.emptied

    def same(self: Any, *args: Any) -> Any:
        return replace(emptied(self, *args), generation=self.generation)

    return patch.object(live_cache._Device, "emptied", same)


def flush_touches_another_device() -> Any:
    """A drop of one device begins a new epoch of all."""
    drop = LiveCache._drop

    def wide(self: Any, conn_key: str, reason: str, now_mono: float, *beyond: int) -> Any:
        for other in list(self._devices):
            if other != conn_key:
                drop(self, other, reason, now_mono)
        return drop(self, conn_key, reason, now_mono, *beyond)

    return patch.object(LiveCache, "_drop", wide)


def aliasing() -> Any:
    """What goes into the cache is what comes out, the very object."""
    return patch.object(live_cache, "_freeze", lambda value: (lambda: value, len(repr(value))))


def etag_without_the_key() -> Any:
    """An event's tag says nothing of its key (judged by ``tags_shared``, not by simulations)."""
    tag = provenance.tag

    def keyless(serial: str | None, payload: Any, body: bytes) -> str:
        if isinstance(payload, dict) and "waveform_key" in payload:
            payload = {**payload, "waveform_key": ""}
            body = orjson.dumps(payload)
        return tag(serial, payload, body)

    return patch.object(provenance, "tag", keyless)


def tags_shared() -> list[str]:
    """Return the tags that two different records share, of units, keys, times and samples."""
    tags: list[str] = []
    for serial, key, timestamp in product("AB", ("01110000", "01110200"), ("1995", None)):
        event = {
            "index": 0,
            "waveform_key": key,
            "timestamp": timestamp,
            "peaks": dict.fromkeys(field.name for field in fields(Peaks)),
            "project": None,
        }
        tags.append(provenance.tag(serial, event, orjson.dumps(event)))
        tags += (
            provenance.waveform_tag(serial, {**event, "counts": counts})
            for counts in (b"\1\0", b"\2\0")
        )
    return [tag for tag in set(tags) if tags.count(tag) > 1]


def last_returned_list_forgotten_by_a_restart() -> Any:
    """After a restart it is not known of which memory an epoch was reported (so it once was)."""
    adopt = DurableCache.adopt

    def forgetful(self: Any, found: Any) -> bool:
        taken = adopt(self, found)
        self._last_returned = None
        return taken

    return patch.object(DurableCache, "adopt", forgetful)


def stored_before_it_is_written() -> Any:
    """An answer says stored, and the record is on its way."""

    async def save(self: Any, *args: Any, **kw: Any) -> Outcome:
        return Outcome(True)

    return patch.object(UnitWriter, "save", save)


@contextmanager
def mirror_keeps_the_old_memory() -> Iterator[None]:
    """A new epoch enters the mirror, and what is there stays."""
    with (
        patch.object(mirror, "clear", lambda connection, unit_id: None),
        patch.object(mirror_rows, "clear", lambda connection, unit_id: None),
    ):
        yield


# --- commands -----------------------------------------------------------------------------------


async def _nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing of what should be done."""


def status_not_doubted() -> Any:
    """A start or stop leaves the status that was read before."""
    return patch.object(DurableCache, "invalidate_status", lambda self: None)


def settings_not_doubted() -> Any:
    """New settings leave the info that was read before."""
    return patch.object(DurableCache, "invalidate_settings", _nothing)


def erase_keeps_the_device() -> Any:
    """An erase leaves everything that was read before."""
    drop = DurableCache.drop

    async def unless_erased(self: Any, generation: int, reason: str) -> int:
        is_erase = reason.startswith("erased through")
        return generation if is_erase else await drop(self, generation, reason)

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(DurableCache, "drop", unless_erased))
    stack.enter_context(patch.object(DurableCache, "drop_again", _nothing))
    return stack


def a_lost_connection_sends_a_command_again() -> Any:
    """What was sent over a reused connection that died is sent again, commands as well."""
    may_run_again = ConnectionSession._may_run_again

    def again(self: Any, error: BaseException) -> bool:
        is_first = self._kept is not None
        return may_run_again(self, error) or (isinstance(error, OutcomeUnknownError) and is_first)

    return patch.object(ConnectionSession, "_may_run_again", again)


def _erase_with(known: Callable[[MemoryProbe], MemoryProbe]) -> Any:
    erase = CommandSession.erase_proven

    async def careless(self: Any, *, serial: str, proven: MemoryProbe) -> None:
        await erase(self, serial=serial, proven=known(proven))

    return patch.object(CommandSession, "erase_proven", careless)


def erase_without_the_last_key() -> Any:
    """An erase is confirmed whatever was recorded since its beginning."""
    return _erase_with(lambda proven: replace(proven, is_empty=True))


def erase_without_the_counter() -> Any:
    """An erase begins whatever was recorded since the list was proven, if it ends at that key."""
    return _erase_with(lambda proven: replace(proven, lifetime_count=None))


def erase_without_the_archive() -> Any:
    """An erase asks nobody what would be lost."""

    async def nothing_lost(self: Any, *args: Any) -> EraseCheck:
        return EraseCheck(unarchived=[], contradicted=[])

    return patch.object(Commands, "_erase_check", nothing_lost)


def command_for_whatever_answers() -> Any:
    """Settings and an erase are for any unit that answers there."""

    async def identified(self: Any, device: Any, unit: Any, serial: str | None) -> None:
        await device.identification.identify(unit)

    return patch.object(Commands, "_same_unit", identified)


def erase_of_any_number() -> Any:
    """An erase believes the number that was given, whatever the unit holds."""
    walk, erase = Device.walk_memory, Commands.erase
    given: contextvars.ContextVar[int] = contextvars.ContextVar("given")

    async def careless(self: Any, *args: Any, count: int, **kw: Any) -> Any:
        given.set(count)
        return await erase(self, *args, count=count, **kw)

    async def walking(self: Any, unit: Any, on_event: Any) -> Any:
        events, proven = await walk(self, unit, on_event)
        count = given.get()
        return ([*events] + [{"index": 0}] * count)[:count], proven

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Commands, "erase", careless))
    stack.enter_context(patch.object(Device, "walk_memory", walking))
    return stack


def unknown_is_reported_as_failed() -> Any:
    """A command that was lost before its acknowledgement is reported as failed."""
    outcome_of = Attempt.outcome_of

    def sure(self: Any, error: BaseException) -> Any:
        outcome = outcome_of(self, error)
        return "failed" if outcome == "unknown" else outcome

    return patch.object(Attempt, "outcome_of", sure)


def done_without_an_acknowledgement() -> Any:
    """A start or stop whose acknowledgement never came is done."""

    def trusting(switch: Any) -> Any:
        async def believed(self: Any) -> None:
            with contextlib.suppress(OutcomeUnknownError):
                await switch(self)

        return believed

    stack = contextlib.ExitStack()
    for name in ("start_monitoring", "stop_monitoring"):
        believed = trusting(getattr(CommandSession, name))
        stack.enter_context(patch.object(CommandSession, name, believed))
    return stack


def a_dry_run_writes() -> Any:
    """Settings that are only tried are written."""
    write = CommandSession.write_setup

    async def writing(self: Any, change: Any, *, dry_run: bool = False, **kw: Any) -> Any:
        return await write(self, change, **kw)

    return patch.object(CommandSession, "write_setup", writing)


def _notes_without(is_missing: Callable[[Any], bool]) -> Any:
    note = StoreService.note

    async def some(self: Any, entry: Any) -> int | None:
        return None if is_missing(entry) else await note(self, entry)

    return patch.object(StoreService, "note", some)


def command_begins_unrecorded() -> Any:
    """A command goes out before anything of it is written down."""
    return _notes_without(lambda entry: entry.phase == "begun")


def command_of_a_stopped_relay_ends_unrecorded() -> Any:
    """What a relay does when it is stopped has a beginning in the audit log, and no end."""
    return _notes_without(lambda entry: "Cancelled" in entry.detail.get("error", ""))


def settings_are_doubted_in_memory_only() -> Any:
    """New settings leave the old info in the database, for the next start."""
    return patch.object(StoreService, "forget_info", _nothing)


# --- trouble of real lines ------------------------------------------------------------------------


def growth_is_not_counted() -> Any:
    """What follows an earlier probe's last event is its growth, however far the counter rose."""

    def confirms(self: Any, before: MemoryProbe, now: MemoryProbe, volatile: Any) -> bool:
        verdict = compare_probes(before, now, volatile)
        return verdict in (Verdict.SAME, Verdict.GREW)

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Walk, "_confirms", confirms))
    stack.enter_context(patch.object(Walk, "_leads_to", confirms))
    return stack


def a_cut_walk_is_joined_without_comparison() -> Any:
    """A walk that was cut goes on, whatever the memory is now."""

    def joins(self: Any, probe: MemoryProbe, volatile: Any) -> Verdict:
        return Verdict.SAME

    def leads_to(self: Any, before: MemoryProbe, now: MemoryProbe, volatile: Any) -> bool:
        return True

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Walk, "joins", joins))
    stack.enter_context(patch.object(Walk, "_leads_to", leads_to))
    stack.enter_context(patch.object(RecordMemory, "check", _by_time_alone))
    return stack


def _by_time_alone(self: RecordMemory, event: Event) -> Event:
    now = self.visit(event.key)
    if now.device_time != event.device_time:
        raise MemoryChangedError("of another event")
    return now


def record_compared_by_time_alone() -> Any:
    """Of the last record only the timestamp is compared."""
    return _probes_without(last_peaks=True, last_project=True, last_record=True)


def a_shared_line_keeps_what_was_read() -> Any:
    """What was read while another program moved the cursor is kept for the next contact."""
    return patch.object(Walk, "forget_session", lambda self: None)


def a_shared_line_is_not_noticed() -> Any:
    """Replies to another program are skipped, and the read goes on."""
    return patch.object(RecordSession, "_hear_foreign", lambda self: None)


def foreign_replies_are_skipped() -> Any:
    """A frame that answers no open request is dropped, and the session goes on."""
    return patch.object(Session, "_refuse_frame", lambda self, frame, when: None)


def stale_chunks_are_not_drained() -> Any:
    """What arrived before a 5A goes out may answer it, and a chunk too many is nothing odd."""
    refuse_unasked, refuse = Session._refuse_unasked_frames, Session._refuse_frame

    def undrained(self: Any) -> None:
        if self._protocol.state is not State.READING:
            refuse_unasked(self)

    def refuse_other(self: Any, frame: Any, when: str) -> None:
        if frame.sub != reply_sub(commands.BULK_READ.sub):
            refuse(self, frame, when)

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Session, "_refuse_unasked_frames", undrained))
    stack.enter_context(patch.object(Session, "_refuse_frame", refuse_other))
    return stack


def a_resumed_download_trusts_its_last_chunk() -> Any:
    """Of what an earlier session brought of an image, only the first chunk is read again."""
    read_image, read_memory = MiniMate._read_image, MiniMate._read_memory

    async def trusting(self: Any, event: Any, begun: bytes, *rest: Any) -> bytes:
        size = commands.BULK_CHUNK_BYTES
        at = (len(begun) - 1) // size * size
        self.trusted = (int.from_bytes(event.key, "big") + at, begun[at:]) if at > 0 else (0, b"")
        return await read_image(self, event, begun, *rest)

    async def known(self: Any, address: int, length: int) -> bytes:
        (at, chunk), self.trusted = self.trusted, (0, b"")
        if (at, len(chunk)) == (address, length):
            return bytes(chunk)
        if address != at:
            self.trusted = (at, chunk)
        read: bytes = await read_memory(self, address, length)
        return read

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(MiniMate, "_read_image", trusting))
    stack.enter_context(patch.object(MiniMate, "_read_memory", known))
    return stack


def a_cut_walk_is_kept_nowhere() -> Any:
    """What a session read before it was cut is forgotten."""
    return patch.object(EventList, "_cut_walk", lambda self: None)


def a_torn_probe_loses_the_walk() -> Any:
    """A cut walk is compared with its latest probe, torn or not."""
    return patch.object(Walk, "drop_torn", lambda self, now, volatile: None)


def a_partial_list_is_called_complete() -> Any:
    """What a walk has read so far is answered as the list."""
    walked = CachedAnswers.walked

    def whole(self: Any, address: Any) -> Any:
        answer = walked(self, address)
        if answer is None:
            return None
        good = replace(answer.provenance, quality="good")
        events = answer.value["events"]
        return replace(answer, produce=lambda: events, provenance=good, is_complete=True)

    return patch.object(CachedAnswers, "walked", whole)


def a_partial_list_enters_the_cache() -> Any:
    """What a walk had read when it was cut is cached as the list."""
    incomplete = EventList._incomplete

    def caching(self: Any, unit: Any, walk: Any, error: Any) -> Any:
        payloads = walk.payloads()
        durable = self._durable
        durable._cache.set_events(durable.conn_key, len(payloads), payloads, probe=walk.probes[-1])
        return incomplete(self, unit, walk, error)

    return patch.object(EventList, "_incomplete", caching)


# --- units and routes -----------------------------------------------------------------------------


def two_routes_have_two_caches() -> Any:
    """Each route has a cache, and a turn, of its own, whichever unit it leads to."""
    met = Registry.met

    def by_route(self: Any, device: Any, route: Any, *rest: Any) -> None:
        self.over = route.conn_key
        met(self, device, route, *rest)

    def own(self: Any, serial: str) -> Device:
        key = f"{unit_key(serial)} over {getattr(self, 'over', '')}"
        device: Device = self.devices.get(key) or self._add_device(key, serial)
        return device

    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(Registry, "met", by_route))
    stack.enter_context(patch.object(Registry, "unit", own))
    return stack


def lock_by_address_only() -> Any:
    """Two names of one endpoint have nothing in common."""
    return patch("sfm.devices.endpoints.endpoint_of", side_effect=map(str, count()))


def other_routes_stay_open() -> Any:
    """A session begins while another route's link to the unit is kept open."""
    return patch.object(Device, "hang_up_others", _nothing)


def first_contact_stays_beside_a_session() -> Any:
    """Who finds a unit that is in a session does not hang up."""
    return patch.object(Registry, "is_talked_to", lambda self, serial: False)


def a_new_name_is_a_first_contact() -> Any:
    """Who answers at an endpoint is known of the name alone under which it was asked."""
    return patch.object(Registry, "check_endpoint", lambda *_: None)


def age_judged_before_the_contact_is_noted() -> Any:
    """What was fresh enough before the database noted who answered is served after that."""

    async def early(self: Any, target: Any, device: Any, resource: Any, shared_read: Any) -> Any:
        wanted = Freshness(force=shared_read.forced, max_age_s=shared_read.max_age_s)
        if self._answers.is_good_enough(resource, device, wanted):
            if not self._answers.is_contact_good_enough(target, device, resource, wanted):
                await device.identify()
            candidate = self._answers.candidate(resource, device.key)
            if candidate is not None and candidate.serves(wanted, resource.allowed_s):
                return device.durable.reading_of(candidate.entry, "hit", candidate.proven_mono)
        return await resource.read(device, shared_read)

    return patch.object(Gateway, "_read_unless_cached", early)


def a_stopping_relay_leaves_commands_without_an_end() -> Any:
    """The database is closed while a command that met another unit is still to be noted."""
    return patch.object(Gateway, "writing_its_end", lambda self: contextlib.nullcontext())


def old_mirror_given_to_the_new_unit() -> Any:
    """A unit that the database does not know gets what it has of another one."""
    load = StoreService.load
    keys: dict[str, None] = {}

    async def of_another(self: Any, key: str) -> Any:
        found = await load(self, key)
        for other in [one for one in keys if one != key]:
            found = found or await load(self, other)
        keys[key] = None
        return found

    return patch.object(StoreService, "load", of_another)


def status_cached_before_the_serial_number_is_known() -> Any:
    """A contact caches a status for the unit that was expected, and then asks who it is."""

    async def early(self: Any, shared_read: Any) -> Any:
        session = self.session(shared_read=shared_read)
        while True:
            async with session as unit:
                began, generation = self._clock(), self.durable.generation
                status = await unit.read_monitor_status()
                payload = payloads.status_payload(status, self._wall(), None)
                stored = self.durable.save_status(payload, generation, began)
                await self.identification.identify(unit)
                why = "request" if shared_read.forced else "miss"
                return self.durable.new_reading(payload, why, began, stored=stored)

    return patch.object(Device, "read_status", early)


def a_contact_over_any_route_will_do() -> Any:
    """Asked by address, nobody asks whether the unit answers there still."""
    return patch.object(Registry, "contact_mono", lambda self, *_: self._clock())


def where_a_unit_answered_is_forgotten() -> Any:
    """A serial number leads nowhere, though the unit was just read by address."""
    return patch.object(UnitRoster, "note_reached", lambda *_: None)


def a_moved_unit_takes_its_past_along() -> Any:
    """All events of a unit have the zone of where it stands now."""
    place = stored_roster.place_unit

    def always(connection: Any, *, from_device_time: str, **more: Any) -> None:
        place(connection, from_device_time=from_device_time, **more)
        p = schema.unit_places
        rows = select(p).where(p.c.serial == more["serial"])
        for _, row in read_rows(connection, p, rows):
            if row is not None:
                stored_roster._write(connection, p, row, {"location_id": more["location_id"]})

    return patch.object(stored_roster, "place_unit", always)


def a_stopping_relay_forgets_first_contacts() -> Any:
    """A first contact whose route has moved goes on while the relay stops."""
    close = Registry.close

    async def forgetting(self: Any) -> None:
        self._leaving = []
        await close(self)

    return patch.object(Registry, "close", forgetting)


@dataclass(frozen=True)
class Mutation:
    """A breakage, and where it can show."""

    apply: Callable[[], AbstractContextManager[Any]]
    found: int = 0
    """The first world in which it was caught; a search through all before it may take minutes."""
    grain: str = "record"

    @property
    def name(self) -> str:
        return self.apply.__name__


MUTATIONS = [
    Mutation(no_generation_check, 157),
    Mutation(forced_read_joins_a_started_read, 1),
    Mutation(late_join_always_allowed, 59),
    Mutation(reader_owns_the_read, 5),
    Mutation(waiters_retry, 1),
    Mutation(no_connection_lock, 1),
    Mutation(max_age_of_the_second_reader_ignored, 431),
    Mutation(last_returned_list_forgotten, 276),
    Mutation(probe_without_the_timestamp, 452),
    Mutation(probe_without_the_counter, 23),
    Mutation(append_without_confirmation, 106),
    Mutation(list_without_closing_proof, 32),
    Mutation(waveform_without_the_counter, 73),
    Mutation(stamp_not_checked_after, 56, grain="byte"),
    Mutation(swapped_serial_ignored, 734),
    Mutation(age_from_the_reads_end, 0),
    Mutation(status_kept_from_the_reads_end, 6),
    Mutation(late_status_fill_after_stop, 257),
    Mutation(wall_clock_for_age, 0),
    Mutation(eviction_forgets_the_dirty_flag, 2258),
    Mutation(dirty_flag_cleared_by_events, 1125),
    Mutation(drop_keeps_the_generation, 255),
    Mutation(flush_touches_another_device, 43),
    Mutation(aliasing, 1),
    Mutation(status_not_doubted, 284),
    Mutation(settings_not_doubted, 86),
    Mutation(erase_keeps_the_device, 549),
    Mutation(a_lost_connection_sends_a_command_again, 196),
    Mutation(erase_without_the_last_key, 163),
    Mutation(erase_without_the_archive, 27),
    Mutation(command_for_whatever_answers, 559),
    Mutation(erase_of_any_number, 32),
    Mutation(unknown_is_reported_as_failed, 31),
    Mutation(done_without_an_acknowledgement, 218),
    Mutation(a_dry_run_writes, 152),
    Mutation(command_begins_unrecorded, 1, grain="kept"),
    Mutation(command_of_a_stopped_relay_ends_unrecorded, 14, grain="kept"),
    Mutation(settings_are_doubted_in_memory_only, 179, grain="kept"),
    Mutation(stored_before_it_is_written, 0, grain="kept"),
    Mutation(mirror_keeps_the_old_memory, 10, grain="kept"),
    Mutation(growth_is_not_counted, 17, grain="field"),
    Mutation(a_cut_walk_is_joined_without_comparison, 21, grain="field"),
    Mutation(record_compared_by_time_alone, 34, grain="field"),
    Mutation(a_shared_line_keeps_what_was_read, 19, grain="field"),
    Mutation(a_shared_line_is_not_noticed, 11, grain="field"),
    Mutation(foreign_replies_are_skipped, 9, grain="lines"),
    Mutation(stale_chunks_are_not_drained, 0, grain="lines"),
    Mutation(a_resumed_download_trusts_its_last_chunk, 54, grain="lines"),
    Mutation(a_cut_walk_is_kept_nowhere, 2, grain="lines"),
    Mutation(a_torn_probe_loses_the_walk, 41, grain="lines"),
    Mutation(a_partial_list_is_called_complete, 5, grain="lines"),
    Mutation(a_partial_list_enters_the_cache, 8, grain="lines"),
    Mutation(two_routes_have_two_caches, 1, grain="routes"),
    Mutation(lock_by_address_only, 2, grain="routes"),
    Mutation(other_routes_stay_open, 4, grain="routes"),
    Mutation(first_contact_stays_beside_a_session, 1, grain="routes"),
    Mutation(a_new_name_is_a_first_contact, 81, grain="routes"),
    Mutation(age_judged_before_the_contact_is_noted, 1282, grain="routes"),
    Mutation(a_stopping_relay_leaves_commands_without_an_end, 1337, grain="routes"),
    Mutation(old_mirror_given_to_the_new_unit, 2, grain="routes"),
    Mutation(status_cached_before_the_serial_number_is_known, 406, grain="routes"),
    Mutation(a_contact_over_any_route_will_do, 40, grain="routes"),
    Mutation(where_a_unit_answered_is_forgotten, 4, grain="routes"),
    Mutation(a_moved_unit_takes_its_past_along, 294, grain="routes"),
    Mutation(a_stopping_relay_forgets_first_contacts, 385, grain="routes"),
]


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """Let one fault stand for a while."""
    with mutation.apply():
        yield
