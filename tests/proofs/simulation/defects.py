"""
Scenarios of a unit whose events have defects, and an auditor who counts the downloads.

The rule: contradicted data is never good, and an erase never counts an image with missing bytes,
nor a contradicted one before a second download. What was downloaded is known from the unit's side.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kit.field_memory import KINDS, alter, damage, histogram_body
from kit.http_requests import ask
from kit.relay_world import HERE, FieldUnit, World

UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
STEPS = 14
CLEAN, HISTOGRAM = "clean", "histogram"
DEFECTS = (CLEAN, HISTOGRAM, *KINDS)
CHUNK = 0x5A


@dataclass
class Scenario:
    """One scenario; ``complaints`` grows."""

    world: World
    unit: FieldUnit
    chance: random.Random
    kinds: list[str] = field(default_factory=list)
    """Of each event in memory, in its order."""
    downloads: Counter[int] = field(default_factory=Counter)
    """Of each event, how often its whole image came over the line."""
    complaints: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """What happened, so that a scenario without events is noticed."""

    def record(self) -> None:
        """Let the unit record an event of a random kind."""
        kind = self.chance.choice(DEFECTS)
        self.unit.record_event(seed=self.chance.randrange(10**6))
        if kind == HISTOGRAM:
            alter(self.unit, body=histogram_body(), start={"samples": 60})
        elif kind != CLEAN:
            damage(self.unit, kind)
        self.kinds.append(kind)

    def counts(self, index: int) -> bool:
        """Whether an erase may count an event."""
        return self.downloads[index] >= (2 if self.kinds[index] in KINDS else 1)

    async def read(self) -> None:
        """Ask for a waveform, sometimes from the unit itself, sometimes over a link that breaks."""
        index = self.chance.randrange(len(self.kinds))
        heard = len(self.unit.heard)
        if self.chance.random() < 0.3:
            self.unit.at_next_time(CHUNK, self.chance.choice((2, 3)), self.world.cut_at_once)
        forced = {"force": "true"} if self.chance.random() < 0.5 else {}
        answer = await ask(self.world, f"/device/event/{index}/waveform", **UNIT, **forced)
        self.unit.undo()
        body = answer.json()
        is_undecoded = str(body.get("type", "")).endswith(":samples-undecoded")
        if (answer.status_code == 200 or is_undecoded) and CHUNK in self.unit.heard[heard:]:
            self.downloads[index] += 1
            self.seen["downloads"] += 1
        elif answer.status_code != 200 and not is_undecoded:
            self.seen["broken off"] += 1
        if answer.status_code == 200 and self.kinds[index] not in (CLEAN, HISTOGRAM):
            self.seen["contradicted"] += 1
            if body["provenance"]["quality"] == "good":
                self.complaints.append(f"event {index} ({self.kinds[index]}) is good")

    async def erase(self) -> None:
        """Try to erase without discarding anything."""
        body = {"serial": self.unit.serial, "count": len(self.kinds)}
        answer = await ask(self.world, "/device/events/erase", "POST", json=body, **UNIT)
        self.unit.undo()
        lost = [index for index in range(len(self.kinds)) if not self.counts(index)]
        if self.unit.events:
            self.seen["refused"] += 1
            if answer.json().get("reason") == "not-archived":
                self._compare(answer.json()["unarchived"], lost)
            return
        self.seen["erased"] += 1
        if lost:
            kinds = ", ".join(f"{index} ({self.kinds[index]})" for index in lost)
            self.complaints.append(f"erased, and lost: event {kinds}")
        self.kinds.clear()
        self.downloads.clear()

    async def inspect_archive(self) -> None:
        """Compare the archive's list with what came over the line."""
        keys = {event.key.hex(): event.index for event in self.unit.events}
        times = {
            event.key.hex(): event.device_time and event.device_time.isoformat()
            for event in self.unit.events
        }
        rows = (await ask(self.world, "/archive/events", limit=1000)).json()["events"]
        for row in rows:
            index = keys.get(row["waveform_key"])
            if index is None or times[row["waveform_key"]] != row["timestamp"]:
                continue
            if row["archived"]["image"] == "whole" and not self.downloads[index]:
                self.complaints.append(f"event {index}: its image has missing bytes, and is whole")
            if row["counted_by_erase"] is not self.counts(index):
                self.complaints.append(f"event {index} ({self.kinds[index]}): counted wrongly")

    async def end(self) -> None:
        """Download what an erase would not count yet; then an erase must find nothing to lose."""
        for index in range(len(self.kinds)):
            while not self.counts(index):
                await self.world.pause(120)
                await ask(self.world, f"/device/event/{index}/waveform", **UNIT, force="true")
                self.downloads[index] += 1
        await self.world.pause(120)
        await self.inspect_archive()
        await self.erase()
        if self.unit.events:
            self.complaints.append("everything was downloaded, and the erase was refused")

    def _compare(self, unarchived: list[int], lost: list[int]) -> None:
        if unarchived != lost:
            self.complaints.append(f"an erase would lose {lost}, and the answer is {unarchived}")


async def live(seed: int) -> Scenario:
    """Return one scenario, run to its end."""
    async with World() as world:
        await world.with_disk(max_forced_per_minute=10**6)
        scenario = Scenario(world, world.plug(FieldUnit()), random.Random(seed))
        for _ in range(STEPS):
            await world.pause(120)
            while len(scenario.kinds) < 2 or (
                len(scenario.kinds) < 4 and scenario.chance.random() < 0.2
            ):
                scenario.record()
            await (scenario.erase() if scenario.chance.random() < 0.2 else scenario.read())
            await scenario.inspect_archive()
        await scenario.end()
        return scenario
