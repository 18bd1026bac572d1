"""
Faults to plant, each by name: a small breakage of the product that the walk must find.

A fault is a context manager: while it holds, the product is broken. Each says in which scope it is
looked for, and by which words it is to be found out. A scope is about the smallest that shows its
fault: what is found in a part of a world is found in the whole one, only later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from small_world import Scope

import sfm.cache.identity
import sfm.devices.event_list
from minimateplus.errors import MiniMateError
from minimateplus.model import MemoryProbe
from sfm.cache.identity import Verdict, compare_probes
from sfm.devices.event_list import EventList
from sfm.devices.single_flight import SharedRead, SingleFlight
from sfm.live_cache import LiveCache
from sfm.records.walk import ProvenPart, Walk

ask = SingleFlight.ask


@dataclass(frozen=True, slots=True)
class Fault:
    """One breakage: where, what instead, in which scope, and what is then broken."""

    device: Any
    name: str
    instead: Any
    scope: Scope
    found_as: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        with mock.patch.object(self.device, self.name, self.instead):
            yield


def _forced_joins(self: SingleFlight, resource: Any, forced: bool) -> SharedRead[Any] | None:
    waiting, running = self._waiting.get(resource), self._running.get(resource)
    return waiting or (running if running is not None and running.can_join_late() else None)


def _joins_started_read(self: SingleFlight, resource: Any, forced: bool) -> SharedRead[Any] | None:
    return self._waiting.get(resource) or (None if forced else self._running.get(resource))


def _never_joins(self: SingleFlight, resource: Any, forced: bool) -> SharedRead[Any] | None:
    return None


async def _waiters_retry(self: SingleFlight, resource: Any, read: Any, **wish: Any) -> Any:
    try:
        return await ask(self, resource, read, **wish)
    except MiniMateError:
        return await ask(self, resource, read, **wish)


async def _failure_not_shared(self: SingleFlight, resource: Any, read: Any, **wish: Any) -> Any:
    was = self._joinable(resource, wish.get("forced", False))
    try:
        return await ask(self, resource, read, **wish)
    except MiniMateError:
        if was is None:
            raise
        return await read(was), True


async def _wait_as_its_owner(tasks: list[asyncio.Task[Any]]) -> None:
    await tasks[0]


async def _no_lock(self: SingleFlight, shared_read: SharedRead[Any], read: Any) -> Any:
    await asyncio.sleep(0)
    self._waiting.pop(shared_read.resource, None)
    shared_read.started.set()
    self._running[shared_read.resource] = shared_read
    self.started_reads += 1
    try:
        return await read(shared_read)
    finally:
        self._running.pop(shared_read.resource, None)


async def _keeps_the_line_after_a_failure(
    self: SingleFlight, shared_read: SharedRead[Any], read: Any
) -> Any:
    await self._lock.acquire()
    del self._waiting[shared_read.resource]
    shared_read.started.set()
    self._running[shared_read.resource] = shared_read
    self.started_reads += 1
    try:
        brought = await read(shared_read)
    finally:
        del self._running[shared_read.resource]
    self._lock.release()
    return brought


def _never_late(self: LiveCache, device: Any, generation: int | None) -> bool:
    return False


proven_part = Walk.proven_part


def _append_unconfirmed(
    self: Walk, closing: MemoryProbe, volatile: frozenset[int], **how: Any
) -> ProvenPart | None:
    if self.anchor is None:
        return proven_part(self, closing, volatile, **how)
    return ProvenPart(probe=self.probes[-1], count=self.count, recorded_since=0)


def _without_counter(old: MemoryProbe | None, new: MemoryProbe, *rest: Any) -> Verdict:
    return compare_probes(old and replace(old, lifetime_count=new.lifetime_count), new, *rest)


def _without_timestamp_and_counter(
    old: MemoryProbe | None, new: MemoryProbe, *rest: Any
) -> Verdict:
    blind = old and replace(
        old, lifetime_count=new.lifetime_count, last_timestamp=new.last_timestamp
    )
    return compare_probes(blind, new, *rest)


async def _no_closing_probe(
    self: EventList, unit: Any, walk: Walk, shared_read: Any, *, is_steady: bool
) -> ProvenPart | None:
    return ProvenPart(probe=walk.probes[-1], count=walk.count, recorded_since=0)


def _always() -> bool:
    return True


def _small(readers: str, *happenings: str, failing: int = 0, never_set: bool = False) -> Scope:
    return Scope(
        readers=tuple(readers),
        happenings=happenings,
        failing=failing,
        never_set=never_set,
        fine=False,
    )


BASE = Scope(fine=False)
DROPPED = Scope(readers=("A",), happenings=("drop", "erase"), failing=0)
REBUILT = Scope(
    readers=("F",), happenings=("record 1", "erase", "record 2"), ordered=True, failing=0
)

FAULTS: dict[str, Fault] = {
    "a forced reader joins a read that has started": Fault(
        SingleFlight, "_joinable", _forced_joins, _small("AF", "record"), "promise 5"
    ),
    "every reader joins a read that has started": Fault(
        SingleFlight, "_joinable", _joins_started_read, _small("AB", "erase"), "got ("
    ),
    "no reader shares a read": Fault(
        SingleFlight, "_joinable", _never_joins, _small("ABF"), "waits for ever"
    ),
    "late joins are never refused": Fault(
        sfm.devices.event_list, "joins_closed", _always, _small("AF", "record"), "got ("
    ),
    "no lock on the connection": Fault(
        SingleFlight, "_run_shared", _no_lock, BASE, "AssertionError"
    ),
    "a late fill is stored": Fault(LiveCache, "_is_late", _never_late, DROPPED, "promise 2"),
    "an append without confirmation": Fault(
        Walk,
        "proven_part",
        _append_unconfirmed,
        _small("A", "erase", "record", never_set=True),
        "would be proven",
    ),
    "who waits tries again": Fault(SingleFlight, "ask", _waiters_retry, BASE, "joined 2 reads"),
    "a failure is not shared": Fault(
        SingleFlight,
        "ask",
        _failure_not_shared,
        _small("AF", failing=1),
        "the shared read ended with",
    ),
    "a reader who leaves ends the read": Fault(
        asyncio,
        "wait",
        _wait_as_its_owner,
        Scope(readers=("A", "B"), happenings=("record",), failing=0, leaving=("A",)),
        "promise 8",
    ),
    "a failed read keeps the connection": Fault(
        SingleFlight, "_run_shared", _keeps_the_line_after_a_failure, BASE, "waits for ever"
    ),
    "a probe without the counter": Fault(
        sfm.cache.identity,
        "compare_probes",
        _without_counter,
        _small("A", "erase", never_set=True),
        "got (",
    ),
    "a probe of keys alone": Fault(
        sfm.cache.identity,
        "compare_probes",
        _without_timestamp_and_counter,
        _small("A", "erase"),
        "got (",
    ),
    "no probe behind the walk": Fault(
        EventList, "_close_walk", _no_closing_probe, REBUILT, "got ("
    ),
}
