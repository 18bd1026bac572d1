"""Commands that run until Ctrl-C: the relay, a simulated unit, and both together."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from minimateplus.link.address import DEFAULT_TCP_PORT
from sfm.cli.application import MISUSED, CommandError, PortNumber, app, err, handles_errors, out
from sfm.cli.views import counted, safe_text

if TYPE_CHECKING:
    from minimateplus.simulator import SimulatedUnit
    from sfm.settings import Settings
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
    and the relay does not start before a token exists. All other settings come from the
    environment and from `seismo-relay.toml`; `--config FILE` names another file.

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
    from sfm.cli.configuration import load_settings, unknown_names
    from sfm.logs import configure_logs

    given: dict[str, Any] = {"insecure": insecure or None, "tls_cert": tls_cert, "tls_key": tls_key}
    given |= {"host": host, "http_port": http_port}
    settings = load_settings(
        warn=False, **{name: value for name, value in given.items() if value is not None}
    )
    configure_logs(level=settings.log_level, kind=settings.log_format)
    for line in unknown_names():
        _announce(f"Warning: {line}")
    await _serve(settings)


async def _serve(settings: Settings) -> None:
    """Run the relay with these settings until Ctrl-C."""
    from sfm.access.principal import is_loopback
    from sfm.api.app import build_app
    from sfm.server import Terms, asked_to_stop, listening

    application = build_app(settings)
    terms = Terms(
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        trusted_proxies=tuple(settings.trusted_proxies),
        max_connections=settings.max_connections,
    )
    store_service = application.state.gateway.store_service
    try:
        await store_service.start()
        _check_database(store_service)
        if not settings.insecure and (settings.require_tokens or not is_loopback(settings.host)):
            await _need_token(store_service, settings.host)
    except BaseException:
        await application.state.gateway.close()
        raise
    async with listening(application, settings.host, settings.http_port, terms) as base:
        with asked_to_stop() as stop:
            _announce(f"The relay answers at {base}; every route at {base}/docs. Ctrl-C stops.")
            if settings.insecure:
                _announce(
                    "INSECURE: authentication is disabled; any client may do anything, also erase."
                )
            _announce(_archive_sentence(store_service.state()))
            await stop.wait()
    _announce("Stopped.")


def _announce(sentence: str) -> None:
    """Print a sentence for people, or a line of the log where that is JSON."""
    from sfm.logs import log_is_json

    if log_is_json():
        import structlog

        structlog.get_logger(__name__).info(sentence)
    else:
        err.print(safe_text(sentence), soft_wrap=True)


def _check_database(store_service: StoreService) -> None:
    """
    Raise if the database cannot work with these settings, however often it is tried.

    A server that does not answer yet, a locked, full or damaged database can: the relay starts, and
    tries again by itself.
    """
    detail = store_service.state()["detail"]
    if detail is None:
        return
    is_file = store_service.problem_kind == "lost" and "://" not in detail.partition(" ")[0]
    is_refused = any(words in detail for words in ("authentication failed", "does not exist"))
    if is_file or is_refused:
        raise CommandError(
            f"SFM_DATABASE_URL: the database cannot be used: {' '.join(detail.split())}; expected "
            "a file in a folder that this user can write, or an existing database and its "
            "password; for example: SFM_DATABASE_URL=sqlite:////var/lib/seismo-relay/archive.sqlite",
            MISUSED,
        )


async def _need_token(store_service: StoreService, address: str) -> None:
    """Raise unless a valid token exists."""
    from sfm.back_off import BackingOffError
    from sfm.store import StoreError, tokens

    try:
        known = await store_service.read(tokens.load_all)
    except (StoreError, BackingOffError) as error:
        raise CommandError(
            f"listening on {address} needs tokens, and they cannot be read: {error}; listen on "
            "127.0.0.1, or disable authentication with --insecure",
            MISUSED,
        ) from error
    if not any(token.revoked_at is None for token in known):
        raise CommandError(
            f"listening on {address} needs a token, and none exists; create one first:\n"
            "  seismo-relay token create NAME --role admin\n"
            "or listen on 127.0.0.1, or disable authentication with --insecure",
            MISUSED,
        )


def _archive_sentence(store: dict[str, Any]) -> str:
    """Return one sentence on where recordings are archived."""
    if store["state"] == "none":
        return "Nothing is archived: SFM_DATABASE_URL is none."
    if store["state"] == "degraded":
        return f"The archive is not available and will be retried: {store['detail']}"
    return f"Recordings are archived in {store['where']}"


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
    hostile: str | None = None,
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
    hostile
        Misbehave in one way; "list" prints them all.
    """
    from minimateplus.simulator import SimulatedUnit, serve_tcp
    from minimateplus.simulator.faulty_links import FaultyLink
    from minimateplus.simulator.hostile import BEHAVIOURS, hostile_link
    from minimateplus.simulator.serve import Pace
    from sfm.cli import demonstration

    if hostile == "list":
        for name, one in BEHAVIOURS.items():
            out.print(safe_text(f"{name}: {one.description}"), soft_wrap=True)
        return
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
    import asyncio

    from sfm.server import asked_to_stop

    with asked_to_stop() as stop:
        out.print(
            f"Simulated unit {unit.serial} with {counted(len(unit.events), 'events')} answers "
            f"at {address}"
        )
        if behaviour:
            out.print(behaviour)
        out.print("Ctrl-C stops.")
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await stop.wait()
            if not stop.is_set():
                event = unit.record_event()
                out.print(f"recorded event {event.index}, key {event.key.hex()}")
    out.print("Stopped.")


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
    from sfm.cli import demonstration
    from sfm.cli.configuration import load_settings
    from sfm.logs import configure_logs

    settings = load_settings()
    configure_logs(level=settings.log_level, kind=settings.log_format)
    port = settings.http_port if http_port is None else http_port
    await demonstration.run(out, port, once=once)
