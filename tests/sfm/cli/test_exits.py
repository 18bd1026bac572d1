"""Exit statuses: one for each kind of problem, as the docs list them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sfm.cli.exits import KIND_OF_STATUS, STATUS_OF_KIND, TYPE_PREFIX, UNKNOWN, status_of

ROOT = Path(__file__).parents[3]
API = (ROOT / "docs/reference/http.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/reference/command-line-behaviour.md").read_text(encoding="utf-8")


def test_every_kind_of_problem_has_an_exit_status() -> None:
    errors = API.partition("## Errors")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| [0-9]", errors, re.MULTILINE)
    kinds = {kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)}
    source = "".join(p.read_text("utf-8") for p in (ROOT / "sfm").rglob("*.py"))
    kinds |= set(re.findall(r'Problem\(\s*"([a-z-]+)"', source))
    assert len(kinds) > 50
    assert kinds - set(STATUS_OF_KIND) == set()
    assert set(STATUS_OF_KIND) - kinds == set()


def test_the_page_lists_the_status_of_every_kind() -> None:
    rows = re.findall(r"^\| ([0-9]+) \| ([^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    listed = {
        kind: int(status) for status, _, kinds in rows for kind in re.findall(r"`(.+?)`", kinds)
    }
    assert listed == STATUS_OF_KIND
    assert {int(status) for status, *_ in rows} == {0, *KIND_OF_STATUS}


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        ({"type": TYPE_PREFIX + "unit-silent", "status": 504}, 3),
        ({"type": TYPE_PREFIX + "unit-silent", "status": 504, "outcome": "unknown"}, UNKNOWN),
        ({"type": TYPE_PREFIX + "of-a-newer-relay", "status": 409}, 4),
        ({"type": TYPE_PREFIX + "of-a-newer-relay", "status": 503}, 1),
        ({"type": "about:blank"}, 1),
        ({}, 1),
    ],
)
def test_a_problem_ends_with_the_status_of_its_kind(
    problem: dict[str, object], status: int
) -> None:
    assert status_of(problem) == status
