"""What every router needs: the gateway, the refusal of unknown parameters, the described errors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request

from sfm.api.problems import MEDIA_TYPE
from sfm.api.schemas.reading import NoQuery
from sfm.devices.commands import Commands
from sfm.devices.gateway import Gateway

Described = dict[int | str, dict[str, Any]]
"""Answers of a route by status, as the OpenAPI page wants them."""

_TEXT = {
    400: "This is no HTTP request, or it gives its length twice",
    401: "A token is needed, or the one shown is wrong",
    403: "The token is not good for that, or the relay may not connect there",
    304: "The reader has it already (If-None-Match)",
    404: "No such event or record",
    409: "The unit is not as the command says (reason says how); or an id that several have",
    412: "The slot holds another event now (If-Match)",
    413: "The body is too large",
    429: "Too often; Retry-After says when to ask again",
    414: "The query is too long",
    431: "The headers are too large",
    422: "A parameter is wrong; errors names it",
    500: "Our fault, or a stored record is damaged",
    502: "The unit answered wrongly",
    503: "Refused, busy or changing, or the database fails; Retry-After says when to ask again",
    504: "The unit did not answer in time",
}

Nothing = Annotated[NoQuery, Query()]


def gateway_of(request: Request) -> Gateway:
    """Return the gateway of the application that was asked."""
    gateway: Gateway = request.app.state.gateway
    return gateway


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
