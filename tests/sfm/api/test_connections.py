"""Which connection is closed when there are as many as there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from kit.virtual_time import in_virtual_time
from test_server import HEAD, _Wire
from uvicorn import Config
from uvicorn.server import ServerState

from sfm.api.middleware.connection_limit import ConnectionLimit, max_connections
from sfm.http_protocol import HttpProtocol


def connections(most: int) -> tuple[Callable[[], tuple[Any, _Wire]], Any]:
    """Return what opens a connection to a server that has room for so many, and its answers."""
    answering = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await answering.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = Config(slow, http=HttpProtocol, ws="none", timeout_keep_alive=1000)
    config.load()
    state = ServerState()

    class Bounded(HttpProtocol):
        limit = ConnectionLimit(most)

    def opened() -> tuple[Any, _Wire]:
        spoken, wire = Bounded(config, state, {}, asyncio.get_running_loop()), _Wire()
        wire.spoken = spoken
        spoken.connection_made(cast(asyncio.Transport, wire))
        return spoken, wire

    return opened, answering


WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@in_virtual_time
async def test_the_connection_that_is_idle_longest_makes_room() -> None:
    opened, answering = connections(4)
    answering.set()
    made = [opened() for _ in range(4)]
    made[0][0].data_received(WHOLE)
    made[1][0].data_received(HEAD + b"half")
    await asyncio.sleep(1)
    made += [opened() for _ in range(3)]
    found = [wire.is_closing() for _, wire in made]
    for spoken, wire in made:
        if not wire.is_closing():
            spoken.connection_lost(None)
    # The first was answered a second ago; half a request is idle, however lately it grew.
    assert found == [False, True, True, True, False, False, False]


@in_virtual_time
async def test_one_that_is_answered_is_not_closed_and_a_stalled_one_is_closed_last() -> None:
    opened, answering = connections(2)
    made = [opened() for _ in range(2)]
    for spoken, _ in made:
        spoken.data_received(WHOLE)
    await asyncio.sleep(1)
    _, refused = opened()
    assert refused.is_closing()
    made[1][0].pause_writing()
    made.append(opened())
    found = [wire.is_closing() for _, wire in made]
    answering.set()
    await asyncio.sleep(1)
    for spoken, wire in made:
        if not wire.is_closing():
            spoken.connection_lost(None)
    assert found == [False, True, False]
    assert refused.written.startswith(b"HTTP/1.1 503 ")
    assert b"too-many-connections" in refused.written


@pytest.mark.parametrize("descriptors", [64, 256, 1024, 65536])
@pytest.mark.parametrize("sessions", [2, 72, 40])
def test_what_is_left_is_enough_for_all_else(descriptors: int, sessions: int) -> None:
    most = max_connections(descriptors, sessions)
    assert most >= 16
    if descriptors >= 256:
        # As many again may be accepted before any is closed.
        assert most + sessions + min(128, descriptors // 8) + 30 <= descriptors
