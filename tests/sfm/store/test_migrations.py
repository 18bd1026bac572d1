"""From every revision to this program's, on both databases, all or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from kit.durable_world import (
    NOW,
    event,
    events,
    only_postgresql,
    only_sqlite,
    open_store,
    origin,
    rows,
    save_list,
    save_waveform,
)
from sqlalchemy import URL, Connection, inspect, text

import sfm.store
from sfm.cache.identity import Stamp, stamp_of
from sfm.records.payloads import event_payload
from sfm.store import Store, maintenance, migrations, mirror, schema, unit_data
from sfm.store.engine import Engines, read_url
from sfm.store.errors import (
    RevisionError,
    StoreBusyError,
    StoreDamagedError,
    StoreLostError,
)

pytest_plugins = ["kit.durable_databases"]

MIGRATIONS = Path(sfm.store.__file__).parent / "migrations"
TIME = "2026-04-01T00:28:12"
KEY = "01110000"

LEGACY_TABLES = {
    "no key": 'CREATE TABLE cached_events (conn_key TEXT, "index" INTEGER, event_json TEXT, '
    "cached_at TEXT)",
    "key": 'CREATE TABLE cached_events (conn_key TEXT NOT NULL, "index" INTEGER NOT NULL, '
    'event_json TEXT NOT NULL, cached_at TEXT NOT NULL, PRIMARY KEY (conn_key, "index"))',
    "key of our name": "CREATE TABLE cached_events (conn_key VARCHAR(99) NOT NULL, "
    '"index" BIGINT NOT NULL, event_json TEXT NOT NULL, cached_at TEXT NOT NULL, '
    'CONSTRAINT pk_cached_events PRIMARY KEY (conn_key, "index"))',
    "no types": 'CREATE TABLE cached_events (conn_key, "index", event_json, cached_at)',
    "own types": 'CREATE TABLE cached_events (conn_key TEXT, "index" SMALLINT, event_json JSONB, '
    "cached_at TIMESTAMPTZ)",
}
ONLY_ON = {"no types": "sqlite", "own types": "postgresql"}
each_legacy_table = pytest.mark.parametrize(
    ("engine_name", "table"),
    [
        (engine, table)
        for engine in ("sqlite", "postgresql")
        for table in LEGACY_TABLES
        if ONLY_ON.get(table, engine) == engine
    ],
    indirect=["engine_name"],
)
LEGACY = [
    {"waveform_key": KEY, "timestamp": TIME, "project": "complete"},
    {"_waveform_key": "0x0111ABCD", "timestamp": {"iso": TIME, "string": "other"}},
    {"_waveform_key": "01 11 00 01", "timestamp": {"iso": None, "string": "2026-04-01 00:28:12"}},
    {
        "waveform_key": None,
        "_waveform_key": "01110002",
        "timestamp": TIME,
        "n": "Süd × 岩 \U0001f9e8",
    },
    {"waveform_key": KEY},
    {"timestamp": TIME},
    {"waveform_key": "", "timestamp": TIME},
    {"waveform_key": KEY, "timestamp": "  "},
    {"waveform_key": KEY, "timestamp": {"iso": None}},
    {"waveform_key": 17891328, "timestamp": TIME},
    {"waveform_key": KEY, "timestamp": 1775003292},
    {"waveform_key": "\ud800", "timestamp": TIME},
    {"waveform_key": KEY, "timestamp": "a\0b"},
    {},
    None,
    [],
    "text",
    7,
]
BY_ADDRESS = "0009"
"""The last revision whose mirror is kept by address: rows of no known unit are dropped after it."""
GARBAGE = ["", "{", "not json", "[" * 100_000, '{"waveform_key": "01110000", "timestamp": ']


@pytest.fixture
def engines(bare_url: str) -> Iterator[Engines]:
    url = read_url(bare_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).touch()  # a file that is not there is made whole or not at all
    opened = Engines(url)
    yield opened
    opened.close()


def insert(engines: Engines, given: Sequence[tuple[Any, Any, Any, Any]]) -> None:
    names = ("conn_key", "index", "event_json", "cached_at")
    statement = text(
        'INSERT INTO cached_events (conn_key, "index", event_json, cached_at) '
        "VALUES (:conn_key, :index, :event_json, :cached_at)"
    )
    with engines.write() as connection:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in given])


def execute(engines: Engines, statement: str) -> list[Any]:
    with engines.write() as connection:
        result = connection.execute(text(statement))
        return list(result) if result.returns_rows else []


def entry(engines: Engines) -> dict[tuple[str, int], Any]:
    found = execute(engines, "SELECT * FROM cached_events")
    return {(row.conn_key, row[1]): row for row in found}


def fingerprint(engines: Engines) -> Any:
    """Return all that is in a database: tables with their columns and rows."""
    with engines.write() as connection:
        names = sorted(inspect(connection).get_table_names())
        return {
            name: (
                [(c["name"], str(c["type"])) for c in inspect(connection).get_columns(name)],
                inspect(connection).get_pk_constraint(name)["constrained_columns"],
                sorted(
                    repr(tuple(row)) for row in connection.execute(text(f"SELECT * FROM {name}"))
                ),
            )
            for name in names
        }


def differences(engines: Engines) -> list[Any]:
    with engines.write() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, schema.metadata))


@pytest.mark.parametrize(
    "start",
    [
        "",
        "0001",
        "0002",
        "0003",
        "0004",
        "0005",
        "0006",
        "0007",
        "0008",
        "0009",
        "0012",
        "0013",
        "0014",
        "0015",
    ],
)
def test_every_revision_comes_to_head_and_agrees_with_the_schema(
    engines: Engines, start: str
) -> None:
    if start:
        migrations.upgrade(engines, start)
    with engines.write() as connection:
        assert migrations.revision_of(connection) == start
    migrations.upgrade(engines)
    with engines.write() as connection:
        assert migrations.revision_of(connection) == migrations.HEAD
        there = set(inspect(connection).get_table_names())
    assert there == {*schema.metadata.tables, "alembic_version"}
    assert differences(engines) == []
    before = fingerprint(engines)
    migrations.upgrade(engines)
    assert fingerprint(engines) == before


def test_the_migrations_make_what_the_schema_would_make(engines: Engines) -> None:
    """Constraints and collations too, which a comparison by Alembic passes over."""

    def shape() -> Any:
        with engines.write() as connection:
            look = inspect(connection)
            return {
                name: {
                    "columns": sorted(
                        (
                            c["name"],
                            str(c["type"]),
                            getattr(c["type"], "collation", None),
                            c["nullable"],
                            str(c["default"]).replace("nextval", ""),
                        )
                        for c in look.get_columns(name)
                    ),
                    "pk": look.get_pk_constraint(name),
                    "fk": look.get_foreign_keys(name),
                    "unique": look.get_unique_constraints(name),
                    "check": look.get_check_constraints(name),
                    "index": [repr_of_parts(one) for one in look.get_indexes(name)],
                    "guards": guards(connection, name),
                }
                for name in sorted(schema.metadata.tables)
            }

    migrations.upgrade(engines)
    by_migrations = shape()
    with engines.write() as connection:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
    by_schema = shape()
    assert by_migrations == by_schema
    assert by_schema["audit"]["guards"]


def repr_of_parts(index: Any) -> dict[str, str]:
    """The condition of a partial index is an object that equals nothing but itself."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {name: str(value) for name, value in {**index, "dialect_options": options}.items()}


def guards(connection: Connection, table: str) -> list[str]:
    """Return the triggers of a table as the database tells them."""
    if connection.dialect.name == "sqlite":
        query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
    else:
        query = (
            "SELECT pg_get_triggerdef(oid) || pg_get_functiondef(tgfoid) FROM pg_trigger "
            "WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal"
        )
    return sorted(connection.execute(text(query), {"table": table}).scalars())


def test_head_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == migrations.HEAD
    found = [script.revision for script in scripts.walk_revisions()]
    assert found == [
        "0015",
        "0014",
        "0013",
        "0012",
        "0009",
        "0008",
        "0007",
        "0006",
        "0005",
        "0004",
        "0003",
        "0002",
        "0001",
    ]


@each_legacy_table
def test_legacy_rows_are_kept_if_they_say_which_event_they_are(
    engines: Engines, table: str, bare_url: str
) -> None:
    execute(engines, LEGACY_TABLES[table])
    as_json = [json.dumps(one) for one in LEGACY]
    if table == "own types":  # JSONB takes neither garbage nor these two escapes
        as_json = [t for t in as_json if "\\ud800" not in t and "\\u0000" not in t]
    else:
        as_json += GARBAGE
    insert(
        engines,
        [("tcp://süd:1", index, one, "2026-04-02 10:00:00") for index, one in enumerate(as_json)],
    )
    insert(engines, [("tcp://other:1", 0, json.dumps(LEGACY[0]), "2026-04-02 10:00:00")])
    migrations.upgrade(engines, BY_ADDRESS)
    found = entry(engines)
    assert sorted(found) == [("tcp://other:1", 0), *(("tcp://süd:1", index) for index in range(4))]
    for index, one in enumerate(LEGACY[:4]):
        assert isinstance(one, dict)
        row = found["tcp://süd:1", index]
        assert Stamp(row.waveform_key, row.event_timestamp) == stamp_of(one)
        assert json.loads(row.event_json) == one
        assert row.cached_at.startswith("2026-04-02 10:00:00")
        assert row.recording_id is None
    migrations.upgrade(engines)
    assert differences(engines) == []
    engines.close()
    with open_store(bare_url) as store:
        assert store.read(mirror.load, "tcp://süd:1") is None
        assert store.read(mirror.load, "tcp://other:1") is None
        assert unit_data.load_waveform(store, "tcp://süd:1", 0, 1, 1) is None


@pytest.mark.parametrize("verb", ["info", "list", "append", "waveform"])
def test_legacy_rows_are_never_served_after_the_unit_was_read(
    engines: Engines, bare_url: str, verb: str
) -> None:
    execute(engines, LEGACY_TABLES["no key"])
    listed = events(3)
    insert(engines, [("tcp://unit-a:1", i, old_form(i), "2026") for i in range(3)])
    migrations.upgrade(engines, BY_ADDRESS)
    assert len(entry(engines)) == 3
    migrations.upgrade(engines)  # of which unit they are nobody knows
    engines.close()
    with open_store(bare_url) as store:
        if verb == "info":
            store.write(unit_data.save_info, origin(), None, {"serial": "BE18189"})
        elif verb == "waveform":
            save_waveform(store, listed[1])
        else:
            # An append whose first part was never written: the old rows are no part of it.
            save_list(store, listed, first_new=3 if verb == "append" else 0)
        found = store.read(mirror.load, "unit:BE18189")
        assert found is not None
        if verb in ("list", "append"):
            assert found.events == [event_payload(one) for one in listed]
        else:
            assert found.events is None
        assert all("old" not in row["event_json"] for row in rows(store, "cached_events"))


def old_form(index: int) -> str:
    stamp = event_payload(event(index))
    return json.dumps(
        {"_waveform_key": stamp["waveform_key"], "timestamp": stamp["timestamp"], "old": 1}
    )


def test_of_one_slots_rows_the_one_cached_last_stays(engines: Engines) -> None:
    execute(engines, LEGACY_TABLES["no key"])
    complete = [{"waveform_key": f"0111000{n}", "timestamp": TIME} for n in range(3)]
    insert(
        engines,
        [
            ("a", 0, json.dumps(complete[0]), "2026-04-01"),
            ("a", 0, json.dumps(complete[2]), "2026-04-03"),
            ("a", 0, json.dumps(complete[1]), "2026-04-02"),
            ("a", 0, "null", "2026-04-04"),
            ("a", 1, json.dumps(complete[0]), "2026-04-01"),
        ],
    )
    migrations.upgrade(engines, BY_ADDRESS)
    found = {slot: row.waveform_key for slot, row in entry(engines).items()}
    assert found == {("a", 0): "01110002", ("a", 1): "01110000"}


@only_sqlite
def test_untyped_columns_may_hold_anything(engines: Engines) -> None:
    execute(engines, LEGACY_TABLES["no types"])
    good = json.dumps(LEGACY[0])
    insert(
        engines,
        [
            ("a", "3", good, 17),
            ("a", None, good, ""),
            ("a", "x", good, ""),
            ("a", b"4", good, ""),
            ("a", 5, good.encode(), None),
            ("a", 6, b"\xff\xfe", ""),
            ("a", 7, None, ""),
            ("a", 8, 1.5, ""),
            (None, 9, good, ""),
        ],
    )
    migrations.upgrade(engines, BY_ADDRESS)
    assert sorted(entry(engines)) == [("a", 3), ("a", 5)]


def test_more_legacy_rows_than_go_in_one_statement(engines: Engines) -> None:
    execute(engines, LEGACY_TABLES["no key"])
    insert(engines, [("a", index, json.dumps(LEGACY[0]), "") for index in range(2501)])
    migrations.upgrade(engines, BY_ADDRESS)
    assert sorted(index for _, index in entry(engines)) == list(range(2501))


def test_an_empty_legacy_table_is_taken(engines: Engines) -> None:
    execute(engines, LEGACY_TABLES["key"])
    with engines.write() as connection:
        assert migrations.revision_of(connection) == migrations.BEFORE_REVISIONS
    migrations.upgrade(engines, BY_ADDRESS)
    assert entry(engines) == {}
    migrations.upgrade(engines)
    assert differences(engines) == []


@pytest.mark.parametrize("start", ["0001", "0002"])
def test_rows_of_an_earlier_revision_come_along(
    engines: Engines, bare_url: str, start: str
) -> None:
    migrations.upgrade(engines, start)
    if start == "0001":
        good = [("a", index, json.dumps(one), TIME) for index, one in enumerate(LEGACY)]
        insert(engines, good)
    else:
        execute(
            engines,
            "INSERT INTO cached_events VALUES ('a', 0, '{\"old\": 1}', 'then', "
            f"'{KEY}', '{TIME}')",
        )
    migrations.upgrade(engines, BY_ADDRESS)
    found = entry(engines)
    assert sorted(found) == ([("a", 0)] if start == "0002" else [("a", i) for i in range(4)])
    row = found["a", 0]
    assert (row.waveform_key, row.event_timestamp, row.recording_id) == (KEY, TIME, None)
    migrations.upgrade(engines)
    assert differences(engines) == []
    engines.close()
    with open_store(bare_url) as store:
        assert store.read(mirror.load, "a") is None


# --- opening -------------------------------------------------------------------------------------


def test_an_empty_database_is_filled_by_the_first_to_open_it(bare_url: str) -> None:
    reported: list[str] = []
    with Store.open(bare_url, on_upgrade=reported.append) as store:
        assert set(store.read(maintenance.count_rows).values()) == {0}
        save_list(store, events(2))
    with Store.open(bare_url, on_upgrade=reported.append) as store:
        assert store.read(maintenance.count_rows)["recordings"] == 2
    assert reported == []


@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_of_a_newer_program_is_refused(
    engines: Engines, bare_url: str, read_only: bool
) -> None:
    migrations.upgrade(engines)
    execute(engines, "UPDATE alembic_version SET version_num = '0099'")
    before = fingerprint(engines)
    with pytest.raises(RevisionError, match=r"0099.*newer seismo-relay.*0015.*restore a backup"):
        migrations.upgrade(engines)
    engines.close()
    with pytest.raises(RevisionError, match="0099") as refused:
        Store.open(bare_url, read_only=read_only)
    if not read_only:
        assert "run the newer program, or restore a backup" in str(refused.value)
    again = Engines(read_url(bare_url))
    assert fingerprint(again) == before
    again.close()


@only_postgresql
@pytest.mark.parametrize("start", ["unnumbered", "0001", "0002", "0003"])
def test_an_older_postgresql_is_left_alone_and_the_command_is_named(
    engines: Engines, bare_url: str, start: str
) -> None:
    make_old(engines, start)
    before = fingerprint(engines)
    with pytest.raises(RevisionError) as refused:
        open_store(bare_url)
    assert str(refused.value).endswith("run: seismo-relay db upgrade")
    for part in (f"revision {start},", f"needs {migrations.HEAD}", "backup", "stop every relay"):
        assert part in str(refused.value)
    assert fingerprint(engines) == before


@only_sqlite
@pytest.mark.parametrize("start", ["unnumbered", "0001", "0002", "0003"])
def test_an_older_file_is_upgraded_after_a_copy_was_made_beside_it(
    engines: Engines, bare_url: str, start: str, tmp_path: Path
) -> None:
    make_old(engines, start)
    before = fingerprint(engines)
    engines.close()
    reported: list[str] = []
    Store.open(bare_url, now=lambda: NOW, on_upgrade=reported.append).close()
    copy = tmp_path / f"relay.sqlite.revision-{start}.20260501T120000.backup"
    [sentence] = reported
    assert f"from revision {start} to {migrations.HEAD}" in sentence
    assert sentence.endswith(str(copy))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.part"))
    copied = Engines(read_url(f"sqlite:///{copy}"))
    assert fingerprint(copied) == before
    copied.close()
    with open_store(bare_url) as store:
        assert rows(store, "cached_events") == []  # of which unit they were nobody knows


def make_old(engines: Engines, start: str) -> None:
    if start == "unnumbered":
        execute(engines, LEGACY_TABLES["key"])
    else:
        migrations.upgrade(engines, start)
    values = f"'a', 0, '{json.dumps(LEGACY[0])}', 'then'" + (
        f", '{KEY}', '{TIME}'" if start >= "0002" and start != "unnumbered" else ""
    )
    values += ", NULL" if start == "0003" else ""
    with engines.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO cached_events VALUES ({values})")


@pytest.mark.parametrize("start", ["", "unnumbered", "0002", "0003"])
def test_a_read_only_command_upgrades_nothing(engines: Engines, bare_url: str, start: str) -> None:
    if start:
        make_old(engines, start)
    before = fingerprint(engines)
    engines.close()
    with pytest.raises(RevisionError, match=r"run: seismo-relay db upgrade$"):
        Store.open(bare_url, read_only=True)
    again = Engines(read_url(bare_url))
    assert fingerprint(again) == before
    again.close()


@pytest.mark.parametrize("start", ["", "unnumbered", "0001", "0002", "0003"])
@pytest.mark.parametrize("step", ["create_index", "batch_alter_table", "create_table", "execute"])
def test_a_migration_that_fails_leaves_the_database_as_it_was(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, start: str, step: str
) -> None:
    if start:
        make_old(engines, start)
    before = fingerprint(engines)
    true_step = getattr(Operations, step)
    if start == "0003" and step == "batch_alter_table":
        pytest.skip("no such step is left")
    # The last call of its kind fails, so that much was done before.
    calls_left = {"create_index": 5, "batch_alter_table": 1, "create_table": 9, "execute": 2}[step]
    if start == "0003":
        calls_left = {"create_index": 2, "create_table": 2, "execute": 2}[step]

    def faulty(*given: Any, **more: Any) -> Any:
        nonlocal calls_left
        calls_left -= 1
        if calls_left == 0:
            raise RuntimeError("a fault in the middle")
        return true_step(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Operations, step, faulty)
        with pytest.raises(RuntimeError, match="a fault in the middle"):
            migrations.upgrade(engines)
    assert fingerprint(engines) == before
    migrations.upgrade(engines)
    assert differences(engines) == []
    assert execute(engines, "SELECT 1 FROM cached_events") == []


@only_postgresql
def test_two_that_start_at_once_on_an_empty_database_both_go_on(bare_url: str) -> None:
    start = threading.Barrier(4)
    failed: list[BaseException] = []

    def open_one() -> None:
        start.wait(10)
        try:
            open_store(bare_url).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


# --- upgrades while a backup runs ----------------------------------------------------------------


@only_sqlite
@pytest.mark.parametrize("start", ["unnumbered", "0001", "0002", "0003"])
def test_a_backup_during_which_the_file_is_upgraded_has_all_of_it(
    engines: Engines, bare_url: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(engines, start)
    engines.close()
    monkeypatch.setattr(migrations, "PAGES_AT_ONCE", 1)
    upgraded: list[str] = []

    def upgrade_once(done: int, total: int) -> None:
        if not upgraded:
            assert 0 < done < total
            Store.open(bare_url, now=lambda: NOW, on_upgrade=upgraded.append).close()

    target = tmp_path / "backup.sqlite"
    maintenance.backup(bare_url, target, upgrade_once)
    assert f"from revision {start} to {migrations.HEAD}" in upgraded[0]
    now, copied = Engines(read_url(bare_url)), Engines(read_url(f"sqlite:///{target}"))
    try:
        assert fingerprint(copied) == fingerprint(now)
    finally:
        now.close()
        copied.close()
    assert maintenance.check(f"sqlite:///{target}").faults == []


@only_sqlite
@pytest.mark.parametrize("start", ["unnumbered", "0001", "0002", "0003"])
def test_a_backup_made_in_the_middle_of_an_upgrade_has_nothing_of_it(
    engines: Engines, bare_url: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(engines, start)
    before = fingerprint(engines)
    target = tmp_path / "backup.sqlite"
    create_index = Operations.create_index

    def back_up_first(*given: Any, **more: Any) -> Any:
        if not target.exists():
            maintenance.backup(bare_url, target)
        return create_index(*given, **more)

    monkeypatch.setattr(Operations, "create_index", back_up_first)
    migrations.upgrade(engines)
    assert differences(engines) == []
    copied = Engines(read_url(f"sqlite:///{target}"))
    try:
        assert fingerprint(copied) == before
    finally:
        copied.close()


@only_postgresql
@pytest.mark.parametrize("start", ["unnumbered", "0001", "0002", "0003"])
def test_an_upgrade_of_postgresql_is_refused_while_a_backup_runs(
    engines: Engines, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(engines, start)
    before = fingerprint(engines)
    monkeypatch.setattr(migrations, "BUSY_S", 0.02)
    with engines.reading.begin() as backup:  # as pg_dump begins: one view, and every table locked
        tables = inspect(backup).get_table_names()
        backup.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
        with pytest.raises(StoreBusyError, match="wait until a running backup has ended") as busy:
            migrations.upgrade(engines)
        assert "run seismo-relay db upgrade again" in str(busy.value)
        seen = backup.exec_driver_sql("SELECT event_json FROM cached_events").scalars().all()
        assert [json.loads(one) for one in seen] == [LEGACY[0]]
    assert fingerprint(engines) == before
    migrations.upgrade(engines)
    assert differences(engines) == []
    assert execute(engines, "SELECT 1 FROM cached_events") == []


# --- copies --------------------------------------------------------------------------------------


def test_a_copy_is_whole_though_the_file_is_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "100% of #1? süd"
    source, target = folder / "a.sqlite", folder / "copy.sqlite"
    with new_file(source) as store:
        save_list(store, events(5))
        reported: list[tuple[int, int]] = []
        migrations.copy_sqlite(source, target, lambda *at: reported.append(at))
        assert reported[-1][0] == reported[-1][1]
        with new_file(target) as copy:
            assert rows(copy, "recordings") == rows(store, "recordings")
        with pytest.raises(StoreLostError, match="is there already"):
            migrations.copy_sqlite(source, target)


def new_file(path: Path) -> Store:
    engines = Engines(URL.create("sqlite", database=str(path)))
    migrations.ensure_head(engines, lambda: NOW)
    return Store(engines)


def test_a_copy_of_what_is_no_database_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.sqlite"
    source.write_bytes(os.urandom(9000))
    with pytest.raises(StoreDamagedError, match="cannot be copied"):
        migrations.copy_sqlite(source, tmp_path / "b.sqlite")
    assert list(tmp_path.iterdir()) == [source]


def test_a_copy_opens_with_any_sqlite(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'a.sqlite'}") as store:
        save_list(store, events(5))
    engines = Engines(read_url(f"sqlite:///{tmp_path / 'a.sqlite'}"), read_only=True)
    path = migrations.copy_before_upgrade(engines, "0003", NOW + timedelta(days=1))
    engines.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM recordings").fetchone() == (5,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
