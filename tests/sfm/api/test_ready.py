"""``/health/ready``: 200 while the relay can do its work, 503 when it is degraded beyond use."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from sfm.api.app import Application, build_app
from sfm.settings import Settings

UNUSABLE = "sqlite:////proc/no-such-folder/db.sqlite"


@contextlib.asynccontextmanager
async def asking(**settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Application]]:
    application = build_app(Settings(**settings))
    transport = httpx.ASGITransport(application)
    try:
        await application.state.gateway.store_service.start()
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client, application
    finally:
        await application.state.gateway.close()


async def reasons(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/health/ready")
    if answer.status_code == 200:
        assert answer.json() == {"ready": True}
        return []
    body = answer.json()
    assert (answer.status_code, body["type"]) == (503, "urn:seismo-relay:problem:not-ready")
    assert answer.headers["retry-after"] == "5"
    found: list[str] = body["reasons"]
    return found


async def test_a_relay_without_a_database_or_with_one_that_fails_for_a_while_is_ready() -> None:
    async with asking(database_url="none") as (client, _):
        assert await reasons(client) == []
    async with asking(database_url=UNUSABLE) as (client, _):
        assert (await client.get("/health")).json()["status"] == "degraded"
        assert await reasons(client) == []


async def test_a_relay_that_loses_records_is_not_ready() -> None:
    async with asking(database_url=UNUSABLE) as (client, application):
        application.state.gateway.store_service._backlog.not_archived = 1
        [reason] = await reasons(client)
        assert "what is read is lost" in reason


async def test_a_relay_that_can_check_no_token_is_not_ready() -> None:
    for settings in ({"require_tokens": True}, {"host": "0.0.0.0"}):
        async with asking(database_url=UNUSABLE, **settings) as (client, _):
            [reason] = await reasons(client)
            assert "no token can be checked" in reason
    async with asking(database_url=UNUSABLE, host="0.0.0.0", insecure=True) as (client, _):
        assert await reasons(client) == []


async def test_a_relay_that_shuts_down_is_not_ready() -> None:
    async with asking(database_url="none") as (client, application):
        application.state.gateway.end_streams()
        assert await reasons(client) == ["the relay is shutting down"]
