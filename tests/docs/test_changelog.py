from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SECTIONS = ["Added", "Changed", "Fixed", "Removed", "Security"]
RENAMED = re.compile(r"^\| ([a-z ]+) \| (`.+) \| (`.+) \|$", re.MULTILINE)


def product() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sfm").rglob("*.py"))


def spelt_in_code(name: str) -> str:
    """Return the part of a public name that the source spells out."""
    name = name.split("=")[0].removeprefix("SFM_").removeprefix("seismo_relay_")
    name = name.removeprefix("GET /archive").removeprefix("stop --no-").removeprefix("...")
    name = name.removesuffix("_total").lstrip("_")
    return name.lower() if name.isupper() else name


def test_the_sections_are_those_of_keep_a_changelog() -> None:
    assert re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE) == SECTIONS


def test_every_new_name_of_the_table_is_in_the_product() -> None:
    rows, source = RENAMED.findall(CHANGELOG), product()
    assert len(rows) >= 30
    for what, _, new in rows:
        for name in re.findall(r"`([^`]+)`", new):
            spelt = spelt_in_code(name).replace("-", "_" if what == "command line" else "-")
            assert spelt in source, f"{what}: {name}"


def test_no_old_problem_or_setting_of_the_table_is_left() -> None:
    rows, source = RENAMED.findall(CHANGELOG), product()
    for what, old, _ in rows:
        for name in re.findall(r"`([^`]+)`", old):
            if what == "problem":
                assert f'Problem("{name}"' not in source, name
            if what == "setting":
                assert not re.search(rf"^    {spelt_in_code(name)}: ", source, re.M), name


def test_the_version_is_that_of_the_newest_heading() -> None:
    """``pyproject.toml`` has the version; everything else shows it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    newest = re.search(r"^## (\S+) \((\S+)\)$", CHANGELOG, re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    assert re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", newest[2])
    assert importlib.metadata.version("seismo-relay") == version
    wheels = {
        found
        for page in (ROOT / "docs").rglob("*.md")
        for found in re.findall(r"seismo_relay-([0-9.]+)-py3", page.read_text("utf-8"))
    }
    assert wheels == {version}
    spelt = [
        path for path in (ROOT / "sfm").rglob("*.py") if f'"{version}"' in path.read_text("utf-8")
    ]
    assert spelt == []
