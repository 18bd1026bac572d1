"""The database file under a running relay: removed, renamed, replaced, or open in another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sfm.store import Store, maintenance
from sfm.store.database_file import DatabaseFile
from sfm.store.engine import SQLITE
from sfm.store.errors import StoreInUseError, StoreReplacedError
from sfm.store.executor import StoreExecutor
from sfm.store.health import StoreHealth
from sfm.store.maintenance import restore, vacuum


def test_what_was_read_meanwhile_is_archived_once_the_file_is_back(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    with Store.open(f"sqlite:///{path}") as store:
        store.read(maintenance.count_rows)
        path.rename(tmp_path / "elsewhere")
        with pytest.raises(StoreReplacedError, match="Move the database file back"):
            store.read(maintenance.count_rows)
        with pytest.raises(StoreReplacedError), store.engines.write():
            pass
        (tmp_path / "elsewhere").rename(path)
        store.read(maintenance.count_rows)


@pytest.mark.parametrize("is_write", [False, True])
async def test_a_call_that_began_before_the_file_was_taken_away_does_not_end_the_problem(
    tmp_path: Path, is_write: bool
) -> None:
    path, elsewhere = tmp_path / "relay.sqlite", tmp_path / "elsewhere"
    is_leaving = False

    async def run(call: Callable[[], Any], _: bool, /) -> Any:
        result = call()
        if is_leaving and path.exists():
            path.rename(elsewhere)
            executor.check_file()
        return result

    def count(store: Store) -> object:
        return store.read(maintenance.count_rows)

    health = StoreHealth(clock=lambda: 0.0, wall=lambda: datetime(2026, 5, 1, tzinfo=UTC))
    executor = StoreExecutor(lambda: Store.open(f"sqlite:///{path}"), run, health)
    await executor.call(count, is_write=is_write)
    is_leaving = True
    await executor.call(count, is_write=is_write)
    assert health.problem_kind == "replaced"
    is_leaving = False
    elsewhere.rename(path)
    await executor.call(count, is_write=is_write)
    assert health.problem_kind is None
    await executor.close()


def test_a_file_that_is_taken_away_before_it_is_opened_again_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "relay.sqlite"
    with Store.open(f"sqlite:///{path}") as store:
        store.engines.reading.dispose()
        connect = SQLITE.connect

        def late(*args: Any, **more: Any) -> Any:
            path.unlink()
            return connect(*args, **more)

        monkeypatch.setattr(SQLITE, "connect", late)
        with pytest.raises(StoreReplacedError, match="was removed"):
            store.read(maintenance.count_rows)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_two_relays_exclude_each_other_however_the_file_is_spelled(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    path, other = tmp_path / "relay.sqlite", tmp_path / "folder" / "another.sqlite"
    other.parent.mkdir()
    with Store.open(f"sqlite:///{path}"):
        link(path, other)
        with pytest.raises(StoreInUseError, match="in use by another seismo-relay program"):
            Store.open(f"sqlite:///{other}")
    Store.open(f"sqlite:///{other}").close()


def test_a_new_archive_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    begun = DatabaseFile(path)
    try:
        assert not path.exists()
        with pytest.raises(StoreInUseError):
            DatabaseFile(path)
    finally:
        begun.close()
    assert list(tmp_path.iterdir()) == []
    # Left by a process that was killed.
    (tmp_path / "relay.sqlite.creating").write_bytes(b"half of it")
    with Store.open(f"sqlite:///{path}") as store:
        assert store.read(maintenance.count_rows)["recordings"] == 0
    assert [one.name for one in tmp_path.iterdir()] == ["relay.sqlite"]


def test_a_file_that_came_meanwhile_is_not_replaced_by_a_new_archive(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    begun = DatabaseFile(path)
    path.write_bytes(b"theirs")
    with pytest.raises(StoreInUseError):
        begun.publish()
    begun.close()
    assert path.read_bytes() == b"theirs"


def test_a_restore_and_a_vacuum_through_a_link_change_the_file_it_names(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    path, link = tmp_path / "relay.sqlite", tmp_path / "link.sqlite"
    Store.open(f"sqlite:///{path}").close()
    shutil.copy(path, tmp_path / "backup")
    link.symlink_to(path)
    vacuum(f"sqlite:///{link}")
    restore(f"sqlite:///{link}", tmp_path / "backup", datetime(2026, 5, 1, tzinfo=UTC))
    assert link.is_symlink()
    with Store.open(f"sqlite:///{path}") as store:
        assert store.read(maintenance.count_rows)["recordings"] == 0
