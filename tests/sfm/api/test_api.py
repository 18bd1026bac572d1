from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, get_type_hints

import httpx
import pytest
from kit.api_page import api_page
from kit.http_requests import app_of, assert_problem
from kit.relay_world import HERE, KEY, ROUTE, FieldUnit, World, in_virtual_time, listed_events
from pydantic import BaseModel

from minimateplus import errors
from minimateplus.client import MiniMate
from minimateplus.link.in_process import memory_pair
from minimateplus.model import FIRST_KEY
from minimateplus.simulator.faulty_links import LateLink
from minimateplus.wire import commands
from sfm.api.app import build_app
from sfm.api.middleware.authentication import AUTHENTICATION_PROBLEMS
from sfm.api.problems import MEDIA_TYPE, PROBLEMS, problem_of
from sfm.api.rules import RULES
from sfm.api.schemas import reading, roster
from sfm.devices.answer import Provenance
from sfm.devices.single_flight import ShuttingDownError
from sfm.settings import Settings
from sfm.store import archive

pytest_plugins = ["kit.durable_databases"]

UNIT = {"host": "unit.invalid"}
DEVICE_ROUTES = [
    "/device/info",
    "/device/events",
    "/device/event/0",
    "/device/event/0/waveform",
    "/device/events/storage_range",
    "/device/events/index",
    "/device/monitor/status",
]
COMMANDS_AND_ACCOUNTS = (
    "/device/monitor/st",
    "/device/config",
    "/device/events/erase",
    "/device/call_home",
    "/device/rescue",
    "/device/fetch",
    "/units/",
    "/locations/",
    "/routes",
    "/session",
    "/tokens",
    "/audit",
)
RELAY_ROUTES = ["/health", "/units", "/locations", "/zones", "/ports", "/cache/stats"]
EVERY_ROUTE = DEVICE_ROUTES + RELAY_ROUTES


async def get(world: World, path: str, /, method: str = "GET", **params: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app_of(world), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.request(method, path, params=params, timeout=None)


def model_of(path: str) -> type[BaseModel]:
    operation = api_page()["paths"][path.replace("/event/0", "/event/{index}")]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    name = schema.rpartition("/")[2]
    found: type[BaseModel] = getattr(reading, name, None) or getattr(roster, name)
    return found


# ---- answers


@pytest.mark.parametrize("path", EVERY_ROUTE)
@in_virtual_time
async def test_every_answer_is_what_its_schema_declares(world: World, path: str) -> None:
    world.plug(FieldUnit().record(2))
    response = await get(world, path, **(UNIT if path in DEVICE_ROUTES else {}))
    assert response.status_code == 200, response.text
    model = model_of(path)
    parsed = model.model_validate_json(response.content, strict=True, extra="forbid")
    # Nothing is left out either: a field that may be null is still there.
    assert json.loads(parsed.model_dump_json()) == response.json()


@pytest.mark.parametrize("path", DEVICE_ROUTES)
@in_virtual_time
async def test_the_headers_say_what_the_body_says(world: World, path: str) -> None:
    world.plug(FieldUnit().record(2))
    world.wrap_link = LateLink
    for wait_s, force in ((0, ""), (7, ""), (0, "true"), (50, "")):
        await asyncio.sleep(wait_s)
        response = await get(world, path, **UNIT, **({"force": force} if force else {}))
        reported = response.json()["provenance"]
        ages = (reported["age_s"], reported["checked_age_s"])
        assert int(response.headers["Age"]) == int(min(a for a in ages if a is not None))
        status = response.headers["Cache-Status"].split("; ")
        assert status[0] == "seismo-relay"
        assert status[1] == ("hit" if reported["source"] == "cache" else f"fwd={reported['why']}")
        assert status[-1] == f'detail="exchanges {reported["exchanges"]}"'
        assert response.headers["ETag"].startswith(f'"{reported["serial"]}.')
        assert response.headers["X-Simulated"] == "true"
        assert response.headers["Cache-Control"] == "private, no-cache"
        if force and path not in DEVICE_ROUTES[4:6]:
            assert reported["why"] == "request"


@in_virtual_time
async def test_a_shared_answer_says_collapsed(world: World) -> None:
    world.plug(FieldUnit().record(2))
    answers = await asyncio.gather(*(get(world, "/device/events", **UNIT) for _ in range(3)))
    collapsed = ["collapsed" in answer.headers["Cache-Status"] for answer in answers]
    assert collapsed == [answer.json()["provenance"]["shared"] for answer in answers]
    assert sum(collapsed) == 2


@pytest.mark.parametrize("path", ["/device/event/0", "/device/event/0/waveform", "/device/events"])
@in_virtual_time
async def test_a_tag_stands_as_long_as_the_event_and_no_longer(world: World, path: str) -> None:
    unit = world.plug(FieldUnit().record(2, never_set=True))
    first = await get(world, path, **UNIT)
    await asyncio.sleep(60)
    for force in ("false", "true"):
        again = await get(world, path, **UNIT, force=force)
        assert again.headers["ETag"] == first.headers["ETag"]
    unit.erase()
    # The same keys, the same timestamps: only the ground moved otherwise.
    unit.record(2, axis=1, never_set=True)
    assert (await get(world, path, **UNIT)).headers["ETag"] != first.headers["ETag"]


@in_virtual_time
async def test_the_tag_of_an_event_is_made_from_its_unit_and_stamp(world: World) -> None:
    unit = world.plug(FieldUnit().record(1))
    stamp = f"{unit.events[0].key.hex()}.{unit.events[0].device_time:%Y-%m-%dT%H:%M:%S}"
    tags = []
    for path in ("/device/event/0", "/device/event/0/waveform"):
        tags.append((await get(world, path, **UNIT)).headers["ETag"])
        assert tags[-1].startswith(f'"SIM0001.{stamp}.')
        assert not tags[-1].startswith("W/")
    assert tags[0] != tags[1]


@in_virtual_time
async def test_the_list_counts_what_it_holds(world: World) -> None:
    world.plug(FieldUnit().record(3))
    body = (await get(world, "/device/events", **UNIT)).json()
    assert body["count"] == len(body["events"]) == 3
    assert [event["index"] for event in body["events"]] == [0, 1, 2]
    one = (await get(world, "/device/event/2", **UNIT)).json()
    del one["provenance"]
    judged = {name: body["events"][2].pop(name) for name in ("verdicts", "no_verdict")}
    assert judged == {"verdicts": [], "no_verdict": "no-curve-chosen"}
    assert one == body["events"][2]


@in_virtual_time
async def test_health_and_stats_touch_no_device(world: World) -> None:
    unit = world.plug(FieldUnit().record(1))
    await get(world, "/device/info", **UNIT)
    unit.heard.clear()
    health = await get(world, "/health")
    stats = await get(world, "/cache/stats")
    assert health.json()["status"] == "ok"
    assert stats.json()["devices"][KEY]["serial"] == "SIM0001"
    assert unit.heard == []


@in_virtual_time
async def test_host_and_its_default_port_name_the_same_unit(world: World) -> None:
    world.plug(FieldUnit())
    named: list[dict[str, Any]] = [UNIT, {**UNIT, "tcp_port": 12345}]
    for params in named:
        response = await get(world, "/device/info", **params)
        assert response.json()["provenance"]["conn_key"] == ROUTE
    assert world.called == 1


@pytest.mark.parametrize("host", ["fe80::1", "[fe80::1]", "FE80::1"])
@in_virtual_time
async def test_an_ipv6_host_may_stand_in_brackets_or_not(world: World, host: str) -> None:
    response = await get(world, "/device/info", host=host)
    body = assert_problem(response, 503, "unit-unreachable")
    assert body["detail"].lower().startswith("tcp://[fe80::1]:12345")


# ---- what the caller did wrong

BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    ("/device/info", {"host": "h", "tcp_port": 0}, "tcp_port"),
    ("/device/info", {"host": "h", "tcp_port": 70000}, "tcp_port"),
    ("/device/info", {"host": "h", "tcp_port": "x"}, "tcp_port"),
    ("/device/info", {"port": "COM3", "baud": 0}, "baud"),
    ("/device/info", {"port": "COM3", "baud": -9600}, "baud"),
    ("/device/info", {"host": "h", "port": "COM3"}, "host"),
    ("/device/info", {}, "host"),
    ("/device/info", {"host": ""}, "host"),
    ("/device/info", {"host": "[]"}, "host"),
    ("/device/info", {"host": " "}, "host"),
    ("/device/info", {"host": "a b"}, "host"),
    ("/device/info", {"host": "a\nb"}, "host"),
    ("/device/info", {"host": "h" * 254}, "host"),
    ("/device/info", {"port": ""}, "port"),
    ("/device/info", {"port": "COM 3"}, "port"),
    ("/device/info", {"host": "h", "force": "maybe"}, "force"),
    ("/device/info", {"host": "h", "forced": "true"}, "forced"),
    ("/device/event/-1", {"host": "h"}, "index"),
    ("/device/event/1000001", {"host": "h"}, "index"),
    ("/device/event/first", {"host": "h"}, "index"),
    ("/device/event/-1/waveform", {"host": "h"}, "index"),
    ("/device/event/0/waveform", {"host": "h", "format": "x"}, "format"),
    ("/device/events", {"host": "h", "index": 3}, "index"),
    ("/device/monitor/status", {"host": "h", "tcpport": 1}, "tcpport"),
    ("/health", {"host": "h"}, "host"),
    ("/cache/stats", {"verbose": 1}, "verbose"),
]


@pytest.mark.parametrize(("path", "params", "field"), BAD_INPUT)
@in_virtual_time
async def test_bad_input_is_refused_and_the_field_is_named(
    world: World, path: str, params: dict[str, Any], field: str
) -> None:
    body = assert_problem(await get(world, path, **params), 422, "invalid-parameter")
    assert field in [error["field"] for error in body["errors"]]
    assert all(error["message"] for error in body["errors"])
    assert field in body["detail"]
    assert world.called == 0


@pytest.mark.parametrize("path", DEVICE_ROUTES)
@in_virtual_time
async def test_every_device_route_refuses_an_unknown_parameter(world: World, path: str) -> None:
    body = assert_problem(await get(world, path, **UNIT, frce="true"), 422, "invalid-parameter")
    assert [error["field"] for error in body["errors"]] == ["frce"]


# ---- what the unit did wrong


@in_virtual_time
async def test_an_event_that_is_not_there_is_404(world: World) -> None:
    world.plug(FieldUnit().record(2))
    for path in ("/device/event/2", "/device/event/2/waveform"):
        body = assert_problem(await get(world, path, **UNIT), 404, "no-such-event")
        assert "stores 2, numbered 0 to 1" in body["detail"]


@pytest.mark.parametrize("path", DEVICE_ROUTES)
@in_virtual_time
async def test_a_unit_that_refuses_is_503_and_says_when_to_ask_again(
    world: World, path: str
) -> None:
    response = await get(world, path, **UNIT)
    assert_problem(response, 503, "unit-unreachable")
    assert int(response.headers["Retry-After"]) > 0


def test_a_problem_names_the_diagnosis() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without a listener: nobody else gets the port

        async def ask() -> httpx.Response:
            app = build_app(Settings(database_url="none"))
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
            where = {"host": "127.0.0.1", "tcp_port": str(taken.getsockname()[1])}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
                return await one.get("/device/info", params=where, timeout=None)

        body = assert_problem(asyncio.run(ask()), 503, "unit-unreachable")
    assert body["diagnosis"] == "refused"


@pytest.mark.parametrize("path", DEVICE_ROUTES)
@in_virtual_time
async def test_a_silent_unit_is_504(world: World, path: str) -> None:
    unit = world.plug(FieldUnit())
    unit.ignores.add(commands.POLL.sub)
    response = await get(world, path, **UNIT)
    body = assert_problem(response, 504, "unit-silent")
    assert "Retry-After" not in response.headers
    assert "unit.invalid" in body["detail"]


@pytest.mark.parametrize(
    ("path", "more"),
    [
        *((path, {}) for path in DEVICE_ROUTES),
        ("/device/events", {"force": "true"}),
        ("/device/rescue", {}),
    ],
)
@pytest.mark.parametrize("column", ["event_json", "waveform_key", "row_hash"])
@in_virtual_time
async def test_a_damaged_row_of_the_list_is_read_again_whatever_is_asked_first(
    world: World, database_url: str, path: str, more: dict[str, str], column: str
) -> None:
    disk = await world.with_disk(database_url)
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.events(HERE)
    with disk.engines.write() as connection:
        connection.exec_driver_sql(f"UPDATE cached_events SET {column} = 'x' WHERE \"index\" = 1")
    await world.restart()
    transport = httpx.ASGITransport(app_of(world), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        if path == "/device/rescue":
            asked = client.post(path, params=UNIT, json={"serial": unit.serial}, timeout=None)
        else:
            asked = client.get(path, params=UNIT | more, timeout=None)
        response = await asked
    assert response.status_code == 200, response.text
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()
    assert "mirror_dropped" in [row["kind"] for row in disk.read(archive.load_findings)]


@in_virtual_time
async def test_what_is_no_unit_is_502(world: World) -> None:
    tasks = []

    async def connect(_: object) -> MiniMate:
        ours, theirs = memory_pair("web.invalid")

        async def speak_http() -> None:
            await theirs.receive()
            await theirs.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        tasks.append(asyncio.create_task(speak_http()))
        return await MiniMate.open(ours)

    world.gateway.registry.connect = connect
    assert_problem(await get(world, "/device/info", **UNIT), 502, "not-a-unit")
    await asyncio.gather(*tasks)


@in_virtual_time
async def test_a_damaged_chain_of_events_is_502(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    unit.corrupt_next[unit.events[1].key] = FIRST_KEY
    assert_problem(await get(world, "/device/events", **UNIT), 502, "key-chain-damaged")


@in_virtual_time
async def test_a_relay_that_closes_is_503(world: World) -> None:
    world.plug(FieldUnit().record(3))
    world.wrap_link = LateLink
    asked = asyncio.create_task(get(world, "/device/events", **UNIT))
    await asyncio.sleep(5)
    await world.gateway.close()
    response = await asked
    assert_problem(response, 503, "shutting-down")
    assert "Retry-After" in response.headers
    assert_problem(await get(world, "/device/events", **UNIT), 503, "shutting-down")


@pytest.mark.parametrize("path", ["/nothing", "/device", "/device/nothing", "/device/event/0/x"])
@in_virtual_time
async def test_an_unknown_route_has_the_same_shape(world: World, path: str) -> None:
    assert_problem(await get(world, path), 404, "not-found")


@pytest.mark.parametrize("path", EVERY_ROUTE)
@in_virtual_time
async def test_an_unknown_method_has_the_same_shape(world: World, path: str) -> None:
    response = await get(world, path, method="PUT")
    assert_problem(response, 405, "method-not-allowed")
    allowed = response.headers["Allow"].split(", ")
    assert allowed[:2] == ["GET", "HEAD"]
    assert set(allowed[2:]) <= {"POST", "PATCH", "DELETE"}


@pytest.mark.parametrize(
    "error", [RuntimeError("secret of /root"), errors.LocalProtocolError("secret of the wire")]
)
@in_virtual_time
async def test_an_internal_error_is_500_and_reveals_nothing_internal(
    world: World, error: Exception
) -> None:
    async def fail(_: object) -> MiniMate:
        raise error

    world.gateway.registry.connect = fail
    response = await get(world, "/device/info", **UNIT)
    body = assert_problem(response, 500, "internal")
    assert "secret" not in response.text
    assert "log" in body["detail"]


def public_errors() -> list[type[Exception]]:
    return [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", public_errors())
def test_every_error_of_the_instrument_has_a_row_of_its_own(kind: type[Exception]) -> None:
    assert kind in PROBLEMS


@pytest.mark.parametrize("kind", public_errors())
def test_the_status_says_whose_side_an_error_lies_on(kind: type[Exception]) -> None:
    status = problem_of(kind("message")).status
    if issubclass(kind, errors.NoSuchEventError):
        assert status == 404
    elif kind is errors.SettingError:
        assert status == 422
    elif kind in (errors.ReplyTimeoutError, errors.DeadlineError, errors.ConnectTimeoutError):
        assert status == 504
    elif issubclass(kind, errors.LinkError | errors.MemoryChangedError):
        assert status == 503
    elif issubclass(kind, errors.UnitError | errors.CaptureError):
        assert status == 502
    else:
        assert status == 500


def test_an_error_yet_to_come_is_what_its_nearest_ancestor_is() -> None:
    class LoopError(errors.KeyChainError):
        pass

    assert problem_of(LoopError()).kind == "key-chain-damaged"
    assert problem_of(ZeroDivisionError()).kind == "internal"
    assert problem_of(ShuttingDownError()).kind == "shutting-down"


def test_what_may_pass_says_when_to_ask_again_and_nothing_else_does() -> None:
    for problem in PROBLEMS.values():
        assert (problem.retry_after_s is not None) == (problem.status == 503), problem
    by_kind: dict[str, set[tuple[int, str]]] = {}
    for problem in PROBLEMS.values():
        by_kind.setdefault(problem.kind, set()).add((problem.status, problem.title))
    assert all(len(same) == 1 for same in by_kind.values()), by_kind


# ---- the OpenAPI page


def test_the_page_describes_every_status_that_occurs() -> None:
    paths = api_page()["paths"]
    for path in EVERY_ROUTE:
        operation = paths[path.replace("/event/0", "/event/{index}")]["get"]
        expected = {"200", "422", "500", *map(str, AUTHENTICATION_PROBLEMS)}
        if path in DEVICE_ROUTES:
            expected |= {"304", "404", "502", "503", "504"}
        if "/event/0" in path:
            expected |= {"412"}
        assert set(operation["responses"]) == expected, path
        for status in expected - {"200", "304"}:
            content = operation["responses"][status]["content"]
            assert list(content) == [MEDIA_TYPE]
            assert content[MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/ProblemOut"}
    routes = {path.replace("/event/0", "/event/{index}") for path in EVERY_ROUTE}
    elsewhere = {path for path in paths if path.startswith("/archive/")}
    elsewhere |= {path for _, path in RULES if path.startswith(COMMANDS_AND_ACCOUNTS)}
    elsewhere |= {"/operations/{id}", "/operations/{id}/progress", "/health/ready"}
    elsewhere |= {path for path in paths if path.startswith("/limit")}
    made_of_samples = {
        f"/device/event/{{index}}/{name}": paths[f"/device/event/{{index}}/{name}"]["get"]
        for name in ("analysis", "spectra", "export", "report.pdf", "chart")
    }
    for path, operation in made_of_samples.items():
        assert {"200", "404", "412", "422", "500", "502", "503", "504"} <= set(
            operation["responses"]
        ), path
    elsewhere |= set(made_of_samples)
    assert routes | elsewhere | {"/metrics", "/device/progress", "/cache/device"} == set(paths)


def test_every_reference_on_the_page_leads_somewhere() -> None:
    page = api_page()
    text = json.dumps(page)
    known = page["components"]["schemas"]
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in known
    assert "ProblemOut" in known
    assert "HTTPValidationError" not in known
    assert build_app(Settings()).openapi() == page


def test_every_parameter_on_the_page_is_described() -> None:
    for path, operations in api_page()["paths"].items():
        parameters = [p for route in operations.values() for p in route.get("parameters", ())]
        for parameter in parameters:
            assert parameter["description"], (path, parameter["name"])


def test_the_body_has_every_fact_of_the_provenance() -> None:
    assert list(reading.ProvenanceOut.model_fields) == list(get_type_hints(Provenance))


@in_virtual_time
async def test_a_reader_who_hangs_up_changes_nothing_for_the_next(world: World) -> None:
    world.plug(FieldUnit().record(3))
    world.wrap_link = LateLink
    gone = asyncio.create_task(get(world, "/device/events", **UNIT))
    await asyncio.sleep(5)
    gone.cancel()
    await asyncio.sleep(120)
    response = await get(world, "/device/events", **UNIT)
    assert response.json()["provenance"]["why"] == "hit"
    assert world.most_open == {HERE: 1}


async def test_the_application_closes_its_gateway_when_it_shuts_down() -> None:
    application = build_app(Settings())
    async with application.router.lifespan_context(application):
        pass
    with pytest.raises(ShuttingDownError):
        await application.state.gateway.info(HERE)
