"""Nothing needs a POSIX system except the simulator's pseudo terminal, which says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minimateplus.link import parse_address
from sfm.access.names import parse_unit

ROOT = Path(__file__).parents[2]

IMPORTS = """
import builtins, importlib, json, sys, types
from pathlib import Path

# What others have written is imported as on this system: it knows both by itself.
OTHERS = (
    "numpy serialx sqlalchemy.dialects.sqlite fastapi uvicorn.server alembic.command structlog "
    "httpx cyclopts rich.progress pydantic_settings platformdirs asyncio multiprocessing.spawn "
    "concurrent.futures.process subprocess tempfile zoneinfo importlib.metadata"
)
for name in OTHERS.split():
    importlib.import_module(name)

POSIX = {"tty", "termios", "fcntl", "pty", "pwd", "grp", "resource", "posix", "syslog", "crypt"}
original = builtins.__import__

def without_posix(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if name in POSIX and importer.partition(".")[0] in ("sfm", "minimateplus"):
        raise ModuleNotFoundError(f"{importer} imports {name}", name=name)
    return original(name, globals, locals, fromlist, level)

builtins.__import__ = without_posix
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"

root, failed, count = Path(sys.argv[1]), {}, 0
for package in ("minimateplus", "sfm"):
    for path in sorted((root / package).rglob("*.py")):
        if "migrations" in path.parts:
            continue
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        count += 1
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = str(error)
print(json.dumps([count, failed]))
"""


def test_every_module_but_the_pseudo_terminal_is_imported_without_posix() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS, str(ROOT)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    count, failed = json.loads(ran.stdout)
    assert count > 200
    assert failed == {"minimateplus.simulator.pty": "minimateplus.simulator.pty imports tty"}


@pytest.mark.parametrize("text", ["COM3", "com3", "serial:COM3:38400", r"serial:\\.\COM12:9600"])
def test_a_windows_port_is_an_address_by_itself(text: str) -> None:
    address = parse_address(text)
    assert address.kind == "serial"
    assert parse_unit(text) == address
    assert parse_address(str(address)) == address


def test_a_windows_port_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from sfm.cli import app

    with pytest.raises(SystemExit) as ended:
        app(["info", "COM3", "--baud", "19200", "--direct"])
    shown = capsys.readouterr().err
    assert ended.value.code == 3
    assert "no such port. Is the adapter plugged in?" in shown
    assert "serial:COM3:19200" in shown
