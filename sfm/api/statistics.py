"""
``/cache/stats`` and ``/metrics``, made without keeping the event loop from its readers.

The rule: what counts is owned by the event loop, so it is taken there, a few units at a time, each
encoded at once; everything else is done in a thread that gives way between a few units. An answer
serves everybody who asks while it is made and for ten times as long as that took, so that scrapers
together use at most a tenth of a processor, and few units are answered as they are now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import orjson

from sfm.api.metrics import exposition
from sfm.devices.gateway import Gateway

__all__ = ["Statistics"]

UNITS_IN_ONE_GO = 20
"""Taken from the loop's own objects between two turns of the loop: half a millisecond's work."""
KEPT_TIMES = 10.0
"""For how many times as long as it took to make, an answer is given again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was counted at one moment, encoded unit by unit."""

    totals: dict[str, Any]
    units: list[bytes]
    """Of each ``key``, ``device`` (or null: it was only held) and ``cached`` (or null)."""


class _Shared(Generic[T]):
    """One answer for all who ask at once, and for a while after."""

    def __init__(self, make: Callable[[], Awaitable[T]], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._making: asyncio.Task[T] | None = None
        self._until_mono = 0.0

    async def get(self) -> T:
        making = self._making
        if making is None or (making.done() and self._is_over(making)):
            making = self._making = asyncio.create_task(self._made())
        # A reader who goes away ends it for nobody.
        return await asyncio.shield(making)

    def _is_over(self, made: asyncio.Task[T]) -> bool:
        failed = made.cancelled() or made.exception() is not None
        return failed or self._clock() >= self._until_mono

    async def _made(self) -> T:
        began = self._clock()
        made = await self._make()
        now = self._clock()
        self._until_mono = now + KEPT_TIMES * (now - began)
        return made


class Statistics:
    """
    What the relay counts, encoded. Lives as long as the application.

    Args:
        gateway: what counts.
        clock: seconds, monotonic.
    """

    def __init__(self, gateway: Gateway, clock: Callable[[], float] = time.perf_counter) -> None:
        self._gateway = gateway
        self._json = _Shared(partial(self._make, _stats_json), clock)
        self._metrics = _Shared(partial(self._make, _metrics), clock)

    async def json(self) -> bytes:
        """Return what ``/cache/stats`` answers."""
        return await self._json.get()

    async def metrics(self) -> bytes:
        """Return what ``/metrics`` answers."""
        return await self._metrics.get()

    async def _make(self, write: Callable[[_Taken], bytes]) -> bytes:
        taken = await self._take()
        if len(taken.units) <= UNITS_IN_ONE_GO:
            return write(taken)  # a thread would cost more
        return await asyncio.to_thread(write, taken)

    async def _take(self) -> _Taken:
        gateway, units = self._gateway, []
        totals = {
            "cache": gateway.cache.totals(),
            "store": gateway.store_service.state(),
            "sessions": gateway.session_stats(),
        }
        for number, key in enumerate(gateway.keys(), 1):
            device, cached = gateway.device_stats(key), gateway.cache.device_stats(key)
            units.append(orjson.dumps({"key": key, "device": device, "cached": cached}))
            if number % UNITS_IN_ONE_GO == 0:
                await asyncio.sleep(0)
        return _Taken(totals, units)


def _give_way() -> None:
    time.sleep(0)  # lets the event loop's thread have the interpreter


def _stats_json(taken: _Taken) -> bytes:
    devices: list[bytes] = []
    cached: list[bytes] = []
    for number, unit in enumerate(taken.units, 1):
        facts = orjson.loads(unit)
        key = orjson.dumps(facts["key"])
        for name, parts in (("device", devices), ("cached", cached)):
            if facts[name] is not None:
                parts.append(key + b":" + orjson.dumps(facts[name]))
        if number % UNITS_IN_ONE_GO == 0:
            _give_way()
    return b"".join(
        (
            orjson.dumps({"cache": taken.totals["cache"]})[:-2],
            b',"by_device":{',
            b",".join(cached),
            b'}},"store":',
            orjson.dumps(taken.totals["store"]),
            b',"devices":{',
            b",".join(devices),
            b"}}",
        )
    )


def _metrics(taken: _Taken) -> bytes:
    def unit(encoded: bytes) -> dict[str, Any]:
        facts: dict[str, Any] = orjson.loads(encoded)
        return {**facts, "epoch": facts["cached"] and facts["cached"]["epoch"]}

    return exposition(taken.totals, map(unit, taken.units), _give_way)
