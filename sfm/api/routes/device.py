"""The routes, by noun. Each is one verb of the gateway in HTTP words."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import (
    HTMLResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)

from sfm.access.principal import is_loopback
from sfm.analysis import Analysis
from sfm.api import provenance
from sfm.api.cache_control import wanted
from sfm.api.docs_page import docs_page
from sfm.api.metrics import MEDIA_TYPE
from sfm.api.middleware.authentication import principal_of
from sfm.api.middleware.cache_hits import encoded_for
from sfm.api.problems import OtherEventError, Problem, problem_response
from sfm.api.provenance import View
from sfm.api.routes.dependencies import (
    FILE,
    NOT_MODIFIED,
    Nothing,
    analyses_of,
    described_problems,
    gateway_of,
    target_of,
)
from sfm.api.schemas import reading
from sfm.api.schemas.analysis import DeviceAnalysisOut, DeviceAnalysisQuery, DeviceSpectraOut
from sfm.api.schemas.exports import DeviceExportQuery
from sfm.api.schemas.reading import MAX_INDEX, DeviceQuery, EventsQuery, ReadQuery
from sfm.api.statistics import Statistics
from sfm.api.streams import STREAM_HEADERS, STREAM_TYPE, event_stream
from sfm.devices.answer import Answer
from sfm.devices.gateway import Gateway
from sfm.exports.event import ExportedEvent
from sfm.exports.formats import exported_file
from sfm.records.analysed import spectra_payload

__all__ = ["NOT_READY", "cache", "device", "health"]

NOT_READY = Problem("not-ready", 503, "The relay is of no use now", 5)
RELAY_PROBLEMS = described_problems(422, 500)
DEVICE_PROBLEMS = NOT_MODIFIED | described_problems(404, 422, 500, 502, 503, 504)
EVENT_PROBLEMS = NOT_MODIFIED | described_problems(404, 412, 422, 500, 502, 503, 504)

Which = Annotated[DeviceQuery, Query()]
Read = Annotated[ReadQuery, Query()]
Analyse = Annotated[DeviceAnalysisQuery, Query()]
Export = Annotated[DeviceExportQuery, Query()]
ReadList = Annotated[EventsQuery, Query()]
Index = Annotated[int, Path(ge=0, le=MAX_INDEX, description="Place in the event list, from 0.")]

health = APIRouter(tags=["relay"])
device = APIRouter(prefix="/device", tags=["device"])
cache = APIRouter(prefix="/cache", tags=["cache"])


async def _send(request: Request, answer: Answer, view: View) -> Response:
    if view in provenance.LISTS:
        await gateway_of(request).limits.load()
        answer = gateway_of(request).with_present_facts(answer)
    headers = request.headers
    accept_encoding = ",".join(headers.getlist("accept-encoding"))
    what = encoded_for(answer, view, headers.get("accept", ""), accept_encoding)
    return provenance.reply(answer, what, headers.get("if-none-match")).response()


def _still_the_same(request: Request, event: Answer) -> None:
    """Raise when the reader's ``If-Match`` names another event than the slot holds now."""
    if_match = request.headers.get("if-match")
    now = provenance.event_tag(event.provenance.serial, event.value)
    if if_match is not None and not provenance.still_matches(if_match, now):
        raise OtherEventError(
            f"the slot holds another event now: {event.value['waveform_key']} of "
            f"{event.value['timestamp']}; read the event list again"
        )


@health.get("/health", response_model=reading.HealthOut, responses=RELAY_PROBLEMS)
async def get_health(request: Request, _: Nothing) -> Response:
    """Report whether the relay, its database and its clock are in order; asks no device."""
    store_service = gateway_of(request).store_service
    store, has_clock = store_service.state(), store_service.host_clock_is_credible
    if not principal_of(request).name:
        # To an unauthenticated client: its state, and nothing about the machine.
        store |= {"where": None, "detail": None}
    body = {
        "status": "degraded" if store["state"] == "degraded" or not has_clock else "ok",
        "version": version("seismo-relay"),
        "uptime_s": round(time.monotonic() - request.app.state.started_mono, 3),
        "host_clock": "ok" if has_clock else "not-set",
        "store": store,
    }
    return Response(orjson.dumps(body), media_type="application/json")


@health.get(
    "/health/ready", response_model=reading.ReadyOut, responses=described_problems(422, 500, 503)
)
async def get_ready(request: Request, _: Nothing) -> Response:
    """
    Report whether the relay can do its work; 503 when it is degraded beyond use.

    For a supervisor or load balancer. A database that fails for a while is no reason: units are
    read, and what cannot be archived yet waits.
    """
    reasons = _reasons_against(gateway_of(request))
    if reasons:
        return problem_response(NOT_READY, "; ".join(reasons), reasons=reasons)
    return Response(orjson.dumps({"ready": True}), media_type="application/json")


def _reasons_against(gateway: Gateway) -> list[str]:
    """Return why the relay is of no use now; empty: it is of use."""
    reasons = ["the relay is shutting down"] if gateway.is_ending else []
    store, settings = gateway.store_service.state(), gateway.settings
    if store["state"] != "degraded":
        return reasons
    if store["not_archived"]:
        reasons.append("the database fails and no more records can wait: what is read is lost")
    if not settings.insecure and (settings.require_tokens or not is_loopback(settings.host)):
        reasons.append("the database fails, and without it no token can be checked")
    return reasons


@health.get("/ports", response_model=reading.PortsOut, responses=RELAY_PROBLEMS)
async def get_ports(request: Request, _: Nothing) -> Response:
    """Serial ports of the relay's machine that the client may use; opens none."""
    principal, egress = principal_of(request), gateway_of(request).egress
    # Not in a thread: the system has it in memory, and returns it within a millisecond.
    ports = [
        one
        for one in request.app.state.list_ports()
        if principal.may_use_port(one.port)
        and egress.has_port(one.port, is_local=principal.token_id is None)
    ]
    return Response(orjson.dumps({"ports": ports}), media_type="application/json")


@health.get("/docs", include_in_schema=False)
async def get_docs(request: Request, _: Nothing) -> Response:
    """Show every route, for people."""
    return HTMLResponse(docs_page(request.app.openapi()))


@health.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus text format"}, **RELAY_PROBLEMS},
)
async def get_metrics(request: Request, _: Nothing) -> Response:
    """Hits, misses, shared reads, verdicts, exchanges, bytes, read times; touches no device."""
    statistics: Statistics = request.app.state.statistics
    return Response(await statistics.metrics(), media_type=MEDIA_TYPE)


@device.get("/info", response_model=reading.InfoOut, responses=DEVICE_PROBLEMS)
async def get_info(request: Request, query: Read) -> Response:
    """Identity, firmware, calibration, recording setup."""
    answer = await gateway_of(request).info(target_of(request, query), wanted(request, query))
    return await _send(request, answer, provenance.INFO)


@device.get("/events", response_model=reading.EventsOut, responses=DEVICE_PROBLEMS)
async def get_events(request: Request, query: ReadList) -> Response:
    """
    Event list: stamp, peaks, project. The unit's memory is probed at each request.

    A long list over a bad link comes in several contacts: 503 `list-incomplete` until it is whole,
    or with `partial` what was read so far. Ask again to read on.
    """
    answer = await gateway_of(request).events(
        target_of(request, query), wanted(request, query), partial=query.partial
    )
    return await _send(request, answer, provenance.LISTS[not answer.is_complete])


@device.get(
    "/events/storage_range", response_model=reading.StorageRangeOut, responses=DEVICE_PROBLEMS
)
async def get_storage_range(request: Request, query: Read) -> Response:
    """First and last key of the event memory; always from the unit."""
    answer = await gateway_of(request).storage_range(target_of(request, query))
    return await _send(request, answer, provenance.DIRECT)


@device.get("/events/index", response_model=reading.LifetimeOut, responses=DEVICE_PROBLEMS)
async def get_event_index(request: Request, query: Read) -> Response:
    """Lifetime event counter; always from the unit."""
    answer = await gateway_of(request).lifetime_count(target_of(request, query))
    return await _send(request, answer, provenance.DIRECT)


@device.get("/event/{index}", response_model=reading.EventOut, responses=EVENT_PROBLEMS)
async def get_event(request: Request, index: Index, query: ReadList) -> Response:
    """One event of the list."""
    answer = await gateway_of(request).event(
        target_of(request, query), index, wanted(request, query), partial=query.partial
    )
    _still_the_same(request, answer)
    return await _send(request, answer, provenance.EVENT)


@device.get("/event/{index}/waveform", response_model=reading.WaveformOut, responses=EVENT_PROBLEMS)
async def get_waveform(request: Request, index: Index, query: Read) -> Response:
    """Samples of Tran, Vert, Long and MicL in physical units, with time axis and peaks."""
    gateway, wish = gateway_of(request), wanted(request, query)
    if "if-match" in request.headers:
        # The slot is judged by its event, before anything is downloaded.
        _still_the_same(request, await gateway.event(target_of(request, query), index, wish))
    return await _send(
        request,
        await gateway.waveform(target_of(request, query), index, wish),
        provenance.WAVEFORM,
    )


@device.get("/event/{index}/analysis", response_model=DeviceAnalysisOut, responses=EVENT_PROBLEMS)
async def get_analysis(request: Request, index: Index, query: Analyse) -> Response:
    """
    Quantities of an event, computed from its samples: as the vendor computes them, and refined.

    The samples are read as for the waveform. Each figure has unit of measure, resolution, method
    and flags; `docs/reference/analysis.md` defines them.
    """
    gateway, wish = gateway_of(request), wanted(request, query)
    if "if-match" in request.headers:
        _still_the_same(request, await gateway.event(target_of(request, query), index, wish))
    answer = await gateway.waveform(target_of(request, query), index, wish)
    result = await analyses_of(request).of_answer(answer)
    if query.units is not None:
        result = Analysis.from_payload(result).in_system(query.units).payload()
    event = {name: answer.value[name] for name in ("index", "waveform_key", "timestamp")}
    analysed = answer.derived(f"analysis {query.units} ", lambda: {**event, **result})
    return await _send(request, analysed, provenance.DIRECT)


@device.get("/event/{index}/spectra", response_model=DeviceSpectraOut, responses=EVENT_PROBLEMS)
async def get_spectra(request: Request, index: Index, query: Analyse) -> Response:
    """
    Fourier amplitudes of each channel up to 250 Hz, the end of the instrument's band.

    The samples are read as for the waveform.
    """
    gateway, wish = gateway_of(request), wanted(request, query)
    if "if-match" in request.headers:
        _still_the_same(request, await gateway.event(target_of(request, query), index, wish))
    answer = await gateway.waveform(target_of(request, query), index, wish)
    spectra = await analyses_of(request).worker.run(spectra_payload, answer.value, query.units)
    event = {name: answer.value[name] for name in ("index", "waveform_key", "timestamp")}
    derived = answer.derived(f"spectra {query.units} ", lambda: {**event, **spectra})
    return await _send(request, derived, provenance.DIRECT)


@device.get(
    "/event/{index}/export",
    response_class=Response,
    responses={200: FILE, **EVENT_PROBLEMS, **described_problems(409, 501)},
)
async def get_export(request: Request, index: Index, query: Export) -> Response:
    """
    An event as a file for other programs; `docs/reference/exports.md` describes the formats.

    The samples are read as for the waveform.
    """
    gateway, wish = gateway_of(request), wanted(request, query)
    if "if-match" in request.headers:
        _still_the_same(request, await gateway.event(target_of(request, query), index, wish))
    answer = await gateway.waveform(target_of(request, query), index, wish)
    event = ExportedEvent.of_answer(answer, gateway.store_service.zones)
    file = await analyses_of(request).worker.run(exported_file, event, query.format, query.style)
    encoded = provenance.encode_file(answer, file.data, file.media_type, file.name)
    return provenance.reply(answer, encoded, request.headers.get("if-none-match")).response()


@device.get("/monitor/status", response_model=reading.StatusOut, responses=DEVICE_PROBLEMS)
async def get_monitor_status(request: Request, query: Read) -> Response:
    """Monitoring or not, the unit's clock, battery, memory. Kept for 30 s."""
    answer = await gateway_of(request).monitor_status(
        target_of(request, query), wanted(request, query)
    )
    return await _send(request, answer, provenance.STATUS)


@device.get(
    "/progress",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Steps of the reads, as they happen",
            "content": {"text/event-stream": {}},
        },
        **described_problems(404, 422, 500, 503),
    },
)
async def get_progress(request: Request, query: Which) -> Response:
    """How far the unit's reads are, as server-sent events; resumable with ``Last-Event-ID``."""
    if request.scope.get("sfm.is_head"):
        return Response(headers=STREAM_HEADERS, media_type=STREAM_TYPE)  # else it would not end
    return event_stream(
        gateway_of(request), target_of(request, query), request.headers.get("last-event-id")
    )


@cache.delete("/device", status_code=204, responses=described_problems(404, 422, 500, 503))
async def delete_cache_device(request: Request, query: Which) -> Response:
    """
    Forget everything held of one device, archive excepted; the next reader asks the unit.

    503 when the database could not forget: memory has, and what the database still holds is proven
    at the unit before it is served again.
    """
    await gateway_of(request).drop(target_of(request, query), "dropped by request")
    return Response(status_code=204)


@cache.get("/stats", response_model=reading.StatsOut, responses=RELAY_PROBLEMS)
async def get_cache_stats(request: Request, _: Nothing) -> Response:
    """What the cache holds and what the lines cost; touches no device."""
    statistics: Statistics = request.app.state.statistics
    return Response(await statistics.json(), media_type="application/json")
