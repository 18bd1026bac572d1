"""
How long an event takes in each export format, and how long our reader takes to read it back.

``PYTHONPATH=tests python benchmarks/bench_exports.py`` prints one table. Times are those of the
processor, the median of some runs after a first one; other work on the machine changes them less
than the clock's. What is read back is compared with the event's counts before it is timed. Nothing
passes or fails.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from kit.exported_events import exported, motion
from numpy.typing import NDArray
from peers import QUICK

from sfm.exports.event import ExportedEvent, Style
from sfm.exports.formats import FORMATS, exported_file
from sfm.exports.readers import read_file

RUNS = 1 if QUICK else 21
EVENTS = (("3 s at 1024/s", 3328, 1024), ("13 s at 4096/s", 54272, 4096))
STYLES = {"own units": Style(units="imperial"), "converted": Style(units="metric")}
READABLE = ("csv", "blastware")


def median_ms(run: Callable[[], object]) -> float:
    """Return the median processor time of a call, after one that is not counted."""
    run()
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        run()
        times.append((time.process_time() - started) * 1e3)
    return statistics.median(times)


def counts_read(data: bytes, scale: float) -> NDArray[np.int64]:
    """Return the counts of Tran in a file, by our reader."""
    values = read_file(data).seismogram.traces["Tran"].values
    return np.round(values / scale).astype(np.int64)


def row(title: str, event: ExportedEvent, name: str, words: str, style: Style) -> str:
    """Return a row of the table."""
    data = exported_file(event, name, style).data
    written = median_ms(lambda: exported_file(event, name, style))
    read = "-"
    if name in READABLE:
        channel = event.channels(style.units)[0]
        assert channel.scale is not None
        assert (counts_read(data, channel.scale) == channel.counts).all()
        read = f"{median_ms(lambda: read_file(data)):.0f}"
    cells = (title, FORMATS[name].title, words, f"{written:.0f}", read, f"{len(data) / 1000:,.0f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    print("| event, 4 channels | format | values | write, ms | read, ms | file, kB |")
    print("|---|---|---|---|---|---|")
    for title, samples, rate in EVENTS[: 1 if QUICK else None]:
        event = exported(motion(samples, rate // 4, 1777), rate_hz=rate, before=rate // 4)
        for name in FORMATS:
            if name == "parquet" and importlib.util.find_spec("pyarrow") is None:
                print(f"| {title} | Parquet | pyarrow is not installed | - | - | - |")
                continue
            for words, style in STYLES.items():
                print(row(title, event, name, words, style), flush=True)


if __name__ == "__main__":
    main()
