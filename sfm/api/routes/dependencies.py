"""Shared by the routers: the gateway, an empty query model, and descriptions of errors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request

from minimateplus.link import Address
from sfm.access.principal import ForbiddenUnitError
from sfm.api.middleware.authentication import may_see
from sfm.api.problems import MEDIA_TYPE
from sfm.api.schemas.reading import DeviceQuery, NoQuery
from sfm.devices.answer import Answer
from sfm.devices.commands import Commands
from sfm.devices.gateway import Gateway
from sfm.devices.roster import Target

__all__ = [
    "NOT_MODIFIED",
    "Nothing",
    "address_of",
    "commands_of",
    "described_problems",
    "gateway_of",
    "note_answer",
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
    500: "Internal error, or a stored record is damaged",
    502: "The unit's reply is invalid",
    503: "Unreachable, busy or changing, or the database fails; Retry-After gives the delay",
    504: "The unit did not reply in time",
}

Nothing = Annotated[NoQuery, Query()]


def gateway_of(request: Request) -> Gateway:
    """Return the gateway of the application that was asked."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def target_of(request: Request, query: DeviceQuery) -> Target:
    """
    Return the address that a request is for, as it was authorised.

    Raises:
        NoSuchUnitError: nothing has that name, or no route leads there.
    """
    target: Target | None = request.scope.get("sfm.target")
    return target or gateway_of(request).roster.target(query.which)


def address_of(request: Request, query: DeviceQuery) -> Address:
    """Return the address that a request is for; raises as ``target_of``."""
    return target_of(request, query).address


async def note_answer(request: Request, answer: Answer) -> None:
    """
    Note which unit gave an answer.

    Raises:
        ForbiddenUnitError: it is not one of those that the client's token permits.
    """
    found, gateway = answer.provenance, gateway_of(request)
    target: Target | None = request.scope.get("sfm.target")
    if target is not None and found.source == "device":
        await gateway.roster.note_contact(target.address, found.serial, simulated=found.simulated)
    if not may_see(request.scope, found.serial):
        raise ForbiddenUnitError("another unit answers there, which your token does not permit")


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


NOT_MODIFIED: Described = {304: {"description": _TEXT[304]}}
