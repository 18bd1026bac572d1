"""
What caches do when a read is under way: a table of facts, every cell of it found by running.

Each library is used as its documentation says, with its protection against stampedes where it has
one, over a source that is read slowly: a read takes its value at once, then waits for a gate, as a
device does whose reply is on the wire. Reads end in the order they began; the only waiting is for
readers to have asked.

=============  =====================================================================================
column         what is done, and what is asked
=============  =====================================================================================
reads of 64    64 ask at once, the first a moment earlier: how many times was the source read?
keeps old      while a read is under way the source changes and the entry is invalidated; then the
               read ends. Does the next reader get the old value?
force is old   while a read is under way the source changes, and a reader asks by force (by the
               library's own way, else by invalidating and asking). Does it get the old one?
attempts       the source fails, slowly, and 64 ask: how many times was it tried?
cancel harms   the first of eight readers is cancelled. Does another fail? ("-": threads
               cannot be cancelled.)
=============  =====================================================================================

The gateway is that of production over a simulated unit, in virtual time; monitor status is what is
read, the keypad of the unit is what changes it, and the link is what fails. It reads at most twice:
a reader who comes after a read has started waits for the next, as the change may be later.
Under 20 s.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from kit.virtual_time import now_s, run
from peers import QUICK, library, print_head

from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.faulty_links import LateLink
from minimateplus.wire.commands import MONITOR_STATUS
from minimateplus.wire.framing import Frame
from minimateplus.wire.protocol_state import ProtocolState
from sfm.cache.freshness import FORCED
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache

READERS = 64
SETTLE_S = 0.01 if QUICK else 0.05
PATIENCE_S = 5.0
KEY = "unit"
TTL_S = 600


class ReadFailedError(Exception):
    """The source failed."""


class Source:
    """What is read: a value, taken at once and handed over when the gate opens."""

    def __init__(self) -> None:
        self.value = 1
        self.reads = 0
        self.fails = False
        self._lock = threading.Lock()
        self._open_up_to = 0

    def take(self) -> tuple[int, int]:
        """Begin a read; return which one it is and what it will bring."""
        with self._lock:
            self.reads += 1
            return self.reads, self.value

    def hand_over(self, value: int) -> int:
        """End a read."""
        if self.fails:
            raise ReadFailedError("the source failed")
        return value

    def open_gate(self, up_to: int = 1_000_000) -> None:
        """Let the first ``up_to`` reads end, in whatever order they are then scheduled."""
        self._open_up_to = up_to

    def read(self, _: str = KEY) -> int:
        """Read, in a thread."""
        number, value = self.take()
        while number > self._open_up_to:
            time.sleep(0.001)
        return self.hand_over(value)

    async def read_soon(self, _: str = KEY) -> int:
        """Read, in a task."""
        number, value = self.take()
        while number > self._open_up_to:  # noqa: ASYNC110 - opened from threads as well
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        return self.hand_over(value)


@dataclass(frozen=True)
class Facts:
    """One row."""

    reads: int
    keeps_old: bool
    force_is_old: bool
    attempts: int
    cancel_harms: bool | None


# --- libraries that block: readers are threads ------------------------------------------------


@dataclass(frozen=True)
class Blocking:
    """A library set up over a source."""

    get: Callable[[], int]
    force: Callable[[], int]
    invalidate: Callable[[], Any]


BlockingSetup = Callable[[Source], Blocking]


def _then(first: Callable[[], Any], second: Callable[[], int]) -> Callable[[], int]:
    def both() -> int:
        first()
        return second()

    return both


def lru_cache(source: Source) -> Blocking:
    """By force: clear, then ask."""
    cached = functools.lru_cache(maxsize=128)(source.read)
    clear = cached.cache_clear
    return Blocking(lambda: cached(KEY), _then(clear, lambda: cached(KEY)), clear)


def cachetools_lock(source: Source, *, condition: bool = False) -> Blocking:
    """By force: pop the key under the lock, then ask."""
    cachetools = library("cachetools")
    guard: dict[str, Any] = {"lock": threading.Lock()}
    if condition:
        guard = {"condition": threading.Condition()}
    cached = cachetools.cached(cachetools.TTLCache(128, TTL_S), **guard)(source.read)

    def invalidate() -> None:
        with cached.cache_condition if condition else cached.cache_lock:
            cached.cache.pop(cached.cache_key(KEY), None)

    return Blocking(lambda: cached(KEY), _then(invalidate, lambda: cached(KEY)), invalidate)


def _region() -> Any:
    made = library("dogpile.cache").make_region()
    return made.configure("dogpile.cache.memory", expiration_time=TTL_S)


def dogpile_delete(source: Source) -> Blocking:
    """By force: delete the key, then ask."""
    region = _region()

    def get() -> int:
        value: int = region.get_or_create(KEY, source.read)
        return value

    def invalidate() -> None:
        region.delete(KEY)

    return Blocking(get, _then(invalidate, get), invalidate)


def dogpile_region(source: Source) -> Blocking:
    """By force: invalidate the region, then ask."""
    region = _region()

    def get() -> int:
        value: int = region.get_or_create(KEY, source.read)
        return value

    return Blocking(get, _then(region.invalidate, get), region.invalidate)


def dogpile_decorator(source: Source) -> Blocking:
    """By force: its own ``refresh``."""

    def load(_: str) -> int:
        return source.read()

    cached = _region().cache_on_arguments()(load)
    return Blocking(
        lambda: cached(KEY), lambda: cached.refresh(KEY), lambda: cached.invalidate(KEY)
    )


def moka_get_with(source: Source) -> Blocking:
    """By force: remove the key, then ask."""
    moka = library("moka_py").Moka(128, ttl=TTL_S)

    def get() -> int:
        value: int = moka.get_with(KEY, source.read)
        return value

    def invalidate() -> None:
        moka.remove(KEY)

    return Blocking(get, _then(invalidate, get), invalidate)


def moka_cached(source: Source) -> Blocking:
    """By force: clear, then ask."""

    def load(_: str) -> int:
        return source.read()

    cached = library("moka_py").cached(128, ttl=TTL_S, wait_concurrent=True)(load)
    clear = cached.cache_clear
    return Blocking(lambda: cached(KEY), _then(clear, lambda: cached(KEY)), clear)


class Threads:
    """Asks a blocking library from threads."""

    def __init__(self, setup: BlockingSetup) -> None:
        self.setup = setup

    def facts(self) -> Facts:
        """Run every scene."""
        reads, attempts = (self._many(fails=fails) for fails in (False, True))
        return Facts(reads, self._keeps_old(), self._force_is_old(), attempts, None)

    def _many(self, *, fails: bool) -> int:
        source = Source()
        source.fails = fails
        cache = self.setup(source)
        with ThreadPoolExecutor(READERS) as pool:
            readers = [pool.submit(cache.get)]
            _pause()
            readers += [pool.submit(cache.get) for _ in range(READERS - 1)]
            _pause()
            source.open_gate()
            for reader in readers:
                assert fails == (reader.exception(PATIENCE_S) is not None)
        return source.reads

    def _keeps_old(self) -> bool:
        source = Source()
        cache = self.setup(source)
        with ThreadPoolExecutor(2) as pool:
            reader = pool.submit(cache.get)
            _pause()
            source.value = 2
            invalidation = pool.submit(cache.invalidate)
            _pause()
            source.open_gate()
            reader.result(PATIENCE_S)
            invalidation.result(PATIENCE_S)
        return cache.get() == 1

    def _force_is_old(self) -> bool:
        source = Source()
        cache = self.setup(source)
        with ThreadPoolExecutor(2) as pool:
            reader = pool.submit(cache.get)
            _pause()
            source.value = 2
            forced = pool.submit(cache.force)
            _pause()
            source.open_gate(up_to=1)
            reader.result(PATIENCE_S)
            source.open_gate()
            return forced.result(PATIENCE_S) == 1


def _pause() -> None:
    time.sleep(SETTLE_S)


# --- libraries of the event loop: readers are tasks -------------------------------------------


@dataclass(frozen=True)
class Awaiting:
    """A library set up over a source."""

    get: Callable[[], Awaitable[int]]
    force: Callable[[], Awaitable[int]]
    invalidate: Callable[[], Awaitable[Any]]


AwaitingSetup = Callable[[Source], Awaiting]


def _then_await(
    first: Callable[[], Awaitable[Any]], second: Callable[[], Awaitable[int]]
) -> Callable[[], Awaitable[int]]:
    async def both() -> int:
        await first()
        return await second()

    return both


def moka_async(source: Source, *, wait: bool) -> Awaiting:
    """By force: clear, then ask."""

    async def load(key: str) -> int:
        return await source.read_soon(key)

    cached = library("moka_py").cached(128, ttl=TTL_S, wait_concurrent=wait)(load)

    async def invalidate() -> None:
        cached.cache_clear()

    return Awaiting(lambda: cached(KEY), _then_await(invalidate, lambda: cached(KEY)), invalidate)


def cashews_with(source: Source, way: str, **wishes: Any) -> Awaiting:
    """By force: its own ``invalidate_further``."""
    cashews = library("cashews")
    cache = cashews.Cache()
    cache.setup("mem://")

    async def load(unit: str) -> int:
        return await source.read_soon(unit)

    decorate = cache if way == "cache" else getattr(cache, way)
    cached = decorate(ttl=TTL_S, key="reading:{unit}", **wishes)(load)

    async def force() -> int:
        with cashews.invalidate_further():
            value: int = await cached(KEY)
            return value

    return Awaiting(lambda: cached(KEY), force, lambda: cache.delete_match("*reading:*"))


def aiocache_cached(source: Source) -> Awaiting:
    """By force: its own ``cache_read=False``."""
    aiocache = library("aiocache")
    cached = aiocache.cached(ttl=TTL_S, key=KEY)(source.read_soon)
    return Awaiting(
        lambda: cached(KEY),
        lambda: cached(KEY, cache_read=False),
        lambda: cached.cache.delete(KEY),
    )


def aiocache_stampede(source: Source) -> Awaiting:
    """By force: delete the key, then ask; ``cache_read`` is not taken here."""
    aiocache = library("aiocache")
    cached = aiocache.cached_stampede(lease=30, ttl=TTL_S, key=KEY)(source.read_soon)

    async def invalidate() -> None:
        await cached.cache.delete(KEY)

    return Awaiting(lambda: cached(KEY), _then_await(invalidate, lambda: cached(KEY)), invalidate)


def async_lru(source: Source) -> Awaiting:
    """By force: invalidate the key, then ask."""

    async def load(key: str) -> int:
        return await source.read_soon(key)

    cached = library("async_lru").alru_cache(maxsize=128, ttl=TTL_S)(load)

    async def invalidate() -> None:
        cached.cache_invalidate(KEY)

    return Awaiting(lambda: cached(KEY), _then_await(invalidate, lambda: cached(KEY)), invalidate)


class Tasks:
    """Asks a library of the event loop from tasks, each scene in a loop of its own."""

    def __init__(self, setup: AwaitingSetup) -> None:
        self.setup = setup

    def facts(self) -> Facts:
        """Run every scene."""
        return Facts(
            asyncio.run(self._many(fails=False)),
            asyncio.run(self._keeps_old()),
            asyncio.run(self._force_is_old()),
            asyncio.run(self._many(fails=True)),
            asyncio.run(self._cancel_harms()),
        )

    def _begin(self, *, fails: bool = False) -> tuple[Source, Awaiting]:
        source = Source()
        source.fails = fails
        return source, self.setup(source)

    async def _many(self, *, fails: bool) -> int:
        source, cache = self._begin(fails=fails)
        readers = [asyncio.ensure_future(cache.get())]
        await asyncio.sleep(SETTLE_S)
        readers += [asyncio.ensure_future(cache.get()) for _ in range(READERS - 1)]
        await asyncio.sleep(SETTLE_S)
        source.open_gate()
        async with asyncio.timeout(PATIENCE_S):
            results = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(one, Exception) == fails for one in results), results
        return source.reads

    async def _keeps_old(self) -> bool:
        source, cache = self._begin()
        reader = asyncio.ensure_future(cache.get())
        await asyncio.sleep(SETTLE_S)
        source.value = 2
        invalidation = asyncio.ensure_future(cache.invalidate())
        await asyncio.sleep(SETTLE_S)
        source.open_gate()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(reader, invalidation)
            return await cache.get() == 1

    async def _force_is_old(self) -> bool:
        source, cache = self._begin()
        reader = asyncio.ensure_future(cache.get())
        await asyncio.sleep(SETTLE_S)
        source.value = 2
        forced = asyncio.ensure_future(cache.force())
        await asyncio.sleep(SETTLE_S)
        source.open_gate(up_to=1)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(reader, return_exceptions=True)
            source.open_gate()
            return await forced == 1

    async def _cancel_harms(self) -> bool:
        source, cache = self._begin()
        first = asyncio.ensure_future(cache.get())
        await asyncio.sleep(SETTLE_S)
        others = [asyncio.ensure_future(cache.get()) for _ in range(7)]
        await asyncio.sleep(SETTLE_S)
        first.cancel()
        await asyncio.sleep(SETTLE_S)
        source.open_gate()
        _, late = await asyncio.wait(others, timeout=PATIENCE_S)
        for task in late:
            task.cancel()
        return bool(late) or any(task.cancelled() or task.exception() for task in others)


# --- the gateway over a simulated unit ---------------------------------------------------------


class WatchedUnit(SimulatedUnit):
    """A simulated unit that monitors, and counts its status replies."""

    def __init__(self) -> None:
        super().__init__(clock=now_s)
        self.status_replies = 0
        self.start_monitoring()

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        """Answer as the unit does."""
        reply = super().answer(protocol, request)
        # A payload is asked for twice: for its length, then for itself.
        self.status_replies += request.sub == MONITOR_STATUS.sub and request.length > 0
        return reply


class Relay:
    """The production gateway before a unit whose replies take a second, in virtual time."""

    ADDRESS = Address("tcp", "unit.invalid", 12345)
    REPLY_S = 1.0

    def facts(self) -> Facts:
        """Run every scene."""
        return Facts(
            run(self._scene(self._reads)),
            run(self._scene(self._keeps_old)),
            run(self._scene(self._force_is_old)),
            run(self._scene(self._attempts)),
            run(self._scene(self._cancel_harms)),
        )

    async def _scene(self, scene: Callable[[], Awaitable[Any]]) -> Any:
        self.unit = WatchedUnit()
        self.attempts = 0
        self.fails = False
        sessions: list[asyncio.Task[None]] = []

        async def connect(_: Address) -> MiniMate:
            self.attempts += 1
            if self.fails:
                await asyncio.sleep(self.REPLY_S)
                raise ConnectError("nothing listens there")
            ours, theirs = memory_pair()
            link = LateLink(theirs, self.REPLY_S)
            sessions.append(asyncio.create_task(serve_link(self.unit, link)))
            return await MiniMate.open(ours)

        self.gateway = Gateway(LiveCache(clock=now_s), connect=connect, clock=now_s)
        # Who it is was read before; what is asked for is the status alone.
        await self.gateway.info(self.ADDRESS)
        await asyncio.sleep(60)  # the sensor check is over, the line was hung up
        self.attempts = 0
        results = await scene()
        await self.gateway.close()
        await asyncio.gather(*sessions)
        return results

    def _ask(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self.gateway.monitor_status(self.ADDRESS))

    async def _reply_under_way(self) -> None:
        """Wait until the unit has sent its reply, which is then on its way."""
        while not self.unit.status_replies:  # noqa: ASYNC110 - time is virtual; the unit knows no loop
            await asyncio.sleep(self.REPLY_S / 8)

    async def _begin(self) -> asyncio.Task[Any]:
        self.unit.status_replies = 0
        reader = self._ask()
        await self._reply_under_way()
        return reader

    async def _reads(self) -> int:
        first = await self._begin()
        await asyncio.gather(first, *(self._ask() for _ in range(READERS - 1)))
        return self.unit.status_replies

    async def _keeps_old(self) -> bool:
        reader = await self._begin()
        self.unit.stop_monitoring()
        await self.gateway.drop(self.ADDRESS, "a keypad was used")
        old = await reader
        assert old.value["monitoring"]
        is_monitoring: bool = (await self._ask()).value["monitoring"]
        return is_monitoring

    async def _force_is_old(self) -> bool:
        reader = await self._begin()
        self.unit.stop_monitoring()
        forced = asyncio.create_task(self.gateway.monitor_status(self.ADDRESS, FORCED))
        old = await reader
        assert old.value["monitoring"]
        is_monitoring: bool = (await forced).value["monitoring"]
        return is_monitoring

    async def _attempts(self) -> int:
        self.fails = True
        first = self._ask()
        await asyncio.sleep(self.REPLY_S / 2)
        others = [self._ask() for _ in range(READERS - 1)]
        results = await asyncio.gather(first, *others, return_exceptions=True)
        assert all(isinstance(one, Exception) for one in results)
        return self.attempts

    async def _cancel_harms(self) -> bool:
        first = await self._begin()
        others = [self._ask() for _ in range(7)]
        await asyncio.sleep(self.REPLY_S / 8)
        first.cancel()
        results = await asyncio.gather(*others, return_exceptions=True)
        return any(isinstance(one, BaseException) for one in results)


# --- the table --------------------------------------------------------------------------------

CONFIGURATIONS: list[tuple[str, str, Threads | Tasks]] = [
    ("functools", "functools.lru_cache", Threads(lru_cache)),
    ("cachetools", "cachetools cached(lock)", Threads(cachetools_lock)),
    (
        "cachetools",
        "cachetools cached(condition)",
        Threads(lambda source: cachetools_lock(source, condition=True)),
    ),
    ("dogpile.cache", "dogpile get_or_create, delete", Threads(dogpile_delete)),
    ("dogpile.cache", "dogpile get_or_create, invalidate", Threads(dogpile_region)),
    ("dogpile.cache", "dogpile cache_on_arguments, refresh", Threads(dogpile_decorator)),
    ("moka_py", "moka-py get_with", Threads(moka_get_with)),
    ("moka_py", "moka-py cached(wait), threads", Threads(moka_cached)),
    ("moka_py", "moka-py cached, tasks", Tasks(lambda s: moka_async(s, wait=False))),
    ("moka_py", "moka-py cached(wait), tasks", Tasks(lambda s: moka_async(s, wait=True))),
    ("cashews", "cashews cache (protected)", Tasks(lambda s: cashews_with(s, "cache"))),
    ("cashews", "cashews cache(lock)", Tasks(lambda s: cashews_with(s, "cache", lock=True))),
    ("cashews", "cashews early", Tasks(lambda s: cashews_with(s, "early"))),
    ("cashews", "cashews soft", Tasks(lambda s: cashews_with(s, "soft"))),
    ("aiocache", "aiocache cached", Tasks(aiocache_cached)),
    ("aiocache", "aiocache cached_stampede", Tasks(aiocache_stampede)),
    ("async_lru", "async_lru alru_cache", Tasks(async_lru)),
]


def _cell(is_met: bool | None) -> str:
    return "-" if is_met is None else "yes" if is_met else "no"


def print_row(name: str, facts: Facts) -> None:
    """Print one row."""
    print(
        f"{name:<37}{facts.reads:>12}{_cell(facts.keeps_old):>11}"
        f"{_cell(facts.force_is_old):>14}{facts.attempts:>10}{_cell(facts.cancel_harms):>14}"
    )


def main() -> None:
    """Print the table."""
    # The relay logs the reads that are made to fail here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print_head(
        "What caches do when a read is under way",
        *("cachetools", "moka-py", "dogpile.cache", "cashews", "aiocache", "async-lru"),
    )
    titles = ("reads of 64", "keeps old", "force is old", "attempts", "cancel harms")
    widths = (12, 11, 14, 10, 14)
    heads = (f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))
    print(f"{'':<37}{''.join(heads)}")
    rows = []
    for module, name, asks in CONFIGURATIONS:
        if library(module) is None:
            print(f"{name:<37}{'skipped':>12}")
            continue
        rows.append(asks.facts())
        print_row(name, rows[-1])
    harms = [row.cancel_harms for row in rows if row.cancel_harms is not None]
    print(
        f"{f'of {len(rows)} configurations':<37}"
        f"{f'{sum(row.reads > 2 for row in rows)} over 2':>12}"
        f"{f'{sum(row.keeps_old for row in rows)} yes':>11}"
        f"{f'{sum(row.force_is_old for row in rows)} yes':>14}"
        f"{f'{sum(row.attempts > 2 for row in rows)} over 2':>10}"
        f"{f'{sum(harms)} of {len(harms)}':>14}"
    )
    print_row("seismo-relay Gateway", Relay().facts())


if __name__ == "__main__":
    main()
