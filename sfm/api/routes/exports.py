"""Files of many recordings over HTTP: an operation makes one ZIP, which is then fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import Connection

from sfm.access.principal import ForbiddenUnitError
from sfm.api.middleware.authentication import principal_of
from sfm.api.routes.dependencies import ZIP, Nothing, described_problems, gateway_of, sent_file
from sfm.api.routes.operations import accepted, operations_of
from sfm.api.schemas.bodies import body_of, described_body
from sfm.api.schemas.commands import OperationOut
from sfm.api.schemas.exports import ExportsIn
from sfm.devices.operations import EXPORTS
from sfm.devices.operations import Report as OperationReport
from sfm.exports.formats import check_style
from sfm.exports.service import Exports
from sfm.records.payloads import Payload
from sfm.store.archive import load_recording
from sfm.store.errors import NoSuchRecordError

__all__ = ["exports"]

exports = APIRouter(prefix="/archive/exports", tags=["archive"])

FileId = Annotated[str, Path(max_length=64, description="As the operation's result names it.")]


def exports_of(request: Request) -> Exports:
    """Return the exports of the application that was asked."""
    found: Exports = request.app.state.exports
    return found


@exports.post(
    "",
    status_code=202,
    response_model=OperationOut,
    responses=described_problems(404, 409, 413, 422, 500, 503),
    openapi_extra=described_body(ExportsIn),
)
async def post_exports(request: Request, _: Nothing) -> Response:
    """
    Make a ZIP with a file for each of up to 200 recordings.

    The answer is 202 at once, and its ``Location`` the operation. Its result names the file
    (``href``), which is kept for 24 h, the recordings that could not be
    exported (``failed``), and ``next_cursor`` where more recordings match.
    """
    asked = await body_of(request, ExportsIn)
    check_style(asked.format, asked.style)
    unit = await _unit_of(request, asked)
    found = exports_of(request)

    async def work(report: OperationReport) -> Payload:
        return await found.of_many(asked.selection, asked.format, asked.style, report)

    return accepted(await operations_of(request).begin(EXPORTS, unit, work))


async def _unit_of(request: Request, asked: ExportsIn) -> str:
    """
    Return the unit that an export is of, for the operation; empty: of several.

    Raises:
        ForbiddenUnitError: a limited token asks for several units at once.
        NoSuchRecordError: there is none of that id, or the token does not permit it.
    """
    principal = principal_of(request)
    if not principal.is_limited:
        return asked.serial or ""
    if asked.recordings is None:
        serials = {asked.serial}
    else:
        read = gateway_of(request).store_service.read
        serials = {*await read(_load_serials, asked.recordings)}
        if not all(principal.may_use(serial) for serial in serials):
            raise NoSuchRecordError("the archive has not every one of these recordings")
    [serial, *others] = serials
    if others or serial is None or not principal.may_use(serial):
        raise ForbiddenUnitError("your token is limited to some units: export one unit at a time")
    return serial


def _load_serials(connection: Connection, names: Sequence[str]) -> list[str]:
    return [load_recording(connection, name)["serial"] for name in names]


@exports.get(
    "/{id}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The ZIP",
            "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}},
        },
        **described_problems(404, 422),
    },
)
async def get_exports(request: Request, id: FileId, _: Nothing) -> Response:
    """The ZIP that an operation made."""
    return await sent_file(request, exports_of(request).files, id)
