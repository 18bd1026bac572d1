from __future__ import annotations

import ipaddress
import re
import shlex
from pathlib import Path

import pytest
from test_readme import COMMAND_BLOCK

from sfm import http_protocol
from sfm.access import sessions
from sfm.access.egress import NEVER, is_never
from sfm.access.principal import Role
from sfm.api.middleware import authentication, known_tokens, request_head
from sfm.api.middleware.connection_limit import max_connections
from sfm.api.schemas import bodies
from sfm.cli import app
from sfm.devices.session_limit import MAX_WAITING
from sfm.logs import CLIENT_LINE_S
from sfm.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text()
SETTINGS_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    text = PAGE.split(f"\n## {heading}\n")[1]
    rows = [line for line in re.split(r"\n## ", text)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_every_test_that_the_page_names_is_there() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = [re.findall(r"`(test_\w+)`", row[3]) for row in table("What is protected from whom")]
    assert named
    for (name,) in named:
        assert f"def {name}(" in sources, name


def test_every_setting_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"SFM_(\w+)", PAGE)) - {"TOKEN", "TOKEN_FILE"}
    assert len(named) > 10
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_block_of_settings_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [
        (name, "".join(shlex.split(value)))
        for block in SETTINGS_BLOCK.findall(PAGE)
        for name, value in re.findall(r"^ *(SFM_\w+)=(.*)$", block, re.MULTILINE)
    ]
    assert len(given) == 3
    plain = Settings()
    for name, value in given:
        monkeypatch.setenv(name, value)
    for name, _ in given:
        field = name.removeprefix("SFM_").lower()
        assert getattr(Settings(), field) != getattr(plain, field), name


def test_every_command_of_the_page_is_understood_to_its_last_word() -> None:
    lines = [
        line for block in COMMAND_BLOCK.findall(PAGE) for line in block.splitlines() if line.strip()
    ]
    assert len(lines) >= 8
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        assert program == "seismo-relay"
        app.parse_args(words, exit_on_error=False, print_error=False)


LIMITS = {
    "bytes of all headers": request_head.MAX_HEADER_BYTES,
    "bytes of a request's head": http_protocol.MAX_HEADER_BYTES,
    "bytes of chunk sizes": http_protocol.MAX_HEADER_BYTES,
    "requests of one connection": 1,
    "bytes of a query": request_head.MAX_QUERY_BYTES,
    "bytes of a body": bodies.MAX_BYTES,
    "seconds for a request": http_protocol.REQUEST_S,
    "wrong tokens from one address": known_tokens.MAX_FAILURES,
    "device requests of one token": Settings().max_requests_per_client,
    "forced reads of one token": Settings().max_forced_per_minute,
    "sessions with units": Settings().max_sessions,
    "beside these, with unknown addresses": Settings().max_unknown_sessions,
    "HTTP connections": None,
    "readers that wait": Settings().max_readers,
    "sessions": sessions.MAX_SESSIONS,
}


def test_every_limit_has_its_row_with_its_default() -> None:
    rows = table("Limits")
    assert len(rows) == len(LIMITS)
    for (start, figure), row in zip(LIMITS.items(), rows, strict=True):
        assert row[0].startswith(start)
        if figure is not None:
            assert row[1].split()[0] == f"{figure:g}"
        for name in re.findall(r"`SFM_(\w+)`", row[0]):
            assert Settings.model_fields[name.lower()].default == figure


def test_the_figures_in_the_text_are_those_of_the_code() -> None:
    assert f"opens nothing {known_tokens.TOKEN_KEPT_S:g} s later" in PAGE
    assert f"after {sessions.SESSION_S / 3600:g} h" in PAGE
    assert f"below {request_head.FORCED_AGE_S:g} s" in PAGE
    assert known_tokens.FAILURES_PER_S == 60


def test_every_role_has_its_row() -> None:
    rows = table("Who asks")
    assert [row[0].strip("`") for row in rows] == [role.value for role in Role]


def test_what_the_page_says_is_never_reached_is_not() -> None:
    named = [
        ipaddress.ip_network(one.strip("`"))
        for row in table("Addresses that are never reached")
        for one in row[0].split(", ")
    ]
    assert {str(one) for one in named} == {str(one) for one in NEVER}
    for one in named:
        assert is_never(one.network_address), one
        assert is_never(one.broadcast_address), one


def test_the_figures_of_connections_are_those_of_the_code() -> None:
    known = Settings()
    places = known.max_sessions + known.max_unknown_sessions
    assert f"1,024 open\nfiles there may be {max_connections(1024, places)} conn" in PAGE
    assert f"{MAX_WAITING} at most, for `SFM_QUEUE_S`" in PAGE
    assert CLIENT_LINE_S == 60


def test_the_headers_of_every_answer_are_named() -> None:
    text = PAGE.split("\n## What every answer carries\n")[1].split("No `Server`")[0]
    documented = {name.lower() for name in re.findall(r"`([A-Z][\w-]+)`", text)}
    assert documented == {
        name.decode() for name, _ in authentication.security_headers(is_secure=True)
    }
