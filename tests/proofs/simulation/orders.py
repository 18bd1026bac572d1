"""
What is known of commands: what was given, what was sent and followed, and what was reported.

The rule, for each order that somebody gave to the relay:

- It is sent once: what goes over the wire is a beginning of the captured sequence of its command,
  and the unit follows it at most once.
- ``done`` means that the unit followed; ``refused`` and ``failed`` that it did not; ``unchanged``
  and ``dry_run`` that nothing was sent.
- An erase is followed only by the unit of the serial number that was given, with as many events as
  were given, all of them archived with their samples unless that was waived. What the wire cannot
  tell is excused and no more than that: what was recorded after the unit's last word before the
  confirmation; a memory recorded anew, that ends at the same key, since the erase began to be sent
  (the lifetime counter can be looked at just before, and no later); and the same at any time since
  the command was given where the unit's counter falls with an erase.
- Where there is a database, the audit log holds the beginning before the relay turned to the unit,
  and an end of the same outcome, unless the relay was killed before it could report.

That nobody is served later what was true before a command is judged with the answers: each frame of
a command that goes out is an invalidation of what it may change (``BARRIERS``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minimateplus.errors import LinkError, OutcomeUnknownError, ReadBackError, UnitError
from minimateplus.model import FIRST_KEY
from minimateplus.simulator.settings_write import CALL_HOME_ORDER, SETUP_ORDER
from minimateplus.wire import commands
from sfm.devices.commands import CommandConflictError, NotMonitoringError
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.store.errors import NoSuchUnitError, StoreLostError

START = (commands.START_MONITORING.sub,)
STOP = (commands.STOP_MONITORING.sub,)
ERASE = (commands.ERASE_BEGIN.sub, commands.ERASE_CONFIRM.sub)
SAYS = {
    "start": START,
    "stop": STOP,
    "stop without reply": STOP,
    "config": SETUP_ORDER,
    "call home": CALL_HOME_ORDER,
    "erase": ERASE,
}
"""What each command says, in the captured order; a rescue says those of ``call home``."""
DOES = {"stop without reply": "stop", "rescue": "call home"}
"""What the unit does then, where that has another name."""
BARRIERS = dict.fromkeys(START + STOP, "status") | dict.fromkeys(SETUP_ORDER, "info")
BARRIERS |= dict.fromkeys(ERASE, "all")
"""Which answers may not come from before a frame of a command."""
LAST_WORDS = (commands.EVENT_COUNTER.sub, commands.STORAGE_RANGE.sub)
"""What a unit tells of its memory while it is being erased."""


class Slot(NamedTuple):
    """One stored event as it truly is."""

    physical: int
    """Which ground motion; no two share it. Every sample of it says so."""
    key: str
    timestamp: str | None
    look: float
    """Its loudest axis, as the list tells it."""


@dataclass(slots=True, eq=False)
class Order:
    """One command that somebody gave, and what became of it."""

    number: int
    relay_run: int
    """Which start of the relay."""
    address: str
    command: str
    asked: dict[str, Any]
    unit: str | None = None
    """The serial number that it was given by."""
    tick: int = 0
    time_s: float = 0.0
    sent: list[int] = field(default_factory=list)
    """Frames that went out and change a unit."""
    held_at_begin: tuple[Slot, ...] = ()
    """What the unit held when its erase began to be sent."""
    followed: list[str] = field(default_factory=list)
    """What a unit did for it."""
    outcome: str = ""
    """As reported to its caller; empty: nothing was."""
    noted_outcome: str = ""
    """As the audit log has it."""
    detail: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    cancelled: bool = False
    crashed: bool = False
    """The relay was killed before its caller got an answer."""
    is_begun: bool = False
    """Whether the relay turned to the unit for it."""
    end_tick: int = 0
    end_s: float = 0.0

    @property
    def actor(self) -> str:
        """Who gave it, for the audit log."""
        return f"order {self.number}"

    @property
    def name(self) -> str:
        return f"order {self.number} ({self.command} {self.asked} at {self.address})"


class FollowsOrders:
    """What a unit of either grain tells the world of the commands that it follows."""

    def __init__(self) -> None:
        self.on_erasing: Callable[[Order | None], None] = lambda order: None
        """Called while its events are still there."""
        self.on_followed: Callable[[Order | None, str], None] = lambda order, what: None
        """Called when it has done something."""
        self.new_memory: Callable[[], int] = lambda: 0
        self.looked: dict[int, tuple[Slot, ...]] = {}
        """What it held when it last sent its counter (08) and its last key (06)."""
        self.hands: tuple[int, Callable[[], None]] | None = None
        """What somebody does at the unit once it has sent so many of these."""

    def note_memory_read(self, sub: int, slots: tuple[Slot, ...]) -> None:
        """A unit tells its counter or its last key; behind that answer hands may be at it."""
        self.looked[sub] = slots
        if self.hands is not None:
            left, do = self.hands[0] - 1, self.hands[1]
            self.hands = (left, do) if left else None
            if not left:
                asyncio.get_running_loop().call_soon(do)


@dataclass(eq=False)
class OrderBook:
    """The orders of one world, and what was seen of them at once."""

    falling_counter: bool
    answers_travel: bool
    """Whether hands may be at a unit between its answer and the moment that it is heard."""
    had_trouble: Callable[[Order], bool]
    changed: Callable[[Order], bool]
    """Whether what stands at the order's address changed since shortly before it was given."""
    entry: Callable[[Order], list[tuple[str | None, int]]]
    """Serial number and number of events of what stood there while the order was under way."""
    is_closing: Callable[[int], bool]
    may_be_unknown: Callable[[Order], bool]
    """Whether no route may lead to the unit that it was given for."""
    orders: list[Order] = field(default_factory=list)
    seen_at_once: list[str] = field(default_factory=list)
    excused: int = 0
    """Erases that took what the wire could not tell of."""

    def note_followed(self, order: Order | None, serial: str, what: str) -> None:
        """A unit has done something."""
        if order is None:
            self.seen_at_once.append(f"{serial} followed a command that nobody gave: {what}")
            return
        order.followed.append(what)
        if order.asked.get("serial") not in (None, serial):
            self.seen_at_once.append(f"{order.name}: {serial} followed it")

    def note_erasing(
        self,
        order: Order | None,
        slots: tuple[Slot, ...],
        looked: dict[int, tuple[Slot, ...]],
        is_archived: Callable[[Slot], bool],
    ) -> None:
        """A unit is about to erase ``slots``."""
        if order is None:
            return
        if order.command != "erase" or not slots:
            return
        listed = slots
        last_word = looked[commands.STORAGE_RANGE.sub]
        if last_word != slots:
            self.excused += 1
            listed = last_word
        counted = order.held_at_begin
        if self.answers_travel:
            counted = looked[commands.EVENT_COUNTER.sub]
        if listed != counted and _last_key(listed) == _last_key(counted):
            self.excused += 1
            listed = counted
        if listed and len(listed) != order.asked["count"]:
            self.seen_at_once.append(f"{order.name}: {len(listed)} events were erased")
        if order.asked["discard"] or (self.falling_counter and self.changed(order)):
            return
        lost = [slot.physical for slot in listed if not is_archived(slot)]
        if lost:
            self.seen_at_once.append(f"{order.name}: {lost} went, which nobody had archived")

    def judge(self) -> Iterator[str]:
        """Return every broken promise, as sentences."""
        yield from self.seen_at_once
        for order in self.orders:
            yield from (f"{order.name}: {complaint}" for complaint in self._judge(order))

    def _judge(self, order: Order) -> Iterator[str]:
        sequences = _allowed_sequences(order)
        if not any(order.sent == list(s[: len(order.sent)]) for s in sequences):
            yield f"sent {_hex(order.sent)}"
        if len(set(order.followed)) < len(order.followed):
            yield f"followed more than once: {order.followed}"
        if order.asked.get("dry_run") and order.sent:
            yield f"only a dry run, and {_hex(order.sent)} was sent"
        outcome = order.outcome or order.noted_outcome
        if outcome in ("refused", "failed", "unchanged", "dry_run") and order.followed:
            yield f"{outcome}, and the unit did: {order.followed}"
        if outcome == "refused":
            # An erase that is not confirmed has begun.
            if order.sent and order.sent != list(ERASE[:1]):
                yield f"refused, and {_hex(order.sent)} was sent"
        elif order.sent and outcome in ("failed", "unchanged", "dry_run"):
            yield f"{outcome}, and {_hex(order.sent)} was sent"
        if outcome == "done":
            yield from self._judge_done(order)
        if order.error is not None:
            yield from self._judge_error(order, order.error)
        elif not (order.outcome or order.cancelled):
            yield "never answered"

    def _judge_done(self, order: Order) -> Iterator[str]:
        wanted = {DOES.get(order.command, order.command)}
        if order.command == "rescue":
            # Nothing is written where call-home is off already.
            wanted = {what for what in wanted if order.detail.get("changes")}
            wanted |= {"erase"} if order.asked["erase"] else set()
        if set(order.followed) != wanted and not (order.command == "rescue" and not order.detail):
            yield f"done, and the unit did: {order.followed}"
        erased = order.detail.get("erased")
        if order.command == "erase" and erased not in (None, order.asked["count"]):
            yield f"{erased} events were reported as erased"

    def _judge_error(self, order: Order, error: BaseException) -> Iterator[str]:
        failure = f"{type(error).__name__}: {error}"
        if isinstance(error, BusyError):
            if order.sent:
                yield f"turned away, and {_hex(order.sent)} was sent"
        elif isinstance(error, ShuttingDownError):
            if not self.is_closing(order.relay_run):
                yield f"reported that the relay closes, and it did not: {failure}"
        elif isinstance(error, StoreLostError):
            if not order.crashed:
                yield f"the database was there all the time: {failure}"
        elif isinstance(error, NoSuchUnitError):
            if order.sent or not self.may_be_unknown(order):
                yield f"it stood where it was known to be: {failure}"
        elif isinstance(error, CommandConflictError):
            yield from self._judge_refusal(order, error)
        elif isinstance(error, NotMonitoringError):
            stopped = any("stop" in other.followed for other in self.orders)
            if order.followed != ["start"] or not (stopped or self.changed(order)):
                yield f"it was started, and nobody stopped it: {failure}"
        elif isinstance(error, ReadBackError):
            if not self.changed(order):
                yield f"nobody touched the unit: {failure}"
        elif isinstance(error, LinkError | OutcomeUnknownError | UnitError):
            if not (self.had_trouble(order) or self.changed(order)):
                yield f"nothing failed and nothing changed: {failure}"
        else:
            yield f"an end that no command may have: {failure}"
        if isinstance(error, OutcomeUnknownError) and not order.sent:
            yield f"nothing was sent, and the outcome is unknown: {failure}"

    def _judge_refusal(self, order: Order, error: CommandConflictError) -> Iterator[str]:
        entry = self.entry(order)
        match error.reason:
            case "serial-differs":
                if all(serial in (None, order.asked["serial"]) for serial, _ in entry):
                    yield f"no other unit was there: {error}"
            case "count-differs":
                counts = [count for serial, count in entry if serial]
                if error.facts["count"] not in counts:
                    yield f"so many events were never there: {error}"
            case "memory-changed":
                if not self.changed(order):
                    yield f"the memory did not change: {error}"
            case "not-archived":
                if order.asked["discard"]:
                    yield f"that was waived: {error}"


def _allowed_sequences(order: Order) -> list[tuple[int, ...]]:
    if order.command != "rescue":
        return [SAYS[order.command]]
    if order.asked["erase"]:
        return [CALL_HOME_ORDER + ERASE, ERASE]
    return [CALL_HOME_ORDER]


def _last_key(slots: tuple[Slot, ...]) -> str:
    """Return the last key as a unit tells it: an empty one tells the first."""
    return slots[-1].key if slots else FIRST_KEY.hex()


def _hex(subs: list[int]) -> str:
    return " ".join(f"{sub:02X}" for sub in subs) or "nothing"
