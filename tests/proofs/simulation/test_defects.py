"""Events with defects: an auditor complains of no scenario, and of each planted fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from defects import live
from kit.virtual_time import run

from minimateplus.wire import image
from sfm.store import EraseCheck, decodings

SEEDS = range(8)


def test_contradicted_data_is_never_good_and_no_missing_byte_is_counted() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        scenario = run(live(seed))
        assert scenario.complaints == [], f"seed {seed}"
        seen += scenario.seen
    for what in ("downloads", "broken off", "contradicted", "refused", "erased"):
        assert seen[what] > 0, f"in no scenario: {what}"


def _reasons_are_no_contradictions() -> Any:
    make = image._contradiction
    return patch.object(
        image, "_contradiction", lambda *words: replace(make(*words), is_contradiction=False)
    )


def _erase_counts_everything() -> Any:
    def check(connection: Any, wanted: Any) -> EraseCheck:
        return EraseCheck(unarchived=[], contradicted=[])

    return patch.object(decodings, "erase_check", check)


def _erase_counts_a_contradicted_image_at_once() -> Any:
    check = decodings.erase_check

    def at_once(connection: Any, wanted: Any) -> EraseCheck:
        found = check(connection, wanted)
        lost = [index for index in found.unarchived if index not in found.contradicted]
        return EraseCheck(unarchived=lost, contradicted=found.contradicted)

    return patch.object(decodings, "erase_check", at_once)


def _list_counts_everything() -> Any:
    return patch.object(decodings, "counted", lambda connection, numbers: set(numbers))


def _peaks_are_not_compared() -> Any:
    return patch.object(image, "_peak_reasons", lambda *_, **__: [])


FAULTS: dict[str, tuple[Callable[[], Any], int]] = {
    "a contradiction is only a remark": (_reasons_are_no_contradictions, 0),
    "an erase counts everything": (_erase_counts_everything, 1),
    "an erase counts a contradicted image at once": (_erase_counts_a_contradicted_image_at_once, 1),
    "the archive's list counts everything": (_list_counts_everything, 0),
    "peaks are not compared": (_peaks_are_not_compared, 2),
}
"""Each with the seed of a scenario that shows it."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    plant, seed = FAULTS[fault]
    with plant():
        assert run(live(seed)).complaints != []
