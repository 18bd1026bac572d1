"""The Pythons that are claimed are those that `make pythons` runs the tests on."""

from __future__ import annotations

import stat
import sys
import tomllib
from pathlib import Path

import pytest
import pythons

ROOT = Path(__file__).parents[2]


def test_the_newest_of_each_minor_version_is_found_and_older_ones_are_not(tmp_path: Path) -> None:
    def interpreter(name: str, version: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    interpreter("a/python3.10", "3 10 13")
    interpreter("a/python3.12", "3 12 1")
    newest = interpreter("b/python3.12", "3 12 10")
    interpreter("b/python3.12-config", "3 12 11")
    broken = interpreter("b/python3.13", "3 13 0")
    broken.write_text("#!/bin/sh\nexit 1\n")
    found = pythons.interpreters([tmp_path / "a", tmp_path / "b", tmp_path / "missing"])
    assert found == {(3, 12): newest}


def test_a_python_is_claimed_only_if_it_is_one_of_those_found_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    claimed = {
        tuple(map(int, line.rpartition(" ")[2].split(".")))
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    }
    found = set(pythons.interpreters(pythons.places())) | {sys.version_info[:2]}
    if not claimed <= found:
        pytest.skip(f"not installed here: {sorted(claimed - found)}")
    assert min(claimed) == pythons.OLDEST
