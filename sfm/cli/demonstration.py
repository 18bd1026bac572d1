"""The main job in one command: a simulated unit, the relay before it, and what two reads cost."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.simulator.serve import Pace
from sfm.api.app import build_app
from sfm.cli import views
from sfm.server import asked_to_stop, listening
from sfm.settings import Settings

__all__ = ["record_past_events", "run"]

EVENTS = 6
BAUD = 38400
RELAY_HOST = "127.0.0.1"


def record_past_events(unit: SimulatedUnit, count: int) -> None:
    """Fill a unit's memory with blasts of the last days, some hours apart."""
    hours = timedelta(hours=7)
    first: datetime = unit.now_device_time - hours * count
    for number in range(count):
        unit.record_event(at_device_time=first + hours * number)


async def run(console: Console, http_port: int, *, once: bool = False) -> None:
    """
    Start both, read the unit through the relay, print what was read and how, and stay up.

    Raises:
        PortTakenError: the relay's port is taken.
    """
    unit = SimulatedUnit(seed=20261123)
    record_past_events(unit, EVENTS)
    with tempfile.TemporaryDirectory(prefix="seismo-relay-demo-") as folder:
        # Simulated records are not for the archive of this machine's user.
        settings = Settings(database_url=f"sqlite:///{folder}/demo.sqlite")
        await _run(console, settings, unit, http_port, once=once)


async def _run(
    console: Console, settings: Settings, unit: SimulatedUnit, http_port: int, *, once: bool
) -> None:
    async with (
        serve_tcp(unit, pace=Pace(BAUD)) as served,
        listening(build_app(settings), RELAY_HOST, http_port) as base,
    ):
        console.print(
            f"A [bold]simulated[/bold] MiniMate Plus answers at {served.url}, "
            f"as slow as its line ({BAUD:,} baud).\nThe relay answers at {base}; "
            "what it reads is kept in a folder that goes when it stops.\n"
        )
        async with httpx.AsyncClient(base_url=base, timeout=None) as client:
            await _show(console, client, served.port, unit)
        if not once:
            with asked_to_stop() as stop:
                _addresses(console, base, served.port)
                await stop.wait()
            console.print("Stopped.")


async def _show(
    console: Console, client: httpx.AsyncClient, tcp_port: int, unit: SimulatedUnit
) -> None:
    query: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": tcp_port}

    async def get(path: str) -> dict[str, Any]:
        response = await client.get(path, params=query)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("What", "First read", "Second read"):
        table.add_column(name)
    reads = (
        ("Identity and setup", "/device/info", views.info_view),
        ("Event list", "/device/events", views.events_view),
        ("Monitor status", "/device/monitor/status", views.status_view),
        (f"Waveform of event {EVENTS - 1}", f"/device/event/{EVENTS - 1}/waveform", None),
    )
    for name, path, view in reads:
        answered = unit.exchanges
        with console.status(f"reading: {name.lower()}"):
            first = await get(path)
            between = unit.exchanges
            second = await get(path)
        if view is not None:
            console.print(view(first))
            console.print()
        costs = (between - answered, unit.exchanges - between)
        table.add_row(name, *(_cost(b, n) for b, n in zip((first, second), costs, strict=True)))
    console.print(table)
    console.print(
        Text(
            "Exchanges are as the unit counted them. A list from cache is proven first: a probe of "
            "the unit's memory finds any erase, at a cost that does not grow with what is stored. "
            "A waveform is served unasked for a while after such a proof.\n",
            style="dim",
        )
    )


def _cost(body: dict[str, Any], exchanges: int) -> str:
    origin = "device" if body["provenance"]["source"] == "device" else "cache"
    count = f"{exchanges} exchanges" if exchanges else "no exchange"
    return f"{origin}: {count}, {body['provenance']['took_s']:.2f} s"


def _addresses(console: Console, base: str, tcp_port: int) -> None:
    query = f"host=127.0.0.1&tcp_port={tcp_port}"
    for what, path in (
        ("The web app", f"/#/unit/tcp:127.0.0.1:{tcp_port}"),
        ("Event list", f"/device/events?{query}"),
        ("Waveform", f"/device/event/0/waveform?{query}"),
        ("Fresh from the unit", f"/device/events?{query}&force=true"),
        ("What the cache holds", "/cache/stats"),
        ("Every route, to try", "/docs"),
    ):
        console.print(f"{what:<22}{base}{path}", soft_wrap=True, highlight=False)
    console.print("\nCtrl-C stops both.")
