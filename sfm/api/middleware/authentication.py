"""
Authentication and authorisation of every request, and the security headers of every answer.

The rule: this middleware runs before all others, cache hits included. A request needs no token only
when it is entirely local: the address connected to, the client's address and the Host header are of
this machine (so that a web page cannot reach the relay under its own name), and no header names a
proxy. So it does not matter how the server was started. Every other request needs a token with the
role in ``sfm.api.rules``, sent as a bearer or through a session (``sfm.access.sessions``). A
browser's request that changes something, or may use a unit's connection, must come from the relay's
own pages: a page of another site cannot read the answer, but could otherwise open ports and keep
units busy. Programs send no Origin or Referer and are not restricted.

HEAD is answered like GET, without the body.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import replace

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfm.access.principal import (
    ANYBODY,
    LOCAL,
    ConcurrencyLimit,
    Principal,
    Role,
    TokenBucket,
    is_loopback,
    rate_limit_key,
)
from sfm.access.sessions import Sessions
from sfm.api.docs_page import STYLE_HASH
from sfm.api.middleware.known_tokens import NO_TOKEN, RATE_LIMITED, KnownTokens
from sfm.api.middleware.request_head import (
    BAD_REQUEST,
    CROSS_SITE,
    SAFE,
    TOO_LONG_QUERY,
    TOO_MANY_HEADERS,
    RequestHead,
    check_framing,
    check_own_page,
    check_size,
    is_for_own_pages,
    is_forced,
    is_loopback_name,
)
from sfm.api.middleware.target_checks import TargetChecks
from sfm.api.problems import (
    NOT_ALLOWED,
    NOT_FOUND,
    PROBLEMS,
    UNKNOWN,
    RequestRejectedError,
    problem_response,
    rejection_response,
)
from sfm.api.rules import FORCED, OF_ALL_UNITS, Rule, rule_of
from sfm.devices.gateway import Gateway
from sfm.devices.single_flight import ShuttingDownError
from sfm.logs import ClientLog
from sfm.settings import Settings
from sfm.store.tokens import Token

__all__ = [
    "AUTHENTICATION_PROBLEMS",
    "REFUSALS",
    "SECURITY",
    "Authentication",
    "principal_of",
    "security_headers",
]

SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' '%s'; img-src 'self' data:; "
        b"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'" % STYLE_HASH.encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")


def security_headers(*, is_secure: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return the security headers of every answer, over TLS or not."""
    return (*SECURITY, HSTS) if is_secure else SECURITY


REFUSALS = (
    BAD_REQUEST,
    NO_TOKEN,
    CROSS_SITE,
    RATE_LIMITED,
    TOO_LONG_QUERY,
    TOO_MANY_HEADERS,
)
"""The problems that only this middleware answers."""

AUTHENTICATION_PROBLEMS = (400, 401, 403, 413, 414, 429, 431, 503)
"""Statuses that any route may answer before it runs."""


def principal_of(request: Request) -> Principal:
    """Return the authenticated principal of a request."""
    principal: Principal = request.scope["sfm.principal"]
    return principal


class Authentication:
    """
    ASGI middleware before everything. Lives as long as the application; owns the sessions.

    Args:
        app: answers permitted requests.
        gateway: its store service has the tokens, its egress policy the permitted addresses.
        settings: whether tokens are required, limits, trusted proxies.
        sessions: browser sessions.
        clock: monotonic seconds.
        client_log: rate-limited log of what clients cause.
    """

    def __init__(
        self,
        app: ASGIApp,
        gateway: Gateway,
        settings: Settings,
        sessions: Sessions,
        clock: Callable[[], float] = time.monotonic,
        client_log: ClientLog | None = None,
    ) -> None:
        self._app = app
        self.tokens = KnownTokens(
            gateway.store_service, sessions, clock, client_log or ClientLog(clock)
        )
        self._targets = TargetChecks(gateway, has_egress=settings.egress is not None)
        self._settings = settings
        self._needs_tokens = settings.require_tokens
        self._sessions = sessions
        self._proxies = [ipaddress.ip_network(one) for one in settings.trusted_proxies]
        self._forced = TokenBucket(settings.max_forced_per_minute, 60.0, clock)
        self._concurrency_limit = ConcurrencyLimit(settings.max_requests_per_client)
        self._local: dict[tuple[object, object, bytes], bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a permitted request on; answer any other with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_secure = scope.get("scheme") == "https"
        is_answered = False

        async def send_guarded(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                more = security_headers(is_secure=is_secure)
                message["headers"] = [*message["headers"], *more]
            await send(message)

        method: str = scope["method"]
        sending: Send = send_guarded
        if method == "HEAD":
            scope, sending = _as_get(scope), _without_body(send_guarded)
        try:
            await self._answer(scope, receive, sending)
        except asyncio.CancelledError:
            # After a stop the server cancels requests that are still in progress.
            if not is_answered:
                await _stopped_response(method)(scope, receive, sending)
            raise

    async def _answer(self, scope: Scope, receive: Receive, send_guarded: Send) -> None:
        client: object | None = None
        try:
            asked = RequestHead(scope["headers"])
            check_framing(asked)
            check_size(asked, scope["query_string"])
            if is_for_own_pages(scope):
                check_own_page(asked, scope)
            if self._is_local(scope, asked):
                principal = LOCAL
                await self._targets.find_local(scope, LOCAL)
            else:
                principal, client = await self._admit(scope, asked)
        except RequestRejectedError as refusal:
            await rejection_response(refusal)(scope, receive, send_guarded)
            return
        scope["sfm.principal"] = principal
        try:
            if b"content-length" in asked.known:
                # Read whole before any other work, so that a client that disconnects costs little.
                body = await _whole_body(receive)
                if body is None:
                    return
                receive = _replayed(body, receive)
            await self._app(scope, receive, send_guarded)
        finally:
            if client is not None:
                self._concurrency_limit.end(client)

    # --- authentication -------------------------------------------------------------------------

    async def _admit(self, scope: Scope, asked: RequestHead) -> tuple[Principal, object | None]:
        """
        Return the principal, and the key that counts its concurrent requests.

        Raises:
            RequestRejectedError: the request is not permitted.
        """
        template, rule = rule_of(scope["method"], scope["path"])
        principal = await self._principal(scope, asked, rule)
        if template is None:
            raise RequestRejectedError(NOT_FOUND, "Not Found")
        self._check_role(principal, rule, template)
        await self._targets.find(scope, principal)
        self._targets.check_units(scope, principal)
        self._check_forced(scope, asked, principal)
        client = principal.token_id or rate_limit_key(principal.origin)
        if not scope["path"].startswith("/device/"):
            return principal, None
        if not self._concurrency_limit.begin(client):
            raise RequestRejectedError(
                RATE_LIMITED,
                "too many of your requests are in progress; wait until one has ended",
                1.0,
            )
        return principal, client

    def _is_local(self, scope: Scope, asked: RequestHead) -> bool:
        """Whether a request is entirely local: server, client and Host are of this machine."""
        if self._needs_tokens or asked.is_forwarded:
            return False
        server, client = scope.get("server"), scope.get("client")
        key = (server[0] if server else None, client[0] if client else None, asked.host)
        try:
            return self._local[key]
        except KeyError:
            if len(self._local) >= 1024:
                self._local.clear()
            found = self._local[key] = (
                is_loopback(key[0])
                and is_loopback(key[1])
                and is_loopback_name(asked.host)
                # A proxy that names no client does not make the client local.
                and not self._is_proxy(str(key[1]))
            )
            return found

    def _is_proxy(self, address: str) -> bool:
        """Whether the settings list an address as a trusted proxy."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((mapped or found) in network for network in self._proxies)

    async def _principal(self, scope: Scope, asked: RequestHead, rule: Rule) -> Principal:
        origin = str(scope["client"][0]) if scope.get("client") else ""
        bearer = asked.known.get(b"authorization")
        if bearer is not None:
            token = await self.tokens.of_bearer(bearer, origin)
        elif (session := self._sessions.of_cookie(asked.known.get(b"cookie", b""))) is not None:
            token = await self.tokens.of_session(session)
            if scope["method"] not in SAFE and not session.is_csrf(
                asked.known.get(b"x-csrf-token")
            ):
                raise RequestRejectedError(
                    CROSS_SITE, "X-CSRF-Token is not that of the session (GET /session)"
                )
        elif self._settings.insecure:
            return Principal(ANYBODY.name, ANYBODY.role, origin)
        elif rule is None:
            return Principal("", Role.VIEWER, origin)
        else:
            raise RequestRejectedError(
                NO_TOKEN,
                "send a token (Authorization: Bearer); the relay's operator creates one with: "
                "seismo-relay token create NAME --role viewer",
            )
        return self.principal_for(token, origin)

    @staticmethod
    def principal_for(token: Token, origin: str) -> Principal:
        """Return the principal of a token."""
        return Principal(token.name, Role(token.role), origin, frozenset(token.units), token.id)

    # --- authorisation --------------------------------------------------------------------------

    @staticmethod
    def _check_role(principal: Principal, rule: Rule, template: str) -> None:
        if rule is not None and not principal.role.includes(rule):
            raise RequestRejectedError(
                NOT_ALLOWED,
                f"this needs the role {rule.value}; your token has {principal.role.value}",
            )
        if principal.is_limited and template in OF_ALL_UNITS:
            raise RequestRejectedError(
                NOT_ALLOWED, "this covers every unit; your token is limited to some"
            )

    def _check_forced(self, scope: Scope, asked: RequestHead, principal: Principal) -> None:
        if not is_forced(scope, asked):
            return
        if not principal.role.includes(FORCED):
            raise RequestRejectedError(
                NOT_ALLOWED,
                f"a forced read needs the role {FORCED.value}; "
                f"your token has {principal.role.value}",
            )
        if principal.token_id is not None:
            wait_s = self._forced.take(principal.token_id)
            if wait_s > 0:
                raise RequestRejectedError(RATE_LIMITED, "this token forces too many reads", wait_s)


def _stopped_response(method: str) -> Response:
    """Return the answer to a request that was in progress when the relay was stopped."""
    if method in SAFE:
        problem = PROBLEMS[ShuttingDownError]
        return problem_response(
            problem, "The relay is shutting down. Try again when it has restarted."
        )
    return problem_response(
        replace(UNKNOWN, status=503),
        "The relay was stopped while this was in progress, so its outcome is unknown. "
        "Read the unit, and the audit log, before you repeat the command.",
        outcome="unknown",
    )


async def _whole_body(receive: Receive) -> bytes | None:
    """Return the body of a request of bounded length; ``None``: the client disconnected."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that delivers the read body first."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return parts.pop() if parts else await receive()

    return receive_again


def _as_get(scope: Scope) -> Scope:
    """Return the scope of the GET that answers a HEAD."""
    return {**scope, "method": "GET", "sfm.is_head": True}


def _without_body(send: Send) -> Send:
    """Return a ``send`` that omits the body."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
