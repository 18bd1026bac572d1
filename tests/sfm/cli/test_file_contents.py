"""A file is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sfm.cli import files
from sfm.cli.application import CommandError


def test_a_table_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "event.csv"
    taken.write_text("the one before")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    for force, name in ((True, "replace"), (False, "link")):
        monkeypatch.setattr(Path if name == "replace" else os, name, full)
        with pytest.raises(CommandError, match="No space"):
            files.save(taken, "", b"new", force=force)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the one before"]
