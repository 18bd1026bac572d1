from __future__ import annotations

import secrets
from pathlib import Path

from killing import run
from kit import proof_budget

KILLS = 15 if proof_budget.is_short() else 50


def test_kills_lose_tear_and_double_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed = secrets.randbelow(10**6)
    figures = run(KILLS, seed, tmp_path)
    assert not figures.broken, f"seed {seed}: {figures.broken}"
    assert figures.kills > KILLS
    assert figures.met_everything(), figures
