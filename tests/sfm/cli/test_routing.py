"""Which relay a command asks, or none, and how it ends where that fails."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.cli import app, routing

TYPE = "urn:seismo-relay:problem:"
NEEDS_TOKEN = {"type": TYPE + "token-required", "title": "A token is required", "status": 401}
HEALTH = {"status": "ok", "version": "0.1.0", "store": {"state": "none", "detail": None}}


@pytest.fixture(scope="module")
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0048")
    simulated.record_event()
    with served(simulated) as found:
        yield found


@contextmanager
def answering(health: object, status: int, body: object) -> Iterator[tuple[int, list[str]]]:
    """Answer every request with ``body``, ``/health`` with ``health``; yield port and requests."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            is_health = self.path == "/health"
            payload = json.dumps(health if is_health else body).encode()
            self.send_response(200 if is_health else status)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Call:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        status = 0
        try:
            app([*words], result_action="return_value")
        except SystemExit as end:
            status = int(end.code or 0)
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(capsys)


def test_without_a_relay_the_unit_is_read_directly_with_one_line(unit: Served, call: Call) -> None:
    status, out, err = call("info", unit.url, "--json")
    assert (status, json.loads(out)["serial"]) == (0, "SIM0048")
    assert err == "No relay answers at http://127.0.0.1:1: using the unit directly.\n"
    assert call("info", unit.url, "--direct", "--json")[::2] == (0, "")


def test_a_relay_of_this_machine_is_used_and_one_that_wants_a_token_is_not_passed_by(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_before = unit.unit.exchanges
    with answering(HEALTH, 401, NEEDS_TOKEN) as (port, asked):
        monkeypatch.setenv("SFM_HTTP_PORT", str(port))
        status, out, err = call("info", unit.url)
        assert (status, out) == (4, "")
        assert f"the relay at http://127.0.0.1:{port} needs a token: set SFM_TOKEN" in err
        assert [path.partition("?")[0] for path in asked] == ["/health", "/device/info"]
        monkeypatch.setenv("SFM_TOKEN", "wrong")
        status, _, err = call("info", unit.url)
        assert (status, "A token is required (401)" in err) == (4, True)
    assert unit.unit.exchanges == read_before


def test_a_relay_that_is_named_is_the_only_one_asked(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_before = unit.unit.exchanges
    status, out, err = call("info", unit.url, "--relay", "http://127.0.0.1:1")
    assert (status, out) == (6, "")
    assert "no relay answers at http://127.0.0.1:1" in err
    monkeypatch.setenv("SFM_RELAY", "http://127.0.0.1:1")
    for words in (("info", unit.url), ("operation", "x"), ("unit", "list"), ("token", "list")):
        status, out, err = call(*words)
        assert (status, out, "no relay answers at" in err) == (6, "", True), words
    assert unit.unit.exchanges == read_before
    with answering(HEALTH, 401, NEEDS_TOKEN) as (port, asked):
        call("info", unit.url, "--relay", f"http://127.0.0.1:{port}/")
    assert len(asked) == 1, "what is named is not tried first"


def test_beside_a_relay_a_direct_read_warns_and_a_direct_command_is_refused(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(HEALTH, 401, NEEDS_TOKEN) as (port, _):
        monkeypatch.setenv("SFM_HTTP_PORT", str(port))
        status, _, err = call("status", unit.url, "--direct")
        assert (status, err.startswith("Warning: a relay answers at")) == (0, True)
        read_before = unit.unit.exchanges
        for words in (
            ("stop",),
            ("configure", "--project", "x"),
            ("rescue", "--serial", "SIM0048"),
        ):
            status, out, err = call(words[0], unit.url, *words[1:], "--direct")
            assert (status, out, "nothing was sent" in err) == (4, "", True), words
        assert unit.unit.exchanges == read_before
        assert call("configure", unit.url, "--project", "x", "--dry-run", "--direct")[0] == 0


def test_what_is_no_relay_is_passed_by_and_what_stays_silent_is_not(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering({"hello": "world"}, 404, {}) as (port, _):
        monkeypatch.setenv("SFM_HTTP_PORT", str(port))
        assert call("info", unit.url)[0] == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SFM_HTTP_PORT", str(silent.getsockname()[1]))
        monkeypatch.setattr(routing, "PROBE_S", 0.05)
        status, out, err = call("info", unit.url)
        assert (status, out, "did not answer within 0.05 s" in err) == (6, "", True)


def test_a_name_of_the_settings_is_read_directly_too(
    unit: Served, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_UNITS", json.dumps({"North face": unit.url}))
    status, out, _ = call("info", "north FACE", "--direct", "--json")
    assert (status, json.loads(out)["serial"]) == (0, "SIM0048")


@pytest.mark.parametrize(
    ("words", "status", "kind", "shown"),
    [
        (("info", "tcp://127.0.0.1:1", "--direct"), 3, "unit-unreachable", "connection refused"),
        (("info", "10.0.0.5", "--relay", "http://127.0.0.1:1"), 6, "no-relay", "no relay answers"),
        (("info", "serial:", "--direct"), 2, "usage", "cannot read 'serial:'"),
        (("info", "10.0.0.5", "--relay", "http://h", "--direct"), 2, "usage", "exclude each other"),
        (("unit", "show", "nowhere", "--direct"), 4, "no-archive", "no database"),
        (("archive", "list", "--since", "soon"), 2, "usage", "--since"),
    ],
)
def test_with_json_a_failure_is_a_problem_document_on_standard_output(
    words: tuple[str, ...], status: int, kind: str, shown: str, call: Call
) -> None:
    ended, out, err = call(*words, "--json")
    problem = json.loads(out)
    assert (ended, problem["exit_status"], err) == (status, status, "")
    assert problem["type"] == TYPE + kind
    assert shown in problem["detail"]


def test_with_json_a_wrong_option_is_a_problem_document_too(call: Call) -> None:
    status, out, err = call("info", "10.0.0.5", "--releay", "x", "--json")
    problem = json.loads(out)
    assert (status, problem["type"], problem["exit_status"]) == (2, TYPE + "usage", 2)
    assert "--releay" in problem["detail"]
    assert err.count("\n") == 1


def test_a_baud_rate_is_of_a_serial_port(call: Call) -> None:
    status, _, err = call("info", "10.0.0.5", "--baud", "19200", "--direct")
    assert (status, "--baud is the speed of a serial port" in err) == (2, True)
    target = routing.target_of("/dev/ttyUSB0", 19200)
    assert str(target) == str(routing.target_of("serial:/dev/ttyUSB0:19200"))
    assert str(routing.target_of("COM3", 9600)) == "serial:COM3:9600"
