"""The promise in every interleaving of small worlds, and that the walk finds what is planted."""

from __future__ import annotations

import sys

import pytest
from planted import FAULTS
from small_world import Scope
from walk import SMALL, BrokenPromiseError, Walked, walk

KNOWN: dict[str, tuple[int, int]] = {
    "everybody": (54_240, 253_891),
    "everybody, a clock never set": (17_784, 30_528),
    "erased and dropped": (10_466, 26_277),
    "a reader goes away": (8_047, 1_085_019),
    "first contact": (10_693, 3_302_595),
    "two, callback by callback": (2_502, 76_735),
    "one and forced, callback by callback": (7_133, 641_478),
}
"""
States (at least) and interleavings (exactly) of each scope. Fewer are a model that shrank. Product
code that remembers more has more states; code that waits elsewhere has other interleavings, and
``walk.py`` prints them.
"""


LONG = pytest.mark.long_proof
IN_EVERY_RUN = {"a reader goes away", "two, callback by callback"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_EVERY_RUN else LONG) for name in SMALL]
)
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
