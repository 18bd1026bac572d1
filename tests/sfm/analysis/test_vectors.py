"""Every printed, published or computed value that the analysis must meet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kit.analysis_vectors import GROUPS, VECTORS, Comparison, table
from kit.peers import lack

ROWS = {
    "exports": 34,
    "reports": 12,
    "closed": 33,
    "fft": 15,
    "response": 14,
    "kb": 48,
    "din4150": 2,
    "iso": 288,
    "iec": 30,
    "site": 20,
}
"""How many values each group has at least: a group that yields nothing proves nothing."""


@pytest.mark.parametrize("name", GROUPS)
def test_every_check_value_is_met(name: str) -> None:
    if not VECTORS.is_dir():
        lack(f"No check values in {VECTORS}")
    rows = list(GROUPS[name]())
    assert [row for row in rows if not row.passes] == []
    assert len(rows) >= ROWS[name]


def test_a_value_that_is_not_met_is_marked_in_the_table() -> None:
    good = Comparison("ppv", "arithmetic", 1.0, 1.001, 0.01)
    assert good.passes
    assert not replace(good, ours=1.02).passes
    assert not replace(good, ours=None).passes


def test_the_table_has_a_line_for_each_value() -> None:
    if not VECTORS.is_dir():
        lack(f"No check values in {VECTORS}")
    assert len(list(table("din4150"))) == 2 + ROWS["din4150"]
