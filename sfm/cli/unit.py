"""What is asked of a unit, directly or through the relay."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
from cyclopts import Parameter
from cyclopts.validators import Number

from minimateplus.link import Address
from minimateplus.model import Progress as Step
from sfm.access.egress import EgressPolicy
from sfm.access.names import folded, parse_host
from sfm.api.app import Application, build_app, build_store_service
from sfm.cli import files, operation, views
from sfm.cli.application import (
    MISUSED,
    PARTIAL,
    CommandError,
    Force,
    Json,
    Relay,
    Unit,
    advance,
    app,
    err,
    failure,
    handles_errors,
    print_body,
    progress_bar,
    relay_client,
    where,
)
from sfm.cli.views import safe_text
from sfm.devices.gateway import Gateway
from sfm.logs import configure_logs
from sfm.settings import Settings
from sfm.store import NO_DATABASE, StoreError
from sfm.store.errors import StoreInUseError

__all__ = ["OPEN", "POLL_PROGRESS_S", "ask", "events", "info", "status", "waveform"]

POLL_PROGRESS_S = 0.3
OPEN: dict[str, Any] = {"require_tokens": False, "trusted_proxies": [], "egress": None}
"""Of a relay that nobody else can reach, whatever the settings of this machine's real one."""


def _parameters(address: Address | str) -> dict[str, Any]:
    if isinstance(address, str):
        return {"unit": address}
    if address.kind == "tcp":
        return {"host": address.target, "tcp_port": address.number}
    if address.kind == "replay":
        raise CommandError("a capture is replayed with: seismo-relay replay FILE", MISUSED)
    return {"port": address.target, "baud": address.number}


@contextlib.asynccontextmanager
async def _client(relay: str | None, address: Address | str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the relay, or of an own one in this process that nobody else can reach."""
    if relay is not None:
        async with relay_client(relay) as client:
            yield client
        return
    assert isinstance(address, Address)  # a word is asked through a relay
    configure_logs(quiet=True)
    application = await _own_relay(address)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", timeout=None
    ) as client:
        try:
            yield client
        finally:
            await application.state.operations.close()
            await application.state.gateway.close()


async def _own_relay(address: Address) -> Application:
    """
    Return a relay in this process; what it reads is archived, if the archive can be had.

    Beside a live relay the database is opened to be read: its lists save reading the unit's whole
    memory again, and nothing is archived. It may open ``address``, whatever file that is: the
    person at the terminal named it, and the system asks for their own rights.
    """
    egress = EgressPolicy(None, {"named on the command line": address})
    settings = Settings(**OPEN)
    application = build_app(settings, egress=egress)
    problem = await _start(application)
    if problem is None:
        return application
    err.print(safe_text(f"What is read now is not archived: {problem}"), soft_wrap=True)
    await application.state.gateway.close()
    if isinstance(problem, StoreInUseError):
        reading = build_store_service(settings, read_only=True)
        application = build_app(settings, egress=egress, store_service=reading)
        if await _start(application) is None:
            return application
        await application.state.gateway.close()
    return build_app(Settings(database_url=NO_DATABASE, **OPEN), egress=egress)


async def _start(application: Application) -> StoreError | str | None:
    """Open the application's database; return why that failed, or ``None``."""
    store_service = application.state.gateway.store_service
    try:
        await store_service.start()
    except StoreError as error:
        return error
    detail: str | None = store_service.state()["detail"]
    return detail


async def ask(
    unit: str,
    path: str,
    relay: str | None,
    *,
    method: str = "GET",
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    is_long: bool = False,
    on_progress: operation.OnLook | None = None,
) -> dict[str, Any]:
    """
    Return the body of one device route, with progress on the way.

    Args:
        on_progress: called with an operation each time that it was looked at.
        is_long: a relay answers at once and is asked for the end, because a proxy between it and
            us may not wait that long. A unit that is asked directly has no proxy before it.
    """
    relay, which = where(unit, relay)
    headers = operation.PREFER if is_long and relay is not None else None
    async with _client(relay, which) as client:
        return await _ask_by(
            client,
            relay,
            which,
            path,
            method=method,
            query=query,
            body=body,
            headers=headers,
            on_progress=on_progress,
        )


async def _ask_by(
    client: httpx.AsyncClient,
    relay: str | None,
    which: Address | str,
    path: str,
    *,
    method: str = "GET",
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    on_progress: operation.OnLook | None = None,
) -> dict[str, Any]:
    """Return the body of one device route, with progress on the way; see ``ask``."""
    try:
        address = await _known(client, which)
        parameters = {**_parameters(address), **(query or {})}
        async with _progress(client, address):
            response = await client.request(
                method, path, params=parameters, json=body, headers=headers
            )
            if location := operation.location_of(response):
                return await operation.finished(
                    client, location, on_look=on_progress, is_direct=relay is None
                )
    except httpx.TransportError as error:
        raise CommandError(
            f"no relay answers at {relay} ({str(error) or type(error).__name__}); "
            "start one with: seismo-relay serve, or ask the unit itself: tcp://HOST:PORT"
        ) from error
    try:
        answer: dict[str, Any] = response.json()
    except ValueError as error:
        raise CommandError(f"{relay} answers, but not as a relay does") from error
    if response.is_error:
        raise failure(answer)
    return answer


async def _known(client: httpx.AsyncClient, which: Address | str) -> Address | str:
    """Return a word that the relay's roster has, as it is; any other as a host name."""
    if isinstance(which, Address):
        return which
    response = await client.get("/units")
    if response.is_error:
        return which  # the relay says why at the request itself
    try:
        words = {word for one in response.json()["units"] for word in _words(one)}
    except (ValueError, KeyError, TypeError):
        return which
    if folded(which) in words:
        return which
    try:
        return parse_host(which)
    except ValueError:
        return which


def _words(unit: Mapping[str, Any]) -> set[str]:
    """Return the words that name a unit of the roster."""
    return {folded(unit[name]) for name in ("name", "serial") if unit[name]}


async def _get(unit: str, path: str, relay: str | None, *, force: bool) -> dict[str, Any]:
    """Return the body of one device route that reads."""
    return await ask(unit, path, relay, query={"force": "true"} if force else None)


@contextlib.asynccontextmanager
async def _progress(client: httpx.AsyncClient, address: Address | str) -> AsyncIterator[None]:
    """
    Show how far the unit's reads are while the body runs.

    The display is a courtesy: if it cannot start, ends early or fails, the body does not notice.
    """
    if not err.is_terminal:
        yield
        return
    displaying = asyncio.create_task(_display(client, address))
    try:
        yield
    finally:
        displaying.cancel()
        await asyncio.gather(displaying, return_exceptions=True)


async def _display(client: httpx.AsyncClient, address: Address | str) -> None:
    with progress_bar() as bar:
        task = bar.add_task(f"asking {address}", total=None)
        while True:
            await asyncio.sleep(POLL_PROGRESS_S)
            with contextlib.suppress(httpx.HTTPError):
                for step in await _steps(client, address):
                    advance(bar, task, step)


async def _steps(client: httpx.AsyncClient, address: Address | str) -> list[Step]:
    """Return how far the unit's reads are; nothing if this token may not see the statistics."""
    response = await client.get("/cache/stats")
    if response.is_error:
        return []
    if isinstance(address, str):
        units = (await client.get("/units")).json().get("units", [])
        named = (one for one in units if folded(address) in _words(one))
        key = next((one["conn_key"] for one in named), None)
    else:
        key = Gateway.conn_key(address)
    device = response.json()["devices"].get(key, {"under_way": []})
    return [Step(**step) for step in device["under_way"]]


@app.command
@handles_errors
async def info(
    unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False
) -> None:
    """Show identity, firmware, calibration and recording setup of a unit."""
    body = await _get(unit, "/device/info", relay, force=force)
    print_body(body, views.info_view, as_json)


@app.command
@handles_errors
async def events(
    unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False
) -> None:
    """
    List the events that a unit has stored, newest first.

    A list that one contact cannot carry is read in several, for as long as each brings more. What
    was read of it when that ends is shown, and the exit status is 7.
    """
    body = await _list(unit, relay, force=force)
    print_body(body, views.events_view, as_json)
    if not body["complete"]:
        raise CommandError(
            "The list is not complete. What was read is kept: ask again to read on.", PARTIAL
        )


async def _list(unit: str, relay: str | None, *, force: bool) -> dict[str, Any]:
    """Return the event list, read in as many contacts as bring something; else its beginning."""
    relay, which = where(unit, relay)
    # One relay for all contacts: without a database an own one keeps what was read in memory.
    async with _client(relay, which) as client:
        get = functools.partial(_ask_by, client, relay, which, "/device/events")
        walked = 0
        while True:
            try:
                return await get(query={"force": "true"} if force else None)
            except CommandError as cut:
                if not str(cut.problem.get("type", "")).endswith(":list-incomplete"):
                    if not walked:
                        raise
                    break
                if cut.problem["walked"] <= walked:
                    break
                walked, force = cut.problem["walked"], False
                err.print(f"First {walked} events, still reading.")
        return await get(query={"partial": "true"})


@app.command
@handles_errors
async def waveform(
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
    force
        Go to the device, whatever a cache holds; replace the file that --csv names.
    csv
        Write the samples to this file; to a folder (., or a name that ends in /), under a name
        made of serial number, unit time and key. No file is replaced without --force.
    """
    if csv is not None:
        files.refuse_taken(csv, force=force)
    body = await _get(unit, f"/device/event/{index}/waveform", relay, force=force)
    if csv is not None:
        name = files.file_name(body, "csv")
        saved = files.save(csv, name, files.waveform_csv(body), force=force)
        err.print(safe_text(f"{body['samples']} samples per channel written to {saved}"))
        for reason in body["reasons"]:
            err.print(safe_text(f"Not good: {reason['detail']}"), soft_wrap=True)
    print_body(body, views.waveform_view, as_json)


@app.command
@handles_errors
async def status(
    unit: Unit, *, relay: Relay = None, force: Force = False, as_json: Json = False
) -> None:
    """Show whether a unit monitors, its clock, battery and memory."""
    body = await _get(unit, "/device/monitor/status", relay, force=force)
    print_body(body, views.status_view, as_json)
