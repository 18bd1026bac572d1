"""
A database that outlives the relay: SQLite in memory, in a world of virtual time.

A verb of the store happens at one instant, as a transaction does. Before and behind it the relay
may wait; a crash falls into these waits, so a write is done and not yet answered, or asked for and
never done. Writes follow one another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from kit.empty_databases import memory_engines
from orders import Order

from sfm.devices.answer import Answer
from sfm.records.payloads import Payload
from sfm.store import Store, Wanted, archive, audit, maintenance, mirrored_lists
from sfm.store.errors import StoreLostError

T = TypeVar("T")


class _RunStore(Store):
    """One start of the relay's view of the database."""

    def close(self) -> None:
        """The database stays."""


def _waveforms_of(store: Store, row: Payload) -> Iterator[tuple[str, str, str | None, bytes]]:
    for content in row["contents"]:
        counts = store.read(archive.load_samples, row["id"], bytes.fromhex(content)).counts()
        yield row["serial"], row["waveform_key"], row["timestamp"], counts


class Disk:
    """The database of one world."""

    def __init__(self, clock: Callable[[], float], chance: random.Random, pace_s: float) -> None:
        self._engines = memory_engines()
        self._chance = random.Random(chance.getrandbits(32))
        self._pace_s = pace_s
        self._run_number = 0
        self._writing: asyncio.Lock | None = None
        self._stored_events: set[tuple[str, str, str | None]] = set()
        self._stored_waveforms: set[tuple[str, str, str | None, bytes]] = set()
        self._rows = (0, 0)

    def begin_run(self) -> Callable[[], Store]:
        """Return a function that opens the store."""
        self._run_number += 1
        self._writing = asyncio.Lock()
        return lambda: _RunStore(self._engines)

    def end_run(self) -> None:
        """From now on nothing that the present relay asks for is done."""
        self._run_number += 1

    async def run(self, verb: Callable[[], T], is_write: bool, /) -> T:
        """Run a verb at an instant of its own."""
        run_number, writing = self._run_number, self._writing
        assert writing is not None
        if not is_write:
            return await self._run(verb, run_number)
        async with writing:
            return await self._run(verb, run_number)

    async def _run(self, verb: Callable[[], T], run_number: int) -> T:
        await self._wait()
        if run_number != self._run_number:
            raise StoreLostError("the process is gone")
        result = verb()
        await self._wait()
        if run_number != self._run_number:
            raise StoreLostError("the process is gone")
        return result

    async def _wait(self) -> None:
        if self._chance.random() < 0.5:
            await asyncio.sleep(self._pace_s * self._chance.choice((0.0, 0.1, 1.0, 4.0)))

    def archived_waveforms(self) -> set[tuple[str, str, str | None, bytes]]:
        """Return what the archive holds now: serial, key, timestamp, counts."""
        store = _RunStore(self._engines)
        rows = store.read(archive.load_page, Wanted(), limit=1000).rows
        return {waveform for row in rows for waveform in _waveforms_of(store, row)}

    def has_begun(self, actor: str) -> bool:
        """Whether the audit log has now the beginning of a command."""
        entries = _RunStore(self._engines).read(audit.load_latest, 1000)
        return any(e["actor"] == actor and e["phase"] == "begun" for e in entries)

    def hold_orders(self, orders: Iterable[Order], complain: Callable[[str], None]) -> None:
        """Complain of what the audit log lacks, or has otherwise; note what it has."""
        store = _RunStore(self._engines)
        verdict = store.read(audit.verify)
        if not verdict.is_sound:
            complain(f"the audit log: {verdict.why}")
        entries = store.read(audit.load_latest, 1000)
        for order in orders:
            reported = {
                phase: [e for e in entries if (e["actor"], e["phase"]) == (order.actor, phase)]
                for phase in ("begun", "ended")
            }
            begun, ended = reported["begun"], reported["ended"]
            if len(begun) > 1 or len(ended) > len(begun):
                complain(f"{order.name} began {len(begun)} times in the audit log")
            if order.sent and not begun:
                complain(f"{order.name}: sent something, and the audit log has no beginning")
            if begun and not ended and not order.crashed:
                complain(f"{order.name}: the audit log has no end")
            if not (begun and ended):
                continue
            outcome = ended[-1]["outcome"]
            # What a start came to is seen after its acknowledgement, and is an entry of its own.
            seen = [e for e in entries if (e["actor"], e["phase"]) == (order.actor, "done")]
            if seen and seen[-1]["of"] == begun[-1]["number"]:
                outcome = seen[-1]["outcome"]
            order.noted_outcome = outcome
            same = {"unchanged": "done", "dry_run": "done", "": outcome}
            if ended[-1]["of"] != begun[-1]["number"]:
                complain(f"{order.name}: its end is that of another beginning")
            if outcome != same.get(order.outcome, order.outcome):
                complain(f"{order.name}: reported {order.outcome}, and {outcome} in the audit log")
            order.noted_outcome = ended[-1]["detail"].get("result", outcome)

    # --- the proof -------------------------------------------------------------------------------

    def note_stored(self, resource: str, answer: Answer) -> None:
        """Note what was reported as stored."""
        serial, value = answer.provenance.serial or "", answer.value
        match resource:
            case "events":
                self._stored_events |= {(serial, e["waveform_key"], e["timestamp"]) for e in value}
            case "event" | "waveform":
                stamp = (serial, value["waveform_key"], value["timestamp"])
                self._stored_events.add(stamp)
                if resource == "waveform":
                    self._stored_waveforms.add((*stamp, value["counts"]))

    def hold_against(self, complain: Callable[[str], None]) -> None:
        """Complain of what was reported as stored and is not there whole, once, and agreed upon."""
        store = _RunStore(self._engines)
        with self._engines.read() as connection:
            for sentence in mirrored_lists.contradictions(connection):
                complain(f"the mirror: {sentence}")
        counts = store.read(maintenance.count_rows)
        rows = counts["recordings"], counts["recording_waveforms"]
        if rows[0] < self._rows[0] or rows[1] < self._rows[1]:
            complain(f"records went: {self._rows} before, {rows} now")
        self._rows = rows
        events: set[Any] = set()
        waveforms: set[Any] = set()
        identities: list[Any] = []
        for row in store.read(archive.load_page, Wanted(), limit=1000).rows:
            stamp = (row["serial"], row["waveform_key"], row["timestamp"])
            events.add(stamp)
            identities.append(
                (*stamp, store.read(archive.load_recording, row["id"])["content_hash"])
            )
            waveforms.update(_waveforms_of(store, row))
        if len(set(identities)) < len(identities):
            complain("a recording is there twice")
        for stamp in self._stored_events - events:
            complain(f"event {stamp} was reported as stored and is not there")
        for waveform in self._stored_waveforms - waveforms:
            complain(f"waveform {waveform[:3]} was reported as stored and is not there")
