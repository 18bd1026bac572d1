"""
Run the fast part of the tests on every Python that is installed here.

    make pythons          # or: python tests/pythons.py [make target]

Interpreters are looked for on the path and in the folders of pyenv and uv; of each minor version
the newest is taken. Exit status 1 if the tests fail on one of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).parents[1]


def places() -> Iterator[Path]:
    """Yield folders that may contain interpreters."""
    yield from map(Path, os.environ.get("PATH", "").split(os.pathsep))
    home = Path.home()
    for root in (home / ".pyenv/versions", home / ".local/share/uv/python", Path("/opt/python")):
        yield from sorted(root.glob("*/bin"))


def interpreters(folders: Iterable[Path]) -> dict[tuple[int, int], Path]:
    """Return the newest interpreter of each minor version that can make virtual environments."""
    found: dict[tuple[int, int], tuple[tuple[int, ...], Path]] = {}
    for folder in folders:
        for path in folder.glob("python3.*") if folder.is_dir() else ():
            if not re.fullmatch(r"python3\.\d+", path.name) or ROOT in path.parents:
                continue
            version = version_of(path)
            if version is not None and version[:2] >= OLDEST:
                minor = (version[0], version[1])
                found[minor] = max(found.get(minor, (version, path)), (version, path))
    return {minor: path for minor, (_, path) in sorted(found.items())}


def version_of(path: Path) -> tuple[int, ...] | None:
    """Return an interpreter's version; ``None``: it does not run, or lacks venv."""
    script = "import sys, venv, ensurepip; print(*sys.version_info[:3])"
    try:
        ran = subprocess.run(
            [path, "-c", script], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, ran.stdout.split()))


def main() -> int:
    """Run the tests on each; print a line for each at the end."""
    target = sys.argv[1] if len(sys.argv) > 1 else "fast"
    results = []
    for minor, path in interpreters(places()).items():
        sys.stdout.write(f"== Python {minor[0]}.{minor[1]}: {path}\n")
        sys.stdout.flush()
        began = time.monotonic()
        status = subprocess.run(
            ["make", "--no-print-directory", target, f"PYTHON={path}"], cwd=ROOT, check=False
        ).returncode
        results.append((minor, status, time.monotonic() - began))
    for minor, status, took_s in results:
        how = "FAILED" if status else "passed"
        sys.stdout.write(f"Python {minor[0]}.{minor[1]}: {how}, {took_s:.0f} s\n")
    return int(not results or any(status for _, status, _ in results))


if __name__ == "__main__":
    raise SystemExit(main())
