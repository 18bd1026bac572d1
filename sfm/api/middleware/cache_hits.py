"""
The layer in front of the framework: fresh hits, 304 and ``only_if_cached`` from encoded bytes.

The rule: it never decides. Whether a cached value may answer is decided by the gateway
(``Gateway.cached_...``), its encoding by ``sfm.api.provenance``, what the parameters mean by the
same models that the routes use. What it cannot answer at once it lets through untouched, bad input
included. It exists because a route of the framework costs several times what the answer does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from minimateplus.errors import NoSuchEventError
from sfm.api import provenance
from sfm.api.cache_control import freshness
from sfm.api.compression import takes
from sfm.api.provenance import EncodedBody, Reply, View
from sfm.api.schemas.reading import MAX_INDEX, EventsQuery, ReadQuery
from sfm.cache.freshness import Freshness
from sfm.devices.answer import Answer
from sfm.devices.gateway import Gateway
from sfm.devices.target import Target

__all__ = ["HitLayer", "encoded_for"]

REMEMBERED_URLS = 4096

_EVENT = re.compile(r"/device/event/(\d{1,7})(/waveform)?")

Lookup = Callable[[Target, Freshness], Answer | None]
"""Takes what is asked for, and how fresh the answer must be."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a URL asks for, worked out once."""

    query: ReadQuery
    freshness: Freshness
    look: Lookup
    view: View


class HitLayer:
    """ASGI middleware. Lives as long as the application; owns nothing."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._asked: dict[tuple[str, bytes], _Asked | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hit, or let the request through."""
        reply = self._reply(scope) if scope["type"] == "http" else None
        if reply is None:
            await self._app(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})

    def _reply(self, scope: Scope) -> Reply | None:
        if scope["method"] != "GET":
            return None
        url = (scope["path"], scope["query_string"])
        try:
            asked = self._asked[url]
        except KeyError:
            asked = self._remember(url)
        if asked is None:
            return None
        cache_control, if_none_match, accept, encodings = b"", None, b"", ""
        for name, value in scope["headers"]:
            if name == b"cache-control":
                cache_control = cache_control + b", " + value if cache_control else value
            elif name == b"if-none-match":
                if_none_match = value.decode("latin-1")
            elif name == b"if-match":
                return None
            elif name == b"accept":
                accept = value
            elif name == b"accept-encoding":
                text = value.decode("latin-1")
                encodings = f"{encodings},{text}" if encodings else text
        wish = (
            freshness(asked.query, cache_control.decode("latin-1"))
            if cache_control
            else asked.freshness
        )
        target: Target | None = scope.get("sfm.target")
        if target is None:
            return None  # the route reports what is wrong with it
        answer = asked.look(target, wish)
        if answer is None:
            return None
        what = encoded_for(answer, asked.view, accept.decode("latin-1"), encodings)
        return provenance.reply(answer, what, if_none_match)

    def _remember(self, url: tuple[str, bytes]) -> _Asked | None:
        if len(self._asked) >= REMEMBERED_URLS:
            self._asked.clear()
        asked = self._asked[url] = self._understand(*url)
        return asked

    def _understand(self, path: str, query_string: bytes) -> _Asked | None:
        """Return what a URL asks for; ``None`` if it is not for this layer."""
        if not path.startswith("/device/"):
            return None
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
        try:
            is_list = path == "/device/events" or path.startswith("/device/event/")
            model = EventsQuery if is_list and not path.endswith("/waveform") else ReadQuery
            query = model.model_validate(dict(pairs))
        except (ValidationError, ValueError):
            return None
        found = self._look(path) if len(dict(pairs)) == len(pairs) else None
        if found is None:
            return None
        look, view = found
        return _Asked(query, freshness(query, None), look, view)

    def _look(self, path: str) -> tuple[Lookup, View] | None:
        gateway = self._gateway
        if path == "/device/info":
            return gateway.cached_info, provenance.INFO
        if path == "/device/monitor/status":
            return gateway.cached_monitor_status, provenance.STATUS
        if path == "/device/events":
            return gateway.cached_events, provenance.EVENTS
        match = _EVENT.fullmatch(path)
        if match is None or (index := int(match[1])) > MAX_INDEX:
            return None
        if match[2]:
            return (
                lambda target, wish: gateway.cached_waveform(target, index, wish),
                provenance.WAVEFORM,
            )
        return lambda target, wish: _one(gateway, target, index, wish), provenance.EVENT


def _one(gateway: Gateway, target: Target, index: int, wish: Freshness) -> Answer | None:
    try:
        return gateway.cached_event(target, index, wish)
    except NoSuchEventError:
        return None


def encoded_for(answer: Answer, view: View, accept: str, accept_encoding: str) -> EncodedBody:
    """Return what an answer says as the reader accepts it: bare counts, or JSON, compressed too."""
    if view is provenance.WAVEFORM and provenance.takes_counts(accept):
        return provenance.encode_as_counts(answer)
    if takes("gzip", accept_encoding):
        return provenance.encode_compressed(answer, view)
    return provenance.encode_body(answer, view)
