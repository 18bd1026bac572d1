"""
The live cache from many threads, beside a plain model of the rules of design sections 2, 3 and 6.

Two ways. Drawn schedules: a few operations of three or four threads, each thread's in its order,
the order among them drawn; exactly one operation runs at a time, each in a thread of its own, and
the model says what it must return. Free running: nobody orders anything, and what every thread saw
must be explained by *some* order.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm.live_cache import LiveCache

HERE, THERE = "tcp:10.0.0.7:12345", "tcp:10.0.0.8:12345"


# ---- drawn schedules


class History:
    """
    What was done to one device, in order; every answer is looked up in it, nothing is kept ready.

    An entry is (what, details). What is held is what was put in and not undone by a later entry.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []

    def invalidations(self) -> int:
        return sum(what in ("flush", "touch") for what, _ in self.entries)

    def flushes(self) -> int:
        return sum(what == "flush" for what, _ in self.entries)

    def since_flush(self) -> list[tuple[str, Any]]:
        flushes = [i for i, (what, _) in enumerate(self.entries) if what == "flush"]
        return self.entries[flushes[-1] + 1 :] if flushes else self.entries

    def entry(self, what: str, undone_by: str | None = None) -> Any:
        value = None
        for name, details in self.since_flush():
            if name == what:
                value = details
            if name == undone_by:
                value = None
        return value

    @property
    def is_dirty(self) -> bool:
        # A flush does not read the settings: the mark outlives it.
        names = [what for what, _ in self.entries if what in ("info", "dirty")]
        return names[-1:] == ["dirty"]

    def put_info(self, serial: str) -> None:
        known = self.entry("info")
        if known is not None and known != serial:
            self.entries.append(("flush", None))
        self.entries.append(("info", serial))

    def put_list(self, keys: tuple[str, ...]) -> None:
        entry, waves = self.entry("list"), self.waves()
        for slot, key in enumerate(keys):
            old = entry[slot] if entry is not None and slot < len(entry) else key
            if old != key or waves.get(slot, key) != key:
                self.entries.append(("flush", None))
                entry, waves = None, {}
                break
        known = set(range(len(entry or ()))) | set(waves)
        if any(slot >= len(keys) for slot in known):
            self.entries.append(("touch", None))
        self.entries.append(("list", keys))

    def put_wave(self, slot: int, key: str) -> None:
        entry = self.entry("list")
        listed = entry[slot] if entry is not None and slot < len(entry) else key
        if listed != key or self.waves().get(slot, key) != key:
            self.entries.append(("flush", None))
        self.entries.append(("wave", (slot, key)))

    def waves(self) -> dict[int, str]:
        waves: dict[int, str] = {}
        for what, details in self.since_flush():
            if what == "wave":
                waves[details[0]] = details[1]
            if what == "list":
                waves = {slot: key for slot, key in waves.items() if slot < len(details)}
        return waves


class Fill:
    """A thread's read of the unit: begun now, cached by a later operation of the same thread."""

    def __init__(self) -> None:
        self.begun: dict[tuple[int, str], int] = {}


KEYS = ("0a", "0b")
devices = st.sampled_from((HERE, HERE, THERE))
lists = st.lists(st.sampled_from(KEYS), min_size=0, max_size=3).map(tuple)
operations = st.one_of(
    st.tuples(st.just("begin"), devices),
    st.tuples(st.just("info"), devices, st.sampled_from(("S1", "S2"))),
    st.tuples(st.just("list"), devices, lists),
    st.tuples(st.just("wave"), devices, st.integers(0, 2), st.sampled_from(KEYS)),
    st.tuples(st.just("status"), devices, st.integers(0, 9)),
    st.tuples(st.just("stop"), devices),
    st.tuples(st.just("config"), devices),
    st.tuples(st.just("drop"), devices),
    st.tuples(st.just("look"), devices),
)


@st.composite
def schedules(draw: st.DrawFn) -> list[tuple[int, tuple[Any, ...]]]:
    """Programs of three or four threads, and one of the orders in which they can run together."""
    programs = draw(st.lists(st.lists(operations, min_size=1, max_size=6), min_size=3, max_size=4))
    turns = [me for me, program in enumerate(programs) for _ in program]
    order = draw(st.permutations(turns))
    left = [iter(program) for program in programs]
    return [(me, next(left[me])) for me in order]


def listed(keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"index": slot, "waveform_key": key} for slot, key in enumerate(keys)]


def wave(slot: int, key: str) -> dict[str, Any]:
    return {"waveform_key": key, "slot": slot, "samples": [slot] * 3}


def perform(
    cache: LiveCache,
    model: dict[str, History],
    fills: Fill,
    me: int,
    operation: tuple[Any, ...],
) -> None:
    """Do one operation to the cache and to the model, and compare what they say."""
    what, device, *details = operation
    history = model[device]
    if what == "begin":
        fills.begun[me, device] = cache.generation(device)
        assert fills.begun[me, device] == history.invalidations()
    elif what == "stop":
        cache.invalidate_monitor_status(device)
        history.entries += [("touch", None), ("no status", None)]
    elif what == "config":
        cache.mark_config_dirty(device)
        history.entries += [("touch", None), ("dirty", None)]
    elif what == "drop":
        cache.drop_device(device, "asked to")
        history.entries.append(("flush", None))
    elif what != "look":
        began = fills.begun.pop((me, device), None)
        is_late = began is not None and began != history.invalidations()
        assert put(cache, device, what, details, began) is not is_late
        if not is_late:
            note(history, what, details)
    for conn_key in model:
        agree(cache, conn_key, model[conn_key])


def put(cache: LiveCache, device: str, what: str, details: list[Any], began: int | None) -> bool:
    if what == "info":
        return cache.set_device_info(device, {"serial": details[0]}, generation=began)
    if what == "list":
        keys = details[0]
        return cache.set_events(device, len(keys), listed(keys), generation=began)
    if what == "wave":
        return cache.set_waveform(device, details[0], wave(*details), generation=began)
    return cache.set_monitor_status(device, {"n": details[0]}, generation=began)


def note(history: History, what: str, details: list[Any]) -> None:
    if what == "info":
        history.put_info(details[0])
    elif what == "list":
        history.put_list(details[0])
    elif what == "wave":
        history.put_wave(*details)
    else:
        history.entries.append(("status", details[0]))


def agree(cache: LiveCache, device: str, history: History) -> None:
    assert cache.generation(device) == history.invalidations()
    assert cache.epoch(device).number == history.flushes()
    serial, keys = history.entry("info"), history.entry("list")
    status = history.entry("status", undone_by="no status")
    shows = not history.is_dirty
    info = {"serial": serial} if shows and serial is not None else None
    assert cache.get_device_info(device) == info
    for count in range(4):
        expected = listed(keys) if shows and keys is not None and len(keys) == count else None
        assert cache.get_events(device, count) == expected
    waves = history.waves()
    for slot in range(3):
        expected_wave = wave(slot, waves[slot]) if slot in waves else None
        assert cache.get_waveform(device, slot) == expected_wave
    assert cache.get_monitor_status(device) == (None if status is None else {"n": status})


@pytest.fixture(scope="module")
def threads() -> Iterator[list[ThreadPoolExecutor]]:
    """Four threads, each with an executor of its own."""
    can_join_late = [ThreadPoolExecutor(1) for _ in range(4)]
    yield can_join_late
    for executor in can_join_late:
        executor.shutdown()


@settings(max_examples=400)
@given(schedule=schedules())
def test_operations_of_several_threads_in_any_order_do_what_the_rules_say(
    threads: list[ThreadPoolExecutor], schedule: list[tuple[int, tuple[Any, ...]]]
) -> None:
    cache, fills = LiveCache(), Fill()
    model = {HERE: History(), THERE: History()}
    for me, operation in schedule:
        threads[me].submit(perform, cache, model, fills, me, operation).result(timeout=10)


# ---- free running


@contextmanager
def switching_often() -> Iterator[None]:
    """Let threads take turns a hundred times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def run_together(*works: Callable[[], None]) -> None:
    """Start all at once; raise what any of them raised."""
    start = threading.Barrier(len(works))

    def begin(work: Callable[[], None]) -> None:
        start.wait()
        work()

    with switching_often(), ThreadPoolExecutor(len(works)) as pool:
        for running in [pool.submit(begin, work) for work in works]:
            running.result(timeout=60)


def test_no_reader_sees_two_states_in_one_held_value() -> None:
    # List, count, probe and generation of one Held belong to one write; so do value and stamp.
    cache, stop = LiveCache(), threading.Event()
    seen = 0

    def write() -> None:
        try:
            for n in range(200_000):
                if n > 1500 and seen:
                    return
                keys = tuple(f"{n:08x}" for _ in range(1 + n % 3))
                cache.set_events(HERE, len(keys), listed(keys), probe=n)
                cache.set_waveform(HERE, 0, wave(0, keys[0]) | {"n": n})
        finally:
            stop.set()

    def read() -> None:
        nonlocal seen
        newest = -1
        while not stop.is_set():
            if (entry := cache.events_entry(HERE)) is None:
                continue
            events = entry.value()
            n = entry.probe
            assert isinstance(n, int)
            assert n >= newest, "an older list after a newer one"
            newest = n
            assert events == listed(tuple(f"{n:08x}" for _ in range(1 + n % 3)))
            assert entry.device_count == len(events)
            if (waveform := cache.waveform_entry(HERE, 0)) is not None:
                payload = waveform.value()
                assert waveform.stamp is not None
                assert payload["waveform_key"] == waveform.stamp.key == f"{payload['n']:08x}"
                assert payload["n"] >= n, "a waveform of a memory that is gone"
            seen += 1

    run_together(write, read, read, read)
    assert seen > 0


def test_dropping_one_device_never_empties_another() -> None:
    cache, stop = LiveCache(), threading.Event()
    others = [f"tcp:10.0.1.{n}:12345" for n in range(3)]
    for n, device in enumerate(others):
        cache.set_device_info(device, {"serial": f"S{n}"})
        cache.set_events(device, 2, listed(("0a", "0b")))
        cache.set_waveform(device, 0, wave(0, "0a"))

    def drop() -> None:
        try:
            for _ in range(2500):
                cache.set_events(HERE, 1, listed(("0c",)))
                cache.set_waveform(HERE, 0, wave(0, "0c"))
                cache.drop_device(HERE, "asked to")
        finally:
            stop.set()

    def read(n: int) -> None:
        device = others[n]
        while not stop.is_set():
            assert cache.get_device_info(device) == {"serial": f"S{n}"}
            assert cache.get_events(device, 2) == listed(("0a", "0b"))
            assert cache.get_waveform(device, 0) == wave(0, "0a")
            assert (cache.generation(device), cache.epoch(device).number) == (0, 0)

    run_together(drop, *[lambda n=n: read(n) for n in range(3)])
    assert cache.epoch(HERE).number == 2500
    assert cache.get_waveform(HERE, 0) is None


def test_a_late_fill_never_enters_however_the_threads_run() -> None:
    # Every fill carries the generation it was begun under; every erase bumps the truth first and
    # then drops. So a held list of an older truth than the epoch's would be a late fill let in.
    cache, stop = LiveCache(), threading.Event()
    truth = 0
    refused = entered = 0

    def erase() -> None:
        nonlocal truth
        try:
            for n in range(1, 200_000):
                if n > 1500 and entered:
                    return
                truth = n
                cache.drop_device(HERE, "erased")
        finally:
            stop.set()

    def fill() -> None:
        nonlocal refused, entered
        while not stop.is_set():
            began = cache.generation(HERE)
            read = truth
            if cache.set_events(HERE, 1, [{"index": 0, "n": read}], generation=began):
                entered += 1
            else:
                refused += 1

    def look() -> None:
        while not stop.is_set():
            entry = cache.events_entry(HERE)
            if entry is not None:
                # Drops so far, when it entered; the truth was that number, or one ahead.
                assert entry.value()[0]["n"] - entry.epoch in (0, 1)

    run_together(erase, fill, fill, look)
    assert entered > 0


def test_of_two_fills_with_the_same_generation_that_contradict_only_the_first_is_in_time() -> None:
    # Both began before either was in; the second is of another memory, drops the first's and stays:
    # but a third that began with them is late by then.
    for _ in range(300):
        cache = LiveCache()
        began = cache.generation(HERE)
        stored: dict[str, bool] = {}

        def fill(
            key: str, cache: LiveCache = cache, began: int = began, stored: Any = stored
        ) -> None:
            stored[key] = cache.set_events(HERE, 1, listed((key,)), generation=began)

        keys = ("0a", "0b", "0c")
        run_threads = [threading.Thread(target=fill, args=(key,)) for key in keys]
        for thread in run_threads:
            thread.start()
        for thread in run_threads:
            thread.join(timeout=10)
        entry = cache.get_events(HERE, 1)
        assert entry is not None
        assert sum(stored.values()) == 2
        assert stored[entry[0]["waveform_key"]]
        assert (cache.epoch(HERE).number, cache.generation(HERE)) == (1, 1)
