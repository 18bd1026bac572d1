"""Freshness chosen by the reader: each test body runs through the layer in front, and past it."""

from __future__ import annotations

import asyncio
import math
import re
from typing import Any

import httpx
import pytest
from kit.relay_world import HERE, KEY, FieldUnit, World, in_virtual_time

from minimateplus.errors import ConnectError
from minimateplus.simulator.faulty_links import LateLink
from sfm.api.app import build_app
from sfm.api.cache_control import directives
from sfm.cache.freshness import ANY, FORCED, Freshness
from sfm.devices.connection_lock import ConnectionLock
from sfm.devices.single_flight import SharedRead, SingleFlight

UNIT = {"host": "unit.invalid"}

BOTH_WAYS = pytest.mark.parametrize("layer", [True, False], ids=["layer", "framework"])


def application(world: World, layer: bool) -> Any:
    app = build_app(world.settings, world.gateway)
    if not layer:
        app.state.guard._app = app.framework
    return app


async def get(
    world: World,
    path: str,
    layer: bool = True,
    /,
    headers: dict[str, str] | httpx.Headers | None = None,
    **more: Any,
) -> httpx.Response:
    transport = httpx.ASGITransport(application(world, layer), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        params = {**UNIT, **more}
        return await client.get(path, params=params, headers=headers, timeout=None)


def asked(world: World) -> int:
    return world.units[HERE].exchanges


@pytest.mark.parametrize(
    ("wish", "age_s", "allowed_s", "will_do"),
    [
        (ANY, 29.999, 30.0, True),
        (ANY, 30.001, 30.0, False),
        (ANY, 1e9, math.inf, True),
        (ANY, 0.0, -math.inf, False),
        (FORCED, 0.0, math.inf, False),
        (Freshness(max_age_s=10), 10.0, math.inf, True),
        (Freshness(max_age_s=10), 10.1, math.inf, False),
        (Freshness(max_age_s=10), 5.0, -math.inf, True),
        (Freshness(max_age_s=0), 0.1, math.inf, False),
        (Freshness(only_if_cached=True), 1e9, -math.inf, True),
        (Freshness(only_if_cached=True, max_age_s=10), 10.1, -math.inf, False),
        (Freshness(max_age_s=10), math.inf, math.inf, False),
    ],
)
def test_what_a_reader_will_take(
    wish: Freshness, age_s: float, allowed_s: float, will_do: bool
) -> None:
    assert wish.accepts(age_s, allowed_s) is will_do


def test_a_forced_reader_takes_nothing_old_even_after_an_error() -> None:
    assert not Freshness(force=True, stale_if_error_s=math.inf).accepts_after_error(0.0)
    assert Freshness(stale_if_error_s=5).accepts_after_error(5.0)
    assert not Freshness(stale_if_error_s=5).accepts_after_error(5.1)
    assert not ANY.accepts_after_error(0.0)


@pytest.mark.parametrize(
    ("header", "request_headers"),
    [
        ("no-cache", {"no-cache": None}),
        ("MAX-AGE=5, only-if-cached", {"max-age": 5.0, "only-if-cached": None}),
        ('max-age="7"', {"max-age": 7.0}),
        ("max-age", {}),
        ("max-age=x, no-cache", {"no-cache": None}),
        ("max-age=-1", {}),
        ("stale-if-error=60", {"stale-if-error": 60.0}),
        (",,;", {}),
    ],
)
def test_a_header_is_read_as_far_as_it_can_be(header: str, request_headers: dict[str, Any]) -> None:
    assert directives(header) == request_headers


@BOTH_WAYS
@in_virtual_time
async def test_a_list_is_served_unasked_while_its_last_proof_is_young_enough(
    world: World, layer: bool
) -> None:
    world.plug(FieldUnit().record(2))
    await get(world, "/device/events", layer)
    spent = asked(world)
    await asyncio.sleep(20)
    young = await get(world, "/device/events", layer, max_age=25)
    assert asked(world) == spent
    assert young.json()["provenance"]["exchanges"] == 0
    assert int(young.headers["Age"]) >= 20
    await get(world, "/device/events", layer, max_age=10)
    assert asked(world) > spent


@pytest.mark.parametrize(
    "wishes", [(5.0, -math.inf), (-math.inf, 5.0), (5.0, 3.0), (math.inf, 3.0)]
)
@in_virtual_time
async def test_a_shared_read_accepts_no_more_age_than_its_strictest_reader(
    world: World, wishes: tuple[float, float]
) -> None:
    line = ConnectionLock()
    single_flight = SingleFlight(line)

    async def read(shared_read: SharedRead[float]) -> float:
        return shared_read.max_age_s

    async with line:
        asked = [
            asyncio.create_task(single_flight.ask("list", read, max_age_s=wish)) for wish in wishes
        ]
        await asyncio.sleep(0)
    assert [(await task)[0] for task in asked] == [min(wishes)] * 2


@pytest.mark.parametrize(
    ("path", "limit_s"), [("info", math.inf), ("monitor_status", 30.0), ("events", -math.inf)]
)
@in_virtual_time
async def test_a_reader_without_a_wish_joins_within_the_resource_s_own_limits(
    world: World, path: str, limit_s: float
) -> None:
    world.plug(FieldUnit().record(1))
    device = world.gateway.registry.unit("SIM0001")
    joined: list[float] = []
    ask = device.single_flight.ask

    async def note(*args: Any, **more: Any) -> Any:
        joined.append(more["max_age_s"])
        return await ask(*args, **more)

    device.single_flight.ask = note  # type: ignore[method-assign]
    await getattr(world.gateway, path)(HERE)
    assert joined == [limit_s]


@in_virtual_time
async def test_a_list_that_was_not_proven_cannot_say_that_an_event_is_absent(
    world: World,
) -> None:
    world.plug(FieldUnit().record(1))
    await get(world, "/device/events")
    await asyncio.sleep(10)
    for layer in (True, False):
        never = await get(world, "/device/event/7", layer, only_if_cached=True)
        assert (never.status_code, never.json()["type"].rpartition(":")[2]) == (504, "not-cached")
    assert (await get(world, "/device/event/7")).status_code == 404
    await asyncio.sleep(10)
    world.units.clear()
    gone = await get(world, "/device/event/7", stale_if_error=1000)
    assert (gone.status_code, gone.json()["type"].rpartition(":")[2]) == (503, "unit-unreachable")
    assert (await get(world, "/device/event/0", stale_if_error=1000)).status_code == 200


@BOTH_WAYS
@pytest.mark.parametrize("header", ["no-cache", "max-age=0"])
@in_virtual_time
async def test_the_words_of_http_reach_the_unit(world: World, layer: bool, header: str) -> None:
    world.plug(FieldUnit().record(1))
    await get(world, "/device/info", layer)
    spent = asked(world)
    await asyncio.sleep(1)
    await get(world, "/device/info", layer)
    assert asked(world) == spent
    fresh = await get(world, "/device/info", layer, {"Cache-Control": header})
    assert asked(world) > spent
    assert fresh.json()["provenance"]["source"] == "device"


@BOTH_WAYS
@in_virtual_time
async def test_only_if_cached_asks_nothing_and_says_how_old_it_is(
    world: World, layer: bool
) -> None:
    world.plug(FieldUnit().record(1))
    nothing = await get(world, "/device/events", layer, only_if_cached=True)
    assert (nothing.status_code, asked(world)) == (504, 0)
    assert nothing.json()["type"].endswith("not-cached")
    await get(world, "/device/events", layer)
    spent = asked(world)
    await asyncio.sleep(500)
    old = await get(world, "/device/events", layer, {"Cache-Control": "only-if-cached"})
    assert asked(world) == spent
    assert old.json()["provenance"]["quality"] == "unchecked"
    assert int(old.headers["Age"]) >= 500
    late = await get(world, "/device/monitor/status", layer, only_if_cached=True)
    assert late.status_code == 504


@in_virtual_time
async def test_only_if_cached_of_an_unknown_address_makes_no_owner(world: World) -> None:
    await get(world, "/device/info", only_if_cached=True)
    assert world.gateway.stats()["devices"] == {}


@in_virtual_time
async def test_the_last_answer_is_served_with_its_age_when_the_unit_is_gone(world: World) -> None:
    world.plug(FieldUnit().record(1))
    await get(world, "/device/events")
    await asyncio.sleep(60)
    world.units.clear()
    refused = await get(world, "/device/events")
    assert refused.status_code == 503
    served = await get(world, "/device/events", stale_if_error=3600)
    reported = served.json()["provenance"]
    assert (served.status_code, reported["quality"], reported["source"]) == (
        200,
        "last_known",
        "cache",
    )
    assert reported["age_s"] >= 60
    assert "fwd=stale; fwd-status=504" in served.headers["Cache-Status"]
    assert (await get(world, "/device/events", stale_if_error=30)).status_code == 503
    forced = await get(world, "/device/events", stale_if_error=3600, force=True)
    assert forced.status_code == 503


@in_virtual_time
async def test_an_expired_status_is_a_last_answer_but_invalidated_settings_are_not(
    world: World,
) -> None:
    world.plug(FieldUnit().record(1))
    await get(world, "/device/monitor/status")
    await get(world, "/device/info")
    await asyncio.sleep(100)
    world.cache.mark_config_dirty(KEY)
    world.units.clear()
    status = await get(world, "/device/monitor/status", stale_if_error=1000)
    assert status.json()["provenance"]["quality"] == "last_known"
    assert (await get(world, "/device/info", stale_if_error=1000)).status_code == 503


@pytest.mark.parametrize("layer", [True, False])
@in_virtual_time
async def test_a_waveform_is_served_unasked_only_within_the_window_of_the_last_proof(
    world: World, layer: bool
) -> None:
    await world.with_settings(validated_s=30.0)
    world.plug(FieldUnit().record(1))
    path = "/device/event/0/waveform"
    await get(world, path, layer)
    spent = asked(world)
    await asyncio.sleep(29)
    again = await get(world, path, layer)
    assert asked(world) == spent
    assert "ttl=" in again.headers["Cache-Status"]
    await asyncio.sleep(2)
    await get(world, path, layer)
    assert asked(world) > spent


@BOTH_WAYS
@in_virtual_time
async def test_who_has_it_already_gets_304_and_no_body(world: World, layer: bool) -> None:
    world.plug(FieldUnit().record(1))
    for path in ("/device/info", "/device/event/0", "/device/event/0/waveform"):
        first = await get(world, path, layer)
        tag = first.headers["ETag"]
        for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await get(world, path, layer, {"If-None-Match": header})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tag
            assert "Age" in again.headers
        other = await get(world, path, layer, {"If-None-Match": '"other"'})
        assert other.status_code == 200


@in_virtual_time
async def test_who_names_another_event_gets_412_before_anything_is_downloaded(
    world: World,
) -> None:
    unit = FieldUnit().record(1)
    world.plug(unit)
    event = (await get(world, "/device/event/0")).headers["ETag"]
    waveform = (await get(world, "/device/event/0/waveform")).headers["ETag"]
    for tag in (event, waveform, "*", f'"other", {event}'):
        kept = await get(world, "/device/event/0/waveform", True, {"If-Match": tag})
        assert kept.status_code == 200
    downloads = unit.heard.count(0x5A)
    unit.erase()
    unit.record(1, axis=1)
    for tag in (event, waveform):
        for path in ("/device/event/0", "/device/event/0/waveform"):
            gone = await get(world, path, True, {"If-Match": tag})
            assert (gone.status_code, gone.json()["type"].rpartition(":")[2]) == (
                412,
                "event-mismatch",
            )
    assert unit.heard.count(0x5A) == downloads
    assert world.cache.waveform_entry("tcp:unit.invalid:12345", 0) is None


@in_virtual_time
async def test_layer_and_framework_say_the_same(world: World) -> None:
    world.plug(FieldUnit().record(3))
    paths = ["/device/info", "/device/monitor/status", "/device/events", "/device/event/1"]
    paths += ["/device/event/1/waveform"]
    for path in paths:
        await get(world, path, False)
        wishes: list[dict[str, Any]] = [
            {"max_age": 1000},
            {"only_if_cached": True},
            {"max_age": "x"},
        ]
        for more in wishes:
            one = await get(world, path, True, **more)
            other = await get(world, path, False, **more)
            assert (one.status_code, one.content) == (other.status_code, other.content)
            assert dict(one.headers) == dict(other.headers)


@pytest.mark.parametrize("layer", [True, False])
@in_virtual_time
async def test_a_header_that_stands_there_twice_is_one_list(world: World, layer: bool) -> None:
    world.plug(FieldUnit().record(1))
    await get(world, "/device/events", layer)
    for first, second in (("no-cache", "max-age=60"), ("max-age=60", "no-cache")):
        request_headers = httpx.Headers([("Cache-Control", first), ("Cache-Control", second)])
        forced = await get(world, "/device/events", layer, request_headers)
        assert "fwd=request" in forced.headers["Cache-Status"]


@in_virtual_time
async def test_a_waveform_comes_as_bare_counts_to_who_accepts_them(world: World) -> None:
    unit = FieldUnit().record(1)
    world.plug(unit)
    for _ in range(2):
        bare = await get(
            world, "/device/event/0/waveform", True, {"Accept": "application/octet-stream"}
        )
        assert bare.content == unit.counts_of(0).astype("<i2").tobytes()
        assert bare.headers["X-Samples"] == str(unit.counts_of(0).shape[1])
        assert float(bare.headers["X-In-S-Per-Count"]) == 0.005
        assert bare.headers["X-Simulated"] == "true"
    whole = await get(world, "/device/event/0/waveform")
    assert whole.headers["ETag"] != bare.headers["ETag"]


@in_virtual_time
async def test_a_reader_who_joins_another_s_read_keeps_its_own_freshness_request(
    world: World,
) -> None:
    world.plug(FieldUnit().record(1))
    await world.gateway.info(HERE)
    await asyncio.sleep(100)
    spent = asked(world)
    await world.gateway.info(HERE, Freshness(max_age_s=1000))
    assert asked(world) == spent
    # A list is read; behind it wait one who takes any age and one who takes none.
    reading = asyncio.create_task(world.gateway.events(HERE))
    await asyncio.sleep(0)
    strict = asyncio.create_task(world.gateway.info(HERE, Freshness(max_age_s=0)))
    await asyncio.gather(reading, strict)
    assert strict.result().provenance.why == "miss"


async def fail(world: World, times: int) -> list[str]:
    kinds = []
    for _ in range(times):
        try:
            await world.gateway.info(HERE)
        except Exception as error:
            kinds.append(type(error).__name__)
    return kinds


@in_virtual_time
async def test_a_unit_that_fails_is_left_alone_for_longer_and_longer(world: World) -> None:
    world.plug(FieldUnit().record(1))
    await world.gateway.events(HERE)
    await asyncio.sleep(10)  # the line that was kept open is hung up
    units, world.units = dict(world.units), {}
    world.cache.drop_device(KEY, "for the test")
    assert await fail(world, 3) == ["ConnectError", "ConnectError", "BackingOffError"]
    with pytest.raises(ConnectError):
        await world.gateway.info(HERE, FORCED)
    backing_off = await get(world, "/device/info")
    assert (backing_off.status_code, backing_off.json()["type"].rpartition(":")[2]) == (
        503,
        "backing-off",
    )
    assert 1 <= int(backing_off.headers["Retry-After"]) <= 4
    await asyncio.sleep(4.1)
    assert await fail(world, 2) == ["ConnectError", "BackingOffError"]
    world.units.update(units)
    await asyncio.sleep(61)
    assert (await world.gateway.info(HERE)).provenance.source == "device"
    assert world.gateway.stats()["devices"][KEY]["failures_in_a_row"] == 0


@in_virtual_time
async def test_more_readers_than_may_wait_are_turned_away_with_a_time(world: World) -> None:
    await world.with_settings(max_readers=3)
    world.plug(FieldUnit().record(1))
    replies = await asyncio.gather(*(get(world, "/device/events") for _ in range(5)))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 503, 503]
    busy = next(reply for reply in replies if reply.status_code == 503)
    assert busy.json()["type"].endswith("busy")
    assert int(busy.headers["Retry-After"]) == 5


@in_virtual_time
async def test_only_a_reader_who_waits_too_long_for_the_unit_gets_a_timeout(
    world: World,
) -> None:
    await world.with_settings(queue_s=10.0)
    world.wrap_link = LateLink
    world.plug(FieldUnit().record(3))
    reading = asyncio.create_task(world.gateway.events(HERE))
    await asyncio.sleep(1)
    late = await get(world, "/device/info")
    assert (late.status_code, late.json()["type"].rpartition(":")[2]) == (503, "busy")
    assert len((await reading).value) == 3


@in_virtual_time
async def test_a_dropped_device_is_asked_again(world: World) -> None:
    world.plug(FieldUnit().record(1))
    await get(world, "/device/info")
    transport = httpx.ASGITransport(application(world, True))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.delete("/cache/device", params=UNIT)).status_code == 204
    assert (await get(world, "/device/info")).json()["provenance"]["source"] == "device"


@in_virtual_time
async def test_the_metrics_say_what_happened(world: World) -> None:
    unit = FieldUnit().record(2)
    world.plug(unit)
    await get(world, "/device/events")
    await get(world, "/device/events")
    unit.record(1)
    await get(world, "/device/events")
    unit.erase()
    await get(world, "/device/events")
    text = (await get_plain(world, "/metrics")).text
    label = f'device="{KEY}"'

    def figure(name: str) -> float:
        match = re.search(rf"^seismo_relay_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert match, name
        return float(match[1])

    assert figure(f"exchanges_total{{{label}}}") == unit.exchanges
    assert figure(f'verdicts_total{{{label},verdict="same"}}') == 1
    assert figure(f'verdicts_total{{{label},verdict="grew"}}') == 1
    assert figure(f'verdicts_total{{{label},verdict="replaced"}}') == 1
    assert figure(f'misses_total{{{label},reason="partial"}}') == 1
    assert figure(f"hits_total{{{label}}}") == 1
    assert figure(f"reads_total{{{label}}}") == 4
    assert figure(f"epoch{{{label}}}") == 1
    assert figure(f"read_seconds_count{{{label}}}") == 4
    assert figure("cache_bytes") > 0


async def get_plain(world: World, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(application(world, True))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get(path)
