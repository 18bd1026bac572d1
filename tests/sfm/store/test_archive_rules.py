"""The archive: exactly once, nothing lost, nothing changed."""

from __future__ import annotations

import math
import threading
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.durable_world import (
    NOW,
    PEAKS,
    all_rows,
    event,
    events,
    kinds,
    open_store,
    origin,
    probe_of,
    record_of,
    rows,
    save_list,
    save_waveform,
    shifted,
    waveform,
)
from kit.stored_rows import public_id
from sqlalchemy import func, select

from minimateplus.model import Event, Peaks
from sfm.records.payloads import event_payload
from sfm.records.roster import NO_ROSTER, Roster, Seeds
from sfm.store import Store, Wanted, WriteResult, archive, maintenance, mirror, schema, unit_data
from sfm.store.archive import save_events
from sfm.store.errors import NoSerialError, NoSuchRecordError

pytest_plugins = ["kit.durable_databases"]

NOTHING = Peaks(tran_in_s=None, vert_in_s=None, long_in_s=None, mic_psi=None, vector_sum_in_s=None)


def kept_ids(store: Store, given: list[Event], serial: str = "BE18189") -> list[int]:
    with store.engines.write() as connection:
        return save_events(connection, origin(serial), given)


def test_a_list_kept_again_adds_no_row_and_gives_the_same_numbers(store: Store) -> None:
    listed = events(5)
    first = kept_ids(store, listed)
    before = all_rows(store)
    assert kept_ids(store, listed) == first
    assert kept_ids(store, list(reversed(listed))) == list(reversed(first))
    assert kept_ids(store, [*listed, *listed]) == first * 2
    assert all_rows(store) == before
    assert len(set(first)) == 5


def test_the_same_event_over_another_route_in_another_epoch_is_the_same(store: Store) -> None:
    save_list(store, events(3))
    before = rows(store, "recordings")
    save_list(store, events(3), at=origin(route="tcp://other:2", epoch=9))
    store.write(archive.save_events, origin(epoch=7), [replace(event(1), index=42)])
    assert rows(store, "recordings") == before


def test_equal_events_of_two_units_are_two(store: Store) -> None:
    assert kept_ids(store, events(2)) != kept_ids(store, events(2), "BE99999")
    assert kinds(store) == []
    assert len(rows(store, "recordings")) == 4


def test_blanks_around_a_serial_make_no_other_unit(store: Store) -> None:
    assert kept_ids(store, events(1)) == kept_ids(store, events(1), " BE18189 ")


def test_a_waveform_kept_again_adds_no_row(store: Store) -> None:
    save_waveform(store, event(2))
    before = rows(store, "recording_waveforms"), rows(store, "recordings")
    save_waveform(store, event(2), 1)
    assert (rows(store, "recording_waveforms"), rows(store, "recordings")) == before
    assert kinds(store) == []


def test_an_unknown_time_lets_no_twin_in(store: Store) -> None:
    timeless = event(0, device_time=None)
    first = kept_ids(store, [timeless])
    assert kept_ids(store, [timeless, timeless]) == first * 2
    assert len(rows(store, "recordings")) == 1


def test_two_contents_of_unknown_time_are_two_and_no_finding(store: Store) -> None:
    # After an erase the key comes again: without a time nothing says that the two are one event.
    timeless = event(0, device_time=None)
    one, two = kept_ids(store, [timeless, replace(timeless, record=record_of(0, "other"))])
    assert one != two
    assert kinds(store) == []


def test_two_triggers_of_one_second_are_two(store: Store) -> None:
    first, second = event(0), replace(event(1), device_time=event(0).device_time)
    one, two = kept_ids(store, [first, replace(second, record=first.record)])
    assert one != two
    assert kinds(store) == []


def test_one_key_at_two_times_is_two(store: Store) -> None:
    one, two = kept_ids(store, [event(0), shifted(event(0), hours=1)])
    assert one != two
    assert kinds(store) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_another_content_under_one_stamp_is_kept_beside_the_first_and_reported(
    store: Store, at_once: bool
) -> None:
    first, other = event(0), event(0, record=record_of(0, "other"))
    if at_once:
        one, two = kept_ids(store, [first, other])
    else:
        [one], [two] = kept_ids(store, [first]), kept_ids(store, [other])
    assert one != two
    [finding] = store.read(archive.load_findings)
    assert finding["kind"] == "other_content"
    assert (finding["serial"], finding["recording_id"]) == ("BE18189", public_id(store, two))
    assert first.key.hex() in finding["detail"]
    kept_ids(store, [other, first])
    assert kinds(store) == ["other_content"]
    assert store.read(archive.load_recording, one)["record"] == first.record.hex()
    assert store.read(archive.load_recording, two)["record"] == other.record.hex()


def test_other_samples_of_one_recording_are_kept_beside_the_first_and_reported(
    store: Store,
) -> None:
    save_waveform(store, event(0), salt=0)
    save_waveform(store, event(0), 1, salt=1)
    [recording] = rows(store, "recordings")
    one, two = rows(store, "recording_waveforms")
    assert kinds(store) == ["other_waveform"]
    assert store.read(archive.load_samples, recording["id"]).waveform_id == one["id"]
    assert (
        store.read(archive.load_samples, recording["id"], bytes(two["content_hash"])).waveform_id
        == two["id"]
    )
    for number, salt in ((one["id"], 0), (two["id"], 1)):
        assert store.read(archive.load_image, number) == waveform(event(0), salt)[1]
    save_waveform(store, event(0), 2, salt=0)
    assert kinds(store) == ["other_waveform"]


@pytest.mark.parametrize("serial", ["", " ", "\t\n "])
def test_what_says_of_no_unit_where_it_is_from_is_refused_whole(store: Store, serial: str) -> None:
    save_list(store, events(2))
    before = all_rows(store)
    at = origin(serial, route="tcp:mute:1")
    listed = [event_payload(one) for one in events(2)]
    with pytest.raises(NoSerialError, match="tcp:mute:1"):
        store.write(unit_data.save_list, at, None, probe_of(events(2)), listed, events(2))
    with pytest.raises(NoSerialError):
        store.write(archive.save_events, at, events(2))
    with pytest.raises(NoSerialError):
        save_waveform(store, event(0), at=at)
    assert all_rows(store) == before


def test_what_a_unit_sent_comes_back_to_the_byte(store: Store) -> None:
    entry = event(3, record=bytes(range(210)))
    [number] = kept_ids(store, [entry])
    found = store.read(archive.load_recording, number)
    assert found["record"] == bytes(range(210)).hex()
    live = event_payload(entry)
    assert {name: found[name] for name in live} == live
    assert found["peaks"]["mic_db"] is not None
    assert (found["serial"], found["simulated"]) == ("BE18189", False)
    assert (found["read_at"], found["route"]) == ("2026-05-01T12:00:00.250+00:00", "tcp:unit-a:1")


def test_a_waveform_comes_back_as_its_live_form_and_image(store: Store) -> None:
    entry = event(3)
    live, image = waveform(entry)
    [number] = kept_ids(store, [replace(entry, index=0)])
    save_waveform(store, entry)
    samples = store.read(archive.load_samples, number)
    payload = samples.payload()
    assert payload == {**live, "index": 0}
    assert list(payload) == list(live)
    assert payload["counts"] == live["counts"]
    assert store.read(archive.load_image, samples.waveform_id) == image


wire_floats = st.none() | st.floats(width=32, allow_nan=False)
"""What the four bytes of a wire float can say."""


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_peaks=st.lists(st.tuples(*[wire_floats] * 5), min_size=1, max_size=20))
def test_any_peaks_come_back_as_their_live_form(
    store: Store, given_peaks: list[tuple[float | None, ...]]
) -> None:
    names = [field.name for field in fields(Peaks)]
    entry = [
        event(
            at, peaks=Peaks(**dict(zip(names, values, strict=True))), record=repr(values).encode()
        )
        for at, values in enumerate(given_peaks)
    ]
    for number, one in zip(kept_ids(store, entry), entry, strict=True):
        assert store.read(archive.load_recording, number)["peaks"] == event_payload(one)["peaks"]


def test_decibels_do_not_round_the_other_way_after_a_stay_in_the_archive(store: Store) -> None:
    """Pressures whose shortest text lies on the other side of a half-hundredth of a decibel."""
    psi = np.geomspace(1e-4, 0.5, 400_000, dtype=np.float32)
    exact = 20 * np.log10(psi.astype(np.float64) / 2.9e-9)
    near = np.argsort(np.abs(exact * 100 % 1 - 0.5))[:300]
    entry = [
        event(at, peaks=replace(PEAKS, mic_psi=float(psi[where]))) for at, where in enumerate(near)
    ]
    for number, one in zip(kept_ids(store, entry), entry, strict=True):
        assert store.read(archive.load_recording, number)["peaks"] == event_payload(one)["peaks"]


def test_peaks_that_are_no_number_are_unknown_and_match_no_filter(store: Store) -> None:
    nan = math.nan
    weird = Peaks(tran_in_s=nan, vert_in_s=nan, long_in_s=nan, mic_psi=nan, vector_sum_in_s=nan)
    numbers = kept_ids(store, [event(0, peaks=NOTHING), event(1, peaks=weird), event(2)])
    for number in numbers[:2]:
        assert store.read(archive.load_recording, number)["peaks"] == {
            **event_payload(event(0, peaks=NOTHING))["peaks"]
        }
    page = store.read(archive.load_page, Wanted(min_pvs_in_s=0.0))
    assert [row["id"] for row in page.rows] == [public_id(store, numbers[2])]


def zoned(zones: dict[str, str]) -> Roster:
    """The roster of settings with these zones."""
    return NO_ROSTER.with_seeds(Seeds(zones=zones)).roster


@pytest.mark.parametrize(
    ("unit_time", "utc"),
    [
        pytest.param(datetime(2026, 1, 15, 12), "2026-01-15T11:00:00.000+00:00", id="winter"),
        pytest.param(datetime(2026, 7, 15, 12), "2026-07-15T10:00:00.000+00:00", id="summer"),
        pytest.param(datetime(2026, 3, 29, 1, 59, 59), "2026-03-29T00:59:59.000+00:00", id="last"),
        pytest.param(datetime(2026, 3, 29, 2, 0, 0), None, id="an hour that never was"),
        pytest.param(datetime(2026, 3, 29, 2, 59, 59), None, id="its end"),
        pytest.param(datetime(2026, 3, 29, 3, 0, 0), "2026-03-29T01:00:00.000+00:00", id="after"),
        pytest.param(datetime(2026, 10, 25, 2, 0, 0), None, id="an hour that was twice"),
        pytest.param(datetime(2026, 10, 25, 2, 59, 59), None, id="its last second"),
        pytest.param(
            datetime(2026, 10, 25, 3, 0, 0), "2026-10-25T02:00:00.000+00:00", id="once again"
        ),
        pytest.param(None, None, id="no time"),
        pytest.param(datetime.min, None, id="the edge of the calendar"),
    ],
)
def test_the_instant_is_returned_where_there_is_exactly_one(
    database_url: str, unit_time: datetime | None, utc: str | None
) -> None:
    zones = {"BE18189": "Europe/Berlin"}
    with open_store(database_url) as store:
        read_at = datetime(2026, 12, 1, tzinfo=UTC)
        store.write(archive.save_events, origin(read_at=read_at), [event(0, device_time=unit_time)])
        [row] = store.read(archive.load_page, Wanted(), zones=zoned(zones)).rows
        assert row["utc"] == utc


def test_a_unit_of_no_known_zone_has_no_instant_unless_there_is_one_for_all(
    database_url: str,
) -> None:
    noon = [event(0, device_time=datetime(2026, 1, 15, 12))]
    zones = {"BE18189": "Europe/Berlin"}
    with open_store(database_url) as store:
        store.write(archive.save_events, origin("BE2"), noon)
        store.write(archive.save_events, origin(" BE18189 "), noon)
        page = store.read(archive.load_page, Wanted(), zones=zoned(zones))
        found = {row["serial"]: row["utc"] for row in page.rows}
        assert found == {"BE2": None, "BE18189": "2026-01-15T11:00:00.000+00:00"}
    everywhere = {**zones, "*": "America/Denver"}
    with open_store(database_url) as store:
        store.write(archive.save_events, origin("BE3"), noon)
        store.write(archive.save_events, origin("BE2"), noon)
        page = store.read(archive.load_page, Wanted(), zones=zoned(everywhere))
        found = {row["serial"]: row["utc"] for row in page.rows}
    assert found == {
        "BE2": "2026-01-15T19:00:00.000+00:00",
        "BE18189": "2026-01-15T11:00:00.000+00:00",
        "BE3": "2026-01-15T19:00:00.000+00:00",
    }


@pytest.mark.parametrize(
    "project",
    [None, "", "Steinbruch Süd × 岩 \U0001f9e8 %_'\"\\", "x" * 100_000, "\ufffd", "a\nb\tc"],
    ids=["none", "empty", "signs", "long", "replacement", "blanks"],
)
def test_project_texts_come_back_as_they_are(store: Store, project: str | None) -> None:
    [number] = kept_ids(store, [event(0, project=project)])
    assert store.read(archive.load_recording, number)["project"] == project


def test_a_list_of_fifteen_hundred_is_one_write(store: Store) -> None:
    listed = events(1500)
    save_list(store, listed)
    save_list(store, listed, 1)
    assert store.read(maintenance.count_rows)["recordings"] == 1500
    loaded = store.read(mirror.load, "unit:BE18189")
    assert loaded is not None
    assert loaded.events == [event_payload(one) for one in listed]


def test_eight_writers_of_the_same_events_leave_one_row_each(
    store: Store, second_store: Store
) -> None:
    listed = events(40)
    start = threading.Barrier(8)
    failed: list[BaseException] = []
    kept: list[WriteResult] = []

    def write(number: int) -> None:
        mine = store if number % 2 else second_store
        at = origin(route=f"tcp://route-{number}:1")
        try:
            start.wait(10)
            kept.append(save_list(mine, listed, at=at))
            kept.append(save_waveform(mine, listed[7], 1, at=at))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert len(kept) == 16
    assert store.read(maintenance.count_rows)["recordings"] == 40
    assert store.read(maintenance.count_rows)["recording_waveforms"] == 1
    assert kinds(store) == []


def test_reviews_stand_apart_and_the_last_one_counts(store: Store) -> None:
    one, two = kept_ids(store, events(2))
    before = rows(store, "recordings")
    assert store.read(archive.load_reviews, one) == []
    reviews = [
        store.write(
            archive.save_review, one, at=NOW, reviewer="Ada", false_trigger=True, note="a truck"
        ),
        store.write(
            archive.save_review,
            one,
            at=NOW - timedelta(days=1),
            reviewer="Bob",
            false_trigger=None,
            note=None,
        ),
    ]
    assert reviews[0] == {
        "at": "2026-05-01T12:00:00.250+00:00",
        "reviewer": "Ada",
        "false_trigger": True,
        "note": "a truck",
    }
    assert store.read(archive.load_reviews, one) == reviews[::-1]
    save_list(store, events(2))
    store.write(mirror.drop, "unit:BE18189", 5, "erased")
    assert store.read(archive.load_reviews, one) == reviews[::-1]
    assert rows(store, "recordings") == before
    latest = {row["id"]: row["review"] for row in store.read(archive.load_page, Wanted()).rows}
    assert latest == {public_id(store, one): reviews[1], public_id(store, two): None}


@pytest.mark.parametrize("number", [0, -1, 77])
def test_a_missing_row_is_reported(store: Store, number: int) -> None:
    save_list(store, events(2))
    for look in (
        lambda: store.read(archive.load_recording, number),
        lambda: store.read(archive.load_samples, number),
        lambda: store.read(archive.load_image, number),
        lambda: store.read(archive.load_reviews, number),
        lambda: store.write(
            archive.save_review, number, at=NOW, reviewer="", false_trigger=None, note=None
        ),
    ):
        with pytest.raises(NoSuchRecordError):
            look()
    with pytest.raises(NoSuchRecordError, match="never downloaded"):
        store.read(archive.load_samples, rows(store, "recordings")[0]["id"])
    assert rows(store, "reviews") == []


def test_the_units_of_the_archive_have_their_last_read_time(store: Store) -> None:
    store.write(archive.save_events, origin(route="old"), [shifted(event(0), days=9000), event(1)])
    later = origin(route="new", read_at=NOW + timedelta(days=3), simulated=True)
    store.write(archive.save_events, later, [event(2), event(3, device_time=None)])
    store.write(archive.save_events, origin("A1"), [event(4, device_time=None)])
    timeless, unit = store.read(archive.load_devices)
    assert unit == {
        "serial": "BE18189",
        "recordings": 4,
        "first_timestamp": archived_time(event(1)),
        "last_timestamp": archived_time(shifted(event(0), days=9000)),
        "simulated": True,
        "last_read_at": "2026-05-04T12:00:00.250+00:00",
        "last_route": "new",
    }
    assert (timeless["serial"], timeless["first_timestamp"]) == ("A1", None)


def archived_time(of: Event) -> str:
    assert of.device_time is not None
    return of.device_time.isoformat()


def test_one_read_sees_one_state_while_others_write(store: Store, second_store: Store) -> None:
    save_list(store, events(2))
    with store.engines.read() as connection:
        count = select(func.count()).select_from(schema.cached_events)
        assert connection.execute(count).scalar_one() == 2
        save_list(second_store, events(5), 1, first_new=2)
        assert connection.execute(count).scalar_one() == 2
    assert store.read(maintenance.count_rows)["cached_events"] == 5
