"""What the server takes for a request, beside what h11 took before, and how it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import Any, cast

import httptools
import pytest
from kit.virtual_time import in_virtual_time, now_s
from test_server import HEAD, _Wire
from uvicorn import Config
from uvicorn.server import ServerState

from sfm import http_protocol
from sfm.api.middleware.authentication import SECURITY
from sfm.http_protocol import MAX_HEADER_BYTES, HttpProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
"""Sent behind each request: a server that mistakes where that one ends takes this for its body."""
M = MAX_HEADER_BYTES
C = b"Transfer-Encoding: chunked"


def get(*headers: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: x\r\n") -> bytes:
    return line + b"\r\n" + host + b"".join(h + b"\r\n" for h in headers) + b"\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return get(*headers, line=b"POST / HTTP/1.1") + body


def L(length: int) -> bytes:  # noqa: N802
    return b"Content-Length: %d" % length


BOTH = "GET / 0; GET /next 0 -> 200 200 open"
POSTED = "POST / 3; GET /next 0 -> 200 200 open"
EMPTY = "POST / 0; GET /next 0 -> 200 200 open"
LAST = "GET / 0 -> 200 closed"
LAST_POST = "POST / 3 -> 200 closed"
REFUSED = "-> 400 closed"
TOO_LARGE = "-> 431 closed"

# What is sent before ``NEXT``; what the h11 server of commit 56ae86d made of it when it came at
# once; what ours makes of it, however it comes: the requests that the application saw, with the
# bytes of their bodies; the statuses; and whether the connection was left open.
ROWS: dict[str, tuple[bytes, str, str]] = {
    "plain": (get(), BOTH, BOTH),
    "a query": (
        get(line=b"GET /a%20b?x=%20&y HTTP/1.1"),
        "GET /a b?x=%20&y 0; GET /next 0 -> 200 200 open",
        "GET /a b?x=%20&y 0; GET /next 0 -> 200 200 open",
    ),
    "white space around a value": (get(b"X:   1  ", b"Y:\t2\t", b"Z:"), BOTH, BOTH),
    "a body": (post(L(3), body=b"abc"), POSTED, POSTED),
    "a body in chunks": (post(C, body=b"3\r\nabc\r\n0\r\n\r\n"), POSTED, POSTED),
    # heads: sizes
    "largest head": (get(b"X: " + b"x" * (M - len(get(b"X: ")))), BOTH, BOTH),
    "head too large by a byte": (get(b"X: " + b"x" * (M + 1 - len(get(b"X: ")))), BOTH, TOO_LARGE),
    "longest request line": (
        get(line=b"GET /" + b"x" * (M - len(get(line=b"GET / HTTP/1.1"))) + b" HTTP/1.1"),
        "GET /xxxxxxxxxxxxxxxxxxx 0; GET /next 0 -> 200 200 open",
        "GET /xxxxxxxxxxxxxxxxxxx 0; GET /next 0 -> 200 200 open",
    ),
    "request line too long by a byte": (
        get(line=b"GET /" + b"x" * (M + 1 - len(get(line=b"GET / HTTP/1.1"))) + b" HTTP/1.1"),
        "GET /xxxxxxxxxxxxxxxxxxx 0; GET /next 0 -> 200 200 open",
        TOO_LARGE,
    ),
    "endless request line": (b"GET /" + b"x" * M, REFUSED, TOO_LARGE),
    "endless method": (b"G" * (M + 1), "GGGGGGGGGG /next 0 -> 200 open", TOO_LARGE),
    "many headers": (get(*[b"X: 1"] * 8000), BOTH, TOO_LARGE),
    # request lines
    "empty line first": (b"\r\n" + get(), REFUSED, REFUSED),
    "bare LF first": (b"\n" + get(), REFUSED, REFUSED),
    "space first": (b" " + get(), REFUSED, REFUSED),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", REFUSED, REFUSED),
    "binary": (b"\x10\x02\x10\x00\x5b\r\n\r\n", REFUSED, REFUSED),
    "HTTP/0.9": (b"GET /\r\n\r\n", REFUSED, REFUSED),
    "HTTP/1.0": (get(line=b"GET / HTTP/1.0"), LAST, LAST),
    "HTTP/1.0 without a host": (get(line=b"GET / HTTP/1.0", host=b""), LAST, LAST),
    "HTTP/1.0 keep-alive": (get(b"Connection: keep-alive", line=b"GET / HTTP/1.0"), LAST, LAST),
    "HTTP/1.2": (get(line=b"GET / HTTP/1.2"), BOTH, REFUSED),
    "HTTP/2.0": (get(line=b"GET / HTTP/2.0"), BOTH, REFUSED),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * 0 -> 200 400 closed", REFUSED),
    "HTTP/1.10": (get(line=b"GET / HTTP/1.10"), REFUSED, REFUSED),
    "HTTP/01.1": (get(line=b"GET / HTTP/01.1"), REFUSED, REFUSED),
    "http/1.1": (get(line=b"GET / http/1.1"), REFUSED, REFUSED),
    "two spaces": (get(line=b"GET  / HTTP/1.1"), REFUSED, REFUSED),
    "two spaces before the version": (get(line=b"GET /  HTTP/1.1"), REFUSED, REFUSED),
    "tab in the request line": (get(line=b"GET\t/ HTTP/1.1"), REFUSED, REFUSED),
    "space in the target": (get(line=b"GET /a b HTTP/1.1"), REFUSED, REFUSED),
    "space at the end of the line": (get(line=b"GET / HTTP/1.1 "), REFUSED, REFUSED),
    "no target": (get(line=b"GET HTTP/1.1"), REFUSED, REFUSED),
    "unknown method": (
        get(line=b"BREW / HTTP/1.1"),
        "BREW / 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "method in small letters": (
        get(line=b"get / HTTP/1.1"),
        "get / 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "method of WebDAV": (
        get(line=b"PROPFIND / HTTP/1.1"),
        "PROPFIND / 0; GET /next 0 -> 200 200 open",
        "PROPFIND / 0; GET /next 0 -> 200 200 open",
    ),
    "method with a colon": (get(line=b"GE:T / HTTP/1.1"), REFUSED, REFUSED),
    "NUL in the target": (get(line=b"GET /\x00 HTTP/1.1"), REFUSED, REFUSED),
    "DEL in the target": (get(line=b"GET /\x7f HTTP/1.1"), REFUSED, REFUSED),
    "byte above ASCII in the target": (get(line=b"GET /\xe9 HTTP/1.1"), REFUSED, REFUSED),
    "fragment": (
        get(line=b"GET /a#b HTTP/1.1"),
        "GET /a#b 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "absolute target": (
        get(line=b"GET http://y/a HTTP/1.1"),
        "GET http://y/a 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "absolute target in large letters": (
        get(line=b"GET HTTP://y/a HTTP/1.1"),
        "GET HTTP://y/a 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "target without a slash": (
        get(line=b"GET a HTTP/1.1"),
        "GET a 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "two slashes": (
        get(line=b"GET //y/a HTTP/1.1"),
        "GET //y/a 0; GET /next 0 -> 200 200 open",
        "GET //y/a 0; GET /next 0 -> 200 200 open",
    ),
    "asterisk": (
        get(line=b"OPTIONS * HTTP/1.1"),
        "OPTIONS * 0; GET /next 0 -> 200 200 open",
        REFUSED,
    ),
    "CONNECT": (get(line=b"CONNECT y:80 HTTP/1.1"), "CONNECT y:80 0 -> 200 closed", REFUSED),
    "CONNECT with a path": (get(line=b"CONNECT / HTTP/1.1"), "CONNECT / 0 -> 200 closed", REFUSED),
    # line ends
    "bare LF": (b"GET / HTTP/1.1\nHost: x\n\n", BOTH, REFUSED),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: x\r\n\r\n", BOTH, REFUSED),
    "bare LF after a header": (b"GET / HTTP/1.1\r\nHost: x\nX: 1\r\n\r\n", BOTH, REFUSED),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: x\r\n\n", BOTH, REFUSED),
    "LF LF at the end": (b"GET / HTTP/1.1\r\nHost: x\n\n", BOTH, REFUSED),
    "bare CR": (b"GET / HTTP/1.1\rHost: x\r\r", REFUSED, REFUSED),
    "bare CR after a header": (b"GET / HTTP/1.1\r\nHost: x\rX: 1\r\n\r\n", REFUSED, REFUSED),
    "CR CR LF": (b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", REFUSED, REFUSED),
    # headers
    "folded line": (get(b"X: 1", b" 2"), BOTH, REFUSED),
    "folded line with a tab": (get(b"X: 1", b"\t2"), BOTH, REFUSED),
    "folded first line": (get(b" X: 1", host=b""), REFUSED, REFUSED),
    "folded Content-Length": (post(b"Content-Length:", b" 3", body=b"abc"), POSTED, REFUSED),
    "space before the colon": (get(b"X : 1"), REFUSED, REFUSED),
    "tab before the colon": (get(b"X\t: 1"), REFUSED, REFUSED),
    "space before the colon of a length": (
        post(b"Content-Length : 3", body=b"abc"),
        REFUSED,
        REFUSED,
    ),
    "space before the colon of a coding": (
        post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "space in a name": (get(b"X Y: 1"), REFUSED, REFUSED),
    "no colon": (get(b"X"), REFUSED, REFUSED),
    "no name": (get(b": 1"), REFUSED, REFUSED),
    "NUL in a name": (get(b"X\x00: 1"), REFUSED, REFUSED),
    "NUL in a value": (get(b"X: 1\x002"), REFUSED, REFUSED),
    "control character in a value": (get(b"X: 1\x012"), BOTH, REFUSED),
    "DEL in a value": (get(b"X: 1\x7f2"), BOTH, REFUSED),
    "vertical tab in a value": (get(b"X: 1\x0b2"), REFUSED, REFUSED),
    "form feed in a value": (get(b"X: 1\x0c2"), REFUSED, REFUSED),
    "bytes above ASCII in a value": (get(b"X: \xe9\xff"), BOTH, BOTH),
    "byte above ASCII in a name": (get(b"X\xe9: 1"), REFUSED, REFUSED),
    "slash in a name": (get(b"X/Y: 1"), REFUSED, REFUSED),
    "quote in a name": (get(b'"X": 1'), REFUSED, REFUSED),
    "no host": (get(host=b""), REFUSED, REFUSED),
    "empty host": (get(b"Host:", host=b""), BOTH, BOTH),
    "two hosts": (get(b"Host: y"), REFUSED, REFUSED),
    "one host twice": (get(b"Host: x"), REFUSED, REFUSED),
    # framing
    "a length and chunks": (post(L(5), C, body=b"0\r\n\r\n"), EMPTY, REFUSED),
    "chunks and a length": (post(C, L(5), body=b"0\r\n\r\n"), EMPTY, REFUSED),
    "two lengths": (post(L(3), L(4), body=b"abc"), REFUSED, REFUSED),
    "one length twice": (post(L(3), L(3), body=b"abc"), POSTED, REFUSED),
    "list of one length": (post(b"Content-Length: 3, 3", body=b"abc"), POSTED, REFUSED),
    "list of lengths": (post(b"Content-Length: 3, 4", body=b"abc"), REFUSED, REFUSED),
    "signed length": (post(b"Content-Length: +3", body=b"abc"), REFUSED, REFUSED),
    "negative length": (post(b"Content-Length: -3", body=b"abc"), REFUSED, REFUSED),
    "hexadecimal length": (post(b"Content-Length: 0x3", body=b"abc"), REFUSED, REFUSED),
    "length with an underscore": (post(b"Content-Length: 1_0", body=b"abc"), REFUSED, REFUSED),
    "length with a space": (post(b"Content-Length: 1 0", body=b"abc"), REFUSED, REFUSED),
    "empty length": (post(b"Content-Length:", body=b""), REFUSED, REFUSED),
    "length with zeros": (post(b"Content-Length: 0003", body=b"abc"), POSTED, POSTED),
    "length of Arabic digits": (
        post("Content-Length: \u0663".encode(), body=b"abc"),
        REFUSED,
        REFUSED,
    ),
    "length beyond 64 bits": (
        post(b"Content-Length: 18446744073709551619", body=b"abc"),
        "-> open",
        REFUSED,
    ),
    "length of 30 digits": (post(b"Content-Length: " + b"1" * 30, body=b"abc"), REFUSED, REFUSED),
    "body of a GET": (
        get(L(3)) + b"abc",
        "GET / 3; GET /next 0 -> 200 200 open",
        "GET / 3; GET /next 0 -> 200 200 open",
    ),
    "longer than its length": (
        post(L(3), body=b"abcd"),
        "POST / 3; dGET /next 0 -> 200 200 open",
        "POST / 3 -> 200 400 closed",
    ),
    "shorter than its length": (post(L(len(NEXT) + 1)), "-> open", "-> open"),
    "two codings": (post(C, C, body=b"0\r\n\r\n"), REFUSED, REFUSED),
    "gzip, chunked": (
        post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "chunked, gzip": (
        post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "chunked, identity": (
        post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "identity": (post(b"Transfer-Encoding: identity", body=b""), REFUSED, REFUSED),
    "identity and a length": (
        post(b"Transfer-Encoding: identity", L(3), body=b"abc"),
        REFUSED,
        REFUSED,
    ),
    "xchunked": (post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), REFUSED, REFUSED),
    "chunked in quotes": (
        post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "chunked;q=1": (post(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"), REFUSED, REFUSED),
    "empty coding": (post(b"Transfer-Encoding:", body=b""), REFUSED, REFUSED),
    "vertical tab before chunked": (
        post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "CHUNKED": (post(b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"), EMPTY, EMPTY),
    "underscore for a hyphen": (
        post(b"Transfer_Encoding: chunked", L(5), body=b"0\r\n\r\n"),
        "POST / 5; GET /next 0 -> 200 200 open",
        "POST / 5; GET /next 0 -> 200 200 open",
    ),
    "chunks in HTTP/1.0": (
        get(C, line=b"POST / HTTP/1.0") + b"3\r\nabc\r\n0\r\n\r\n",
        LAST_POST,
        REFUSED,
    ),
    # chunks
    "chunk extension": (post(C, body=b"3;a=b\r\nabc\r\n0\r\n\r\n"), POSTED, POSTED),
    "chunk extension in quotes": (post(C, body=b'3;a="b c"\r\nabc\r\n0\r\n\r\n'), POSTED, POSTED),
    "chunk extension with CR LF in quotes": (
        post(C, body=b'3;a="\r\nabc\r\n0\r\n\r\n'),
        POSTED,
        REFUSED,
    ),
    "chunk extension with a bare LF": (post(C, body=b"3;a\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "chunk extension with a bare CR": (
        post(C, body=b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
        POSTED,
        REFUSED,
    ),
    "chunk extension with NUL": (post(C, body=b"3;\x00\r\nabc\r\n0\r\n\r\n"), POSTED, REFUSED),
    "endless chunk extension": (post(C, body=b"3;" + b"x" * (M + 1)), REFUSED, TOO_LARGE),
    "long chunk extension": (
        post(C, body=b"3;" + b"x" * (M + 1) + b"\r\nabc\r\n0\r\n\r\n"),
        POSTED,
        TOO_LARGE,
    ),
    "zeros before a chunk size": (post(C, body=b"0003\r\nabc\r\n0\r\n\r\n"), POSTED, POSTED),
    "endless zeros before a chunk size": (post(C, body=b"0" * (M + 1)), REFUSED, TOO_LARGE),
    "chunk size of 17 digits": (
        post(C, body=b"1" + b"0" * 16 + b"\r\nabc\r\n0\r\n\r\n"),
        "-> open",
        REFUSED,
    ),
    "chunk size of 21 digits": (
        post(C, body=b"0" * 20 + b"3\r\nabc\r\n0\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "negative chunk size": (post(C, body=b"-3\r\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "signed chunk size": (post(C, body=b"+3\r\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "chunk size with 0x": (post(C, body=b"0x3\r\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "chunk size with an underscore": (post(C, body=b"0_3\r\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "no chunk size": (post(C, body=b"\r\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "space before a chunk size": (post(C, body=b" 3\r\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "space after a chunk size": (post(C, body=b"3 \r\nabc\r\n0\r\n\r\n"), POSTED, REFUSED),
    "tab after a chunk size": (post(C, body=b"3\t\r\nabc\r\n0\r\n\r\n"), POSTED, REFUSED),
    "bare LF after a chunk size": (post(C, body=b"3\nabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "bare CR after a chunk size": (post(C, body=b"3\rabc\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "bare LF after a chunk": (post(C, body=b"3\r\nabc\n0\r\n\r\n"), REFUSED, REFUSED),
    "nothing after a chunk": (post(C, body=b"3\r\nabc0\r\n\r\n"), REFUSED, REFUSED),
    "chunk longer than its size": (post(C, body=b"3\r\nabcd\r\n0\r\n\r\n"), REFUSED, REFUSED),
    "bare LF after the last chunk": (post(C, body=b"3\r\nabc\r\n0\n\n"), REFUSED, REFUSED),
    "bare LF at the end of chunks": (post(C, body=b"3\r\nabc\r\n0\r\n\n"), POSTED, REFUSED),
    "trailer": (post(C, body=b"0\r\nX: 1\r\n\r\n"), EMPTY, EMPTY),
    "trailer with a length": (post(C, body=b"0\r\nContent-Length: 30\r\n\r\n"), EMPTY, REFUSED),
    "trailer with a host": (post(C, body=b"0\r\nHost: y\r\n\r\n"), EMPTY, EMPTY),
    "trailer without a colon": (post(C, body=b"0\r\nX\r\n\r\n"), REFUSED, REFUSED),
    "trailer with a space before the colon": (
        post(C, body=b"0\r\nX : 1\r\n\r\n"),
        REFUSED,
        REFUSED,
    ),
    "folded trailer": (post(C, body=b"0\r\nX: 1\r\n 2\r\n\r\n"), EMPTY, REFUSED),
    "trailer with a bare LF": (post(C, body=b"0\r\nX: 1\nY: 2\r\n\r\n"), EMPTY, REFUSED),
    "trailer with NUL": (post(C, body=b"0\r\nX: \x00\r\n\r\n"), REFUSED, REFUSED),
    "endless trailer": (
        post(C, body=b"0\r\nX: " + b"x" * (M + 1)),
        "POST / 0 -> 200 open",
        TOO_LARGE,
    ),
    "many trailers": (post(C, body=b"0\r\n" + b"X: 1\r\n" * 8000 + b"\r\n"), EMPTY, TOO_LARGE),
    "chunks of one byte": (
        post(C, body=b"1\r\nx\r\n" * 9000 + b"0\r\n\r\n"),
        "POST / 9000; GET /next 0 -> 200 200 open",
        TOO_LARGE,
    ),
    # connection
    "Connection: close": (get(b"Connection: close"), LAST, LAST),
    "Connection: keep-alive, close": (get(b"Connection: keep-alive, close"), LAST, LAST),
    "Connection: keep-alive and close": (
        get(b"Connection: keep-alive", b"Connection: close"),
        LAST,
        LAST,
    ),
    "Connection: CLOSE": (get(b"Connection: CLOSE"), LAST, LAST),
    "Connection: close and a body": (
        post(b"Connection: close", L(3), body=b"abc"),
        LAST_POST,
        LAST_POST,
    ),
    "close and chunks": (
        post(b"Connection: close", C, body=b"0\r\n\r\n"),
        "POST / 0 -> 200 closed",
        "POST / 0 -> 200 closed",
    ),
    "Expect": (
        post(b"Expect: 100-continue", L(3), body=b"abc"),
        "POST / 3; GET /next 0 -> 100 200 200 open",
        "POST / 3; GET /next 0 -> 100 200 200 open",
    ),
    "Expect in large letters": (
        post(b"Expect: 100-Continue", L(3), body=b"abc"),
        "POST / 3; GET /next 0 -> 100 200 200 open",
        "POST / 3; GET /next 0 -> 100 200 200 open",
    ),
    "Expect in a list": (
        post(b"Expect: a, 100-continue", L(3), body=b"abc"),
        "POST / 3; GET /next 0 -> 100 200 200 open",
        "POST / 3; GET /next 0 -> 100 200 200 open",
    ),
    "another Expect": (post(b"Expect: tea", L(3), body=b"abc"), POSTED, POSTED),
    "Expect in HTTP/1.0": (
        get(b"Expect: 100-continue", L(3), line=b"POST / HTTP/1.0") + b"abc",
        LAST_POST,
        LAST_POST,
    ),
    "h2c": (
        get(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        BOTH,
        BOTH,
    ),
    "h2c with a body": (
        post(b"Connection: Upgrade", b"Upgrade: h2c", L(3), body=b"abc"),
        POSTED,
        POSTED,
    ),
    "h2c with chunks": (
        post(b"Connection: Upgrade", b"Upgrade: h2c", C, body=b"3\r\nabc\r\n0\r\n\r\n"),
        POSTED,
        POSTED,
    ),
    "web socket": (
        get(
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
        BOTH,
        BOTH,
    ),
    "Upgrade without Connection": (get(b"Upgrade: h2c"), BOTH, BOTH),
    "Connection: upgrade without Upgrade": (get(b"Connection: upgrade"), BOTH, BOTH),
    "HEAD": (
        get(line=b"HEAD / HTTP/1.1"),
        "HEAD / 0; GET /next 0 -> 200 200 open",
        "HEAD / 0; GET /next 0 -> 200 200 open",
    ),
    "NUL behind a request": (
        get() + b"\x00",
        "GET / 0 -> 200 400 closed",
        "GET / 0 -> 200 400 closed",
    ),
    "line behind a request": (
        get() + b"\r\n",
        "GET / 0 -> 200 400 closed",
        "GET / 0 -> 200 400 closed",
    ),
    "line behind a body": (
        post(L(3), body=b"abc\r\n"),
        "POST / 3 -> 200 400 closed",
        "POST / 3 -> 200 400 closed",
    ),
    "line behind chunks": (
        post(C, body=b"0\r\n\r\n\r\n"),
        "POST / 0 -> 200 400 closed",
        "POST / 0 -> 200 400 closed",
    ),
}


class Opened:
    """A connection to an application, in memory."""

    def __init__(self, app: App, keep_alive_s: int = 1000) -> None:
        config = Config(app, http=HttpProtocol, ws="none", timeout_keep_alive=keep_alive_s)
        config.load()
        loop = asyncio.get_running_loop()
        self.protocol = HttpProtocol(config, ServerState(), {}, loop)
        self.wire = _Wire()
        self.wire.spoken = self.protocol
        self.protocol.connection_made(cast(asyncio.Transport, self.wire))

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            if not self.wire.is_closing():
                self.protocol.data_received(part)
                if self.protocol.flow.read_paused:
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)

    def statuses(self) -> list[int]:
        return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.wire.written)]

    async def close(self) -> None:
        self.protocol.connection_lost(None)
        await asyncio.sleep(0.1)


def echo(seen: list[str]) -> App:
    """Return an application that notes what it is asked, with the bytes of the body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            size, more = size + len(message["body"]), message["more_body"]
        query = "?" + scope["query_string"].decode() if scope["query_string"] else ""
        seen.append(f"{scope['method'][:10]} {scope['path'][:20]}{query} {size}")
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


async def outcome(parts: list[bytes]) -> str:
    """Return what the server made of bytes that came so."""
    seen: list[str] = []
    opened = Opened(echo(seen))
    await opened.send(*parts)
    statuses = " ".join(map(str, opened.statuses()))
    state = "closed" if opened.wire.is_closing() else "open"
    await opened.close()
    return " ".join(filter(None, ("; ".join(seen), "->", statuses, state)))


@pytest.mark.parametrize("row", ROWS)
@in_virtual_time
async def test_a_request_is_taken_or_refused_however_it_comes(row: str) -> None:
    before, _, expected = ROWS[row]
    sent = before + NEXT
    step = max(1, len(sent) // 500)
    for parts in (
        [sent],
        [before, NEXT],
        [sent[i : i + step] for i in range(0, len(sent), step)],
    ):
        assert await outcome(parts) == expected, f"in {len(parts)} parts"


@pytest.mark.parametrize("row", ROWS)
def test_nothing_is_taken_that_h11_did_not_take(row: str) -> None:
    _, before, now = ROWS[row]
    seen_before, seen_now = (one.partition(" ->")[0].split("; ") for one in (before, now))
    if now.startswith("->"):
        assert now in (REFUSED, TOO_LARGE) or before == now
    else:
        assert seen_now == seen_before[: len(seen_now)]
    assert "closed" not in before or "closed" in now


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01", b" ", b"\r\n", b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\rHost"],
    ids=str,
)
@in_virtual_time
async def test_what_can_become_no_request_is_not_waited_for(sent: bytes) -> None:
    assert await outcome([sent]) == REFUSED
    assert await outcome([sent[i : i + 1] for i in range(len(sent))]) == REFUSED


DAMAGE = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"\x0b",
        b"\x80",
        b'"',
        b"/",
        b"#",
    ),
    *(
        b"0",
        b"3",
        b",",
        b";",
        b"chunked",
        b"HTTP/1.0",
        b"POST / HTTP/1.1\r\n",
        b"abc",
        b"1\r\nx\r\n",
    ),
    *(C + b"\r\n", L(3) + b"\r\n", b"Host: x\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n"),
)


@pytest.mark.parametrize("seed", range(5))
@in_virtual_time
async def test_a_damaged_request_is_the_same_however_it_comes(seed: int) -> None:
    chance = Random(seed)
    short = [sent for sent, _, _ in ROWS.values() if len(sent) < 400]
    for _ in range(100):
        sent = chance.choice(short) + NEXT
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(sent) + 1)
            cut = chance.choice((0, 0, 1, 3))
            sent = sent[:at] + chance.choice((b"", *DAMAGE)) + sent[at + cut :]
        ends = sorted({chance.randrange(len(sent)) for _ in range(3)} | {0, len(sent)})
        parts = [sent[i:j] for i, j in pairwise(ends)]
        at_once, in_parts = await outcome([sent]), await outcome(parts)
        # Whether it is asked for its body depends on whether that has come.
        assert at_once.replace(" 100", "") == in_parts.replace(" 100", ""), (sent, parts)


# --- one at a time --------------------------------------------------------------------------------


@in_virtual_time
async def test_requests_that_come_together_are_answered_one_after_the_other() -> None:
    under_way, most, seen = 0, 0, []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        seen.append(scope["path"])
        await asyncio.sleep(1)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        under_way -= 1

    opened = Opened(slow)
    opened.protocol.data_received(b"".join(get(line=b"GET /%d HTTP/1.1" % i) for i in range(5)))
    await asyncio.sleep(0.5)
    # What has come is not even parsed, and no more is read.
    assert (seen, opened.protocol.flow.read_paused) == (["/0"], True)
    await asyncio.sleep(5)
    assert (seen, most) == ([f"/{i}" for i in range(5)], 1)
    assert opened.statuses() == [204] * 5
    assert not opened.protocol.flow.read_paused
    await opened.close()


@in_virtual_time
async def test_an_idle_connection_keeps_nothing_of_what_came() -> None:
    opened = Opened(echo([]))
    await opened.send(post(L(60_000), body=b"x" * 60_000))
    assert opened.statuses() == [200]
    assert opened.protocol._came_in == b""
    await opened.close()


@in_virtual_time
async def test_a_body_that_is_none_ends_its_request() -> None:
    received: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        received.append(message["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    opened = Opened(app)
    await opened.send(post(C), b"xyz\r\n")
    assert received == ["http.disconnect"]
    assert opened.statuses() == [400]
    assert b"done" not in opened.wire.written
    for name, value in SECURITY:
        assert b"\r\n%s: %s\r\n" % (name, value) in opened.wire.written
    await opened.close()


@in_virtual_time
async def test_a_trailer_is_no_header() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    opened = Opened(app)
    await opened.send(post(C), b"0\r\n", b"Authorization: Bearer x\r\n\r\n")
    assert opened.statuses() == [204]
    assert [name for name, _ in scopes[0]["headers"]] == [b"host", b"transfer-encoding"]
    await opened.close()


@pytest.mark.parametrize("framing", [(False, 0), (False, 2), (False, 4), (True, 0)], ids=str)
@in_virtual_time
async def test_where_the_parser_sees_another_end_the_request_is_refused(
    framing: tuple[bool, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpProtocol, "_framing", lambda self, is_1_1: framing)
    opened = Opened(echo([]))
    await opened.send(post(L(3), body=b"1\r\n") + NEXT)
    assert opened.statuses() == [400]
    assert opened.wire.is_closing()
    await opened.close()


@in_virtual_time
async def test_a_parser_that_sees_another_protocol_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if the header were left in: llhttp then takes the body for the other protocol's.
    monkeypatch.setattr(http_protocol, "_UPGRADE", re.compile(rb"(?!)"))
    opened = Opened(echo([]))
    await opened.send(post(b"Connection: Upgrade", b"Upgrade: h2c", L(3), body=b"abc") + NEXT)
    assert opened.statuses() == [400]
    assert opened.wire.is_closing()
    await opened.close()


@in_virtual_time
async def test_a_fault_of_ours_is_not_answered_as_one_of_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(self: Any, is_1_1: bool) -> tuple[bool, int]:
        raise KeyError("a fault")

    monkeypatch.setattr(HttpProtocol, "_framing", wrong)
    opened = Opened(echo([]))
    with pytest.raises(httptools.HttpParserCallbackError):
        opened.protocol.data_received(get())
    await opened.close()


@in_virtual_time
async def test_values_come_without_the_white_space_around_them() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    opened = Opened(app)
    await opened.send(get(b"X:   1 2  ", b"Y:\t3\t", b"Z:", b"Z: \t"))
    expected = [(b"host", b"x"), (b"x", b"1 2"), (b"y", b"3"), (b"z", b""), (b"z", b"")]
    assert scopes[0]["headers"] == expected
    await opened.close()


@pytest.mark.parametrize(
    "target", ["/", "/a?b?c", "/?", "/a%2Fb%20c", "//x/y", "/a;b=c", '/"<>\\^`{|}', "/%", "/%zz"]
)
@in_virtual_time
async def test_a_target_is_split_at_its_first_question_mark(target: str) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    opened = Opened(app)
    await opened.send(get(line=b"GET %s HTTP/1.1" % target.encode()))
    raw_path, _, query = target.encode().partition(b"?")
    assert (scopes[0]["raw_path"], scopes[0]["query_string"]) == (raw_path, query)
    await opened.close()


# --- how long -------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_idle_connection_is_closed_so_long_after_its_last_answer() -> None:
    opened = Opened(echo([]), keep_alive_s=5)
    began = now_s()
    for _ in range(4):
        await asyncio.sleep(3)
        opened.protocol.data_received(get())
    await asyncio.sleep(60)
    assert opened.statuses() == [200] * 4
    assert opened.wire.closed_at == began + 4 * 3 + 5
    await opened.close()


@pytest.mark.parametrize("begun", [HEAD[:9], HEAD], ids=["head", "body"])
@in_virtual_time
async def test_a_request_that_has_begun_is_bound_by_its_own_time(begun: bytes) -> None:
    opened = Opened(echo([]), keep_alive_s=5)
    opened.protocol.data_received(get())
    await asyncio.sleep(4)
    began = now_s()
    opened.protocol.data_received(begun)
    await asyncio.sleep(60)
    assert opened.wire.closed_at == began + http_protocol.REQUEST_S
    await opened.close()


# --- how it answers -------------------------------------------------------------------------------


async def answered(sent: bytes, *messages: Any) -> tuple[list[bytes], bytes, bool]:
    """Return the lines of the head, the rest, and whether the connection was closed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    opened = Opened(app)
    await opened.send(sent)
    head, _, rest = opened.wire.written.partition(b"\r\n\r\n")
    is_closed = opened.wire.is_closing()
    await opened.close()
    return head.split(b"\r\n"), rest, is_closed


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Any:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes, *, more: bool = False) -> Any:
    return {"type": "http.response.body", "body": content, "more_body": more}


HTTP_1_0 = get(line=b"GET / HTTP/1.0")


@in_virtual_time
async def test_a_body_without_a_length_is_sent_in_chunks_or_to_the_end_of_the_connection() -> None:
    parts = (start(), body(b"one", more=True), body(b"", more=True), body(b"three"))
    lines, rest, is_closed = await answered(get(), *parts)
    assert b"transfer-encoding: chunked" in lines
    assert (rest, is_closed) == (b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n", False)
    lines, rest, is_closed = await answered(HTTP_1_0, *parts)
    assert lines[1:] == [b"connection: close"]
    assert (rest, is_closed) == (b"onethree", True)


@pytest.mark.parametrize("sent", [get(line=b"HEAD / HTTP/1.1"), get(line=b"HEAD / HTTP/1.0")])
@in_virtual_time
async def test_the_answer_to_head_has_the_length_and_no_body(sent: bytes) -> None:
    lines, rest, _ = await answered(sent, start((b"content-length", b"3")), body(b"abc"))
    assert b"content-length: 3" in lines
    assert rest == b""


@pytest.mark.parametrize("status", [204, 304])
@in_virtual_time
async def test_an_answer_that_has_no_body_needs_no_length(status: int) -> None:
    lines, rest, is_closed = await answered(get(), start(status=status), body(b""))
    assert (len(lines), rest, is_closed) == (1, b"", False)
    lines, rest, is_closed = await answered(
        get(), start((b"content-length", b"3"), status=status), body(b"")
    )
    assert (rest, is_closed) == (b"", False)


@pytest.mark.parametrize("content", [b"ab", b"abcd"], ids=["shorter", "longer"])
@in_virtual_time
async def test_a_body_that_is_not_as_long_as_announced_ends_the_connection(content: bytes) -> None:
    _, rest, is_closed = await answered(get(), start((b"content-length", b"3")), body(content))
    assert is_closed
    assert len(rest) < 3


@pytest.mark.parametrize(
    "header", [(b"x", b"1\r\nset-cookie: a"), (b"x\r\ny", b"1"), (b"x", b"\x00")], ids=str
)
@in_virtual_time
async def test_no_header_of_an_answer_begins_another(header: tuple[bytes, bytes]) -> None:
    lines, _, is_closed = await answered(get(), start(header), body(b""))
    assert (lines, is_closed) == ([b""], True)


@in_virtual_time
async def test_a_head_whose_body_is_not_there_yet_is_sent_alone() -> None:
    begun = asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await begun.wait()
        await send(body(b"later"))

    opened = Opened(stream)
    await opened.send(get())
    assert opened.wire.written.endswith(b"transfer-encoding: chunked\r\n\r\n")
    begun.set()
    await asyncio.sleep(0.1)
    assert opened.wire.written.endswith(b"5\r\nlater\r\n0\r\n\r\n")
    await opened.close()


@pytest.mark.parametrize("size", [10, 200_000])
@in_virtual_time
async def test_a_head_is_sent_with_a_body_that_follows_at_once(size: int) -> None:
    lines, rest, _ = await answered(
        get(), start((b"content-length", b"%d" % size)), body(b"x" * size)
    )
    assert lines[1:] == [b"content-length: %d" % size]
    assert rest == b"x" * size


@in_virtual_time
async def test_a_secret_of_an_answer_is_not_remembered() -> None:
    remembered = http_protocol._header_line.cache_info().currsize
    lines, _, _ = await answered(get(), start((b"set-cookie", b"secret-1")), body(b""))
    assert b"set-cookie: secret-1" in lines
    assert http_protocol._header_line.cache_info().currsize == remembered


@pytest.mark.parametrize("sent", [get(b"Connection: close"), HTTP_1_0], ids=["close", "1.0"])
@in_virtual_time
async def test_an_answer_says_that_its_connection_ends(sent: bytes) -> None:
    lines, rest, is_closed = await answered(sent, start((b"content-length", b"2")), body(b"ok"))
    assert lines.count(b"connection: close") == 1
    assert (rest, is_closed) == (b"ok", True)
