"""
The auditor: knows what every unit truly held at every instant, and holds each answer against it.

The rule: an answer must be true at some instant between the oldest one that its reader allowed and
the instant it was given. It is true of a unit, whatever address leads to it; of a reader who asked
for an address it is also held that the unit stood there at such an instant. The oldest one allowed
follows from the thing, the reader's freshness, and the last invalidation that came before the
request:

==================  ================================================================================
asked               the answer was true at some instant not before
==================  ================================================================================
force               the request
max_age             the request less ``max_age``
only_if_cached      the last invalidation (any age will do; the reported age must be honest)
stale_if_error      the answer less ``stale_if_error``, after a failure, and never when forced
event list, event   the request
waveform            the request less ``validated_s``
monitor status      the request less 30 s, and the last start or stop that was sent
info                the last write of settings
call-home settings  the request
==================  ================================================================================

A command that went out is an invalidation at each of its frames, whatever became of it: of the
status (start, stop), of info (settings), of everything (erase). What else holds of commands, and
who may have erased what, is in ``orders``.

Every instant has a number, the tick: two things at one virtual time still have an order. A status
and an info carry the number of the sample that the unit took for them, so their origin is exact.

What the auditor cannot see: what was answered to nobody; whether a cheaper read would have done
(only that readers share reads); whether an unforced answer could have been fresher than allowed;
a slot whose two physical events are equal in everything that was reported of them; whether
an erase that was refused as not archived could have been done.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from orders import BARRIERS, Order, OrderBook, Slot

from minimateplus.errors import LinkError, MiniMateError, NoSuchEventError, UnitError
from sfm.back_off import BackingOffError
from sfm.cache.freshness import Freshness
from sfm.devices.answer import Provenance
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.gateway import NotCachedError
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.store.errors import NoSuchUnitError

ROUNDING_S = 0.002
"""Ages are reported in milliseconds."""
STATUS_TTL_S = 30.0
TROUBLE_S = 400.0
"""How long after a failure of the link a waiting reader may still get an error."""


@dataclass(slots=True, eq=False)
class State:
    """What stood behind an address from one tick to another."""

    tick: int
    time_s: float
    serial: str | None
    memory: int
    """Which memory of which unit: rises with every erase of any unit."""
    slots: tuple[Slot, ...]
    setup: int
    call_home: Any = None
    end_tick: float = math.inf
    end_s: float = math.inf


@dataclass(slots=True)
class Sample:
    """A status or an info as a unit took it together."""

    began_s: float | None
    """When the verb began that brought it, where the unit knows."""
    tick: int
    time_s: float
    serial: str
    monitoring: bool | None = None
    """What a status says there."""


@dataclass(slots=True, eq=False)
class Request:
    """What a reader asked, and what became of it."""

    number: int
    relay_run: int
    """Which start of the relay."""
    address: str
    """The key of a route, the name of a location, or that of a unit."""
    resource: str
    index: int
    freshness: Freshness
    tick: int
    time_s: float
    returned: Any = None
    """What was returned, in the auditor's own words."""
    provenance: Provenance | None = None
    error: BaseException | None = None
    cancelled: bool = False
    """The world sent the reader away."""
    unit: str | None = None
    """The serial number that it asked by."""
    end_tick: int = 0
    end_s: float = math.inf
    wall_gap_s: float = 0.0
    """How far ``read_at`` lies from the relay's wall clock less the age."""

    @property
    def name(self) -> str:
        return f"reader {self.number} ({self.resource} {self.index} of {self.address})"


@dataclass(slots=True)
class Contact:
    """The first time that a shared read turned to its unit."""

    relay_run: int
    address: str
    resource: str
    asked_s: float
    """When the reader asked for whom the read was started."""
    is_forced: bool
    time_s: float
    is_void: bool = False
    """Whether it only found out that another unit answers."""


@dataclass(eq=False)
class Auditor:
    """One world's book of truth. The world writes it; ``judge`` reads it, once, at the end."""

    validated_s: float
    most_readers_are_few: bool
    queue_s: float
    """How long a reader waits for the unit before it is turned away."""
    falling_counter: bool = False
    answers_travel: bool = False
    tick: int = 0
    requests: list[Request] = field(default_factory=list)
    states: dict[str, list[State]] = field(default_factory=dict)
    """What stood behind each address."""
    units: dict[str, list[State]] = field(default_factory=dict)
    """What each unit held while it stood behind an address, by serial number."""
    locations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The addresses of each location, by name."""
    has_routes: bool = False
    """Whether a unit may stand behind several addresses, and move between them."""
    named: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)
    """By address, which unit named itself to the relay from which tick on."""
    answered: dict[str, str] = field(default_factory=dict)
    """By endpoint, which unit named itself there last, under whatever address."""
    samples: dict[int, Sample] = field(default_factory=dict)
    contacts: list[Contact] = field(default_factory=list)
    barriers: dict[tuple[int, str | None, str], list[int]] = field(default_factory=dict)
    """Ticks of a unit's invalidations: of everything (``all``), of ``info``, of ``status``."""
    run_began: dict[int, int] = field(default_factory=dict)
    run_closing: dict[int, float] = field(default_factory=dict)
    troubles: dict[str, list[float]] = field(default_factory=dict)
    """When the link or the unit failed."""
    seen_at_once: list[str] = field(default_factory=list)
    """Broken promises that the units saw themselves."""
    walked: dict[int, object] = field(default_factory=dict)
    """Events that walks have read, each with the contact that did."""
    book: OrderBook = field(init=False)

    def __post_init__(self) -> None:
        self.book = OrderBook(
            falling_counter=self.falling_counter,
            answers_travel=self.answers_travel,
            had_trouble=self._had_trouble,
            changed=self._changed,
            entry=self._held_during,
            is_closing=lambda relay_run: relay_run in self.run_closing,
            may_be_unknown=self._may_be_unknown,
        )

    # --- what the world writes -------------------------------------------------------------------

    def step(self) -> int:
        self.tick += 1
        return self.tick

    def note_state(
        self,
        addresses: Sequence[str],
        now_s: float,
        serial: str | None,
        memory: int,
        slots: tuple[Slot, ...],
        setup: int,
        call_home: Any = None,
    ) -> None:
        """Note what stands behind all the addresses of one unit, or of one endpoint, from now."""
        tick = self.step()
        left: set[str] = set()
        histories = [self.states.setdefault(address, []) for address in addresses]
        for history in histories:
            if history:
                history[-1].end_tick, history[-1].end_s = tick, now_s
                left.add(history[-1].serial or "")
            history.append(State(tick, now_s, serial, memory, slots, setup, call_home))
        there = {history[-1].serial for history in self.states.values()}
        for name in left - {"", serial} - there:
            self.units[name][-1].end_tick, self.units[name][-1].end_s = tick, now_s
        if serial is not None:
            history = self.units.setdefault(serial, [])
            if history and history[-1].end_tick == math.inf:
                history[-1].end_tick, history[-1].end_s = tick, now_s
            history.append(State(tick, now_s, serial, memory, slots, setup, call_home))

    def note_barrier(self, relay_run: int, serial: str | None, kind: str) -> None:
        self.barriers.setdefault((relay_run, serial, kind), []).append(self.step())

    def note_sent(self, order: Order, relay_run: int, sub: int, serial: str | None) -> None:
        """A frame that changes a unit goes out."""
        order.sent.append(sub)
        if sub in BARRIERS:
            self.note_barrier(relay_run, serial, BARRIERS[sub])

    def note_trouble(self, address: str, now_s: float) -> None:
        self.troubles.setdefault(address, []).append(now_s)

    def note_record(self, physical: int, contact: object) -> None:
        """A walk reads an event that is new to it; for worlds in which nothing is ever erased."""
        if self.walked.setdefault(physical, contact) is not contact:
            self.complain(f"event {physical} was walked again, though an earlier contact read it")

    def judge_held_list(self, address: str, returned: list[Any]) -> None:
        """What a cache holds as a list must have been all that the unit held, at some instant."""
        wholes = (
            [(i, s.key, s.timestamp, s.look) for i, s in enumerate(state.slots)]
            for state in self.states[address]
        )
        if returned not in wholes:
            self.complain(f"{returned} is cached as the list, and was never all that there is")

    def note_named(self, address: str, endpoint: str, serial: str) -> None:
        """A unit tells the relay its serial number."""
        self.named.setdefault(address, []).append((self.step(), serial))
        self.answered[endpoint] = serial

    def forget_names(self) -> None:
        """The relay begins anew."""
        self.answered.clear()
        for names in self.named.values():
            names.append((self.step(), None))

    def named_at(self, address: str, tick: float) -> str | None:
        """Return the unit that named itself at an address last before a tick."""
        before = [serial for at, serial in self.named.get(address, []) if at <= tick]
        return before[-1] if before else None

    def complain(self, what: str) -> None:
        self.seen_at_once.append(what)

    # --- judgement -------------------------------------------------------------------------------

    def judge(self) -> list[str]:
        """Return every broken promise, as sentences."""
        found = list(self.seen_at_once)
        self._epochs: dict[tuple[int, str, int], set[tuple[str | None, int]]] = {}
        self._newest: dict[tuple[int, str], list[tuple[float, int]]] = {}
        for request in sorted(self.requests, key=lambda r: r.end_tick):
            found += (
                f"{request.name}, ({_wish(request.freshness)}, asked at {request.time_s:.3f}, "
                f"answered at {request.end_s:.3f}): {complaint}"
                for complaint in self._judge(request)
            )
        found += self._judge_shared_reads()
        found += self.book.judge()
        return found

    def _judge(self, request: Request) -> Iterator[str]:
        if request.error is not None:
            yield from self._judge_error(request, request.error)
            return
        if request.provenance is None:
            yield "never answered"
            return
        yield from self._judge_provenance(request, request.provenance)
        if request.resource in ("info", "status"):
            yield from self._judge_sample(request, request.provenance)
        elif request.resource == "partial":
            yield from self._judge_partial(request, request.provenance)
        elif request.resource == "call home":
            yield from self._judge_call_home(request, request.provenance)
        else:
            yield from self._judge_memory(request, request.provenance)

    def _judge_provenance(self, request: Request, claim: Provenance) -> Iterator[str]:
        freshness = request.freshness
        yield from self._judge_route(request, claim)
        if claim.serial is None:
            yield "the answer does not say which unit"
        if request.wall_gap_s > ROUNDING_S:
            yield f"read_at is {request.wall_gap_s:.3f} s away from the reported age"
        if claim.why == "hit" and claim.source != "cache":
            yield "a hit that says it is from the device"
        if freshness.force and (claim.source == "cache" or claim.quality == "last_known"):
            yield "a forced reader was answered from the cache"
        began_s = request.end_s - claim.age_s
        if freshness.force and began_s < request.time_s - ROUNDING_S:
            yield f"forced, and the read began at {began_s:.3f}, before the request"
        if claim.quality == "last_known":
            if freshness.stale_if_error_s is None:
                yield "an old answer for somebody who did not allow it"
            if not (
                self._had_trouble(request) or self._was_busy(request) or self._changed(request)
            ):
                yield "an old answer although nothing failed"
        newest = self._newest.setdefault((request.relay_run, claim.serial or ""), [])
        before = max((e for at_s, e in newest if at_s < request.end_s - ROUNDING_S), default=0)
        if claim.why != "stale" and claim.epoch < before:
            yield f"epoch {claim.epoch} after epoch {before}"
        newest.append((request.end_s, claim.epoch))
        causes = self._epoch_causes(request, claim.serial)
        if claim.epoch > causes:
            yield f"epoch {claim.epoch}, and the memory changed {causes} times at most"

    def _judge_route(self, request: Request, claim: Provenance) -> Iterator[str]:
        """The answer is of the unit that was asked for, or of one that stood at that address."""
        if not self.has_routes:
            if claim.conn_key != request.address:
                yield f"answered of {claim.conn_key}"
            return
        if not any(s.serial == claim.serial for s in self.states.get(claim.conn_key, [])):
            yield f"{claim.serial} never stood at {claim.conn_key}, over which it was read"
        if request.unit is not None:
            if claim.serial != request.unit:
                yield f"answered of {claim.serial}"
            return
        low_tick, low_s, history = 0, -math.inf, self._history(request)
        if claim.quality in ("last_known", "unchecked", "not_verified_since_restart"):
            # The unit of a location is expected at each of its addresses.
            for addresses in self.locations.values():
                if request.address in addresses:
                    history = [state for address in addresses for state in self.states[address]]
                    history.sort(key=lambda state: state.tick)
        else:
            # A contact as recent as the value may be; what was invalidated since is no matter.
            asked_tick, low_s = self._oldest_allowed(request, claim)
            low_tick = asked_tick if asked_tick == request.tick else 0
        stood = self._among(history, low_tick, low_s, request.end_tick)
        if not any(state.serial == claim.serial for state in stood):
            yield f"{claim.serial} stood there at no instant from {low_s:.3f} (tick {low_tick}) on"

    def _judge_sample(self, request: Request, claim: Provenance) -> Iterator[str]:
        """A status or an info: the sample says when the unit took it."""
        number, serial, setup, monitoring = request.returned
        sample = self.samples.get(number)
        if sample is None:
            yield f"sample {number} was never taken"
            return
        low_tick, low_s = self._oldest_allowed(request, claim)
        if sample.tick < low_tick or sample.time_s < low_s - ROUNDING_S:
            yield (
                f"sampled at {sample.time_s:.3f} (tick {sample.tick}), "
                f"allowed from {low_s:.3f} (tick {low_tick})"
            )
        if sample.serial != claim.serial or serial not in (None, sample.serial):
            yield f"of unit {sample.serial}, reported to be of {claim.serial}"
        if monitoring is not sample.monitoring:
            yield f"monitoring reported {monitoring}, and the unit had {sample.monitoring}"
        began_s = request.end_s - claim.age_s
        if began_s > sample.time_s + ROUNDING_S:
            yield f"reported as read at {began_s:.3f}, was sampled at {sample.time_s:.3f}"
        if sample.began_s is not None and abs(began_s - sample.began_s) > ROUNDING_S:
            yield f"reported as read at {began_s:.3f}, the read began at {sample.began_s:.3f}"
        is_hit = claim.why == "hit" and claim.quality != "last_known"
        if request.resource == "status" and is_hit and claim.age_s > STATUS_TTL_S:
            yield f"a status of {claim.age_s:g} s as a hit"
        if setup is not None and not any(
            state.setup == setup
            for state in self._states_of(claim, low_tick, low_s, request.end_tick)
        ):
            yield f"setup {setup} of {claim.serial} stood at no allowed instant"

    def _judge_call_home(self, request: Request, claim: Provenance) -> Iterator[str]:
        low_tick, low_s = self._oldest_allowed(request, claim)
        states = self._states_of(claim, low_tick, low_s, request.end_tick)
        if not any(s.call_home == request.returned for s in states):
            yield f"call-home {request.returned} of {claim.serial} was true at no allowed instant"

    def _judge_partial(self, request: Request, claim: Provenance) -> Iterator[str]:
        """A list that is not whole yet: it says so, and is the beginning of one."""
        if claim.quality != "partial":
            yield f"a list that is not complete is called {claim.quality}"
        if not any(
            request.returned
            == [(i, s.key, s.timestamp, s.look) for i, s in enumerate(state.slots)][:n]
            for state in self._states_of(claim, 0, -math.inf, request.end_tick)
            for n in (len(request.returned),)
        ):
            yield f"{request.returned} is not the beginning of any list of {claim.serial}"

    def _judge_memory(self, request: Request, claim: Provenance) -> Iterator[str]:
        """A list, an event or a waveform: it must have been in the unit at an allowed instant."""
        low_tick, low_s = self._oldest_allowed(request, claim)
        if claim.checked_age_s is not None:
            low_s = max(low_s, request.end_s - claim.checked_age_s)
        low_s = max(low_s, request.end_s - claim.age_s) if claim.checked_age_s is None else low_s
        true_states = [
            state
            for state in self._states_of(claim, low_tick, low_s, request.end_tick)
            if _matches(request, state)
        ]
        if not true_states:
            yield (
                f"{request.returned} of {claim.serial} was true at no instant from {low_s:.3f} "
                f"(tick {low_tick}) on; age {claim.age_s:g}, checked {claim.checked_age_s}, "
                f"{claim.why}, {claim.quality}"
            )
            return
        if request.resource == "event" or not request.returned:
            return
        memories = {(state.serial, state.memory) for state in true_states}
        epoch = (request.relay_run, claim.serial or "", claim.epoch)
        common = self._epochs.setdefault(epoch, memories)
        if not common & memories:
            yield f"epoch {claim.epoch} holds the records of two memories"
        self._epochs[epoch] = common & memories or memories

    def _judge_error(self, request: Request, error: BaseException) -> Iterator[str]:
        failure = f"{type(error).__name__}: {error}"
        if isinstance(error, ShuttingDownError):
            if request.relay_run not in self.run_closing:
                yield f"reported that the relay closes, and it did not: {failure}"
        elif isinstance(error, BusyError):
            if not self._was_busy(request):
                yield f"turned away without need: {failure}"
        elif isinstance(error, NotCachedError):
            if not request.freshness.only_if_cached:
                yield f"refused to ask the unit: {failure}"
        elif isinstance(error, NoSuchEventError):
            low_tick, low_s = self._oldest_allowed(request, None)
            stale_s = request.freshness.stale_if_error_s
            if stale_s is not None and (self._had_trouble(request) or self._was_busy(request)):
                # Reported from the last known list; the error does not show it.
                low_tick, low_s = self._barrier(request, None), request.end_s - stale_s
            states = self._among(self._history(request), low_tick, low_s, request.end_tick)
            if not any(s.serial and len(s.slots) <= request.index for s in states):
                yield f"the event was there all the time: {failure}"
        elif isinstance(error, NoSuchUnitError):
            if not self._may_be_unknown(request):
                yield f"it stood where it was known to be: {failure}"
        elif isinstance(error, LinkError):
            if not self._had_trouble(request):
                yield f"nothing failed: {failure}"
        elif isinstance(error, UnitError | BackingOffError | ListIncompleteError):
            # A unit erased within a read may fall silent, which is a failure to the relay.
            if not (self._had_trouble(request) or self._changed(request)):
                yield f"nothing failed and nothing changed: {failure}"
        elif isinstance(error, MiniMateError) or not request.cancelled:
            yield f"an answer that nobody may get: {failure}"

    def _judge_shared_reads(self) -> Iterator[str]:
        """
        A reader who asked before a read started shares it, so the next is for a later reader.

        This holds for reads that fail as well: waiters do not try again on their own. Who asked
        before it was known which unit answers continues when the database has noted it, some a
        moment after others whose read has then begun; they cost a probe more. So does a forced
        reader who comes while a read waits for an endpoint that is in use under another name.
        """
        last: dict[tuple[int, str, str], Contact] = {}
        unknown: set[tuple[int, str]] = set()
        known_s: dict[tuple[int, str], float] = {}
        for contact in self.contacts:
            place = (contact.relay_run, contact.address)
            if contact.is_void:
                unknown.add(place)
            elif place in unknown:
                unknown.discard(place)
                known_s[place] = contact.time_s
            # (Several routes may lead to several units for a while: then each has its own read.)
            has_several = len(self.locations.get(contact.address, ())) > 1
            if contact.is_void or has_several or contact.address.startswith("unit:"):
                continue
            name = (contact.relay_run, contact.address, contact.resource)
            before = last.get(name)
            waited = contact.asked_s < known_s.get(place, -math.inf)
            waited |= contact.is_forced and self.has_routes
            if before is not None and contact.asked_s < before.time_s and not waited:
                yield (
                    f"{contact.resource} of {contact.address} was read again at "
                    f"{contact.time_s:.3f} for a reader of {contact.asked_s:.3f}, who had joined "
                    f"the read of {before.time_s:.3f}"
                )
            last[name] = contact

    # --- what is allowed -------------------------------------------------------------------------

    def _oldest_allowed(self, request: Request, claim: Provenance | None) -> tuple[int, float]:
        """Return tick and time before which the answer's truth may not lie."""
        barrier = self._barrier(request, claim)
        freshness = request.freshness
        if claim is not None and claim.quality == "last_known":
            limit_s = freshness.stale_if_error_s
            return barrier, request.end_s - (0.0 if limit_s is None else limit_s)
        if freshness.force:
            return request.tick, request.time_s
        ttl_s = STATUS_TTL_S if request.resource == "status" else math.inf
        if freshness.max_age_s is not None:
            return barrier, request.time_s - min(ttl_s, freshness.max_age_s)
        if freshness.only_if_cached:
            return barrier, request.time_s - ttl_s
        if request.resource in ("events", "event"):
            return request.tick, request.time_s
        if request.resource == "waveform":
            if not self.validated_s:
                return request.tick, request.time_s
            return barrier, request.time_s - self.validated_s
        return barrier, request.time_s - ttl_s

    def _barrier(self, request: Request, claim: Provenance | None) -> int:
        """Return the last invalidation of the unit that answered, or that stood there then."""
        there = [s.serial for s in self._history(request) if s.tick <= request.tick]
        serial = claim.serial if claim is not None else (there or [None])[-1]
        kinds = ["all", request.resource] if request.resource in ("info", "status") else ["all"]
        latest = self.run_began[request.relay_run]
        for kind in kinds:
            ticks = self.barriers.get((request.relay_run, serial, kind), [])
            place = bisect_right(ticks, request.tick)
            if place:
                latest = max(latest, ticks[place - 1])
        return latest

    def _history(self, asked: Request | Order) -> list[State]:
        """Return what the unit held that was asked for, or what stood behind the address."""
        if asked.unit is not None:
            return self.units.get(asked.unit, [])
        addresses = self.locations.get(asked.address, (asked.address,))
        found = [state for address in addresses for state in self.states[address]]
        return found if len(addresses) == 1 else sorted(found, key=lambda state: state.tick)

    def _states_of(
        self, claim: Provenance, low_tick: int, low_s: float, high_tick: int
    ) -> Iterator[State]:
        """Return what the unit of an answer held from one instant to another."""
        return self._among(self.units.get(claim.serial or "", []), low_tick, low_s, high_tick)

    @staticmethod
    def _among(
        history: list[State], low_tick: int, low_s: float, high_tick: int
    ) -> Iterator[State]:
        for state in history:
            if state.tick > high_tick:
                return
            if state.end_tick > low_tick and state.end_s >= low_s - ROUNDING_S:
                yield state

    def _may_be_unknown(self, asked: Request | Order) -> bool:
        """Whether no route may lead to a unit: it was never read, or did not stay where it was."""
        if asked.unit is None:
            return False
        stays = [a for a in self.named if self.named_at(a, asked.tick) == asked.unit]
        began = self.run_began[asked.relay_run]
        return not any(
            all(s.serial == asked.unit for s in self.states[a] if s.end_tick > began) for a in stays
        )

    def _troubles_of(self, asked: Request | Order) -> list[float]:
        if not self.has_routes:
            return self.troubles.get(asked.address, [])
        return [at_s for troubles in self.troubles.values() for at_s in troubles]

    def _had_trouble(self, request: Request | Order) -> bool:
        troubles = self._troubles_of(request)
        return any(request.time_s - TROUBLE_S <= at_s <= request.end_s for at_s in troubles)

    def _was_busy(self, request: Request) -> bool:
        waited_s = request.end_s - request.time_s
        return self.most_readers_are_few or waited_s >= self.queue_s - ROUNDING_S

    def _changed(self, request: Request | Order) -> bool:
        low_s = request.time_s - TROUBLE_S
        places = self.states.values() if self.has_routes else [self.states[request.address]]
        end_tick = request.end_tick or self.tick
        return any(
            low_s <= state.time_s and state.tick < end_tick
            for history in places
            for state in history[1:]
        )

    def _held_during(self, order: Order) -> list[tuple[str | None, int]]:
        history, end_tick = self._history(order), order.end_tick or self.tick
        if self.has_routes:
            # (Another unit that answers there is what a refusal is about.)
            history = [state for places in self.states.values() for state in places]
            history.sort(key=lambda state: state.tick)
        states = self._among(history, order.tick, -math.inf, end_tick)
        return [(state.serial, len(state.slots)) for state in states]

    def _epoch_causes(self, request: Request, serial: str | None) -> int:
        began = self.run_began[request.relay_run]
        states = self.units.get(serial or "", [])
        changes: int = sum(began <= s.tick < request.end_tick for s in states)
        # What changed while the relay was down is found with the first list that is compared.
        drops = self.barriers.get((request.relay_run, serial, "all"), [])
        # An erase drops everything before it says anything, and again behind it.
        erases: int = sum(
            bool(order.asked["serial"] == serial) and order.tick < request.end_tick
            for order in self.book.orders
            if order.command in ("erase", "rescue")
        )
        return changes + sum(tick < request.end_tick for tick in drops) + 2 * erases


def _matches(request: Request, state: State) -> bool:
    """Whether an answer is what that state held."""
    returned = request.returned
    if request.resource == "events":
        return bool(
            returned == [(i, s.key, s.timestamp, s.look) for i, s in enumerate(state.slots)]
        )
    if request.index >= len(state.slots):
        return False
    slot = state.slots[request.index]
    if request.resource == "event":
        return bool(returned == (request.index, slot.key, slot.timestamp, slot.look))
    return bool(
        returned
        == ((request.index, slot.key, slot.timestamp, slot.look), frozenset((slot.physical,)))
    )


def _wish(freshness: Freshness) -> str:
    wishes = [
        "force" if freshness.force else "",
        "" if freshness.max_age_s is None else f"max_age {freshness.max_age_s:g}",
        "only_if_cached" if freshness.only_if_cached else "",
        ""
        if freshness.stale_if_error_s is None
        else f"stale_if_error {freshness.stale_if_error_s:g}",
    ]
    return ", ".join(filter(None, wishes)) or "no wish"
