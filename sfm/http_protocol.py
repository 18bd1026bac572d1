"""
HTTP/1 on one connection: what is a request, how large and how slow it may be, what is refused.

The rule: llhttp parses (through httptools and uvicorn), but it gets only what was checked before. A
head is collected up to its blank line, within ``MAX_HEADER_BYTES``, and must have the plain form of
RFC 9112: CR LF at the end of each line, no folded line, no white space before a colon, no control
character, a path as its target. Where a body ends is worked out here too. So no leniency of the
parser decides where a request ends, and a proxy in front cannot be led to see another request than
we do. There is one request at a time: bytes behind it wait, unparsed, until it is answered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
import structlog
from fastapi.responses import Response
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from uvicorn.server import ServerState

from sfm.access.principal import rate_limit_key
from sfm.api.middleware.authentication import security_headers
from sfm.api.middleware.connection_limit import ConnectionLimit
from sfm.api.middleware.request_head import BAD_REQUEST, TOO_MANY_HEADERS
from sfm.api.problems import Problem, problem_response
from sfm.logs import ClientLog

if TYPE_CHECKING:
    from uvicorn._types import HTTPScope

__all__ = ["MAX_HEADER_BYTES", "REQUEST_S", "TOO_MANY_CONNECTIONS", "HttpProtocol"]

MAX_HEADER_BYTES = 32 * 1024
"""
The server's limit for a request's head; ``sfm.api.middleware.request_head`` has a lower one and
answers it with a problem.
"""
REQUEST_S = 20.0
"""How long a request may take to come, body included; then its connection is closed."""
TOO_MANY_CONNECTIONS = Problem("too-many-connections", 503, "The relay is busy", 5)

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_TEXT = rb"[\t -~\x80-\xff]"
_HEAD = re.compile(
    # A path without a fragment (RFC 9112, 3.2.1): the forms for proxies are not for us.
    rb"(" + _TOKEN + rb"++) (/[!\"$-~]*+) HTTP/1\.([01])\r\n"
    rb"(?:" + _TOKEN + rb"++:" + _TEXT + rb"*+\r\n)*+\r\n"
)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;" + _TEXT + rb"*+)?\r\n")
_IS_TOKEN = re.compile(_TOKEN)
_BARE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
"""A line's end that is not CR LF; what is before it and after it differs from parser to parser."""
_UPGRADE = re.compile(rb"(?<=\n)upgrade:[^\r]*+\r\n", re.IGNORECASE)

_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding"))
"""Headers that a request has once."""
_WITHOUT_BODY = (204, 304)
_JOINED_BYTES = 64 * 1024
"""Up to which size a body is copied behind its head."""

log = structlog.get_logger(__name__)


class _RefusalError(Exception):
    """What came is refused, and the connection is closed."""

    def __init__(
        self, detail: str = "Invalid HTTP request received.", problem: Problem = BAD_REQUEST
    ) -> None:
        super().__init__(detail)
        self.problem, self.detail = problem, detail


class HttpProtocol(HttpToolsProtocol):
    """
    A connection whose requests come in time; what is no request is answered as the rest is.

    Lives as long as its connection. A server sets ``limit`` and ``client_log`` in a subclass.
    """

    limit = ConnectionLimit()
    client_log = ClientLog()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._asgi_version = config.asgi_version
        self._due: asyncio.TimerHandle | None = None
        self._idle_mono: float | None = None
        """Since when it waits for a request, once one was answered."""
        self._came_in = b""
        self._at = 0
        """Up to where of it was parsed."""
        self._searched = 0
        """Up to where no end of a head, of a chunk's line or of trailers begins."""
        self._left = 0
        """Bytes to come of a body with a length, or of a chunk with its line's end."""
        self._is_chunked = False
        """Whether the rest of a body in chunks is to come."""
        self._is_trailer = False
        """Whether of that only trailers are left."""
        self._framing_bytes = 0
        """Of a body in chunks: sizes, extensions and trailers so far."""
        self._line: tuple[bytes, bytes, bytes] = (b"", b"", b"")
        """Method, target and minor version of the request that is parsed."""
        self._single: dict[bytes, bytes] = {}
        self._is_head = False
        self._is_whole = True
        """Whether the parser has seen the end of the request."""

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it; refuse it if there is no room."""
        super().connection_made(transport)
        if self.limit.is_full:
            network = rate_limit_key(self.client[0]) if self.client else ""
            self.client_log.write(log.warning, "connections_full", network, open=len(self.limit))
        if self.limit.add(self):
            self._expect()
        else:
            self._send_and_close(
                problem_response(TOO_MANY_CONNECTIONS, "every connection is being answered")
            )

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, or for the rest of one."""
        return not self._is_answering or self._is_in_body

    @property
    def is_stalled(self) -> bool:
        """Whether its client does not take the answer."""
        return self.flow.write_paused

    def shed(self) -> None:
        """Close it at once."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.limit.remove(self)
        self._came()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    @property
    def _is_in_body(self) -> bool:
        return self._left > 0 or self._is_chunked

    @property
    def _is_answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _expect(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(REQUEST_S, self.transport.close)

    def _came(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _unset_keepalive_if_required(self) -> None:
        self._idle_mono = None

    def timeout_keep_alive_handler(self) -> None:
        """
        Close it if it has been idle for as long as it may be.

        The timer runs on while requests come: to cancel one and to start one for each request costs
        more than to look at the clock again.
        """
        self.timeout_keep_alive_task = None
        if self._idle_mono is None or self.transport.is_closing():
            return
        left_s = self._idle_mono + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            self.transport.close()
        else:
            self._start_keep_alive_timer(left_s)

    def _start_keep_alive_timer(self, left_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)

    # --- what comes -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what may be parsed now; note since when the rest is awaited."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._came_in = self._came_in[self._at :] + data if self._came_in else data
        self._searched -= self._at
        self._at = 0
        self._parse()
        if self.is_idle:
            self._expect()
        else:
            self._came()

    def on_response_complete(self) -> None:
        """Take up the next request if it has come already."""
        self._came()  # between requests uvicorn's own bound holds
        self.limit.answered(self)
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_mono = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._start_keep_alive_timer(self.timeout_keep_alive)
        self._parse()
        if self._is_in_body:
            self._expect()

    def _parse(self) -> None:
        """Parse what has come, up to the end of one request that is not answered yet."""
        try:
            while self._at < len(self._came_in) and not self.transport.is_closing():
                if self._left:
                    self._parse_content()
                elif self._is_chunked:
                    if not self._parse_framing():
                        return
                elif self._is_answering:
                    # The next request waits, and the client with it: no more than one read is kept.
                    self.flow.pause_reading()
                    return
                elif not self._parse_head():
                    return
            # All of it was parsed: an idle connection keeps none of what came.
            self._came_in, self._at, self._searched = b"", 0, 0
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _RefusalError):
                raise
            self._refuse(error.__context__)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(_RefusalError())
        except _RefusalError as refusal:
            self._refuse(refusal)

    def _parse_head(self) -> bool:
        """Parse a head; return False if it has not come whole."""
        searched = self._searched
        head = self._taken(b"\r\n\r\n", MAX_HEADER_BYTES)
        if head is None:
            # Refused before it has come whole is what never will: another protocol, other lines.
            came, at = self._came_in, self._at
            if not _IS_TOKEN.match(came, at) or _BARE_END.search(came, max(at, searched)):
                raise _RefusalError
            return False
        found = _HEAD.fullmatch(head)
        if found is None:
            raise _RefusalError
        if b"upgrade" in head.lower():
            # We have no other protocol (RFC 9110, 7.8). The parser would not read the body.
            head = _UPGRADE.sub(b"", head)
        self._unset_keepalive_if_required()
        self._line = cast(tuple[bytes, bytes, bytes], found.groups())
        self._feed(head)
        return True

    def _parse_content(self) -> None:
        part = self._came_in[self._at : self._at + self._left]
        self._at += len(part)
        self._left -= len(part)
        self._feed(part)

    def _parse_framing(self) -> bool:
        """Parse a chunk's line or the trailers; return False if they have not come whole."""
        end = b"\r\n"
        if self._is_trailer and not self._came_in.startswith(end, self._at):
            end = b"\r\n\r\n"
        part = self._taken(end, MAX_HEADER_BYTES - self._framing_bytes)
        if part is None:
            return False
        if self._is_trailer:
            self._is_chunked = self._is_trailer = False
        else:
            found = _CHUNK_LINE.fullmatch(part)
            if found is None:
                raise _RefusalError
            size = int(found[1], 16)
            self._is_trailer = not size
            self._left = size and size + len(end)
            self._framing_bytes += len(part) + len(end)
        self._feed(part)
        return True

    def _taken(self, end: bytes, most: int) -> bytes | None:
        """Take what comes up to ``end``; return ``None`` if that has not come; refuse more."""
        came, at = self._came_in, self._at
        found = came.find(end, max(at, self._searched))
        stop = len(came) if found < 0 else found + len(end)
        if stop - at > most:
            raise _RefusalError(
                f"a head, and the framing of a body, have at most {MAX_HEADER_BYTES} bytes",
                TOO_MANY_HEADERS,
            )
        if found < 0:
            self._searched = stop - len(end) + 1
            return None
        self._at = self._searched = stop
        return came[at:stop]

    def _feed(self, part: bytes) -> None:
        self.parser.feed_data(part)
        if self._is_whole is self._is_in_body:
            raise _RefusalError  # the parser's idea of where the request ends is not ours

    # --- what the parser reports ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.headers, self._single = [], {}
        self.expect_100_continue = False
        self._is_head, self._is_whole, self._framing_bytes = True, False, 0

    def on_url(self, url: bytes) -> None:
        """Do nothing: the target is known from the check of the head."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; refuse a second one of those that say where a request goes or ends."""
        if not self._is_head:
            return  # a trailer: it must not look as if it had come before the body
        name, value = name.lower(), value.strip(b" \t")
        if name in _SINGLE:
            if name in self._single:
                raise _RefusalError(f"more than one {name.decode()} header")
            self._single[name] = value
        elif name == b"expect":
            expected = (one.strip() for one in value.lower().split(b","))
            self.expect_100_continue |= b"100-continue" in expected
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Let the application answer; its body may still come."""
        self._is_head = False
        method, target, minor = self._line
        is_1_1 = minor == b"1"
        if is_1_1 and b"host" not in self._single:
            raise _RefusalError("no host header")
        self._is_chunked, self._left = self._framing(is_1_1)
        raw_path, _, query_string = target.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope = cast(
            "HTTPScope",
            {
                "type": "http",
                "asgi": {"version": self._asgi_version, "spec_version": "2.3"},
                "http_version": "1.1" if is_1_1 else "1.0",
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme,
                "method": method.decode("ascii"),
                "root_path": self.root_path,
                "path": self.root_path + (unquote(path) if "%" in path else path),
                "raw_path": self.root_path.encode("ascii") + raw_path,
                "query_string": query_string,
                "headers": self.headers,
                "state": self.app_state.copy(),
            },
        )
        self.cycle = _Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and is_1_1,
            keep_alive=is_1_1 and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        task = self.loop.create_task(self.cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _framing(self, is_1_1: bool) -> tuple[bool, int]:
        """Return whether the body comes in chunks, and otherwise its length."""
        coding = self._single.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked" or not is_1_1:
                raise _RefusalError("Transfer-Encoding is chunked, in HTTP/1.1")
            return True, 0
        # The parser has refused what is no number, too large, or stands beside a coding.
        return False, int(self._single.get(b"content-length", b"0"))

    def on_message_complete(self) -> None:
        """End the body."""
        self._is_whole = True
        super().on_message_complete()

    # --- what is refused --------------------------------------------------------------------------

    def _refuse(self, refusal: _RefusalError) -> None:
        """Answer what is no request, unless an answer has begun; close the connection."""
        self._came_in, self._at, self._left, self._is_chunked = b"", 0, 0, False
        if self._is_answering:
            # Its body turned out to be none: the application's answer is not waited for.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        self._send_and_close(problem_response(refusal.problem, refusal.detail))

    def _send_and_close(self, answer: Response) -> None:
        headers = [
            *self.server_state.default_headers,
            *answer.raw_headers,
            *security_headers(is_secure=self.scheme == "https"),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        self.transport.write(STATUS_LINE[answer.status_code] + lines + b"\r\n" + bytes(answer.body))
        self.transport.close()


@lru_cache(maxsize=1024)
def _header_line(name: bytes, value: bytes) -> bytes:
    """Return a header of an answer as it is sent; raise RuntimeError if it would end early."""
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError(f"invalid header of an answer: {name!r}")
    return b"%s: %s\r\n" % (name, value)


class _Cycle(RequestResponseCycle):
    """
    A request and its answer. Lives until the answer is complete.

    The head of an answer is sent together with the first part of its body, which usually follows at
    once: that saves a system call and a packet. If none follows, it is sent alone, one turn of the
    event loop later.
    """

    _head = b""
    """What was not sent yet."""
    _ends_with_connection = False
    """Whether the end of the connection is the only end of the body."""

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._continue(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        if self.access_log:
            self.access_logger.info(
                '%s - "%s %s HTTP/%s" %d',
                get_client_addr(self.scope),
                self.scope["method"],
                get_path_with_query_string(self.scope),
                self.scope["http_version"],
                status,
            )
        lines = [STATUS_LINE[status]]
        length = None
        for name, value in (*self.default_headers, *headers):
            if name == b"connection":
                self.keep_alive &= b"close" not in value.lower()
                continue
            if name == b"content-length":
                length = int(value)
            # Nearly all of them are those of the last answer. What is secret is not remembered.
            line_of = _header_line.__wrapped__ if name == b"set-cookie" else _header_line
            lines.append(line_of(name, value))
        if self.scope["method"] == "HEAD" or status in _WITHOUT_BODY:
            length = 0
        elif length is None:
            # A client of HTTP/1.0 knows no chunks (RFC 9112, 6.1).
            self.chunked_encoding = self.scope["http_version"] == "1.1"
            self._ends_with_connection = not self.chunked_encoding
            if self.chunked_encoding:
                lines.append(b"transfer-encoding: chunked\r\n")
        self.expected_content_length = length or 0
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        asyncio.get_running_loop().call_soon(self._send_head)

    def _send_head(self) -> None:
        if self._head and not self.disconnected:
            self.transport.write(self._head)
        self._head = b""

    def _continue(self, body: bytes, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            if not more_body:
                body += b"0\r\n\r\n"
        elif not self._ends_with_connection:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than its Content-Length")
        if len(body) > _JOINED_BYTES:
            self._send_head()
        self.transport.write(self._head + body)
        self._head = b""
        if more_body:
            return
        if self.expected_content_length:
            raise RuntimeError("the body is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
