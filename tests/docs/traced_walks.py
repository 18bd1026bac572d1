"""
What a request crosses: the functions of this repository that it calls, in the order of the calls.

Three requests, those that ``docs/explanation/architecture.md`` walks through. Each runs through the
production application, gateway, client and wire against the simulated unit on a loopback port.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from minimateplus.simulator import SimulatedUnit, serve_tcp
from sfm.api.app import build_app
from sfm.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "minimateplus", ROOT / "sfm")
SERIAL = "SIM0001"

Call = tuple[str, str]
"""File, relative to the repository, and qualified name."""


@contextmanager
def recorded_calls(into: list[Call]) -> Iterator[None]:
    """Record each call in this thread; a coroutine that continues after a wait is no call."""
    entered: set[FrameType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame in entered:
            return
        file = Path(frame.f_code.co_filename)
        if any(package in file.parents for package in PACKAGES):
            entered.add(frame)
            into.append((file.relative_to(ROOT).as_posix(), frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


async def traced_walks(folder: Path) -> dict[str, list[Call]]:
    """Return the calls of a first list read, of a list proven by a probe, and of an erase."""
    unit = SimulatedUnit(SERIAL, seed=1)
    for _ in range(2):
        unit.record_event()
    settings = Settings(database_url=f"sqlite:///{folder / 'relay.sqlite'}")
    app = build_app(settings)
    found: dict[str, list[Call]] = {"byte to answer": [], "probing GET": [], "erase": []}
    async with (
        serve_tcp(unit) as served,
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 1)),
            base_url="http://127.0.0.1",
        ) as client,
    ):
        host, port = served.url.removeprefix("tcp://").rsplit(":", 1)
        of = {"host": host, "tcp_port": port}

        async def ask(method: str, path: str, **more: Any) -> None:
            (await client.request(method, path, params=of, **more)).raise_for_status()

        with recorded_calls(found["byte to answer"]):
            await ask("GET", "/device/info")
        await ask("GET", "/device/events")
        with recorded_calls(found["probing GET"]):
            await ask("GET", "/device/events")
        for index in range(2):
            await ask("GET", f"/device/event/{index}/waveform")
        with recorded_calls(found["erase"]):
            await ask("POST", "/device/events/erase", json={"serial": SERIAL, "count": 2})
    return found
