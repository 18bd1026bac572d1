"""What is asked of a unit, directly or through the relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import Progress

from minimateplus.link import Address
from minimateplus.model import Progress as Step
from sfm import terminal
from sfm.cli.common import (
    MISUSED,
    CommandError,
    Force,
    Json,
    Relay,
    Unit,
    advance,
    app,
    err,
    print_body,
    progress_bar,
    run_command,
    where,
)
from sfm.logs import configure_logs
from sfm.server import Application, build_app
from sfm.settings import Settings
from sfm.store import NO_DATABASE, StoreError
from sfm.terminal import said

POLL_PROGRESS_S = 0.3
OPEN: dict[str, Any] = {"require_tokens": False, "trusted_proxies": []}
"""Of a relay that nobody else can reach, whatever the settings of this machine's real one."""
TOKEN_VARIABLE = "SFM_TOKEN"
"""Environment variable with the token that is shown to a relay."""


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
        secret = os.environ.get(TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {secret}"} if secret else None
        async with httpx.AsyncClient(base_url=relay, timeout=timeout, headers=headers) as client:
            yield client
        return
    configure_logs(quiet=True)
    application = await _own_relay()
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", timeout=None
    ) as client:
        try:
            yield client
        finally:
            await application.state.gateway.close()


async def _own_relay() -> Application:
    """Return a relay in this process; what it reads is archived, if the archive can be had."""
    application = build_app(Settings(**OPEN))
    keeper = application.state.gateway.keeper
    try:
        await keeper.start()
        problem = keeper.state()["detail"]
    except StoreError as error:
        problem = str(error)
    if problem is None:
        return application
    err.print(said(f"What is read now is not archived: {problem}"), soft_wrap=True)
    await application.state.gateway.close()
    return build_app(Settings(database_url=NO_DATABASE, **OPEN))


async def ask(
    unit: str,
    path: str,
    relay: str | None,
    *,
    method: str = "GET",
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body of one device route, with progress on the way."""
    relay, address = where(unit, relay)
    parameters = {**_parameters(address), **(query or {})}
    async with _client(relay) as client:
        try:
            async with _progress(client, address):
                response = await client.request(method, path, params=parameters, json=body)
        except httpx.TransportError as error:
            raise CommandError(
                f"no relay answers at {relay} ({str(error) or type(error).__name__}); "
                "start one with: seismo-relay serve, or ask the unit itself: tcp://HOST:PORT"
            ) from error
    try:
        told: dict[str, Any] = response.json()
    except ValueError as error:
        raise CommandError(f"{relay} answers, but not as a relay does") from error
    if response.is_error:
        raise CommandError(terminal.problem_view(told))
    return told


async def _get(unit: str, path: str, relay: str | None, *, force: bool) -> dict[str, Any]:
    """Return the body of one device route that reads."""
    return await ask(unit, path, relay, query={"force": "true"} if force else None)


@contextlib.asynccontextmanager
async def _progress(client: httpx.AsyncClient, address: Address) -> AsyncIterator[None]:
    """Show how far the unit's reads are, as the relay tells it, while the body runs."""
    if not err.is_terminal:
        yield
        return
    with progress_bar() as bar:
        task = bar.add_task(f"asking {address}", total=None)
        watcher = asyncio.create_task(_watch(client, bar, task))
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher


async def _watch(client: httpx.AsyncClient, bar: Progress, task: Any) -> None:
    while True:
        await asyncio.sleep(POLL_PROGRESS_S)
        with contextlib.suppress(httpx.HTTPError, ValueError):
            devices = (await client.get("/cache/stats")).json()["devices"]
            for device in devices.values():
                for step in device["under_way"]:
                    advance(bar, task, Step(**step))


@app.command
def info(unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False) -> None:
    """Show identity, firmware, calibration and recording setup of a unit."""

    async def run() -> None:
        body = await _get(unit, "/device/info", relay, force=force)
        print_body(body, terminal.info_view, as_json)

    run_command(run())


@app.command
def events(unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False) -> None:
    """List the events that a unit has stored, newest first."""

    async def run() -> None:
        body = await _get(unit, "/device/events", relay, force=force)
        print_body(body, terminal.events_view, as_json)

    run_command(run())


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
        print_body(body, terminal.waveform_view, as_json)

    run_command(run())


def _write_csv(path: Path, body: dict[str, Any]) -> None:
    channels = body["channels"]
    start, step = body["time"]["start"], body["time"]["step"]
    names = [f"{name} ({_column_unit(channel)})" for name, channel in channels.items()]
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
    err.print(said(f"{body['samples']} samples per channel written to {path}"))
    for reason in body["reasons"]:
        err.print(said(f"Not good: {reason['detail']}"), soft_wrap=True)


def _column_unit(channel: Mapping[str, Any]) -> str:
    """Return a channel's unit of measure, with what makes its figures less than they seem."""
    parts = [channel["unit"]]
    if channel["bound"] is not None:
        parts.append(f"over range: peak {channel['bound']} {channel['peak']}")
    if "scale_unconfirmed" in channel["flags"]:
        parts.append("scale unconfirmed")
    return "; ".join(parts)


@app.command
def status(unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False) -> None:
    """Show whether a unit monitors, its clock, battery and memory."""

    async def run() -> None:
        body = await _get(unit, "/device/monitor/status", relay, force=force)
        print_body(body, terminal.status_view, as_json)

    run_command(run())
