"""
How much of the proofs a run repeats: their full counts, or what fits into a number of seconds.

``make test`` sets ``TEST_PROOF_S``, the seconds that all simulated worlds together may take; ``make
proofs`` sets none and gets the full counts. A budget only ends the sequence of seeds earlier: what
a world shows never depends on the time that it takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

__all__ = ["is_short", "seeds"]


def is_short() -> bool:
    """Return whether this run has a budget, and repeats only a part of the proofs."""
    return bool(os.environ.get("TEST_PROOF_S"))


def seeds(count: int, share: float, clock: Callable[[], float] = time.monotonic) -> Iterator[int]:
    """
    Return the seeds 0 to ``count``, or as many as fit into a share of the budget; at least one.

    Args:
        count: how many worlds a full proof has.
        share: which part of the budget they may take.
        clock: monotonic seconds.
    """
    budget = os.environ.get("TEST_PROOF_S")
    ends_mono = clock() + float(budget) * share if budget else None
    for seed in range(count):
        yield seed
        if ends_mono is not None and clock() >= ends_mono:
            return
