"""
The benchmarks still run and still print their tables. What they measure is never judged here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0
"""A bound for a machine that is busy; nothing is judged by it."""

HEADS = {
    "bench_analysis.py": ("again, ms", "| 13 s at 4096/s |"),
    "bench_behaviour.py": ("keeps old", "seismo-relay Gateway"),
    "bench_cache_hits.py": ("ns per hit", "LiveCache events_entry", "parts of a hit"),
    "bench_cache_writes.py": ("room left", "one goes for each that comes"),
    "bench_exports.py": (
        "read, ms",
        "| Blastware ASCII | converted |",
        "| 3 s at 1024/s | JSON |",
    ),
    "bench_fetch.py": ("spent twice", "longest wait s", "12 events"),
    "bench_floods.py": ("reader answered", "| silent |"),
    "bench_flush.py": ("LiveCache, a device long untouched",),
    "bench_http.py": ("CPU per request", "requests/s", "JSON, again"),
    "bench_reports.py": ("warm, ms", "verify --alone", "4 as zip", "longest pause, ms"),
    "bench_statistics.py": ("longest hold of the loop", "`/metrics`"),
    "bench_store.py": ("durable commit of a waveform", "first list after a restart", "OFFSET"),
    "bench_units.py": ("longest wait, s", "| again | 20 | 0 |"),
    "bench_upgrade.py": ("30 events each, SQLite", "0 connections to units"),
    "bench_verdicts.py": ("2 curves", "judge the unit's list", "a hit on the list with verdicts"),
    "bench_waiting.py": ("p99", "relay, HTTP", "def endpoints, HTTP"),
    "bench_walks.py": ("overhead a contact", "one new each s"),
    "bench_webapp.py": ("transfer, bytes", "four charts", "longest task"),
}
"""What the table of each must say."""


@pytest.mark.parametrize("script", HEADS)
def test_a_benchmark_runs_and_prints_its_table(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script)],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests"),
            "SFM_BENCH_QUICK": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    for head in HEADS[script]:
        assert head in done.stdout.replace("requests per second", "requests/s"), done.stdout


def test_every_new_benchmark_is_run_here() -> None:
    older = {"bench_codec.py", "bench_exchanges.py"}
    assert {path.name for path in (ROOT / "benchmarks").glob("bench_*.py")} == {*HEADS, *older}
