from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from peers import lack

ROOT = Path(__file__).parents[2]
WEBAPP, BUILT = ROOT / "webapp", ROOT / "sfm" / "web"


def test_the_web_app_was_built() -> None:
    if not (BUILT / "index.html").exists():
        lack("the web app is not built (make web says why)")
    assert not (BUILT / "no-build.txt").exists(), "its last build failed: make web says how"


def test_the_parts_of_the_web_app_keep_their_own_tests() -> None:
    if not (WEBAPP / "node_modules").exists():
        lack("there is no Node (make web says why)")
    ran = subprocess.run(
        ["bash", "-c", "source ./node.sh; have_node && npx --no-install vitest run"],
        cwd=WEBAPP,
        env={**os.environ, "BIN": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
