"""Paging through the archive: an order, no loss, no double, and cursors that are checked."""

from __future__ import annotations

import base64
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kit.durable_world import (
    FIRST,
    PEAKS,
    event,
    open_store,
    origin,
    record_of,
    rows,
    save_list,
    save_waveform,
)
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from sfm.records.payloads import Payload
from sfm.store import Store, Wanted, archive
from sfm.store.cursors import Cursor
from sfm.store.errors import BadCursorError

pytest_plugins = ["kit.durable_databases"]


def fill(store: Store) -> list[dict[str, Any]]:
    """Enter events of two units, with equal and with unknown times; return their rows, ordered."""
    rng = random.Random(7)
    for serial in ("BE18189", "BE2"):
        store.write(
            archive.save_events,
            origin(serial),
            [
                event(
                    index,
                    device_time=rng.choice(
                        [None, *(FIRST + timedelta(hours=hour) for hour in range(5))]
                    ),
                    record=record_of(index, serial),
                )
                for index in range(20)
            ],
        )
    return ordered(rows(store, "recordings"))


def ordered(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Newest unit time first, unknown ones last, then latest entered."""
    timed = [row for row in found if row["event_timestamp"]]
    timeless = [row for row in found if not row["event_timestamp"]]
    timed.sort(key=lambda row: (row["event_timestamp"], row["id"]), reverse=True)
    timeless.sort(key=lambda row: row["id"], reverse=True)
    return [*timed, *timeless]


def ids(found: list[Payload]) -> list[str]:
    return [str(row.get("public_id", row["id"])) for row in found]


def walk(store: Store, wanted: Wanted, limit: int) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = store.read(archive.load_page, wanted, cursor, limit)
        found += ids(page.rows)
        if page.next_cursor is None:
            return found
        assert len(page.rows) == limit
        cursor = page.next_cursor


def test_the_newest_unit_time_comes_first_and_the_unknown_last(store: Store) -> None:
    wanted = fill(store)
    page = store.read(archive.load_page, Wanted(), limit=1000)
    assert ids(page.rows) == ids(wanted)
    assert page.next_cursor is None
    assert page.rows[0]["timestamp"] is not None
    assert page.rows[-1]["timestamp"] is None


def test_an_archive_of_nothing_is_one_empty_page(store: Store) -> None:
    page = store.read(archive.load_page, Wanted())
    assert (page.rows, page.next_cursor) == ([], None)


def test_pages_of_any_length_join_to_the_whole(store: Store) -> None:
    wanted = ids(fill(store))
    for limit in range(1, len(wanted) + 2):
        first = store.read(archive.load_page, Wanted(), limit=limit)
        assert ids(first.rows) == wanted[:limit]
        assert (first.next_cursor is None) == (limit >= len(wanted))
    for limit in (1, 2, 3, 7, 20, 39, 40, 41):
        assert walk(store, Wanted(), limit) == wanted


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_what_enters_between_pages_loses_and_doubles_nothing(store: Store, limit: int) -> None:
    there = set(ids(fill(store)))
    met: list[str] = []
    cursor: str | None = None
    for at in range(100):
        page = store.read(archive.load_page, Wanted(), cursor, limit)
        met += ids(page.rows)
        cursor = page.next_cursor
        if cursor is None:
            break
        # Before, at and behind the place where the reader is; a new one may be met or not.
        new = [
            event(100 + at, device_time=when)
            for when in (None, FIRST, FIRST + timedelta(hours=2), FIRST + timedelta(hours=99))
        ]
        store.write(archive.save_events, origin(), new)
    assert cursor is None or limit == 1
    assert len(met) == len(set(met))
    if cursor is None:
        assert there <= set(met)


WANTED = [
    Wanted(),
    Wanted(serial="BE2"),
    Wanted(serial="BE"),
    Wanted(serial="BE2' OR 1=1 --"),
    Wanted(since="2026-04-01T01:28:12"),
    Wanted(until="2026-04-01T01:28:12"),
    Wanted(since="2026-04-01T01:28:12", until="2026-04-01T03:28:12"),
    Wanted(since="2026-04-01T03", until="2026-04-01T03"),
    Wanted(since="2026"),
    Wanted(until="2026"),
    Wanted(serial="BE18189", since="2026-04-01T02:28:12"),
]


@pytest.mark.parametrize("wanted", WANTED, ids=repr)
def test_filters_take_what_they_say(store: Store, wanted: Wanted) -> None:
    def fits(row: dict[str, Any]) -> bool:
        at = row["event_timestamp"]
        return (
            (wanted.serial is None or row["serial"] == wanted.serial)
            and (wanted.since is None or (at != "" and at >= wanted.since))
            and (wanted.until is None or (at != "" and at < wanted.until))
        )

    expected = ids([row for row in fill(store) if fits(row)])
    assert walk(store, wanted, 3) == expected
    assert ids(store.read(archive.load_page, wanted, limit=1000).rows) == expected


def test_a_vector_sum_is_taken_from_its_very_value_on(store: Store) -> None:
    sums = [0.1, 0.25, 0.3, None, 1.0]
    store.write(
        archive.save_events,
        origin(),
        [
            event(index, peaks=replace(PEAKS, vector_sum_in_s=value))
            for index, value in enumerate(sums)
        ],
    )

    def slots(least: float) -> list[int]:
        return [
            row["index"] for row in store.read(archive.load_page, Wanted(min_pvs_in_s=least)).rows
        ]

    assert slots(0.0) == [4, 2, 1, 0]
    assert slots(0.25) == [4, 2, 1]
    assert slots(0.3) == [4, 2]
    assert slots(0.3000001) == [4]
    assert slots(5.0) == []


PROJECTS = ["Quarry North", "quarry_south", "100% done", "100 done", "a/b\\c", "It's", None, ""]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("QUARRY", ["Quarry North", "quarry_south"]),
        ("y_s", ["quarry_south"]),
        ("Y_S", ["quarry_south"]),
        ("y n", ["Quarry North"]),
        ("_", ["quarry_south"]),
        ("%", ["100% done"]),
        ("0% D", ["100% done"]),
        ("100%done", []),
        ("/", ["a/b\\c"]),
        ("\\", ["a/b\\c"]),
        ("'", ["It's"]),
        ("", [text for text in PROJECTS if text is not None]),
        ("none", []),
    ],
)
def test_a_project_is_found_by_any_part_in_any_case(
    store: Store, text: str, found: list[str]
) -> None:
    store.write(
        archive.save_events, origin(), [event(at, project=text) for at, text in enumerate(PROJECTS)]
    )
    page = store.read(archive.load_page, Wanted(project=text))
    assert [row["project"] for row in page.rows] == found[::-1]


def test_a_row_has_the_number_of_its_waveforms(store: Store) -> None:
    save_list(store, [event(0), event(1)])
    save_waveform(store, event(1), 1, salt=0)
    save_waveform(store, event(1), 2, salt=1)
    assert [
        (row["index"], row["waveforms"]) for row in store.read(archive.load_page, Wanted()).rows
    ] == [
        (1, 2),
        (0, 0),
    ]


@pytest.mark.parametrize("limit", [1, 2, 999, 1000])
def test_a_limit_in_bounds_is_taken(store: Store, limit: int) -> None:
    assert store.read(archive.load_page, Wanted(), limit=limit).rows == []


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**30])
def test_a_limit_out_of_bounds_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        store.read(archive.load_page, Wanted(), limit=limit)


def damage(store: Store, number: int, value: str = "'damaged'") -> None:
    """Change the newest rows behind the store's back; they no longer match their hashes."""
    newest = "SELECT id FROM recordings ORDER BY event_timestamp DESC, id DESC LIMIT"
    with store.engines.write() as connection:
        connection.execute(
            text(f"UPDATE recordings SET project = {value} WHERE id IN ({newest} {number})")
        )


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_damaged_rows_are_named_and_sound_ones_follow(store: Store, limit: int) -> None:
    expected = ids(fill(store))
    damage(store, 30)
    page = store.read(archive.load_page, Wanted(), limit=limit)
    assert ids(page.rows) == expected[30 : 30 + limit]
    named = [sentence.split()[1].rstrip(":") for sentence in page.damaged]
    assert named == [name[:12] for name in expected[:30]]
    assert walk(store, Wanted(), limit) == expected[30:]


def test_a_sound_row_beside_rows_that_cannot_be_read_is_not_lost(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'relay.sqlite'}") as store:
        expected = ids(fill(store))
        damage(store, 4, "CAST(X'FF' AS TEXT)")
        for limit in range(1, 40):
            page = store.read(archive.load_page, Wanted(), limit=limit)
            assert ids(page.rows) == expected[4 : 4 + limit]
            assert len(page.damaged) == 4


def test_damaged_rows_without_end_take_few_steps_and_are_named_up_to_a_bound(store: Store) -> None:
    store.write(archive.save_events, origin(), [event(index) for index in range(1100)])
    damage(store, 1090)
    asked: list[str] = []
    sqlalchemy_event.listen(
        store.engines.reading, "before_cursor_execute", lambda *of: asked.append(of[2])
    )
    page = store.read(archive.load_page, Wanted(), limit=1)
    assert [row["index"] for row in page.rows] == [9]
    assert page.next_cursor is not None
    assert len(page.damaged) == 1001
    assert (
        page.damaged[-1]
        == "90 more recordings: their stored facts do not match their hashes either"
    )
    # 2 + 4 + ... + 1024 rows: in steps of two it would be 545 of them.
    assert sum("OFFSET" in statement for statement in asked) == 10


def coded(place: str | bytes) -> str:
    data = place.encode() if isinstance(place, str) else place
    return base64.urlsafe_b64encode(data).decode("ascii")


BAD = [
    "",
    "=",
    "x",
    "%%%",
    "12",
    "é",
    "\x00",
    "\ud800",
    " " * 9,
    "A" * 10_001,
    coded(""),
    coded(" "),
    coded("x"),
    coded("-1 "),
    coded("1.5 "),
    coded("１ "),
    coded("+1 2026-04-01T00:28:12"),
    coded("1 x"),
    coded("1 2026-04-01 00:28:12"),
    coded("1  2026-04-01T00:28:12"),
    coded("1 2026-04-01T00:28:12 "),
    coded("1 2026-13-01T00:28:12"),
    coded("1 \x00"),
    coded("1 2026-04-01T00:28:12\x00"),
    coded("1 ' OR 1=1 --"),
    coded("9" * 19 + " 2026-04-01T00:28:12"),
    coded("9" * 5000 + " "),
    coded(b"1 \xff\xfe"),
    coded(b"\xff"),
    coded("1 2026-04-01T00:28:12") + "=",
    coded("1 2026-04-01T00:28:12")[:-1] + "\n",
]


@pytest.mark.parametrize("cursor", BAD, ids=range(len(BAD)))
def test_a_cursor_that_no_page_gave_is_none(cursor: str) -> None:
    with pytest.raises(BadCursorError, match="begin without"):
        Cursor.read(cursor)


def test_cursors_that_no_page_gave_are_refused(store: Store) -> None:
    for cursor in BAD:
        with pytest.raises(BadCursorError):
            store.read(archive.load_page, Wanted(), cursor)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.binary().map(coded) | st.text().map(lambda text: coded(f"1 {text!s}")))
@example(coded("1 0001-01-01T00:00:00"))
def test_any_text_is_a_cursor_or_refused_as_one(store: Store, text: str) -> None:
    try:
        page = store.read(archive.load_page, Wanted(), text)
    except BadCursorError:
        return
    assert page.rows == []


def test_a_cursor_with_any_letter_changed_is_refused_or_a_place(store: Store) -> None:
    fill(store)
    cursor = store.read(archive.load_page, Wanted(), limit=3).next_cursor
    assert cursor is not None
    for at in range(len(cursor)):
        for letter in "A_-=z0+/\n":
            try:
                store.read(
                    archive.load_page, Wanted(), cursor[:at] + letter + cursor[at + 1 :], limit=2
                )
            except BadCursorError:
                continue


def test_a_cursor_is_opaque_and_safe_in_a_url(store: Store) -> None:
    fill(store)
    cursor = store.read(archive.load_page, Wanted(), limit=3).next_cursor
    assert cursor is not None
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")
    assert "2026" not in cursor


@given(st.none() | st.datetimes(), st.integers(0, 10**18 - 1))
def test_a_cursor_comes_back_as_the_place_it_was(at: datetime | None, number: int) -> None:
    place = Cursor("" if at is None else at.isoformat(), number)
    assert Cursor.read(place.text()) == place


def test_every_place_between_rows_is_a_cursor(store: Store) -> None:
    wanted = ids(fill(store))
    for at in range(1, len(wanted)):
        cursor = store.read(archive.load_page, Wanted(), limit=at).next_cursor
        assert ids(store.read(archive.load_page, Wanted(), cursor, 1000).rows) == wanted[at:]
