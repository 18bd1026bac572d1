"""Who may, and who did, on the command line: in the database, and through a relay that has it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cyclopts.exceptions import CoercionError, CycloptsError
from kit.command_line import directly

from sfm.cli import app
from sfm.store import Store, tokens
from sfm.store.engine import SQLITE

RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kept" / "seismo.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    for name in ("SFM_TOKEN", "SFM_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], database: Path) -> RunCli:
    """Run a command; return its exit status and what it printed on standard output and error."""

    def run(*words: str) -> tuple[int, str, str]:
        status = 0
        try:
            app(directly(words), exit_on_error=False, print_error=True)
        except SystemExit as stop:
            status = int(stop.code or 0)
        output = capsys.readouterr()
        return status, output.out, " ".join(output.err.split())

    return run


def look(path: Path) -> Store:
    return Store.open(f"sqlite:///{path}", read_only=True)


def tamper(path: Path, statement: str) -> None:
    with closing(SQLITE.connect(str(path))) as connection:
        for name in ("changed", "removed", "replaced"):
            connection.execute(f"DROP TRIGGER IF EXISTS audit_not_{name}")
        connection.execute(statement)
        connection.commit()


def test_the_secret_alone_is_on_standard_output_and_opens_the_token(
    database: Path, run_cli: RunCli
) -> None:
    status, output, aside = run_cli("token", "create", "lab", "--role", "operator")
    assert status == 0
    assert output.count("\n") == 1
    assert "Token 1 (lab, operator, every unit)" in aside
    with look(database) as store:
        [made] = store.read(tokens.load_all)
    assert made.is_of(output.strip())
    assert output.strip() not in aside
    secret = json.loads(run_cli("token", "create", "two", "--role", "viewer", "--json")[1])[
        "secret"
    ]
    with look(database) as store:
        assert store.read(tokens.load_all)[1].is_of(secret)


def test_a_unit_is_an_address_or_a_serial_number(run_cli: RunCli) -> None:
    body_json = ("tcp://10.0.0.5", "Modem.example:9000", "/dev/ttyUSB0", "COM3", "BE18189")
    words = [word for one in body_json for word in ("--unit", one)]
    made = json.loads(run_cli("token", "create", "lab", "--role", "viewer", *words, "--json")[1])
    assert made["units"] == [
        "route:tcp:10.0.0.5:12345",
        "route:tcp:modem.example:9000",
        "route:serial:/dev/ttyUSB0:38400",
        "route:serial:COM3:38400",
        "BE18189",
    ]
    assert "tcp:10.0.0.5:12345" in run_cli("token", "list")[1]
    for rubbish in ("10.0.0.5:99999", "replay:file", "a b"):
        status, _, aside = run_cli("token", "create", "x", "--role", "viewer", "--unit", rubbish)
        assert (status, rubbish in aside) == (2, True)
    with pytest.raises(CoercionError, match="boss"):
        run_cli("token", "create", "x", "--role", "boss")
    assert run_cli("token", "create", "", "--role", "viewer")[0] == 2


def test_tokens_are_listed_without_anything_secret(database: Path, run_cli: RunCli) -> None:
    secret = run_cli("token", "create", "lab", "--role", "viewer")[1].strip()
    run_cli("token", "create", "root", "--role", "admin")
    run_cli("token", "revoke", "lab")
    [lab, root] = json.loads(run_cli("token", "list", "--json")[1])["tokens"]
    assert (lab["name"], lab["role"], lab["revoked_at"] is None) == ("lab", "viewer", False)
    assert (root["name"], root["revoked_at"]) == ("root", None)
    assert set(lab) == {"id", "name", "role", "units", "created_at", "revoked_at"}
    shown = run_cli("token", "list")[1]
    assert "every unit" in shown
    chance = secret.split("_", 2)[2]  # which may hold underscores of its own
    for kept in (shown, json.dumps([lab, root]), run_cli("audit", "list", "--json")[1]):
        assert chance not in kept


def test_a_token_is_revoked_once_and_a_name_taken_is_refused(run_cli: RunCli) -> None:
    run_cli("token", "create", "lab", "--role", "viewer")
    status, output, aside = run_cli("token", "create", "lab", "--role", "admin")
    assert (status, output) == (4, "")
    assert "'lab' is there already" in aside
    status, _, aside = run_cli("token", "revoke", "1")
    assert (status, "Token 1 (lab, viewer) is revoked." in aside) == (0, True)
    assert run_cli("token", "revoke", "lab")[0] == 4
    run_cli("token", "create", "lab", "--role", "viewer")
    assert json.loads(run_cli("token", "revoke", "lab", "--json")[1])["id"] == 2


def test_making_and_revoking_stand_in_the_audit_log(run_cli: RunCli) -> None:
    run_cli("token", "create", "lab", "--role", "viewer", "--unit", "BE1")
    run_cli("token", "create", "lab", "--role", "viewer")  # refused
    run_cli("token", "revoke", "lab")
    entries = json.loads(run_cli("audit", "list", "--json")[1])["entries"]
    assert [(e["number"], e["command"], e["actor"], e["origin"]) for e in entries] == [
        (2, "token_revoke", "command line", "command line"),
        (1, "token_create", "command line", "command line"),
    ]
    assert entries[1]["detail"] == {"id": 1, "name": "lab", "role": "viewer", "units": ["BE1"]}
    assert len(json.loads(run_cli("audit", "list", "--limit", "1", "--json")[1])["entries"]) == 1
    assert (
        json.loads(run_cli("audit", "list", "--before", "2", "--json")[1])["entries"] == entries[1:]
    )
    assert "token_revoke" in " ".join(run_cli("audit", "list")[1].split())


def test_a_sound_log_is_called_so_and_its_head_may_be_noted(
    database: Path, run_cli: RunCli
) -> None:
    for name in ("one", "two", "three"):
        run_cli("token", "create", name, "--role", "viewer")
    status, output, _ = run_cli("audit", "verify")
    assert (status, output.startswith("3 entries")) == (0, True)
    noted = output.split()[-1]
    assert noted.startswith("3:")
    assert run_cli("audit", "verify", "--expect", noted)[0] == 0
    tamper(database, "DELETE FROM audit WHERE number = 3")
    assert run_cli("audit", "verify")[0] == 0
    status, output, _ = run_cli("audit", "verify", "--expect", noted)
    assert (status, "cut off" in output) == (1, True)
    for rubbish in ("3", "x:" + "0" * 64, "3:zz", "-1:" + "0" * 64, "3:" + "é" * 64):
        status, _, aside = run_cli("audit", "verify", "--expect", rubbish)
        assert (status, "NUMBER:HASH" in aside) == (2, True)


def test_a_broken_log_fails_and_names_the_entry(database: Path, run_cli: RunCli) -> None:
    for name in ("one", "two", "three"):
        run_cli("token", "create", name, "--role", "viewer")
    tamper(database, "UPDATE audit SET actor = 'nobody' WHERE number = 2")
    status, output, _ = run_cli("audit", "verify")
    assert (status, "BROKEN at entry 2" in output) == (1, True)
    status, output, _ = run_cli("audit", "verify", "--json")
    assert status == 1
    assert (json.loads(output)["broken"], json.loads(output)["count"]) == (2, 1)


def test_beside_a_relay_reads_are_allowed_and_changes_refused_with_advice(
    database: Path, run_cli: RunCli
) -> None:
    run_cli("token", "create", "root", "--role", "admin")
    with Store.open(f"sqlite:///{database}"):
        assert run_cli("token", "list")[0] == 0
        assert run_cli("audit", "list")[0] == 0
        assert run_cli("audit", "verify")[0] == 0
        for words in (("create", "x", "--role", "viewer"), ("revoke", "root")):
            status, output, aside = run_cli("token", *words)
            assert (status, output) == (4, "")
            assert "in use by another seismo-relay program" in aside
            assert "--relay URL" in aside
            assert "SFM_TOKEN" in aside


# --- through a relay -----------------------------------------------------------------------------


class Relay:
    """As much of a relay as answers these commands; every request is written down."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str | None, Any]] = []
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body_json = json.loads(body) if body else None
                path = self.path.partition("?")[0]
                relay.heard.append(
                    (self.command, self.path, self.headers.get("Authorization"), body_json)
                )
                status, output = relay.answers.get((self.command, path), (404, {"title": "None"}))
                sent = output if isinstance(output, bytes) else json.dumps(output).encode()
                sent = b"" if status == 204 else sent
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{relay.url}/elsewhere")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join(10)
    made.server.server_close()


FORM = {"id": 7, "name": "lab", "role": "viewer", "units": [], "created_at": "2026-05-01T12:00:00"}


def test_a_relay_makes_the_token_for_an_admin(
    relay: Relay, run_cli: RunCli, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.answers["POST", "/tokens"] = (201, {**FORM, "secret": "sfm_7_x"})
    create = ("token", "create", "lab", "--role", "viewer", "--relay", f"{relay.url}/")
    file = tmp_path / "token"
    file.write_text("sfm_1_root\n")
    status, output, aside = run_cli(*create, "--unit", "10.0.0.5:1", "--token-file", str(file))
    assert (status, output) == (0, "sfm_7_x\n")
    assert "Token 7" in aside
    body = {"name": "lab", "role": "viewer", "units": ["tcp:10.0.0.5:1"]}
    assert relay.heard == [("POST", "/tokens", "Bearer sfm_1_root", body)]
    monkeypatch.setenv("SFM_TOKEN", "sfm_1_env")
    run_cli(*create)
    assert relay.heard[-1][2] == "Bearer sfm_1_env"
    monkeypatch.delenv("SFM_TOKEN")
    monkeypatch.setenv("SFM_TOKEN_FILE", str(file))
    run_cli(*create)
    assert relay.heard[-1][2] == "Bearer sfm_1_root"
    monkeypatch.delenv("SFM_TOKEN_FILE")
    run_cli(*create)
    assert relay.heard[-1][2] is None
    assert not database.exists()


def test_no_option_takes_a_token_where_the_process_list_shows_it(
    relay: Relay, run_cli: RunCli
) -> None:
    relay.answers["GET", "/tokens"] = (200, {"tokens": []})
    for word in ("--token", "--admin"):
        with contextlib.suppress(CycloptsError):  # the command line is wrong
            run_cli("token", "list", "--relay", relay.url, word, "sfm_1_root")
    assert relay.heard == []


@pytest.mark.parametrize("content", [None, "", "two words", "sfm_1_\u00fc"], ids=ascii)
def test_a_file_without_one_token_is_named(
    content: str | None, relay: Relay, run_cli: RunCli, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, "utf-8")
    status, _, aside = run_cli("token", "list", "--relay", relay.url, "--token-file", str(file))
    assert (status, str(file) in aside) == (2, True)
    assert relay.heard == []


def test_a_relay_lists_and_revokes_and_shows_its_log(
    relay: Relay, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked = {**FORM, "id": 3, "revoked_at": datetime(2026, 5, 1, tzinfo=UTC).isoformat()}
    other = {**FORM, "id": 8, "name": "3", "revoked_at": None}
    relay.answers["GET", "/tokens"] = (200, {"tokens": [revoked, FORM, other]})
    relay.answers["DELETE", "/tokens/7"] = (204, None)
    relay.answers["DELETE", "/tokens/8"] = (200, {**other, "revoked_at": "now"})
    through = ("--relay", relay.url)
    monkeypatch.setenv("SFM_TOKEN", "sfm_1_root")
    assert "lab" in run_cli("token", "list", *through)[1]
    assert run_cli("token", "revoke", "lab", *through)[0] == 0
    assert relay.heard[-1][:2] == ("DELETE", "/tokens/7")
    output = json.loads(run_cli("token", "revoke", "3", "--json", *through)[1])
    assert (output["id"], output["revoked_at"]) == (8, "now")
    status, _, aside = run_cli("token", "revoke", "33", *through)
    assert (status, "no token '33'" in aside) == (4, True)
    entry = {"number": 9, "at": "2026-05-01T12:00:00", "actor": "lab", "role": "admin",
             "origin": "10.0.0.9", "command": "erase", "outcome": "done", "of": 8,
             "unit": None, "serial": "BE1", "detail": {"events": 3}}  # fmt: skip
    relay.answers["GET", "/audit"] = (200, {"entries": [entry]})
    shown = " ".join(
        run_cli("audit", "list", "--limit", "5", "--before", "10", *through)[1].split()
    )
    assert "events: 3" in shown
    assert relay.heard[-1][1] == "/audit?limit=5&before=10"
    assert {heard[2] for heard in relay.heard} == {"Bearer sfm_1_root"}


def test_a_refusal_of_the_relay_is_shown(relay: Relay, run_cli: RunCli) -> None:
    through = ("--relay", relay.url)
    relay.answers["GET", "/tokens"] = (
        403, {"title": "Not allowed", "status": 403, "detail": "admins only"}
    )  # fmt: skip
    status, output, aside = run_cli("token", "list", *through)
    assert (status, output) == (4, "")
    assert "Not allowed (403): admins only" in aside
    others: list[tuple[int, Any]] = [(200, b"<html>"), (200, b"\xff"), (200, []), (302, {})]
    for answer in others:
        relay.answers["GET", "/tokens"] = answer
        status, _, aside = run_cli("token", "list", *through)
        assert (status, "not as a relay does" in aside) == (6, True)
    assert all(heard[1] == "/tokens" for heard in relay.heard)  # no redirection was followed
    status, _, aside = run_cli("token", "list", "--relay", "http://127.0.0.1:1")
    assert (status, "no relay answers" in aside) == (6, True)
    for url in ("rubbish", "http://[", "ftp://x"):
        status, _, aside = run_cli("token", "list", "--relay", url)
        assert (status, "expected http://HOST:PORT" in aside) == (2, True), url
