from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from kit.ports import reserve_port
from kit.relay_process import PATIENCE_S
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from minimateplus.simulator.faulty_links import LateLink
from sfm.api.streams import event_stream
from sfm.devices.progress import ProgressLog
from sfm.devices.single_flight import ShuttingDownError
from sfm.devices.target import Target


async def lines_of(world: World, last_id: str | None = None) -> list[tuple[str, str, str]]:
    """Follow the unit's progress to the stream's end; id, event and data of each entry."""
    response: Any = event_stream(world.gateway, Target.at(HERE), last_id)
    text = b"".join([chunk async for chunk in response.body_iterator]).decode()
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields.get("id", ""), fields["event"], fields["data"]))
    return found


@in_virtual_time
async def test_the_steps_of_a_read_are_reported_as_they_happen(world: World) -> None:
    world.plug(FieldUnit().record(3))
    following = asyncio.create_task(lines_of(world))
    await asyncio.sleep(0)
    await world.gateway.events(HERE)
    world.gateway.end_streams()
    reported = await following
    kinds = [kind for _, kind, _ in reported]
    assert kinds == ["begun", "step", "step", "step", "done", "end"]
    assert '"what":"events","done":3' in reported[3][2]
    assert '"resource":"events"' in reported[0][2]


@in_virtual_time
async def test_a_waveform_s_steps_say_how_many_bytes_of_how_many(world: World) -> None:
    world.plug(FieldUnit().record(1))
    following = asyncio.create_task(lines_of(world))
    await asyncio.sleep(0)
    await world.gateway.waveform(HERE, 0)
    world.gateway.end_streams()
    steps = [data for _, kind, data in await following if kind == "step" and '"bytes"' in data]
    assert steps
    assert '"resource":"waveform 0"' in steps[-1]
    assert '"total":null' not in steps[-1]


@in_virtual_time
async def test_a_stream_that_was_lost_goes_on_where_it_broke_off(world: World) -> None:
    world.plug(FieldUnit().record(3))
    await world.gateway.events(HERE)
    log = world.gateway.progress(HERE)
    log.close()
    whole = await lines_of(world)
    for at, (last_id, _, _) in enumerate(whole[:-1]):
        assert await lines_of(world, last_id) == whole[at + 1 :]
    for foreign in ("", "otherlife.3", "nonsense", f"{log.mark}.x"):
        assert await lines_of(world, foreign) == whole


@in_virtual_time
async def test_a_read_that_fails_says_so(world: World) -> None:
    world.plug(FieldUnit().record(1))
    await world.gateway.info(HERE)
    await asyncio.sleep(10)
    world.units.clear()
    with pytest.raises(Exception, match="nothing listens"):
        await world.gateway.events(HERE)
    world.gateway.progress(HERE).close()
    assert (await lines_of(world))[-2][1] == "failed"


@in_virtual_time
async def test_a_quiet_stream_sends_heartbeats_and_a_follower_may_leave(world: World) -> None:
    world.wrap_link = LateLink
    world.plug(FieldUnit().record(1))
    response: Any = event_stream(world.gateway, Target.at(HERE), None)
    chunks = response.body_iterator
    assert await anext(chunks) == b"retry: 2000\n\n"
    assert await anext(chunks) == b": still here\n\n"
    await chunks.aclose()
    assert world.gateway.stats()["devices"] == {}


@in_virtual_time
async def test_nobody_follows_a_relay_that_is_about_to_stop(world: World) -> None:
    world.gateway.end_streams()
    with pytest.raises(ShuttingDownError):
        world.gateway.progress(HERE)


@in_virtual_time
async def test_a_step_that_was_not_kept_is_not_reported(world: World) -> None:
    log = ProgressLog("life")
    for number in range(1000):
        log.add("step", done=number)
    log.close()
    reported = [entry.number async for entry in log.follow("life.1")]
    assert reported == list(range(489, 1001))


@pytest.mark.parametrize("how", ["own", "uvicorn"])
def test_an_open_stream_does_not_hold_a_sigterm(how: str) -> None:
    port = reserve_port()
    code = {
        "own": f"from sfm.cli import app; app(['serve', '--http-port', '{port}'])",
        "uvicorn": f"import uvicorn; uvicorn.run('sfm.server:app', port={port}, log_level='error')",
    }[how]
    relay = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    client.get("/health").raise_for_status()
                    break
                except httpx.TransportError:
                    assert relay.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.01)  # the relay that is starting needs this core
            with client.stream("GET", "/device/progress", params={"host": "10.0.0.1"}) as stream:
                chunks = stream.iter_text()
                assert "retry" in next(chunks)
                relay.send_signal(signal.SIGTERM)
                assert "event: end" in "".join(chunks)
        assert relay.wait(timeout=PATIENCE_S) in (0, -signal.SIGTERM)
    finally:
        relay.kill()
        relay.wait()
