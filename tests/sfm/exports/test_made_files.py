"""Files that operations made: over a restart, for a day, within a bound, and nothing half made."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sfm.exports.made_files import KEPT, MadeFiles, made_files_folder

SERIALS = frozenset({"BE12345"})


class Wall:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


def started(folder: Path | None, wall: Wall, max_bytes: int = 1000) -> MadeFiles:
    files = MadeFiles("exports", wall, max_bytes=max_bytes)
    files.start(folder)
    return files


def made(files: MadeFiles, body: bytes = b"zip", name: str = "x.zip") -> str:
    path = files.new_path()
    path.write_bytes(body)
    return asyncio.run(files.keep(name, path, SERIALS)).id


def read(files: MadeFiles, id_: str) -> bytes | None:
    file = files.find(id_)
    return None if file is None else file.path.read_bytes()


def test_a_file_is_there_after_a_restart_and_gone_after_a_day(tmp_path: Path, wall: Wall) -> None:
    before = started(tmp_path, wall)
    id_ = made(before)
    before.close()
    after = started(tmp_path, wall)
    found = after.find(id_)
    assert found is not None
    assert (found.name, found.serials, found.size_bytes) == ("x.zip", SERIALS, 3)
    assert read(after, id_) == b"zip"
    wall.now += KEPT - timedelta(minutes=1)
    assert read(after, id_) == b"zip"
    assert read(started(tmp_path, wall), id_) == b"zip"
    wall.now += timedelta(minutes=2)
    assert after.find(id_) is None
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_relay_that_makes_no_file_makes_no_folder(tmp_path: Path, wall: Wall) -> None:
    files = started(tmp_path / "a.files", wall)
    assert files.find("other") is None
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_what_expired_while_the_relay_was_stopped_is_removed(tmp_path: Path, wall: Wall) -> None:
    made(started(tmp_path, wall))
    wall.now += KEPT + timedelta(minutes=1)
    started(tmp_path, wall)
    assert list((tmp_path / "exports").iterdir()) == []


@pytest.mark.parametrize("step", ["begun", "no note", "half a note", "cut", "note damaged"])
def test_a_file_that_was_not_finished_is_none_and_is_removed(
    tmp_path: Path, wall: Wall, step: str
) -> None:
    files = started(tmp_path, wall)
    kept = made(files)
    if step == "begun":
        files.new_path().write_bytes(b"half")
    else:
        other = made(files, b"other")
        data, note = (tmp_path / "exports" / other), (tmp_path / "exports" / f"{other}.json")
        if step == "no note":
            note.unlink()
        elif step == "half a note":
            note.rename(note.with_suffix(".part"))
        elif step == "cut":
            data.write_bytes(b"oth")
        else:
            note.write_text(json.dumps({"name": "x"}))
    after = started(tmp_path, wall)
    assert read(after, kept) == b"zip"
    assert sorted(path.name for path in (tmp_path / "exports").iterdir()) == [kept, f"{kept}.json"]
    if step != "begun":
        assert after.find(other) is None


def test_the_oldest_go_when_there_are_too_many_bytes(tmp_path: Path, wall: Wall) -> None:
    files = started(tmp_path, wall, max_bytes=10)
    first, second, third = (made(files, b"12345") for _ in range(3))
    assert [read(files, one) for one in (first, second, third)] == [None, b"12345", b"12345"]
    large = made(files, b"x" * 50)  # made for somebody who waits: it is served all the same
    assert [read(files, one) for one in (second, third)] == [None, None]
    assert read(files, large) == b"x" * 50
    assert len(list((tmp_path / "exports").iterdir())) == 2


def test_a_file_that_somebody_removed_is_not_found(tmp_path: Path, wall: Wall) -> None:
    files = started(tmp_path, wall)
    id_ = made(files)
    (tmp_path / "exports" / id_).unlink()
    assert files.find(id_) is None


@pytest.mark.parametrize("change", ["changed", "cut", "grown", "removed"])
def test_a_file_is_opened_only_as_it_was_made(tmp_path: Path, wall: Wall, change: str) -> None:
    files = started(tmp_path, wall)
    found = files.find(made(files, b"a whole zip"))
    assert found is not None
    with asyncio.run(found.opened()) or pytest.fail("a whole file is opened") as opened:
        assert opened.read() == b"a whole zip"
    if change == "removed":
        found.path.unlink()
    else:
        data = {"changed": b"A whole zip", "cut": b"a whole", "grown": b"a whole zipp"}
        found.path.write_bytes(data[change])
    assert asyncio.run(found.opened()) is None
    files.give_up(found)
    assert files.find(found.id) is None
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_file_changed_while_the_relay_was_stopped_is_not_opened(
    tmp_path: Path, wall: Wall
) -> None:
    id_ = made(started(tmp_path, wall), b"a whole zip")
    (tmp_path / "exports" / id_).write_bytes(b"A whole zip")
    found = started(tmp_path, wall).find(id_)
    assert found is not None
    assert asyncio.run(found.opened()) is None


def test_without_a_database_files_go_with_the_process(wall: Wall) -> None:
    files = started(None, wall)
    path = files.new_path()
    path.write_bytes(b"x")
    id_ = asyncio.run(files.keep("x.zip", path, SERIALS)).id
    assert read(files, id_) == b"x"
    wall.now += KEPT + timedelta(minutes=1)
    assert files.find(id_) is None
    other = files.new_path()
    files.close()
    assert not other.parent.exists()


def test_a_folder_that_cannot_be_used_leaves_files_with_the_process(
    tmp_path: Path, wall: Wall
) -> None:
    (tmp_path / "file").write_text("")
    files = started(tmp_path / "file", wall)
    id_ = made(files)
    assert read(files, id_) == b"zip"
    files.close()


def test_each_database_has_a_folder_of_its_own(tmp_path: Path) -> None:
    beside = made_files_folder(f"sqlite:///{tmp_path / 'a.sqlite'}")
    assert beside == tmp_path / "a.sqlite.files"
    assert made_files_folder("none") is None
    assert made_files_folder("sqlite:///:memory:") is None
    one = made_files_folder("postgresql://u:one@host/a")
    assert one == made_files_folder("postgresql://u:two@host/a")
    assert one != made_files_folder("postgresql://u:one@host/b")
