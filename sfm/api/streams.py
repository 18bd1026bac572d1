"""
Progress of long reads as server-sent events (HTML standard, 9.2).

Each event carries an id; a browser that lost the stream sends it back as ``Last-Event-ID`` and gets
what it missed. A stream ends when the relay is asked to stop, not when the server gives up on it: a
server waits for its open answers, so a stream that stayed open would hold the shutdown.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import orjson
from fastapi.responses import Response, StreamingResponse

from sfm.devices.gateway import Gateway
from sfm.devices.progress import Entry, ProgressLog
from sfm.devices.target import Target

__all__ = ["STREAM_HEADERS", "STREAM_TYPE", "ending_streams_first", "event_stream", "steps_stream"]

STREAM_TYPE = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
KEEP_ALIVE_S = 15.0
"""How often a quiet stream says that it lives, so that nothing on the way closes it."""


def event_stream(gateway: Gateway, target: Target, last_id: str | None) -> Response:
    """Return the steps of a unit's reads as a stream, from behind ``last_id`` on."""
    log = gateway.progress(target)
    return steps_stream(log, last_id, lambda: gateway.stopped_following(target))


def steps_stream(
    log: ProgressLog, last_id: str | None, on_end: Callable[[], None] = lambda: None
) -> Response:
    """Return the entries of ``log`` as a stream, from behind ``last_id`` on."""
    return StreamingResponse(
        _lines(log, last_id, on_end),
        media_type=STREAM_TYPE,
        headers=STREAM_HEADERS,
    )


async def _lines(
    log: ProgressLog, last_id: str | None, on_end: Callable[[], None]
) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    entries = log.follow(last_id)
    waiting: asyncio.Future[Entry] | None = None
    try:
        while True:
            if waiting is None:
                waiting = asyncio.ensure_future(anext(entries))
            done, _ = await asyncio.wait([waiting], timeout=KEEP_ALIVE_S)
            if not done:
                yield b": still here\n\n"
                continue
            try:
                entry = waiting.result()
            except StopAsyncIteration:
                yield b"event: end\ndata: {}\n\n"
                return
            waiting = None
            data = orjson.dumps(entry.data)
            yield b"id: %b\nevent: %b\ndata: %b\n\n" % (
                log.id_of(entry).encode(),
                entry.kind.encode(),
                data,
            )
    finally:
        if waiting is not None:
            waiting.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting
        on_end()


@contextmanager
def ending_streams_first(end_streams: Callable[[], None]) -> Iterator[None]:
    """
    End all streams at SIGTERM and SIGINT, before the handlers installed until now.

    A server catches the signals itself, and then waits for open answers before it tells the
    application anything. In another thread than the main one no signal arrives: nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(end_streams)
        caught = before[signal.Signals(number)]
        if callable(caught):
            caught(number, frame)

    ours = {number: caught for number, caught in before.items() if callable(caught)}
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, caught in ours.items():
            if signal.getsignal(number) is end:
                signal.signal(number, caught)
