"""What stays up until Ctrl-C: the relay, a simulated unit, and both of them together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.text import Text

from minimateplus.link.address import DEFAULT_TCP_PORT
from minimateplus.simulator import SimulatedUnit, serve_pty, serve_tcp
from minimateplus.simulator.serve import Pace
from sfm import demo as demonstration
from sfm.cli.common import MISUSED, CommandError, PortNumber, app, err, out, run_command
from sfm.listening import asked_to_stop, listening
from sfm.logs import configure_logs
from sfm.server import build_app
from sfm.settings import Settings


@app.command
def serve(*, host: str | None = None, http_port: PortNumber | None = None) -> None:
    """
    Run the relay until Ctrl-C.

    Parameters
    ----------
    host
        Address to listen on; SFM_HOST or 127.0.0.1.
    http_port
        Port to listen on; SFM_HTTP_PORT or 8200.
    """
    settings = Settings()
    configure_logs()
    port = settings.http_port if http_port is None else http_port

    application = build_app(settings)

    async def run() -> None:
        async with listening(application, host or settings.host, port) as base:
            with asked_to_stop() as stop:
                err.print(f"The relay answers at {base}; every route at {base}/docs. Ctrl-C stops.")
                err.print(Text(_archive_sentence(application.state.gateway.keeper.state())))
                await stop.wait()

    run_command(run())


def _archive_sentence(store: dict[str, Any]) -> str:
    """Say where what is read is kept."""
    if store["state"] == "none":
        return "Nothing that is read is kept: SFM_DATABASE_URL is none."
    if store["state"] == "degraded":
        return f"The archive cannot be used now, and is tried again: {store['detail']}"
    return f"Everything that is read is kept in {store['where']}"


@app.command
def simulate(
    *,
    host: str = "127.0.0.1",
    tcp_port: PortNumber = DEFAULT_TCP_PORT,
    pty: Annotated[bool, Parameter(negative=())] = False,
    events: Annotated[int, Parameter(validator=Number(gte=0, lte=1500))] = 5,
    every_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    baud: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    serial: str = "SIM0001",
    seed: int = 0,
) -> None:
    """
    Run a simulated MiniMate Plus until Ctrl-C.

    Parameters
    ----------
    host
        Address to listen on.
    tcp_port
        Port to listen on; 0 for any free one.
    pty
        Answer on a pseudo terminal instead of TCP.
    events
        Events in its memory at the start.
    every_s
        Record a further event every so many seconds.
    baud
        Answer at this line speed instead of at once.
    serial
        Its serial number, at most seven characters.
    seed
        Makes its recordings reproducible.
    """
    try:
        unit = SimulatedUnit(serial, seed=seed)
    except ValueError as error:
        err.print(Text(str(error)), soft_wrap=True)
        raise SystemExit(MISUSED) from error
    demonstration.record_past_events(unit, events)
    pace = None if baud is None else Pace(baud)

    async def run() -> None:
        if pty:
            async with serve_pty(unit, pace=pace) as terminal:
                await stand(terminal.path)
        else:
            try:
                async with serve_tcp(unit, host, tcp_port, pace=pace) as served:
                    await stand(served.url)
            except OSError as error:
                raise CommandError(f"cannot listen on {host}:{tcp_port}: {error}") from error

    async def stand(address: str) -> None:
        with asked_to_stop() as stop:
            out.print(f"Simulated unit {unit.serial} with {events} events answers at {address}")
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await stop.wait()
                if not stop.is_set():
                    event = unit.record_event()
                    out.print(f"recorded event {event.index}, key {event.key.hex()}")

    run_command(run())


@app.command
def demo(*, http_port: PortNumber | None = None, once: bool = False) -> None:
    """
    Start a simulated unit and the relay, read the one through the other, and stay up.

    Parameters
    ----------
    http_port
        Port of the relay; SFM_HTTP_PORT or 8200.
    once
        Stop after the reading.
    """
    configure_logs()
    port = Settings().http_port if http_port is None else http_port
    run_command(demonstration.run(out, port, once=once))
