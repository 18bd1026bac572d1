"""One budget for values and for what is made of them; storing costs the same beside thousands."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from kit.relay_world import FieldUnit, World, in_virtual_time

from sfm.api.app import build_app
from sfm.live_cache import LiveCache

DEV, OTHER = "tcp:10.0.0.5:12345", "tcp:10.0.0.6:12345"
UNIT: dict[str, str | int] = {"host": "unit.invalid"}


def wave(index: int, size: int = 300) -> dict[str, Any]:
    return {"waveform_key": f"{index:08x}", "peaks": {"tran": 0.5}, "counts": bytes([7]) * size}


def cache_of(waveforms: int, limit_bytes: int | None = None) -> LiveCache:
    cache = LiveCache(limit_bytes=limit_bytes)
    for index in range(waveforms):
        assert cache.set_waveform(DEV, index, wave(index))
    return cache


# --- flat cost ----------------------------------------------------------------------------------


def cost_of(operation: Callable[[], object]) -> tuple[int, int]:
    """Return the lines run by an operation, and the most memory that it took at once."""
    lines = 0

    def trace(frame: Any, what: str, arg: object) -> Any:
        nonlocal lines
        lines += what == "line"
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    began_bytes = tracemalloc.get_traced_memory()[0]
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
        most_bytes = tracemalloc.get_traced_memory()[1] - began_bytes
        tracemalloc.stop()
        gc.enable()
    return lines, most_bytes


@pytest.mark.parametrize(
    "is_full", [False, True], ids=["room left", "one goes for each that comes"]
)
def test_storing_a_waveform_is_the_same_work_beside_ten_as_beside_three_thousand(
    is_full: bool,
) -> None:
    spent = []
    for others in (10, 3000):
        limit_bytes = cache_of(others).size_bytes if is_full else None
        cache = cache_of(others, limit_bytes)
        cost_of(partial(cache.set_waveform, DEV, 5, wave(5)))
        spent.append(cost_of(partial(cache.set_waveform, DEV, 5, wave(5))))
        new = cost_of(partial(cache.set_waveform, OTHER, 0, wave(0)))
        spent.append((new[0], 0))
        assert (cache.stats()["evicted_waveforms"] > 0) == is_full
    assert [lines for lines, _ in spent[:2]] == [lines for lines, _ in spent[2:]]
    # A copy of what is held of the unit would take some 100 kB beside three thousand.
    assert abs(spent[2][1] - spent[0][1]) < 10_000


# --- one budget ---------------------------------------------------------------------------------


def entry(cache: LiveCache, index: int) -> Any:
    found = cache.waveform_entry(DEV, index)
    assert found is not None
    return found


def books_balance(cache: LiveCache) -> bool:
    stats = cache.stats()
    each = sum(device["bytes"] for device in stats["by_device"].values())
    return bool(stats["bytes"] == each == cache.size_bytes)


def test_what_is_made_of_a_value_counts_until_the_value_leaves() -> None:
    cache = cache_of(2)
    before = cache.size_bytes
    waveform = entry(cache, 0)
    waveform.memo.save("json", b"x" * 5000, 5000)
    assert cache.size_bytes >= before + 5000
    waveform.memo.save("json", b"x" * 7000, 7000)
    assert before + 7000 <= cache.size_bytes < before + 12_000
    assert books_balance(cache)
    cache.set_waveform(DEV, 0, wave(0))
    assert cache.size_bytes == before
    # A reader who has the old one may go on with it, and nobody counts it.
    assert waveform.memo["json"] == b"x" * 7000
    waveform.memo.save("late", b"x" * 9000, 9000)
    assert cache.size_bytes == before
    assert books_balance(cache)


def test_a_memo_made_while_its_value_leaves_is_not_counted() -> None:
    cache = cache_of(1)
    memo = entry(cache, 0).memo
    cache.drop_device(DEV, "asked to")
    cache._save_memo(memo, "json", b"x", 1)  # as of a thread that was about to take the lock
    assert cache.size_bytes == 0
    assert memo["json"] == b"x"


@pytest.mark.parametrize(
    "leave",
    [
        lambda cache: cache.drop_device(DEV, "asked to"),
        lambda cache: cache.set_events(DEV, 1, [{"index": 0, "waveform_key": "99"}]),
        lambda cache: cache.set_device_info(DEV, {"serial": "other"}),
        lambda cache: cache.invalidate_monitor_status(DEV),
    ],
    ids=["drop", "another memory", "another unit", "monitoring switched"],
)
def test_nothing_stays_in_the_books_of_what_left(leave: Callable[[LiveCache], object]) -> None:
    cache = cache_of(3)
    cache.set_device_info(DEV, {"serial": "one"})
    cache.set_events(DEV, 3, [{"index": i, "waveform_key": f"{i:08x}"} for i in range(3)])
    cache.set_monitor_status(DEV, {"monitoring": True})
    readers = [cache.info_entry(DEV), cache.events_entry(DEV), cache.monitor_status_entry(DEV)]
    for found in (*readers, entry(cache, 0)):
        assert found is not None
        found.memo.save("json", b"x" * 1000, 1000)
    leave(cache)
    assert books_balance(cache)
    cache.drop_device(DEV, "asked to")
    assert cache.size_bytes == 0


def test_memos_go_first_beyond_their_share_and_waveforms_after_that() -> None:
    cache = cache_of(10, limit_bytes=20_000)
    for index in range(10):
        entry(cache, index).memo.save("json", b"x" * 4000, 4000)
        assert cache.size_bytes <= 20_000
    stats = cache.stats()
    assert stats["waveforms"] == 10
    assert stats["evicted_memos"] >= 6
    assert "json" in entry(cache, 9).memo
    assert "json" not in entry(cache, 0).memo
    # Within their share, memos stay and the oldest waveforms make room.
    for index in range(10, 60):
        cache.set_waveform(DEV, index, wave(index))
        assert cache.size_bytes <= 20_000
        assert cache.waveform_entry(DEV, index) is not None
    assert cache.waveform_entry(DEV, 0) is None
    assert books_balance(cache)


def test_the_waveform_stored_last_does_not_go_for_what_is_made_of_it() -> None:
    cache = LiveCache(limit_bytes=5000)
    assert cache.set_waveform(DEV, 0, wave(0, 4500))
    entry(cache, 0).memo.save("json", b"x" * 12_000, 12_000)
    assert entry(cache, 0).value() == wave(0, 4500)
    assert entry(cache, 0).memo == {}
    assert cache.size_bytes <= 5000


def test_no_device_shares_its_waveforms_with_another() -> None:
    cache = LiveCache()
    cache.set_monitor_status(DEV, {"monitoring": True})
    cache.mark_config_dirty(OTHER)
    cache.set_waveform(DEV, 0, wave(0))
    assert cache.get_waveform(OTHER, 0) is None
    assert cache.get_waveform("tcp:10.0.0.7:12345", 0) is None


def test_long_bytes_are_shared_by_all_copies_and_nothing_else_is() -> None:
    cache = cache_of(1)
    first, second = cache.get_waveform(DEV, 0), cache.get_waveform(DEV, 0)
    assert first == second == wave(0)
    assert first is not None
    assert second is not None
    assert list(first) == list(wave(0))
    assert first["counts"] is second["counts"]
    first["peaks"]["tran"], first["counts"] = 9.0, b""
    assert cache.get_waveform(DEV, 0) == wave(0)


# --- through HTTP -------------------------------------------------------------------------------


@in_virtual_time
async def test_encoded_answers_are_in_the_figure_that_the_relay_gives(world: World) -> None:
    unit = FieldUnit()
    for _ in range(6):
        unit.record_event()
    world.plug(unit)
    transport = httpx.ASGITransport(build_app(world.settings, world.gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def ask(path: str) -> httpx.Response:
            more = {} if path.startswith("/cache") else UNIT | {"max_age": 60}
            answer = await client.get(path, params=more, timeout=None)
            assert answer.status_code == 200
            return answer

        sent = 0
        for path in ("/device/events", *(f"/device/event/{i}/waveform" for i in range(6))):
            await ask(path)
            sent += len((await ask(path)).content)
        stats = (await ask("/cache/stats")).json()["cache"]
        values = 0
        for key in stats["by_device"]:
            for index in range(6):
                waveform = world.cache.get_waveform(key, index)
                assert waveform is not None
                values += len(waveform["counts"])
        assert stats["bytes"] >= sent + values


@in_virtual_time
async def test_an_answer_is_the_same_when_its_encoded_form_was_evicted(world: World) -> None:
    await world.with_disk(validated_s=3600, cache_limit_bytes=30_000)
    unit = FieldUnit()
    for _ in range(4):
        unit.record_event()
    world.plug(unit)
    transport = httpx.ASGITransport(build_app(world.settings, world.gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        tags: dict[str, str] = {}
        for _ in range(3):
            for path in (*(f"/device/event/{i}/waveform" for i in range(4)), "/device/event/2"):
                answer = await client.get(path, params=UNIT | {"max_age": 3600}, timeout=None)
                assert answer.status_code == 200
                assert tags.setdefault(path, answer.headers["etag"]) == answer.headers["etag"]
                assert world.cache.size_bytes <= 30_000
        assert world.cache.stats()["evicted_memos"] > 0
