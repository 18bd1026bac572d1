"""
Kill the relay with SIGKILL while it downloads, start it again, and look what is left.

``make soak-kill SOAK='--kills 1000'`` is the soak; the test run kills fewer times. The relay is the
real one, in a process of its own; the unit is simulated, slow enough that most kills fall into a
download. Times are drawn from the seed, but processes are not ours to order: a seed
makes a run alike, not equal.

What a kill cannot show is a power cut: the operating system keeps what the process wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kit.command_process import fork_context
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.serve import Pace
from minimateplus.simulator.unit import NEVER_SET_DEVICE_TIME
from sfm.records.digests import digest
from sfm.records.payloads import COUNTS_DTYPE
from sfm.store import Store, Wanted, archive, maintenance, mirrored_lists

SERIAL = "SIM0001"
BAUD = 1_500_000
"""A chunk of 1,024 bytes takes about 7 ms."""


def relay_process(database: str, pipe: Connection) -> None:
    """Be the relay, until killed."""
    from sfm.api.app import build_app
    from sfm.logs import configure_logs
    from sfm.server import listening
    from sfm.settings import Settings

    async def live() -> None:
        settings = Settings(database_url=database, validated_s=0.05)
        async with listening(build_app(settings), "127.0.0.1", 0) as base:
            pipe.send(base)
            await asyncio.Event().wait()

    configure_logs(quiet=True)
    asyncio.run(live())


class RecordingUnit(UnitThread):
    """A unit whose events are noted as they are recorded: the truth of the run."""

    def __init__(self, seed: int) -> None:
        super().__init__(SimulatedUnit(SERIAL, seed=seed), pace=Pace(BAUD))
        self.truth: list[tuple[str, str, bytes]] = []
        """Key, timestamp and digest of the counts of each stored event."""

    def record(self, chance: random.Random, *, never_set: bool) -> None:
        """Store an event of some chunks; equal sizes make equal keys after an erase."""
        size = chance.choice((300, 300, 700))
        drawn = np.random.default_rng(chance.getrandbits(32)).integers(-900, 900, (4, size))
        counts = drawn.astype(np.int16)
        at = NEVER_SET_DEVICE_TIME if never_set else None
        event = self.do(lambda: self.unit.record_event(counts=counts, at_device_time=at))
        timestamp = event.device_time.isoformat() if event.device_time else ""
        body = counts.astype(COUNTS_DTYPE).tobytes()
        self.truth.append((event.key.hex(), timestamp, digest(body)))

    def erase(self) -> None:
        """Empty its memory, as at the keypad."""
        self.do(self.unit.erase)
        self.truth.clear()


@dataclass
class Figures:
    """What a run has seen."""

    kills: int = 0
    kills_in_a_read: int = 0
    events: int = 0
    waveforms: int = 0
    resumable: int = 0
    """Lives that began with a part of a download on disk."""
    warm: int = 0
    """Lives whose first list came from disk."""
    answers: int = 0
    broken: list[str] = field(default_factory=list)

    def met_everything(self) -> bool:
        """Return whether the run met what it is for: it would prove nothing otherwise."""
        met = self.events, self.waveforms, self.resumable, self.warm, self.answers
        return all(met) and self.kills_in_a_read > self.kills / 4


class Readers:
    """Two programs that read whatever they can, and note what was acknowledged."""

    def __init__(self, base: str, port: int, stored: int, seed: int) -> None:
        self.acknowledged_events: set[tuple[str, str]] = set()
        self.acknowledged_waveforms: set[tuple[str, str, bytes]] = set()
        self.answers = 0
        self.reading = 0
        self._query = {"host": "127.0.0.1", "tcp_port": port}
        self._base = base
        self._stored = stored
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(random.Random(seed + n),), daemon=True)
            for n in range(2)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _read(self, chance: random.Random) -> None:
        with httpx.Client(base_url=self._base, timeout=20, trust_env=False) as client:
            while not self._stop.is_set():
                self.reading += 1
                try:
                    self._read_one(client, chance)
                except httpx.HTTPError:
                    return
                finally:
                    self.reading -= 1

    def _read_one(self, client: httpx.Client, chance: random.Random) -> None:
        query: dict[str, Any] = dict(self._query)
        if chance.random() < 0.3:
            query["force"] = "true"
        if chance.random() < 0.3:
            answer = client.get("/device/events", params=query)
            if answer.is_success and answer.json()["provenance"]["stored"]:
                self.acknowledged_events |= {
                    (event["waveform_key"], event["timestamp"]) for event in answer.json()["events"]
                }
        else:
            index = chance.randrange(max(1, self._stored))
            answer = client.get(
                f"/device/event/{index}/waveform",
                params=query,
                headers={"accept": "application/octet-stream"},
            )
            if answer.is_success and "; stored" in answer.headers["cache-status"]:
                _, key, timestamp, *_ = answer.headers["etag"].strip('"').split(".")
                self.acknowledged_waveforms.add((key, timestamp, digest(answer.content)))
        self.answers += 1


class Run:
    """One database, one unit, many runs of the relay."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.figures = Figures()
        self._chance = random.Random(seed)
        self._path = folder / "killed.sqlite"
        self._url = f"sqlite:///{self._path}"
        self._unit = RecordingUnit(seed)
        self._context = fork_context()
        self._events: set[tuple[str, str]] = set()
        self._waveforms: set[tuple[str, str, bytes]] = set()
        self._counted = (0, 0)
        self._verified = (0, 0)
        self._never_set = False
        for _ in range(3):
            self._unit.record(self._chance, never_set=False)

    def close(self) -> None:
        """Let the unit go."""
        self._unit.close()

    def live_and_kill(self) -> None:
        """Start the relay, hold it against the truth and the database, let it read, kill it."""
        self._touch_the_unit()
        pipe, child_pipe = self._context.Pipe(duplex=False)
        process = self._context.Process(target=relay_process, args=(self._url, child_pipe))
        process.start()
        try:
            if not pipe.poll(60):
                self._complain("the relay did not start within 60 s")
                return
            base = pipe.recv()
            self._verify()
            self._first_answers(base)
            readers = Readers(
                base, self._unit.port, len(self._unit.truth), self._chance.getrandbits(32)
            )
            longest_s = self._chance.choice((0.02, 0.1, 0.3, 0.6))
            time.sleep(longest_s * self._chance.random())
            self.figures.kills_in_a_read += readers.reading > 0
        finally:
            process.kill()
            process.join(20)
            pipe.close()
            child_pipe.close()
        self.figures.kills += 1
        readers.stop()
        self._events |= readers.acknowledged_events
        self._waveforms |= readers.acknowledged_waveforms
        self.figures.answers += readers.answers
        self.figures.events = len(self._events)
        self.figures.waveforms = len(self._waveforms)

    def _touch_the_unit(self) -> None:
        chance = self._chance
        drawn = chance.random()
        if drawn < 0.15 or len(self._unit.truth) > 6:
            count = len(self._unit.truth)
            self._unit.erase()
            self._never_set = chance.random() < 0.4
            for _ in range(max(1, min(5, count + chance.choice((-1, 0, 0, 1))))):
                self._unit.record(chance, never_set=self._never_set)
        elif drawn < 0.5:
            self._unit.record(chance, never_set=self._never_set)

    def _first_answers(self, base: str) -> None:
        """What a restarted relay says first must be what the unit holds."""
        query: dict[str, Any] = {"host": "127.0.0.1", "tcp_port": self._unit.port}
        with httpx.Client(base_url=base, timeout=30, trust_env=False) as client:
            if self._chance.random() < 0.5:
                index = self._chance.randrange(len(self._unit.truth))
                answer = client.get(
                    f"/device/event/{index}/waveform",
                    params=query,
                    headers={"accept": "application/octet-stream"},
                )
                if digest(answer.content) != self._unit.truth[index][2]:
                    self._complain(f"slot {index}: not the samples that the unit holds")
            answer = client.get("/device/events", params=query)
        body = answer.json()
        reports = [
            (event["waveform_key"], event["timestamp"] or "") for event in body.get("events", ())
        ]
        if reports != [(key, at) for key, at, _ in self._unit.truth]:
            self._complain(f"the first list is {reports}, the unit holds {self._unit.truth}")
        if body.get("provenance", {}).get("stored"):
            self._events |= {(key, at) for key, at in reports}
        self.figures.warm += body.get("provenance", {}).get("source") == "disk"

    def _verify(self) -> None:
        """Hold the database against what was acknowledged, and against itself."""
        with Store.open(self._url, read_only=True) as store:
            counts = store.read(maintenance.count_rows)
            self.figures.resumable += counts["download_chunks"] > 0
            with store.engines.read() as connection:
                for sentence in mirrored_lists.contradictions(connection):
                    self._complain(sentence)
            now = counts["recordings"], counts["recording_waveforms"]
            if now[0] < self._counted[0] or now[1] < self._counted[1]:
                self._complain(f"rows went: {self._counted} before, {now} now")
            self._counted = now
            self._verify_rows(store)

    def _verify_rows(self, store: Store) -> None:
        found: dict[tuple[str, str], int] = {}
        samples: dict[tuple[str, str, bytes], int] = {}
        identities: set[tuple[str, str, str]] = set()
        cursor: str | None = None
        while True:
            page = store.read(archive.load_page, Wanted(), cursor, 1000)
            for row in page.rows:
                key, at = row["waveform_key"], row["timestamp"] or ""
                found[key, at] = found.get((key, at), 0) + 1
                recording = store.read(archive.load_recording, row["id"])
                if recording["id"] != row["id"]:
                    self._complain(f"recording {row['id']} is not what its hash says")
                identity = (key, at, recording["content_hash"])
                if identity in identities:
                    self._complain(f"{identity} is there twice")
                identities.add(identity)
                for content in row["contents"]:
                    entry = store.read(archive.load_samples, row["id"], bytes.fromhex(content))
                    sound = (
                        digest(store.read(archive.load_image, entry.waveform_id))
                        == entry.content_hash
                    )
                    counts = digest(entry.counts())
                    if not sound:
                        self._complain(f"the image of recording {row['id']} is torn")
                    samples[key, at, counts] = samples.get((key, at, counts), 0) + 1
            cursor = page.next_cursor
            if cursor is None:
                break
        for event in self._events - set(found):
            self._complain(f"event {event} was acknowledged and is not there")
        for waveform in self._waveforms - set(samples):
            self._complain(f"waveform {waveform[:2]} was acknowledged and is not there")
        for waveform, times in samples.items():
            if times > 1:
                self._complain(f"waveform {waveform[:2]} is there {times} times")

    def _complain(self, sentence: str) -> None:
        self.figures.broken.append(f"kill {self.figures.kills}: {sentence}")


def run(kills: int, seed: int, folder: Path, reported_each: int = 0) -> Figures:
    """
    Return what so many kills have shown; stop at the first broken promise.

    How far a relay gets until its kill depends on the machine. So a run that has not met everything
    by then continues, for at most ten times as many kills.
    """
    restarts = Run(seed, folder)
    try:
        for number in range(10 * kills):
            if number > kills and restarts.figures.met_everything():
                break
            restarts.live_and_kill()
            if restarts.figures.broken:
                break
            if reported_each and number % reported_each == 0:
                sys.stderr.write(f"{restarts.figures}\n")
        return restarts.figures
    finally:
        restarts.close()


def main() -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(asked.kills, asked.seed, Path(folder), reported_each=50)
    took_s = time.monotonic() - began
    sys.stdout.write(f"seed {asked.seed}: {figures}, {took_s:.0f} s\n")
    sys.exit(bool(figures.broken))


if __name__ == "__main__":
    main()
