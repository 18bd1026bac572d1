"""The audit log: added to, never changed; a change all the same is detected."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import pytest
from kit.durable_world import (
    NOW,
    events,
    only_sqlite,
    open_store,
    origin,
    rows,
    save_list,
    save_waveform,
)
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from sfm.access.names import unit_key
from sfm.store import AuditEntry, Store, StoreError, audit, maintenance, unit_data
from sfm.store.audit import BEFORE_THE_FIRST, hash_of
from sfm.store.errors import StoreBusyError, StoreFullError
from sfm.store.service import StoreService

pytest_plugins = ["kit.durable_databases"]

A = "tcp://unit-a:1"
UNIT_ID = unit_key("BE18189")


def entry(**more: Any) -> AuditEntry:
    given: dict[str, Any] = {
        "at": NOW,
        "actor": "lab",
        "role": "admin",
        "origin": "10.0.0.9",
        "command": "erase",
        "outcome": "done",
    }
    return AuditEntry(**{**given, **more})


def fill(store: Store, count: int) -> None:
    for number in range(count):
        at = NOW + timedelta(seconds=number)
        store.write(
            audit.append, entry(at=at, serial=f"BE{number}", detail={"n": number, "x": [1.5, None]})
        )


def tamper(store: Store, *statements: str, **values: Any) -> None:
    """Change the table as somebody would who owns the database: without its guards."""
    with store.engines.write() as connection:
        if connection.dialect.name == "sqlite":
            for name in ("changed", "removed", "replaced"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS audit_not_{name}"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement), values)


def head(store: Store) -> tuple[int, bytes]:
    verdict = store.read(audit.verify)
    assert verdict.is_sound
    return verdict.count, bytes.fromhex(verdict.head_hash)


def test_an_entry_comes_back_as_it_was_noted(store: Store) -> None:
    begun = store.write(
        audit.append,
        entry(
            unit=A, serial="BE1", phase="begun", outcome="begun", detail={"b": [1, "Süd"], "a": {}}
        ),
    )
    ended = store.write(audit.append, entry(phase="ended", of=begun, outcome="unknown"))
    assert (begun, ended) == (1, 2)
    last, first = store.read(audit.load_latest, 10)
    assert (last["number"], last["of"], last["outcome"], last["detail"]) == (2, 1, "unknown", {})
    assert (last["unit"], last["serial"]) == (None, None)
    assert last["previous_hash"] == first["hash"]
    del first["hash"]
    assert first == {
        "number": 1,
        "at": "2026-05-01T12:00:00.250+00:00",
        "actor": "lab",
        "role": "admin",
        "origin": "10.0.0.9",
        "unit": A,
        "serial": "BE1",
        "command": "erase",
        "phase": "begun",
        "of": None,
        "outcome": "begun",
        "detail": {"b": [1, "Süd"], "a": {}},
        "previous_hash": "00" * 32,
    }
    json.dumps([last, first])


def test_the_hash_is_what_the_page_says_made_by_hand(store: Store) -> None:
    store.write(
        audit.append, entry(actor='Süd "\U0001f9e8"', detail={"b": 1.5, "a": "岩\n"}, unit=A)
    )
    entries = (
        r'{"actor":"S\u00fcd \"\ud83e\udde8\"","at":"2026-05-01T12:00:00.250+00:00",'
        r'"command":"erase","detail":"{\"a\":\"\\u5ca9\\n\",\"b\":1.5}","number":1,"of":null,'
        r'"origin":"10.0.0.9","outcome":"done","phase":"done","role":"admin","serial":null,'
        r'"unit":"tcp://unit-a:1"}'
    )
    expected = blake2b(bytes(32) + entries.encode("ascii"), digest_size=32).hexdigest()
    [row] = rows(store, "audit")
    assert bytes(row["hash"]).hex() == expected
    assert store.read(audit.verify).head_hash == expected


def test_entries_come_newest_first_and_page_by_page(store: Store) -> None:
    fill(store, 5)
    assert [row["number"] for row in store.read(audit.load_latest, 2)] == [5, 4]
    assert [row["number"] for row in store.read(audit.load_latest, 1000, before=4)] == [3, 2, 1]
    assert store.read(audit.load_latest, 5, before=1) == []
    for limit in (0, 1001):
        with pytest.raises(ValueError, match="limit"):
            store.read(audit.load_latest, limit)


def test_other_peoples_words_are_written_so_that_they_print(store: Store) -> None:
    store.write(
        audit.append, entry(actor="a\0b\x1b[2J\ud800", command="x\ny", detail={"text": "\0\ud800"})
    )
    [row] = store.read(audit.load_latest, 1)
    assert row["actor"] == r"a\x00b\x1b[2J\ud800"
    assert row["command"] == r"x\ny"
    assert row["detail"] == {"text": "\0\ud800"}
    assert store.read(audit.verify).is_sound


def test_what_could_not_be_shown_later_is_refused_before(store: Store) -> None:
    with pytest.raises(ValueError, match="with its zone"):
        entry(at=datetime(2026, 5, 1))
    for detail in ({"x": float("nan")}, {"x": b"bytes"}):
        with pytest.raises((ValueError, TypeError)):
            store.write(audit.append, entry(detail=detail))
    assert store.read(audit.load_latest, 1) == []


# --- guards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody' WHERE number = 2",
        "DELETE FROM audit WHERE number = 3",
        "DELETE FROM audit",
    ],
)
def test_the_database_lets_nobody_change_or_remove_an_entry(store: Store, statement: str) -> None:
    fill(store, 3)
    before = rows(store, "audit")
    with pytest.raises(IntegrityError, match="append-only"), store.engines.write() as connection:
        connection.execute(text(statement))
    assert rows(store, "audit") == before
    store.write(audit.append, entry())


def test_the_log_cannot_be_emptied_or_a_row_of_it_replaced(store: Store, engine_name: str) -> None:
    fill(store, 3)
    if engine_name == "sqlite":
        statement = (
            "INSERT OR REPLACE INTO audit SELECT number, \"at\", 'nobody', role, origin, unit, "
            'serial, command, phase, "of", outcome, detail_json, previous_hash, hash '
            "FROM audit WHERE number = 2"
        )
    else:
        statement = "TRUNCATE audit"
    with pytest.raises(IntegrityError, match="append-only"), store.engines.write() as connection:
        connection.execute(text(statement))
    assert store.read(audit.verify).count == 3


# --- the chain -----------------------------------------------------------------------------------


def test_an_empty_log_and_a_whole_one_are_sound(store: Store) -> None:
    verdict = store.read(audit.verify)
    assert (verdict.count, verdict.head_hash, verdict.is_sound) == (0, "00" * 32, True)
    fill(store, 7)
    verdict = store.read(audit.verify)
    assert (verdict.count, verdict.broken, verdict.why) == (7, None, None)
    assert verdict.head_hash == store.read(audit.load_latest, 1)[0]["hash"]


CHANGES = {
    "number": ["number = 99"],
    "at": ["\"at\" = '2020'"],
    "actor": ["actor = 'x'"],
    "role": ["role = 'x'"],
    "origin": ["origin = 'x'"],
    "unit": ["unit = 'x'", "unit = ''"],
    "serial": ["serial = 'x'", "serial = NULL"],
    "command": ["command = 'x'"],
    "phase": ["phase = 'x'"],
    "of": ['"of" = 1'],
    "outcome": ["outcome = 'x'"],
    "detail_json": ["detail_json = '{}'", "detail_json = 'x'", "detail_json = detail_json || ' '"],
    "previous_hash": ["previous_hash = hash"],
    "hash": ["hash = previous_hash"],
}


@pytest.mark.parametrize("column", CHANGES)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_changed_field_is_found_and_its_entry_named(
    store: Store, column: str, number: int
) -> None:
    fill(store, 5)
    sound = rows(store, "audit")
    for change in CHANGES[column]:
        tamper(store, f"UPDATE audit SET {change} WHERE number = {number}")
        verdict = store.read(audit.verify)
        if column == "number" and number == 5:
            assert verdict.why == "entry 5 is missing; behind 4 comes 99"
        assert (verdict.broken, verdict.count) == (number, number - 1), change
        assert f"entry {number}" in (verdict.why or "")
        tamper(store, "DELETE FROM audit")
        put_back(store, sound)
    assert set(CHANGES) == {c.name for c in audit.table.c}


def put_back(store: Store, wanted: list[dict[str, Any]]) -> None:
    with store.engines.write() as connection:
        connection.execute(audit.table.insert(), wanted)


def rewritten(store: Store, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Replace the whole log by what ``change`` makes of it."""
    present = rows(store, "audit")
    tamper(store, "DELETE FROM audit")
    put_back(store, change(present))


def rehashed(row: dict[str, Any], previous: bytes) -> dict[str, Any]:
    return {**row, "previous_hash": previous, "hash": hash_of(row, previous)}


def test_a_row_removed_from_the_middle_is_found(store: Store) -> None:
    fill(store, 5)
    tamper(store, "DELETE FROM audit WHERE number = 3")
    verdict = store.read(audit.verify)
    assert (verdict.broken, verdict.why) == (3, "entry 3 is missing; behind 2 comes 4")


def test_a_removed_row_is_found_though_the_rest_was_renumbered(store: Store) -> None:
    fill(store, 5)
    rewritten(
        store, lambda present: [{**row, "number": n + 1} for n, row in enumerate(present[1:])]
    )
    verdict = store.read(audit.verify)
    assert (verdict.broken, verdict.count) == (1, 0)
    assert "does not follow" in (verdict.why or "")


def test_two_rows_that_changed_places_are_found(store: Store) -> None:
    fill(store, 5)

    def swap(present: list[dict[str, Any]]) -> list[dict[str, Any]]:
        present[2], present[3] = {**present[3], "number": 3}, {**present[2], "number": 4}
        return present

    rewritten(store, swap)
    assert store.read(audit.verify).broken == 3


def test_a_row_hashed_anew_is_found_at_the_next(store: Store) -> None:
    fill(store, 5)

    def forge(present: list[dict[str, Any]]) -> list[dict[str, Any]]:
        present[2] = rehashed({**present[2], "actor": "nobody"}, present[1]["hash"])
        return present

    rewritten(store, forge)
    verdict = store.read(audit.verify)
    assert (verdict.broken, verdict.count) == (4, 3)
    assert "does not follow" in (verdict.why or "")


def test_a_forked_chain_is_found(store: Store) -> None:
    """A writer that had seen an older head: its row is sound in itself, and follows the wrong."""
    fill(store, 4)

    def fork(present: list[dict[str, Any]]) -> list[dict[str, Any]]:
        present[3] = rehashed(present[3], present[1]["hash"])
        return present

    rewritten(store, fork)
    verdict = store.read(audit.verify)
    assert verdict.broken == 4
    assert "forked" in (verdict.why or "")


@only_sqlite
@pytest.mark.parametrize("value", ["'text'", "17", "zeroblob(5)", "1e300"])
@pytest.mark.parametrize("column", ["hash", "previous_hash", "detail_json", "actor", '"of"'])
def test_rubbish_of_any_type_is_a_broken_entry_and_no_crash(
    store: Store, column: str, value: str
) -> None:
    fill(store, 3)
    tamper(store, f"UPDATE audit SET {column} = {value} WHERE number = 2")
    assert store.read(audit.verify).broken == 2


def test_a_detail_that_is_no_json_any_more_is_shown_as_it_is(store: Store) -> None:
    fill(store, 1)
    tamper(store, "UPDATE audit SET detail_json = 'rubbish'")
    shown = store.read(audit.load_latest, 1)[0]["detail"]
    assert shown["was"] == {"unreadable": "rubbish"}
    assert "run db check" in shown["damaged"]


def test_an_end_cut_off_is_seen_only_against_what_was_noted(store: Store) -> None:
    fill(store, 3)
    third = head(store)
    fill(store, 2)
    fifth = head(store)
    assert store.read(audit.verify, third).is_sound
    assert store.read(audit.verify, fifth).is_sound
    tamper(store, "DELETE FROM audit WHERE number > 3")
    assert store.read(audit.verify).is_sound
    assert store.read(audit.verify, third).is_sound
    verdict = store.read(audit.verify, fifth)
    assert (verdict.broken, verdict.count) == (4, 3)
    assert "the log ends at 3, but entry 5 was noted" in (verdict.why or "")
    fill(store, 2)  # grown again over the cut
    tamper(store, "UPDATE audit SET actor = actor")
    assert store.read(audit.verify, fifth).is_sound  # the same words in the same places


def test_a_log_written_anew_is_seen_only_against_what_was_noted(store: Store) -> None:
    fill(store, 4)
    noted = head(store)

    def forge(present: list[dict[str, Any]]) -> list[dict[str, Any]]:
        previous = BEFORE_THE_FIRST
        for n, row in enumerate(present):
            present[n] = rehashed({**row, "actor": "nobody"}, previous)
            previous = present[n]["hash"]
        return present

    rewritten(store, forge)
    assert store.read(audit.verify).is_sound
    verdict = store.read(audit.verify, noted)
    assert (verdict.broken, verdict.count) == (4, 3)
    assert "rewritten" in (verdict.why or "")


def test_the_whole_log_is_read_a_piece_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched and looked at in turn; and a break ends the reading."""
    monkeypatch.setattr(audit, "AT_ONCE", 3)
    fill(store, 10)
    tamper(store, "UPDATE audit SET actor = 'x' WHERE number = 2")
    fetched: list[int] = []
    true_rows = audit._rows

    def counted(connection: Any) -> Any:
        for row in true_rows(connection):
            fetched.append(row["number"])
            yield row

    sizes: list[int] = []

    def reported(_c: Any, _cursor: Any, statement: str, _p: Any, context: Any, _many: bool) -> None:
        if "audit" in statement:
            sizes.append(context.execution_options["yield_per"])

    monkeypatch.setattr(audit, "_rows", counted)
    sqlalchemy_event.listen(store.engines.reading, "before_cursor_execute", reported)
    assert store.read(audit.verify).broken == 2
    assert fetched == [1, 2]
    assert sizes == [3]


def test_the_check_of_the_database_goes_through_the_log(store: Store, database_url: str) -> None:
    fill(store, 3)
    assert maintenance.check(database_url).faults == []
    tamper(store, "UPDATE audit SET actor = 'x' WHERE number = 2")
    [fault] = maintenance.check(database_url).faults
    assert "the audit log: entry 2" in fault


def test_writers_at_once_make_one_chain(
    store: Store, second_store: Store, database_url: str
) -> None:
    start = threading.Barrier(8)
    numbers: list[int] = []
    failed: list[BaseException] = []

    def write(mine: Store) -> None:
        start.wait(10)
        try:
            numbers.extend(mine.write(audit.append, entry()) for _ in range(10))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(one,)) for one in (store, second_store) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert sorted(numbers) == list(range(1, 81))
    assert store.read(audit.verify).count == 80


# --- through the store service -------------------------------------------------------------------


def build_store_service(open_it: Callable[[], Store] | None) -> StoreService:
    return StoreService(open_it, clock=lambda: 100.0, wall=lambda: NOW)


def test_the_store_service_records_an_entry_or_reports_that_it_cannot(database_url: str) -> None:
    class Failing:
        error: StoreError | None = None

    def open_it() -> Store:
        if Failing.error is not None:
            raise Failing.error
        return open_store(database_url)

    async def run() -> None:
        store_service = build_store_service(open_it)
        assert await store_service.note(entry()) == 1
        assert await store_service.note(entry()) == 2
        assert len(await store_service.read(audit.load_latest, 9)) == 2
        await store_service.close()

        Failing.error = StoreFullError("no room")
        store_service = build_store_service(open_it)
        for _ in range(4):  # from the second on the database is left alone; reported all the same
            with pytest.raises(StoreFullError, match="no room"):
                await store_service.note(entry())
        await store_service.close()

    asyncio.run(run())


async def test_without_a_database_the_store_service_records_and_proves_nothing() -> None:
    store_service = build_store_service(None)
    assert await store_service.note(entry()) is None
    assert await store_service.forget_info(A) is None
    assert (await store_service.erase_check(A, 3)).unarchived == [0, 1, 2]
    await store_service.close()


def test_the_store_service_knows_which_version_of_the_mirror_is_current(database_url: str) -> None:
    with open_store(database_url) as store:
        listed = events(3)
        save_list(store, listed)
        save_waveform(store, listed[1], 1)
        store.write(unit_data.save_info, origin(), 2, {"serial": "BE18189"})

    async def run() -> None:
        store_service = build_store_service(lambda: open_store(database_url))
        assert (await store_service.erase_check(UNIT_ID, 3)).unarchived == [
            0,
            1,
            2,
        ]  # not taken up yet
        found = await store_service.load(UNIT_ID)
        assert found is not None
        store_service.mark_adopted(UNIT_ID, found)
        assert (await store_service.erase_check(UNIT_ID, 3)).unarchived == [0, 2]
        assert await store_service.forget_info(UNIT_ID) is None
        again = await store_service.load(UNIT_ID)
        assert again is not None
        assert (again.info, again.version) == (None, found.version + 1)
        assert (await store_service.erase_check(UNIT_ID, 3)).unarchived == [0, 2]
        # Another process writes: the service learns beyond which epoch to begin, once.
        store_service.mark_adopted(UNIT_ID, found)
        assert await store_service.forget_info(UNIT_ID) == 1
        assert await store_service.forget_info(UNIT_ID) is None
        await store_service.close()

    asyncio.run(run())


def test_what_could_not_be_deleted_is_reported(database_url: str) -> None:
    def open_it() -> Store:
        raise StoreBusyError("locked")

    async def run() -> None:
        store_service = build_store_service(open_it)
        with pytest.raises(StoreBusyError):
            await store_service.forget_info(A)
        await store_service.close()

    asyncio.run(run())
