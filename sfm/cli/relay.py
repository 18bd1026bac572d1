"""Commands that run until Ctrl-C: the relay, a simulated unit, and both together."""

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
from sfm.cli.views import safe_text
from sfm.logs import configure_logs
from sfm.server import Terms, asked_to_stop, listening
from sfm.settings import Settings
from sfm.store import StoreError, tokens
from sfm.store.service import StoreService

__all__ = ["demo", "serve", "simulate"]


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

    On a loopback address local clients need no token. On any other address every client needs one,
    and the relay does not start before a token exists.

    Parameters
    ----------
    host
        Address to listen on; SFM_HOST or 127.0.0.1.
    http_port
        Port to listen on; SFM_HTTP_PORT or 8200.
    insecure
        Disable authentication for all clients.
    tls_cert
        Certificate file (PEM); enables HTTPS; SFM_TLS_CERT.
    tls_key
        The certificate's key file (PEM); SFM_TLS_KEY.
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
                err.print(
                    "INSECURE: authentication is disabled; any client may do anything, also erase."
                )
            err.print(safe_text(_archive_sentence(application.state.gateway.store_service.state())))
            await stop.wait()


async def _need_token(store_service: StoreService, address: str) -> None:
    """Raise unless a valid token exists."""
    try:
        known = await store_service.read(tokens.load_all)
    except (StoreError, BackingOffError) as error:
        raise CommandError(
            f"listening on {address} needs tokens, and they cannot be read: {error}; listen on "
            "127.0.0.1, or disable authentication with --insecure"
        ) from error
    if not any(token.revoked_at is None for token in known):
        raise CommandError(
            f"listening on {address} needs a token, and none exists; create one first:\n"
            "  seismo-relay token create NAME --role admin\n"
            "or listen on 127.0.0.1, or disable authentication with --insecure"
        )


def _archive_sentence(store: dict[str, Any]) -> str:
    """Return one sentence on where recordings are archived."""
    if store["state"] == "none":
        return "Nothing is archived: SFM_DATABASE_URL is none."
    if store["state"] == "degraded":
        return f"The archive is not available and will be retried: {store['detail']}"
    return f"Recordings are archived in {store['where']}"


HOSTILE_HELP = "Misbehave in one of these ways: " + " ".join(
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
        Interval at which it records further events, s.
    baud
        Answer at this line speed instead of immediately.
    serial
        Its serial number, at most seven characters.
    seed
        Makes its recordings reproducible.
    """
    try:
        unit = SimulatedUnit(serial, seed=seed)
        wrap_link = FaultyLink if hostile is None else hostile_link(hostile)
    except ValueError as error:
        err.print(safe_text(str(error)), soft_wrap=True)
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
    Start a simulated unit and the relay, read the unit through the relay, and keep running.

    Parameters
    ----------
    http_port
        Port of the relay; SFM_HTTP_PORT or 8200.
    once
        Stop after the reads.
    """
    configure_logs()
    port = Settings().http_port if http_port is None else http_port
    await demonstration.run(out, port, once=once)
