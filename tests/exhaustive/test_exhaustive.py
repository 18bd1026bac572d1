"""The promise in every interleaving of small worlds, and that the walk finds what is planted."""

from __future__ import annotations

import sys

import pytest
from planted import FAULTS
from small_world import Scope
from walk import SMALL, BrokenPromiseError, Walked, walk

KNOWN: dict[str, tuple[int, int]] = {
    "everybody": (23_489, 140_933),
    "everybody, a clock never set": (10_569, 14_923),
    "erased and dropped": (7_069, 13_852),
    "a reader goes away": (5_018, 548_901),
    "first contact": (3_892, 1_209_596),
    "two, callback by callback": (1_539, 43_165),
    "one and forced, callback by callback": (3_781, 335_028),
}
"""
States (at least) and interleavings (exactly) of each scope. Fewer are a model that shrank. Product
code that remembers more has more states; code that waits elsewhere has other interleavings, and
``walk.py`` prints them.
"""


@pytest.mark.parametrize("name", SMALL)
def test_the_promise_holds_in_every_interleaving(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    walked = walk(SMALL[name])
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {walked}\n")
    states, interleavings = KNOWN[name]
    assert walked.interleavings == interleavings
    assert walked.states >= states


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    fault = FAULTS[name]
    with fault.planted(), pytest.raises(BrokenPromiseError) as caught:
        walk(fault.scope)
    assert fault.found_as in caught.value.what


def test_a_walk_is_the_same_each_time() -> None:
    scope = Scope(readers=("A",), happenings=("erase",), failing=0)
    first, again = walk(scope), walk(scope)
    assert isinstance(first, Walked)
    assert first == again
