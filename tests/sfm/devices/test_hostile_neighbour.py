"""One relay with a hostile unit of every kind beside an honest one: the honest one's readers."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kit.relay_world import ELSEWHERE, HERE, FieldUnit, World, in_virtual_time
from kit.virtual_time import now_s

from minimateplus.client import reads
from minimateplus.errors import MiniMateError
from minimateplus.link import Address, Link
from minimateplus.simulator.faulty_links import FaultyLink, LateLink
from minimateplus.simulator.hostile import BEHAVIOURS, hostile_link
from sfm.back_off import BackingOffError
from sfm.cache.freshness import FORCED
from sfm.devices.answer import Answer
from sfm.devices.gateway import Gateway

HONEST_DELAY_S = 0.05
"""Each answer of the honest unit takes this long, so that its readers have times to compare."""
ROUNDS = 2
FLOODS = {"endless-bytes": "info", "endless-frame": "info", "terabyte": "waveform"}
"""Kinds that say much, and what they are asked for so that they do."""
MAX_PEAK_BYTES = 600_000
MAX_GROWTH_BYTES = 60_000
"""Over two thirds of the rounds, in which some 800 kB are sent."""

Asks = dict[str, Callable[[Gateway, Address], Awaitable[Answer]]]
ASKS: Asks = {
    "info": lambda gateway, address: gateway.info(address, FORCED),
    "events": lambda gateway, address: gateway.events(address, FORCED),
    "waveform": lambda gateway, address: gateway.waveform(address, 0, FORCED),
    "status": lambda gateway, address: gateway.monitor_status(address, FORCED),
}
ANSWERED = {
    "just-in-time": set(ASKS),
    "huge-count": set(ASKS),
    "huge-samples": set(ASKS),
    "not-numbers": set(ASKS),
    "control-characters": set(ASKS),
    "long-event": set(ASKS),
    "terabyte": set(ASKS) - {"waveform"},
    "huge-event": set(ASKS) - {"waveform"},
    "stale-chunks": set(ASKS) - {"waveform"},
    "last-key-nowhere": {"info", "status"},
    "chain-loops": {"info", "status"},
    "chain-endless": {"info", "status"},
    "header-length": {"info", "status"},
    "other-key": {"info", "status"},
    "restless": {"info", "status"},
    "many-serials": {"info", "status"},
}
"""What each kind is asked and gets right, or bears no consequence; everything else is an error."""


class CountedLink(FaultyLink):
    """Counts what passes to the host, over all sessions of a test."""

    def __init__(self, inner: Link, counts: list[int]) -> None:
        super().__init__(inner)
        self._counts = counts

    async def send(self, data: bytes) -> None:
        self._counts[0] += len(data)
        await super().send(data)


@dataclass
class Lived:
    """What the readers of both units met."""

    honest: list[tuple[str, Any, float]] = field(default_factory=list)
    """What was asked of the honest unit, what came, after how many seconds."""
    ends: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in ASKS})
    """How each ask of the hostile unit ended."""
    reported: set[str] = field(default_factory=set)
    """The messages of its errors."""
    kept_bytes: list[int] = field(default_factory=list)
    """Memory in use after every sixth round, where it was looked at."""
    peak_bytes: int = 0
    sent_bytes: int = 0
    """By the hostile unit."""


async def _read_honestly(world: World, lived: Lived) -> None:
    for _ in range(ROUNDS):
        for name, ask in ASKS.items():
            started_s = now_s()
            answer = await ask(world.gateway, HERE)
            lived.honest.append((name, answer.value, round(now_s() - started_s, 6)))


async def _bear(world: World, lived: Lived, rounds: int, asks: Asks) -> None:
    for number in range(rounds):
        for name, ask in asks.items():
            try:
                await ask(world.gateway, ELSEWHERE)
            except (MiniMateError, BackingOffError) as error:
                lived.ends[name].add(type(error).__name__)
                lived.reported.add(str(error))
            else:
                lived.ends[name].add("answered")
        if tracemalloc.is_tracing() and number % 6 == 5:
            gc.collect()
            lived.kept_bytes.append(tracemalloc.get_traced_memory()[0])


def live(kind: str | None, *, rounds: int = ROUNDS, asks: Asks = ASKS) -> Lived:
    """Let readers ask both units at the same time; ``None``: there is no hostile one."""
    lived = Lived()

    @in_virtual_time
    async def main(world: World) -> None:
        world.plug(FieldUnit("SIM0001").record(3).record_big())
        world.wrap_links[HERE] = lambda inner: LateLink(inner, HONEST_DELAY_S)
        readers = [_read_honestly(world, lived)]
        counts = [0]
        if kind is not None:
            wrap_link = hostile_link(kind)
            world.plug(FieldUnit("SIM0666").record_big().record(2), ELSEWHERE)
            world.wrap_links[ELSEWHERE] = lambda inner: wrap_link(CountedLink(inner, counts))
            readers.append(_bear(world, lived, rounds, asks))
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        await asyncio.gather(*readers)
        lived.peak_bytes = tracemalloc.get_traced_memory()[1] - before
        lived.sent_bytes = counts[0]

    main()
    return lived


@pytest.fixture(scope="module")
def alone() -> Lived:
    """What the honest unit's readers meet when there is no other."""
    return live(None)


def test_the_honest_unit_takes_its_time_so_that_a_delay_would_show(alone: Lived) -> None:
    assert len(alone.honest) == ROUNDS * len(ASKS)
    assert all(took_s >= HONEST_DELAY_S for _, _, took_s in alone.honest)


@pytest.mark.parametrize("kind", BEHAVIOURS)
def test_readers_of_an_honest_unit_notice_nothing_of_a_hostile_one(
    kind: str, alone: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_KEYS", 20)
    lived = live(kind)
    assert lived.honest == alone.honest
    answered = {name for name, ends in lived.ends.items() if "answered" in ends}
    assert answered == ANSWERED.get(kind, set())
    assert all(str(ELSEWHERE) in reported and reported.isprintable() for reported in lived.reported)
    for name, ends in lived.ends.items():
        assert "answered" not in ends or ends == {"answered"}, name


@pytest.mark.parametrize(("kind", "asked"), FLOODS.items())
def test_memory_stays_flat_however_much_a_hostile_unit_says(kind: str, asked: str) -> None:
    tracemalloc.start()
    try:
        lived = live(kind, rounds=18, asks={asked: ASKS[asked]})
    finally:
        tracemalloc.stop()
    assert lived.sent_bytes >= 1_100_000
    assert lived.peak_bytes <= MAX_PEAK_BYTES
    assert lived.kept_bytes[-1] - lived.kept_bytes[0] <= MAX_GROWTH_BYTES
