from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEBAPP, BUILT = ROOT / "webapp", ROOT / "sfm" / "web"


def need(path: Path, what: str) -> None:
    """Skip where that is missing; fail where everything must be there (``SFM_REQUIRE_PEERS``)."""
    if not path.exists():
        if os.environ.get("SFM_REQUIRE_PEERS") == "1":
            pytest.fail(f"SFM_REQUIRE_PEERS=1, but {what}")
        pytest.skip(what)


def test_the_web_app_was_built() -> None:
    need(BUILT / "index.html", "the web app is not built: make web says why")
    assert not (BUILT / "no-build.txt").exists(), "its last build failed: make web says how"


def test_the_parts_of_the_web_app_keep_their_own_tests() -> None:
    need(WEBAPP / "node_modules", "no Node, so the web app was not built")
    ran = subprocess.run(
        ["bash", "-c", "source ./node.sh; have_node && npx --no-install vitest run"],
        cwd=WEBAPP,
        env={**os.environ, "BIN": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
