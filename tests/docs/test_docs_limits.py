"""The page of limits has every curve with its mark, every rule without values, and every reason."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from sfm.analysis.limits import load_shipped, parse_own

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "limits.md").read_text("utf-8")
CODE = re.compile(r"""(?:Reason|NoLimit)\(\s*"([a-z-]+)\"""")


def rows() -> dict[str, list[str]]:
    """Each row that begins with a name in code, its cells by that name."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= 2:
            found[cells[0].strip("`")] = cells
    return found


def test_every_curve_is_there_with_its_title_and_mark() -> None:
    there = rows()
    for curve in load_shipped().curves.values():
        cells = there[curve.id]
        assert cells[1] == curve.title
        assert cells[3] == curve.mark
    for entry in load_shipped().withheld.values():
        assert there[entry.id][1:] == [entry.title, entry.mark, entry.why]
    for name, curves in load_shipped().regions.items():
        assert there[name][1] == ", ".join(f"`{one}`" for one in curves)


def test_every_source_is_explained() -> None:
    for curve in load_shipped().curves.values():
        for source in curve.sources:
            assert f"| {source} |" in PAGE


def test_every_reason_is_explained() -> None:
    modules = [*(ROOT / "sfm" / "analysis").rglob("*.py"), *(ROOT / "sfm" / "records").glob("*.py")]
    used = {code for path in modules for code in CODE.findall(path.read_text("utf-8"))}
    assert {"over-range", "no-curve-chosen", "outside-range"} <= used
    explained = set(re.findall(r"`([a-z-]+)`", PAGE))
    assert used - explained - {"not-a-frequency-curve"} == set()


def test_the_example_of_an_own_curve_is_one() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_own(yaml.safe_load(example)).author == "A. Engineer"
