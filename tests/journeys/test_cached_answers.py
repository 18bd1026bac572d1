"""
What an ordinary HTTP cache holds of the archive is never another recording's, nor an old figure.

Two clients that nobody here wrote: requests with CacheControl, and Chromium that opens addresses.
Each asks, then something changes behind the relay's back, and it asks all of it again: what it
gets must be what a client without any cache gets.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest
import requests
from cachecontrol import CacheControl
from kit.chromium import ARGUMENTS, CHROMIUM
from kit.peers import lack
from kit.ports import reserve_port
from kit.relay_process import relay
from kit.unit_thread import UnitThread
from playwright.sync_api import sync_playwright

from minimateplus.simulator import SimulatedUnit
from sfm.store import Store


class Client(Protocol):
    """Asks for an address; the status and the JSON of what it has or gets."""

    def __call__(self, url: str, /) -> tuple[int, Any]: ...


@contextmanager
def caching_library() -> Iterator[Client]:
    session = CacheControl(requests.Session())

    def get(url: str, /) -> tuple[int, Any]:
        answer = session.get(url, timeout=30)
        return answer.status_code, answer.json()

    with session:
        yield get


@contextmanager
def chromium() -> Iterator[Client]:
    if CHROMIUM is None:
        lack("no Chromium to test with (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page()

        def get(url: str, /) -> tuple[int, Any]:
            answer = page.goto(url)
            assert answer is not None
            return answer.status, orjson.loads(page.inner_text("pre"))

        try:
            yield get
        finally:
            browser.close()


@pytest.fixture(params=[caching_library, chromium], ids=["library", "browser"])
def get(request: pytest.FixtureRequest) -> Iterator[Client]:
    with request.param() as client:
        yield client


@pytest.fixture
def port() -> int:
    """A port that each start of the relay takes again, so that addresses stay the same."""
    return reserve_port()


def unit_of(serial: str, seed: int, at: datetime) -> SimulatedUnit:
    unit = SimulatedUnit(serial, seed=seed)
    unit.record_event(seed=seed, at_device_time=at)
    return unit


def read(base: str, unit: UnitThread) -> None:
    where = {"host": "127.0.0.1", "tcp_port": str(unit.port)}
    count = requests.get(f"{base}/device/events", params=where, timeout=30).json()["count"]
    for index in range(count):
        path = f"{base}/device/event/{index}/waveform"
        assert requests.get(path, params=where, timeout=30).status_code == 200


def paths_of(base: str) -> list[str]:
    """Every address that the archive names now, and those of before."""
    rows = requests.get(f"{base}/archive/events", timeout=30).json()["events"]
    named = [f"/archive/recordings/{row['id']}{tail}" for row in rows for tail in ("", "/waveform")]
    short = [f"/archive/recordings/{row['id'][:8]}" for row in rows]
    old = [f"/archive/events/{number}{t}" for number in (1, 2) for t in ("", "/waveform")]
    return [*named, *short, *old, "/archive/events", "/archive/units"]


def agree(get: Client, base: str, paths: list[str]) -> dict[str, tuple[int, Any]]:
    """Ask for all of it with the cache and without; both must say the same."""
    found = {}
    for path in paths:
        true = requests.get(base + path, timeout=30)
        found[path] = get(base + path)
        assert found[path] == (true.status_code, true.json()), path
    return found


Start = Callable[..., Any]


@pytest.fixture
def start(port: int, tmp_path: Path) -> Start:
    def begin(**settings: str) -> Any:
        path = tmp_path / "relay.sqlite"
        return relay("--http-port", str(port), database=path, SFM_KEEP_OPEN_S="0", **settings)

    return begin


def test_after_a_new_database_nothing_is_shown_of_the_old_one(
    get: Client, start: Start, tmp_path: Path
) -> None:
    dry_run = UnitThread(unit_of("BE11529", 1, datetime(2026, 3, 1, 10)))
    real = UnitThread(unit_of("BE18189", 9, datetime(2026, 7, 7, 15)))
    try:
        with start() as first:
            read(first.base, dry_run)
            asked = paths_of(first.base)
            agree(get, first.base, asked)
        for path in tmp_path.glob("relay.sqlite*"):
            path.unlink()
        with start() as second:
            read(second.base, real)
            found = agree(get, second.base, asked + paths_of(second.base))
            bodies = [str(body) for _, body in found.values()]
            assert not any("BE11529" in text for text in bodies)
            assert any("BE18189" in text for text in bodies)
    finally:
        dry_run.close()
        real.close()


def test_after_a_backup_was_put_back_each_address_is_its_own_recording(
    get: Client, start: Start, tmp_path: Path
) -> None:
    simulated = unit_of("BE11529", 1, datetime(2026, 3, 1, 10))
    unit = UnitThread(simulated)
    try:
        with start() as first:
            read(first.base, unit)
            asked = paths_of(first.base)
            agree(get, first.base, asked)
        shutil.copy(tmp_path / "relay.sqlite", tmp_path / "backup")
        for seed in (2, 3):
            unit.do(simulated.erase)
            at = datetime(2026, 3, seed, 10)
            unit.do(partial(simulated.record_event, seed=seed, at_device_time=at))
            with start() as relay_now:
                read(relay_now.base, unit)
                asked += paths_of(relay_now.base)
                agree(get, relay_now.base, asked)
            for path in tmp_path.glob("relay.sqlite*"):
                path.unlink()
            shutil.copy(tmp_path / "backup", tmp_path / "relay.sqlite")
    finally:
        unit.close()


COUNTS = {"accept": "application/octet-stream"}


def bytes_named(base: str) -> dict[str, dict[str, str]]:
    """Each address of a unit's own bytes in the archive now, with the headers to ask with."""
    found: dict[str, dict[str, str]] = {}
    for row in requests.get(f"{base}/archive/events", timeout=30).json()["events"]:
        for content in row["contents"]:
            path = f"/archive/recordings/{row['id']}"
            found[f"{path}/image?content={content}"] = {}
            found[f"{path}/waveform?content={content}"] = COUNTS
            found[f"{path}/image"] = {}
    return found


def right_bytes(
    cached: requests.Session, base: str, asked: dict[str, dict[str, str]]
) -> tuple[int, int]:
    """Ask with a cache and without; return how many came from the cache, how many are gone."""
    unasked = gone = 0
    for path, headers in asked.items():
        true = requests.get(base + path, headers=headers, timeout=30)
        answer = cached.get(base + path, headers=headers, timeout=30)
        from_cache = bool(getattr(answer, "from_cache", False))
        if "/image?content=" in path and answer.status_code == 200:
            # The address is the hash of the bytes, so they are right whatever the relay has now.
            content = path.partition("=")[2]
            assert hashlib.blake2b(answer.content, digest_size=32).hexdigest() == content, path
            unasked += from_cache
        else:
            assert (answer.status_code, answer.content) == (true.status_code, true.content), path
        gone += true.status_code == 404
    return unasked, gone


def test_bytes_that_may_be_cached_for_ever_are_those_of_their_address(
    start: Start, tmp_path: Path
) -> None:
    simulated = unit_of("BE11529", 1, datetime(2026, 3, 1, 10))
    unit = UnitThread(simulated)
    other = UnitThread(unit_of("BE18189", 9, datetime(2026, 7, 7, 15)))
    path = tmp_path / "relay.sqlite"
    try:
        with CacheControl(requests.Session()) as cached:
            with start() as first:
                read(first.base, unit)
                asked = bytes_named(first.base)
                assert right_bytes(cached, first.base, asked) == (0, 0)
                assert right_bytes(cached, first.base, asked) == (1, 0)
            shutil.copy(path, tmp_path / "backup")
            # A new database: the same numbers of rows, another unit.
            for one in tmp_path.glob("relay.sqlite*"):
                one.unlink()
            with start() as second:
                read(second.base, other)
                assert right_bytes(cached, second.base, asked) == (1, 3)
                of_other = bytes_named(second.base)
                assert right_bytes(cached, second.base, of_other) == (0, 0)
            # A restored backup, in which the same slot is recorded anew.
            for one in tmp_path.glob("relay.sqlite*"):
                one.unlink()
            shutil.copy(tmp_path / "backup", path)
            unit.do(simulated.erase)
            at = datetime(2026, 3, 2, 10)
            unit.do(partial(simulated.record_event, seed=2, at_device_time=at))
            with start() as third:
                read(third.base, unit)
                now = bytes_named(third.base)
                assert asked.keys() < now.keys()
                assert right_bytes(cached, third.base, asked | of_other) == (2, 3)
                assert right_bytes(cached, third.base, now) == (1, 0)
    finally:
        unit.close()
        other.close()


def test_a_corrected_zone_or_scale_is_what_every_client_gets(
    get: Client, start: Start, tmp_path: Path
) -> None:
    from kit.stored_rows import write_row  # an earlier program has no such hashes

    unit = UnitThread(unit_of("BE11529", 1, datetime(2026, 3, 1, 10)))
    try:
        with start() as unset:
            read(unset.base, unit)
            asked = paths_of(unset.base)
            before = agree(get, unset.base, asked)
            assert before["/archive/events"][1]["events"][0]["utc"] is None
        with start(SFM_SITE_ZONES='{"*": "America/New_York"}') as zoned:
            found = agree(get, zoned.base, asked)
            assert found[asked[0]][1]["utc"].startswith("2026-03-01T15:00")
            corrected = requests.patch(f"{zoned.base}/zones", json={"zone": "America/Denver"})
            assert corrected.ok, corrected.text
            found = agree(get, zoned.base, asked)
            assert found[asked[0]][1]["utc"].startswith("2026-03-01T17:00")
            assert found["/archive/events"][1]["events"][0]["utc"].startswith("2026-03-01T17:00")
        with Store.open(f"sqlite:///{tmp_path / 'relay.sqlite'}") as store:
            facts = orjson.loads(_facts(store))
            facts["geo_range_in_s"] = 1.25
            write_row(store, "recording_decodings", {}, facts_json=orjson.dumps(facts).decode())
        with start() as scaled:
            found = agree(get, scaled.base, asked)
            peak = found[asked[1]][1]["channels"]["Tran"]["peak"]
            assert peak == pytest.approx(before[asked[1]][1]["channels"]["Tran"]["peak"] / 8, 1e-3)
    finally:
        unit.close()


def _facts(store: Store) -> str:
    with store.engines.read() as connection:
        query = "SELECT facts_json FROM recording_decodings"
        return str(connection.exec_driver_sql(query).scalar_one())
