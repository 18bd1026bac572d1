"""A host whose clock was never set, as without a battery: what it says is no evidence."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from minimateplus.simulator import SimulatedUnit, serve_tcp
from sfm.api.app import build_app
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache
from sfm.settings import Settings
from sfm.store import Store
from sfm.store.service import StoreService


@pytest.mark.parametrize("year", [1970, 2026])
async def test_a_clock_of_1970_is_refused_and_reported(tmp_path: Path, year: int) -> None:
    wall = lambda: datetime(year, 6, 1, tzinfo=UTC)  # noqa: E731  # a clock that stands still
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'relay.sqlite'}", keep_open_s=0.0)
    unit = SimulatedUnit("BE11529")
    unit.record_event(seed=1, at_device_time=datetime(2026, 3, 1, 10))
    store_service = StoreService(
        lambda: Store.open(str(settings.database_url)), clock=time.monotonic, wall=wall
    )
    gateway = Gateway(LiveCache(), settings, store_service=store_service, wall=wall)
    application = build_app(settings, gateway)
    async with (
        serve_tcp(unit) as server,
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application, client=("127.0.0.1", 1)),
            base_url="http://127.0.0.1:8200",
        ) as client,
    ):
        where: dict[str, Any] = {"host": "127.0.0.1", "tcp_port": server.port}
        live = (await client.get("/device/events", params=where, timeout=30)).json()
        status = (await client.get("/device/monitor/status", params=where, timeout=30)).json()
        health = (await client.get("/health")).json()
        [row] = (await client.get("/archive/events")).json()["events"]
        live_at, archived_at = live["provenance"]["read_at"], row["read_at"]
    is_set = year == 2026
    assert (live_at is not None, archived_at is not None) == (is_set, is_set)
    assert health["status"] == ("ok" if is_set else "degraded")
    assert health["host_clock"] == ("ok" if is_set else "not-set")
    assert (status["clock_offset_s"] is not None) == is_set
