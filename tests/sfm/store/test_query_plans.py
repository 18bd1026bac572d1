"""
What is read of a few recordings goes through no table of all: SQLite says how it would search.

Timings of a small database hide such a statement; an archive of years makes seconds of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.durable_world import NOW, event, open_store, origin, save_list, save_waveform
from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event

from sfm.records.verdicts import Judge
from sfm.store import Store, Wanted, analyses, archive, decodings, entered_facts, verdicts
from sfm.store.archive import findings

TABLES_THAT_GROW = (
    "analyses",
    "entered_facts",
    "partial_images",
    "recording_decodings",
    "recording_downloads",
    "recording_waveforms",
    "recordings",
    "reviews",
)
EVENTS = [event(index) for index in range(4)]
NAME = archive.name_of("BE18189", EVENTS[0])
ABSENT = event(9)
UNIT = origin().unit_id

READS: dict[str, Callable[[Connection], object]] = {
    "a page": lambda c: archive.load_page(c, Wanted(), None, 2),
    "a page of a unit": lambda c: archive.load_page(c, Wanted(serial="BE18189"), None, 2),
    "a page since a time": lambda c: archive.load_page(c, Wanted(since="2020-01-01"), None, 2),
    "a page with verdicts": lambda c: verdicts.load_judged_page(
        c, Wanted(), None, 2, judge=Judge()
    ),
    "a recording": lambda c: archive.load_recording(c, NAME),
    "a recording with verdicts": lambda c: verdicts.load_judged_recording(c, NAME, judge=Judge()),
    "a recording's samples": lambda c: archive.load_samples(c, NAME),
    "a recording's reviews": lambda c: archive.load_reviews(c, NAME),
    "what people entered": lambda c: entered_facts.load(c, NAME),
    "what is archived of it": lambda c: archive.load_archived(c, NAME),
    "its stored result": lambda c: analyses.load_by_recording(c, [1, 2]),
    "what results are outdated": lambda c: analyses.outdated(c, 2, 1),
    "what readings are outdated": lambda c: decodings.outdated(c, 2, 1),
    "what a unit's list is joined with": lambda c: verdicts.load_facts(c, UNIT, 1, Judge()),
    "what an erase would lose": lambda c: decodings.erase_check_of_events(
        c, "BE18189", [*EVENTS, ABSENT]
    ),
    "the latest findings": archive.load_findings,
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("plans") / "relay.sqlite"
    with open_store(f"sqlite:///{path}") as store:
        save_list(store, EVENTS)
        for one in EVENTS[:3]:
            save_waveform(store, one, 1)
        store.write(archive.save_damage_finding, 1, "noted for the test", NOW)
        store.write(findings.note, NOW, "noted", "BE18189", None, "of no recording")
        # The reads below must meet something.
        assert len(store.read(verdicts.load_facts, UNIT, 1, Judge())) == len(EVENTS)
        assert len(store.read(archive.load_findings)) == 2
    return path


def tables_gone_through(store: Store, read: Callable[[Connection], object]) -> list[str]:
    """Return each of the tables that grow which a statement of ``read`` searches as a whole."""
    met: list[str] = []

    def look(
        connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object
    ) -> None:
        asked = connection.connection.cursor()
        asked.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        for *_, step in asked.fetchall():
            word, _, rest = step.partition(" ")
            if word == "SCAN" and rest.split()[0] in TABLES_THAT_GROW:
                met.append(f"{step}: {statement}")

    sqlalchemy_event.listen(store.engines.reading, "before_cursor_execute", look)
    try:
        store.read(read)
    finally:
        sqlalchemy_event.remove(store.engines.reading, "before_cursor_execute", look)
    return met


@pytest.mark.parametrize("what", READS)
def test_what_is_read_of_a_few_goes_through_no_table_of_all(filled: Path, what: str) -> None:
    with Store.open(f"sqlite:///{filled}", read_only=True) as store:
        for step in tables_gone_through(store, READS[what]):
            # A page is the beginning of an index, which has its order.
            assert step.startswith("SCAN recordings USING INDEX ix_recordings_by_time"), step


def test_a_statement_that_goes_through_all_is_found(filled: Path) -> None:
    with Store.open(f"sqlite:///{filled}", read_only=True) as store:
        [step] = tables_gone_through(store, archive.load_devices)
    assert step.startswith("SCAN recordings")
