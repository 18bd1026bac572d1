"""Long work that is answered at once: its id, its progress, its end, and a restart between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from relay_world import HERE, FieldUnit, World, at_once, in_virtual_time
from virtual_time import now_s

from sfm.commands import Commands
from sfm.flights import BusyError, ClosingError
from sfm.keeper import Keeper
from sfm.operations import MAX_RUNNING, Operation, Operations
from sfm.server import Application, build_app
from sfm.store import Store

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
    assert (waited.status_code, waited.json()["type"]) == (
        409,
        "urn:seismo-relay:problem:not-monitoring",
    )
    assert waited.json()["monitoring"] is False
    assert waited.json()["waited_s"] >= 60
    where = (await ask(app, "POST", START, ASYNC, **UNIT)).headers["location"]
    await asyncio.sleep(70)
    ended = (await ask(app, "GET", where)).json()
    assert (ended["state"], ended["problem"]["status"]) == ("failed", 409)
    assert ended["problem"]["type"] == waited.json()["type"]
    assert (await ask(app, "GET", f"{where}/progress")).text.rstrip().endswith("data: {}")


@in_virtual_time
async def test_a_start_that_is_not_followed_is_done_without_a_look(world: World) -> None:
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


class Wall:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def operations(store: Store | None, wall: Wall, life: str = "one") -> Operations:
    keeper = Keeper(None if store is None else lambda: store, clock=now_s, wall=wall, run=at_once)
    ids = iter(f"{life}-{number}" for number in range(10**6))
    return Operations(
        keeper, wall=wall, new_id=lambda: next(ids), describe=lambda error: {"detail": str(error)}
    )


def ends_after(seconds: float) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    async def work(report: Any) -> dict[str, Any]:
        report("s", 1.0, seconds)
        await asyncio.sleep(seconds)
        return {"answer": 42}

    return work


async def found(where: Operations, operation: Operation) -> dict[str, Any]:
    one = await where.find(operation.id)
    assert one is not None
    return one.form()


@in_virtual_time
async def test_an_ended_operation_is_there_after_a_restart_and_gone_after_a_day(
    world: World,
) -> None:
    wall = Wall()
    with Store.open("sqlite://") as store:
        before = operations(store, wall)
        operation = await before.begin("test", "tcp:a:1", ends_after(1.0))
        await asyncio.sleep(2)
        told = await found(before, operation)
        assert (told["state"], told["result"]) == ("done", {"answer": 42})
        await before.close()
        after = operations(store, wall, "two")
        assert await found(after, operation) == told
        wall.now += timedelta(hours=23, minutes=59)
        assert await found(after, operation) == told
        wall.now += timedelta(minutes=2)
        assert await after.find(operation.id) is None
        assert await before.find(operation.id) is None
        # The next one that is written down removes its row.
        await after.begin("test", "tcp:a:1", ends_after(1.0))
        await asyncio.sleep(2)
        assert store.operation(operation.id) is None


@in_virtual_time
async def test_an_operation_that_a_restart_cut_has_an_unknown_outcome(world: World) -> None:
    wall = Wall()
    with Store.open("sqlite://") as store:
        killed = operations(store, wall)
        operation = await killed.begin("test", "tcp:a:1", ends_after(1000.0))
        await asyncio.sleep(1)
        # As after kill -9: another life looks into the same database.
        told = await found(operations(store, wall), operation)
        assert (told["state"], told["problem"]["outcome"]) == ("failed", "unknown")
        assert "tcp:a:1: the relay was stopped" in told["problem"]["detail"]
        await killed.close()
        stopped = await found(operations(store, wall), operation)
        assert (stopped["state"], stopped["problem"]["outcome"]) == ("failed", "unknown")
        with pytest.raises(ClosingError):
            await killed.begin("test", "tcp:a:1", ends_after(1.0))


@in_virtual_time
async def test_operations_are_bounded(world: World) -> None:
    where = operations(None, Wall())
    for _ in range(MAX_RUNNING):
        await where.begin("test", "tcp:a:1", ends_after(5.0))
    with pytest.raises(BusyError):
        await where.begin("test", "tcp:a:1", ends_after(5.0))
    await asyncio.sleep(6)
    await where.begin("test", "tcp:a:1", ends_after(5.0))
    await where.close()
