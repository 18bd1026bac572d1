"""The log: a JSON log contains nothing but JSON objects, also of what libraries report."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from typing import Any

import pytest
import structlog
from kit.relay_process import PATIENCE_S, RUN, environment, relay

import sfm.cli
from sfm.logs import configure_logs


@pytest.fixture(autouse=True)
def loggers_as_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ran in this process before has set levels of its own."""
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn", "asyncio", "py.warnings"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "level", logging.NOTSET)
        monkeypatch.setattr(logger, "disabled", False)
        logger.manager._clear_cache()  # type: ignore[attr-defined]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_what_libraries_log_and_warn_of_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(kind="json")
    structlog.get_logger().info("ours", unit="BE1")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nwith a line")
    logging.getLogger("uvicorn.error").error("odd", exc_info=ValueError("why"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    sys.excepthook(ValueError, ValueError("uncaught one"), None)
    ours, task, odd, old, uncaught = lines(capsys)
    assert (ours["event"], ours["unit"], ours["level"]) == ("ours", "BE1", "info")
    assert (task["logger"], task["level"]) == ("asyncio", "error")
    assert "ValueError: why" in odd["exception"]
    assert "DeprecationWarning" in old["event"]
    assert "uncaught one" in uncaught["exception"]


def test_the_access_log_has_its_parts_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(kind="json")
    access = logging.getLogger("uvicorn.access")
    access.setLevel(logging.INFO)
    access.info('%s - "%s %s HTTP/%s" %d', "10.0.0.9:5", "GET", "/units?x=1", "1.1", 200)
    [line] = lines(capsys)
    assert {k: line[k] for k in ("event", "client", "method", "path", "http", "status")} == {
        "event": "request",
        "client": "10.0.0.9:5",
        "method": "GET",
        "path": "/units?x=1",
        "http": "1.1",
        "status": 200,
    }


def test_the_level_and_the_form_are_settings(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="warning", kind="text")
    structlog.get_logger().info("left out")
    structlog.get_logger().warning("shown", unit="BE1")
    shown = capsys.readouterr().err
    assert ("left out" in shown, "shown" in shown, shown.startswith("{")) == (False, True, False)
    configure_logs(quiet=True)
    logging.getLogger("asyncio").critical("not even that")
    assert capsys.readouterr().err == ""


def test_a_relay_writes_a_json_log_from_its_first_line_on() -> None:
    import httpx

    with (
        relay(SFM_ACCESS_LOG="true", SFM_REPLYS="3", SFM_LOG_FORMAT="json") as started,
        httpx.Client(base_url=started.base) as client,
    ):
        assert client.get("/health").status_code == 200
        assert client.get("/device/info", params={"host": "127.0.0.1"}).is_error
    output = started.output.splitlines() + started.log
    found = [json.loads(line) for line in output]
    events = [line["event"] for line in found]
    assert "Warning: SFM_REPLYS is no setting" in events[0]
    assert "The relay answers at" in events[1]
    requests = [line for line in found if line["event"] == "request"]
    assert [line["path"].partition("?")[0] for line in requests] == ["/health", "/device/info"]


@pytest.mark.parametrize(
    ("settings", "words", "expected"),
    [
        ({"SFM_DATABASE_URL": "sqlite:////proc/x/db"}, (), "SFM_DATABASE_URL: the database cannot"),
        ({"SFM_DATABASE_URL": "sqlite:////proc"}, (), "SFM_DATABASE_URL: the database cannot be"),
        ({"SFM_DATABASE_URL": "sqlite://file.sqlite"}, (), "names no file"),
        ({"SFM_DATABASE_URL": "mysql://x"}, (), "mysql is not a database"),
        ({"SFM_REQUIRE_TOKENS": "true"}, (), "needs tokens"),
        ({"SFM_INSECURE": "true", "SFM_REQUIRE_TOKENS": "true"}, (), "they contradict"),
        ({"SFM_TLS_KEY": "key.pem"}, (), "a key needs its certificate"),
        ({}, ("--tls-cert", "/nowhere.pem"), "/nowhere.pem"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_in_one_line(
    settings: dict[str, str],
    words: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**settings, "SFM_LOG_FORMAT": "text"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SFM_LOG_LEVEL", "error")
    monkeypatch.setattr("sys.argv", ["seismo-relay", "serve", "--http-port", "0", *words])
    with pytest.raises(SystemExit) as ended:
        sfm.cli.main()
    shown = [line for line in capsys.readouterr().err.splitlines() if "store_failed" not in line]
    assert ended.value.code == 2
    assert len(shown) == 1
    assert expected in shown[0]


def test_a_refused_start_is_a_line_of_the_json_log() -> None:
    ran = subprocess.run(
        [*RUN, "serve", "--http-port", "0"],
        env=environment(None, SFM_REQUIRE_TOKENS="true", SFM_LOG_FORMAT="json"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    *_, last = [json.loads(line) for line in ran.stderr.splitlines()]
    assert (ran.returncode, last["exit_status"], last["level"]) == (2, 2, "error")
    assert "needs tokens" in last["event"]
