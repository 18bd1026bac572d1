"""Requests to the relay of a world, without a socket, and what every answer must be like."""

from __future__ import annotations

import re
from typing import Any

import httpx
from fastapi import FastAPI

from kit.inline_worker import InlineWorker
from kit.relay_world import World
from kit.stored_rows import public_id
from sfm.api.app import build_app
from sfm.api.problems import MEDIA_TYPE, TYPE_PREFIX
from sfm.api.schemas import reading


def app_of(world: World) -> FastAPI:
    return build_app(world.settings, world.gateway, worker=InlineWorker())


def assert_problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    reading.ProblemOut.model_validate(body, extra="forbid")
    assert body["type"] == TYPE_PREFIX + kind
    assert body["status"] == status
    assert body["detail"]
    return body


def named(world: World, path: str) -> str:
    """Put a recording's id in the place of its row's number, of eight digits."""
    found = re.search("/recordings/(0[0-9]{7})(?![0-9a-f])", path)
    name = None if found is None or world.disk is None else public_id(world.disk, int(found[1]))
    return path if found is None or name is None else path.replace(found[1], name)


async def ask(
    world: World, path: str, /, method: str = "GET", *, headers: Any = None, **more: Any
) -> httpx.Response:
    """Ask; ``more`` are parameters, or the content or JSON of a body."""
    path = named(world, path)
    transport = httpx.ASGITransport(app_of(world), raise_app_exceptions=False)
    body: dict[str, Any] = {}
    if "content_" in more:
        body["content"] = more.pop("content_")
    if "json" in more:
        body["json"] = more.pop("json")
    # A client without Accept-Encoding takes none.
    headers = {"accept-encoding": "identity", **(headers or {})}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.request(
            method, path, params=more or None, headers=headers, timeout=None, **body
        )
