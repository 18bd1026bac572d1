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
import re
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import structlog
from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minimateplus.link import Address
from sfm.access.egress import ForbiddenAddressError
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
from sfm.access.sessions import Session, Sessions
from sfm.api.cache_control import directives
from sfm.api.docs_page import STYLE_HASH
from sfm.api.problems import (
    NOT_ALLOWED,
    NOT_FOUND,
    PROBLEMS,
    STORE_FAILED,
    TOO_LARGE,
    UNKNOWN,
    Problem,
    RequestRejectedError,
    problem_of,
    problem_response,
    rejection_response,
)
from sfm.api.rules import FORCED, OF_ALL_UNITS, Rule, rule_of
from sfm.api.schemas.bodies import MAX_BYTES
from sfm.api.schemas.reading import DeviceQuery
from sfm.devices.gateway import Gateway
from sfm.devices.roster import Target
from sfm.devices.single_flight import ShuttingDownError
from sfm.logs import ClientLog
from sfm.settings import Settings
from sfm.store import StoreError, tokens
from sfm.store.errors import NoSuchUnitError
from sfm.store.tokens import Token, number_of

__all__ = [
    "AUTHENTICATION_PROBLEMS",
    "BAD_REQUEST",
    "FAILURES_PER_S",
    "FORCED_AGE_S",
    "MAX_FAILURES",
    "MAX_HEADER_BYTES",
    "MAX_QUERY_BYTES",
    "REFUSALS",
    "SAFE",
    "SECURITY",
    "TOKEN_KEPT_S",
    "TOO_MANY_HEADERS",
    "Authentication",
    "may_see",
    "principal_of",
    "security_headers",
]

MAX_HEADER_BYTES = 16 * 1024
MAX_QUERY_BYTES = 4 * 1024
MAX_FAILURES = 10
FAILURES_PER_S = 60.0
"""An address may send this many wrong tokens at once; they refill in a minute."""
TOKEN_KEPT_S = 5.0
"""How long a token is trusted before it is loaded from the database again."""
FORCED_AGE_S = 1.0
"""A ``max_age`` below this counts as a forced read."""
MAX_KNOWN_TOKENS = 1000
MAX_REMEMBERED_QUERIES = 4096

SAFE = frozenset(("GET", "HEAD"))
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.]+))(?::\d{1,5})?")
"""The forms of a Host header (RFC 9110, 7.2) that can name this machine."""
FORWARDED = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
)

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


BAD_REQUEST = Problem("bad-request", 400, "Not a valid HTTP request")
NO_TOKEN = Problem("token-required", 401, "A token is required")
CROSS_SITE = Problem("cross-site", 403, "Cross-site request")
RATE_LIMITED = Problem("rate-limited", 429, "Too many requests", 60)
TOO_LONG_QUERY = Problem("query-too-long", 414, "The query is too long")
TOO_MANY_HEADERS = Problem("headers-too-large", 431, "The headers are too large")
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

log = structlog.get_logger(__name__)


class _Asked:
    """The headers of one request. Built for every request, so it does as little as possible."""

    __slots__ = ("_headers", "known", "size")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self.known = dict(headers)
        self.size = sum(len(name) + len(value) for name, value in headers)

    @property
    def host(self) -> bytes:
        """The Host header."""
        return self.known.get(b"host", b"")

    @property
    def is_forwarded(self) -> bool:
        """Whether a header names a proxy."""
        return not FORWARDED.isdisjoint(self.known)

    def all_of(self, name: bytes) -> bytes:
        """All values of a header that may be repeated, as one list."""
        return b",".join(value for known, value in self._headers if known == name)


def principal_of(request: Request) -> Principal:
    """Return the authenticated principal of a request."""
    principal: Principal = request.scope["sfm.principal"]
    return principal


def may_see(scope: Scope, serial: str | None) -> bool:
    """
    Whether the client may get an answer of that unit.

    A token that names units and not the address gets answers of those units alone.
    """
    if not scope.get("sfm.by_serial"):
        return True
    principal: Principal = scope["sfm.principal"]
    return principal.may_use(serial)


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
        self._client_log = client_log or ClientLog(clock)
        self._gateway = gateway
        self._settings = settings
        self._needs_tokens = settings.require_tokens
        self._sessions = sessions
        self._clock = clock
        self._proxies = [ipaddress.ip_network(one) for one in settings.trusted_proxies]
        self._failures = TokenBucket(MAX_FAILURES, FAILURES_PER_S, clock)
        self._forced = TokenBucket(settings.max_forced_per_minute, 60.0, clock)
        self._concurrency_limit = ConcurrencyLimit(settings.max_requests_per_client)
        self._tokens: dict[int, tuple[float, Token | None]] = {}
        self._named: dict[bytes, Address | str | None] = {}
        """Which unit each query names, by its bytes."""
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
            asked = _Asked(scope["headers"])
            _check_framing(asked)
            _check_size(asked, scope["query_string"])
            if _is_for_own_pages(scope):
                _check_own_page(asked, scope)
            if self._is_local(scope, asked):
                principal = LOCAL
                await self._find_target(scope, LOCAL)
                self._check_egress(scope, LOCAL)
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

    async def _admit(self, scope: Scope, asked: _Asked) -> tuple[Principal, object | None]:
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
        await self._find_target(scope, principal)
        self._check_units(scope, principal)
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

    def _is_local(self, scope: Scope, asked: _Asked) -> bool:
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
                and _is_loopback_name(asked.host)
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

    async def _principal(self, scope: Scope, asked: _Asked, rule: Rule) -> Principal:
        origin = str(scope["client"][0]) if scope.get("client") else ""
        bearer = asked.known.get(b"authorization")
        if bearer is not None:
            token = await self._of_bearer(bearer, origin)
        elif (session := self._sessions.of_cookie(asked.known.get(b"cookie", b""))) is not None:
            token = await self._of_session(session)
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

    async def _of_session(self, session: Session) -> Token:
        token = await self._token(session.token_id)
        if token is None:
            self._sessions.end(session)
            raise RequestRejectedError(
                NO_TOKEN, "sign-in expired: this session's token was revoked; sign in again"
            )
        return token

    async def _of_bearer(self, authorization: bytes, origin: str) -> Token:
        kind, _, secret = authorization.decode("latin-1").partition(" ")
        return await self.token_of(secret.strip() if kind.lower() == "bearer" else "", origin)

    async def token_of(self, secret: str, origin: str) -> Token:
        """
        Return the token of a secret; count a wrong secret against its address.

        Raises:
            RequestRejectedError: the secret is wrong, or the address sent too many wrong ones.
        """
        where = rate_limit_key(origin)
        wait_s = self._failures.wait_s(where)
        if wait_s > 0:
            raise RequestRejectedError(
                RATE_LIMITED, "too many wrong tokens came from your address", wait_s
            )
        number = number_of(secret)
        token = None if number is None else await self._token(number)
        if token is None or not token.is_of(secret):
            self._failures.take(where)
            self._client_log.write(log.warning, "wrong_token", where)
            raise RequestRejectedError(NO_TOKEN, "the token is wrong or was revoked")
        return token

    async def _token(self, number: int) -> Token | None:
        """Return a valid token, loaded again after ``TOKEN_KEPT_S``; ``None``: there is none."""
        now = self._clock()
        known = self._tokens.get(number)
        if known is not None and now - known[0] < TOKEN_KEPT_S:
            return known[1]
        try:
            found = await self._gateway.store_service.read(tokens.load, number)
        except StoreError:
            if known is None:
                raise RequestRejectedError(
                    STORE_FAILED, "tokens cannot be loaded now; see /health", 5.0
                ) from None
            return known[1]
        valid = found if found is not None and found.revoked_at is None else None
        if len(self._tokens) >= MAX_KNOWN_TOKENS:
            self._tokens.clear()
        self._tokens[number] = (now, valid)
        return valid

    def forget_token(self, number: int) -> None:
        """Drop a revoked token and end its sessions."""
        self._tokens.pop(number, None)
        self._sessions.end_of_token(number)

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

    async def _find_target(self, scope: Scope, principal: Principal) -> None:
        """Find the address of the unit that a request names, once for all who need it."""
        if not scope["path"].startswith(("/device/", "/cache/device")):
            return
        try:
            which = self._which(scope["query_string"])
        except RequestRejectedError:
            if principal.token_id is None and self._settings.egress is None:
                return  # the route reads one of them, which is permitted whichever it is
            raise
        if which is None:
            return  # the route reports what is wrong with it
        roster = self._gateway.roster
        if isinstance(which, str) or principal.token_id is not None:
            await roster.load()
        try:
            scope["sfm.target"] = roster.target(which)
        except NoSuchUnitError as error:
            if principal.is_limited:
                detail = f"your token does not permit {which}"
                raise RequestRejectedError(NOT_ALLOWED, detail) from None
            raise RequestRejectedError(problem_of(error), str(error)) from None

    def _which(self, query_string: bytes) -> Address | str | None:
        """Return the unit that a query names, remembered; ``None``: it names none."""
        try:
            return self._named[query_string]
        except KeyError:
            if len(self._named) >= MAX_REMEMBERED_QUERIES:
                self._named.clear()
            found = self._named[query_string] = _unit_named(query_string)
            return found

    def _check_units(self, scope: Scope, principal: Principal) -> None:
        target: Target | None = scope.get("sfm.target")
        if target is None:
            return
        conn_key = self._gateway.conn_key(target.address)
        if not principal.may_use(conn_key):
            if principal.units.isdisjoint(self._gateway.roster.units_at(target.address)):
                raise RequestRejectedError(NOT_ALLOWED, f"your token does not permit {conn_key}")
            scope["sfm.by_serial"] = True
        self._check_egress(scope, principal)

    def _check_egress(self, scope: Scope, principal: Principal) -> None:
        """Reject a forbidden address before anything else about it is disclosed."""
        is_local = principal.token_id is None
        if is_local and self._settings.egress is None:
            return  # addresses that are never permitted are rejected at the connection
        target: Target | None = scope.get("sfm.target")
        if target is not None:
            try:
                self._gateway.egress.check(target.address, is_local=is_local)
            except ForbiddenAddressError as error:
                raise RequestRejectedError(problem_of(error), str(error)) from None

    def _check_forced(self, scope: Scope, asked: _Asked, principal: Principal) -> None:
        if not _is_forced(scope, asked):
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


def _check_size(asked: _Asked, query_string: bytes) -> None:
    if asked.size > MAX_HEADER_BYTES:
        raise RequestRejectedError(
            TOO_MANY_HEADERS, f"headers have at most {MAX_HEADER_BYTES} bytes"
        )
    if len(query_string) > MAX_QUERY_BYTES:
        raise RequestRejectedError(TOO_LONG_QUERY, f"a query has at most {MAX_QUERY_BYTES} bytes")
    # One without a length is bounded where it is read (sfm.api.schemas.bodies).
    length = asked.known.get(b"content-length")
    if length and (not length.isdigit() or int(length) > MAX_BYTES):
        raise RequestRejectedError(TOO_LARGE, f"a body has at most {MAX_BYTES} bytes")


def _check_framing(asked: _Asked) -> None:
    """Reject a request with two lengths: a proxy may trust the other one."""
    if b"content-length" in asked.known and b"transfer-encoding" in asked.known:
        raise RequestRejectedError(
            BAD_REQUEST, "Content-Length and Transfer-Encoding together; send one of them"
        )


def _is_for_own_pages(scope: Scope) -> bool:
    """Whether a browser may send a request only from the relay's own pages."""
    return scope["method"] not in SAFE or scope["path"].startswith("/device/")


def _check_own_page(asked: _Asked, scope: Scope) -> None:
    """Reject a request that a browser sends for a page of another site."""
    is_cross_site = asked.known.get(b"sec-fetch-site") not in (None, b"same-origin", b"none")
    own = scope.get("scheme", "http").encode() + b"://" + asked.host.lower()
    origin, referer = asked.known.get(b"origin"), asked.known.get(b"referer")
    is_cross_site |= origin is not None and origin.lower() != own
    is_cross_site |= bool(referer) and _origin_of(referer or b"") != own
    if is_cross_site:
        raise RequestRejectedError(
            CROSS_SITE,
            "a page of another site sent this request; open the relay's own page, or type the "
            "address",
        )


def _origin_of(referer: bytes) -> bytes:
    """Return scheme and host of the page that a Referer names; empty if it names none."""
    try:
        found = urlsplit(referer.decode("latin-1").lower())
    except ValueError:
        return b""
    return f"{found.scheme}://{found.netloc}".encode("latin-1")


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


def _is_forced(scope: Scope, asked: _Asked) -> bool:
    if scope["method"] not in SAFE or not scope["path"].startswith("/device/"):
        return False
    # It reads no unit, and browsers send no-cache when they open a stream.
    if scope["path"] == "/device/progress":
        return False
    requested = directives(asked.all_of(b"cache-control").decode("latin-1"))
    age_s = requested.get("max-age")
    if "no-cache" in requested or (age_s is not None and age_s < FORCED_AGE_S):
        return True
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if any(name == "max_age" and _is_young(value) for name, value in pairs):
        return True
    falses = ("0", "off", "f", "false", "n", "no")
    return any(name == "force" and value.lower() not in falses for name, value in pairs)


def _is_young(age: str) -> bool:
    try:
        return float(age) < FORCED_AGE_S
    except ValueError:
        return False


def _unit_named(query_string: bytes) -> Address | str | None:
    """Return the unit that a query names; ``None`` when the parameters name none."""
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    wanted = {name: value for name, value in pairs if name in DeviceQuery.model_fields}
    try:
        which = DeviceQuery.model_validate(wanted).which
    except ValidationError:
        return None
    repeated = [name for name, _ in pairs if name in wanted]
    if len(repeated) != len(wanted):
        raise RequestRejectedError(NOT_ALLOWED, "name the unit once")
    return which


def _is_loopback_name(host: bytes) -> bool:
    """Whether a Host header names this machine without help from a name server."""
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    if found is None:
        return False
    name = found["six"] or found["name"]
    return name == "localhost" or is_loopback(name)
