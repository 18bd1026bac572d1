"""
How fast an event body is read: numpy against the plain loop, side by side.

``python benchmarks/bench_codec.py`` prints a table. Both read the same bodies in alternate runs of
one process; the figure is the median of each, and what counts is the ratio. Nothing passes or
fails.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from plain_decoder import decode_plain

from minimateplus.wire.samples import encode_body, read_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RUNS = 41


def blast(samples: int, rate_hz: int) -> NDArray[np.int16]:
    """Return noise of a few counts and, per channel, a decaying sine of some hundred counts."""
    random = np.random.default_rng(1)
    since_s = np.arange(samples) / rate_hz - np.array([[0.25], [0.27], [0.29], [0.6]])
    sines = np.sin(2 * np.pi * np.array([[12.0], [25.0], [9.0], [30.0]]) * since_s)
    peaks = np.array([[400.0], [250.0], [300.0], [150.0]])
    wave = np.where(since_s > 0, peaks * np.exp(-4 * np.maximum(since_s, 0)) * sines, 0)
    return np.rint(random.normal(0, 1.5, (4, samples)) + wave).astype(np.int16)


def small_blocks(samples: int, run: int) -> NDArray[np.int16]:
    """Return random walks that change their block width after every ``run`` samples."""
    random = np.random.default_rng(2)
    steep = random.choice([0, 6, 90, 900], samples // run + 1).repeat(run)[:samples]
    walk = np.cumsum(np.rint(random.uniform(-1, 1, (4, samples)) * steep), axis=1)
    fitting: NDArray[np.int16] = np.clip(walk, -32768, 32767).astype(np.int16)
    return fitting


def medians_ms(*peers: Callable[[], object]) -> list[float]:
    """Return the median time of each, run in turns."""
    times: list[list[float]] = [[] for _ in peers]
    for _ in range(RUNS):
        for spent, peer in zip(times, peers, strict=True):
            started = time.perf_counter()
            peer()
            spent.append((time.perf_counter() - started) * 1e3)
    return [statistics.median(spent) for spent in times]


def main() -> None:
    """Print the table."""
    print(f"Python {platform.python_version()}, numpy {np.__version__}, median of {RUNS} runs, ms")
    print(f"{'body':26}{'bytes':>9}{'encode':>9}{'plain':>9}{'numpy':>9}{'ratio':>8}")
    records = {
        "blast 1 s, 1024/s": blast(1280, 1024),
        "blast 3 s, 1024/s": blast(3328, 1024),
        "blast 13 s, 4096/s": blast(int(13.25 * 4096), 4096),
        "small blocks (32), 3328": small_blocks(3328, 32),
        "small blocks (8), 3328": small_blocks(3328, 8),
    }
    for name, counts in records.items():
        body = encode_body(counts)
        if decode_plain(body)[0] != read_body(body).counts.tolist():
            raise AssertionError(f"{name}: the two decoders disagree")
        encode, plain, fast = medians_ms(
            lambda counts=counts: encode_body(counts),  # type: ignore[misc]
            lambda body=body: decode_plain(body),  # type: ignore[misc]
            lambda body=body: read_body(body),  # type: ignore[misc]
        )
        times = f"{encode:9.3f}{plain:9.3f}{fast:9.3f}{plain / fast:8.1f}"
        print(f"{name:26}{len(body):9}{times}")


if __name__ == "__main__":
    main()
