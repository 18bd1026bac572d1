from __future__ import annotations

import re

import httpx
from kit.virtual_time import run

from sfm.api.app import build_app


def page_and_description() -> tuple[httpx.Response, dict[str, dict[str, object]]]:
    async def ask() -> tuple[httpx.Response, dict[str, dict[str, object]]]:
        transport = httpx.ASGITransport(build_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/docs"), (await client.get("/openapi.json")).json()

    return run(ask())


def test_the_page_of_routes_names_every_route_and_parameter() -> None:
    page, description = page_and_description()
    assert page.status_code == 200
    for path in description["paths"]:
        assert f"<code>{path}</code>" in page.text
    for name in ("host", "tcp_port", "port", "baud", "force", "index"):
        assert f"<td>{name}<td>" in page.text


def test_the_page_of_routes_loads_nothing_from_anywhere() -> None:
    page, _ = page_and_description()
    assert not re.findall(r"<script|<link|@import|url\(|src=|https?://", page.text)
