"""Programs of others that look at a PDF: poppler-utils and qpdf."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from kit.peers import lack

__all__ = ["attached_to", "run_tool", "text_of"]

TIMEOUT_S = 60.0


def run_tool(name: str, *words: str | Path) -> str:
    """Return what a program prints; skip the test where it is missing, fail where it fails."""
    if shutil.which(name) is None:
        package = "qpdf" if name == "qpdf" else "poppler-utils"
        lack(f"{name} is not installed (Debian package {package})")
    done = subprocess.run(
        [name, *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    return done.stdout


def text_of(pdf: Path) -> str:
    """Return the text of a PDF's page in reading order, a row of a table on a line."""
    return run_tool("pdftotext", "-raw", pdf, "-")


def attached_to(pdf: Path, folder: Path) -> dict[str, bytes]:
    """Return the files that are attached to a PDF, as ``pdfdetach`` extracts them."""
    run_tool("pdfdetach", "-saveall", "-o", folder, pdf)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
