"""Why no TCP connection came about, as a person reads it: each of the system's errors."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, NoReturn

import pytest

from minimateplus.errors import ConnectError, ConnectTimeoutError
from minimateplus.link import open_link


@pytest.mark.parametrize(
    ("number", "class_", "message"),
    [
        (errno.ECONNREFUSED, ConnectError, "connection refused; nothing listens there"),
        (errno.EHOSTUNREACH, ConnectError, "no route to the host.*network or VPN"),
        (errno.EHOSTDOWN, ConnectError, "the host is down.*power and reception"),
        (errno.ENETUNREACH, ConnectError, "this machine has no network that leads there"),
        (errno.ETIMEDOUT, ConnectTimeoutError, r"the host did not answer.*powered"),
        (errno.ECONNRESET, ConnectError, "reset it at once.*another caller"),
        (errno.EACCES, ConnectError, "firewall"),
    ],
)
def test_a_connection_that_fails_is_a_sentence_with_what_to_do(
    number: int, class_: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(number, "[the system's own words]")

    monkeypatch.setattr(asyncio, "open_connection", fail)
    with pytest.raises(ConnectError, match=message) as caught:
        asyncio.run(open_link("tcp://10.0.0.5:12345"))
    assert type(caught.value) is class_
    assert "tcp://10.0.0.5:12345" in str(caught.value)


def test_several_addresses_of_one_name_that_fail_alike_are_one_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(
            "Multiple exceptions: [Errno 111] Connect call failed ('::1', 9), "
            "[Errno 111] Connect call failed ('127.0.0.1', 9)"
        )

    monkeypatch.setattr(asyncio, "open_connection", fail)
    with pytest.raises(ConnectError, match="nothing listens there"):
        asyncio.run(open_link("tcp://localhost:9"))


@pytest.mark.parametrize("error", [socket.gaierror(-2, "x"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_named_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(asyncio, "open_connection", fail)
    with pytest.raises(ConnectError, match="does not resolve"):
        asyncio.run(open_link("tcp://nobody.example:9"))
