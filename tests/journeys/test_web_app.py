from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from kit.browser import MAX_TRANSFER_BYTES
from kit.peers import lack

from sfm.api.routes.web import WebFile, WebFiles

ROOT = Path(__file__).parents[2]
WEBAPP, BUILT = ROOT / "webapp", ROOT / "sfm" / "web"


def test_the_web_app_was_built() -> None:
    if not (BUILT / "index.html").exists():
        lack("the web app is not built (make web says why)")
    assert not (BUILT / "no-build.txt").exists(), "its last build failed: make web says how"


def test_the_first_load_is_compressed_for_a_modem_as_any_browser_accepts_it() -> None:
    if not (BUILT / "index.html").exists():
        lack("the web app is not built (make web says why)")
    files = WebFiles(BUILT)
    page = files.page()
    assert page is not None
    names = re.findall(rb'(?:src|href)="/assets/([^"]+)"', page.body)
    loaded = [page, *(files.asset(name.decode()) for name in names)]
    assert len(loaded) >= 4, "the page, its script, its style, its icon"
    sizes = {coding: sum(weight(file, coding) for file in loaded) for coding in ("gzip", "br")}
    assert sizes["br"] < sizes["gzip"] < MAX_TRANSFER_BYTES


def weight(file: WebFile | None, coding: str) -> int:
    """Return how many bytes are sent of a file to who takes that coding."""
    assert file is not None
    return len(file.packed.get(coding, file.body))


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
