"""The main job in one command: a simulated unit, the relay before it, and what two reads cost."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.simulator.serve import Pace
from sfm.api.app import build_app
from sfm.cli import views
from sfm.cli.asking import file_of
from sfm.cli.configuration import load_settings
from sfm.cli.tables import Head, ListTable
from sfm.server import asked_to_stop, listening
from sfm.settings import Settings

__all__ = ["record_past_events", "run"]

EVENTS = 6
CURVES = ("usbm-ri8507-drywall",)
"""By which the blast is judged."""
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
        settings = load_settings(database_url=f"sqlite:///{folder}/demo.sqlite")
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
            "its archive goes when it stops, the report below stays.\n"
        )
        async with httpx.AsyncClient(base_url=base, timeout=None) as client:
            await _show(console, client, served.port, unit)
            await _report(console, client, served.port)
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

    table = ListTable(
        "What",
        Head(name="First read", is_text=True, rank=0),
        Head(name="Second read", is_text=True, rank=0),
    )
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
            "Exchanges are as the unit counted them. Before a cached list is shown, a short probe "
            "checks that the unit was not erased; it costs the same whatever the unit stores. For "
            "30 s after a probe, waveforms are shown without another one.\n",
            style="dim",
        )
    )


async def _report(console: Console, client: httpx.AsyncClient, tcp_port: int) -> None:
    """Make the report of the last blast; print its verdicts and where the file is."""
    from sfm.reports.verification import read_record

    query: dict[str, str | int | list[str]] = {
        "host": "127.0.0.1",
        "tcp_port": tcp_port,
        "curve": list(CURVES),
    }
    with console.status("making a report"):
        response = await client.get(f"/device/event/{EVENTS - 1}/report.pdf", params=query)
    if response.status_code == 501:
        console.print("No report: the extra is not installed; pip install 'seismo-relay[report]'")
        return
    name, data = file_of(response, str(client.base_url))
    path = _saved(name, data)
    result = read_record(data).result or {}
    console.print("No limit curve is chosen for this unit; its report judges by two, to show it:")
    for verdict in result["limits"]["verdicts"]:
        console.print(_verdict(verdict), highlight=False)
    console.print(f"Its report: {path}\n", soft_wrap=True, highlight=False)


def _saved(name: str, data: bytes) -> Path:
    """Write a file that is kept when the demo stops, unlike its database."""
    path = Path(tempfile.mkdtemp(prefix="seismo-relay-report-"), name)
    path.write_bytes(data)
    return path


def _verdict(verdict: dict[str, Any]) -> str:
    words = {"complies": "complies with", "exceeds": "exceeds", "no_verdict": "no verdict by"}
    share = verdict["share_percent"]
    detail = "" if share is None else f": {verdict['channel']} at {share:.0f} % of the limit"
    if verdict["reason"] is not None:
        detail = f": {verdict['reason']['detail']}"
    return f"The simulated blast {words[verdict['outcome']]} {verdict['title']}{detail}"


def _cost(body: dict[str, Any], exchanges: int) -> str:
    origin = "device" if body["provenance"]["source"] == "device" else "cache"
    count = f"{exchanges} exchanges" if exchanges else "no exchange"
    return f"{origin}: {count}, {body['provenance']['took_s']:.2f} s"


def _addresses(console: Console, base: str, tcp_port: int) -> None:
    query = f"host=127.0.0.1&tcp_port={tcp_port}"
    addresses = (
        ("The web app", f"/#/unit/tcp:127.0.0.1:{tcp_port}"),
        ("Event list", f"/device/events?{query}"),
        ("Waveform", f"/device/event/0/waveform?{query}"),
        ("Fresh from the unit", f"/device/events?{query}&force=true"),
        ("What the cache holds", "/cache/stats"),
        ("Every route, described", "/docs"),
    )
    width = max(len(what) for what, _ in addresses) + 2
    for what, path in addresses:
        console.print(f"{what:<{width}}{base}{path}", soft_wrap=True, highlight=False)
    console.print("\nCtrl-C stops both.")
