"""
The HTTP server: the application on a port, until it is asked to stop.

``sfm.server:app`` is the application for another ASGI server, built when it is first asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from sfm.api.middleware.connection_limit import (
    QUEUE,
    ConnectionLimit,
    accepted_at_once,
    max_connections,
)
from sfm.errors import SfmError
from sfm.heap import return_large_blocks_at_once
from sfm.http_protocol import HttpProtocol
from sfm.logs import ACCESS_LOGGER, ClientLog

__all__ = [
    "GRACE_S",
    "CertificateError",
    "PortTakenError",
    "Terms",
    "asked_to_stop",
    "listening",
]

GRACE_S = 2
"""How long an answer under way may take once the relay is asked to stop."""


class CertificateError(SfmError):
    """The certificate or its key cannot be used."""


class PortTakenError(SfmError):
    """Nothing can listen on the address that was asked for."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the relay answers: over TLS or not, and which proxies are believed."""

    tls_cert: str | None = None
    tls_key: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    max_connections: int | None = None
    """HTTP connections that may be open at once; ``None``: as many as the system leaves."""


def __getattr__(name: str) -> Any:
    """Build ``app`` when an ASGI server asks for it; importing this module builds nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sfm.api.app import build_app

    application = globals()["app"] = build_app()
    return application


@asynccontextmanager
async def listening(
    application: FastAPI, host: str, http_port: int, terms: Terms | None = None
) -> AsyncIterator[str]:
    """
    Yield the base address of ``application``, which answers until the block ends.

    Args:
        application: what answers.
        host: the address to listen on.
        http_port: 0 for any free port.
        terms: plain HTTP and no proxy, if not given.

    Raises:
        CertificateError: the certificate or its key cannot be used.
        PortTakenError: another program listens there, or the address is not this machine's.
        StoreError: the database is another relay's, or must be upgraded by hand.
    """
    return_large_blocks_at_once()
    # Here, and not in the server's start-up, which would only say that it failed.
    await application.state.gateway.store_service.start()
    terms = terms or Terms()
    server = _Server(_config(application, host, http_port, terms))
    serving = asyncio.create_task(server.serve_or_give_up())
    ready = asyncio.create_task(server.ready.wait())
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(partial(_on_loop_error, application.state.client_log))
    try:
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            raise PortTakenError(
                f"cannot listen on {host}:{http_port}: taken by another program, or not an address "
                "of this machine; choose another port with --http-port or SFM_HTTP_PORT"
            )
        name, port = server.servers[0].sockets[0].getsockname()[:2]
        scheme = "https" if terms.tls_cert else "http"
        yield f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"
    finally:
        ready.cancel()
        application.state.gateway.end_streams()
        server.should_exit = True
        await serving
        loop.set_exception_handler(handler)


def _on_loop_error(
    client_log: ClientLog, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    """Log that no connection can be accepted once a minute, instead of each time it is tried."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        client_log.write(
            log.error,
            "no_descriptor_left",
            "",
            error=error.strerror,
            advice="raise the limit of open files, or lower SFM_MAX_CONNECTIONS",
        )
    else:
        loop.default_exception_handler(context)


def descriptor_limit() -> int | None:
    """Return how many files the process may have open; ``None``: no limit is known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _config(application: FastAPI, host: str, http_port: int, terms: Terms) -> uvicorn.Config:
    if terms.tls_key and not terms.tls_cert:
        raise CertificateError(f"{terms.tls_key}: a key without its certificate; give both")
    settings = application.state.gateway.settings
    descriptors = descriptor_limit()
    most = terms.max_connections or max_connections(
        descriptors, settings.max_sessions + settings.max_unknown_sessions
    )

    class Bounded(HttpProtocol):
        limit = ConnectionLimit(most)
        client_log = application.state.client_log

    config = uvicorn.Config(
        application,
        host=host,
        port=http_port,
        # Its lines go where ours go (``sfm.logs``); clients can cause most of them at will.
        log_config=None,
        log_level="critical",
        access_log=settings.access_log,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
        # Whatever else is installed: the bounds are of this protocol, and no web socket is served.
        http=Bounded,
        # Asyncio accepts so many in one turn, before the limit of connections sees any.
        backlog=accepted_at_once(descriptors),
        ws="none",
        # Uvicorn believes proxies of this machine by itself; we believe those that are named.
        proxy_headers=bool(terms.trusted_proxies),
        forwarded_allow_ips=list(terms.trusted_proxies),
        ssl_certfile=terms.tls_cert,
        ssl_keyfile=terms.tls_key,
    )
    if settings.access_log:
        logging.getLogger(ACCESS_LOGGER).setLevel(logging.INFO)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(_certificate_fault(terms, error)) from error
    return config


def _certificate_fault(terms: Terms, error: OSError) -> str:
    """Return what is wrong with certificate or key, which file, and what was expected."""
    files = {"SFM_TLS_CERT": terms.tls_cert, "SFM_TLS_KEY": terms.tls_key}
    for name, file in files.items():
        try:
            if file is not None:
                Path(file).read_bytes()
        except OSError as unreadable:
            return (
                f"{name}: {file}: {unreadable.strerror}; expected a certificate or its key as a "
                f"PEM file; for example: {name}=/etc/seismo-relay/{name[8:].lower()}.pem"
            )
    named = ", ".join(f"{name}: {file}" for name, file in files.items() if file is not None)
    reason = getattr(error, "reason", None)
    return (
        f"{named}: expected a certificate and the key that belongs to it, in PEM form"
        f"{f', got {reason}' if reason else ''}; for example: "
        "SFM_TLS_CERT=/etc/seismo-relay/cert.pem SFM_TLS_KEY=/etc/seismo-relay/key.pem"
    )


class _Server(uvicorn.Server):
    """Says when it is ready; leaves signals to its caller, as it is not the only one to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                # Asyncio would accept as many in one go as it lets the system queue.
                with contextlib.closing(listener.dup()) as same:
                    same.listen(QUEUE)
        self.ready.set()

    async def serve_or_give_up(self) -> None:
        # What uvicorn does when it cannot listen.
        with contextlib.suppress(SystemExit):
            await self.serve()


@contextmanager
def asked_to_stop() -> Iterator[asyncio.Event]:
    """Yield what is set at Ctrl-C or SIGTERM; while the block runs, they do nothing else."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    caught = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            caught.append(number)
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
