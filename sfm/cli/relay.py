"""What stays up until Ctrl-C: the relay, a simulated unit, and both of them together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from minimateplus.link.address import DEFAULT_TCP_PORT
from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.simulator.faulty_links import FaultyLink
from minimateplus.simulator.hostile import BEHAVIOURS, hostile_link
from minimateplus.simulator.serve import Pace
from sfm.access.principal import is_loopback
from sfm.api.app import build_app
from sfm.back_off import BackingOffError
from sfm.cli import demonstration
from sfm.cli.application import MISUSED, CommandError, PortNumber, app, err, handles_errors, out
from sfm.cli.views import said
from sfm.logs import configure_logs
from sfm.server import Terms, asked_to_stop, listening
from sfm.settings import Settings
from sfm.store import StoreError, tokens
from sfm.store.service import StoreService


@app.command
@handles_errors
async def serve(
    *,
    host: str | None = None,
    http_port: PortNumber | None = None,
    insecure: Annotated[bool, Parameter(negative=())] = False,
    tls_cert: str | None = None,
    tls_key: str | None = None,
) -> None:
    """
    Run the relay until Ctrl-C.

    On an address of this machine alone everything is allowed. On any other it asks for tokens, and
    does not start before there is one.

    Parameters
    ----------
    host
        Address to listen on; SFM_HOST or 127.0.0.1.
    http_port
        Port to listen on; SFM_HTTP_PORT or 8200.
    insecure
        Let everybody who reaches it do everything, without tokens.
    tls_cert
        Certificate file (PEM), to answer over HTTPS; SFM_TLS_CERT.
    tls_key
        Its key file (PEM); SFM_TLS_KEY.
    """
    given: dict[str, Any] = {"insecure": insecure or None, "tls_cert": tls_cert, "tls_key": tls_key}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    configure_logs()
    address = host or settings.host
    port = settings.http_port if http_port is None else http_port

    application = build_app(settings)

    terms = Terms(
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        trusted_proxies=tuple(settings.trusted_proxies),
        max_connections=settings.max_connections,
    )
    store_service = application.state.gateway.store_service
    await store_service.start()
    if not settings.insecure and (settings.require_tokens or not is_loopback(address)):
        try:
            await _need_token(store_service, address)
        except BaseException:
            await application.state.gateway.close()
            raise
    async with listening(application, address, port, terms) as base:
        with asked_to_stop() as stop:
            err.print(f"The relay answers at {base}; every route at {base}/docs. Ctrl-C stops.")
            if settings.insecure:
                err.print("INSECURE: whoever reaches it may do everything, erase included.")
            err.print(said(_archive_sentence(application.state.gateway.store_service.state())))
            await stop.wait()


async def _need_token(store_service: StoreService, address: str) -> None:
    """Raise unless somebody could be let in."""
    try:
        known = await store_service.read(tokens.load_all)
    except (StoreError, BackingOffError) as error:
        raise CommandError(
            f"listening on {address} needs tokens, and they cannot be read: {error}; listen on "
            "127.0.0.1, or say --insecure to let everybody do everything"
        ) from error
    if not any(token.revoked_at is None for token in known):
        raise CommandError(
            f"listening on {address} needs a token, and there is none; make one first:\n"
            "  seismo-relay token create NAME --role admin\n"
            "or listen on 127.0.0.1, or say --insecure to let everybody do everything"
        )


def _archive_sentence(store: dict[str, Any]) -> str:
    """Say where what is read is kept."""
    if store["state"] == "none":
        return "Nothing that is read is kept: SFM_DATABASE_URL is none."
    if store["state"] == "degraded":
        return f"The archive cannot be used now, and is tried again: {store['detail']}"
    return f"Everything that is read is kept in {store['where']}"


HOSTILE_HELP = "Misbehave on purpose, in one of these ways: " + " ".join(
    f"{name}: {one.description}" for name, one in BEHAVIOURS.items()
)


@app.command
@handles_errors
async def simulate(
    *,
    host: str = "127.0.0.1",
    tcp_port: PortNumber = DEFAULT_TCP_PORT,
    pty: Annotated[bool, Parameter(negative=())] = False,
    events: Annotated[int, Parameter(validator=Number(gte=0, lte=1500))] = 5,
    every_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    baud: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    serial: str = "SIM0001",
    seed: int = 0,
    hostile: Annotated[str | None, Parameter(help=HOSTILE_HELP)] = None,
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
        wrap_link = FaultyLink if hostile is None else hostile_link(hostile)
    except ValueError as error:
        err.print(said(str(error)), soft_wrap=True)
        raise SystemExit(MISUSED) from error
    demonstration.record_past_events(unit, events)
    pace = None if baud is None else Pace(baud)
    behaviour = "" if hostile is None else f"HOSTILE ({hostile}): {BEHAVIOURS[hostile].description}"
    if pty:
        # POSIX only, so imported only here.
        from minimateplus.simulator.pty import serve_pty

        async with serve_pty(unit, wrap_link=wrap_link, pace=pace) as terminal:
            await _run_unit(unit, terminal.path, behaviour, every_s)
        return
    try:
        async with serve_tcp(unit, host, tcp_port, wrap_link=wrap_link, pace=pace) as served:
            await _run_unit(unit, served.url, behaviour, every_s)
    except OSError as error:
        raise CommandError(f"cannot listen on {host}:{tcp_port}: {error}") from error


async def _run_unit(
    unit: SimulatedUnit, address: str, behaviour: str, every_s: float | None
) -> None:
    """Print where the unit answers, and record an event every ``every_s`` until Ctrl-C."""
    with asked_to_stop() as stop:
        out.print(
            f"Simulated unit {unit.serial} with {len(unit.events)} events answers at {address}"
        )
        if behaviour:
            out.print(behaviour)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await stop.wait()
            if not stop.is_set():
                event = unit.record_event()
                out.print(f"recorded event {event.index}, key {event.key.hex()}")


@app.command
@handles_errors
async def demo(*, http_port: PortNumber | None = None, once: bool = False) -> None:
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
    await demonstration.run(out, port, once=once)
