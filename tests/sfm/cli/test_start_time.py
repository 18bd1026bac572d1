"""The command line starts fast: counted in imported packages, not in seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kit.report_subjects import payload_of, subject_of

from sfm.exports.event import Style
from sfm.exports.tidy_csv import csv_bytes

HELP_PACKAGES = {
    *("attr", "attrs", "cyclopts", "docstring_parser", "markdown_it", "mdurl", "minimateplus"),
    *("pygments", "rich", "sfm", "typing_extensions"),
}
"""What the help of any command may import beside the standard library."""
HTTP_PACKAGES = {"anyio", "certifi", "click", "h11", "httpcore", "httpx", "idna", "sniffio"}
"""What a command through a relay needs as well."""

PACKAGES = """
def packages():
    known = set(sys.builtin_module_names) | set(sys.stdlib_module_names)
    names = {name.partition(".")[0] for name in sys.modules} - known
    return sorted(name for name in names if name.isidentifier() and not name.startswith("_"))
"""


def in_process_of_its_own(body: str, *words: str) -> Any:
    """Return what ``body`` prints as JSON in its last line, run in a new interpreter."""
    # Without the site module's path hooks of editable installs, which import packages themselves.
    script = f"import sys, json, io, contextlib\nBEFORE = set(sys.modules)\n{PACKAGES}\n{body}"
    ran = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_version_imports_the_package_that_answers_and_no_other() -> None:
    found = in_process_of_its_own("""
before = set(packages())
from sfm.cli import main
sys.argv = ["seismo-relay", "--version"]
main()
print(json.dumps(sorted(set(packages()) - before)))
""")
    assert found == ["sfm"]


def test_the_help_of_every_command_imports_no_package_that_works() -> None:
    found = in_process_of_its_own("""
before = set(packages())
import sfm.cli
app = sfm.cli.app

def tree(one, chain=()):
    yield chain
    for name in one:
        if not name.startswith("-"):
            yield from tree(one[name], (*chain, name))

lines = {}
for chain in tree(app):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        app([*chain, "--help"], result_action="return_value")
    lines[" ".join(chain)] = len(printed.getvalue().splitlines())
added = sorted(set(packages()) - before)
print(json.dumps([added, lines, "asyncio" in sys.modules]))
""")
    packages, lines, has_asyncio = found
    assert set(packages) <= HELP_PACKAGES
    assert not has_asyncio
    assert len(lines) > 45
    assert {"", "info", "unit route add", "simulate"} <= set(lines)
    assert min(lines.values()) > 4


def test_a_read_through_a_relay_imports_a_client_and_nothing_of_the_server() -> None:
    found = in_process_of_its_own("""
before = set(packages())
from sfm.cli import main
sys.argv = ["seismo-relay", "info", "10.0.0.5", "--relay", "http://127.0.0.1:1"]
with contextlib.redirect_stderr(io.StringIO()) as shown:
    try:
        main()
    except SystemExit as end:
        status = end.code
print(json.dumps([sorted(set(packages()) - before), status, shown.getvalue()]))
""")
    packages, status, shown = found
    assert (status, "no relay answers at http://127.0.0.1:1" in shown) == (6, True)
    assert set(packages) - HELP_PACKAGES == HTTP_PACKAGES & set(packages)
    assert "httpx" in packages


def test_each_command_is_on_the_app_when_its_own_module_is_imported() -> None:
    found = in_process_of_its_own("""
from sfm.cli import tree
app = tree.whole_app()
print(json.dumps({name: [one for one in tree.MODULES if name in tree.MODULES[one]]
                  for name in app if not name.startswith("-")}))
""")
    assert all(len(modules) == 1 for modules in found.values()), found
    assert len(found) > 25
    shown = in_process_of_its_own("""
from sfm.cli import tree
app = tree.app_for(["report", "171d8fe0"])
print(json.dumps([[name for name in app if not name.startswith("-")],
                  [one for one in tree.MODULES if f"sfm.cli.{one}" in sys.modules]]))
""")
    assert "report" in shown[0]
    assert set(shown[1]) == {"database", "report"}  # what it works with
    words = [[], ["--help"], ["raport"], ["completion", "bash"]]
    counts = in_process_of_its_own(
        """
from sfm.cli import tree
words = json.loads(sys.argv[1])
print(json.dumps([len([n for n in tree.app_for(one) if not n.startswith("-")]) for one in words]))
""",
        json.dumps(words),
    )
    assert counts == [len(found)] * len(words)


def test_a_report_of_the_archive_imports_nothing_that_reads_units() -> None:
    found = in_process_of_its_own("""
from sfm.cli import report, verify
from sfm.reports import gathering, printing, typesetting, verification
from sfm.records.limit_choices import region_curves
from sfm.records.roster import Seeds
from sfm.store import Store, archive, limits, roster
unwanted = ("sfm.devices", "sfm.api", "fastapi", "httpx", "alembic", "structlog")
print(json.dumps([name for name in sys.modules if name.startswith(unwanted)]))
""")
    assert found == []


def test_a_report_through_a_relay_imports_neither_database_nor_numbers() -> None:
    found = in_process_of_its_own("""
before = set(packages())
from sfm.cli import main
sys.argv = ["seismo-relay", "report", "171d8fe0", "--relay", "http://127.0.0.1:1"]
with contextlib.redirect_stderr(io.StringIO()) as shown:
    try:
        main()
    except SystemExit as end:
        status = end.code
print(json.dumps([sorted(set(packages()) - before), status]))
""")
    assert found[1] == 6
    assert "httpx" in found[0]
    assert set(found[0]) <= HELP_PACKAGES | HTTP_PACKAGES


@pytest.mark.parametrize("words", [["--alone"], ["--relay", "http://127.0.0.1:1"]])
def test_a_record_is_verified_without_database_and_settings(
    tmp_path: Path, words: list[str]
) -> None:
    data = csv_bytes(subject_of(payload_of()).event, Style())
    path = tmp_path / "record.csv"
    path.write_bytes(data)
    found = in_process_of_its_own(
        """
before = set(packages())
from sfm.cli import main
sys.argv = ["seismo-relay", "verify", *sys.argv[1:]]
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    try:
        main()
    except SystemExit as end:
        status = end.code
print(json.dumps([sorted(set(packages()) - before), status]))
""",
        str(path),
        *words,
    )
    packages, status = found
    assert status == (2 if words == ["--alone"] else 6)
    assert set(packages) <= HELP_PACKAGES | HTTP_PACKAGES | {"numpy"}
    assert "numpy" in packages


def test_a_command_searches_for_garbage_rarely_and_a_server_as_usual() -> None:
    found = in_process_of_its_own("""
import gc
from sfm.cli import main
usual, found = gc.get_threshold(), []
for words in (["serve", "--help"], ["demo", "--help"], ["report", "--help"]):
    sys.argv = ["seismo-relay", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()
    found.append(gc.get_threshold() == usual)
print(json.dumps([found, gc.get_threshold()[0], gc.get_freeze_count() > 0]))
""")
    assert found == [[True, True, False], 500_000, True]


INTERRUPTED = """
import os
import sfm.cli

class Interrupts:
    def __init__(self, number):
        self.left = number

    def find_spec(self, name, path=None, target=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

def ended(number):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        os.dup2(writes, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.meta_path.insert(0, Interrupts(number))
        sys.argv = ["seismo-relay", "info", "--help"]
        status = 0
        try:
            sfm.cli.main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            status = 99
        os._exit(status)
    os.close(writes)
    with os.fdopen(reads) as shown:
        words = shown.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), words

found, number = [], 1
while True:
    one = ended(number)
    if one[0] == 0:
        break
    found.append(one)
    number += STEP
print(json.dumps([found, number]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it forks")
def test_ctrl_c_at_any_import_is_one_line_and_status_130() -> None:
    found, number = in_process_of_its_own(INTERRUPTED.replace("STEP", "9"))
    assert number > 200  # it met the imports of the whole start
    assert {tuple(one) for one in found} == {(130, "Interrupted.\n")}
