"""
CPU time of a request for what is cached, beside an older tree; requests a second beside a bare
application; CPU of a waveform answer.

The rule: a hit and a 304 cost little more than the server itself.

The method. Each server is a process of its own: the production application before a simulated unit,
with the settings and the protocol of ``sfm.server``. wrk (a load tool in C; ``apt-get install
wrk``) drives them in turns over loopback, one thread, 16 connections kept alive, for a second each.
The CPU time is that of the server's process, user and system, from ``/proc`` before and after a
turn, divided by the requests that wrk counted in it (wrk stops by time, never by number). Figures
are medians of the turns, a ratio is the median of the ratios of neighbours. Where wrk or ``/proc``
is missing, these tables are skipped and say so.

``--old TREE`` names an older tree, which is then run beside this one: its own application and the
protocol that it ships, with the Python of its ``.venv``, or of ``--old-python``, or else the one
that runs this. An event has more facts now, so an answer is longer: the table has a hit of equal
numbers of events, and one of 20 kB in each tree.

With a token: one relay with a database is asked in turns as a program on this machine asks, and as
one in the network does, with a bearer token and another Host.

The bare application is an ASGI function on the same server that knows two answers by heart: those
of the relay, header by header.

The CPU of a waveform answer is that of the process while the application, called as a server would
call it, answers from cache: once with nothing encoded yet, once with what the last reader left.
Under 60 s; with ``--old`` two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from peers import QUICK, median_of_ratios, print_head, serve, server_process

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.blast import Blast
from sfm.access.principal import Role
from sfm.api.app import build_app, build_store_service
from sfm.cache.freshness import Freshness
from sfm.devices.gateway import Gateway
from sfm.devices.target import Target
from sfm.live_cache import LiveCache
from sfm.settings import Settings
from sfm.store import Store, tokens

EVENTS = 80
ANSWER_BYTES = 20_000
TURNS = 1 if QUICK else 5
TURN_S = 1
PATIENCE_S = 60
ADDRESS = Address("tcp", "unit.invalid", 12345)
UNIT = f"host={ADDRESS.target}&tcp_port={ADDRESS.number}"
LIST_PATH = f"/device/events?{UNIT}&max_age=3600"
BY_SERVER = {"date", "server"}
"""Headers that uvicorn adds itself."""
PLAIN = {"Accept-Encoding": "identity"}
"""As wrk asks: no header that would change the answer. What is compressed has its own ETag."""

OLD_RELAY = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
import bench_http
for module, name in (
    ("sfm.http_protocol", "HttpProtocol"),
    ("sfm.server", "_Protocol"),
    ("sfm.listening", "_Protocol"),
):
    try:
        protocol = getattr(importlib.import_module(module), name)
        break
    except (ImportError, AttributeError):
        pass
import socket, uvicorn
app = bench_http.relay_before(bench_http.recorded(int(sys.argv[2])))[0]
config = uvicorn.Config(
    app, http=protocol, ws="none", proxy_headers=False, log_level="critical", access_log=False,
    timeout_graceful_shutdown=0,
)
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
    bound.bind(("127.0.0.1", 0))
    bound.listen(config.backlog)
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[bound])
"""
"""What serves an older tree: its benchmark's relay on its own protocol, as ``peers.serve`` does."""


def relay_before(unit: SimulatedUnit, database_url: str = "none") -> tuple[Any, Gateway]:
    """Return the production application over a unit in memory, and its gateway."""
    sessions: set[asyncio.Task[None]] = set()

    async def connect(_: Address) -> MiniMate:
        ours, theirs = memory_pair()
        sessions.add(asyncio.create_task(serve_link(unit, theirs)))
        return await MiniMate.open(ours)

    settings, service = Settings(), None
    if database_url != "none":
        # Over the network only registered units are reached.
        address = f"tcp://{ADDRESS.target}:{ADDRESS.number}"
        settings = Settings(database_url=database_url, units={"bench": address})
        service = build_store_service(settings)
    gateway = Gateway(LiveCache(), settings, store_service=service, connect=connect)
    return build_app(settings, gateway), gateway


def recorded(events: int) -> SimulatedUnit:
    """Return a unit with so many events."""
    unit = SimulatedUnit(seed=1)
    for _ in range(events):
        unit.record_event()
    return unit


def bare_app(learned: Path) -> Any:
    """Return an application that knows two answers: with If-None-Match the second."""
    answers = []
    for answer in json.loads(learned.read_text()):
        headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
        start = {
            "type": "http.response.start",
            "status": answer["status"],
            "headers": headers,
        }
        body = {"type": "http.response.body", "body": base64.b64decode(answer["body"])}
        answers.append((start, body))
    full, unmodified = answers

    async def app(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("no lifespan")
        is_known = any(name == b"if-none-match" for name, _ in scope["headers"])
        start, body = unmodified if is_known else full
        await send(start)
        await send(body)

    return app


@dataclass
class Server:
    """A relay or a bare application in a process of its own, and one way to ask it."""

    base: str
    pid: int
    headers: dict[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    """Requests a second, turn by turn."""
    cpu_us: list[float] = field(default_factory=list)
    """CPU time of a request, turn by turn."""

    def get(self, **headers: str) -> httpx.Response:
        """Ask once; the second time the answer is from cache."""
        answer = httpx.get(
            self.base + LIST_PATH, headers={**PLAIN, **self.headers, **headers}, timeout=PATIENCE_S
        )
        if answer.status_code not in (200, 304):
            raise AssertionError(answer.text)
        return answer

    def asked(self, **headers: str) -> Server:
        """Return the same server, asked with other headers."""
        return Server(self.base, self.pid, {**self.headers, **headers})

    def if_known(self) -> Server:
        """Return the same server, asked by a reader who has the answer."""
        known = self.asked(**{"If-None-Match": self.get().headers["etag"]})
        if known.get().status_code != 304:
            raise AssertionError("expected 304")
        return known

    def turn(self) -> None:
        """Let wrk ask for one turn."""
        began_s = cpu_s(self.pid)
        count, rate = wrk(self.base + LIST_PATH, self.headers)
        self.cpu_us.append((cpu_s(self.pid) - began_s) * 1e6 / count)
        self.rates.append(rate)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, user and system, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(url: str, headers: dict[str, str]) -> tuple[int, float]:
    """Let wrk ask for one turn; return how many requests were answered, and how many a second."""
    given = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", "-c16", f"-d{TURN_S}s", *given, url]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    count, rate = (
        re.search(r"(\d+) requests in", output),
        re.search(r"Requests/sec:\s+([\d.]+)", output),
    )
    if "Non-2xx" in output or "Socket errors" in output or count is None or rate is None:
        raise AssertionError(output)
    return int(count[1]), float(rate[1])


def run_in_turns(*servers: Server) -> None:
    """Let all of them answer in turns; the first turn of each is warming up."""
    for turn in range(TURNS if QUICK else TURNS + 1):
        for server in servers:
            server.turn()
            if not turn and not QUICK:
                server.cpu_us.clear()
                server.rates.clear()


@contextmanager
def own_server(*arguments: object) -> Iterator[Server]:
    """Run a server of this tree; what it reads first is read."""
    command = [sys.executable, __file__, *map(str, arguments)]
    with server_process(command) as (base, pid):
        yield Server(base, pid)


@contextmanager
def old_server(tree: Path, python: str, events: int) -> Iterator[Server | None]:
    """Run the relay of an older tree; ``None``: it does not start."""
    path = os.pathsep.join(map(str, (tree, tree / "tests")))
    command = [python, "-c", OLD_RELAY, str(tree / "benchmarks"), str(events)]
    with server_process(command, cwd=tree, env={**os.environ, "PYTHONPATH": path}) as (base, pid):
        if not base:
            yield None
            return
        server = Server(base, pid)
        server.get()
        yield server


def events_of_an_answer(size_of_all: int) -> int:
    """Return how many events make an answer of 20 kB, if ``EVENTS`` make one of that size."""
    return round(EVENTS * ANSWER_BYTES / size_of_all)


def print_cpu(old: Path | None, old_python: str | None) -> None:
    """Print the CPU time of a request of this tree and of an older one."""
    if old is None:
        print("beside an older tree: skipped, none was named (--old TREE)\n")
        return
    own_python = old / ".venv" / "bin" / "python"
    python = old_python or str(own_python if own_python.exists() else sys.executable)
    with ExitStack() as stack:
        before = stack.enter_context(old_server(old, python, EVENTS))
        if before is None:
            print(f"beside an older tree: skipped, {python} does not run that of {old}\n")
            return
        now = stack.enter_context(own_server("relay", EVENTS))
        now.get()
        counts = [events_of_an_answer(len(one.get().content)) for one in (before, now)]
        equal_before = stack.enter_context(old_server(old, python, counts[0]))
        equal_now = stack.enter_context(own_server("relay", counts[1]))
        if equal_before is None:
            raise AssertionError(f"{old} started once and not again")
        equal_now.get()
        rows = [
            (f"hit, {EVENTS} events", before, now, ""),
            (f"hit, {counts[0]} and {counts[1]} events", equal_before, equal_now, "0.45"),
            ("304", equal_before.if_known(), equal_now.if_known(), "0.45"),
        ]
        run_in_turns(*(server for _, *pair, _ in rows for server in pair))
        print(f"Cache-Status of the hit: {now.get().headers['cache-status']}")
        print(
            f"{'CPU per request, us':<28}{'bytes before':>14}{'bytes now':>12}"
            f"{'before':>9}{'now':>9}{'ratio':>8}{'target':>8}"
        )
        for name, one, other, target in rows:
            sizes = f"{len(one.get().content):>14,}{len(other.get().content):>12,}"
            print(f"{name:<28}{sizes}{_medians(one.cpu_us, other.cpu_us)}{target:>8}")
    print()


def _medians(base: list[float], compared: list[float]) -> str:
    """Return both medians and the ratio, as cells."""
    ratio = median_of_ratios(compared, base)
    return f"{statistics.median(base):>9.1f}{statistics.median(compared):>9.1f}{ratio:>8.2f}"


def print_token_cpu() -> None:
    """Print the CPU time of a request with a token, beside that of one from this machine."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'relay.sqlite'}"
        with Store.open(url) as store:
            created = store.write(
                tokens.create, "bench", Role.VIEWER.value, (), datetime.now(UTC), os.urandom
            )
        with own_server("relay", EVENTS, url) as local:
            local.get()
            far = local.asked(Host="relay.example", Authorization=f"Bearer {created[1]}")
            rows = [("hit", local, far), ("304", local.if_known(), far.if_known())]
            run_in_turns(*(server for _, *pair in rows for server in pair))
            print(
                f"{'CPU per request, us':<28}{'bytes':>8}{'local':>9}{'token':>9}"
                f"{'ratio':>8}{'target':>8}"
            )
            for name, one, other in rows:
                size = len(one.get().content)
                print(f"{name:<28}{size:>8,}{_medians(one.cpu_us, other.cpu_us)}{'1.15':>8}")
    print()


def record_answers(hit: Server, known: Server, path: Path) -> None:
    """Write down a hit and a 304 for the bare application."""
    answers_json = [
        {
            "status": answer.status_code,
            "headers": [pair for pair in answer.headers.multi_items() if pair[0] not in BY_SERVER],
            "body": base64.b64encode(answer.content).decode(),
        }
        for answer in (hit.get(), known.get())
    ]
    path.write_text(json.dumps(answers_json))


def print_rates() -> None:
    """Print requests per second of the relay and of a bare application, for a hit and for a 304."""
    with tempfile.TemporaryDirectory() as folder, own_server("relay", EVENTS) as relay:
        relay.get()
        known = relay.if_known()
        learned = Path(folder) / "learned.json"
        record_answers(relay, known, learned)
        with own_server("bare", learned) as bare:
            bare_known = bare.asked(**known.headers)
            run_in_turns(bare, relay, bare_known, known)
            print(
                f"{'requests/s':<28}{'bytes':>8}{'bare':>9}{'relay':>9}{'ratio':>8}{'stretch':>9}"
            )
            for name, one, other in (("hit", bare, relay), ("304", bare_known, known)):
                size = len(other.get().content)
                print(f"{name:<28}{size:>8,}{_medians(one.rates, other.rates)}{'0.6':>9}")
    print()


async def _answered(
    app: Any, path: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[int, dict[bytes, bytes]]:
    """Call the application as a server does; return the body's length and the headers."""
    route, _, query = path.partition("?")
    size = 0
    head: dict[bytes, bytes] = {}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal size, head
        if message["type"] == "http.response.start":
            head = dict(message["headers"])
            if message["status"] not in (200, 304):
                raise AssertionError(f"{path}: {message['status']}")
        size += len(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": route,
        "raw_path": route.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8200),
    }
    await app(scope, receive, send)
    return size, head


async def _cpu_ms(
    app: Any, path: str, accept: bytes, before_each: Callable[[], object]
) -> tuple[float, int, str]:
    """Return the median CPU of one answer in ms, its length and media type."""
    times = []
    size, media = 0, ""
    for _ in range(3 if QUICK else 41):
        before_each()
        began = time.process_time_ns()
        size, head = await _answered(app, path, [(b"accept", accept)])
        times.append((time.process_time_ns() - began) / 1e6)
        media = head[b"content-type"].decode()
    return statistics.median(times), size, media


async def print_hit_cost() -> None:
    """Print what the application itself takes of a hit: the rest is the server's."""
    app, gateway = relay_before(recorded(EVENTS))
    print(f"{'inside the application, CPU':<40}{'bytes':>11}{'us':>9}")
    await _answered(app, LIST_PATH)
    _, head = await _answered(app, LIST_PATH)
    rows: list[tuple[str, list[tuple[bytes, bytes]]]] = [
        ("hit", []),
        ("hit, gzip", [(b"accept-encoding", b"gzip, deflate, br, zstd")]),
        ("304", [(b"if-none-match", head[b"etag"])]),
    ]
    for name, headers in rows:
        times = []
        size = 0
        for _ in range(3 if QUICK else 31):
            began = time.process_time_ns()
            for _ in range(100):
                size, _ = await _answered(app, LIST_PATH, headers)
            times.append((time.process_time_ns() - began) / 1e5)
        print(f"{name:<40}{size:>11,}{statistics.median(times):>9.1f}")
    print()
    await gateway.close()


async def print_waveform_cost() -> None:
    """Print the CPU of one waveform answer."""
    unit = SimulatedUnit(seed=1)
    lengths = {"1 s at 1024/s": (1.0, 1024), "13 s at 4096/s": (13.0, 4096)}
    for record_s, rate in lengths.values():
        unit.record_event(blast=Blast(record_time_s=record_s, sample_rate_hz=rate))
    app, gateway = relay_before(unit)
    print(f"{'waveform from cache, CPU':<40}{'bytes':>11}{'ms':>9}{'target ms':>11}")
    for index, length in enumerate(lengths):
        path = f"/device/event/{index}/waveform?{UNIT}&max_age=3600"
        await _answered(app, path)
        entry = gateway.cached_waveform(Target.at(ADDRESS), index, Freshness(max_age_s=3600))
        if entry is None:
            raise AssertionError("the waveform that was just read is not held")
        memo = entry.memo
        for payload, accept, target in (
            ("counts", b"application/octet-stream", 0.1),
            ("JSON", b"application/json", 2.0),
        ):
            ways: dict[str, Callable[[], object]] = {"first": memo.clear, "again": lambda: None}
            for when, before_each in ways.items():
                cost, size, media = await _cpu_ms(app, path, accept, before_each)
                if accept.decode() not in media:
                    print(f"{length}, {payload}: not offered, came as {media}")
                    break
                print(f"{f'{length}, {payload}, {when}':<40}{size:>11,}{cost:>9.3f}{target:>11}")
    await gateway.close()


def main() -> None:
    """Print the tables."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--old", type=Path, help="an older tree to compare with")
    words.add_argument("--old-python", help="the Python that runs it")
    given = words.parse_args()
    print_head("HTTP: what is cached, over sockets", "uvicorn", "httptools", "h11", "fastapi")
    if shutil.which("wrk") is None:
        print("CPU per request, requests/s: skipped, wrk is not installed (apt-get install wrk)\n")
    elif not Path("/proc/self/stat").exists():
        print("CPU per request, requests/s: skipped, this system has no /proc\n")
    else:
        print_cpu(given.old and given.old.resolve(), given.old_python)
        print_token_cpu()
        print_rates()
    asyncio.run(print_hit_cost())
    asyncio.run(print_waveform_cost())


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        serve(relay_before(recorded(int(sys.argv[2])), *sys.argv[3:])[0])
    elif sys.argv[1:2] == ["bare"]:
        serve(bare_app(Path(sys.argv[2])))
    else:
        main()
