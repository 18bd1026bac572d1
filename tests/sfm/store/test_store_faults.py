"""Faults under the database file: full, locked, broken off at any statement, a WAL cut anywhere."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from minimateplus.model import Event, MemoryProbe, Peaks
from sfm.api.app import build_app
from sfm.records import payloads
from sfm.records.digests import digest
from sfm.settings import Settings
from sfm.store import (
    Origin,
    Store,
    Wanted,
    archive,
    database,
    engine,
    maintenance,
    migrations,
    mirror_rows,
    mirrored_lists,
    unit_data,
)
from sfm.store.engine import SQLITE, Engines, read_url
from sfm.store.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLostError,
    WrongUrlError,
)

KEY = "unit:BE1"
ORIGIN = Origin(
    route="tcp:unit:12345",
    serial="BE1",
    epoch=0,
    simulated=True,
    read_at=datetime(2026, 5, 1, tzinfo=UTC),
    began_mono=1.0,
    boot_id="b",
)


def an_event(index: int) -> Event:
    return Event(
        index=index,
        key=(0x01110000 + 512 * index).to_bytes(4, "big"),
        device_time=datetime(2026, 4, 1, 0, index),
        peaks=Peaks(
            tran_in_s=0.5, vert_in_s=None, long_in_s=None, mic_psi=None, vector_sum_in_s=0.5
        ),
        project="North face",
        record=bytes([index]) * 210,
    )


def a_probe(count: int) -> MemoryProbe:
    return MemoryProbe(
        serial="BE1",
        first_key=an_event(0).key,
        last_key=an_event(count - 1).key,
        lifetime_count=count,
        last_timestamp=f"2026-04-01T00:{count - 1:02}:00",
        is_empty=False,
    )


def a_waveform(event: Event) -> tuple[dict[str, Any], bytes]:
    counts = bytes(range(256)) * (8 + event.index)
    payload = {
        **payloads.event_payload(event),
        "samples": len(counts) // 8,
        "valid_samples": [len(counts) // 8] * 4,
        "sample_rate_hz": 1024,
        "sample_rate_source": "event",
        "pretrigger_samples": 256,
        "geo_range_in_s": 10.0,
        "geo_range_source": "event",
        "mode": "continuous",
        "reasons": [],
        "counts": counts,
    }
    return payload, bytes([event.index]) * 3000


def grow(store: Store, count: int, seen: Any) -> Any:
    """Keep one more event, and its waveform; return the version to be seen."""
    events = [an_event(index) for index in range(count)]
    listed = [payloads.event_payload(event) for event in events]
    new = events if seen is None else events[-1:]
    seen = store.write(unit_data.save_list, ORIGIN, seen, a_probe(count), listed, new).mirror
    return store.write(
        unit_data.save_waveform, ORIGIN, seen, events[-1], *a_waveform(events[-1])
    ).mirror


def state(store: Store) -> tuple[int, int, int, int]:
    """Recordings, waveforms, mirrored events and waveforms; everything held against its hash."""
    for row in store.read(archive.load_page, Wanted(), limit=1000).rows:
        assert (
            store.read(archive.load_recording, row["id"])["id"] == row["id"]
        )  # raises where it is damaged
        for content in row["contents"]:
            entry = store.read(archive.load_samples, row["id"], bytes.fromhex(content))
            assert entry.counts()
            assert digest(store.read(archive.load_image, entry.waveform_id)) == entry.content_hash
    with store.engines.read() as connection:
        assert mirrored_lists.contradictions(connection) == []
        if store.engines.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    counts = store.read(maintenance.count_rows)
    names = ("recordings", "recording_waveforms", "cached_events", "cached_waveforms")
    a, b, c, d = (counts[name] for name in names)
    return a, b, c, d


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faults.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{path}") as opened:
        yield opened


def test_a_full_disk_is_called_that_loses_nothing_and_passes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(f"sqlite:///{path}") as store:
        seen = grow(store, 1, None)
    tuned = engine._tuned

    def with_a_quota(connection: Any, is_writer: bool) -> Any:
        connection = tuned(connection, is_writer)
        if is_writer:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages + 2}").close()
        return connection

    monkeypatch.setattr(engine, "_tuned", with_a_quota)
    with Store.open(f"sqlite:///{path}") as store:
        before = state(store)

        def fill() -> None:
            nonlocal seen, before
            for count in range(2, 40):
                seen = grow(store, count, seen)
                before = state(store)

        with pytest.raises(StoreFullError):
            fill()
        entry = state(store)
        # The event may be in, and its waveform not: each is whole.
        assert entry[0] - before[0] in (0, 1)
        assert entry[1] == before[1]
    monkeypatch.undo()
    with Store.open(f"sqlite:///{path}") as store:
        again = grow(store, entry[0] + 1, None)
        assert isinstance(again, mirror_rows.Fenced)  # it never saw these rows
        assert state(store)[0] == entry[0] + 1


def test_another_program_s_lock_is_reported_as_such_and_passes(path: Path, store: Store) -> None:
    seen = grow(store, 1, None)
    before = state(store)
    with closing(SQLITE.connect(str(path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE").close()
        with pytest.raises(StoreBusyError):
            grow(store, 2, seen)
        assert state(store) == before
        other.execute("ROLLBACK").close()
    grow(store, 2, seen)
    assert state(store) == (2, 2, 2, 2)


@pytest.mark.parametrize("what", ["list", "waveform"])
def test_a_write_that_breaks_at_any_statement_leaves_nothing_behind(
    store: Store, what: str
) -> None:
    seen = grow(store, 1, None)
    before = state(store)
    events = [an_event(0), an_event(1)]
    listed = [payloads.event_payload(event) for event in events]

    def write() -> Any:
        if what == "list":
            return store.write(unit_data.save_list, ORIGIN, seen, a_probe(2), listed, events[1:])
        return store.write(unit_data.save_waveform, ORIGIN, seen, events[1], *a_waveform(events[1]))

    left = 0

    def fail(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise SQLITE.OperationalError("disk I/O error")

    broken = 0
    sqlalchemy_event.listen(store.engines.writing, "before_cursor_execute", fail)
    try:
        while True:
            left = broken
            try:
                write()
                break
            except (StoreError, SQLITE.OperationalError):
                pass
            broken += 1
            left = 10**6
            assert state(store) == before
    finally:
        sqlalchemy_event.remove(store.engines.writing, "before_cursor_execute", fail)
    assert broken >= 4
    assert state(store)[0] == 2


def test_a_wal_cut_anywhere_gives_back_a_beginning_of_what_was_committed(
    path: Path, tmp_path: Path
) -> None:
    states = []
    with Store.open(f"sqlite:///{path}") as store:
        seen = None
        for count in range(1, 5):
            seen = grow(store, count, seen)
            states.append(state(store))
        for name in ("", "-wal"):
            shutil.copy(f"{path}{name}", f"{tmp_path}/copy{name}")
    wal = (tmp_path / "copy-wal").read_bytes()
    assert len(wal) > 40_000
    met = set()
    for length in sorted({*range(0, len(wal), 4 * 4120), 31, 33, 4151, len(wal) - 1, len(wal)}):
        cut = tmp_path / f"cut{length}.sqlite"
        shutil.copy(tmp_path / "copy", cut)
        Path(f"{cut}-wal").write_bytes(wal[:length])
        with Store.open(f"sqlite:///{cut}") as store:
            found = state(store)
            met.add(found)
            # A list and its waveform are two commits; between them one is there.
            assert found == (0, 0, 0, 0) or any(found[0] == whole[0] for whole in states)
            grow(store, 6, None)
            assert state(store)[0] >= found[0]
    assert states[-1] in met
    assert len(met) > 2


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda path: path.write_bytes(b"\x07" * 9000), StoreDamagedError),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), StoreDamagedError),
        (lambda path: (path.unlink(), path.mkdir()), StoreLostError),
    ],
    ids=["rubbish", "truncated", "a folder"],
)
def test_a_file_that_is_no_database_has_a_name_for_it(
    path: Path, spoil: Any, kind: type[StoreError]
) -> None:
    with Store.open(f"sqlite:///{path}") as store:
        grow(store, 1, None)
    spoil(path)

    def use() -> None:
        with Store.open(f"sqlite:///{path}") as store:
            state(store)
            grow(store, 2, None)

    with pytest.raises(StoreError) as caught:
        use()
    assert isinstance(caught.value, kind)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("foreign", [False, True])
def test_a_file_without_an_archive_is_a_fault_and_its_message_says_how_to_move_it_away(
    path: Path, foreign: bool
) -> None:
    if foreign:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (a)")
    else:
        path.touch()
    before = path.read_bytes()
    with pytest.raises(StoreDamagedError, match=f"mv '{path}'"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == before
    path.rename(path.with_name("moved away"))
    with Store.open(f"sqlite:///{path}") as store:
        grow(store, 1, None)
        assert state(store) == (1, 1, 1, 1)


def test_a_start_that_was_killed_between_two_migrations_starts_again(path: Path) -> None:
    engines = Engines(read_url(f"sqlite:///{path}"))
    try:
        migrations.upgrade(engines, "0001")
    finally:
        engines.close()
    with Store.open(f"sqlite:///{path}") as store:
        grow(store, 1, None)
        assert state(store) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("here.sqlite", "'here.sqlite' is no database URL; write sqlite:////path/to/file"),
        ("mysql://host/name", "mysql is not a database that is known here; write sqlite:////"),
        ("postgresql://host/name", "pip install 'seismo-relay[postgresql]'"),
    ],
)
def test_no_relay_starts_with_a_url_that_cannot_work(
    url: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    with pytest.raises(WrongUrlError, match=re.escape(expected)):
        build_app(Settings(database_url=url))


KEY_COLUMNS = ("public_id", "serial", "waveform_key", "event_timestamp", "content_hash")


@pytest.mark.parametrize("column", KEY_COLUMNS)
def test_a_recording_whose_key_is_damaged_in_its_row_or_in_an_index_is_archived_again(
    tmp_path: Path, column: str
) -> None:
    event = replace(an_event(0), record=bytes(range(210)))
    whole = tmp_path / "whole.sqlite"
    payload, image = a_waveform(event)
    save = partial(
        unit_data.save_waveform,
        origin=ORIGIN,
        seen=None,
        event=event,
        payload=payload,
        image=image,
        is_mirrored=False,
    )
    with Store.open(f"sqlite:///{whole}") as store:
        name = store.write(save).public_id
        assert name is not None
        with store.engines.read() as connection:
            value = connection.exec_driver_sql(f"SELECT {column} FROM recordings").scalar_one()
    data, wanted = whole.read_bytes(), value if isinstance(value, bytes) else value.encode()
    places = [at for at in range(len(data)) if data.startswith(wanted, at)]
    assert len(places) > 1, "neither in the row nor in an index"
    for number, at in enumerate(places):
        path = tmp_path / f"damaged{number}.sqlite"
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with Store.open(f"sqlite:///{path}") as store:
            assert store.write(save).public_id == name
            assert store.read(archive.load_recording, name)["record"] == event.record.hex()
            entry = store.read(archive.load_samples, name)
            assert entry.counts() == payload["counts"]
            assert store.read(archive.load_image, entry.waveform_id) == image
            assert store.read(maintenance.count_rows)["recordings"] == 1
        # An index that no write needed stays as it is, and the check names it.
        faults = maintenance.check(f"sqlite:///{path}").faults
        assert all(" missing from index " in fault for fault in faults), f"byte {at}: {faults}"


def empty_an_index(path: Path, name: str) -> None:
    """Let an index list none of its table's rows, as after damage to its pages."""
    with closing(sqlite3.connect(path)) as connection:
        (made,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", [name]
        ).fetchone()
        connection.execute(f"DROP INDEX {name}")
        connection.execute(f"{made} WHERE 0")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [made, name])
        connection.commit()


def test_images_are_decoded_again_although_an_index_of_their_readings_is_damaged(
    tmp_path: Path,
) -> None:
    event = replace(an_event(0), record=bytes(range(210)))
    path = tmp_path / "archive.sqlite"
    payload, image = a_waveform(event)
    with Store.open(f"sqlite:///{path}") as store:
        save = partial(unit_data.save_waveform, is_mirrored=False)
        name = store.write(save, ORIGIN, None, event, payload, image).public_id
        assert name is not None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE recording_decodings SET decoder = 'of before'")
        connection.commit()
    empty_an_index(path, "ix_recording_decodings_waveform_id")
    with Store.open(f"sqlite:///{path}") as store:
        # The reading did not match its hash: it was removed, and the image decoded again.
        assert store.read(archive.load_samples, name).counts() == payload["counts"]
    assert not maintenance.check(f"sqlite:///{path}").faults


def test_indexes_are_rebuilt_at_most_once_when_that_does_not_help(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt = []
    monkeypatch.setattr(
        database, "rebuild_indexes", lambda connection, tables: rebuilt.append(list(tables))
    )

    def fail(connection: Any) -> None:
        raise StoreDamagedError("a page of the table itself")

    for _ in range(3):
        with pytest.raises(StoreDamagedError, match="the table itself"):
            store.write(fail)
    assert len(rebuilt) == 1
    grow(store, 1, None)
    assert state(store) == (1, 1, 1, 1)
