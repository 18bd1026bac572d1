from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from traced_walks import Call, traced_walks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
STEP = re.compile(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`:", re.MULTILINE)
WALKS = {"byte to answer": "Walk 1", "probing GET": "Walk 2", "erase": "Walk 3"}


def steps_of(page: str, title: str) -> list[Call]:
    section = page.split(f"### {title}:")[1].split("\n### ")[0]
    return STEP.findall(section)


def first_step_not_called(steps: list[Call], calls: list[Call]) -> Call | None:
    """Return the first step that is not called after the one before it."""
    remaining = iter(calls)
    for step in steps:
        if step not in remaining:
            return step
    return None


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Call]]:
    return asyncio.run(traced_walks(tmp_path_factory.mktemp("walks")))


@pytest.mark.parametrize(("name", "title"), WALKS.items())
def test_each_walk_names_functions_in_the_order_of_their_calls(
    name: str, title: str, traced: dict[str, list[Call]]
) -> None:
    steps = steps_of(PAGE, title)
    numbered = re.findall(r"^\d+\. ", PAGE.split(f"### {title}:")[1].split("\n### ")[0], re.M)
    assert len(steps) == len(numbered) >= 20
    assert first_step_not_called(steps, traced[name]) is None


def test_a_walk_in_the_wrong_order_or_with_a_wrong_name_is_found(
    traced: dict[str, list[Call]],
) -> None:
    steps, calls = steps_of(PAGE, "Walk 2"), traced["probing GET"]
    place = steps.index(("sfm/devices/event_list.py", "EventList._confirm"))
    swapped = [*steps[: place - 2], steps[place], *steps[place - 2 : place], *steps[place + 1 :]]
    assert first_step_not_called(swapped, calls) == steps[place - 2]
    renamed = [*steps[:place], ("sfm/devices/event_list.py", "EventList._agree")]
    assert first_step_not_called(renamed, calls) == renamed[-1]


def check_picture(root: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "layers.py"),
        "--check",
        "--root",
        str(root),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_picture_of_the_layers_is_that_of_the_import_contract() -> None:
    checked = check_picture(ROOT)
    assert checked.returncode == 0, checked.stdout


def test_a_picture_of_another_contract_is_found(tmp_path: Path) -> None:
    for name in ("minimateplus", "sfm", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    swapped = contract.replace('    "devices",\n    "store",\n', '    "store",\n    "devices",\n')
    assert swapped != contract
    (tmp_path / "pyproject.toml").write_text(swapped, encoding="utf-8")
    assert check_picture(tmp_path).returncode == 1


def test_every_file_that_the_page_names_is_there() -> None:
    for name in re.findall(r"`((?:sfm|minimateplus|benchmarks)/[\w/]+\.py)`", PAGE):
        assert (ROOT / name).exists(), name


def test_the_page_describes_every_layer() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    for one in contracts:
        for package in set(one.get("containers", ())) & {"sfm", "minimateplus"}:
            for module in re.findall(r"\w+", " ".join(one["layers"])):
                described = rf"^\| .*`(?:{package}/)?{module}(?:\.py)?`.* \| .+ \|$"
                assert re.search(described, PAGE, re.MULTILINE), f"{package}.{module}"
