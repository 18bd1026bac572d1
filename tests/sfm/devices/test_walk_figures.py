"""Bounds on what walks cost, in virtual time; ``benchmarks/bench_walks.py`` prints the table."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from kit.virtual_time import run

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
MAX_OVERHEAD = 25
"""
Exchanges a contact that read no new event. First: 2 to wake the unit, 8 for identity and setup, 8
to probe, 2 to find a torn probe. Later: 2, a probe of 10, 4 for the last event known. Closing: 6.
"""


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_walks

    return sys.modules[bench_walks.__name__]


@pytest.mark.parametrize("round_trip_s", [0.0, 0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("cut_each_s", [0.0, 60.0])
def test_a_full_unit_is_listed_over_any_link(
    figures: ModuleType, round_trip_s: float, cut_each_s: float
) -> None:
    came = run(figures.walk(300, round_trip_s, cut_each_s))
    assert came.is_listed, f"no list: {came.problems}"
    assert came.read_twice == 0, "a record was read twice that was not the last known one"
    assert max(came.overheads) <= MAX_OVERHEAD, came.overheads
    assert set(came.problems) <= {"list-incomplete"}


@pytest.mark.parametrize("new_each_s", [2.0, 10.0, 60.0])
@pytest.mark.parametrize("stored", [20, 60, 300])
def test_a_busy_unit_is_always_listed(figures: ModuleType, stored: int, new_each_s: float) -> None:
    came = run(figures.busy(stored, new_each_s))
    assert set(came.answers) == {"good"}, came.answers
    assert came.behind == 0, "an event is missing that was stored when the request came"
    # Ten exchanges for each event that came since; the rest does not grow with what is stored.
    assert came.warm_exchanges <= 10 * (came.cold_s / new_each_s + 40), came.warm_exchanges
