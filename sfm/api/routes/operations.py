"""Operations over HTTP: how far long work is that was answered with 202, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from sfm.api.middleware.authentication import principal_of
from sfm.api.routes.dependencies import Nothing, described_problems, gateway_of
from sfm.api.schemas.commands import OperationOut
from sfm.api.streams import steps_stream
from sfm.devices.operations import Operation, Operations

__all__ = ["accepted", "operations", "operations_of", "prefers_async"]

operations = APIRouter(prefix="/operations", tags=["operations"])

OperationId = Annotated[str, Path(max_length=64, description="As Location named it.")]

PROBLEMS = described_problems(404, 422, 503)


def operations_of(request: Request) -> Operations:
    """Return the operations of the application that was asked."""
    found: Operations = request.app.state.operations
    return found


def prefers_async(prefer: Iterable[str]) -> bool:
    """
    Whether the ``Prefer`` headers of a request ask for an answer at once (RFC 7240, 4.1).

    >>> prefers_async(['wait=10, Respond-Async; a="b"']), prefers_async(["respond-async-not"])
    (True, False)
    """
    preferences = (one.partition(";")[0].strip() for line in prefer for one in line.split(","))
    return any(re.fullmatch("respond-async", one, re.IGNORECASE) for one in preferences)


def accepted(operation: Operation, **headers: str) -> Response:
    """Return the answer to a request whose work goes on as an operation."""
    headers = {"Location": f"/operations/{operation.id}", "Cache-Control": "no-store", **headers}
    return Response(orjson.dumps(operation.payload()), 202, headers, "application/json")


def _may_see(request: Request, operation: Operation) -> bool:
    """Whether the client's token permits the operation's unit, by address or by serial number."""
    principal, roster = principal_of(request), gateway_of(request).roster
    return principal.may_use_route(operation.unit) or not principal.units.isdisjoint(
        roster.units_with_key(operation.unit)
    )


async def _found(request: Request, id_: str) -> Operation:
    operation = await operations_of(request).find(id_)
    # One of a unit that the token may not see is not there for it.
    if operation is None or not _may_see(request, operation):
        raise HTTPException(404, "There is no such operation; they are kept for 24 h.")
    return operation


@operations.get("/{id}", response_model=OperationOut, responses=PROBLEMS)
async def get_operation(request: Request, id: OperationId, _: Nothing) -> Response:
    """How far an operation is; with its result or problem once it has ended. Kept for 24 h."""
    operation = await _found(request, id)
    headers = {"Cache-Control": "no-store"}
    if operation.state == "running":
        headers["Retry-After"] = "2"
    return Response(orjson.dumps(operation.payload()), 200, headers, "application/json")


@operations.get(
    "/{id}/progress",
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"},
        **PROBLEMS,
    },
    response_class=Response,
)
async def get_operation_progress(request: Request, id: OperationId, _: Nothing) -> Response:
    """The steps of an operation as server-sent events, to its end; resumes by Last-Event-ID."""
    operation = await _found(request, id)
    return steps_stream(operation.steps, request.headers.get("last-event-id"))
