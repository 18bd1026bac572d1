"""
Wrong settings, addresses, arguments and certificates: the one line that a person reads.

``docs/reference/wrong-inputs.md`` lists each with its line; a test runs each row and compares. This
writes the page anew: ``PYTHONPATH=tests python tests/sfm/cli/test_wrong_inputs.py``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sfm.cli import app  # every command, in the order that a mistyped one is answered in

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wrong-inputs.md"
HEAD = """<!-- Written by tests/sfm/cli/test_wrong_inputs.py; change the code instead. -->

# Wrong inputs and the line for each

What `seismo-relay` prints on standard error, one line for each, and its
[exit status](command-line-behaviour.md#exit-statuses). A test runs every row. `text.txt` contains
two words.

"""


class Case(NamedTuple):
    command: str
    """With settings before it, as a shell takes them."""
    file: str = ""
    """Text of ``seismo-relay.toml`` in the working folder."""


SETTINGS = [
    Case("SFM_HTTP_PORT=99999 serve"),
    Case("SFM_HTTP_PORT=http serve"),
    Case("SFM_REPLY_S=soon serve"),
    Case("SFM_CONNECT_S=0 serve"),
    Case("SFM_KEEP_OPEN_S=-1 serve"),
    Case("SFM_MAX_READERS=1.5 serve"),
    Case("SFM_CACHE_LIMIT_BYTES=256MB serve"),
    Case("SFM_INSECURE=perhaps serve"),
    Case("SFM_INSECURE=true SFM_REQUIRE_TOKENS=true serve"),
    Case("SFM_REQUIRE_TOKENS=true serve"),
    Case("SFM_HOST=0.0.0.0 serve"),
    Case("SFM_UNITS={ serve"),
    Case("""SFM_UNITS='["tcp://10.0.0.5"]' serve"""),
    Case("""SFM_UNITS='{"BE12345": "tcp://10.0.0.5"}' serve"""),
    Case("""SFM_UNITS='{"north": "over there"}' serve"""),
    Case("""SFM_UNITS='{"north": "replay:a.jsonl"}' serve"""),
    Case("""SFM_KEEP_OPEN_S_BY_ADDRESS='{"tcp://10.0.0.5": -1}' serve"""),
    Case("""SFM_KEEP_OPEN_S_BY_ADDRESS='{"nowhere": 60}' serve"""),
    Case("""SFM_EGRESS='["10.0.0.0/40"]' serve"""),
    Case("""SFM_TRUSTED_PROXIES='["*"]' serve"""),
    Case("""SFM_SITE_ZONES='{"*": "Mars/Olympus"}' serve"""),
    Case("SFM_REGION=XX serve"),
    Case("SFM_LOG_LEVEL=loud serve"),
    Case("SFM_DATABASE_URL=archive.sqlite serve"),
    Case("SFM_DATABASE_URL=mysql://localhost/seismo serve"),
    Case("SFM_DATABASE_URL=sqlite://archive.sqlite serve"),
    Case("SFM_DATABASE_URL=sqlite:////proc/archive.sqlite serve"),
    Case("SFM_CONFIG=missing.toml serve"),
    Case("serve", "http_port = 83000"),
    Case("serve", "http_port 8200"),
    Case("serve", '[units."north face"]\nhost = "tcp://10.0.0.5"'),
    Case("serve", "[units]\nnorth = 5"),
]
ADDRESSES = [
    Case("info serial: --direct"),
    Case("info tcp:// --direct"),
    Case("info tcp://10.0.0.5:99999 --direct"),
    Case("info '' --direct"),
    Case("info /nowhere --direct"),
    Case("info /dev/ttyUSB99 --direct"),
    Case("info COM3 --direct"),
    Case("info no-such-host.invalid --direct"),
    Case("info BE99999 --direct"),
    Case("info 'south face' --direct"),
    Case("info http://127.0.0.1:8200 --direct"),
    Case("info tcp://127.0.0.1:1 --direct"),
    Case("SFM_REPLY_S=0.01 info /dev/ptmx --direct"),
    Case("info replay:text.txt --direct"),
    Case("info 10.0.0.5 --baud 9600 --direct"),
    Case("info 10.0.0.5 --relay localhost:8200"),
    Case("info 10.0.0.5 --relay http://127.0.0.1:1"),
    Case("info 10.0.0.5 --relay http://127.0.0.1:1 --direct"),
]
ARGUMENTS = [
    Case("inof 10.0.0.5"),
    Case("info"),
    Case("info --unit"),
    Case("waveform 10.0.0.5"),
    Case("operation"),
    Case("export"),
    Case("info 10.0.0.5 --forse"),
    Case("waveform 10.0.0.5 first"),
    Case("waveform 10.0.0.5 -1"),
    Case("waveform 10.0.0.5 1.5"),
    Case("waveform 10.0.0.5 0x1"),
    Case("archive list --limit 2.5"),
    Case("archive list --min-pvs nan"),
    Case("unit change BE12345 --microphone-low-hz nan"),
    Case("unit change BE12345 --microphone-low-hz low"),
    Case("unit change BE12345"),
    Case("location add north --latitude inf"),
    Case("events 10.0.0.5 --units yards"),
    Case("archive show 12345678"),
    Case("configure 10.0.0.5 --direct"),
    Case("configure 10.0.0.5 --mode sometimes"),
    Case("serve --http-port 70000"),
    Case("simulate --serial TOOLONG123"),
    Case("simulate --hostile nice"),
    Case("replay text.txt"),
    Case("replay missing.jsonl"),
    Case("report 12345678 -o report.pdf"),
    Case("report 12345678 -o text.txt"),
    Case("db backup nowhere/backup.sqlite"),
    Case("archive list --since soon"),
    Case("audit verify --expect 5"),
    Case("unit import missing.csv --direct"),
    Case("SFM_TOKEN_FILE=missing.txt info 10.0.0.5 --relay http://127.0.0.1:1"),
    Case("SFM_TOKEN_FILE=text.txt unit list --relay http://127.0.0.1:1"),
    Case("--config"),
]
CERTIFICATES = [
    Case("serve --tls-cert missing.pem"),
    Case("serve --tls-cert text.txt"),
    Case("serve --tls-key text.txt"),
    Case("serve --tls-cert text.txt --tls-key missing.pem"),
]
GROUPS = {
    "Settings": SETTINGS,
    "Addresses": ADDRESSES,
    "Arguments and files": ARGUMENTS,
    "Certificates": CERTIFICATES,
}
EVERY = [case for cases in GROUPS.values() for case in cases]


@contextlib.contextmanager
def alone(file: str) -> Iterator[None]:
    """Run in a folder of its own, with no setting but those of the tests."""
    before, folder = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as own:
        try:
            os.chdir(own)
            for name in before:
                if name.startswith("SFM_") or name == "COLUMNS":
                    del os.environ[name]
            os.environ |= {
                "SFM_DATABASE_URL": "none",
                "SFM_HTTP_PORT": "1",
                "SFM_LOG_FORMAT": "text",
            }
            os.environ |= {"SFM_LOG_LEVEL": "error"}
            Path("text.txt").write_text("word word")
            if file:
                Path("seismo-relay.toml").write_text(file)
                del os.environ["SFM_HTTP_PORT"]
            else:
                os.environ["SFM_CONFIG"] = "none"
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)


def shown(case: Case) -> tuple[int, list[str]]:
    """Return the exit status of a command and what it printed on standard error."""
    import sfm.cli
    from sfm.logs import reset_logs

    words = shlex.split(case.command)
    settings = [word for word in words if re.match("SFM_[A-Z_]+=", word)]
    with alone(case.file), pytest.MonkeyPatch.context() as patch:
        for name, _, value in (word.partition("=") for word in settings):
            os.environ[name] = value
        patch.setattr("sys.argv", ["seismo-relay", *words[len(settings) :]])
        status, err = 0, io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            try:
                sfm.cli.main()
            except SystemExit as end:
                status = int(end.code or 0)
        reset_logs()
        here = f"{Path.cwd()}{os.sep}"
    lines = [line.replace(here, "") for line in err.getvalue().splitlines()]
    # What the log says of the database besides is for the log.
    return status, [line for line in lines if "store_failed" not in line]


def page() -> str:
    """Return the page as the program is now."""
    parts = [HEAD]
    for title, cases in GROUPS.items():
        parts.append(f"## {title}\n\n| given | status | line |\n|---|---|---|\n")
        for case in cases:
            status, lines = shown(case)
            given = f"`{case.command}`"
            if case.file:
                given = "`" + case.file.replace("\n", "`, `") + "` in `seismo-relay.toml`"
            line = "; ".join(lines).replace("|", "\\|").replace("<", "&lt;")
            parts.append(f"| {given} | {status} | {line} |\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def rows() -> dict[str, tuple[int, str]]:
    found = re.findall(r"^\| (.+?) \| (\d+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {given: (int(status), line) for given, status, line in found}


def test_the_page_has_every_case() -> None:
    assert len(rows()) == len(EVERY) >= 40
    assert app["info"] is not None


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.command + " " + case.file[:20])
def test_a_wrong_input_is_one_line_and_the_page_has_it(case: Case) -> None:
    status, lines = shown(case)
    assert len(lines) == 1, lines
    assert status in (2, 3, 4, 6)
    [line] = lines
    given = f"`{case.command}`"
    if case.file:
        given = "`" + case.file.replace("\n", "`, `") + "` in `seismo-relay.toml`"
    assert rows()[given] == (status, line.replace("|", "\\|").replace("<", "&lt;"))
    assert "Traceback" not in line
    is_setting = case in SETTINGS and "needs tokens" not in line and "driver" not in line
    assert not is_setting or "for example: " in line or "write sqlite:" in line


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {len(EVERY)} rows\n")
