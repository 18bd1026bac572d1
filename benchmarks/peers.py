"""
What the benchmarks share: the libraries that are installed, the machine, the short mode, a server.

``requirements-bench.txt`` names these libraries; neither the product nor its tests need them. One
that is not installed is skipped, and the table shows it. ``SFM_BENCH_QUICK=1`` makes every run as
short as will still print its table: its figures mean nothing.
"""

from __future__ import annotations

import os
import platform
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import uvicorn

from sfm.http_protocol import HttpProtocol
from sfm.server import GRACE_S

QUICK = os.environ.get("SFM_BENCH_QUICK") == "1"


def library(module: str) -> Any:
    """Return the module, or None where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        return None


def print_head(title: str, *distributions: str) -> None:
    """Print what is measured, on which machine, with which versions, and what is missing."""
    found, missing = [], []
    for name in distributions:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    print(title)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {_processor()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    if found:
        print(", ".join(found))
    if missing:
        print(f"skipped, not installed (requirements-bench.txt): {', '.join(missing)}")
    if QUICK:
        print("short mode: the figures mean nothing")
    print()


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the sorted values do not exceed."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def median_of_ratios(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median ratio of two that ran in turns, pair by pair."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def serve(app: Any, protocol: Any = HttpProtocol) -> None:
    """
    Serve with the settings of ``sfm.server``, until stopped; print the address first.

    Args:
        app: the relay, or what it is compared with.
        protocol: the one that ``sfm.server`` ships.
    """
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        proxy_headers=False,
        log_level="critical",
        access_log=False,
        # A connection that a benchmark keeps for its next request is not closed meanwhile.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=0 if QUICK else GRACE_S,
    )
    # Only a socket that says it is TCP gets TCP_NODELAY from asyncio; without, answers take 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(config.backlog)
        print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[bound])


@contextmanager
def served(script: str, *arguments: str) -> Iterator[str]:
    """Run a script that serves, in a process of its own; yield its base address."""
    with server_process([sys.executable, script, *arguments]) as (base, _):
        yield base


@contextmanager
def server_process(command: Sequence[str], **more: Any) -> Iterator[tuple[str, int]]:
    """Run a command that serves; yield its base address, empty if it did not start, and its id."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
        process.stdout.close()
    finally:
        process.terminate()
        process.wait(10)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
