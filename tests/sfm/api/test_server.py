"""The real process over real sockets: how it starts, what it takes, whom it believes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
import termios
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import trustme
from kit.access_world import LOCAL, protected_app_of
from kit.command_line import caller
from kit.empty_databases import memory_store
from kit.relay_process import (
    PATIENCE_S,
    Relay,
    bearer,
    new_token,
    refused,
    relay,
    relay_from_scratch,
)
from kit.virtual_time import in_virtual_time, now_s
from uvicorn import Config
from uvicorn.server import ServerState

from sfm.access.egress import EgressPolicy
from sfm.access.principal import Role
from sfm.api.middleware.authentication import SECURITY
from sfm.api.middleware.known_tokens import MAX_FAILURES
from sfm.api.problems import MEDIA_TYPE
from sfm.devices.gateway import Gateway
from sfm.http_protocol import MAX_HEADER_BYTES, REQUEST_S, HttpProtocol
from sfm.live_cache import LiveCache
from sfm.settings import Settings
from sfm.store import Store, tokens

PROXY = "127.0.0.2"
"""Of this machine too, so that a proxy has another address than who comes by himself."""


@pytest.fixture(scope="module")
def local() -> Iterator[Relay]:
    """A relay for who sits at this machine."""
    with relay() as started:
        yield started


# --- how it starts --------------------------------------------------------------------------------


def test_off_this_machine_it_starts_without_a_token_only_with_the_insecure_setting(
    tmp_path: Path,
) -> None:
    message = refused("--host", "0.0.0.0", database=tmp_path / "db")
    assert "seismo-relay token create NAME --role admin" in message
    assert "--insecure" in message
    with relay("--host", "0.0.0.0", "--insecure", database=tmp_path / "db") as started:
        assert "INSECURE" in started.output
        answer = httpx.get(
            f"http://127.0.0.1:{started.port}/cache/stats", headers={"host": "relay.example"}
        )
        assert answer.status_code == 200


def test_without_a_database_it_does_not_start_off_this_machine() -> None:
    assert "tokens" in refused("--host", "0.0.0.0")


def test_with_a_token_it_starts_and_asks_for_it(tmp_path: Path) -> None:
    secret = new_token(tmp_path / "db", Role.VIEWER)
    with relay("--host", "0.0.0.0", database=tmp_path / "db") as started:
        there = f"http://127.0.0.1:{started.port}/cache/stats"
        named = {"host": "relay.example"}
        assert httpx.get(there, headers=named).status_code == 401
        assert httpx.get(there, headers={**named, **bearer(secret)}).status_code == 200


def test_a_revoked_token_is_none(tmp_path: Path) -> None:
    new_token(tmp_path / "db", Role.ADMIN)
    with Store.open(f"sqlite:///{tmp_path / 'db'}") as store:
        store.write(tokens.revoke, "admin", datetime.now(UTC))
    assert "needs a token" in refused("--host", "0.0.0.0", database=tmp_path / "db")


@pytest.mark.parametrize("proxies", ['["*"]', '["proxy.example"]'])
def test_a_proxy_has_an_address(proxies: str) -> None:
    with pytest.raises(ValueError, match="not an IP address or network"):
        Settings(trusted_proxies=proxies[2:-2].split(","))


# --- what it takes --------------------------------------------------------------------------------

TOO_MUCH: dict[str, tuple[bytes, int]] = {
    "headers": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-More: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    "head": (b"GET /health HTTP/1.1\r\nX: " + b"x" * (MAX_HEADER_BYTES + 1), 431),
    "whole head": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * MAX_HEADER_BYTES + b"\r\n\r\n",
        431,
    ),
    "line": (b"GET /" + b"x" * (MAX_HEADER_BYTES + 1), 431),
    "query": (b"GET /health?x=" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "body": (b"POST /session HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", 413),
    "body in chunks": (
        b"POST /session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"4000\r\n" + b" " * 0x4000 + b"\r\n") * 5,
        413,
    ),
    "rubbish": (b"\x10\x02\x10\x00\x5b\r\n\r\n", 400),
    "two lengths": (
        b"POST /session HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
    ),
    "a length and chunks": (
        b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        400,
    ),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: x\r\n\r\n", 400),
    "nothing": (b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "method": (b"PATCH /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
    "unknown method": (b"BREW /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "absolute target": (b"GET http://x/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "bare line feeds": (b"GET /health HTTP/1.1\nHost: 127.0.0.1\n\n", 400),
    "body with many small chunks": (
        b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\n \r\n" * 9000,
        431,
    ),
    "parameter": (b"GET /device/info?x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 422),
    "unknown": (b"GET /cache/stats HTTP/1.1\r\nHost: relay.example\r\n\r\n", 401),
    "web socket": (
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        200,
    ),
}


def raw(port: int, sent: bytes) -> httpx.Response:
    """Return the answer to bytes as they are."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        reported = b""
        while b"\r\n\r\n" not in reported and (more := connection.recv(65536)):
            reported += more
    status, *lines = reported.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers)


@pytest.mark.parametrize("what", TOO_MUCH)
def test_every_request_is_answered_with_the_security_headers(what: str, local: Relay) -> None:
    sent, status = TOO_MUCH[what]
    answer = raw(local.port, sent)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == MEDIA_TYPE
    for name, value in SECURITY:
        assert answer.headers.get_list(name.decode()) == [value.decode()]
    assert "server" not in answer.headers
    assert httpx.get(f"{local.base}/health").status_code == 200


def test_a_page_of_another_site_is_allowed_nothing(local: Relay) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        answer = httpx.request(
            method,
            f"{local.base}/device/monitor/stop",
            params={"host": "unit.invalid"},
            headers={
                "origin": "http://evil.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization",
            },
        )
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_reader_who_disconnects_before_the_answer_ends_nothing(local: Relay) -> None:
    ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(200):
        # The first word of an answer meets a closed link, the next one is a broken pipe.
        with socket.create_connection(("127.0.0.1", local.port), timeout=PATIENCE_S) as link:
            link.sendall(ask)
    assert httpx.get(f"{local.base}/health").status_code == 200


# --- how many ------------------------------------------------------------------------------------


def events(started: Relay) -> list[str]:
    """The lines of its log, without the sentences for the person who started it."""
    return [
        line
        for line in started.log
        if line.startswith("{") and "archived" not in json.loads(line)["event"]
    ]


def test_idle_connections_exclude_no_client_and_fill_no_log() -> None:
    with relay_from_scratch(files=256) as started, ExitStack() as stack:
        for _ in range(300):
            idle = socket.create_connection(("127.0.0.1", started.port), timeout=PATIENCE_S)
            stack.enter_context(idle)
        statuses: list[int | str] = []
        for _ in range(5):
            try:
                answer = httpx.get(f"{started.base}/health", timeout=PATIENCE_S)
                statuses.append(answer.status_code)
            except httpx.TransportError as error:
                statuses.append(type(error).__name__)
        assert statuses == [200] * 5
        assert len(events(started)) == 1


def test_a_request_that_is_cut_is_no_mistake_of_the_relay(local: Relay) -> None:
    before = events(local)
    head = b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    for reset in (False, True) * 10:
        with socket.create_connection(("127.0.0.1", local.port), timeout=PATIENCE_S) as link:
            if reset:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.sendall(head)
    # Served behind them, so all of them have been met.
    assert httpx.get(f"{local.base}/health").status_code == 200
    assert events(local) == before


class _Wire(asyncio.Transport):
    """The server's end of a connection that goes nowhere."""

    closed_at: float | None = None
    spoken: Any = None
    written = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def close(self) -> None:
        self.closed_at = self.closed_at or now_s()

    def abort(self) -> None:
        self.close()
        asyncio.get_running_loop().call_soon(self.spoken.connection_lost, None)

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


async def closed_after(*parts: bytes, each_s: float, answer_s: float = 0.0) -> float | None:
    """Return after how many seconds a connection is closed that says ``parts`` in its own time."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(answer_s)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = Config(slow, http=HttpProtocol, ws="none", timeout_keep_alive=1000)
    config.load()
    spoken = HttpProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    wire, began = _Wire(), now_s()
    spoken.connection_made(cast(asyncio.Transport, wire))
    for part in parts:
        await asyncio.sleep(each_s)
        if wire.closed_at is None:
            spoken.data_received(part)
    await asyncio.sleep(900)
    closed_at = wire.closed_at
    spoken.connection_lost(None)
    return None if closed_at is None else closed_at - began


@pytest.mark.parametrize(
    "parts",
    [(), (HEAD[:20],), tuple(HEAD[i : i + 1] for i in range(len(HEAD))), (HEAD,), (HEAD, b"1234")],
    ids=["nothing", "half a head", "byte by byte", "no body", "half a body"],
)
@in_virtual_time
async def test_a_request_that_does_not_come_in_time_is_hung_up_on(parts: tuple[bytes, ...]) -> None:
    assert await closed_after(*parts, each_s=1.0) == REQUEST_S


@in_virtual_time
async def test_an_answer_may_take_longer_than_a_request_and_so_may_what_comes_next() -> None:
    whole = HEAD + b"123456789"
    assert await closed_after(whole, each_s=1.0, answer_s=REQUEST_S * 3) is None
    assert await closed_after(whole, whole, each_s=REQUEST_S - 1) is None
    late = await closed_after(whole, HEAD, each_s=5.0)
    assert late == 10.0 + REQUEST_S


# --- over TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pems(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The files of a certificate and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_over_tls_it_answers_who_trusts_its_certificate(
    authority: trustme.CA, pems: tuple[str, str], tmp_path: Path
) -> None:
    secret = new_token(tmp_path / "db", Role.VIEWER)
    known = ssl.create_default_context()
    authority.configure_trust(known)
    with relay("--tls-cert", pems[0], "--tls-key", pems[1], database=tmp_path / "db") as started:
        assert started.base.startswith("https://")
        with httpx.Client(verify=known, base_url=started.base) as client:
            answer = client.get("/health")
            assert answer.status_code == 200
            assert "max-age" in answer.headers["strict-transport-security"]
            begun = client.post("/session", json={"token": secret})
            assert "; secure" in begun.headers["set-cookie"].lower()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{started.base}/health")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{started.port}/health")


def test_the_command_line_says_how_a_relays_certificate_is_trusted(
    authority: trustme.CA,
    pems: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = caller(capsys)
    monkeypatch.setenv("SFM_TOKEN", new_token(tmp_path / "db", Role.VIEWER))
    with relay("--tls-cert", pems[0], "--tls-key", pems[1], database=tmp_path / "db") as started:
        status, _, aside = run("unit", "list", "--relay", started.base)
        assert (status, "its certificate is not trusted: " in aside) == (6, True), aside
        assert "SSL_CERT_FILE" in aside
        assert "_ssl.c" not in aside
        plain = f"http://127.0.0.1:{started.port}"
        for words in (("unit", "list"), ("info", "10.0.0.5")):
            status, _, aside = run(*words, "--relay", plain)
            assert (status, f"https://127.0.0.1:{started.port}" in aside) == (6, True), aside
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert run("unit", "list", "--relay", started.base)[0] == 0


@pytest.mark.parametrize(
    "words",
    [("--tls-cert", "KEY", "--tls-key", "KEY"), ("--tls-key", "KEY"), ("--tls-cert", "nothing")],
    ids=" ".join,
)
def test_an_unusable_certificate_is_reported_at_the_start(
    words: tuple[str, ...], pems: tuple[str, str]
) -> None:
    message = refused(*(word.replace("KEY", pems[1]) for word in words))
    assert "certificate" in message


# --- behind a proxy -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, str]]:
    """A relay that believes one proxy, and an admin's token."""
    database = tmp_path_factory.mktemp("proxied") / "db"
    secret = new_token(database, Role.ADMIN)
    with relay(database=database, SFM_TRUSTED_PROXIES=f'["{PROXY}"]') as started:
        yield started, secret


def asked(base: str, source: str, method: str, path: str, **more: Any) -> httpx.Response:
    """Return what the relay answers to somebody at that address of this machine."""
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, base_url=base) as client:
        return client.request(method, path, **more)


@pytest.mark.parametrize(("source", "origin"), [(PROXY, "203.0.113.9"), ("127.0.0.1", "127.0.0.1")])
def test_only_the_named_proxy_is_trusted_about_the_client_address(
    source: str, origin: str, proxied: tuple[Relay, str]
) -> None:
    started, secret = proxied
    headers = {**bearer(secret), "x-forwarded-for": "203.0.113.9"}
    wanted = {"name": f"by {source}", "role": "viewer"}
    made = asked(started.base, source, "POST", "/tokens", json=wanted, headers=headers)
    assert made.status_code == 201
    entries = asked(started.base, source, "GET", "/audit", headers=headers).json()["entries"]
    assert (entries[0]["detail"]["name"], entries[0]["origin"]) == (wanted["name"], origin)


def test_a_proxy_that_names_no_client_makes_no_client_local(
    proxied: tuple[Relay, str],
) -> None:
    base = proxied[0].base
    assert asked(base, "127.0.0.1", "GET", "/cache/stats").status_code == 200
    assert asked(base, PROXY, "GET", "/cache/stats").status_code == 401


@pytest.mark.parametrize(("source", "is_believed"), [(PROXY, True), ("127.0.0.3", False)])
def test_guesses_are_counted_by_who_is_believed_to_make_them(
    source: str, is_believed: bool, proxied: tuple[Relay, str]
) -> None:
    def guess(origin: str) -> int:
        headers = {**bearer("sfm_1_" + "x" * 43), "x-forwarded-for": origin}
        return asked(proxied[0].base, source, "GET", "/cache/stats", headers=headers).status_code

    # As many as may be at once, and those that came back meanwhile.
    for _ in range(20 * MAX_FAILURES):
        if guess("203.0.113.77") == 429:
            break
    else:
        raise AssertionError("nobody stopped the guessing")
    assert guess("203.0.113.78") == (401 if is_believed else 429)


@pytest.mark.parametrize(("source", "status"), [(PROXY, 200), ("127.0.0.1", 403)])
def test_a_browser_behind_the_named_proxy_is_on_the_page_that_it_sees(
    source: str, status: int, proxied: tuple[Relay, str]
) -> None:
    started, secret = proxied
    headers = {
        "host": "relay.example",
        "origin": "https://relay.example",
        "sec-fetch-site": "same-origin",
        "x-forwarded-for": "203.0.113.10",
        "x-forwarded-proto": "https",
    }
    wanted = {"token": secret}
    begun = asked(started.base, source, "POST", "/session", json=wanted, headers=headers)
    assert begun.status_code == status
    assert ("; secure" in begun.headers.get("set-cookie", "").lower()) is (status == 200)


# --- what it reaches ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "0xA9FEA9FE", "[fe80::1]", "[::ffff:a9fe:a9fe]"]
)
def test_cloud_metadata_addresses_are_never_reached(host: str, local: Relay) -> None:
    answer = httpx.get(f"{local.base}/device/info", params={"host": host, "tcp_port": 80})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (
        403,
        "forbidden-address",
    )


def test_a_terminal_is_no_port_of_the_relay_whatever_name_it_has(
    local: Relay, tmp_path: Path
) -> None:
    ours, theirs = os.openpty()
    try:
        path, before = os.ttyname(theirs), termios.tcgetattr(theirs)
        link = tmp_path / "ttyUSB0"
        link.symlink_to(path)
        for port in (path, str(link), "/dev/tty", "/dev/null"):
            answer = httpx.get(f"{local.base}/device/info", params={"port": port})
            assert (port, answer.status_code) == (port, 403)
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_no_page_of_another_site_makes_the_relay_open_anything(local: Relay) -> None:
    """As browsers send it for an image: no Origin, and a GET."""
    with socket.create_server(("127.0.0.1", 0)) as unit:
        unit.settimeout(0.2)
        query = {"host": "127.0.0.1", "tcp_port": unit.getsockname()[1]}
        for headers in (
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
            {"referer": "http://evil.example/"},
        ):
            answer = httpx.get(
                f"{local.base}/device/info", params=query, headers=headers, timeout=PATIENCE_S
            )
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (
                403,
                "cross-site",
            )
        with pytest.raises(TimeoutError):
            unit.accept()


@pytest.mark.parametrize("egress", [None, ["any"], ["registered", "metadata.example"]], ids=str)
@pytest.mark.parametrize("found", ["169.254.169.254", "fe80::1", "fd00:ec2::254"])
@in_virtual_time
async def test_nor_is_a_name_that_leads_there(found: str, egress: list[str] | None) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.5", found]

    known = Settings(database_url="none", egress=egress)
    gateway = Gateway(
        LiveCache(clock=now_s), known, clock=now_s, egress=EgressPolicy(egress, resolve=resolve)
    )
    target = "/device/info?host=metadata.example&tcp_port=80"
    try:
        opened = protected_app_of(gateway, known, memory_store(), real=True)
        answer = await opened.ask("GET", target, **LOCAL)
    finally:
        await gateway.close()
    assert answer.status_code == 403
    assert found not in answer.text
