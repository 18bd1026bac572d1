# ruff: noqa: T201 - a program for the terminal prints
"""
The long run: a million simulations at the grain of records, ten thousand at that of bytes.

``make soak`` runs it over all cores. Where it stopped stands in ``.soak/``, so it goes on from
there; it ends at the first broken promise, and says how that world is lived through again:

    PYTHONPATH=tests .venv/bin/python tests/proofs/simulation/soak.py --replay GRAIN SEED
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mutations import MUTATIONS, Mutation, planted
from world import GRAINS, World, story_hash

ROOT = Path(__file__).parents[3]
STATE = ROOT / ".soak" / "state.json"
BATCH = {"record": 200, "byte": 20, "kept": 20, "field": 200, "lines": 20, "routes": 20}
REPORT_EVERY_S = 10.0

Broken = tuple[int, list[str]]


def command_to_replay(grain: str, seed: int) -> str:
    """Return the command that runs one simulation again, and prints its story."""
    return (
        f"PYTHONPATH=tests .venv/bin/python tests/proofs/simulation/soak.py --replay {grain} {seed}"
    )


def first_broken(grain: str, seeds: Iterable[int]) -> Broken | None:
    """Run simulations; return seed and complaints of the first that breaks a promise."""
    for seed in seeds:
        if broken := World(grain, seed).live():
            return seed, broken
    return None


def first_caught(mutation: Mutation, worlds: int) -> Broken | None:
    """Plant a fault; return the first world that catches it, first of all where one once did."""
    with planted(mutation):
        seeds = range(mutation.found, mutation.found + 1)
        return first_broken(mutation.grain, seeds) or first_broken(mutation.grain, range(worlds))


def catch(names: list[str], worlds: int) -> int:
    """Say in which world each planted fault is caught first: so they are found anew."""
    missed = 0
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        with planted(mutation):
            broken = first_broken(mutation.grain, range(worlds))
        missed += broken is None
        seed, complaints = broken or (f"none of {worlds}", ["not caught"])
        print(f"{mutation.name}: {mutation.grain} world {seed}: {complaints[0]}", flush=True)
    return missed


def _run_batch(batch: tuple[str, int]) -> tuple[int, Broken | None]:
    grain, begin = batch
    return begin, first_broken(grain, range(begin, begin + BATCH[grain]))


def _batches(grain: str, begin: int, end: int) -> Iterator[tuple[str, int]]:
    return ((grain, at) for at in range(begin, end, BATCH[grain]))


def code_digest() -> str:
    """Return a digest of all that a world is made of: another code has lived through nothing."""
    files = [f for name in ("minimateplus", "sfm", "tests") for f in (ROOT / name).rglob("*.py")]
    whole = hashlib.blake2b(digest_size=8)
    for file in sorted(files):
        whole.update(file.read_bytes())
    return whole.hexdigest()


CODE = code_digest()


def _load() -> dict[str, int]:
    """Return how many simulations of each grain this very code has passed."""
    if STATE.exists():
        state = json.loads(STATE.read_text())
        if state.get("code") == CODE:
            done: dict[str, int] = state["done"]
            return done
        print("the code has changed since the last run: starting anew")
    return dict.fromkeys(GRAINS, 0)


def _save(done: dict[str, int]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    scratch = STATE.with_suffix(".new")
    scratch.write_text(json.dumps({"code": CODE, "done": done}))
    scratch.replace(STATE)


def soak(wanted: dict[str, int]) -> int:
    """Run what is still missing of ``wanted``; return the exit code."""
    done = _load()
    cores = os.cpu_count() or 1
    # Ctrl-C is the parent's: it says how far it came, and ends the others.
    with multiprocessing.Pool(cores, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        for grain, count in wanted.items():
            begin = done.get(grain, 0)
            began_s = reported_s = time.monotonic()
            for at, broken in pool.imap(_run_batch, _batches(grain, begin, count)):
                if broken is not None:
                    seed, complaints = broken
                    print(f"\nBROKEN PROMISE in {grain} world {seed}:")
                    print("\n".join(f"  {complaint}" for complaint in complaints))
                    print(f"\nTo see it again:\n  {command_to_replay(grain, seed)}")
                    pool.terminate()
                    return 1
                done[grain] = min(count, at + BATCH[grain])
                now_s = time.monotonic()
                if now_s - reported_s > REPORT_EVERY_S:
                    reported_s = now_s
                    _save(done)
                    rate = (done[grain] - begin) / (now_s - began_s)
                    left_s = (count - done[grain]) / rate
                    print(
                        f"{grain}: {done[grain]:,} of {count:,} worlds, {rate:,.0f} worlds/s on "
                        f"{cores} cores, {left_s / 60:.0f} min to go",
                        flush=True,
                    )
            _save(done)
            took_s = time.monotonic() - began_s
            ran = max(0, count - begin)
            print(
                f"{grain}: {count:,} worlds, no broken promise "
                f"({ran:,} now, {ran / max(took_s, 1e-9):,.0f} worlds/s on {cores} cores)"
            )
    return 0


def replay(grain: str, seed: int) -> int:
    """Live through one world and print its story; return 1 if a promise was broken."""
    world = World(grain, seed)
    broken = world.live()
    plan = world.plan
    print(
        f"{grain} world {seed} ({plan.theme.name}): {plan.addresses} addresses, one exchange takes "
        f"{plan.pace_s} s or twice that, faults {plan.fault_share}, clock never set: "
        f"{plan.never_set}, counter falls on erase: {plan.falling_counter}, "
        f"cache {plan.limit_bytes} bytes, keep_open_s {plan.settings.keep_open_s}, "
        f"validated_s {plan.settings.validated_s}, queue_s {plan.settings.queue_s}"
    )
    lines = list(world.story)
    for key, states in world.auditor.states.items():
        for state in states:
            slots = ", ".join(
                f"#{slot.physical} {slot.key} {slot.timestamp} {slot.look}" for slot in state.slots
            )
            what = f"{state.serial}, memory {state.memory}: {slots}" if state.serial else "nothing"
            lines.append((state.time_s, f"    behind {key}: {what}"))
    for contact in world.auditor.contacts:
        what = f"    a read of {contact.resource}, wanted since {contact.asked_s:.3f}"
        lines.append((contact.time_s, f"{what}, turns to {contact.address}"))
    for key, troubles in world.auditor.troubles.items():
        lines += ((at_s, f"    trouble on the link to {key}") for at_s in troubles)
    for at_s, what in sorted(lines, key=lambda line: line[0]):
        print(f"{at_s:10.3f}  {what}")
    print(f"story {story_hash(world)[:16]}")
    print("\n".join(broken) or "no broken promise")
    return bool(broken)


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else "")
    parser.add_argument("--record", type=int, default=1_000_000, help="worlds of records")
    parser.add_argument("--byte", type=int, default=10_000, help="worlds of bytes")
    parser.add_argument("--kept", type=int, default=20_000, help="worlds with a database")
    parser.add_argument("--field", type=int, default=100_000, help="worlds of field trouble")
    parser.add_argument("--lines", type=int, default=10_000, help="worlds of lines that interfere")
    parser.add_argument("--routes", type=int, default=20_000, help="worlds of several routes")
    parser.add_argument("--again", action="store_true", help="forget how far the last run came")
    parser.add_argument("--replay", nargs=2, metavar=("GRAIN", "SEED"), help="tell one world")
    parser.add_argument("--catch", nargs="*", metavar="FAULT", help="find planted faults anew")
    parser.add_argument("--worlds", type=int, default=6000, help="of each --catch")
    given = parser.parse_args()
    if given.catch is not None:
        return catch(given.catch, given.worlds)
    if given.replay:
        grain, seed = given.replay
        if grain not in GRAINS:
            parser.error(f"grain: expected one of {', '.join(GRAINS)}, got {grain}")
        return replay(grain, int(seed))
    if given.again:
        _save(dict.fromkeys(GRAINS, 0))
    try:
        wanted = {grain: int(getattr(given, grain)) for grain in GRAINS}
        return soak(wanted)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {STATE}")
        return 130


if __name__ == "__main__":
    sys.exit(main())
