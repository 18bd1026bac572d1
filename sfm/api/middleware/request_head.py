"""
What the head of a request says, before anybody asks who sends it: sizes, framing, origin, force.

Each ``check_`` raises ``RequestRejectedError`` with the problem that the client is answered.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope

from sfm.access.principal import (
    is_loopback,
)
from sfm.api.cache_control import directives
from sfm.api.problems import (
    TOO_LARGE,
    Problem,
    RequestRejectedError,
)
from sfm.api.schemas.bodies import MAX_BYTES

__all__ = [
    "BAD_REQUEST",
    "CROSS_SITE",
    "FORCED_AGE_S",
    "MAX_HEADER_BYTES",
    "MAX_QUERY_BYTES",
    "SAFE",
    "TOO_LONG_QUERY",
    "TOO_MANY_HEADERS",
    "RequestHead",
    "check_framing",
    "check_own_page",
    "check_size",
    "is_for_own_pages",
    "is_forced",
    "is_loopback_name",
]

MAX_HEADER_BYTES = 16 * 1024
MAX_QUERY_BYTES = 4 * 1024
FORCED_AGE_S = 1.0
"""A ``max_age`` below this counts as a forced read."""
SAFE = frozenset(("GET", "HEAD"))
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.]+))(?::\d{1,5})?")
"""The forms of a Host header (RFC 9110, 7.2) that can name this machine."""
FORWARDED = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
)

BAD_REQUEST = Problem("bad-request", 400, "Not a valid HTTP request")
CROSS_SITE = Problem("cross-site", 403, "Cross-site request")
TOO_LONG_QUERY = Problem("query-too-long", 414, "The query is too long")
TOO_MANY_HEADERS = Problem("headers-too-large", 431, "The headers are too large")


class RequestHead:
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
        if name not in self.known:
            return b""
        return b",".join(value for known, value in self._headers if known == name)


def check_size(asked: RequestHead, query_string: bytes) -> None:
    """Reject a head, a query or a body that is too long."""
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


def check_framing(asked: RequestHead) -> None:
    """Reject a request with two lengths: a proxy may trust the other one."""
    if b"content-length" in asked.known and b"transfer-encoding" in asked.known:
        raise RequestRejectedError(
            BAD_REQUEST, "Content-Length and Transfer-Encoding together; send one of them"
        )


def is_for_own_pages(scope: Scope) -> bool:
    """Whether a browser may send a request only from the relay's own pages."""
    return scope["method"] not in SAFE or scope["path"].startswith("/device/")


def check_own_page(asked: RequestHead, scope: Scope) -> None:
    """Reject a request that a browser sends for a page of another site."""
    is_cross_site = asked.known.get(b"sec-fetch-site") not in (None, b"same-origin", b"none")
    origin, referer = asked.known.get(b"origin"), asked.known.get(b"referer")
    if origin is not None or referer:  # programs send neither
        own = scope.get("scheme", "http").encode() + b"://" + asked.host.lower()
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


def is_forced(scope: Scope, asked: RequestHead) -> bool:
    """Whether a request must be answered by the unit."""
    if scope["method"] not in SAFE or not scope["path"].startswith("/device/"):
        return False
    # It reads no unit, and browsers send no-cache when they open a stream.
    if scope["path"] == "/device/progress":
        return False
    return _is_forced(scope["query_string"], asked.all_of(b"cache-control"))


@lru_cache(maxsize=256)
def _is_forced(query_string: bytes, cache_control: bytes) -> bool:
    requested = directives(cache_control.decode("latin-1"))
    age_s = requested.get("max-age")
    if "no-cache" in requested or (age_s is not None and age_s < FORCED_AGE_S):
        return True
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    if any(name == "max_age" and _is_young(value) for name, value in pairs):
        return True
    falses = ("0", "off", "f", "false", "n", "no")
    return any(name == "force" and value.lower() not in falses for name, value in pairs)


def _is_young(age: str) -> bool:
    try:
        return float(age) < FORCED_AGE_S
    except ValueError:
        return False


def is_loopback_name(host: bytes) -> bool:
    """Whether a Host header names this machine without help from a name server."""
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    if found is None:
        return False
    name = found["six"] or found["name"]
    return name == "localhost" or is_loopback(name)
