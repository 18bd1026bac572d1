"""Shared by the routers: the gateway, an empty query model, and descriptions of errors."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import IO, Annotated, Any

import orjson
from fastapi import Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from sfm.access.principal import ForbiddenUnitError
from sfm.api.middleware.authentication import principal_of
from sfm.api.problems import MEDIA_TYPE
from sfm.api.schemas.reading import DeviceQuery, NoQuery
from sfm.devices.analyses import Analyses
from sfm.devices.commands import Commands
from sfm.devices.gateway import Gateway
from sfm.devices.target import Target
from sfm.exports.formats import FORMATS
from sfm.exports.made_files import PART_BYTES, MadeFiles
from sfm.store import StoreError, operations
from sfm.store.archive import load_recording
from sfm.store.audit import AuditEntry
from sfm.store.errors import NoSuchRecordError

__all__ = [
    "FILE",
    "NOT_MODIFIED",
    "PDF",
    "ZIP",
    "Nothing",
    "RecordingId",
    "analyses_of",
    "audit_entry",
    "check_visible",
    "commands_of",
    "described_problems",
    "gateway_of",
    "sent_file",
    "sent_json",
    "target_of",
]

Described = dict[int | str, dict[str, Any]]
"""Answers of a route by status, as the OpenAPI page wants them."""

_TEXT = {
    400: "Not a valid HTTP request, or its length is given twice",
    401: "A token is required, or the given one is wrong",
    403: "The token does not permit this, or the egress policy forbids the address",
    304: "Not modified (If-None-Match)",
    404: "No such unit, event or record",
    409: "The command does not match the unit (see reason), or the id is ambiguous",
    412: "The slot now contains another event (If-Match)",
    413: "The request body is too large",
    429: "Too many requests; Retry-After gives the delay",
    414: "The query is too long",
    431: "The headers are too large",
    422: "A parameter is invalid; errors names it",
    501: "A package that this needs is not installed; detail has the command that installs it",
    500: "Internal error, or a stored record is damaged",
    502: "The unit's reply is invalid",
    503: "Unreachable, busy or changing, or the database fails; Retry-After gives the delay",
    504: "The unit did not reply in time",
}

PDF, ZIP = "application/pdf", "application/zip"
NO_FILE = (
    "There is no such file. They are kept for 24 h, and the oldest go when they take more than 2 "
    "GB; ask for it again."
)
Nothing = Annotated[NoQuery, Query()]
RecordingId = Annotated[
    str,
    Path(
        alias="id",
        pattern="^[0-9a-fA-F]{8,64}$",
        description="The recording's id, or its first 8 characters or more.",
    ),
]


def audit_entry(
    request: Request, what: str, command: str, detail: Mapping[str, Any], serial: str | None = None
) -> AuditEntry:
    """
    Return the note of a change in the database: who changed what.

    Args:
        request: of the client.
        what: is changed, for the error's sentence.
        command: the name of the change.
        detail: its values.
        serial: the unit that it is about, if it is about one alone.

    Raises:
        ForbiddenUnitError: the client's token is limited to units, and the change is not one of
            theirs.
    """
    principal = principal_of(request)
    if principal.is_limited and (serial is None or not principal.may_use(serial)):
        raise ForbiddenUnitError(f"your token is limited to some units and cannot change {what}")
    return AuditEntry(
        at=datetime.now(UTC),
        actor=principal.name,
        role=principal.role.value,
        origin=principal.origin,
        serial=serial,
        command=command,
        outcome="done",
        detail=detail,
    )


def gateway_of(request: Request) -> Gateway:
    """Return the gateway of the application that was asked."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def target_of(request: Request, query: DeviceQuery) -> Target:
    """
    Return what a request is for, as it was authorised.

    Raises:
        NoSuchUnitError: nothing has that name, or no route leads there.
    """
    target: Target | None = request.scope.get("sfm.target")
    return target or gateway_of(request).roster.target(query.which)


async def check_visible(request: Request, name: str) -> None:
    """
    Return if the client's token permits a recording's unit.

    Raises:
        NoSuchRecordError: it does not; the same as of a recording that does not exist.
    """
    principal = principal_of(request)
    if principal.is_limited:
        payload = await gateway_of(request).store_service.read(load_recording, name)
        if not principal.may_use(payload["serial"]):
            raise NoSuchRecordError.of(name)


def sent_json(body: Any, status: int = 200) -> Response:
    """Return an answer that no cache may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), status, headers, "application/json")


async def sent_file(request: Request, files: MadeFiles, id_: str) -> Response:
    """
    Return the answer with a file that an operation made, after it was compared with its SHA-256.

    Raises:
        HTTPException: there is none, it was changed or cut, another host has it, or the client's
            token does not permit a unit in it.
    """
    principal = principal_of(request)
    found = files.find(id_)
    if found is None:
        raise HTTPException(404, await _where(request, files, id_))
    if not all(principal.may_use(serial) for serial in found.serials):
        raise HTTPException(404, NO_FILE)
    opened = await found.opened()
    if opened is None:
        files.give_up(found)
        raise HTTPException(
            404,
            f"{found.name} was changed or cut on the relay's disk after it was made, so it was "
            "removed; ask for it again.",
        )
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{found.name}"',
        "Content-Length": str(found.size_bytes),
        "Repr-Digest": f"sha-256=:{base64.b64encode(found.sha256).decode()}:",  # RFC 9530
    }
    is_pdf = found.name.endswith(".pdf")
    return StreamingResponse(_parts(opened), 200, headers, PDF if is_pdf else ZIP)


async def _where(request: Request, files: MadeFiles, id_: str) -> str:
    """Return what to do about a file that is not on this host, as sentences."""
    try:
        result = await gateway_of(request).store_service.read(
            operations.load_result, files.href(id_)
        )
    except StoreError:
        result = None
    host = None if result is None else result.get("host")
    if host is None or host == files.host:
        return NO_FILE
    return (
        f"This file is on host {host}, whose relay made it and has stopped since; the relay that "
        f"answers now runs on host {files.host}. Ask for it again, which makes it here."
    )


async def _parts(opened: IO[bytes]) -> AsyncIterator[bytes]:
    """Yield a file in parts, each read in well under a millisecond; close it."""
    with opened:
        while part := opened.read(PART_BYTES):
            yield part


def analyses_of(request: Request) -> Analyses:
    """Return the analyses of the application that was asked."""
    analyses: Analyses = request.app.state.analyses
    return analyses


def commands_of(request: Request) -> Commands:
    """Return the commands of the application that was asked."""
    commands: Commands = request.app.state.commands
    return commands


def described_problems(*statuses: int) -> Described:
    """Return the description of each error status."""
    schema = {"$ref": "#/components/schemas/ProblemOut"}
    return {
        status: {"description": _TEXT[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


FILE: dict[str, Any] = {
    "description": "The file",
    "content": {
        one.media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
        for one in FORMATS.values()
    },
}
"""An export, in the OpenAPI page."""

NOT_MODIFIED: Described = {304: {"description": _TEXT[304]}}
