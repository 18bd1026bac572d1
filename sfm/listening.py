"""The application on a port, until someone asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

GRACE_S = 2
"""How long an answer under way may take once the relay is asked to stop."""


class PortTakenError(Exception):
    """Nothing can listen on the address that was asked for."""


@asynccontextmanager
async def listening(application: FastAPI, host: str, http_port: int) -> AsyncIterator[str]:
    """
    Yield the base address of ``application``, which answers until the block ends.

    Args:
        application: what answers.
        host: the address to listen on.
        http_port: 0 for any free port.

    Raises:
        PortTakenError: another program listens there, or the address is not this machine's.
        StoreError: the database is another relay's, or must be upgraded by hand.
    """
    # Here, and not in the server's start-up, which would only say that it failed.
    await application.state.gateway.keeper.start()
    config = uvicorn.Config(
        application,
        host=host,
        port=http_port,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve_or_give_up())
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            raise PortTakenError(
                f"cannot listen on {host}:{http_port}: taken by another program, or not an address "
                "of this machine; choose another port with --http-port"
            )
        name, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{f'[{name}]' if ':' in name else name}:{port}"
    finally:
        ready.cancel()
        application.state.gateway.end_streams()
        server.should_exit = True
        await serving


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
