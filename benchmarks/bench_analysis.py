"""
How long the analysis of one event takes: all default quantities of four channels, by both rules.

``python benchmarks/bench_analysis.py`` prints a table. *First* is with empty caches of filter
responses, as the first event of a length meets them; *again* is the median of the others,
*CPU* the time of the processor that they take, which other work on the machine changes less.
*Worker* is the same through the worker process, copies included. Nothing passes or fails.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from minimateplus.simulator.blast import Blast, synthesise
from sfm.analysis import filters
from sfm.analysis.spectra import RESPONSE_HZ, response_spectrum, third_octaves
from sfm.records.analysed import analyse_payload, analysis_payload, seismogram_of
from sfm.worker import Worker

RUNS = 1 if os.environ.get("SFM_BENCH_QUICK") else 41
EVENTS = ((3.0, 1024), (13.0, 1024), (3.0, 4096), (13.0, 4096))


def payload(record_s: float, rate_hz: int) -> dict[str, Any]:
    """Return an event of a blast, as the relay has it."""
    blast = Blast(record_time_s=record_s, sample_rate_hz=rate_hz)
    counts = synthesise(blast, np.random.default_rng(1))
    samples = counts.shape[1]
    peaks = ("tran_in_s", "vert_in_s", "long_in_s", "mic_psi", "vector_sum_in_s", "mic_db")
    return {
        "timestamp": "2026-04-01T00:28:12",
        "peaks": dict.fromkeys(peaks),
        "samples": samples,
        "announced_samples": samples,
        "valid_samples": [samples] * 4,
        "sample_rate_hz": rate_hz,
        "sample_rate_source": "event",
        "pretrigger_samples": rate_hz // 4,
        "geo_range_in_s": 10.0,
        "geo_range_source": "event",
        "reasons": [],
        "counts": counts.astype("<i2").tobytes(),
    }


def median_ms(run: Any, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(RUNS):
        started = clock()
        run()
        times.append((clock() - started) * 1e3)
    return statistics.median(times)


async def worker_ms(event: dict[str, Any]) -> float:
    """Return the median time of an analysis through the worker process."""
    worker = Worker()
    try:
        await worker.run(analysis_payload, event)
        times = []
        for _ in range(RUNS):
            started = time.perf_counter()
            await worker.run(analysis_payload, event)
            times.append((time.perf_counter() - started) * 1e3)
        return statistics.median(times)
    finally:
        await worker.close()


def main() -> None:
    """Print the table."""
    titles = ("first", "again", "CPU", "worker", "spectra")
    print(f"| event, 4 channels | samples | {', ms | '.join(titles)}, ms |")
    print("|---|---|---|---|---|---|---|")
    for record_s, rate_hz in EVENTS:
        event = payload(record_s, rate_hz)
        filters.forget_responses()
        started = time.perf_counter()
        analyse_payload(event)
        first = (time.perf_counter() - started) * 1e3
        again = median_ms(lambda event=event: analyse_payload(event))
        cpu = median_ms(lambda event=event: analyse_payload(event), time.process_time)
        through = asyncio.run(worker_ms(event))
        values = seismogram_of(event).traces["Vert"].values

        def spectra(values: Any = values, rate_hz: int = rate_hz) -> None:
            response_spectrum(values, float(rate_hz), RESPONSE_HZ)
            third_octaves(values, float(rate_hz))

        print(
            f"| {record_s:g} s at {rate_hz}/s | {len(values):,} | {first:.1f} | {again:.1f} "
            f"| {cpu:.1f} | {through:.1f} | {median_ms(spectra):.1f} |"
        )
    print(
        "\nThe last column is not among the defaults: response spectrum of 49 frequencies and "
        "one-third octaves of one channel."
    )


if __name__ == "__main__":
    main()
