# ruff: noqa: T201 - a program for the terminal prints
"""
One hash for each simulated world, of every answer that its readers received.

Two trees that behave alike print the same lines, so a change of structure is compared seed by seed
with the tree before it:

    PYTHONPATH=.:tests:tests/proofs/simulation python tests/proofs/simulation/answer_trace.py

``PYTHONPATH`` chooses the tree: this file runs beside the ``world.py`` of either. Names that were
renamed are translated back by ``NEW_TO_OLD``, texts of errors are left out, and epochs are counted
in the order in which a world's readers met them, because a tree may number them with gaps.

``--against FILE`` compares with lines that were printed before. ``answers_before_layout.txt`` has
those of 1,000 simulations from the tree before its modules moved into packages (commit 52f9149).
Three seeds differ from it, 183, 210 and 669, all with a cache of less than 2 kB: the name
``valid_samples`` is six bytes longer than ``vouched``, and names count against the cache's limit,
so one waveform more is too large to be cached. And since sessions are context managers, an answer's
``exchanges`` and ``took_s`` count every attempt that its read needed, not only the last: 117 more
worlds, all the same ``--without exchanges took_s``.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import multiprocessing
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__" and "" not in sys.path:
    # The world is that of PYTHONPATH, not the one beside this file.
    sys.path = [place for place in sys.path if Path(place).resolve() != Path(__file__).parent]
    sys.path.append(str(Path(__file__).parent))

from world import World

NEW_TO_OLD = {
    "valid_samples": "vouched",
    "dry_run": "trial",
    "BackingOffError": "RestingError",
    "ShuttingDownError": "ClosingError",
    "NotCachedError": "NothingHeldError",
    "CommandConflictError": "RefusedError",
    "RequestRejectedError": "RefusalError",
    "clock_device_time": "clock_unit",
    "resource": "thing",
    "max_readers": "most_readers",
    "max_sessions": "most_conversations",
    "backing-off": "resting",
    "not-cached": "nothing-held",
    "shutting-down": "closing",
}
"""Public names and error classes of this tree, and what they were called before."""
DIGITS = 16
LEFT_OUT = {"store_problem"}
"""Fields of a provenance that are not compared; ``--without`` adds to them."""


class Epochs:
    """The epochs of one world, numbered in the order in which readers met them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], int] = {}

    def place_of(self, address: str, epoch: int) -> int:
        """Return the place of an epoch among those of its address."""
        of_address = [key for key in self._seen if key[0] == address]
        return self._seen.setdefault((address, epoch), len(of_address))


def plain(value: Any) -> Any:
    """Return a value in the old names, as what compares by its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return sorted((plain(name), plain(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return hashlib.sha256(value).hexdigest()
    return NEW_TO_OLD.get(value, value) if isinstance(value, str) else repr(value)


class TracedWorld(World):
    """A world that records each answer in full at the instant at which its reader received it."""

    def __init__(self, grain: str, seed: int, *, shuffles: bool = True) -> None:
        super().__init__(grain, seed)
        if not shuffles:
            self.loop._chance = None
        self.answers: list[Any] = []
        self._epochs = Epochs()

    async def _ask(self, request: Any, address: Any) -> Any:
        resource = getattr(request, "resource", None) or request.thing
        line = [request.number, self._keys[self._addresses.index(address)], resource, request.index]
        try:
            answer = await super()._ask(request, address)
        except BaseException as error:
            name = type(error).__name__
            line += [repr(self.loop.now_s), NEW_TO_OLD.get(name, name)]
            line.append(repr(getattr(error, "retry_after_s", None)))
            self.answers.append(line)
            raise
        provenance = {
            f.name: getattr(answer.provenance, f.name)
            for f in dataclasses.fields(answer.provenance)
            if f.name not in LEFT_OUT
        }
        provenance["epoch"] = self._epochs.place_of(line[1], answer.provenance.epoch)
        line += [repr(self.loop.now_s), plain(provenance), plain(answer.value)]
        line += [repr(answer.is_complete), repr(answer.recorded_since)]
        self.answers.append(line)
        return answer


def trace(grain: str, seed: int, *, shuffles: bool = True) -> tuple[list[Any], list[str]]:
    """Live through one world; return the answers to its readers and callers, and complaints."""
    world = TracedWorld(grain, seed, shuffles=shuffles)
    broken = world.live()
    return [*world.answers, *map(_outcome_of, world.auditor.book.orders)], broken


def _outcome_of(order: Any) -> list[Any]:
    """Return how a command ended, as its caller was answered."""
    error = type(order.error).__name__
    reason = getattr(order.error, "reason", "")
    named = [order.command, order.outcome, error, reason]
    return [order.number, repr(order.end_s), *(NEW_TO_OLD.get(name, name) for name in named)]


def hash_of(grain: str, seed: int, *, shuffles: bool = True) -> str:
    """Return the digest of everything that the readers and callers of one world received."""
    answers, broken = trace(grain, seed, shuffles=shuffles)
    return hashlib.sha256(repr((answers, bool(broken))).encode()).hexdigest()[:DIGITS]


def _line_of(job: tuple[str, int, bool]) -> str:
    grain, seed, shuffles = job
    return f"{grain} {seed} {hash_of(grain, seed, shuffles=shuffles)}"


def main() -> None:
    """Print one line for each world, or for each that differs, or the answers of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else "")
    parser.add_argument("--grain", default="record")
    parser.add_argument("--first", type=int, default=0, help="seed of the first world")
    parser.add_argument("--worlds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--in-order", action="store_true", help="first ready, first run")
    parser.add_argument("--show", type=int, metavar="SEED", help="print one world's answers")
    parser.add_argument("--without", nargs="*", default=(), help="fields of the provenance")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with lines of before")
    given = parser.parse_args()
    LEFT_OUT.update(given.without)
    if given.show is not None:
        answers, broken = trace(given.grain, given.show, shuffles=not given.in_order)
        print("\n".join([*map(repr, answers), *broken]))
        return
    jobs = [
        (given.grain, seed, not given.in_order)
        for seed in range(given.first, given.first + given.worlds)
    ]
    before = set(given.against.read_text().splitlines()) if given.against else set()
    differing = 0
    with multiprocessing.Pool(given.processes) as pool:
        for line in pool.imap(_line_of, jobs, chunksize=10):
            differing += line not in before
            if line not in before:
                print(line, flush=True)
    if given.against:
        print(f"{given.worlds - differing} of {given.worlds} worlds as before")


if __name__ == "__main__":
    main()
