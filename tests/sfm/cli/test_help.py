"""``--help`` shows each command once, under the heading of the job that it does."""

from __future__ import annotations

from collections import Counter

from sfm.cli import app
from sfm.cli.tree import GROUPS


def test_each_command_stands_under_one_heading() -> None:
    named = Counter(name for names in GROUPS.values() for name in names)
    assert named == Counter({name: 1 for name in (*app, "--help", "--version") if name != "-h"})
