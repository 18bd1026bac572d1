"""
What a reader gets while others abuse the relay, and what that leaves behind.

The method. The relay runs as its user starts it, in a process of its own that may have 1,024 files
open; eight simulated units are registered. One reader asks one of them for its events four times a
second, each time over a connection of its own. Meanwhile another process does one of three things,
without a token, over loopback:

- idle: holds 1,100 connections that say nothing, and opens again what is closed, 200 a second;
- cut: begins 500 requests a second whose body it cuts;
- silent: asks for 64 addresses that take the call and never say a word, again and again.

Printed: the reader's answers, how long they took, what the relay logged meanwhile, and its files
and memory before and a while after. ``--tree`` runs the relay from another tree of the sources, to
compare. At most 60 s each, on loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.unit_thread import UnitThread
from peers import QUICK, percentile

from minimateplus.simulator import SimulatedUnit

FILES = 1024
IDLE = 1100
REOPENED_PER_S = 200
CUTS_PER_S = 500
SILENT = 64
UNITS = 8
EVERY_S = 0.25
ANSWER_S = 5.0
AFTER_S = 0.5 if QUICK else 8.0
SECONDS = 1.0 if QUICK else 60.0
FLOODS = ("none", "idle", "cut", "silent")
LOOPBACK = "127.0.0.1"
SOURCES = tuple(f"127.0.0.{n}" for n in range(2, 10))
"""Of this machine too; several, so that ports do not run out."""


@dataclass
class Relay:
    """The relay under test, seen from outside."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def files(self) -> int:
        """Return how many files it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def memory_mib(self) -> float:
        """Return the memory that it occupies, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def logged(self) -> tuple[int, int]:
        """Return the lines and bytes of its log."""
        content = self.log.read_bytes()
        return content.count(b"\n"), len(content)


@dataclass
class Reader:
    """Asks in its own time, answered or not."""

    port: int
    units: list[int]
    took_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Ask for so long, and wait for the last answer."""
        began = time.monotonic()
        asking: list[threading.Thread] = []
        number = 0
        while (due := began + number * EVERY_S) < began + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            asking.append(threading.Thread(target=self._ask, args=(number,)))
            asking[-1].start()
            number += 1
        for one in asking:
            one.join()

    def _ask(self, number: int) -> None:
        # Each unit for a second, then not for longer than its line is kept open.
        unit = self.units[number // 4 % len(self.units)]
        began = time.perf_counter()
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=ANSWER_S)
        try:
            connection.request("GET", f"/device/events?host={LOOPBACK}&tcp_port={unit}")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.took_ms.append(1000 * (time.perf_counter() - began))
            else:
                self.failures.append(str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(type(error).__name__)
        finally:
            connection.close()


@contextmanager
def started(tree: Path, units: list[int], folder: Path) -> Iterator[Relay]:
    """Run the relay of a tree until the block ends."""
    log = folder / "log"
    named = {f"unit {port}": f"tcp://{LOOPBACK}:{port}" for port in units}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SFM_")}
    env = {
        **kept,
        "PYTHONPATH": str(tree),
        "SFM_DATABASE_URL": f"sqlite:///{folder}/db",
        "SFM_UNITS": json.dumps(named),
        "COLUMNS": "1000",
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", "from sfm.cli import main; main()", "serve", "--http-port=0"],
            cwd=tree,
            env=env,
            stderr=sink,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
        )
        try:
            while (found := re.search(rb"answers at http://\S+:(\d+)", log.read_bytes())) is None:
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.05)
            yield Relay(process, int(found[1]), log)
        finally:
            process.terminate()
            process.wait()


# --- the floods, each in a process of its own until it is terminated ------------------------------


def flood_none(_: int) -> None:
    """Do nothing."""
    while True:
        time.sleep(1.0)


def flood_idle(port: int) -> None:
    """Hold connections that say nothing."""
    known = selectors.DefaultSelector()
    is_full = False
    while True:
        while len(known.get_map()) < IDLE:
            source = (SOURCES[len(known.get_map()) % len(SOURCES)], 0)
            try:
                link = socket.create_connection((LOOPBACK, port), 1.0, source)
            except OSError:
                break
            known.register(link, selectors.EVENT_READ)
            time.sleep(1 / REOPENED_PER_S if is_full else 0)
        is_full = True
        for key, _ in known.select(0.1):
            # They say nothing, so what can be read is the end.
            link = key.fileobj  # type: ignore[assignment]
            known.unregister(link)
            link.close()


def flood_cut(port: int) -> None:
    """Begin requests and cut their bodies."""
    head = b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    began, number = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, began + number / CUTS_PER_S - time.monotonic()))
        source = (SOURCES[number % len(SOURCES)], 0)
        with (
            contextlib.suppress(OSError),
            socket.create_connection((LOOPBACK, port), 1.0, source) as link,
        ):
            link.sendall(head)
        number += 1


def flood_silent(port: int) -> None:
    """Ask for addresses that take the call and never say a word."""
    silent = []
    for _ in range(SILENT):
        taken = socket.create_server((LOOPBACK, 0), backlog=512)
        silent.append(taken)

    def ask(unit: int) -> None:
        while True:
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=600)
            try:
                connection.request("GET", f"/device/info?host={LOOPBACK}&tcp_port={unit}")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)

    for one in silent:
        threading.Thread(target=ask, args=(one.getsockname()[1],), daemon=True).start()
    while True:
        time.sleep(1.0)


DOING = {"none": flood_none, "idle": flood_idle, "cut": flood_cut, "silent": flood_silent}


@contextmanager
def flooded(kind: str, port: int) -> Iterator[None]:
    """Flood the relay at a port until the block ends."""
    words = [sys.executable, __file__, "--flood", kind, "--port", str(port)]
    process = subprocess.Popen(words)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(kind: str, tree: Path, seconds: float) -> str:
    """Return the row of one flood."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        units = []
        for number in range(UNITS):
            unit = SimulatedUnit(f"SIM{number:04d}", seed=number)
            unit.record_event(seed=number)
            units.append(UnitThread(unit))
            stack.callback(units[-1].close)
        ports = [one.port for one in units]
        relay = stack.enter_context(started(tree, ports, folder))
        Reader(relay.port, ports).run(UNITS * 4 * EVERY_S if seconds > 10 else 1.0)
        lines, size = relay.logged()
        files, memory = relay.files(), relay.memory_mib()
        reader = Reader(relay.port, ports)
        with flooded(kind, relay.port):
            time.sleep(min(2.0, seconds / 3))
            reader.run(seconds)
        time.sleep(AFTER_S)
        took = sorted(reader.took_ms) or [float("nan")]
        asked = len(reader.took_ms) + len(reader.failures)
        last_lines, last_size = relay.logged()
        failure_counts = {one: reader.failures.count(one) for one in sorted(set(reader.failures))}
        cells = (
            kind,
            f"{len(reader.took_ms)} of {asked}",
            f"{percentile(took, 0.5):.0f}, {percentile(took, 0.99):.0f}",
            f"{last_lines - lines:,}",
            f"{last_size - size:,}",
            f"{files} to {relay.files()}",
            f"{memory:.0f} to {relay.memory_mib():.0f}",
            str(failure_counts or ""),
        )
        return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, or do the flooding."""
    words = argparse.ArgumentParser()
    words.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    words.add_argument("--seconds", type=float, default=SECONDS)
    words.add_argument("--only", choices=FLOODS)
    words.add_argument("--flood", choices=FLOODS)
    words.add_argument("--port", type=int, default=0)
    given = words.parse_args()
    if given.flood:
        DOING[given.flood](given.port)
    print(
        "| flood | reader answered | p50, p99, ms | log lines | log bytes | files | memory, MiB "
        "| not answered |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind in [given.only] if given.only else FLOODS[-1:] if QUICK else FLOODS:
        print(measure(kind, given.tree.resolve(), min(60.0, given.seconds)), flush=True)


if __name__ == "__main__":
    main()
