"""
What a hit costs: LiveCache beside seven usual ways, at 1, 2, 8 and 64 threads.

The rule: a hit takes no lock, and costs the same at 64 threads as at one.

The method. All threads start at a barrier and hit one key in a closed loop until a window closes;
the figure is the window divided by all hits made in it, so it is the time that one hit takes the
*process*: with one interpreter lock, N threads that never wait for each other show the figure of
one thread. The rest is what the threads cost each other. The window must be long: the
interpreter hands over every 5 ms, and a thread that finishes its hits within one turn never meets
another (counting hits instead of time, as is often done, measures 64 threads one after another).
Contention shows once a thread is stopped while it holds a lock; from then on the others queue.
The caches take turns, in rounds; each figure is the median of the rounds, each ratio the median of
the ratios to dict + lock + expiry of the same round. The loop around the hit is in every figure.

The second table times single hits at 64 threads, one in eight, from inside a thread: p50 is what
a hit takes a thread that runs, p99 and p99.9 contain waiting for locks, the longest contains the
turns of all other threads.

cashews has no threads: its figures are tasks of one event loop, each awaiting hits. Under 40 s.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import statistics
import sys
import threading
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

from peers import QUICK, library, median_of_ratios, percentile, print_head

from sfm.live_cache import LiveCache

THREADS = (1, 2) if QUICK else (1, 2, 8, 64)
WINDOW_S = {1: 0.03, 2: 0.06, 8: 0.1, 64: 0.25}
ROUNDS = 1 if QUICK else 5
BATCH = 64
TTL_S = 3600.0
KEY = "tcp:10.0.0.7:12345"
STATUS = {
    "monitoring": True,
    "clock_device_time": "2026-04-01T00:28:12",
    "battery_v": 6.4,
    "memory_total_bytes": 983_040,
    "memory_free_bytes": 722_880,
}
USUAL = "dict + lock + expiry"
TARGETS = {1: 0.6, 64: 0.1}

Hit = Callable[[int], None]
"""Hits so many times."""


class UsualCache:
    """What most services write: a dict, a lock, an expiry. The value is handed out as it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[float, Any]] = {}

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        with self._lock:
            self._entries[key] = (time.monotonic() + TTL_S, value)

    def get(self, key: str) -> Any:
        """Return the value, if it has not expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            expires, value = entry
            if time.monotonic() >= expires:
                del self._entries[key]
                return None
            return value


class CopyingCache(UsualCache):
    """The same with a copy, so that no reader changes what the next one gets."""

    def get(self, key: str) -> Any:
        """Return the value, if it has not expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            expires, value = entry
            if time.monotonic() >= expires:
                del self._entries[key]
                return None
            return dict(value)


class LockedTtlCache:
    """cachetools.TTLCache as its documentation wants it among threads: behind a lock."""

    def __init__(self, cachetools: Any) -> None:
        self._lock = threading.Lock()
        self._cache = cachetools.TTLCache(maxsize=10_000, ttl=TTL_S)

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        with self._lock:
            self._cache[key] = value

    def get(self, key: str) -> Any:
        """Return the value, if it has not expired."""
        with self._lock:
            return self._cache.get(key)


def _by_key(get: Callable[[str], Any]) -> Hit:
    assert get(KEY) is not None

    def hit(times: int) -> None:
        for _ in repeat(None, times):
            get(KEY)

    return hit


def _by_slot(get: Callable[[str, int], Any]) -> Hit:
    assert get(KEY, 0) is not None

    def hit(times: int) -> None:
        for _ in repeat(None, times):
            get(KEY, 0)

    return hit


def _event(index: int) -> dict[str, Any]:
    return {
        "index": index,
        "waveform_key": f"{0x01110000 + index * 0x900:08x}",
        "timestamp": f"2026-04-{1 + index % 28:02}T0{index % 10}:28:12",
        "peaks": {"tran_in_s": 0.123, "vert_in_s": 0.211, "long_in_s": 0.09, "mic_psi": 0.004},
        "project": "quarry, north face",
    }


def filled_live_cache() -> LiveCache:
    """Return a cache that holds a status, 300 events and a waveform."""
    cache = LiveCache(status_ttl_s=TTL_S)
    cache.set_events(KEY, 300, [_event(index) for index in range(300)])
    cache.set_waveform(KEY, 0, {**_event(0), "counts": bytes(10_240)})
    cache.set_monitor_status(KEY, STATUS)
    return cache


def threaded_peers() -> dict[str, Hit]:
    """Return every way to hit that threads can share; those whose library is there."""
    usual, copying = UsualCache(), CopyingCache()
    usual.set(KEY, STATUS)
    copying.set(KEY, STATUS)

    @functools.lru_cache(maxsize=10_000)
    def status(_: str) -> dict[str, Any]:
        return STATUS

    ours = filled_live_cache()
    hits = {
        USUAL: _by_key(usual.get),
        "  and a copy": _by_key(copying.get),
        "functools.lru_cache": _by_key(status),
    }
    if cachetools := library("cachetools"):
        locked = LockedTtlCache(cachetools)
        locked.set(KEY, STATUS)
        hits["cachetools TTLCache+lock"] = _by_key(locked.get)
    if moka_py := library("moka_py"):
        moka = moka_py.Moka(10_000, ttl=TTL_S)
        moka.set(KEY, STATUS)
        hits["moka-py get"] = _by_key(moka.get)
    if dogpile := library("dogpile.cache"):
        region = dogpile.make_region().configure("dogpile.cache.memory", expiration_time=TTL_S)
        region.set(KEY, STATUS)
        hits["dogpile.cache region.get"] = _by_key(region.get)
    hits["LiveCache get_monitor_status"] = _by_key(ours.get_monitor_status)
    hits["LiveCache monitor_status_entry"] = _by_key(ours.monitor_status_entry)
    hits["LiveCache events_entry"] = _by_key(ours.events_entry)
    hits["LiveCache waveform_entry"] = _by_slot(ours.waveform_entry)
    return hits


def ns_per_hit(hit: Hit, threads: int, window_s: float) -> float:
    """Return the window by the hits that all threads made in it, in ns."""
    barrier = threading.Barrier(threads + 1)
    stop = threading.Event()
    made: list[int] = []

    def run() -> None:
        count = 0
        barrier.wait()
        while not stop.is_set():
            hit(BATCH)
            count += BATCH
        made.append(count)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.perf_counter()
    time.sleep(window_s)
    stop.set()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - began) / sum(made) * 1e9


def latencies_ns(hit: Hit, threads: int, window_s: float) -> list[float]:
    """Return the time of every eighth hit as its thread saw it, sorted, in ns."""
    barrier = threading.Barrier(threads + 1)
    stop = threading.Event()
    seen: list[float] = []

    def run() -> None:
        mine: list[float] = []
        clock = time.perf_counter_ns
        barrier.wait()
        while not stop.is_set():
            for _ in range(8):
                hit(7)
                began = clock()
                hit(1)
                mine.append(clock() - began)
        seen.extend(mine)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    time.sleep(window_s)
    stop.set()
    for worker in workers:
        worker.join()
    return sorted(seen)


def cashews_ns_per_hit(cashews: Any, tasks: int, window_s: float) -> float:
    """Return the same for tasks of one event loop that await cashews in memory."""

    async def main() -> float:
        cache = cashews.Cache()
        cache.setup("mem://")
        await cache.set(KEY, STATUS, expire=TTL_S)
        count = 0
        ends = time.perf_counter() + window_s

        async def run() -> None:
            nonlocal count
            while time.perf_counter() < ends:
                for _ in repeat(None, BATCH):
                    await cache.get(KEY)
                count += BATCH
                await asyncio.sleep(0)

        began = time.perf_counter()
        await asyncio.gather(*(run() for _ in range(tasks)))
        took_s = time.perf_counter() - began
        await cache.close()
        return took_s / count * 1e9

    return asyncio.run(main())


def measure_all(hits: dict[str, Hit]) -> dict[str, dict[int, list[float]]]:
    """Return ns per hit of every cache and count of threads, one figure a round."""
    cashews = library("cashews")
    names = [*hits, *(["cashews get (tasks)"] if cashews else [])]
    figures: dict[str, dict[int, list[float]]] = {n: {t: [] for t in THREADS} for n in names}
    for threads in THREADS:
        window_s = 0.02 if QUICK else WINDOW_S[threads]
        for _ in range(ROUNDS):
            for name, hit in hits.items():
                figures[name][threads].append(ns_per_hit(hit, threads, window_s))
            if cashews:
                cost = cashews_ns_per_hit(cashews, threads, min(window_s, 0.1))
                figures["cashews get (tasks)"][threads].append(cost)
    return figures


def print_costs(figures: dict[str, dict[int, list[float]]]) -> None:
    """Print ns per hit and, behind each, the ratio to the usual way."""
    head = "".join(f"{f'{t} thr':>10}{'ratio':>8}" for t in THREADS)
    print(f"{'ns per hit':<32}{head}")
    for name, by_threads in figures.items():
        cells = ""
        for threads in THREADS:
            ratio = median_of_ratios(by_threads[threads], figures[USUAL][threads])
            cells += f"{statistics.median(by_threads[threads]):>10.0f}{ratio:>8.2f}"
        print(f"{name:<32}{cells}")
    print()


def print_verdicts(figures: dict[str, dict[int, list[float]]]) -> None:
    """Print which of the design's targets were met in this run."""
    for threads, most in TARGETS.items():
        if threads not in THREADS:
            continue
        for name in figures:
            if name.startswith("LiveCache"):
                ratio = median_of_ratios(figures[name][threads], figures[USUAL][threads])
                verdict = "met" if ratio <= most else "NOT met"
                print(
                    f"{name}, {threads} thr: {ratio:.2f} of the usual way (limit {most}): {verdict}"
                )
    print()


def print_latencies(hits: dict[str, Hit]) -> None:
    """Print what single hits take at the most threads, and their p99 beside the usual way's."""
    threads = THREADS[-1]
    head = f"{'p50':>10}{'p99':>12}{'ratio':>9}{'p99.9':>13}{'longest':>15}"
    print(f"{f'ns of one hit, {threads} threads':<32}{head}")
    usual_p99 = None
    for name, hit in hits.items():
        seen = latencies_ns(hit, threads, 0.02 if QUICK else 0.25)
        p50, p99, p999 = (percentile(seen, share) for share in (0.5, 0.99, 0.999))
        usual_p99 = usual_p99 or p99
        rest = f"{p99 / usual_p99:>9.4f}{p999:>13,.0f}{seen[-1]:>15,.0f}"
        print(f"{name:<32}{p50:>10,.0f}{p99:>12,.0f}{rest}")
    print()


def print_parts() -> None:
    """Print what the parts of a hit cost on this machine: where the time of the rows above goes."""
    lock, copied = threading.Lock(), STATUS.copy().copy

    def locked() -> None:
        with lock:
            pass

    parts: dict[str, Callable[[], object]] = {
        "nothing: a call of a C function": STATUS.__len__,
        "the clock (time.monotonic)": time.monotonic,
        "a copy of the status (dict.copy)": copied,
        "a call of a Python function": lambda: None,
        "the same with a free lock": locked,
    }
    print(f"{'parts of a hit, 1 thread':<40}{'ns':>10}")
    for name, part in parts.items():
        times = []
        for _ in range(3 if QUICK else 15):
            began = time.perf_counter()
            for _ in repeat(None, 10_000):
                part()
            times.append((time.perf_counter() - began) * 1e5)
        print(f"{name:<40}{statistics.median(times):>10.0f}")
    print()


def print_copies() -> None:
    """Print what a list of 300 events costs that its reader may change."""
    ours, usual = filled_live_cache(), UsualCache()
    usual.set(KEY, ours.get_events(KEY, 300))
    ways: dict[str, Callable[[], Any]] = {
        f"{USUAL} + deepcopy": lambda: copy.deepcopy(usual.get(KEY)),
        "LiveCache get_events": lambda: ours.get_events(KEY, 300),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3 if QUICK else 31):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append((time.perf_counter() - began) * 1e6)
    print(f"{'300 events, copied, 1 thread':<40}{'us':>10}{'ratio':>8}")
    for name in ways:
        ratio = median_of_ratios(times[name], times[f"{USUAL} + deepcopy"])
        print(f"{name:<40}{statistics.median(times[name]):>10.0f}{ratio:>8.2f}")


def main() -> None:
    """Print the tables."""
    print_head(
        "Hit cost: LiveCache beside the usual ways",
        "cachetools",
        "moka-py",
        "dogpile.cache",
        "cashews",
    )
    print(
        f"median of {ROUNDS} rounds; the interpreter hands over every {sys.getswitchinterval()} s"
    )
    hits = threaded_peers()
    figures = measure_all(hits)
    print_costs(figures)
    print_verdicts(figures)
    print_latencies(hits)
    print_parts()
    print_copies()


if __name__ == "__main__":
    main()
