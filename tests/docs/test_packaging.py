"""What others install: wheel, source distribution, locked versions, the version itself."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOT_COPIED = (".git", ".venv", "node_modules", "web", "dist", ".*_cache", ".hypothesis", "build")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the sources, without anything that was built."""
    copy = tmp_path / "clone"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (copy / ".git").mkdir()  # what .gitignore names is left out as in a clone
    return copy


def build(clone: Path, *what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build packages of a clone into its ``dist``."""
    return subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", *what],
        cwd=clone,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def without_npm(folder: Path) -> str:
    """Return a PATH that has a Python and no Node."""
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    return str(folder)


def files_in_wheel(clone: Path) -> set[str]:
    (wheel,) = (clone / "dist").glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_both_packages_have_the_web_app(clone: Path) -> None:
    web = clone / "sfm/web/assets"
    web.mkdir(parents=True)
    (web / "app.js").write_text("// built")
    (web.parent / "index.html").write_text("<!doctype html>")
    built = build(clone)
    assert built.returncode == 0, built.stdout + built.stderr
    assert {"sfm/web/index.html", "sfm/web/assets/app.js"} <= files_in_wheel(clone)
    (source,) = (clone / "dist").glob("*.tar.gz")
    with tarfile.open(source) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {"sfm/web/index.html", "Makefile", "hatch_build.py", "requirements.lock"}
    assert wanted <= names
    assert {"webapp/package-lock.json", "tests/conftest.py", "docs/reference/http.md"} <= names
    assert not [name for name in names if "node_modules" in name]


def test_tests_of_a_source_distribution_fetch_the_web_apps_packages(clone: Path) -> None:
    """It has the app built, so nothing else has asked for what browser tests need."""
    (clone / "sfm/web").mkdir(parents=True)
    (clone / "sfm/web/index.html").write_text("<!doctype html>")  # newer than its sources
    (clone / ".venv").mkdir()
    for made in (".run", ".dev", "bin"):
        (clone / ".venv" / made).touch()
    assert "webapp/packages.sh" in planned(clone, "test")
    assert "webapp/packages.sh" not in planned(clone, "run")
    packages = clone / "webapp/node_modules/.package-lock.json"
    packages.parent.mkdir()
    packages.touch()
    assert "webapp/packages.sh" not in planned(clone, "test")


def test_packages_that_could_not_be_had_are_not_asked_for_twice(clone: Path) -> None:
    (clone / "sfm/web").mkdir(parents=True)
    (clone / "sfm/web/no-build.txt").write_text("no registry")
    asked = subprocess.run(
        ["webapp/packages.sh", Path(sys.executable).parent],
        cwd=clone,
        env={**os.environ, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stdout, asked.stderr) == (1, "", "")
    assert not (clone / "webapp/node_modules").exists()


def planned(clone: Path, target: str) -> str:
    """Return the commands that make would run for a target."""
    return subprocess.run(
        ["make", "--dry-run", target], cwd=clone, capture_output=True, text=True, check=True
    ).stdout


def test_a_build_without_node_fails_and_says_what_to_do(clone: Path, tmp_path: Path) -> None:
    built = build(clone, "--wheel", PATH=without_npm(tmp_path / "bin"))
    assert built.returncode != 0
    assert "Node 20.19, 22.12 or newer is needed" in built.stdout + built.stderr
    assert "SEISMO_RELAY_BUILD_WITHOUT_WEB=1" in built.stdout + built.stderr
    assert not (clone / "dist").exists() or not list((clone / "dist").iterdir())


def test_the_switch_builds_without_the_web_app(clone: Path, tmp_path: Path) -> None:
    no_npm = without_npm(tmp_path / "bin")
    built = build(clone, "--wheel", PATH=no_npm, SEISMO_RELAY_BUILD_WITHOUT_WEB="1")
    assert built.returncode == 0, built.stdout + built.stderr
    in_web = {name for name in files_in_wheel(clone) if name.startswith("sfm/web/")}
    assert in_web == {"sfm/web/no-build.txt"}


def test_the_newest_heading_of_the_change_log_is_this_version() -> None:
    headings = re.findall(
        r"^## (?!Unreleased)(\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert headings[0].strip("[]") == PROJECT["version"]


def pinned(file: str) -> dict[str, str]:
    """Return the versions that a file pins, by name as PyPI compares names."""
    text = (ROOT / file).read_text("utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_has_every_dependency_in_the_tested_version_with_hashes() -> None:
    locked, tested = pinned("requirements.lock"), pinned("constraints.txt")
    # Large, and not needed to start: docs/decisions/0025-parquet-by-pyarrow.md.
    unlocked = PROJECT["optional-dependencies"] | {"parquet": []}
    extras = unlocked.values()
    needed = [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]
    names = {re.split(r"[\[<>=]", one)[0].replace(".", "-") for one in needed}
    assert names <= set(locked)
    assert {name: locked[name] for name in locked if name in tested} == {
        name: tested[name] for name in locked if name in tested
    }
    assert without_hashes("requirements.lock") == []


def without_hashes(file: str) -> list[str]:
    blocks = re.split(r"^(?=\S+==)", (ROOT / file).read_text("utf-8"), flags=re.M)
    return [block.split()[0] for block in blocks[1:] if "--hash=sha256:" not in block]


def test_parquet_is_locked_by_itself() -> None:
    [(name, version)] = pinned("requirements-parquet.lock").items()
    assert [name] == [
        re.split("[<>=]", one)[0] for one in PROJECT["optional-dependencies"]["parquet"]
    ]
    assert version == pinned("constraints.txt")[name]
    assert name not in pinned("requirements.lock")
    assert without_hashes("requirements-parquet.lock") == []


def test_the_bill_of_materials_says_which_package_needs_which() -> None:
    script = runpy.run_path(str(ROOT / "bill_of_materials.py"))
    complete, program = script["complete"], script["PROGRAM"]
    needs = script["needs_of"]((ROOT / "requirements.lock").read_text("utf-8"))
    names = (re.split(r"[^A-Za-z0-9._-]", each)[0] for each in PROJECT["dependencies"])
    assert {name.replace(".", "-") for name in names} <= needs[program]
    assert {"starlette", "pydantic"} <= needs["fastapi"]
    bill: dict[str, Any] = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [
            {"name": name, "bom-ref": f"ref-{name}"} for name in needs if name != program
        ],
        "dependencies": [],
    }
    complete(bill, needs)
    graph = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    reached, waiting = set(), ["root"]
    while waiting:
        if (ref := waiting.pop()) not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert reached == set(graph)
    del bill["components"][0]
    with pytest.raises(KeyError):
        complete(bill, needs)
