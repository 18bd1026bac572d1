"""The routes, by noun. Each is one verb of the gateway in HTTP words."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from sfm import forms
from sfm.api import schemas
from sfm.api.cache_control import wanted
from sfm.api.docs_page import docs_page
from sfm.api.problems import MEDIA_TYPE
from sfm.api.provenance import respond
from sfm.api.schemas import NoQuery, ReadQuery
from sfm.gateway import Gateway

_TEXT = {
    404: "No such event",
    422: "A parameter is wrong; errors names it",
    500: "Our fault",
    502: "The unit answered wrongly",
    503: "Refused, busy or changing; Retry-After says when to ask again",
    504: "The unit did not answer in time",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/ProblemOut"}
    return {
        status: {"description": _TEXT[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


RELAY_PROBLEMS = _problems(422, 500)
DEVICE_PROBLEMS = _problems(422, 500, 502, 503, 504)
EVENT_PROBLEMS = _problems(404, 422, 500, 502, 503, 504)

Nothing = Annotated[NoQuery, Query()]
Read = Annotated[ReadQuery, Query()]
Index = Annotated[int, Path(ge=0, le=1_000_000, description="Place in the event list, from 0.")]

health = APIRouter(tags=["relay"])
device = APIRouter(prefix="/device", tags=["device"])
cache = APIRouter(prefix="/cache", tags=["cache"])


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


@health.get("/health", response_model=schemas.HealthOut, responses=RELAY_PROBLEMS)
async def get_health(request: Request, _: Nothing) -> Response:
    """Say that the relay is up; touches no device."""
    uptime_s = round(time.monotonic() - request.app.state.started_mono, 3)
    body = {"status": "ok", "version": version("seismo-relay"), "uptime_s": uptime_s}
    return Response(orjson.dumps(body), media_type="application/json")


@health.get("/", include_in_schema=False)
async def get_root(_: Nothing) -> Response:
    """Lead whoever comes with a browser to the page of routes."""
    return RedirectResponse("/docs")


@health.get("/docs", include_in_schema=False)
async def get_docs(request: Request, _: Nothing) -> Response:
    """Show every route, for people."""
    return HTMLResponse(docs_page(request.app.openapi()))


@device.get("/info", response_model=schemas.InfoOut, responses=DEVICE_PROBLEMS)
async def get_info(request: Request, query: Read) -> Response:
    """Identity, firmware, calibration, recording setup."""
    answer = await _gateway(request).info(query.address, wanted(request, query))
    return respond(answer, answer.value)


@device.get("/events", response_model=schemas.EventsOut, responses=DEVICE_PROBLEMS)
async def get_events(request: Request, query: Read) -> Response:
    """Event list: stamp, peaks, project. The unit's memory is probed at each request."""
    answer = await _gateway(request).events(query.address, wanted(request, query))
    return respond(answer, {"count": len(answer.value), "events": answer.value})


@device.get(
    "/events/storage_range", response_model=schemas.StorageRangeOut, responses=DEVICE_PROBLEMS
)
async def get_storage_range(request: Request, query: Read) -> Response:
    """First and last key of the event memory; always from the unit."""
    answer = await _gateway(request).storage_range(query.address)
    return respond(answer, answer.value)


@device.get("/events/index", response_model=schemas.LifetimeOut, responses=DEVICE_PROBLEMS)
async def get_event_index(request: Request, query: Read) -> Response:
    """Lifetime event counter; always from the unit."""
    answer = await _gateway(request).lifetime_count(query.address)
    return respond(answer, answer.value)


@device.get("/event/{index}", response_model=schemas.EventOut, responses=EVENT_PROBLEMS)
async def get_event(request: Request, index: Index, query: Read) -> Response:
    """One event of the list."""
    answer = await _gateway(request).event(query.address, index, wanted(request, query))
    return respond(answer, answer.value)


@device.get("/event/{index}/waveform", response_model=schemas.WaveformOut, responses=EVENT_PROBLEMS)
async def get_waveform(request: Request, index: Index, query: Read) -> Response:
    """Samples of Tran, Vert, Long and MicL in physical units, with time axis and peaks."""
    answer = await _gateway(request).waveform(query.address, index, wanted(request, query))
    return respond(answer, forms.waveform_view(answer.value))


@device.get("/monitor/status", response_model=schemas.StatusOut, responses=DEVICE_PROBLEMS)
async def get_monitor_status(request: Request, query: Read) -> Response:
    """Monitoring or not, the unit's clock, battery, memory. Kept for 30 s."""
    answer = await _gateway(request).monitor_status(query.address, wanted(request, query))
    return respond(answer, answer.value)


@cache.get("/stats", response_model=schemas.StatsOut, responses=RELAY_PROBLEMS)
async def get_cache_stats(request: Request, _: Nothing) -> Response:
    """What the cache holds and what the lines cost; touches no device."""
    return Response(orjson.dumps(_gateway(request).stats()), media_type="application/json")
