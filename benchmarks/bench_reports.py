"""
How long a report takes: from record to PDF warm, as a whole process, and 200 of them.

``PYTHONPATH=tests python benchmarks/bench_reports.py`` prints two tables. *Warm* is the second and
each later report of a process, the median; *CPU* is the time of the processor in it, which other
work on the machine changes less. *Whole processes* are ``seismo-relay report`` of an archived
recording, ``verify`` of it against the database and alone, and, to compare with, the import of the
packages they are built on: CPU time from start to end, run in turns, with bytecode as an installed
program has it, median and least. *Many* goes through the relay's own service and
worker process; *longest pause* is how late a timer of 1 ms was, at worst, on the event loop of the
relay meanwhile. Nothing passes or fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from kit.report_subjects import (
    AIRBLAST,
    OPTIONS,
    RI8507,
    blast_counts,
    chosen,
    payload_of,
    subject_of,
)

from minimateplus.simulator import SimulatedUnit
from minimateplus.wire.image import read_image
from sfm.api.app import build_app
from sfm.records import payloads
from sfm.reports.printing import MAX_PAGES
from sfm.reports.typesetting import event_report
from sfm.reports.wish import Wish
from sfm.settings import Settings
from sfm.store import Store, archive
from sfm.store.archive import Origin

IS_QUICK = bool(os.environ.get("SFM_BENCH_QUICK"))
RUNS = 1 if IS_QUICK else 31
EVENTS = 4 if IS_QUICK else 200
RECORDS_S = (1.0, 3.0, 13.0)
TICK_S = 0.001
PACKAGES = ("sqlalchemy", "numpy", "pydantic_settings", "cyclopts", "rich.console", "typst")
"""What a report is made with."""
LIMITS = {"limits": chosen(RI8507, AIRBLAST, parameters={"microphone_low_hz": 2.0})}


def median_ms(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(RUNS):
        started = clock()
        run()
        times.append((clock() - started) * 1e3)
    return statistics.median(times)


def warm_row(record_s: float) -> str:
    """Return a row: the first report of a length, and the others."""
    counts = blast_counts(record_time_s=record_s)
    payload = payload_of(counts, record_time_s=record_s)
    subject = subject_of(payload, **LIMITS)
    started = time.perf_counter()
    data = event_report(subject, OPTIONS)
    first = (time.perf_counter() - started) * 1e3
    warm = median_ms(lambda: event_report(subject, OPTIONS), time.perf_counter)
    cpu = median_ms(lambda: event_report(subject, OPTIONS), time.process_time)
    return (
        f"| {record_s:g} s at 1024/s | {payload['samples']:,} | {first:.0f} | {warm:.0f} | "
        f"{cpu:.0f} | {len(data) / 1000:.0f} |"
    )


def fill(url: str) -> list[str]:
    """Archive blasts of a simulated unit; return their ids."""
    unit = SimulatedUnit(seed=1, memory_bytes=50_000_000)
    first = datetime(2026, 1, 1)
    origin = Origin(
        route="tcp:unit:1",
        serial=unit.serial,
        epoch=0,
        simulated=True,
        read_at=datetime(2026, 11, 28, tzinfo=UTC),
        began_mono=1.0,
        boot_id=None,
    )
    names = []
    with Store.open(url) as store:
        for number in range(EVENTS):
            event = unit.record_event(at_device_time=first + timedelta(hours=number))
            waveform = read_image(event, unit._memory.stored[number].image)
            payload = payloads.waveform_payload(waveform, None)
            [row] = store.write(archive.save_events, origin, [waveform.event])
            store.write(archive.save_waveform, origin, row, payload, waveform.image)
            names.append(store.read(archive.recording_numbered, row)["id"])
    return names


def process_rows(url: str, name: str, folder: str) -> Iterator[str]:
    """Yield a row for each whole process: its CPU time, median and least."""
    program = str(Path(sys.executable).with_name("seismo-relay"))
    of = ["--database", url]
    subprocess.run([program, "report", name, "-o", folder, *of], check=True, capture_output=True)
    [pdf] = map(str, Path(folder).glob("*.pdf"))
    commands = {
        "report": [program, "report", name, "-o", folder, "--force", *of],
        "verify": [program, "verify", pdf, *of],
        "verify --alone": [program, "verify", pdf, "--alone"],
        "report --help": [program, "report", "--help"],
        "the packages alone": [sys.executable, "-c", f"import {', '.join(PACKAGES)}"],
        "an empty Python": [sys.executable, "-c", "pass"],
    }
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    if not IS_QUICK:
        surroundings["PYTHONPYCACHEPREFIX"] = str(Path(folder, "bytecode"))
    times: dict[str, list[float]] = {title: [] for title in commands}
    for number in range(1 if IS_QUICK else 12):
        for title, command in commands.items():
            before = _children_s()
            subprocess.run(command, capture_output=True, env=surroundings)
            if number or IS_QUICK:  # the first one writes the bytecode
                times[title].append((_children_s() - before) * 1e3)
    for title, taken in times.items():
        yield f"| `{title}` | {statistics.median(taken):.0f} | {min(taken):.0f} |"


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def longest_pause(until: asyncio.Event) -> float:
    """Return how late a timer was at worst, in ms, until it is asked to stop."""
    worst = 0.0
    while not until.is_set():
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        worst = max(worst, time.perf_counter() - due)
    return worst * 1e3


async def many_row(url: str, names: list[str], form: Any) -> str:
    """Return a row: all reports as one file through the relay's service."""
    application = build_app(Settings(database_url=url))
    gateway = application.state.gateway
    await gateway.store_service.start()
    reports = application.state.reports
    stop = asyncio.Event()
    watching = asyncio.create_task(longest_pause(stop))
    try:
        await reports.of_recording(names[0], Wish())  # the worker process has started
        process = application.state.analyses.worker.process_id
        started = time.perf_counter()
        made = await reports.of_many(names, form, Wish(), lambda *_: None)
        took = time.perf_counter() - started
        peak_mb = peak_of(process)
    finally:
        stop.set()
        pause = await watching
        reports.close()
        await application.state.analyses.close()
        with contextlib.suppress(Exception):
            await gateway.close()
    return (
        f"| {len(names)} as {form} | {took:.1f} | {took / len(names) * 1e3:.0f} | "
        f"{made['size_bytes'] / 1e6:.1f} | {peak_mb:.0f} | {own_peak_mb():.0f} | {pause:.0f} |"
    )


def peak_of(process: int) -> float:
    """Return the largest memory of a process so far, in MB (Linux; else nan)."""
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii")
    except OSError:
        return float("nan")
    [line] = [one for one in status.splitlines() if one.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000


def own_peak_mb() -> float:
    """Return this process's own largest memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    """Print the tables."""
    print("| event, 4 channels | samples | first, ms | warm, ms | CPU, ms | PDF, kB |")
    print("|---|---|---|---|---|---|")
    for record_s in RECORDS_S:
        print(warm_row(record_s), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.sqlite"
        names = fill(url)
        print("\n| process | CPU, median, ms | least, ms |\n|---|---|---|")
        for row in process_rows(url, names[0], folder):
            print(row, flush=True)
        print()
        print(
            "| reports | s | ms each | file, MB | worker's peak, MB | relay's peak, MB "
            "| longest pause, ms |"
        )
        print("|---|---|---|---|---|---|---|")
        for form in ("zip", "pdf"):
            some = names[:MAX_PAGES] if form == "pdf" else names
            print(asyncio.run(many_row(url, some, form)), flush=True)


if __name__ == "__main__":
    main()
