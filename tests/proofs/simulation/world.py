"""
A world: everything that happens to a relay and its units, out of one whole number.

The rule: gateway, device, shared reads, connection and cache are those of production, unchanged.
Time is virtual; what is ready at one instant runs in an order that the seed draws. The same seed
gives the same world to the last tick, on any host.

Two grains. ``record``: the unit is ``record_unit.RecordUnit``, and a read is a handful of waits.
``byte``: client, framing, links and the simulated unit are those of production too. A third kind of
world, ``kept``, is of records, and its relay has a database that outlives restarts and crashes
(``disk.py``). To the auditor all its runs are one: nothing may be fresher, and no epoch name
another memory, because the relay was restarted.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from heapq import heappop
from typing import Any, Protocol, cast
from unittest.mock import patch

import structlog
from auditor import Auditor, Contact, Request
from byte_unit import SAMPLE_BASE, ByteUnit, ByteWire, physical_of
from disk import Disk
from kit.virtual_time import DeadlockError, VirtualTimeLoop
from orders import ERASE, Order, Slot
from record_unit import RecordSession, RecordUnit, Wire

from minimateplus.client import MiniMate
from minimateplus.errors import LinkClosedError, MiniMateError
from minimateplus.link import Address
from minimateplus.model import CallHomeChange, SetupChange
from sfm.access.names import unit_key
from sfm.access.principal import Principal, Role
from sfm.back_off import BackingOffError
from sfm.cache.freshness import Freshness
from sfm.devices.answer import Answer, Provenance
from sfm.devices.commands import Commands, Done
from sfm.devices.durable_cache import DurableCache
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.gateway import Gateway
from sfm.devices.route import OtherUnitError
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.devices.target import Target
from sfm.live_cache import LiveCache
from sfm.settings import Settings
from sfm.store import roster as stored_roster
from sfm.store.errors import (
    NoSuchUnitError,
    RosterConflictError,
    StoreError,
    StoreLostError,
)
from sfm.store.service import StoreService

GRAINS = ("record", "byte", "kept", "field", "lines", "routes")
MAX_RECORDED = 12
"""A unit that goes on recording ends with so many events stored."""
LONGEST_WAIT_S = 5000.0
"""Virtual seconds after the last act within which every reader must have an answer."""
ASKER: contextvars.ContextVar[Request | None] = contextvars.ContextVar("asker", default=None)
"""For whom this task runs; a read starts in the context of the reader who first wanted it."""
CALLED: contextvars.ContextVar[str] = contextvars.ContextVar("called")
"""The address that was resolved for the call that is being made."""
ORDER: contextvars.ContextVar[Order | None] = contextvars.ContextVar("order", default=None)
"""For which order this task runs."""


class SeededLoop(VirtualTimeLoop):
    """
    Virtual time without a selector; what is ready together runs in a drawn order.

    asyncio promises first come, first served among ready callbacks. Nothing here may lean on that:
    on a host, which of two tasks is woken first depends on bytes from two sockets.
    """

    def __init__(self, chance: random.Random | None) -> None:
        super().__init__()
        self._chance = chance

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]  # of BaseEventLoop
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count: int
            self._timer_cancelled_count -= 1
            heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise DeadlockError("nothing is ready and nothing is due")
            self.now_s = max(self.now_s, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self.now_s:
            handle = heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        batch = list(ready)
        ready.clear()
        if self._chance is not None and len(batch) > 1:
            self._chance.shuffle(batch)
        for handle in batch:
            if not handle._cancelled:
                handle._run()


class AnyUnit(Protocol):
    """What people can do to a unit, at either grain."""

    serial: str
    setup_version: int
    memory: int
    call_home_block: bytes

    @property
    def call_home(self) -> tuple[bool, int]: ...
    @property
    def is_on(self) -> bool: ...
    @property
    def slots(self) -> tuple[Slot, ...]: ...
    def record(self, physical: int, *, look: int = 0, size: int = 0) -> None: ...
    def erase(self, memory: int) -> None: ...
    def set_clock_back(self) -> None: ...
    def start_monitoring(self) -> None: ...
    def stop_monitoring(self) -> None: ...


class AnyWire(Protocol):
    """What lies between the relay and a unit, at either grain."""

    is_slow: bool
    next_faults: list[str]
    deaf_until_s: float
    cut_every: int
    foreign_in: int
    on_contact: Callable[[str], None]
    on_record: Callable[[int, object], None]
    on_send: Callable[[str, int], Order | None]
    is_closing: Callable[[], bool]

    def plug(self, unit: Any) -> None: ...
    async def open(self, *, wake: bool = True) -> Any: ...


ORDERS = {
    "start": 3,
    "stop": 3,
    "stop without reply": 1,
    "config": 3,
    "call home": 2,
    "erase": 4,
    "rescue": 2,
}


@dataclass(frozen=True, slots=True)
class Theme:
    """What happens often in a world: weights of acts, things, wishes and orders."""

    name: str
    acts: dict[str, int]
    resources: dict[str, int]
    wishes: dict[str, int]
    orders: dict[str, int] = field(default_factory=lambda: ORDERS)
    two_addresses: float = 0.3
    never_set: float = 0.5
    falling_counter: float = 0.15
    tiny_cache: float = 0.15
    faults: float = 0.25
    slow: float = 0.4
    counter_steps: tuple[int, ...] = (1,)
    """How far the lifetime counter rises with an event, in one world or another."""
    meddling: int = 3
    """So many acts at most beside each burst of readers."""


ACTS = {
    "append": 6,
    "rerecord": 6,
    "erase": 2,
    "swap": 2,
    "clock": 1,
    "faults": 3,
    "deaf": 2,
    "slow": 3,
    "drop": 1,
    "config": 3,
    "keypad": 1,
    "monitor": 4,
    "restart": 1,
    "wall": 2,
    "cancel": 4,
    "order": 4,
}
RESOURCES = {"info": 2, "events": 5, "event": 1, "waveform": 4, "status": 2}
WISHES = {"any": 8, "force": 3, "max_age": 3, "only": 1, "stale": 2}

THEMES = (
    Theme("mixed", ACTS, RESOURCES, WISHES),
    Theme(
        "erases",
        {"append": 5, "rerecord": 10, "erase": 2, "drop": 1, "cancel": 1},
        {"events": 6, "waveform": 4},
        WISHES,
        never_set=0.7,
        falling_counter=0.3,
        faults=0.05,
    ),
    Theme(
        "settings",
        {"config": 16, "drop": 5, "wall": 1, "append": 1, "rerecord": 1, "keypad": 1},
        {"info": 6, "events": 6, "waveform": 2},
        {"any": 10, "force": 2, "max_age": 3},
        faults=0.05,
        slow=0.7,
        meddling=6,
    ),
    Theme(
        "evictions",
        {"config": 16, "append": 1},
        {"info": 5, "events": 1, "waveform": 7},
        {"any": 10, "force": 2},
        two_addresses=1.0,
        tiny_cache=1.0,
        faults=0.0,
    ),
    Theme(
        "status",
        {"monitor": 8, "slow": 6, "cancel": 2, "wall": 4, "faults": 1},
        {"status": 8, "info": 1, "events": 1},
        WISHES,
        faults=0.1,
    ),
    Theme(
        "bad links",
        {
            "faults": 8,
            "deaf": 5,
            "append": 2,
            "rerecord": 2,
            "swap": 2,
            "cancel": 3,
            "restart": 1,
            "order": 4,
        },
        RESOURCES,
        {"any": 6, "force": 2, "max_age": 1, "stale": 5},
        faults=0.7,
    ),
    Theme(
        "queues",
        {"append": 2, "rerecord": 8, "cancel": 1, "slow": 4},
        {"info": 4, "events": 7, "status": 4},
        {"any": 5, "force": 1, "max_age": 7},
        slow=0.9,
        faults=0.0,
        meddling=4,
    ),
    Theme(
        "downloads",
        {"rerecord": 8, "append": 2, "erase": 1},
        {"waveform": 10, "events": 1},
        {"any": 5, "force": 5},
        never_set=0.8,
        falling_counter=0.1,
        faults=0.0,
        slow=0.7,
        meddling=5,
    ),
    Theme(
        "swaps",
        {"swap": 8, "append": 2, "monitor": 1, "restart": 1, "order": 2},
        RESOURCES,
        WISHES,
        faults=0.05,
    ),
    Theme(
        "commands",
        {
            "order": 20,
            "faults": 3,
            "cancel": 2,
            "restart": 1,
            "keypad": 1,
            "append": 1,
            "rerecord": 1,
            "swap": 1,
            "slow": 1,
        },
        {"status": 6, "info": 5, "call home": 3, "events": 3, "waveform": 2},
        {"any": 8, "force": 2, "max_age": 3, "only": 1, "stale": 2},
        {
            "start": 4,
            "stop": 4,
            "stop without reply": 2,
            "config": 5,
            "call home": 3,
            "erase": 1,
            "rescue": 1,
        },
        faults=0.4,
        meddling=3,
    ),
    Theme(
        "erasing",
        {"order": 12, "append": 2, "rerecord": 2, "erase": 1, "faults": 2, "cancel": 1},
        {"waveform": 8, "events": 3, "event": 1, "info": 1},
        {"any": 8, "force": 1, "max_age": 4, "only": 2, "stale": 2},
        {"erase": 8, "rescue": 2, "config": 1},
        faults=0.2,
        meddling=2,
    ),
)


KEPT_THEMES = tuple(
    replace(
        theme,
        # Settings that only the cache learns of are not remembered over a restart; commands are.
        acts={
            **{kind: weight for kind, weight in theme.acts.items() if kind != "config"},
            "order": max(4, theme.acts.get("order", 0)),
            "restart": 3,
            "crash": 3 if theme.acts.get("order", 0) > 8 else 8,
            "rerecord": 4 + theme.acts.get("rerecord", 0),
        },
        resources={**theme.resources, "waveform": 3 + theme.resources.get("waveform", 0)},
        wishes={**theme.wishes, "only": 2, "stale": 2 + theme.wishes.get("stale", 0)},
        orders={"config": 1} if theme.acts.get("config", 0) > 3 else theme.orders,
    )
    for theme in THEMES
)


FIELD_THEMES = (
    Theme(
        "recording units",
        {"recording": 8, "cancel": 1, "wall": 1, "slow": 1},
        {"events": 8, "waveform": 3, "event": 1},
        WISHES,
        falling_counter=0.0,
        faults=0.0,
    ),
    Theme(
        "cut walks",
        {"cuts": 6, "recording": 2, "rerecord": 3, "append": 1, "restart": 1},
        {"events": 8, "waveform": 2, "event": 1},
        WISHES,
        falling_counter=0.0,
        faults=0.0,
        meddling=5,
    ),
    Theme(
        "lying counters",
        {"rerecord": 8, "append": 3, "erase": 1, "cancel": 1},
        {"events": 5, "waveform": 6, "event": 1},
        WISHES,
        never_set=0.8,
        falling_counter=0.0,
        faults=0.05,
        counter_steps=(0, 0, 3, 100),
        meddling=5,
    ),
    Theme(
        "second clients",
        {"second": 8, "append": 3, "cuts": 1, "rerecord": 1},
        {"events": 8, "waveform": 2, "event": 1},
        WISHES,
        falling_counter=0.0,
        faults=0.0,
        meddling=5,
    ),
)
"""Trouble seen on real lines: worlds of a grain of their own, so that no other seed changes."""

STALE_CHUNKS = Theme(
    "stale chunks",
    {"repeat": 8, "append": 1, "cancel": 1},
    {"waveform": 8, "events": 1},
    {"any": 6, "force": 4},
    two_addresses=0.0,
    falling_counter=0.0,
    tiny_cache=0.0,
    faults=0.0,
    slow=0.0,
    meddling=5,
)
SHARED_LINES = Theme(
    "shared lines",
    {"second": 8, "append": 2, "rerecord": 1},
    {"events": 8, "waveform": 2, "event": 1},
    {"any": 5, "force": 4, "max_age": 1},
    two_addresses=0.0,
    falling_counter=0.0,
    tiny_cache=0.0,
    faults=0.0,
    slow=0.0,
    meddling=5,
)
KEPT_WALKS = Theme(
    "kept walks",
    {"cuts": 5, "recording": 2, "append": 2, "wall": 1, "cancel": 1},
    {"events": 5, "partial": 6, "event": 1},
    {"any": 6, "max_age": 2},
    two_addresses=0.0,
    falling_counter=0.0,
    tiny_cache=0.0,
    faults=0.0,
    meddling=5,
)
LINE_THEMES = (STALE_CHUNKS, SHARED_LINES, KEPT_WALKS)
"""
The same at the grain of bytes: chunks that come twice from a unit that echoes no address, another
program's replies. And walks over cut links, of records, in which no record may be read again.
"""
ROUTE_THEMES = (
    Theme(
        "first contacts",
        {"restart": 6, "join": 4, "exchange": 2, "rerecord": 3, "order": 2, "deaf": 1},
        RESOURCES,
        {"any": 8, "force": 3, "max_age": 3, "only": 1, "stale": 1},
        falling_counter=0.0,
        faults=0.05,
        slow=0.7,
    ),
    Theme(
        "orders over routes",
        {"order": 14, "rerecord": 2, "append": 1, "monitor": 1, "join": 1, "cancel": 1},
        {"info": 4, "status": 6, "events": 4, "waveform": 5, "call home": 1},
        {"any": 10, "max_age": 3, "only": 2, "force": 1, "stale": 1},
        {"erase": 5, "start": 4, "stop": 3, "config": 5, "stop without reply": 1},
        falling_counter=0.0,
        faults=0.05,
        meddling=4,
    ),
    Theme(
        "moving units",
        {
            "exchange": 8,
            "swap": 3,
            "join": 2,
            "unplug": 2,
            "rerecord": 2,
            "order": 2,
            "location": 4,
            "restart": 1,
        },
        {"info": 3, "status": 5, "events": 4, "waveform": 6, "event": 1},
        {"any": 10, "max_age": 4, "only": 1, "stale": 2, "force": 1},
        falling_counter=0.0,
        faults=0.0,
        meddling=4,
    ),
    Theme(
        "dead routes",
        {"unplug": 4, "deaf": 5, "join": 3, "faults": 3, "order": 3, "cancel": 1, "append": 1},
        RESOURCES,
        {"any": 8, "force": 2, "max_age": 2, "stale": 3},
        falling_counter=0.0,
        faults=0.3,
    ),
)
"""Several addresses of one unit, several names of one endpoint, and units that move."""
LAYOUTS = {
    "two routes": ("X", "X", ""),
    "a dead route": ("", "X", ""),
    "two names": ("X", "Y", "a"),
    "two routes and two names": ("X", "X", "a"),
    "three routes": ("X", "X", "X"),
}
"""What stands behind the addresses a, b and c at first; ``a``: c is another name of a's place."""
NORTH, SOUTH = "North face", "South face"
ZONES = {NORTH: "Europe/Oslo", SOUTH: "America/Denver"}

CUT_AT_THE_END = 14
"""After so many exchanges each call is cut while the last reader of kept walks asks."""
CALLS_AT_THE_END = 12
MAX_DELAY_S = 60.0


@cache
def _settings(keep_open_s: float, validated_s: float, queue_s: float, most: int) -> Settings:
    return Settings(
        keep_open_s=keep_open_s, validated_s=validated_s, queue_s=queue_s, max_readers=most
    )


@dataclass(order=True, slots=True)
class Act:
    """Something that happens at an instant."""

    at_s: float
    number: int
    kind: str = field(compare=False)
    place: int = field(compare=False, default=0)
    """Which address."""
    draw: int = field(compare=False, default=0)
    resource: str = field(compare=False, default="")
    freshness: Freshness = field(compare=False, default_factory=Freshness)
    by: str = field(compare=False, default="address")
    """How the unit is named."""


@dataclass
class Plan:
    """Everything a seed draws before the world begins."""

    seed: int
    grain: str
    theme: Theme
    addresses: int
    never_set: bool
    falling_counter: bool
    limit_bytes: int | None
    pace_s: float
    fault_share: float
    shuffles: bool
    settings: Settings
    few: bool
    acts: list[Act]
    keeps: bool = False
    """Whether the relay has a database."""
    counter_step: int = 1
    """How far the lifetime counter rises with an event."""
    layout: str = ""
    """What stands behind which address, if that is not a unit for each."""


def draw_plan(grain: str, seed: int) -> Plan:
    """Return the world of that seed, before it begins."""
    chance = random.Random(f"{grain} {seed}")
    themes = {
        "kept": KEPT_THEMES,
        "field": FIELD_THEMES,
        "lines": LINE_THEMES,
        "routes": ROUTE_THEMES,
    }.get(grain, THEMES)
    theme = themes[seed % len(themes)]
    falling = chance.random() < theme.falling_counter
    few = chance.random() < 0.05
    settings = _settings(
        chance.choice((0.0, 5.0, 5.0)),
        chance.choice((0.0, 30.0, 30.0)),
        20.0 if few else 300.0,
        4 if few else 5000,
    )
    plan = Plan(
        seed=seed,
        grain="byte" if grain == "byte" or theme in (STALE_CHUNKS, SHARED_LINES) else "record",
        keeps=grain == "kept",
        theme=theme,
        addresses=1 + (chance.random() < theme.two_addresses),
        never_set=not falling and chance.random() < theme.never_set,
        falling_counter=falling,
        limit_bytes=chance.choice((1200, 1750)) if chance.random() < theme.tiny_cache else None,
        pace_s=chance.choice((1.0, 3.0)) if chance.random() < theme.slow else 0.1,
        fault_share=chance.choice((0.02, 0.06)) if chance.random() < theme.faults else 0.0,
        shuffles=chance.random() < 0.7,
        settings=settings,
        few=few,
        acts=[],
    )
    if theme.counter_steps != (1,):
        plan.counter_step = chance.choice(theme.counter_steps)
    if theme in ROUTE_THEMES:
        plan.layout, plan.keeps = chance.choice(list(LAYOUTS)), chance.random() < 0.5
        plan.addresses = len(LAYOUTS[plan.layout])
        registered = {"units": {NORTH: "tcp://a:12345"}, "site_zones": {NORTH: ZONES[NORTH]}}
        plan.settings = plan.settings.model_copy(update=registered)
    at_s = 0.0
    for _ in range(chance.randint(3, 5)):
        _draw_burst(plan, chance, at_s)
        at_s += chance.choice((0.5, 3.0, 8.0, 20.0, 29.0, 45.0, 100.0))
    plan.acts.sort()
    return plan


def _draw_burst(plan: Plan, chance: random.Random, at_s: float) -> None:
    """Readers who come close together, and people who meddle while they wait."""
    theme, span_s = plan.theme, plan.pace_s * chance.choice((0.0, 2.0, 8.0, 16.0))
    favourite = _pick(chance, theme.resources)
    for _ in range(chance.randint(1, 4)):
        resource = favourite if chance.random() < 0.5 else _pick(chance, theme.resources)
        act = Act(
            at_s + chance.choice((0.0, span_s * chance.random())),
            len(plan.acts),
            "read",
            chance.randrange(plan.addresses),
            chance.randrange(3) and chance.randrange(3),
            resource,
            _wish(chance, _pick(chance, theme.wishes)),
        )
        if resource == "call home":
            act.freshness = Freshness(force=True)  # it is never kept
        if plan.layout:
            act.by = chance.choice(("address", "address", "unit", "name"))
        plan.acts.append(act)
    for _ in range(chance.randint(0, theme.meddling)):
        act = Act(
            at_s + chance.choice((-0.2, span_s * chance.random(), 40 * plan.pace_s)),
            len(plan.acts),
            _pick(chance, theme.acts),
            chance.randrange(plan.addresses),
            chance.randrange(1 << 16),
        )
        if act.kind == "order":
            act.resource = _pick(chance, theme.orders)
            if plan.layout:
                act.by = chance.choice(("address", "unit"))
        plan.acts.append(act)
        if act.kind == "order" and plan.keeps and act.draw & 1:
            # In the middle of it, or nearly.
            end = replace(
                act, number=len(plan.acts), kind=("crash", "restart")[act.draw >> 2 & 3 == 0]
            )
            end.at_s += plan.pace_s * (act.draw >> 3 & 15)
            plan.acts.append(end)


def _pick(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _wish(chance: random.Random, wish: str) -> Freshness:
    age_s = chance.choice((0.0, 1.0, 5.0, 25.0, 60.0))
    match wish:
        case "force":
            return Freshness(force=True)
        case "max_age":
            return Freshness(max_age_s=age_s)
        case "only":
            return Freshness(only_if_cached=True, max_age_s=chance.choice((None, age_s)))
        case "stale":
            return Freshness(stale_if_error_s=chance.choice((5.0, 60.0, 600.0)))
        case _:
            return Freshness()


class World:
    """One seed, lived through. ``live`` returns the broken promises."""

    def __init__(self, grain: str, seed: int) -> None:
        self.plan = draw_plan(grain, seed)
        self.chance = random.Random(f"{grain} {seed} life")
        self.loop = SeededLoop(random.Random(seed) if self.plan.shuffles else None)
        self.auditor = Auditor(
            validated_s=self.plan.settings.validated_s,
            most_readers_are_few=self.plan.few,
            queue_s=self.plan.settings.queue_s,
            falling_counter=self.plan.falling_counter,
            answers_travel=self.plan.grain == "byte",
            has_routes=bool(self.plan.layout),
        )
        self.story: list[tuple[float, str]] = []
        self.broken: list[str] = []
        self.complaints: list[str] = []
        self._wall_offsets_s = [0.0]
        """How far the wall clock stood from the loop's, from the beginning; the last is now."""
        self._relay_run = -1
        self._disk = (
            Disk(self.loop.time, self.chance, self.plan.pace_s) if self.plan.keeps else None
        )
        self._closing = False
        self._serials = 0
        self._memories = 0
        self._physical = 0
        self._addresses = [
            Address("tcp", name, 12345) for name in ("a", "b", "c")[: self.plan.addresses]
        ]
        is_alias = LAYOUTS[self.plan.layout][-1] == "a" if self.plan.layout else False
        self._endpoints = [0 if is_alias and place == 2 else place for place in range(3)]
        """By the place of an address, that of which it is another name, or its own."""
        self._keys = [Gateway.conn_key(address) for address in self._addresses]
        self._units: list[Any] = [None] * len(self._addresses)
        self.moved = 0
        """How often a unit was moved to another location."""
        self._wires: list[AnyWire] = []
        self._readers: dict[asyncio.Task[None], Request | Order] = {}
        """Everybody who waits for something: readers, and who gave an order."""
        self._reads: dict[asyncio.Task[Any] | None, None] = {}
        self._meddlers: list[asyncio.Task[None]] = []

    # --- the two grains --------------------------------------------------------------------------

    def _build_wire(self, key: str) -> AnyWire:
        plan = self.plan
        if plan.grain == "record":
            return Wire(
                key,
                self.auditor,
                self.chance,
                self.loop.time,
                pace_s=plan.pace_s,
                fault_share=plan.fault_share,
            )
        return ByteWire(
            key,
            self.auditor,
            self.chance,
            self.loop.time,
            pace_s=plan.pace_s,
            fault_share=plan.fault_share,
        )

    def _build_unit(self) -> Any:
        self._serials += 1
        serial = f"SIM{self._serials:04}"
        plan = self.plan
        if plan.grain == "record":
            unit: Any = RecordUnit(
                serial,
                self.loop.time,
                never_set=plan.never_set,
                falling_counter=plan.falling_counter,
                counter_step=plan.counter_step,
            )
        else:
            unit = ByteUnit(
                serial,
                self.loop.time,
                self.auditor,
                never_set=plan.never_set,
                falling_counter=plan.falling_counter,
                echoes=plan.theme is not STALE_CHUNKS,
            )
        unit.memory = self._new_memory()
        unit.new_memory = self._new_memory
        unit.on_erasing = lambda order: self._erasing(unit, order)
        unit.on_followed = lambda order, what: self._followed(unit, order, what)
        stored = self.chance.choice((0, 1, 1, 2, 2, 3))
        if plan.theme in FIELD_THEMES or plan.theme in LINE_THEMES:
            stored += self.chance.randrange(5)
        for _ in range(stored):
            self._record(unit)
        return unit

    def _new_memory(self) -> int:
        self._memories += 1
        return self._memories

    def _record(self, unit: Any) -> None:
        self._physical += 1
        chance = self.chance
        odd = chance.random() < 0.2
        unit.record(self._physical, look=odd and chance.randrange(2), size=chance.random() < 0.15)

    # --- living ----------------------------------------------------------------------------------

    def live(self) -> list[str]:
        """Live through the plan; return every broken promise, as sentences."""
        loop = self.loop
        loop.set_exception_handler(lambda _, context: self._complain(context))
        try:
            with _silent_log():
                loop.run_until_complete(self._main())
        except DeadlockError as error:
            self.broken.append(f"everybody waits for ever: {error}")
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            asyncio.set_event_loop(None)
            loop.close()
        self.broken += self.complaints
        self.broken += self.auditor.judge()
        return self.broken

    def _complain(self, context: dict[str, Any]) -> None:
        self.complaints.append(
            f"the loop says: {context.get('message')} {context.get('exception')!r}"
        )

    async def _main(self) -> None:
        for place, key in enumerate(self._keys):
            wire = self._build_wire(key)
            wire.on_contact = self._contact
            if self.plan.theme is KEPT_WALKS:
                wire.on_record = self.auditor.note_record
            wire.on_send = self._sent
            wire.is_closing = lambda: self._closing
            self._wires.append(wire)
            self._units[place] = self._first_unit(place)
            wire.plug(self._units[place])
            self._note(place)
        self._start_relay()
        if self.plan.layout:
            await self._register()
        began_s = self.loop.now_s
        for act in self.plan.acts:
            wait_s = began_s + act.at_s - self.loop.now_s
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await self._do(act)
        await self._wait_for_readers()
        if self.plan.theme is KEPT_WALKS:
            await self._list_in_the_end()
        await self._stop_relay()
        if self._disk is not None:
            self._disk.hold_against(self.auditor.complain)
            self._disk.hold_orders(self.auditor.book.orders, self.auditor.complain)
        if self._meddlers:
            await asyncio.wait(self._meddlers)

    def _first_unit(self, place: int) -> Any:
        """Return what stands behind an address at first."""
        if not self.plan.layout:
            return self._build_unit()
        stands = LAYOUTS[self.plan.layout]
        same = [other for other in range(place) if stands[other] == stands[place]]
        if stands[place] in ("", "a"):
            return None
        return self._units[same[0]] if same else self._build_unit()

    async def _register(self) -> None:
        """Give the locations their routes: North has a, and with a database b behind it."""
        self.auditor.locations[NORTH] = (self._keys[0],)
        if self._disk is None:
            return
        roster = self.gateway.roster
        await roster.load()
        await roster.change(partial(stored_roster.add_location, name=SOUTH))
        north = roster.now.location_named(NORTH)
        assert north is not None
        b = str(self._addresses[1])
        add = partial(stored_roster.add_route, location_id=north.id, address=b, priority=1)
        await roster.change(add)
        south = roster.now.location_named(SOUTH)
        assert south is not None
        zone = partial(stored_roster.add_zone, location_id=south.id, serial="", zone=ZONES[SOUTH])
        await roster.change(zone)
        self.auditor.locations[NORTH] = tuple(self._keys[:2])

    async def _list_in_the_end(self) -> None:
        """A link that lets a few events through at each call brings the list all the same."""
        if self._meddlers:
            await asyncio.wait(self._meddlers)
        self._wires[0].cut_every = CUT_AT_THE_END
        for _ in range(CALLS_AT_THE_END):
            # (A call that is cut while it closes a walk brings no event; then the unit rests.)
            with suppress(ListIncompleteError, LinkClosedError, BackingOffError):
                answer = await self.gateway.events(self._addresses[0])
                break
            await asyncio.sleep(MAX_DELAY_S)
        else:
            self.auditor.complain(f"no list in {CALLS_AT_THE_END} calls that read some events each")
            return
        slots = [(i, s.key, s.timestamp, s.look) for i, s in enumerate(self._units[0].slots)]
        if not answer.is_complete or [_slot(event) for event in answer.value] != slots:
            self.auditor.complain("the list in the end is not the unit's")

    def _hold_cache_against(self, place: int) -> None:
        """What the cache holds as a list was the whole list once."""
        device = self.gateway.registry.device(self._addresses[place])
        entry = self.cache.events_entry(device.key)
        if entry is not None:
            returned = [_slot(event) for event in entry.value()]
            self.auditor.judge_held_list(self._keys[place], returned)

    async def _wait_for_readers(self) -> None:
        waiting = [task for task in self._readers if not task.done()]
        if waiting:
            _, waiting_still = await asyncio.wait(waiting, timeout=LONGEST_WAIT_S)
            for task in waiting_still:
                self.broken.append(f"{self._readers[task].name} waits for ever")

    def _start_relay(self) -> None:
        if self._disk is None or self._relay_run < 0:
            self._relay_run += 1
            self.auditor.run_began[self._relay_run] = self.auditor.step()
        self._closing = False
        clock = self.loop.time
        self.cache = LiveCache(clock=clock, limit_bytes=self.plan.limit_bytes)
        store_service = None
        if self._disk is not None:
            store_service = StoreService(
                self._disk.begin_run(),
                clock=clock,
                wall=self._wall,
                boot="this boot",
                run=self._disk.run,
            )
        self.gateway = Gateway(
            self.cache,
            self.plan.settings,
            store_service=store_service,
            connect=self._connect,
            resolve=self._resolve,
            clock=clock,
            wall=self._wall,
        )
        self.auditor.forget_names()
        self.commands = Commands(self.gateway, clock=clock, wall=self._wall)

    async def _stop_relay(self) -> None:
        self._closing = True
        self.auditor.run_closing[self._relay_run] = self.loop.now_s
        await self.gateway.close()

    def _wall(self) -> datetime:
        seconds = self.loop.now_s + self._wall_offsets_s[-1]
        return datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=seconds)

    async def _resolve(self, address: Address) -> Address:
        CALLED.set(self._keys[self._addresses.index(address)])
        return self._addresses[self._endpoints[self._addresses.index(address)]]

    async def _connect(self, address: Address) -> MiniMate:
        wire = self._wires[self._addresses.index(address)]
        session = await wire.open(wake=False)
        if isinstance(session, RecordSession):
            session.called = CALLED.get()
        return cast("MiniMate", session)

    def _contact(self, key: str) -> None:
        """Note the first time that a read, or an order, turns to its unit."""
        order = ORDER.get()
        if order is not None and not order.is_begun:
            order.is_begun = True
            if not self.plan.layout:  # (There it may ask who answers first.)
                self._hold_beginning(order)
        task = asyncio.current_task()
        asker = ASKER.get()
        if asker is None or task in self._reads:
            return
        self._reads[task] = None
        assert task is not None
        resource = "events" if asker.resource == "event" else asker.resource
        if resource == "waveform":
            resource += f" {asker.index}"
        where = asker.address if self.plan.layout else key
        is_forced = asker.freshness.force
        contact = Contact(
            asker.relay_run, where, resource, asker.time_s, is_forced, self.loop.now_s
        )
        self.auditor.contacts.append(contact)
        task.add_done_callback(partial(_note_end, contact))

    def _hold_beginning(self, order: Order) -> None:
        if self._disk is not None and not self._disk.has_begun(order.actor):
            self.auditor.complain(f"{order.name}: turned to the unit before it was noted")

    def _note(self, place: int) -> None:
        """Write into the book of truth what stands behind an address now."""
        unit, now_s = self._units[place], self.loop.now_s
        places = [
            other
            for other, endpoint in enumerate(self._endpoints[: len(self._keys)])
            if endpoint == place or (unit is not None and self._units[endpoint] is unit)
        ]
        keys = [self._keys[other] for other in places]
        if unit is None:
            self.auditor.note_state(keys, now_s, None, 0, (), 0)
        else:
            self.auditor.note_state(
                keys,
                now_s,
                unit.serial,
                unit.memory,
                unit.slots,
                unit.setup_version,
                unit.call_home,
            )

    # --- what units and wires tell of commands ---------------------------------------------------

    def _sent(self, key: str, sub: int) -> Order | None:
        order = ORDER.get()
        if order is None or (order.address != key and not self.plan.layout):
            self.auditor.complain(f"{sub:02X} is sent to {key}, and nobody ordered it")
        else:
            unit = self._units[self._keys.index(key)]
            if self.plan.layout and not order.sent:
                self._hold_beginning(order)
            self.auditor.note_sent(order, self._relay_run, sub, unit and unit.serial)
            if sub == ERASE[0] and unit is not None:
                order.held_at_begin = unit.slots
        return order

    def _erasing(self, unit: Any, order: Order | None) -> None:
        archived: set[Any] = set()
        if self._disk is not None and order is not None and not order.asked["discard"]:
            archived = self._disk.archived_waveforms()

        def is_archived(slot: Slot) -> bool:
            return any(
                found[:3] == (unit.serial, slot.key, slot.timestamp)
                and self._physicals(found[3]) == {slot.physical}
                for found in archived
            )

        book = self.auditor.book
        book.note_erasing(order, unit.slots, unit.looked, is_archived)

    def _followed(self, unit: Any, order: Order | None, what: str) -> None:
        self.auditor.book.note_followed(order, unit.serial, what)
        self._report(f"{unit.serial} follows {order.name if order else 'nobody'}: {what}")
        if unit in self._units:
            self._note(self._units.index(unit))

    def _report(self, what: str) -> None:
        self.story.append((round(self.loop.now_s, 6), what))

    # --- acts ------------------------------------------------------------------------------------

    async def _do(self, act: Act) -> None:
        if act.kind == "read":
            self._send_reader(act)
            return
        self._report(f"{act.kind} at {self._keys[act.place]}")
        if act.kind != "order":
            act = replace(act, place=self._endpoints[act.place])
        unit = self._units[self._endpoints[act.place]]
        if unit is None and act.kind in (
            "append",
            "rerecord",
            "erase",
            "clock",
            "config",
            "keypad",
            "recording",
            "second",
            "repeat",
        ):
            return
        result = getattr(self, f"_do_{act.kind}")(act, unit)
        if result is not None:
            await result

    def _do_append(self, act: Act, unit: Any) -> None:
        for _ in range(1 + act.draw % 2):
            if len(unit.slots) < 5:
                self._record(unit)
        self._note(act.place)

    def _do_recording(self, act: Act, unit: Any) -> None:
        """For a while the unit records every 0.5 to 5 s, also while it is read."""
        period_s = (0.5, 1.0, 2.0, 5.0)[act.draw % 4]

        def record() -> None:
            if self._units[act.place] is unit and len(unit.slots) < MAX_RECORDED:
                self._record(unit)
                self._note(act.place)

        for number in range(2 + (act.draw >> 2) % 6):
            self._later(number * period_s, record)

    def _do_cuts(self, act: Act, unit: Any) -> None:
        """For a while the link is cut every n exchanges."""
        wire = self._wires[act.place]
        wire.cut_every = (7, 11, 16, 25)[act.draw % 4]

        def end() -> None:
            wire.cut_every = 0

        self._later((20.0, 60.0, 150.0)[act.draw % 3], end)

    def _do_second(self, act: Act, unit: Any) -> None:
        """Another program reads from the unit, and so moves its record cursor."""
        if self.plan.grain == "byte":
            unit.meddle_in(1 + act.draw % 60, is_first=bool(act.draw & 64))
        else:
            self._wires[act.place].foreign_in = 1 + act.draw % 30

    def _do_repeat(self, act: Act, unit: Any) -> None:
        """A reply to 5A comes twice; with the second the line may fall silent."""
        place = ("behind", "ahead of the next", "instead of the next")[act.draw % 3]
        unit.repeat_in(1 + (act.draw >> 2) % 7, place)

    def _do_erase(self, act: Act, unit: Any) -> None:
        unit.erase(self._new_memory())
        self._note(act.place)

    def _do_rerecord(self, act: Act, unit: Any) -> None:
        """Erase, and record fewer, as many, or more; at once or a moment later."""
        stored = len(unit.slots)
        count = max(1, stored + (0, 0, 1, -1, 2)[act.draw % 5])
        self._do_erase(act, unit)

        def record() -> None:
            for _ in range(min(count, 5)):
                self._record(unit)
            if unit in self._units:
                self._note(self._units.index(unit))

        if act.draw & 64:
            self._later(self.plan.pace_s * (act.draw % 7), record)
        else:
            record()

    def _do_swap(self, act: Act, unit: Any) -> None:
        """Unplug the unit; some seconds later another stands there, or the same again."""
        place = act.place
        other = unit if unit is not None and act.draw % 4 == 0 else self._build_unit()
        self._units[place] = None
        self._wires[place].plug(None)
        self._note(place)

        def plug() -> None:
            self._units[place] = other
            self._wires[place].plug(other)
            self._note(place)

        self._later(2.0 + act.draw % 3, plug)

    def _do_unplug(self, act: Act, unit: Any) -> None:
        """The address leads nowhere from now on."""
        self._units[act.place] = None
        self._wires[act.place].plug(None)
        self._note(act.place)

    def _do_join(self, act: Act, unit: Any) -> None:
        """The address leads to the unit of another one as well."""
        others = [one for one in self._units if one is not None and one is not unit]
        if others:
            self._plug_later(act.place, others[act.draw % len(others)], act)

    def _do_exchange(self, act: Act, unit: Any) -> None:
        """The units of the first two addresses change places."""
        first, second = self._units[:2]
        if first is not second:
            self._plug_later(0, second, act)
            self._plug_later(1, first, act)

    def _plug_later(self, place: int, unit: Any, act: Act) -> None:
        self._do_unplug(replace(act, place=place), None)

        def plug() -> None:
            self._units[place] = unit
            self._wires[place].plug(unit)
            self._note(place)

        self._later(2.0 + act.draw % 3, plug)

    async def _do_location(self, act: Act, unit: Any) -> None:
        """Somebody says that the unit stands at the other location from now on."""
        if self._disk is None or unit is None:
            return
        roster, name = self.gateway.roster, (NORTH, SOUTH)[act.draw % 2]
        await roster.load()
        location = roster.now.location_named(name)
        assert location is not None
        since = unit.shown_device_time
        move = partial(
            stored_roster.place_unit,
            location_id=location.id,
            serial=unit.serial,
            from_device_time=since.isoformat(),
        )
        before = self._zones()
        with suppress(RosterConflictError, NoSuchUnitError, StoreError, BackingOffError):
            await roster.change(move)
            self._hold_zones(unit.serial, since, ZONES[name], before)

    def _zones(self) -> dict[tuple[str, datetime], str | None]:
        """Return the zone of each event that units hold, as answers have it."""
        zones: dict[tuple[str, datetime], str | None] = {}
        for unit in filter(None, self._units):
            for slot in unit.slots:
                at = datetime.fromisoformat(slot.timestamp)
                zone = self.gateway.store_service.zones.zone_at(unit.serial, at)
                zones[unit.serial, at] = None if zone is None else zone.key
        return zones

    def _hold_zones(
        self,
        serial: str,
        since: datetime,
        zone: str,
        before: dict[tuple[str, datetime], str | None],
    ) -> None:
        """A unit that was moved has the new zone since then; every earlier event keeps its own."""
        self.moved += 1
        for event, now in self._zones().items():
            wanted = zone if event[0] == serial and event[1] >= since else before.get(event, now)
            if now != wanted and not (event[0] != serial and event[1] >= since):
                self.auditor.complain(f"{event} has the zone {now}, not {wanted}")

    def _do_clock(self, act: Act, unit: Any) -> None:
        unit.set_clock_back()

    def _do_faults(self, act: Act, unit: Any) -> None:
        kinds = ("drop", "stall", "corrupt", "")
        self._wires[act.place].next_faults = [
            kinds[act.draw >> 2 * n & 3] for n in range(act.draw % 4)
        ]

    def _do_deaf(self, act: Act, unit: Any) -> None:
        wire = self._wires[act.place]
        wire.deaf_until_s = self.loop.now_s + (2.0, 30.0, 100.0)[act.draw % 3]
        wire.next_faults = ["drop"]

    def _do_slow(self, act: Act, unit: Any) -> None:
        self._wires[act.place].is_slow = True

    async def _do_drop(self, act: Act, unit: Any) -> None:
        # Memory forgets at once; the database a moment later.
        drop = DurableCache.forget

        async def forget(durable: DurableCache, reason: str) -> None:
            self.auditor.note_barrier(self._relay_run, durable.serial, "all")
            await drop(durable, reason)

        with patch.object(DurableCache, "forget", forget):
            await self.gateway.drop(self._addresses[act.place], "asked to")

    def _do_config(self, act: Act, unit: Any) -> None:
        """Settings are written and acknowledged."""
        unit.setup_version = self._next_setup(unit)
        self._note(act.place)
        self.cache.mark_config_dirty(unit_key(unit.serial))
        self.auditor.note_barrier(self._relay_run, unit.serial, "info")

    def _do_keypad(self, act: Act, unit: Any) -> None:
        """Somebody changes settings at the unit, without the relay."""
        unit.setup_version = self._next_setup(unit)
        self._note(act.place)

    def _next_setup(self, unit: Any) -> int:
        return int(unit.setup_version + 1) % 64

    def _do_monitor(self, act: Act, unit: Any) -> None:
        """Monitoring is started or stopped, and the unit acknowledges it."""
        if unit is not None and unit.is_on:
            unit.stop_monitoring()
        elif unit is not None:
            unit.start_monitoring()
        if unit is not None:
            self.cache.invalidate_monitor_status(unit_key(unit.serial))
            self.auditor.note_barrier(self._relay_run, unit.serial, "status")

    async def _do_restart(self, act: Act, unit: Any) -> None:
        await self._stop_relay()
        self._start_relay()

    async def _do_crash(self, act: Act, unit: Any) -> None:
        """The relay is killed; what its database has not done by now is never done."""
        assert self._disk is not None
        self._disk.end_run()
        for order in self.auditor.book.orders:
            order.crashed |= not order.end_tick
        # Its tasks and its lines end with it; whatever they still ask of the database is dead.
        with suppress(StoreLostError):
            await self._stop_relay()
        self._disk.hold_against(self.auditor.complain)
        if act.draw & 1 and unit is not None:
            self._do_rerecord(act, unit)
        self._start_relay()

    def _do_wall(self, act: Act, unit: Any) -> None:
        step_s = (10.0, 100.0, -50.0)[act.draw % 3]
        self._wall_offsets_s.append(self._wall_offsets_s[-1] - step_s)

    def _do_cancel(self, act: Act, unit: Any) -> None:
        """A reader goes away, or somebody who gave an order."""
        waiting = [task for task in self._readers if not task.done()]
        if waiting:
            task = waiting[act.draw % len(waiting)]
            self._readers[task].cancelled = True
            task.cancel()

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(delay_s)
            do()

        self._meddlers.append(self.loop.create_task(wait()))

    # --- orders ----------------------------------------------------------------------------------

    def _do_order(self, act: Act, unit: Any) -> None:
        """Somebody gives a command to the relay; while an erase goes on, hands are at the unit."""
        key, chance = self._keys[act.place], random.Random(act.draw)
        order = Order(
            len(self.auditor.book.orders),
            self._relay_run,
            key,
            act.resource,
            self._ask_for(act.resource, unit, chance),
        )
        if act.by == "unit" and unit is not None:
            order.unit = order.asked["serial"] = unit.serial
        self.auditor.book.orders.append(order)
        self._report(f"{order.name} is given")
        meddles = act.resource == "erase" and unit is not None and chance.random() < 0.5
        hands = self._hands(act, unit, chance) if meddles else None

        async def give() -> None:
            address = self._addresses[act.place]
            if order.asked.get("archives") and self._disk is not None:
                await self._read_every_waveform(order, address)
            if hands is not None:
                unit.hands = hands
            await self._give(order, order.unit or address)

        self._readers[self.loop.create_task(give())] = order

    def _hands(self, act: Act, unit: Any, chance: random.Random) -> tuple[int, Callable[[], None]]:
        """Return what somebody will do at a unit, and at which of its answers."""
        # (Twice: it is the hardest to find.)
        deeds = (self._do_append, self._do_rerecord, self._do_rerecord, self._do_erase)
        deed = chance.choice(deeds)
        # (Recorded anew at once, and as many: what tells the least.)
        later = replace(
            act,
            place=self._endpoints[act.place],
            draw=chance.choice((0, 0, chance.randrange(1 << 16))),
        )

        def lay_hands() -> None:
            if unit in self._units:
                self._report(f"hands are at {unit.serial}")
                deed(later, unit)

        return chance.randint(1, 6), lay_hands

    def _ask_for(self, command: str, unit: Any, chance: random.Random) -> dict[str, Any]:
        """Return what is asked for: mostly what fits the unit as it is, now and then not."""
        serial = "SIM0000" if unit is None or chance.random() < 0.1 else unit.serial
        match command:
            case "start" | "stop":
                return {"follow": chance.random() < 0.5}
            case "config" | "call home":
                return {
                    "value": chance.randrange(64),
                    "dry_run": chance.random() < 0.1,
                    "serial": chance.choice((None, None, serial)),
                }
            case "erase":
                stored = 0 if unit is None else len(unit.slots)
                stale = chance.random() < 0.15
                return {
                    "serial": serial,
                    "count": max(0, stored + chance.choice((-1, 1))) if stale else stored,
                    "discard": chance.random() < 0.4,
                    "archives": chance.random() < 0.7,
                }
            case "rescue":
                return {"serial": serial, "erase": chance.random() < 0.5, "discard": True}
            case _:
                return {}

    async def _give(self, order: Order, address: Address | str) -> None:
        ORDER.set(order)
        order.crashed = False
        order.tick, order.time_s, order.relay_run = (
            self.auditor.step(),
            self.loop.now_s,
            self._relay_run,
        )
        try:
            done = await self._command(order, address)
        except asyncio.CancelledError as error:
            if order.cancelled:
                self._report(f"{order.name}: who gave it went away")
                return
            order.error = error
        except Exception as error:
            order.error, order.outcome = error, getattr(error, "outcome", "")
        else:
            order.outcome, order.detail = done.outcome, done.detail
        order.end_tick, order.end_s = self.auditor.step(), self.loop.now_s
        detail = order.detail if order.error is None else repr(order.error)
        self._report(f"{order.name} of {order.time_s:.3f}: {order.outcome} {detail}")

    async def _read_every_waveform(self, order: Order, address: Address) -> None:
        """Do what a careful person does before an erase."""
        with suppress(
            MiniMateError,
            BusyError,
            ShuttingDownError,
            ListIncompleteError,
            BackingOffError,
            StoreLostError,
        ):
            for index in range(order.asked["count"]):
                await self.gateway.waveform(address, index)

    async def _command(self, order: Order, which: Address | str) -> Done:
        give, asked = self.commands, order.asked
        address = await self._target(self.gateway, which)
        by = Principal(order.actor, Role.ADMIN, "local")
        match order.command:
            case "start":
                return await give.start_monitoring(address, by, follow=asked["follow"])
            case "stop":
                return await give.stop_monitoring(address, by, follow=asked["follow"])
            case "stop without reply":
                return await give.stop_monitoring(address, by, wait_for_reply=False)
            case "config":
                change = SetupChange(notes=str(asked["value"]))
                return await give.change_setup(
                    address, by, change, serial=asked["serial"], dry_run=asked["dry_run"]
                )
            case "call home":
                home = CallHomeChange(enabled=asked["value"] % 4 > 0, retries=asked["value"] % 8)
                return await give.change_call_home(
                    address, by, home, serial=asked["serial"], dry_run=asked["dry_run"]
                )
            case "erase":
                return await give.erase(
                    address,
                    by,
                    serial=asked["serial"],
                    count=asked["count"],
                    discard_unarchived=asked["discard"],
                )
            case _:
                return await give.rescue(address, by, serial=asked["serial"], erase=asked["erase"])

    # --- readers ---------------------------------------------------------------------------------

    def _send_reader(self, act: Act) -> None:
        number = len(self._readers)
        request = Request(
            number,
            self._relay_run,
            self._keys[act.place],
            act.resource,
            act.draw if act.resource in ("event", "waveform") else 0,
            act.freshness,
            0,
            self.loop.now_s,
        )
        which: Address | str = self._addresses[act.place]
        unit = self._units[self._endpoints[act.place]]
        if act.by == "unit" and unit is not None:
            which = request.unit = unit.serial
            request.address = unit_key(unit.serial)
        elif act.by == "name":
            which = request.address = NORTH
        task = self.loop.create_task(self._read(request, which))
        self._readers[task] = request

    @staticmethod
    async def _target(gateway: Gateway, which: Address | str) -> Address | Target:
        """Return what an address, a name or a serial number leads to, as for a request."""
        if isinstance(which, Address):
            return which
        await gateway.roster.load()
        return gateway.roster.target(which)

    async def _read(self, request: Request, address: Address | str) -> None:
        ASKER.set(request)
        auditor = self.auditor
        request.tick, request.time_s = auditor.step(), self.loop.now_s
        request.relay_run = self._relay_run
        try:
            answer = await self._ask(request, address)
        except asyncio.CancelledError as error:
            if request.cancelled:
                self._report(f"reader {request.number} went away")
                return
            request.error = error
        except Exception as error:
            request.error = error
        else:
            request.provenance = _in_the_auditors_words(answer.provenance)
            if self._disk is not None and answer.provenance.stored:
                self._disk.note_stored(request.resource, answer)
            request.wall_gap_s = self._wall_gap_s(answer)
            request.returned = self._last_returned(request, answer)
            if request.resource == "partial" and isinstance(address, Address):
                if answer.is_complete:
                    request.resource = "events"
                self._hold_cache_against(self._addresses.index(address))
        request.end_tick, request.end_s = auditor.step(), self.loop.now_s
        auditor.requests.append(request)
        claim = request.provenance
        self._report(
            f"reader {request.number}, {request.resource} {request.index} {request.freshness} of "
            f"{request.time_s:.3f}: "
            + (
                f"{type(request.error).__name__} {request.error}"
                if claim is None
                else f"{request.returned} {claim.why} {claim.quality} {claim.serial} "
                f"epoch {claim.epoch} age {claim.age_s} checked {claim.checked_age_s} "
                f"exchanges {claim.exchanges}"
            )
        )

    async def _ask(self, request: Request, which: Address | str) -> Answer:
        gateway, freshness = self.gateway, request.freshness
        address = await self._target(gateway, which)
        match request.resource:
            case "info":
                return await gateway.info(address, freshness)
            case "status":
                return await gateway.monitor_status(address, freshness)
            case "call home":
                return await gateway.call_home(address)
            case "events":
                return await gateway.events(address, freshness)
            case "partial":
                return await gateway.events(address, freshness, partial=True)
            case "event":
                return await gateway.event(address, request.index, freshness)
            case _:
                return await gateway.waveform(address, request.index, freshness)

    def _wall_gap_s(self, answer: Answer) -> float:
        """How far ``read_at`` is from the age, by any setting that the wall clock had."""
        claim = answer.provenance
        expected = self._wall() - timedelta(seconds=claim.age_s)
        assert claim.read_at is not None
        gap_s = (datetime.fromisoformat(claim.read_at) - expected).total_seconds()
        now_s = self._wall_offsets_s[-1]
        return min(abs(gap_s + now_s - offset_s) for offset_s in self._wall_offsets_s)

    def _last_returned(self, request: Request, answer: Answer) -> Any:
        value = answer.value
        returned = self._in_few_words(request.resource, value)
        if answer.provenance.why == "hit" and answer.provenance.exchanges == 0:
            _scribble(value)
        return returned

    def _in_few_words(self, resource: str, value: Any) -> Any:
        match resource:
            case "info":
                number = int(value["firmware"].replace(".", "").strip("S"))
                return number, value["serial"], int(value["setup"]["notes"]), None
            case "status":
                number = value["memory_total_bytes"] % SAMPLE_BASE
                return number, None, None, value["monitoring"]
            case "call home":
                return value["enabled"], value["retries"]
            case "events" | "partial":
                events = value if isinstance(value, list) else value["events"]
                return [_slot(event) for event in events]
            case "event":
                return _slot(value)
            case _:
                return _slot(value), frozenset(self._physicals(value["counts"]))

    def _physicals(self, counts: bytes) -> set[int]:
        if self.plan.grain == "record":
            return set(memoryview(counts).cast("h"))
        return {physical_of(counts)}


def _note_end(contact: Contact, task: asyncio.Task[Any]) -> None:
    """A read that only found out that another unit answers is no read of that unit."""
    error = None if task.cancelled() else task.exception()
    contact.is_void = isinstance(error, OtherUnitError)


def _in_the_auditors_words(claim: Provenance) -> Provenance:
    """From disk is from the cache; what a failure brought from there is the last known."""
    if claim.source != "disk":
        return claim
    is_last_known = claim.why == "stale"
    return replace(claim, source="cache", quality="last_known" if is_last_known else claim.quality)


def _slot(event: dict[str, Any]) -> tuple[int, str, str | None, float]:
    return event["index"], event["waveform_key"], event["timestamp"], event["peaks"]["tran_in_s"]


def _scribble(value: Any) -> None:
    """Change everything in a copy that is ours: nobody else may notice."""
    if isinstance(value, list):
        for item in value:
            _scribble(item)
        value.clear()
    elif isinstance(value, dict):
        for item in value.values():
            _scribble(item)
        for name in value:
            value[name] = None


@contextmanager
def _silent_log() -> Iterator[None]:
    """The log of a million simulations interests nobody."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=_Silence)
    try:
        yield
    finally:
        structlog.configure(**before)


class _Silence(structlog.BoundLoggerBase):
    def info(self, *args: object, **kwargs: object) -> None:
        """Say nothing."""

    debug = warning = error = info


def story_hash(world: World) -> str:
    """Return a digest of everything that happened, to the tick."""
    return hashlib.sha256(repr((world.story, world.auditor.tick)).encode()).hexdigest()
