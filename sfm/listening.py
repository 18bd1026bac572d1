"""The application on a port, until someone asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
    """
    config = uvicorn.Config(
        application,
        host=host,
        port=http_port,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    # Signals are the caller's: uvicorn would end itself and leave the rest running.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(_serve(server))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if not server.started:
            raise PortTakenError(
                f"cannot listen on {host}:{http_port}: taken by another program, or not an address "
                "of this machine; choose another port with --http-port"
            )
        name, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{f'[{name}]' if ':' in name else name}:{port}"
    finally:
        server.should_exit = True
        await serving


async def _serve(server: uvicorn.Server) -> None:
    # What uvicorn does when it cannot listen.
    with contextlib.suppress(SystemExit):
        await server.serve()


async def until_asked_to_stop() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    caught = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            caught.append(number)
    try:
        await stop.wait()
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
