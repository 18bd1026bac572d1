"""
HTTP hits per second, beside a bare application that sends the same bytes; CPU of a waveform answer.

The rule: a hit and a 304 cost little more than the server itself.

The method. Two servers run as processes of their own, each uvicorn with the settings
of ``sfm.server`` (so the same event loop, HTTP implementation and sockets): the production
application before a simulated unit, and a bare ASGI function that knows two answers by heart. The
relay is asked once, so that its unit is read; its next answer, a hit, and its 304 are what the bare
one learns, header by header. Then wrk (a load tool in C; ``apt-get install wrk``) drives both in
turns over loopback, one thread, 16 connections kept alive, each turn bounded. Figures are medians
of the turns, the ratio is the median of the ratios of neighbours. Where wrk is missing, that table
is skipped and says so.

The CPU of a waveform answer is that of the process while the application, called as a server would
call it, answers from cache: once with nothing encoded yet, once with what the last reader left.
Under 40 s.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from peers import QUICK, median_of_ratios, print_head, serve, served

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.blast import Blast
from sfm.api.app import build_app
from sfm.cache.freshness import Freshness
from sfm.devices.gateway import Gateway
from sfm.devices.target import Target
from sfm.live_cache import LiveCache
from sfm.settings import Settings

EVENTS = 80
TURNS = 1 if QUICK else 5
TURN_S = 1
ADDRESS = Address("tcp", "unit.invalid", 12345)
UNIT = f"host={ADDRESS.target}&tcp_port={ADDRESS.number}"
LIST_PATH = f"/device/events?{UNIT}&max_age=3600"
BY_SERVER = {"date", "server"}
"""Headers that uvicorn adds itself."""


def relay_before(unit: SimulatedUnit) -> tuple[Any, Gateway]:
    """Return the production application over a unit in memory, and its gateway."""
    sessions: set[asyncio.Task[None]] = set()

    async def connect(_: Address) -> MiniMate:
        ours, theirs = memory_pair()
        sessions.add(asyncio.create_task(serve_link(unit, theirs)))
        return await MiniMate.open(ours)

    settings = Settings()
    gateway = Gateway(LiveCache(), settings, connect=connect)
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


def record_answers(base: str, path: Path) -> dict[str, httpx.Response]:
    """Ask for a hit and a 304, and write them down for the bare application."""
    httpx.get(base + LIST_PATH, timeout=60).raise_for_status()
    # As wrk asks: no header that would change the answer. What is compressed has its own ETag.
    plain = {"Accept-Encoding": "identity"}
    hit = httpx.get(base + LIST_PATH, headers=plain)
    known = httpx.get(base + LIST_PATH, headers={**plain, "If-None-Match": hit.headers["etag"]})
    if known.status_code != 304:
        raise AssertionError(f"expected 304, got {known.status_code}")
    answers_json = [
        {
            "status": answer.status_code,
            "headers": [pair for pair in answer.headers.multi_items() if pair[0] not in BY_SERVER],
            "body": base64.b64encode(answer.content).decode(),
        }
        for answer in (hit, known)
    ]
    path.write_text(json.dumps(answers_json))
    return {"hit": hit, "304": known}


def requests_per_s(url: str, *headers: str) -> float:
    """Let wrk ask for one turn."""
    given = [word for header in headers for word in ("-H", header)]
    command = ["wrk", "-t1", "-c16", f"-d{TURN_S}s", *given, url]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise AssertionError(output)
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if found is None:
        raise AssertionError(output)
    return float(found[1])


def print_rates() -> None:
    """Print requests per second of both servers, for a hit and for a 304."""
    if shutil.which("wrk") is None:
        print("requests per second: skipped, wrk is not installed (apt-get install wrk)\n")
        return
    with tempfile.TemporaryDirectory() as folder, served(__file__, "relay") as relay:
        learned = Path(folder) / "learned.json"
        answers = record_answers(relay, learned)
        size = len(answers["hit"].content)
        print(f"Cache-Status of the hit: {answers['hit'].headers['cache-status']}")
        print(f"{'requests/s':<28}{'bytes':>8}{'bare':>10}{'relay':>10}{'ratio':>8}{'target':>8}")
        with served(__file__, "bare", str(learned)) as bare:
            known = f"If-None-Match: {answers['hit'].headers['etag']}"
            rows: list[tuple[str, int, tuple[str, ...]]] = [
                ("hit of an event list", size, ()),
                ("304", 0, (known,)),
            ]
            for name, count, headers in rows:
                rates: dict[str, list[float]] = {bare: [], relay: []}
                for turn in range(TURNS if QUICK else TURNS + 1):
                    for base, figures in rates.items():
                        rate = requests_per_s(base + LIST_PATH, *headers)
                        # The first turn of each is warming up.
                        if turn or QUICK:
                            figures.append(rate)
                medians = "".join(f"{statistics.median(r):>10,.0f}" for r in rates.values())
                ratio = median_of_ratios(rates[relay], rates[bare])
                print(f"{name:<28}{count:>8,}{medians}{ratio:>8.2f}{0.85:>8}")
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
    print_head("HTTP: the production application beside a bare one", "uvicorn", "h11", "fastapi")
    print_rates()
    asyncio.run(print_hit_cost())
    asyncio.run(print_waveform_cost())


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        serve(relay_before(recorded(EVENTS))[0])
    elif sys.argv[1:2] == ["bare"]:
        serve(bare_app(Path(sys.argv[2])))
    else:
        main()
