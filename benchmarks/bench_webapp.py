"""
The web app in a browser: what it weighs, when it is seen, what its charts and lists cost.

The rule: 60 kB packed for all of it, seen within a second by a slow machine, four channels of
53,248 samples redrawn within 50 ms, and never more than 200 ms in which it takes no input.

The method. A process of its own runs two simulated units and the relay before them: one as fast as
it goes, with 1,000 events and the longest record a unit makes (13 s at 4,096/s); one at the pace of
a serial line, with another such record. A headless Chromium opens the built app
(``make web``) over loopback. The processor's slow-down is the browser's own (four times as slow is
what its makers take for a cheap phone).

- Transfer: what an HTTP client gets as body of the page and of all that it names, by coding.
- Seen: from the beginning of the navigation until the first paint (the browser's own word), and
  until the frame is done that first holds the connect form's heading, or the unit page's first
  values (read by the relay before, so that the unit's line is not in it).
- Drawn: the sum of the "draw" measures that the charts leave, which is the script's part, and from
  the key or the move until the frame after it is done, which is what a person waits.
- Long tasks: as the browser reports them (it tells of 50 ms or more), by what went on.

Two minutes, most of it waiting for frames. Without a browser it says so and measures the transfer.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from kit.chromium import ARGUMENTS, CHROMIUM
from peers import QUICK, library, print_head

from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.simulator.blast import Blast
from minimateplus.simulator.serve import Pace
from sfm.api.app import build_app
from sfm.server import listening
from sfm.settings import Settings

EVENTS = 20 if QUICK else 1000
LONGEST = Blast(record_time_s=1.0 if QUICK else 13.0, sample_rate_hz=4096)
STREAMED_BAUD = 800_000
"""Fast for a serial line, so that the longest record takes seconds and not minutes."""
TURNS = 1 if QUICK else 15
OPENINGS = 1 if QUICK else 5
FACTORS = (1,) if QUICK else (1, 4)
"""How many times as slow the browser makes its processor."""
MOVES = 5 if QUICK else 60
LONG_EVENT = f"/event/{EVENTS - 1}"
MEMORY_BYTES = 50_000_000

WATCHING = Path(__file__).with_name("watching.js")


# --- the relay, in a process of its own -------------------------------------------------------


async def relay() -> None:
    """Run both units and the relay until standard input ends; a line there records an event."""
    unit = SimulatedUnit(seed=1, memory_bytes=MEMORY_BYTES)
    for _ in range(EVENTS - 1):
        unit.record_event()
    unit.record_event(blast=LONGEST)
    slow = SimulatedUnit("SIM0002", seed=2, memory_bytes=MEMORY_BYTES)
    for _ in FACTORS:
        slow.record_event(blast=LONGEST)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with tempfile.TemporaryDirectory(prefix="seismo-relay-bench-") as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/bench.sqlite")
        async with (
            serve_tcp(unit) as fast_line,
            serve_tcp(slow, pace=Pace(STREAMED_BAUD)) as slow_line,
            listening(build_app(settings), "127.0.0.1", 0) as base,
        ):
            ports = {"base": base, "fast": fast_line.port, "slow": slow_line.port}
            print(json.dumps(ports), flush=True)
            while await reader.readline():
                unit.record_event()


class Relay:
    """The relay's process, as the benchmark uses it. Lives as long as ``running`` says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in = process.stdin
        ports = json.loads(process.stdout.readline())
        self.base: str = ports["base"]
        self._ports = {"fast": ports["fast"], "slow": ports["slow"]}

    def record(self) -> None:
        """Let the fast unit record an event."""
        self._in.write("\n")
        self._in.flush()

    def page(self, unit: str, rest: str = "") -> str:
        """Return the address of a page of a unit."""
        return f"{self.base}/#/unit/tcp:127.0.0.1:{self._ports[unit]}{rest}"

    def ask(self, unit: str, path: str) -> httpx.Response:
        """Ask the relay about a unit."""
        query: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": self._ports[unit]}
        answer = httpx.get(self.base + path, params=query, timeout=120)
        return answer.raise_for_status()


@contextmanager
def running() -> Iterator[Relay]:
    """Yield the relay, with all that the fast unit holds read and kept."""
    command = [sys.executable, __file__, "relay"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        found = Relay(process)
        for path in ("/device/info", "/device/monitor/status", "/device/events"):
            found.ask("fast", path)
        yield found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


# --- what is measured -------------------------------------------------------------------------


def transfer(base: str) -> None:
    """Print what the page and all that it names weigh as sent."""
    page = httpx.get(base).text
    names = ["/", *re.findall(r'(?:src|href)="(/assets/[^"]+)"', page)]
    print(f"{'transfer, bytes':<38}{'gzip':>10}{'br':>10}{'plain':>10}")
    totals = [0, 0, 0]
    for name in names:
        sizes = [sent(base + name, coding) for coding in ("gzip", "br", "identity")]
        totals = [total + size for total, size in zip(totals, sizes, strict=True)]
        print(f"{name:<38}{sizes[0]:>10,}{sizes[1]:>10,}{sizes[2]:>10,}")
    print(f"{'all':<38}{totals[0]:>10,}{totals[1]:>10,}{totals[2]:>10,}\n")


def sent(address: str, coding: str) -> int:
    """Return how many bytes a body has on the way."""
    with httpx.stream("GET", address, headers={"Accept-Encoding": coding}) as answer:
        return sum(len(part) for part in answer.iter_raw())


def slowed(page: Any, factor: int) -> None:
    """Make the page's processor so many times as slow."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": factor})


def opened(browser: Any, factor: int) -> Any:
    """Return a page in a context of its own: nothing is in its cache."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(path=WATCHING)
    slowed(page, factor)
    return page


def seen(browser: Any, relay: Relay) -> None:
    """Print how long until there is something to see."""
    rows: dict[str, list[float]] = {}
    for factor in FACTORS:
        for what, address, css in (
            ("connect form's heading", relay.base, "main h1"),
            ("unit page's first values", relay.page("fast"), "main .facts dd"),
        ):
            paints, founds = [], []
            for _ in range(OPENINGS):
                page = opened(browser, factor)
                page.goto(address, wait_until="commit")
                founds.append(page.evaluate("(css) => watching.until(css)", css))
                paints.append(page.evaluate("watching.firstPaint()"))
                page.context.close()
            rows.setdefault(f"{what}: first paint", []).append(statistics.median(paints))
            rows.setdefault(what, []).append(statistics.median(founds))
    print_rows("until seen, ms (median)", rows)


def drawn(browser: Any, relay: Relay) -> None:
    """Print what the charts of the longest record cost."""
    rows: dict[str, list[float]] = {}
    for factor in FACTORS:
        firsts = [first_draw(browser, relay, factor) for _ in range(OPENINGS)]
        rows.setdefault("first draw", []).append(statistics.median(firsts))
        page = opened(browser, factor)
        page.goto(relay.page("fast", LONG_EVENT))
        page.wait_for_selector(".u-over")
        took: dict[str, list[tuple[float, float]]] = {}
        for _ in range(TURNS):
            for name, key in (("zoom step", "+"), ("pan", "PageDown"), ("whole record", "0")):
                took.setdefault(name, []).append(page.evaluate("(key) => watching.key(key)", key))
        for name, pairs in took.items():
            draws, waits = (sorted(figures) for figures in zip(*pairs, strict=True))
            rows.setdefault(f"{name}, drawn", []).append(statistics.median(draws))
            rows.setdefault(f"{name}, drawn, longest", []).append(draws[-1])
            rows.setdefault(f"{name}, until its frame", []).append(statistics.median(waits))
            rows.setdefault(f"{name}, until its frame, longest", []).append(waits[-1])
        for name, is_drag in (("cursor", False), ("drag", True)):
            moves = page.evaluate("([count, is]) => watching.moves(count, is)", [MOVES, is_drag])
            rows.setdefault(f"move of the {name}, median", []).append(statistics.median(moves))
            rows.setdefault(f"move of the {name}, longest", []).append(max(moves))
        page.context.close()
    print_rows("four charts of the longest record, ms", rows)


def first_draw(browser: Any, relay: Relay, factor: int) -> float:
    """Return the script's part of a page's first draw of four charts, in ms."""
    page = opened(browser, factor)
    page.goto(relay.page("fast", LONG_EVENT))
    page.wait_for_selector(".u-over")
    took: float = page.evaluate("watching.firstDraws()")
    page.context.close()
    return took


def streamed(browser: Any, relay: Relay) -> None:
    """Print the longest tasks while a list grows and long records come in."""
    rows: dict[str, list[float]] = {}
    for index, factor in enumerate(FACTORS):
        page = opened(browser, factor)
        for what, do in (
            (f"list of {EVENTS:,} opened", open_list),
            ("events arrive in it", arrive),
            ("scrolled", lambda page, _: page.evaluate("(count) => watching.scroll(count)", MOVES)),
            # Each time another event, since what was read once is held by the relay.
            ("longest record downloaded and drawn", partial(download, index=index)),
            ("zoomed and dragged", zoom),
        ):
            do(page, relay)
            longest = page.evaluate("watching.longestTask()")
            rows.setdefault(what, []).append(longest)
        page.context.close()
    print_rows("longest task, ms (0: none of 50)", rows)


def open_list(page: Any, relay: Relay) -> None:
    """Open the list of the fast unit."""
    page.goto(relay.page("fast", "/events"))
    events_of(page, more_than=0)


def arrive(page: Any, relay: Relay) -> None:
    """Let events arrive in the list, one by one."""
    for _ in range(3):
        before = events_of(page, more_than=0)
        relay.record()
        page.click(".page-head button")
        events_of(page, more_than=before)
        page.wait_for_selector("tr.is-new", timeout=60_000)


def events_of(page: Any, *, more_than: int) -> int:
    """Wait until a whole list of more than so many events is shown; return how many it has."""
    counted = r"""more => {
        const status = document.querySelector("#events-keys [role=status]");
        const whole = /^([\d,]+) events?$/.exec(status?.textContent.trim() ?? "");
        const count = whole ? Number(whole[1].replaceAll(",", "")) : 0;
        return count > more && count;
    }"""
    handle = page.wait_for_function(counted, arg=more_than, timeout=60_000)
    count: int = handle.json_value()
    return count


def download(page: Any, relay: Relay, index: int) -> None:
    """Go to a long record of the slow unit within the page, and wait until it is drawn."""
    page.evaluate(
        "(address) => void (location.href = address)", relay.page("slow", f"/event/{index}")
    )
    page.wait_for_selector("progress", timeout=60_000)
    page.wait_for_selector(".u-over", timeout=120_000)


def zoom(page: Any, _: Relay) -> None:
    """Zoom in, move, drag a range, and show all again."""
    for key in ("+", "+", "ArrowRight", "0"):
        page.evaluate("(key) => watching.key(key)", key)
    page.evaluate("watching.moves(30, true)")
    page.evaluate("watching.key('0')")


def print_rows(title: str, rows: dict[str, list[float]]) -> None:
    """Print one table: each row as fast as the machine is, and slowed down."""
    heads = "".join(
        f"{'as it is' if factor == 1 else f'{factor} x slower':>13}" for factor in FACTORS
    )
    print(f"{title:<40}{heads}")
    for what, figures in rows.items():
        print(f"{what:<40}{''.join(f'{figure:>13.1f}' for figure in figures)}")
    print()


def main() -> None:
    """Print the tables."""
    print_head("the web app in a browser, over loopback", "playwright")
    tables = "four charts; longest task"
    if not (files("sfm") / "web" / "index.html").is_file():
        print(f"skipped, the web app is not built (make web): transfer, bytes; {tables}")
        return
    playwright = library("playwright.sync_api")
    with running() as relay:
        transfer(relay.base)
        if playwright is None or CHROMIUM is None:
            print(f"skipped, no Chromium, or no playwright to drive it: {tables}")
            return
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS])
            seen(browser, relay)
            drawn(browser, relay)
            streamed(browser, relay)
            print(f"Chromium {browser.version}")
            browser.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["relay"]:
        asyncio.run(relay())
    else:
        main()
