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
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle

from sfm.access.principal import rate_limit_key
from sfm.api.middleware.authentication import security_headers
from sfm.api.middleware.connection_limit import (
    QUEUE,
    ConnectionLimit,
    accepted_at_once,
    max_connections,
)
from sfm.api.middleware.request_head import BAD_REQUEST, TOO_MANY_HEADERS
from sfm.api.problems import Problem, problem_response
from sfm.errors import SfmError
from sfm.heap import return_large_blocks_at_once
from sfm.logs import ACCESS_LOGGER, ClientLog

__all__ = [
    "GRACE_S",
    "MAX_HEADER_BYTES",
    "REQUEST_S",
    "TOO_MANY_CONNECTIONS",
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


MAX_HEADER_BYTES = 32 * 1024
"""
The server's limit for a request's head; ``sfm.api.middleware.request_head`` has a lower one and
answers it with a problem.
"""
REQUEST_S = 20.0
"""How long a request may take to come, body included; then its connection is closed."""
TOO_MANY_CONNECTIONS = Problem("too-many-connections", 503, "The relay is busy", 5)

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

    class Bounded(_Protocol):
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
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
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


class _Protocol(H11Protocol):
    """A connection whose requests come in time; what is no request is answered as the rest is."""

    limit = ConnectionLimit()
    client_log = ClientLog()
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.limit.is_full:
            network = rate_limit_key(self.client[0]) if self.client else ""
            self.client_log.write(log.warning, "connections_full", network, open=len(self.limit))
        if self.limit.add(self):
            self._expect()
        else:
            self._send_and_close(
                problem_response(TOO_MANY_CONNECTIONS, "every connection is being answered")
            )

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, or for the rest of one."""
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        is_answering = cycle is not None and not cycle.response_complete
        return not is_answering or self.conn.their_state is h11.SEND_BODY

    @property
    def is_stalled(self) -> bool:
        """Whether its client does not take the answer."""
        return self.flow.write_paused

    def shed(self) -> None:
        """Close it at once."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.limit.remove(self)
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._expect()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._came()

    def on_response_complete(self) -> None:
        self._came()  # between requests uvicorn's own bound holds
        self.limit.answered(self)
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._expect()

    def send_400_response(self, msg: str) -> None:
        error = sys.exc_info()[1]
        is_long = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        if is_long:
            answer = problem_response(
                TOO_MANY_HEADERS, f"a head has at most {MAX_HEADER_BYTES} bytes"
            )
        else:
            answer = problem_response(BAD_REQUEST, msg)
        self._send_and_close(answer)

    def _send_and_close(self, answer: Response) -> None:
        headers = [*answer.raw_headers, *security_headers(is_secure=self.scheme == "https")]
        start = h11.Response(
            status_code=answer.status_code,
            headers=[*headers, (b"connection", b"close")],
            reason=STATUS_PHRASES[answer.status_code],
        )
        for event in (start, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(REQUEST_S, self.transport.close)

    def _came(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


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
