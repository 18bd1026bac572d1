"""
Reports over HTTP: of a recording, of a live event, of many recordings; and the entered facts.

A report is made for each request and never cached: it states when it was made.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import Connection

from sfm.access.principal import ForbiddenUnitError
from sfm.api.cache_control import wanted
from sfm.api.middleware.authentication import principal_of
from sfm.api.routes.dependencies import (
    PDF,
    Nothing,
    RecordingId,
    check_visible,
    described_problems,
    gateway_of,
    sent_file,
    sent_json,
    target_of,
)
from sfm.api.routes.operations import accepted, operations_of
from sfm.api.schemas import reports as schemas
from sfm.api.schemas.bodies import body_of, described_body
from sfm.api.schemas.commands import OperationOut
from sfm.api.schemas.reading import MAX_INDEX
from sfm.cache.freshness import Freshness
from sfm.devices.operations import REPORTS
from sfm.devices.operations import Report as OperationReport
from sfm.records.payloads import Payload
from sfm.reports.printing import check_pages
from sfm.reports.service import Reports, SetReport
from sfm.store import entered_facts
from sfm.store.archive import load_recording

__all__ = ["reports", "reports_of"]

reports = APIRouter(tags=["reports"])

ONLY_CACHED = Freshness(only_if_cached=True)
NO_STORE = {"Cache-Control": "no-store"}
PROBLEMS = described_problems(404, 409, 422, 500, 501, 502, 503)
DEVICE_PROBLEMS = described_problems(404, 412, 422, 500, 501, 502, 503, 504)
PDF_OUT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "PDF/A-3a with record.csv and result.json attached",
        "content": {PDF: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Wished = Annotated[schemas.ReportQuery, Query()]
WishedOfUnit = Annotated[schemas.DeviceReportQuery, Query()]
Index = Annotated[int, Path(ge=0, le=MAX_INDEX, description="Place in the event list, from 0.")]
FileId = Annotated[str, Path(max_length=64, description="As the operation's result names it.")]


def reports_of(request: Request) -> Reports:
    """Return the reports of the application that was asked."""
    found: Reports = request.app.state.reports
    return found


@reports.get(
    "/archive/recordings/{id}/report.pdf", response_class=Response, responses=PDF_OUT | PROBLEMS
)
async def get_report(request: Request, name: RecordingId, query: Wished) -> Response:
    """The event report of a recording, one page, with its record and its results attached."""
    await check_visible(request, name)
    return _sent(
        await reports_of(request).of_recording(name, query.wish, query.content_hash), query.inline
    )


@reports.get(
    "/device/event/{index}/report.pdf",
    response_class=Response,
    responses=PDF_OUT | DEVICE_PROBLEMS,
)
async def get_device_report(request: Request, index: Index, query: WishedOfUnit) -> Response:
    """
    The event report of an event that a unit stores; its samples are read as for the waveform.

    Without a database too; then no entered facts are on it, and it names no recording.
    """
    gateway, target = gateway_of(request), target_of(request, query)
    answer = await gateway.waveform(target, index, wanted(request, query))
    info = gateway.cached_info(target, ONLY_CACHED)
    return _sent(await reports_of(request).of_answer(answer, info, query.wish), query.inline)


@reports.get("/archive/recordings/{id}/chart", response_model=schemas.ChartOut, responses=PROBLEMS)
async def get_chart(request: Request, name: RecordingId, query: Wished) -> Response:
    """The report's chart of a recording: peak velocity by frequency under the chosen curves."""
    await check_visible(request, name)
    return sent_json(
        await reports_of(request).chart_of_recording(name, query.wish, query.content_hash)
    )


@reports.get(
    "/device/event/{index}/chart", response_model=schemas.ChartOut, responses=DEVICE_PROBLEMS
)
async def get_device_chart(request: Request, index: Index, query: WishedOfUnit) -> Response:
    """The same of an event that a unit stores; its samples are read as for the waveform."""
    gateway, target = gateway_of(request), target_of(request, query)
    answer = await gateway.waveform(target, index, wanted(request, query))
    info = gateway.cached_info(target, ONLY_CACHED)
    return sent_json(await reports_of(request).chart_of_answer(answer, info, query.wish))


@reports.post(
    "/archive/reports",
    status_code=202,
    response_model=OperationOut,
    responses=PROBLEMS | described_problems(413),
    openapi_extra=described_body(schemas.ReportsIn),
)
async def post_reports(request: Request, _: Nothing) -> Response:
    """
    Make the reports of up to 200 recordings as one file: a ZIP, or one PDF.

    The answer is 202 at once, and its ``Location`` the operation. Its result names the file
    (``href``), which is kept for 24 h, and the recordings of which no
    report could be made (``failed``). One PDF has at most 60 events.
    """
    asked = await body_of(request, schemas.ReportsIn)
    if asked.form == "pdf":
        check_pages(len(asked.recordings))
    serials = {await _serial_of(request, name) for name in asked.recordings}
    if principal_of(request).is_limited and len(serials) > 1:
        raise ForbiddenUnitError("your token is limited to some units: ask for one unit at a time")
    found, wish = reports_of(request), asked.wish

    async def work(report: OperationReport) -> Payload:
        return await found.of_many(asked.recordings, asked.form, wish, report)

    unit = serials.pop() if len(serials) == 1 else ""
    return accepted(await operations_of(request).begin(REPORTS, unit, work))


@reports.get(
    "/archive/reports/{id}",
    response_class=StreamingResponse,
    responses={200: {"description": "The file"}, **described_problems(404, 422)},
)
async def get_reports(request: Request, id: FileId, _: Nothing) -> Response:
    """The file that an operation made of the reports of many recordings."""
    return await sent_file(request, reports_of(request).files, id)


@reports.get(
    "/archive/recordings/{id}/facts", response_model=schemas.EnteredFactsOut, responses=PROBLEMS
)
async def get_facts(request: Request, name: RecordingId, _: Nothing) -> Response:
    """What persons entered about a recording: what counts now, and the history."""
    await check_visible(request, name)
    return sent_json(await gateway_of(request).store_service.read(_load_facts, name))


@reports.put(
    "/archive/recordings/{id}/facts",
    response_model=schemas.EnteredFactsOut,
    responses=PROBLEMS | described_problems(413),
    openapi_extra=described_body(schemas.EnteredFactsIn),
)
async def put_facts(request: Request, name: RecordingId, _: Nothing) -> Response:
    """Enter facts about a recording, such as the distance from the blast; earlier ones are kept."""
    asked = await body_of(request, schemas.EnteredFactsIn)
    await check_visible(request, name)
    store = gateway_of(request).store_service
    await store.write(
        entered_facts.save, name, asked.set, author=asked.author, at=datetime.now(UTC)
    )
    return sent_json(await store.read(_load_facts, name))


def _load_facts(connection: Connection, name: str) -> Payload:
    now = entered_facts.load(connection, name)
    return {
        "current": [fact.payload() for _, fact in sorted(now.items())],
        "history": [fact.payload() for fact in entered_facts.history(connection, name)],
    }


async def _serial_of(request: Request, name: str) -> str:
    await check_visible(request, name)
    payload = await gateway_of(request).store_service.read(load_recording, name)
    return str(payload["serial"])


def _sent(report: SetReport, inline: bool) -> Response:
    how = "inline" if inline else "attachment"
    headers = {**NO_STORE, "Content-Disposition": f'{how}; filename="{report.name}"'}
    return Response(report.data, 200, headers, PDF)
