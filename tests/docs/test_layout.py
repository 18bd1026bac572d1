from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the checker of the import layers over a tree."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_run_downwards_only() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("place", "line", "contract"),
    [
        ("minimateplus/errors.py", "import sfm.cache.identity", "The instrument knows nothing"),
        ("minimateplus/wire/framing.py", "import time", "The wire is pure"),
        ("sfm/analysis/figures.py", "import time", "Analysis is pure"),
        ("sfm/live_cache.py", "import numpy", "stand on the standard library alone"),
        ("sfm/cache/identity.py", "import sfm.devices.gateway", "The layers of the relay"),
    ],
)
def test_the_checker_catches_an_import_against_the_layers(
    place: str, line: str, contract: str, tmp_path: Path
) -> None:
    for name in ("minimateplus", "sfm"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / place
    planted.write_text(planted.read_text() + f"\n{line}\n")
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1
    broken = [row for row in checked.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), checked.stdout
