"""
``seismo-relay``: the relay, a simulated unit, and what to ask of either.

A unit is named in one of two ways. By its own address (``tcp://10.0.0.5:12345``,
``/dev/ttyUSB0``, ``rfc2217://...``) it is asked directly, no server needed. As ``HOST[:PORT]`` it
is asked through the relay at ``--relay``. With ``--relay`` given, every address goes through it.

Exit status: 0 done; 1 the unit, the link or the relay failed; 2 the command line is wrong;
130 Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from minimateplus.client import MiniMate
from minimateplus.errors import CaptureError, MiniMateError
from minimateplus.link import Address, open_link, parse_address
from minimateplus.link.address import DEFAULT_TCP_PORT, split_host_port
from minimateplus.link.capture import CaptureLink, ReplayLink, load_capture
from minimateplus.model import Progress as Step
from minimateplus.simulator import SimulatedUnit, serve_pty, serve_tcp
from minimateplus.simulator.serve import Pace
from minimateplus.wire.commands import COMMANDS
from minimateplus.wire.framing import Direction, FrameReader, reply_sub
from sfm import demo as demonstration
from sfm import forms, terminal
from sfm.listening import PortTakenError, asked_to_stop, listening
from sfm.logs import configure_logs
from sfm.server import build_app
from sfm.settings import Settings

DEFAULT_RELAY = "http://127.0.0.1:8200"
POLL_PROGRESS_S = 0.3
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

app = App(
    name="seismo-relay",
    help="Read Instantel MiniMate Plus seismographs, and serve them from a live cache.",
    version=version("seismo-relay"),
)
out = Console()
err = Console(stderr=True)

Unit = Annotated[str, Parameter(help="tcp://HOST:PORT, /dev/ttyUSB0, serial:PORT:BAUD, HOST:PORT")]
Relay = Annotated[str | None, Parameter(help=f"Ask through this relay [default: {DEFAULT_RELAY}].")]
Force = Annotated[bool, Parameter(help="Go to the device, whatever a cache holds.", negative=())]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for machines.", negative=())]
PortNumber = Annotated[int, Parameter(validator=Number(gte=0, lte=65535))]


class CommandError(Exception):
    """Something to tell the person at the terminal, and to exit with."""

    def __init__(self, message: RenderableType, status: int = FAILED) -> None:
        super().__init__(str(message))
        self.message = message
        self.status = status


# --- asking -------------------------------------------------------------------------------------


def _where(unit: str, relay: str | None) -> tuple[str | None, Address]:
    """Return the relay to ask, ``None`` for the unit itself, and the unit's address."""
    try:
        return relay, parse_address(unit)
    except ValueError as error:
        try:
            host, port = split_host_port(unit, DEFAULT_TCP_PORT)
        except ValueError:
            raise CommandError(str(error), MISUSED) from None
        return relay or DEFAULT_RELAY, Address("tcp", host, port)


def _parameters(address: Address) -> dict[str, Any]:
    if address.kind == "tcp":
        return {"host": address.target, "tcp_port": address.number}
    if address.kind == "replay":
        raise CommandError("a capture is replayed with: seismo-relay replay FILE", MISUSED)
    return {"port": address.target, "baud": address.number}


@contextlib.asynccontextmanager
async def _client(relay: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the relay, or of an own one in this process that nobody else can reach."""
    if relay is not None:
        timeout = httpx.Timeout(None, connect=10.0)
        async with httpx.AsyncClient(base_url=relay, timeout=timeout) as client:
            yield client
        return
    application = build_app(Settings())
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://own", timeout=None
    ) as client:
        try:
            yield client
        finally:
            await application.state.gateway.close()


async def _get(unit: str, path: str, relay: str | None, *, force: bool) -> dict[str, Any]:
    """Return the body of one device route, with progress on the way."""
    relay, address = _where(unit, relay)
    query = {**_parameters(address), **({"force": "true"} if force else {})}
    async with _client(relay) as client:
        try:
            async with _progress(client, address):
                response = await client.get(path, params=query)
        except httpx.TransportError as error:
            raise CommandError(
                f"no relay answers at {relay} ({str(error) or type(error).__name__}); "
                "start one with: seismo-relay serve, or ask the unit itself: tcp://HOST:PORT"
            ) from error
    try:
        body: dict[str, Any] = response.json()
    except ValueError as error:
        raise CommandError(f"{relay} answers, but not as a relay does") from error
    if response.is_error:
        raise CommandError(terminal.problem_view(body))
    return body


@contextlib.asynccontextmanager
async def _progress(client: httpx.AsyncClient, address: Address) -> AsyncIterator[None]:
    """Show how far the unit's reads are, as the relay tells it, while the body runs."""
    if not err.is_terminal:
        yield
        return
    with _bar() as bar:
        task = bar.add_task(f"asking {address}", total=None)
        watcher = asyncio.create_task(_watch(client, bar, task))
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figure]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=err, transient=True)
    add_task = bar.add_task
    bar.add_task = lambda *args, **more: add_task(*args, **{"figure": "", **more})  # type: ignore[method-assign]
    return bar


async def _watch(client: httpx.AsyncClient, bar: Progress, task: Any) -> None:
    while True:
        await asyncio.sleep(POLL_PROGRESS_S)
        with contextlib.suppress(httpx.HTTPError, ValueError):
            devices = (await client.get("/cache/stats")).json()["devices"]
            for device in devices.values():
                for step in device["under_way"]:
                    _advance(bar, task, Step(**step))


def _advance(bar: Progress, task: Any, step: Step) -> None:
    of = "" if step.total is None else f" of {step.total:,}"
    bar.update(task, completed=step.done, total=step.total, figure=f"{step.done:,}{of} {step.what}")


def _print(body: dict[str, Any], view: Callable[[Any], RenderableType], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        terminal.show(out, view(body), body)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run a command; turn what can go wrong into a sentence and an exit status."""
    try:
        asyncio.run(main)
    except CommandError as error:
        told = error.message
        err.print(Text(told) if isinstance(told, str) else told, soft_wrap=True)
        raise SystemExit(error.status) from error
    except (MiniMateError, PortTakenError) as error:
        err.print(Text(str(error)), soft_wrap=True)
        raise SystemExit(FAILED) from error
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


# --- commands -----------------------------------------------------------------------------------


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

    async def run() -> None:
        async with listening(build_app(settings), host or settings.host, port) as base:
            with asked_to_stop() as stop:
                err.print(f"The relay answers at {base}; every route at {base}/docs. Ctrl-C stops.")
                await stop.wait()

    _run(run())


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
            async with serve_pty(unit, pace=pace) as terminal_:
                await stand(terminal_.path)
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

    _run(run())


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
    _run(demonstration.run(out, port, once=once))


@app.command
def info(unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False) -> None:
    """Show identity, firmware, calibration and recording setup of a unit."""

    async def run() -> None:
        body = await _get(unit, "/device/info", relay, force=force)
        _print(body, terminal.info_view, as_json)

    _run(run())


@app.command
def events(unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False) -> None:
    """List the events that a unit has stored, newest first."""

    async def run() -> None:
        body = await _get(unit, "/device/events", relay, force=force)
        _print(body, terminal.events_view, as_json)

    _run(run())


@app.command
def waveform(
    unit: Unit,
    index: Annotated[int, Parameter(validator=Number(gte=0))],
    *,
    relay: Relay = None,
    force: Force = False,
    as_json: Json = False,
    csv: Path | None = None,
) -> None:
    """
    Show one event's samples as envelopes, or save them.

    Parameters
    ----------
    index
        Place of the event in the list, from 0.
    csv
        Write the samples to this file, a column per channel, units in the head.
    """

    async def run() -> None:
        body = await _get(unit, f"/device/event/{index}/waveform", relay, force=force)
        if csv is not None:
            _write_csv(csv, body)
        _print(body, terminal.waveform_view, as_json)

    _run(run())


def _write_csv(path: Path, body: dict[str, Any]) -> None:
    channels = body["channels"]
    start, step = body["time"]["start"], body["time"]["step"]
    names = [f"{name} ({channel['unit']})" for name, channel in channels.items()]
    lines = [",".join(["time (s)", *names])]
    for i in range(body["samples"]):
        time_s = "" if step is None else f"{start + i * step:.6f}"
        values = [
            repr(channel["values"][i]) if i < len(channel["values"]) else ""
            for channel in channels.values()
        ]
        lines.append(",".join([time_s, *values]))
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    err.print(Text(f"{body['samples']} samples per channel written to {path}"))


@app.command
def status(unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False) -> None:
    """Show whether a unit monitors, its clock, battery and memory."""

    async def run() -> None:
        body = await _get(unit, "/device/monitor/status", relay, force=force)
        _print(body, terminal.status_view, as_json)

    _run(run())


# --- evidence -----------------------------------------------------------------------------------

SURVEY, SURVEY_WITH_WAVEFORMS = "survey", "survey with waveforms"
"""What a capture of ours asked, written into its note, so that a replay can ask it again."""


async def _survey(unit: MiniMate, waveforms: bool, on_step: Callable[[Step], None]) -> list[str]:
    """Ask a unit everything that reads; return what it said, a line each. Order is fixed."""
    info = await unit.read_info()
    probe = await unit.read_probe()
    status = await unit.read_monitor_status()
    found = [] if probe.is_empty else await unit.read_events(on_progress=on_step)
    lines = [
        f"unit {info.serial}, firmware {info.firmware}{', SIMULATED' if info.simulated else ''}",
        f"memory: {len(found)} events, {probe.lifetime_count} ever recorded",
        f"status: {json.dumps(forms.status_form(status))}",
        *(f"event: {json.dumps(forms.event_form(event))}" for event in found),
    ]
    if waveforms:
        for event in found:
            waveform = await unit.read_waveform(event, on_progress=on_step)
            lines.append(
                f"waveform {event.index}: {waveform.counts.shape[1]} samples, vouched for "
                f"{', '.join(map(str, waveform.vouched))} of Tran, Vert, Long, MicL"
            )
    return lines


@app.command
def capture(
    unit: Unit, file: Path, *, waveforms: Annotated[bool, Parameter(negative=())] = False
) -> None:
    """
    Read a unit directly and record every byte to a file that can be replayed, or sent to us.

    Parameters
    ----------
    file
        Where to write; plain text, one JSON object a line.
    waveforms
        Download every waveform too.
    """

    async def run() -> None:
        relay, address = _where(unit, None)
        if relay is not None:
            address = Address("tcp", address.target, address.number)
        note = SURVEY_WITH_WAVEFORMS if waveforms else SURVEY
        link = await open_link(address, Settings().deadlines)
        try:
            sink = file.open("x", encoding="utf-8")
        except OSError as error:
            await link.close()
            raise CommandError(f"cannot write {file}: {error.strerror}") from error
        with sink, _bar() as bar:
            task = bar.add_task(f"reading {address}", total=None)
            recording = CaptureLink(link, sink, note=note)
            async with MiniMate.connect(recording, deadlines=Settings().deadlines) as mate:
                lines = await _survey(mate, waveforms, lambda step: _advance(bar, task, step))
        for line in lines:
            out.print(Text(line))
        err.print(Text(f"written to {file}"))

    _run(run())


@app.command
def replay(file: Path, *, frames: Annotated[bool, Parameter(negative=())] = False) -> None:
    """
    Read a capture as if it were the unit, or list what crossed the wire.

    Parameters
    ----------
    file
        A capture made by seismo-relay capture.
    frames
        List the frames with their times instead.
    """

    async def run() -> None:
        held = load_capture(file)
        if frames:
            _list_frames(file)
            return
        if held.note not in (SURVEY, SURVEY_WITH_WAVEFORMS):
            raise CaptureError(f"{file}: not made by seismo-relay capture; list it with --frames")
        async with MiniMate.connect(ReplayLink(held)) as unit:
            for line in await _survey(unit, held.note == SURVEY_WITH_WAVEFORMS, lambda _: None):
                out.print(Text(line))

    _run(run())


def _list_frames(file: Path) -> None:
    held = load_capture(file)
    readers = {
        "host": FrameReader(Direction.REQUEST),
        "unit": FrameReader(Direction.REPLY),
    }
    out.print(Text(f"{held.link}, {held.started_at}, {held.note}"))
    for chunk in held.chunks:
        for frame in readers[chunk.side].feed(chunk.data):
            asked = frame.sub if chunk.side == "host" else reply_sub(frame.sub)
            name = COMMANDS[asked].name if asked in COMMANDS else "unknown"
            arrow: Literal["->", "<-"] = "->" if chunk.side == "host" else "<-"
            at = str(timedelta(seconds=chunk.t_s))
            sys.stdout.write(
                f"{at} {arrow} {frame.sub:02X} {name} length {frame.length:04X} "
                f"params {frame.params.hex()} {frame.payload.hex(' ')}\n"
            )
    for side, reader in readers.items():
        if reader.skipped_bytes or reader.broken_frames:
            sys.stdout.write(
                f"{side}: {reader.skipped_bytes} bytes in no frame, "
                f"{reader.broken_frames} broken frames\n"
            )


def main() -> None:
    """Run the command line."""
    with contextlib.suppress(AttributeError, ValueError):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    app()
