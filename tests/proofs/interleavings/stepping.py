"""
A loop that is led by the hand, and a look at all that the tasks in it still have before them.

``SteppingLoop`` runs one ready callback on request, in the order in which asyncio would; its time
stands still. ``Portrait`` makes of tasks, futures, frames and their variables one comparable value:
two worlds with equal portraits go on alike. A type that it does not know is an error, never
something that is passed over: what is passed over could make two unlike states look the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import marshal
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from types import (
    BuiltinMethodType,
    CellType,
    CoroutineType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, ClassVar

from minimateplus.link import Address
from minimateplus.model import Event, MemoryProbe, Peaks
from sfm.back_off import BackOff
from sfm.cache.freshness import Freshness
from sfm.cache.identity import Stamp
from sfm.devices.cached_answers import CachedAnswers
from sfm.devices.connection import Connection, ConnectionSession, Usage
from sfm.devices.connection_lock import ConnectionLock, _Waiter
from sfm.devices.device import Device, DeviceSession
from sfm.devices.download import Downloads
from sfm.devices.durable_cache import DurableCache
from sfm.devices.endpoints import Endpoints
from sfm.devices.event_list import EventList
from sfm.devices.gateway import Gateway
from sfm.devices.identification import Identification
from sfm.devices.reading import Reading
from sfm.devices.registry import Registry
from sfm.devices.roster import UnitRoster
from sfm.devices.route import Route
from sfm.devices.session_limit import SessionLimit, SessionSlot
from sfm.devices.single_flight import SharedRead, SingleFlight
from sfm.devices.target import Target
from sfm.devices.unit_access import UnitAccess
from sfm.live_cache import CacheEntry, Epoch, LiveCache
from sfm.records.walk import Walk


class SteppingLoop(asyncio.AbstractEventLoop):
    """Enough of a loop for what lives in memory. No timer is ever due."""

    def __init__(self) -> None:
        self.ready: deque[asyncio.Handle] = deque()
        self.complaints: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def call_soon(  # type: ignore[override]  # the stub spells the arguments as a TypeVarTuple
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]  # as above
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return asyncio.TimerHandle(when, callback, args, self, context)

    def call_later(  # type: ignore[override]  # as above
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # as above
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: object = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        return 1000.0

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run_next(self) -> None:
        """Run the callback that asyncio would run next; a cancelled one is passed over."""
        self._run(self.ready.popleft())

    def run_last(self) -> None:
        """Run what was made ready last: it came in at this very moment."""
        self._run(self.ready.pop())

    def drop_cancelled(self) -> None:
        while self.ready and self.ready[0].cancelled():
            self.ready.popleft()

    def _run(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            handle._run()

    def wind_up(self) -> None:
        """End every task; nobody may wait for anything that does not come at once."""
        for _ in range(8):
            living = [task for task in self.tasks if not task.done()]
            for task in living:
                task.cancel()
            while self.ready:
                self.run_next()
            if not living:
                return


_ATOMS = frozenset({int, float, str, bytes, bool, type(None)})
"""Drawn as they are. Their subclasses are drawn by a rule of their own."""
_VALUES = (Address, Target, Event, MemoryProbe, Peaks, Stamp, Freshness, Enum, datetime)
"""Immutable and compared by value."""
_PLACES = (
    Gateway,
    UnitAccess,
    CachedAnswers,
    Registry,
    UnitRoster,
    Route,
    EventList,
    Downloads,
    LiveCache,
    Connection,
    Endpoints,
    Usage,
    BackOff,
    SessionLimit,
    SessionSlot,
    asyncio.AbstractEventLoop,
)
"""There is one of each in a world, and its own state is drawn as a root."""
_SLEEPING = (asyncio.Timeout, asyncio.TimerHandle, contextvars.Context)
"""Time stands still: never due, all alike."""

_STORE = ("StoreService", "StoreExecutor", "UnitWriter", "WalkLog", "ChunkLog")
"""By name, since the classes beside ``StoreService`` are no part of what a store exports."""

Draw = Callable[["Portrait", Any], Any]
"""Makes of a thing numbers, text, bytes, and tuples of these."""


class Portrait:
    """Draws one state. Things with an identity are numbered in the order in which they are met."""

    _values: ClassVar[dict[Any, int]] = {}
    """Immutable values by number."""
    _how: ClassVar[dict[type, Draw]] = {}

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._kept: list[object] = []
        """What was met, so that no other thing gets its id meanwhile."""

    def digest(self, *roots: Any) -> bytes:
        """Return a portrait of the roots, all together, in 16 bytes."""
        # Version 2 of marshal writes everything out, and knows nothing of identity.
        drawn = marshal.dumps(tuple(map(self.of, roots)), 2)
        return hashlib.blake2b(drawn, digest_size=16).digest()

    def of(self, resource: Any) -> Any:
        kind = type(resource)
        if kind in _ATOMS:
            return resource
        how = self._how.get(kind)
        if how is None:
            how = self._how[kind] = _how_to_draw(kind)
        return how(self, resource)

    def once(self, resource: Any, draw: Draw) -> Any:
        """Draw ``resource`` where it is met first, and point back to there later."""
        number = self._met.get(id(resource))
        if number is not None:
            return number
        self._met[id(resource)] = len(self._met)
        self._kept.append(resource)
        return draw(self, resource)

    def value(self, resource: Any) -> int:
        return self._values.setdefault(resource, len(self._values))

    def outcome(self, future: asyncio.Future[Any]) -> Any:
        if not future.done():
            return "waits"
        if future.cancelled():
            return "cancelled"
        # Not ``exception()``: that would count as having looked at it.
        error = future._exception
        return self.of(future._result if error is None else error)  # type: ignore[attr-defined]

    def frames(self, coroutine: Any) -> Any:
        frames: list[Any] = []
        of = self.of
        while type(coroutine) is CoroutineType:
            frame = coroutine.cr_frame
            if frame is None:
                frames.append("ended")
                break
            code = frame.f_code
            frames += (code.co_qualname, frame.f_lasti)
            frames += [
                (name, value if type(value) in _ATOMS else of(value))
                for name, value in frame.f_locals.items()
            ]
            coroutine = coroutine.cr_await
        return tuple(frames)


def _how_to_draw(kind: type) -> Draw:
    for kinds, draw in _ALIKE:
        if issubclass(kind, kinds):
            return draw
    for kinds, draw in _ITSELF:
        if issubclass(kind, kinds):
            return lambda portrait, resource: portrait.once(resource, draw)
    if kind.__name__ == "TaskStepMethWrapper":  # asyncio's own, without a public name
        return lambda portrait, resource: ("step", portrait.of(resource.__self__))
    if hasattr(kind, "portrait_parts"):
        parts: Draw = lambda portrait, resource: (  # noqa: E731  # beside the others of its kind
            kind.__name__,
            portrait.of(resource.portrait_parts()),
        )
        return lambda portrait, resource: portrait.once(resource, parts)
    if kind.__name__ in _STORE:  # without a database nothing in them ever changes
        return lambda portrait, resource: "store"
    if kind.__name__ == "ProgressLog":  # for those who follow a read; no read depends on it
        return lambda portrait, resource: "progress"
    if is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        names = [part.name for part in fields(kind)]
        return lambda portrait, resource: (
            kind.__name__,
            *[portrait.of(getattr(resource, name)) for name in names],
        )
    raise TypeError(f"the portrait does not know {kind.__qualname__}")


def _task(portrait: Portrait, task: Any) -> Any:
    callbacks = portrait.of(_callbacks(task))
    if task.done():
        return ("task", portrait.outcome(task), callbacks)
    leaving = (task.cancelling(), task._must_cancel)
    waits_for = portrait.of(task._fut_waiter)
    return ("task", leaving, waits_for, callbacks, portrait.frames(task.get_coro()))


def _shared_read(portrait: Portrait, shared_read: SharedRead[Any]) -> Any:
    of = portrait.of
    wish = (shared_read.forced, shared_read.max_age_s, shared_read.readers)
    return (
        "flight",
        wish,
        of(shared_read.can_join_late),
        of(shared_read.started),
        of(shared_read.task),
    )


def _handle(portrait: Portrait, handle: Any) -> Any:
    if handle.cancelled():
        return "cancelled handle"
    return ("handle", portrait.of(handle._callback), portrait.of(handle._args))


def _cell(portrait: Portrait, cell: CellType) -> Any:
    try:
        return portrait.of(cell.cell_contents)
    except ValueError:
        return "empty cell"


def _callbacks(future: Any) -> list[Any]:
    return [callback for callback, _ in future._callbacks or ()]


def _held(portrait: Portrait, entry: CacheEntry) -> Any:
    # Written down once, since a held value never changes.
    text = entry.memo.get("portrait")
    if text is None:
        text = entry.memo["portrait"] = repr(entry.value())
    return ("held", text, entry.epoch, entry.generation, portrait.of(entry.probe))


_ALIKE: list[tuple[Any, Draw]] = [
    (Enum, Portrait.value),
    ((int, float, str, bytes, bool, type(None)), lambda portrait, atom: atom),
    (_VALUES, Portrait.value),
    # Of these there are two before a first contact: of the route, and of the unit.
    (Device, lambda portrait, device: ("device", device.key)),
    (DurableCache, lambda portrait, durable: ("durable", durable.unit_id)),
    (Identification, lambda portrait, one: ("identification", one._durable.unit_id)),
    (SingleFlight, lambda portrait, one: ("single flight", portrait.of(one._lock))),
    ((*_PLACES, *_SLEEPING), lambda portrait, resource: type(resource).__name__),
    ((list, tuple, deque), lambda portrait, items: tuple(map(portrait.of, items))),
    (
        (dict, MappingProxyType),
        lambda portrait, items: tuple(
            [
                (portrait.of(k) if isinstance(k, Device) else k, portrait.of(v))
                for k, v in items.items()
            ]
        ),
    ),
    ((set, frozenset), lambda portrait, items: tuple(sorted(map(portrait.of, items)))),
    ((type, ModuleType), lambda portrait, kind: kind.__name__),
    (BaseException, lambda portrait, error: (type(error).__name__, str(error))),
    (TracebackType, lambda portrait, trace: "traceback"),  # nothing depends on where it was
    (Epoch, lambda portrait, epoch: epoch.number),
]
"""What is drawn by its value wherever it is met."""

_ITSELF: list[tuple[Any, Draw]] = [
    (
        (ConnectionSession, DeviceSession),
        lambda p, session: (type(session).__name__, p.of(vars(session))),
    ),
    (asyncio.Task, _task),
    (asyncio.Future, lambda p, f: ("future", p.outcome(f), p.of(_callbacks(f)))),
    (SharedRead, _shared_read),
    (asyncio.Event, lambda p, event: ("event", event.is_set(), p.of(event._waiters))),
    (_Waiter, lambda p, waiter: ("waiter", p.of(waiter.turn))),
    (
        ConnectionLock,
        lambda p, lock: ("lock", lock.locked(), p.of([w.turn for w in lock._waiters])),
    ),
    (CacheEntry, _held),
    (Walk, lambda p, walk: ("walk", *[p.of(getattr(walk, f.name)) for f in fields(Walk)])),
    (Reading, lambda p, r: (repr(r.produce()), r.why, r.epoch, r.checked_mono)),
    (CoroutineType, Portrait.frames),
    (FunctionType, lambda p, f: (f.__qualname__, p.of(f.__closure__))),
    (CellType, _cell),
    (MethodType, lambda p, m: (m.__func__.__qualname__, p.of(m.__self__))),
    (partial, lambda p, part: (p.of(part.func), p.of(part.args))),
    (asyncio.Handle, _handle),
    (BuiltinMethodType, lambda p, m: (m.__name__, p.of(m.__self__))),
]
"""What may be met again and must then be the same one."""
