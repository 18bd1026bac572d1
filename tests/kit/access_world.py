"""An application behind its authentication, called without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.types import ASGIApp, Message

from kit.empty_databases import memory_store
from kit.inline_worker import InlineWorker
from kit.relay_world import at_once
from kit.virtual_time import now_s
from sfm.access.principal import Role
from sfm.access.sessions import Sessions
from sfm.api.app import Application, build_app
from sfm.api.middleware.authentication import Authentication
from sfm.api.middleware.cache_hits import HitLayer
from sfm.devices.commands import Commands
from sfm.devices.gateway import Gateway
from sfm.devices.operations import Operation, Operations, Report
from sfm.live_cache import LiveCache
from sfm.records.payloads import Payload
from sfm.settings import Settings
from sfm.store import Store, tokens
from sfm.store.service import StoreService

UNIT = "host=10.9.9.9&tcp_port=12345"
KEY = "tcp:10.9.9.9:12345"
NETWORK = ("10.0.0.1", 8200)
PEER = ("10.0.0.7", 50000)
HERE = ("127.0.0.1", 8200)
LOCAL: dict[str, Any] = {"server": HERE, "peer": HERE, "host": "127.0.0.1:8200"}
PASSED = "passed"
LEAVES_AFTER_S = 20.0
"""When who asks hangs up on an answer without end; virtual."""


async def answer_of(
    app: ASGIApp,
    method: str,
    path: str,
    query: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    server: tuple[str, int] = NETWORK,
    peer: tuple[str, int] = PEER,
    scheme: str = "http",
    body: bytes = b"",
) -> httpx.Response:
    """Return what an application answers; an error that it lets out is raised."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
        "server": server,
        "client": peer,
        "scheme": scheme,
    }
    sent: list[Message] = []
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.sleep(LEAVES_AFTER_S)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    sent_headers = [(k.decode(), v.decode()) for k, v in sent[0]["headers"]]
    content = b"".join(m.get("body", b"") for m in sent[1:])
    # As a stream, for httpx would add a length of its own to plain content.
    answer = httpx.Response(
        sent[0]["status"], headers=sent_headers, stream=httpx.ByteStream(content)
    )
    answer.read()
    return answer


@dataclass
class ProtectedApp:
    """An application behind its authentication; what passes is answered here, not by a unit."""

    app: Application
    store: Store
    secrets: dict[str, str] = field(default_factory=dict)
    passed: list[Any] = field(default_factory=list)

    def token(self, name: str, role: Role, *units: str) -> str:
        _, secret = self.store.write(
            tokens.create,
            name,
            role.value,
            units,
            datetime.now(UTC),
            lambda n: bytes([len(self.secrets)]) * n,
        )
        self.secrets[name] = secret
        return secret

    async def ask(
        self,
        method: str = "GET",
        target: str = f"/device/info?{UNIT}",
        *,
        secret: str | None = None,
        host: str = "10.0.0.1:8200",
        server: tuple[str, int] = NETWORK,
        peer: tuple[str, int] = PEER,
        scheme: str = "http",
        body: bytes = b"",
        more: Sequence[tuple[str, str]] = (),
        **headers: str,
    ) -> httpx.Response:
        """Return the answer of the authentication, or of the application behind it."""
        path, _, query = target.partition("?")
        pairs = [("host", host)]
        if secret is not None:
            pairs.append(("authorization", f"Bearer {secret}"))
        pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
        raw = [(name.encode(), value.encode()) for name, value in (*pairs, *more)]
        return await answer_of(
            self.app,
            method,
            path,
            query.encode(),
            raw,
            server=server,
            peer=peer,
            scheme=scheme,
            body=body,
        )

    async def passes(self, *args: Any, **kwargs: Any) -> bool:
        """Whether a request passes the authentication."""
        before = len(self.passed)
        await self.ask(*args, **kwargs)
        return len(self.passed) > before


@asynccontextmanager
async def protected_app(*, real: bool = False, **settings: Any) -> AsyncIterator[ProtectedApp]:
    """Yield an application with a database in memory; with ``real``, with its own routes."""
    store = memory_store()
    store_service = StoreService(
        lambda: store, clock=now_s, wall=lambda: datetime.now(UTC), run=at_once
    )
    known = Settings(**{"database_url": "none", "units": {"one": "tcp://10.9.9.9"}, **settings})
    gateway = Gateway(LiveCache(clock=now_s), known, store_service=store_service, clock=now_s)
    try:
        yield protected_app_of(gateway, known, store, real=real)
    finally:
        await gateway.close()


def protected_app_of(
    gateway: Gateway, settings: Settings, store: Store, *, real: bool
) -> ProtectedApp:
    """Return the protected application of a gateway, in virtual time."""
    app = build_app(settings, gateway, worker=InlineWorker())
    found = ProtectedApp(app, store)
    secrets = iter(f"secret{n}" for n in range(10**6))
    sessions = Sessions(now_s, lambda: next(secrets))
    hits = HitLayer(app.framework, gateway)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        found.passed.append(scope["sfm.principal"])
        if real:
            await hits(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": PASSED.encode()})

    guard = Authentication(behind, gateway, settings, sessions, now_s)
    app.front, app.state.guard, app.state.sessions = guard, guard, sessions
    app.state.commands = Commands(gateway, clock=now_s)
    return found


async def ended_operation(app: Application, unit: str) -> Operation:
    """Return an operation of a unit that was begun here, and has ended with a step and a result."""
    operations: Operations = app.state.operations

    async def work(report: Report) -> Payload:
        report("s of the sensor check", 40.0, 40.0)
        return {"outcome": "done"}

    operation = await operations.begin("monitor_start", unit, work)
    async for _ in operation.steps.follow(None):
        pass
    return operation
