"""A start of monitoring over HTTP: answered at once when wished, and never done without effect."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time
from kit.virtual_time import now_s

from sfm.api.app import Application, build_app
from sfm.devices.commands import Commands

START = "/device/monitor/start"
UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
ASYNC = {"Prefer": "respond-async"}


def app_of(world: World) -> Application:
    app = build_app(world.settings, world.gateway)
    app.state.commands = Commands(world.gateway, wall=world.wall, clock=now_s)
    return app


async def ask(
    app: Application, method: str, path: str, headers: dict[str, str] | None = None, **params: Any
) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.request(method, path, headers=headers, params=params)


def events_of(stream: str) -> list[tuple[str, dict[str, Any]]]:
    """The kinds and data of a stream of server-sent events."""
    blocks = [dict(line.split(": ", 1) for line in one.split("\n")) for one in stream.split("\n\n")
              if one.startswith(("id", "event"))]  # fmt: skip
    return [(block["event"], json.loads(block["data"])) for block in blocks]


@in_virtual_time
async def test_a_start_that_need_not_be_waited_for_is_answered_at_once(world: World) -> None:
    world.plug(FieldUnit())
    app, began = app_of(world), now_s()
    begun = await ask(app, "POST", START, ASYNC, **UNIT)
    assert (begun.status_code, now_s()) == (202, began)
    assert begun.headers["preference-applied"] == "respond-async"
    where = begun.headers["location"]
    assert where == f"/operations/{begun.json()['id']}"
    await asyncio.sleep(12)
    running = (await ask(app, "GET", where)).json()
    assert (running["state"], running["done"], running["total"]) == ("running", 10.0, 40.0)
    assert running["what"] == "s of the sensor check"
    stream = await ask(app, "GET", f"{where}/progress")
    kinds = [kind for kind, _ in events_of(stream.text)]
    assert kinds == ["step"] * 8 + ["done", "end"]
    ended = (await ask(app, "GET", where)).json()
    assert (ended["state"], ended["problem"]) == ("done", None)
    assert ended["result"]["monitoring"] is True
    assert 40 <= now_s() - began <= 46


@in_virtual_time
async def test_a_start_that_ends_without_monitoring_is_a_failure(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.start_monitoring = lambda: None  # type: ignore[method-assign]
    app = app_of(world)
    waited = await ask(app, "POST", START, **UNIT)
    assert waited.status_code == 409
    assert waited.json()["type"] == "urn:seismo-relay:problem:not-monitoring"
    assert waited.json()["monitoring"] is False
    assert waited.json()["waited_s"] >= 60
    where = (await ask(app, "POST", START, ASYNC, **UNIT)).headers["location"]
    await asyncio.sleep(70)
    ended = (await ask(app, "GET", where)).json()
    assert (ended["state"], ended["problem"]["status"]) == ("failed", 409)
    assert ended["problem"]["type"] == waited.json()["type"]
    assert (await ask(app, "GET", f"{where}/progress")).text.rstrip().endswith("data: {}")


@in_virtual_time
async def test_a_start_that_is_not_followed_is_done_without_a_poll(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.start_monitoring = lambda: None  # type: ignore[method-assign]
    answer = await ask(app_of(world), "POST", START, follow="false", **UNIT)
    assert (answer.status_code, answer.json()["monitoring"]) == (200, None)


@in_virtual_time
async def test_an_error_before_anything_was_sent_is_the_operations_problem(world: World) -> None:
    app = app_of(world)
    begun = await ask(app, "POST", START, ASYNC, **UNIT)
    assert begun.status_code == 202
    await asyncio.sleep(1)
    ended = (await ask(app, "GET", begun.headers["location"])).json()
    assert (ended["state"], ended["problem"]["status"]) == ("failed", 503)
    assert ended["problem"]["outcome"] == "failed"


@pytest.mark.parametrize("path", ["/operations/0123", "/operations/0123/progress"])
@in_virtual_time
async def test_an_unknown_operation_is_not_found(world: World, path: str) -> None:
    assert (await ask(app_of(world), "GET", path)).status_code == 404
