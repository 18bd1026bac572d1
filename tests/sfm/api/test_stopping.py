"""A relay that is stopped while somebody waits answers as it does everywhere else."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kit.relay_process import PATIENCE_S, environment, relay_to_stop

from sfm.api.middleware.authentication import SECURITY
from sfm.api.problems import MEDIA_TYPE, TYPE_PREFIX


@pytest.fixture
def silent_unit() -> Iterator[tuple[int, threading.Event]]:
    """A port that takes connections and never answers, and whether it was connected to."""
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return
                called.set()

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1], called
        server.shutdown(socket.SHUT_RDWR)
        for one in kept:
            one.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", "/device/info", None, "shutting-down"),
        ("GET", "/device/event/0/waveform", None, "shutting-down"),
        ("POST", "/device/events/erase", {"serial": "BE1", "count": 1}, "outcome-unknown"),
    ],
)
def test_waiting_readers_are_answered_when_the_relay_stops(
    method: str,
    path: str,
    body: dict[str, str | int] | None,
    kind: str,
    silent_unit: tuple[int, threading.Event],
    tmp_path: Path,
) -> None:
    port, called = silent_unit
    of_unit: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": port}
    answers: list[httpx.Response] = []
    settings = environment(tmp_path / "db", SFM_REPLY_S=str(PATIENCE_S))
    with relay_to_stop(settings) as (base, pid):

        def ask() -> None:
            answers.append(
                httpx.request(method, base + path, params=of_unit, json=body, timeout=PATIENCE_S)
            )

        asking = threading.Thread(target=ask)
        asking.start()
        assert called.wait(PATIENCE_S)
        os.kill(pid, signal.SIGTERM)
        asking.join(PATIENCE_S)
    [answer] = answers
    assert answer.status_code == 503
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["type"] == TYPE_PREFIX + kind
    assert answer.json().get("outcome") == (None if kind == "shutting-down" else "unknown")
    assert ("retry-after" in answer.headers) == (kind == "shutting-down")
    assert answer.headers[SECURITY[1][0].decode()] == SECURITY[1][1].decode()
