from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest
from kit.durable_world import NOW, event, origin
from kit.stored_rows import public_id

from sfm.store import Store, archive, entered_facts, schema
from sfm.store.errors import DamagedRecordError, NoSuchRecordError

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open("sqlite://") as opened:
        opened.write(archive.save_events, origin(), [event(0), event(1)])
        yield opened


def test_the_last_value_counts_and_every_earlier_one_is_kept(store: Store) -> None:
    store.write(
        entered_facts.save, 1, {"distance_m": 10.0, "operator": "Pat"}, author="Pat", at=NOW
    )
    store.write(entered_facts.save, 1, {"distance_m": 12.5}, author="Sam", at=LATER)
    now = store.read(entered_facts.load, 1)
    assert {name: (fact.value, fact.by) for name, fact in now.items()} == {
        "operator": ("Pat", "Pat"),
        "distance_m": (12.5, "Sam"),
    }
    assert now["distance_m"].at.startswith(LATER.astimezone(UTC).isoformat()[:19])
    assert [fact.value for fact in store.read(entered_facts.history, 1)] == [12.5, "Pat", 10.0]


def test_a_withdrawn_fact_counts_no_more(store: Store) -> None:
    store.write(entered_facts.save, 1, {"operator": "Pat"}, author="Pat", at=NOW)
    store.write(entered_facts.save, 1, {"operator": None}, author="Pat", at=LATER)
    assert store.read(entered_facts.load, 1) == {}
    assert len(store.read(entered_facts.history, 1)) == 2


def test_facts_belong_to_their_recording(store: Store) -> None:
    name = public_id(store, 2)
    assert name is not None
    store.write(entered_facts.save, name[:12], {"operator": "Pat"}, author="Pat", at=NOW)
    assert store.read(entered_facts.load, 1) == {}
    assert set(store.read(entered_facts.load, 2)) == {"operator"}
    with pytest.raises(NoSuchRecordError):
        store.write(entered_facts.save, "ab" * 32, {"operator": "Pat"}, author="Pat", at=NOW)


@pytest.mark.parametrize("change", [{"value_json": '"Sam"'}, {"recording_id": 2}, {"author": "X"}])
def test_a_changed_row_is_damage_and_no_fact(store: Store, change: dict[str, object]) -> None:
    store.write(entered_facts.save, 1, {"operator": "Pat"}, author="Pat", at=NOW)
    with store.engines.write() as connection:
        connection.execute(schema.entered_facts.update().values(**change))
    with pytest.raises(DamagedRecordError, match="entered fact 1 does not match its hash"):
        store.read(entered_facts.load, int(str(change.get("recording_id", 1))))


def test_nothing_that_the_unit_reported_changes(store: Store) -> None:
    before = store.read(archive.load_recording, 1)
    store.write(entered_facts.save, 1, {"operator": "Pat"}, author="Pat", at=NOW)
    assert store.read(archive.load_recording, 1) == before
