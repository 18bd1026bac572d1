"""
Two programs on one unit through a real serial server: the relay, and one that walks when it likes.

``ser2net`` offers the raw unit's terminal with ``max-connections: 2``, so both move the unit's one
record cursor and each hears every reply. The relay is a process of its own, asked over HTTP. The
other program is connected by TCP as well; after a random number of exchanges it visits records,
asks for keys, or walks on.

The test suite runs 20 lists. For more::

    PYTHONPATH=tests python tests/kit/shared_line.py --lists 300
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from kit.ports import reserve_port
from kit.raw_unit import REPLY_START, RawEvent, RawTerminal, RawUnit, Scanner, request
from kit.relay_process import relay

EVENTS = 8
ARCHIVED = 2
"""Events whose samples the archive has; an erase would destroy the others."""
REPLY_S = 1.0
"""How long a reply may take, in s: two programs that send at once garble each other's requests."""
PATIENCE_S = 120.0
"""A bound for a busy machine; nothing is judged by it."""
SHARED = "line-shared"
PROBLEM = "urn:seismo-relay:problem:"


def find_ser2net() -> str | None:
    """Return where ser2net is; ``None``: it is not installed."""
    return shutil.which("ser2net") or shutil.which("ser2net", path="/usr/sbin:/usr/local/sbin")


@dataclass
class Outcome:
    """What came of a run."""

    lists: int = 0
    quiet: int = 0
    """Lists for which the other program kept still: each must be whole."""
    served_good: int = 0
    short_called_good: list[str] = field(default_factory=list)
    failed_while_quiet: list[str] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    erases_asked: int = 0
    erase_answers: Counter[str] = field(default_factory=Counter)
    erases_done: int = 0
    disturbances: int = 0
    """How often the other program sent something."""

    def table(self) -> str:
        """Return it for people."""
        rows = {
            "lists asked for": self.lists,
            "  of them with the other program quiet": self.quiet,
            "times the other program sent something": self.disturbances,
            "lists served, whole, quality good": self.served_good,
            "short lists called good": len(self.short_called_good),
            "lists that failed while the other program was quiet": len(self.failed_while_quiet),
            **{f"  problem {kind}": count for kind, count in self.problems.most_common()},
            "erases asked for": self.erases_asked,
            **{f"  {kind}": count for kind, count in self.erase_answers.most_common()},
            "erases done, with unarchived events": self.erases_done,
        }
        return "\n".join(f"{what:<56}{count:>6,}" for what, count in rows.items())


class OtherProgram:
    """A client of the serial server that sends requests when the unit has answered enough."""

    def __init__(self, unit: RawUnit, chance: random.Random) -> None:
        self.sent = 0
        self._unit = unit
        self._chance = chance
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_quiet = True
        self._scanner = Scanner(REPLY_START)

    async def run(self, port: int) -> None:
        """Exchange until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                if self._is_quiet:
                    continue
                self._idle.clear()
                for one in self._requests():
                    writer.write(one)
                    await writer.drain()
                    self.sent += 1
                    await self._answer_to(one, reader)
                self._idle.set()
                self._plan()
        finally:
            writer.close()

    def start(self) -> None:
        """Send something from time to time."""
        self._is_quiet = False
        self._plan()

    async def be_quiet(self) -> None:
        """Send nothing more, once what was begun is answered."""
        self._is_quiet = True
        await self._idle.wait()

    def _plan(self) -> None:
        self._unit.at_exchange(self._chance.randint(3, 120), self._due.set)

    def _requests(self) -> list[bytes]:
        event: RawEvent = self._chance.choice(self._unit.events)
        params = bytes(4) + event.key_bytes + bytes(2)
        visit = [request(0x0A, 0, params), request(0x0A, 0x46, params)]
        first = [request(0x1E), request(0x1E, 8)]
        following = [request(0x1F), request(0x1F, 8)]
        walks = [visit, visit + following, first, first + visit + following, following]
        return self._chance.choice(walks)

    async def _answer_to(self, sent: bytes, reader: asyncio.StreamReader) -> None:
        """Wait for a reply of that SUB to any client, or for as long as one may take."""
        (wanted,) = Scanner(bytes.fromhex("41 02 10 10 00")).feed(sent)
        try:
            async with asyncio.timeout(REPLY_S):
                while True:
                    heard = self._scanner.feed(await reader.read(4096))
                    if any(message.sub == 0xFF - wanted.sub for message in heard):
                        return
        except TimeoutError:
            return


@asynccontextmanager
async def ser2net(folder: Path, device: str) -> AsyncIterator[int]:
    """Yield the loopback port on which ser2net offers ``device`` to two clients at once."""
    program = find_ser2net()
    assert program is not None
    port = reserve_port()
    config = folder / "ser2net.yaml"
    config.write_text(
        "%YAML 1.1\n---\n"
        "connection: &unit\n"
        f"  accepter: tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},38400n81,local\n"
        "  options:\n"
        "    max-connections: 2\n"
    )
    command = (program, "-n", "-d", "-u", "-c", str(config), "-P", str(folder / "ser2net.pid"))
    with (folder / "ser2net.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not _listens(port):
                assert process.returncode is None, f"ser2net ended; see {folder}/ser2net.log"
                await asyncio.sleep(0.01)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _listens(port: int) -> bool:
    """Return whether somebody listens, by the kernel's table: a connection would take a place."""
    return f"0100007F:{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


async def share_the_line(folder: Path, lists: int, seed: int) -> Outcome:
    """Ask for ``lists`` lists, and for erases, while another program is on the line."""
    chance = random.Random(seed)
    unit = RawUnit().record(EVENTS, samples=64)
    outcome = Outcome()
    async with RawTerminal(unit) as terminal, ser2net(folder, terminal.path) as port:
        with relay(
            database=folder / "relay.db", SFM_REPLY_S=str(REPLY_S), SFM_KEEP_OPEN_S="1"
        ) as running:
            async with httpx.AsyncClient(
                base_url=running.base,
                params={"host": "127.0.0.1", "tcp_port": port},
                timeout=PATIENCE_S,
            ) as client:
                for index in range(ARCHIVED):
                    answer = await client.get(f"/device/event/{index}/waveform")
                    assert answer.status_code == 200, answer.text
                other = OtherProgram(unit, chance)
                task = asyncio.create_task(other.run(port))
                try:
                    for number in range(lists):
                        await _one_list(client, unit, other, number, chance, outcome)
                finally:
                    task.cancel()
                    await asyncio.wait((task,))
                outcome.disturbances = other.sent
    outcome.erases_done = unit.erases
    return outcome


async def _one_list(
    client: httpx.AsyncClient,
    unit: RawUnit,
    other: OtherProgram,
    number: int,
    chance: random.Random,
    outcome: Outcome,
) -> None:
    """Ask for a list while the other program sends or is quiet; then for an erase by its count."""
    is_quiet = number % 4 == 3
    if is_quiet:
        await other.be_quiet()
    else:
        other.start()
    forced = {"force": "true"} if is_quiet or chance.random() < 0.7 else {}
    answer = await client.get("/device/events", params=forced)
    if is_quiet and answer.status_code >= 400 and answer.json()["type"].endswith(SHARED):
        # The relay may have heard the other program on a connection that it kept open: the problem
        # asks to try again once the other program is closed.
        answer = await client.get("/device/events", params=forced)
    await other.be_quiet()
    outcome.lists += 1
    outcome.quiet += is_quiet
    counts = [ARCHIVED, EVENTS]
    body: dict[str, Any] = answer.json()
    if answer.status_code == 200 and body["provenance"]["quality"] == "good":
        served = [event["waveform_key"] for event in body["events"]]
        counts.append(len(served))
        if served == [event.key_bytes.hex() for event in unit.events]:
            outcome.served_good += 1
        else:
            outcome.short_called_good.append(
                f"list {number}: {len(served)} of {len(unit.events)} events, by "
                f"{body['provenance']['source']}"
            )
    else:
        kind = body["type"].removeprefix(PROBLEM) if answer.status_code >= 400 else "not good"
        outcome.problems[kind] += 1
        if is_quiet:
            outcome.failed_while_quiet.append(f"list {number}: {answer.text}")
    other.start()
    count = chance.choice(counts)
    answer = await client.post("/device/events/erase", json={"serial": unit.serial, "count": count})
    await other.be_quiet()
    outcome.erases_asked += 1
    if answer.status_code == 200:
        outcome.erase_answers[f"200 {answer.json()['outcome']}"] += 1
    else:
        body = answer.json()
        kind = body.get("reason") or body["type"].removeprefix(PROBLEM)
        outcome.erase_answers[f"{answer.status_code} {kind}"] += 1


def main() -> None:
    """Run it from the command line and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 2)[1])
    parser.add_argument("--lists", type=int, default=20, help="how many lists to ask for")
    parser.add_argument("--seed", type=int, default=11, help="of the other program's moments")
    given = parser.parse_args()
    if find_ser2net() is None:
        parser.error("ser2net is not installed (Debian: apt-get install ser2net)")
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(share_the_line(Path(folder), given.lists, given.seed))
    print(outcome.table())  # noqa: T201
    for line in (*outcome.short_called_good, *outcome.failed_while_quiet):
        print(line)  # noqa: T201
    raise SystemExit(bool(outcome.short_called_good or outcome.erases_done))


if __name__ == "__main__":
    main()
