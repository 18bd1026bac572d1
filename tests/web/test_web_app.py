from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WEBAPP = Path(__file__).parents[2] / "webapp"


@pytest.mark.skipif(
    not (WEBAPP / "node_modules").is_dir(), reason="no Node, so the web app was not built"
)
def test_the_parts_of_the_web_app_keep_their_own_tests() -> None:
    ran = subprocess.run(
        ["bash", "-c", "source ./node.sh; have_node && npx --no-install vitest run"],
        cwd=WEBAPP,
        env={**os.environ, "BIN": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
