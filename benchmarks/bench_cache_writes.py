"""
What storing a waveform costs beside ten others of the same unit and beside three thousand.

The rule: storing one costs nothing that grows with what is held already, with room left and at the
budget's end, where each one that comes lets another go.

The method. A waveform is stored again in a slot in the middle; the caches take turns, and each
figure is the median of many. The collector stands still meanwhile. Under 10 s.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any

from peers import QUICK, median_of_ratios, print_head

from sfm.live_cache import LiveCache

FEW, MANY = 10, 300 if QUICK else 3000
TURNS = 20 if QUICK else 2000
KEY = "tcp:10.0.0.7:12345"


def waveform(index: int) -> dict[str, Any]:
    """Return a short waveform."""
    return {"waveform_key": f"{index:08x}", "peaks": {"tran_in_s": 0.1}, "counts": bytes(1024)}


def filled(waveforms: int, *, is_full: bool) -> LiveCache:
    """Return a cache with so many waveforms of one unit, and room for no more if it is full."""
    cache = LiveCache(limit_bytes=None)
    for index in range(waveforms):
        cache.set_waveform(KEY, index, waveform(index))
    return filled_up(cache.size_bytes, waveforms) if is_full else cache


def filled_up(limit_bytes: int, waveforms: int) -> LiveCache:
    """Return a cache whose budget is used up."""
    cache = LiveCache(limit_bytes=limit_bytes)
    for index in range(waveforms):
        cache.set_waveform(KEY, index, waveform(index))
    return cache


def times_us(few: LiveCache, many: LiveCache, *, is_full: bool) -> tuple[list[float], list[float]]:
    """Return what storing took in each, in turns, in us."""
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS):
        index = 100_000 + turn if is_full else 5
        one = waveform(index)
        for cache, times in zip((few, many), spent, strict=True):
            began = time.perf_counter()
            cache.set_waveform(KEY, index, one)
            times.append((time.perf_counter() - began) * 1e6)
    return spent


def main() -> None:
    """Print the table."""
    print_head(f"Storing a waveform beside {FEW} and beside {MANY:,} of one unit: medians, us")
    gc.disable()
    print(f"{'':<32}{f'of {FEW}':>10}{f'of {MANY:,}':>12}{'ratio':>8}")
    for name, is_full in (("room left", False), ("one goes for each that comes", True)):
        few, many = filled(FEW, is_full=is_full), filled(MANY, is_full=is_full)
        short, long = times_us(few, many, is_full=is_full)
        medians = f"{statistics.median(short):>10.1f}{statistics.median(long):>12.1f}"
        print(f"{name:<32}{medians}{median_of_ratios(long, short):>8.2f}")
    print("target: at most 1.5")


if __name__ == "__main__":
    main()
