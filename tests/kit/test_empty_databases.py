from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from kit.empty_databases import memory_store, write_database
from sfm.store import Store, tokens


def content(store: Store) -> dict[str, Any]:
    """Return how each table and index was made, and the rows of each table."""
    with store.engines.read() as connection:
        made = connection.execute(text("SELECT type, name, sql FROM sqlite_master")).all()
        rows = {
            name: connection.execute(text(f'SELECT * FROM "{name}"')).all()
            for kind, name, _ in made
            if kind == "table"
        }
    return {"made": sorted(map(str, made)), **rows}


def test_a_copy_is_what_every_migration_makes() -> None:
    with Store.open("sqlite://") as migrated, memory_store() as copied:
        assert content(copied)["alembic_version"]
        assert content(copied) == content(migrated)


def test_a_file_is_what_a_relay_makes(tmp_path: Path) -> None:
    written = write_database(tmp_path / "written")
    made = tmp_path / "made"
    with Store.open(f"sqlite:///{made}") as new, Store.open(f"sqlite:///{written}") as copied:
        assert content(copied) == content(new)
    assert written.stat().st_mode == made.stat().st_mode


def test_what_is_written_to_one_is_in_no_other() -> None:
    with memory_store() as one:
        one.write(tokens.create, "a", "viewer", (), datetime(2026, 5, 1, tzinfo=UTC), bytes)
        with memory_store() as other:
            assert len(one.read(tokens.load_all)) == 1
            assert other.read(tokens.load_all) == []
