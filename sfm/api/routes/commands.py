"""
The routes that change a unit, and the one that fetches. Each maps one method of
``sfm.devices.commands`` or ``sfm.devices.fetch`` to HTTP.

A confirmed command is 200. One sent with ``wait_for_reply=false`` is 202. Any other command whose
outcome is unknown is a problem (502, 504).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sfm.access.principal import ForbiddenUnitError
from sfm.api import provenance
from sfm.api.middleware.authentication import principal_of
from sfm.api.provenance import encode_body, reply
from sfm.api.routes.dependencies import (
    NOT_MODIFIED,
    commands_of,
    described_problems,
    gateway_of,
    target_of,
)
from sfm.api.routes.operations import accepted, operations_of, prefers_async
from sfm.api.schemas import commands as schemas
from sfm.api.schemas.bodies import body_of, described_body
from sfm.api.schemas.commands import CommandQuery, FetchQuery, StartQuery, StopQuery, WriteQuery
from sfm.api.schemas.reading import ReadQuery
from sfm.devices.commands import Done
from sfm.devices.fetch import Fetches
from sfm.devices.operations import FETCH
from sfm.devices.operations import Report as OperationReport
from sfm.devices.target import Target
from sfm.devices.unit_access import Report
from sfm.records.payloads import Payload

__all__ = ["commands"]

WRITE_PROBLEMS = described_problems(404, 409, 413, 422, 500, 502, 503, 504)
SWITCH_PROBLEMS = described_problems(404, 409, 422, 500, 502, 503, 504)

Which = Annotated[CommandQuery, Query()]
Write = Annotated[WriteQuery, Query()]

commands = APIRouter(prefix="/device", tags=["commands"])


NOT_POLLED: Payload = dict.fromkeys(("monitoring", "waited_s", "poll_failed", "reported"))
"""Members of a start or stop whose effect was not polled."""


def _body(done: Done, seen: Payload | None = None) -> Payload:
    body: Payload = {**(seen or {})} | {
        f.name: getattr(done, f.name) for f in dataclasses.fields(done)
    }
    detail = body.pop("detail")
    return {**body, **detail}


def _answer(done: Done, status: int = 200, seen: Payload | None = None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if done.simulated:
        name, value = provenance.SIMULATED
        headers[name.decode()] = value.decode()
    return Response(orjson.dumps(_body(done, seen)), status, headers, "application/json")


def _expect(target: Target, given: str | None) -> str | None:
    """
    Return the unit that a command is for; ``None``: any.

    By name, and without a serial number: the one that was confirmed at that location.

    Raises:
        ForbiddenUnitError: the client's token does not permit the unit that it gives.
    """
    if given is not None and target.only is not None and given not in target.only:
        raise ForbiddenUnitError(f"your token does not permit unit {given}")
    return given or target.serial


async def _note(request: Request, target: Target, done: Done, given: str | None) -> None:
    """Note that the caller confirmed by its number which unit is at a location."""
    roster = gateway_of(request).roster
    if done.serial is None or not done.exchanges or not target.addresses:
        return
    location = target.location or roster.location_at(target.addresses[0])
    if location is not None and given == done.serial:
        await roster.confirm(location, done.serial)


async def _change(
    request: Request,
    query: WriteQuery,
    model: type[schemas.ConfigIn] | type[schemas.CallHomeIn],
    order: Callable[..., Awaitable[Done]],
) -> Response:
    wanted = await body_of(request, model)
    target = target_of(request, query)
    done = await order(
        target,
        principal_of(request),
        wanted.change,
        serial=_expect(target, wanted.serial),
        dry_run=query.dry_run,
    )
    await _note(request, target, done, wanted.serial)
    return _answer(done)


@commands.post(
    "/monitor/start",
    response_model=schemas.MonitorOut,
    responses={
        202: {
            "description": "Begun (Prefer: respond-async); Location names the operation",
            "model": schemas.OperationOut,
        },
        **SWITCH_PROBLEMS,
    },
)
async def start_monitoring(request: Request, query: Annotated[StartQuery, Query()]) -> Response:
    """
    Start monitoring; the sensor check of about 40 s is followed as progress.

    With ``Prefer: respond-async`` (RFC 7240) the answer is 202 at once, and its ``Location`` the
    operation, for callers behind a proxy that does not wait so long.
    """
    target, by = target_of(request, query), principal_of(request)
    serial = _expect(target, query.serial)

    async def started(report: Report | None = None) -> Done:
        done = await commands_of(request).start_monitoring(
            target, by, serial=serial, follow=query.follow, report=report
        )
        await _note(request, target, done, query.serial)
        return done

    if not prefers_async(request.headers.getlist("prefer")):
        return _answer(await started(), seen=NOT_POLLED)

    async def work(report: Report) -> Payload:
        return _body(await started(report), NOT_POLLED)

    conn_key = target.conn_key
    operation = await operations_of(request).begin("monitor_start", conn_key, work)
    return accepted(operation, **{"Preference-Applied": "respond-async"})


@commands.post(
    "/fetch",
    status_code=202,
    response_model=schemas.OperationOut,
    responses=described_problems(404, 422, 503),
)
async def fetch(request: Request, query: Annotated[FetchQuery, Query()]) -> Response:
    """
    Archive every event's image that the archive does not have whole, the newest event first.

    The answer is 202 at once, and its ``Location`` the operation. It carries on over a link that is
    cut, and lets other readers in. 503 ``fetch-incomplete`` in the operation: nothing came for 15
    minutes; a new fetch continues there.
    """
    fetches: Fetches = request.app.state.fetches
    fetches.check_store()
    target = target_of(request, query)

    async def work(report: OperationReport) -> Payload:
        return await fetches.fetch(target, report, since=query.since, reads_contradicted=query.all)

    return accepted(await operations_of(request).begin(FETCH, target.conn_key, work))


@commands.post(
    "/monitor/stop",
    response_model=schemas.MonitorOut,
    responses={
        202: {
            "description": "Sent, effect unknown (wait_for_reply=false)",
            "model": schemas.MonitorOut,
        },
        **SWITCH_PROBLEMS,
    },
)
async def stop_monitoring(request: Request, query: Annotated[StopQuery, Query()]) -> Response:
    """Stop monitoring; for a busy unit, ``wait_for_reply=false`` does not wait for its reply."""
    target = target_of(request, query)
    done = await commands_of(request).stop_monitoring(
        target,
        principal_of(request),
        serial=_expect(target, query.serial),
        follow=query.follow,
        wait_for_reply=query.wait_for_reply,
    )
    if query.wait_for_reply:
        await _note(request, target, done, query.serial)
    return _answer(done, 200 if query.wait_for_reply else 202, NOT_POLLED)


@commands.post(
    "/config",
    response_model=schemas.WrittenOut,
    responses=WRITE_PROBLEMS,
    openapi_extra=described_body(schemas.ConfigIn),
)
async def change_config(request: Request, query: Write) -> Response:
    """Change the given recording settings, read them back and compare."""
    return await _change(request, query, schemas.ConfigIn, commands_of(request).change_setup)


@commands.post(
    "/events/erase",
    response_model=schemas.EraseOut,
    responses=WRITE_PROBLEMS,
    openapi_extra=described_body(schemas.EraseIn),
)
async def erase_events(request: Request, query: Which) -> Response:
    """Erase every event; serial and count must be those of the unit at that moment."""
    wanted = await body_of(request, schemas.EraseIn)
    target = target_of(request, query)
    _expect(target, wanted.serial)
    done = await commands_of(request).erase(
        target,
        principal_of(request),
        serial=wanted.serial,
        count=wanted.count,
        discard_unarchived=wanted.discard_unarchived,
    )
    await _note(request, target, done, wanted.serial)
    return _answer(done)


@commands.get(
    "/call_home",
    response_model=schemas.CallHomeOut,
    responses=NOT_MODIFIED | SWITCH_PROBLEMS,
)
async def get_call_home(request: Request, query: Annotated[ReadQuery, Query()]) -> Response:
    """When and whom the unit calls automatically; always read from the unit."""
    answer = await gateway_of(request).call_home(target_of(request, query))
    what = encode_body(answer, provenance.DIRECT)
    return reply(answer, what, request.headers.get("if-none-match")).response()


@commands.post(
    "/call_home",
    response_model=schemas.WrittenOut,
    responses=WRITE_PROBLEMS,
    openapi_extra=described_body(schemas.CallHomeIn),
)
async def change_call_home(request: Request, query: Write) -> Response:
    """Change the given call-home settings, read them back and compare."""
    return await _change(request, query, schemas.CallHomeIn, commands_of(request).change_call_home)


@commands.post(
    "/rescue",
    response_model=schemas.RescueOut,
    responses=WRITE_PROBLEMS,
    openapi_extra=described_body(schemas.RescueIn),
)
async def rescue(request: Request, query: Which) -> Response:
    """Free a unit that dials home endlessly, in one short session."""
    wanted = await body_of(request, schemas.RescueIn)
    target = target_of(request, query)
    _expect(target, wanted.serial)
    done = await commands_of(request).rescue(
        target, principal_of(request), serial=wanted.serial, erase=wanted.erase
    )
    await _note(request, target, done, wanted.serial)
    return _answer(done)
