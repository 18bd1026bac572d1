from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit
from sfm.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def python_blocks() -> list[tuple[str, str]]:
    return [(page.name, block) for page in PAGES for block in PYTHON.findall(page.read_text())]


@pytest.fixture(scope="module")
def unit() -> Iterator[str]:
    """The address of a simulated unit, for the examples that read one."""
    simulated = SimulatedUnit()
    for seed in range(3):
        simulated.record_event(seed=seed)
    served = UnitThread(simulated)
    yield served.url
    served.close()


@pytest.fixture(scope="module")
def folder(unit: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run: beside the CSV of an event."""
    made = tmp_path_factory.mktemp("examples")
    command = Path(sys.executable).with_name("seismo-relay")
    subprocess.run(
        [command, "export", f"{unit}:0", "--direct", "-o", made], check=True, capture_output=True
    )
    [csv] = made.glob("*.csv")
    csv.rename(made / "record.csv")
    return made


@pytest.mark.parametrize(("page", "block"), python_blocks())
def test_every_python_block_of_the_docs_runs(
    page: str, block: str, unit: str, folder: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        env={**os.environ, "UNIT": unit},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{page}: {ran.stderr}"


def test_there_is_a_python_block_in_the_readme() -> None:
    assert any(page == "README.md" for page, _ in python_blocks())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_docs_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = set(app)
    for block in COMMAND_BLOCK.findall(page.read_text()):
        for target in re.findall(r"\bmake ([a-z]+)", block):
            assert target in targets
        for command in re.findall(r"seismo-relay ([a-z]+) ", block):
            assert command in commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_docs_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_stays_a_readme() -> None:
    assert 60 <= len((ROOT / "README.md").read_text().splitlines()) <= 120
