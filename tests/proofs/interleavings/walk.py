"""
Walk every interleaving of a small world, and print how many there are.

    python tests/proofs/interleavings/walk.py            the scopes of the test run
    python tests/proofs/interleavings/walk.py --large    larger ones, for minutes

The walk is depth first. A state that was met before is not walked again: what can follow is the
same, and was or will be seen. A state is all that the future depends on (``SmallWorld.portrait``).
So *states* are what is visited, and *interleavings* are the complete ways through them from the
beginning to an end, counted over the graph of states and not one by one.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from small_world import Quiet, Scope, SmallWorld


class BrokenPromiseError(AssertionError):
    """One interleaving breaks the promise; the message replays it."""

    def __init__(self, scope: Scope, actions: tuple[str, ...], what: str) -> None:
        super().__init__(f"{what}\n  after: {', '.join(actions)}\n  in: {scope}")
        self.actions = actions
        self.what = what


@dataclass(frozen=True, slots=True)
class Walked:
    """How much there was to walk."""

    states: int
    interleavings: int
    ends: int
    """Different states in which nothing can happen any more."""
    longest: int
    """Actions of the longest interleaving."""
    took_s: float = field(compare=False, default=0.0)


def walk(scope: Scope) -> Walked:
    """
    Walk all of ``scope``.

    Raises:
        BrokenPromiseError: an interleaving in which the promise does not hold.
    """
    began = time.perf_counter()
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        with Quiet():
            graph = _Graph()
            todo: list[tuple[tuple[str, ...], int | None]] = [((), None)]
            while todo:
                actions, before = todo.pop()
                todo += _follow(scope, actions, before, graph)
    finally:
        if was_collecting:
            gc.enable()
    return graph.walked(time.perf_counter() - began)


class _Graph:
    """The states met, and which follows which."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.after: list[list[int]] = []

    def meet(self, portrait: bytes, before: int | None) -> tuple[int, bool]:
        """Return the number of a state, and whether it is a new one."""
        number = self.numbers.setdefault(portrait, len(self.after))
        is_new = number == len(self.after)
        if is_new:
            self.after.append([])
        if before is not None:
            self.after[before].append(number)
        return number, is_new

    def walked(self, took_s: float) -> Walked:
        """Count the ways from the beginning to an end, in an order in which none is passed."""
        arriving = Counter(number for followers in self.after for number in followers)
        ways, depth = [0] * len(self.after), [0] * len(self.after)
        ways[0] = 1
        ready, done = [0], 0
        while ready:
            number = ready.pop()
            done += 1
            for follower in self.after[number]:
                ways[follower] += ways[number]
                depth[follower] = max(depth[follower], depth[number] + 1)
                arriving[follower] -= 1
                if not arriving[follower]:
                    ready.append(follower)
        assert done == len(self.after), "the states go round in a circle"
        ends = [number for number, followers in enumerate(self.after) if not followers]
        return Walked(
            states=len(self.after),
            interleavings=sum(ways[number] for number in ends),
            ends=len(ends),
            longest=max(depth),
            took_s=took_s,
        )


def _follow(
    scope: Scope, actions: tuple[str, ...], before: int | None, graph: _Graph
) -> list[tuple[tuple[str, ...], int | None]]:
    """Go one way until it ends or meets a known state; return where other ways branch off."""
    branches: list[tuple[tuple[str, ...], int | None]] = []
    world = SmallWorld(scope)
    try:
        for action in actions:
            world.act(action)
        while True:
            if world.broken is not None:
                raise BrokenPromiseError(scope, actions, world.broken)
            number, is_new = graph.meet(world.portrait(), before)
            if not is_new:
                return branches
            possible = world.actions()
            if not possible:
                world.at_end()
                if world.broken is not None:
                    raise BrokenPromiseError(scope, actions, world.broken)
                return branches
            first, *others = possible
            branches += [((*actions, other), number) for other in others]
            actions, before = (*actions, first), number
            world.act(first)
    finally:
        world.end()


SMALL: dict[str, Scope] = {
    "everybody": Scope(fine=False),
    "everybody, a clock never set": Scope(fine=False, never_set=True, failing=0),
    "erased and dropped": Scope(happenings=("erase", "drop"), failing=0, fine=False),
    "a reader goes away": Scope(readers=("A", "B"), happenings=("erase",), leaving=("A",)),
    "first contact": Scope(readers=("A", "F"), happenings=("erase",), warm=False),
    "two, callback by callback": Scope(readers=("A", "B"), happenings=("erase",)),
    "one and forced, callback by callback": Scope(readers=("A", "F"), happenings=("erase",)),
}
"""The scopes of the test run."""

LARGE: dict[str, Scope] = {
    "everybody, callback by callback": Scope(),
    "everybody, a clock never set, callback by callback": Scope(never_set=True),
    "two forced": Scope(readers=("A", "B", "F1", "F2"), fine=False),
    "two failures": Scope(failing=2, fine=False),
    "a probe in two steps": Scope(probe_steps=2, never_set=True, fine=False),
    "erased, then recorded twice": Scope(happenings=("wipe", "record 1", "record 2"), fine=False),
    "everything at once": Scope(happenings=("erase", "record", "drop"), leaving=("A",), fine=False),
}
"""More of everything; ten minutes and more."""


def main() -> None:
    scopes = LARGE if "--large" in sys.argv[1:] else SMALL
    only = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    for name, scope in scopes.items():
        if only and name not in only:
            continue
        walked = walk(scope)
        sys.stdout.write(
            f"{name}: {walked.states:,} states, {walked.interleavings:,} interleavings, "
            f"{walked.ends} ends, up to {walked.longest} actions; {walked.took_s:.1f} s\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
