"""
What dropping one device costs among ten devices and among ten thousand.

The rule: dropping a device costs nothing that grows with the others.

The method. Every device holds its info, a list of 300 events and a waveform. One chosen at random
is dropped, timed, and filled again untimed, so that each drop finds the same; the two caches take
turns, and the figure is the median. The garbage collector stands still meanwhile: what it costs
depends on the whole process and not on the drop. The first rows drop a device that nobody touched
for long, whose objects have left the processor's caches when there are ten thousand (the snapshot
of a device is some 2,000 objects, all freed by the drop); the second rows drop one that was filled
just before. The usual way, one dict with keys of (device, thing) that a drop walks, stands beside
it. Under 40 s, most of it filling; about 1.5 GB.
"""

from __future__ import annotations

import gc
import random
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from peers import QUICK, median_of_ratios, print_head

from sfm.live_cache import LiveCache

FEW = 10
MANY = 200 if QUICK else 10_000
DROPS = 5 if QUICK else 300
EVENTS = 300
INFO = {"serial": "BE12599", "model": "MiniMate Plus", "firmware": "S338.17"}
LIST: list[dict[str, Any]] = [
    {
        "index": index,
        "waveform_key": f"{0x01110000 + index * 0x900:08x}",
        "timestamp": f"2026-04-{1 + index % 28:02}T00:28:12",
    }
    for index in range(EVENTS)
]
WAVEFORM = {**LIST[0], "counts": bytes(1024)}
RESOURCES = ("info", "events", "waveform 0")


def name_of(number: int) -> str:
    """Return the key of the n-th device."""
    return f"tcp:10.{number >> 16}.{number >> 8 & 255}.{number & 255}:12345"


class Ours:
    """LiveCache with so many devices."""

    def __init__(self, devices: int) -> None:
        self.cache = LiveCache(limit_bytes=None)
        self.devices = devices
        for number in range(devices):
            self.fill(number)

    def fill(self, number: int) -> None:
        """Put in everything of one device."""
        key = name_of(number)
        self.cache.set_device_info(key, INFO)
        self.cache.set_events(key, EVENTS, LIST)
        self.cache.set_waveform(key, 0, WAVEFORM)

    def drop(self, number: int) -> None:
        """Drop one device."""
        self.cache.drop_device(name_of(number), "asked to")


class Usual:
    """One dict for all devices behind a lock; a drop walks its keys."""

    def __init__(self, devices: int) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], Any] = {}
        self.devices = devices
        for number in range(devices):
            self.fill(number)

    def fill(self, number: int) -> None:
        """Put in everything of one device."""
        with self._lock:
            for resource in RESOURCES:
                self._entries[name_of(number), resource] = LIST

    def drop(self, number: int) -> None:
        """Drop one device."""
        key = name_of(number)
        with self._lock:
            for entry in [entry for entry in self._entries if entry[0] == key]:
                del self._entries[entry]


def drops_us(
    few: Ours | Usual, many: Ours | Usual, choose: Callable[[int], int], *, refilled: bool
) -> tuple[list[float], list[float]]:
    """Return the times of many drops in each, in turns, in us."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(DROPS):
        for cache, spent in zip((few, many), times, strict=True):
            number = choose(cache.devices)
            if refilled:
                cache.fill(number)
            began = time.perf_counter()
            cache.drop(number)
            spent.append((time.perf_counter() - began) * 1e6)
            cache.fill(number)
    return times


def main() -> None:
    """Print the table."""
    print_head(f"Dropping one device among {FEW} and among {MANY:,}: medians of {DROPS} drops, us")
    choose = random.Random(1).randrange
    gc.disable()
    ours, usual = (Ours(FEW), Ours(MANY)), (Usual(FEW), Usual(MANY))
    gc.freeze()
    print(f"{'':<44}{f'of {FEW}':>10}{f'of {MANY:,}':>12}{'ratio':>8}")
    rows = (
        ("LiveCache, a device long untouched", ours, False),
        ("LiveCache, a device just filled", ours, True),
        ("one dict, walked, a device long untouched", usual, False),
    )
    for name, (few, many), refilled in rows:
        short, long = drops_us(few, many, choose, refilled=refilled)
        medians = f"{statistics.median(short):>10.1f}{statistics.median(long):>12.1f}"
        print(f"{name:<44}{medians}{median_of_ratios(long, short):>8.2f}")
    print("target: at most 1.5")


if __name__ == "__main__":
    main()
