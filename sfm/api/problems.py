"""
One error shape for all of the API: problem details (RFC 9457), ``application/problem+json``.

Every error of ``minimateplus`` and of ``sfm.store`` stands in ``PROBLEMS``; tests prove the table
complete. The status says who is to blame and whether asking again helps:

======  ==========================================================================
401     a token is needed, or the one shown is wrong
403     the token is not good for that, or the relay may not connect there
404     there is no such event, record or token, no archive at all, or no such page
409     the unit is not as the command says; ``reason`` says how. Or a token has that name already
412     the slot holds another event than ``If-Match`` names
400     this is no HTTP request, or it gives its length twice
405     there is such a page, but not for this method
413     the body is too large; 414 the query, 431 the headers
422     a parameter is wrong; ``errors`` names each
429     too often; ``Retry-After`` says when to ask again
502     the unit answered, but not as a MiniMate Plus does
503     refused, busy, changing, or the database fails; ``Retry-After`` says when to ask again
504     the unit did not answer in time; with ``outcome: unknown`` a command was out already
500     our fault, or a stored record is damaged
======  ==========================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from minimateplus import errors
from sfm.access.egress import ForbiddenAddressError
from sfm.access.principal import ForbiddenUnitError, rate_limit_key
from sfm.back_off import BackingOffError
from sfm.devices.commands import CommandConflictError, NotMonitoringError
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.gateway import NotCachedError
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.errors import SfmError
from sfm.logs import ClientLog
from sfm.store import errors as store_errors
from sfm.store.errors import NoStoreError


class OtherEventError(SfmError):
    """The slot holds another event than the reader's ``If-Match`` names."""


class TooLargeError(SfmError):
    """The body of a request is larger than it may be."""


class RequestRejectedError(SfmError):
    """
    Ends a request with a problem, before anything is done for it.

    Args:
        problem: which.
        detail: what happened, and what to do next.
        wait_s: when asking again may help, s.
    """

    def __init__(self, problem: Problem, detail: str, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.problem = problem
        self.wait_s = wait_s


MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:seismo-relay:problem:"
RETRY_AFTER_S = 5
RETRY_STORE_S = 60
"""Where somebody must do something first; the relay tries the database again by itself."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: its name, status, title, and when asking again may help."""

    kind: str
    status: int
    title: str
    retry_after_s: int | None = None


INTERNAL = Problem("internal", 500, "Our fault")
CUT = Problem("request-incomplete", 400, "The request did not come whole")
INVALID = Problem("invalid-parameter", 422, "A parameter is wrong")
UNKNOWN = Problem("outcome-unknown", 502, "Whether the unit followed the command is not known")
LINK_LOST = Problem("link-lost", 503, "The link to the unit ended", RETRY_AFTER_S)
SILENT = Problem("unit-silent", 504, "The unit did not answer in time")
STORE_FAILED = Problem("store-failed", 503, "The database cannot be used", RETRY_STORE_S)
GONE = Problem("gone", 410, "This path names nothing any more")
NOT_FOUND = Problem("not-found", 404, "Not Found")
NOT_ALLOWED = Problem("not-allowed", 403, "This token is not good for that")
TOO_LARGE = Problem("too-large", 413, "The body is too large")
UNIT_FAILED = Problem("unit-failed", 502, "The unit failed")

UNDECODED = Problem("samples-undecoded", 502, "The event's samples cannot be decoded")

PROBLEMS: dict[type[Exception], Problem] = {
    errors.ConnectTimeoutError: SILENT,
    errors.ConnectError: Problem(
        "unit-unreachable", 503, "The unit cannot be reached", RETRY_AFTER_S
    ),
    errors.LinkClosedError: LINK_LOST,
    errors.LinkError: LINK_LOST,
    errors.ReplyTimeoutError: SILENT,
    errors.DeadlineError: Problem("deadline-exceeded", 504, "The read took longer than it may"),
    errors.KeyChainError: Problem(
        "key-chain-damaged", 502, "The unit's chain of events is damaged"
    ),
    errors.SampleDecodeError: UNDECODED,
    errors.DuplicateReplyError: Problem("duplicate-reply", 502, "A reply arrived twice"),
    errors.LineSharedError: Problem(
        "line-shared", 502, "Another program is using this unit's line"
    ),
    errors.RemoteProtocolError: Problem("not-a-unit", 502, "The unit answered wrongly"),
    errors.NoSuchEventError: Problem("no-such-event", 404, "There is no such event"),
    errors.MemoryChangedError: Problem("memory-changing", 503, "The unit's memory is changing", 2),
    errors.RecordDiffersError: Problem("memory-changing", 503, "The unit's memory is changing", 2),
    errors.NotWritableError: Problem("not-writable", 502, "The unit does not show the setting"),
    errors.OutcomeUnknownError: UNKNOWN,
    errors.ReadBackError: Problem(
        "read-back-mismatch", 502, "The unit says otherwise than was written"
    ),
    errors.UnitError: UNIT_FAILED,
    errors.CaptureError: Problem("bad-capture", 502, "The capture cannot answer this"),
    errors.LocalProtocolError: INTERNAL,
    errors.SampleRangeError: INTERNAL,
    errors.SettingError: INVALID,
    errors.MiniMateError: INTERNAL,
    BusyError: Problem("busy", 503, "Too many wait for the unit", RETRY_AFTER_S),
    BackingOffError: Problem(
        "backing-off", 503, "The unit failed and is left alone", RETRY_AFTER_S
    ),
    ListIncompleteError: Problem(
        "list-incomplete", 503, "The event list is not complete yet", RETRY_AFTER_S
    ),
    NotCachedError: Problem("not-cached", 504, "Nothing is held, and the unit was not asked"),
    ForbiddenAddressError: Problem("forbidden-address", 403, "The relay may not connect there"),
    ForbiddenUnitError: NOT_ALLOWED,
    CommandConflictError: Problem("command-conflict", 409, "The unit is not as the command says"),
    NotMonitoringError: Problem("not-monitoring", 409, "The unit does not monitor"),
    OtherEventError: Problem("event-mismatch", 412, "The slot holds another event"),
    ShuttingDownError: Problem("shutting-down", 503, "The relay is shutting down", RETRY_AFTER_S),
    TooLargeError: TOO_LARGE,
    NoStoreError: Problem("no-archive", 404, "This relay keeps no archive"),
    store_errors.NoSuchRecordError: Problem("no-such-record", 404, "There is no such record"),
    store_errors.NoSuchTokenError: Problem("no-such-token", 404, "There is no such token"),
    store_errors.TokenNameTakenError: Problem(
        "token-name-taken", 409, "Another token has that name"
    ),
    store_errors.UndecodedSamplesError: UNDECODED,
    store_errors.DamagedRecordError: Problem(
        "damaged-record", 503, "A stored record is damaged", RETRY_STORE_S
    ),
    store_errors.DamagedMirrorError: Problem(
        "damaged-record", 503, "A stored record is damaged", RETRY_STORE_S
    ),
    store_errors.AmbiguousIdError: Problem(
        "ambiguous-id", 409, "Several recordings begin with these letters"
    ),
    # Refused before the archive is asked, as every parameter is.
    store_errors.BadCursorError: INVALID,
    store_errors.NoSerialError: UNIT_FAILED,
    store_errors.StoreBusyError: Problem(
        "store-busy", 503, "Somebody else holds the database", RETRY_AFTER_S
    ),
    store_errors.StoreFullError: Problem(
        "store-full", 503, "There is no room for the database", RETRY_STORE_S
    ),
    store_errors.StoreDamagedError: Problem(
        "store-damaged", 503, "The database is damaged", RETRY_STORE_S
    ),
    store_errors.StoreLostError: STORE_FAILED,
    store_errors.StoreReplacedError: Problem(
        "store-replaced", 503, "The database file was taken away", RETRY_STORE_S
    ),
    store_errors.StoreInUseError: STORE_FAILED,
    store_errors.RevisionError: STORE_FAILED,
    store_errors.StoreError: STORE_FAILED,
    store_errors.OwnToolsError: STORE_FAILED,
}
"""Which problem each error is; an error not named here is what its nearest ancestor is."""


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error is, by its own type or its nearest ancestor's."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            problem = PROBLEMS[kind]
            too_late = isinstance(error.__cause__, errors.ReplyTimeoutError | errors.DeadlineError)
            return replace(problem, status=504) if problem is UNKNOWN and too_late else problem
    return INTERNAL


def _more(error: Exception) -> dict[str, Any]:
    """Return what a problem says beside its sentence."""
    more: dict[str, Any] = {}
    if (outcome := getattr(error, "outcome", None)) is not None:
        more["outcome"] = outcome
    if isinstance(error, ListIncompleteError):
        more |= {"walked": error.walked, "estimate_s": error.estimate_s}
    if (diagnosis := getattr(error, "diagnosis", None)) is not None:
        more["diagnosis"] = diagnosis
    if isinstance(error, CommandConflictError):
        more |= {"reason": error.reason, **error.facts}
    if isinstance(error, NotMonitoringError):
        more |= error.seen
    if isinstance(error, errors.SampleDecodeError | store_errors.UndecodedSamplesError):
        name = error.recording_id
        more["image"] = None if name is None else f"/archive/recordings/{name}/image"
    if isinstance(error, errors.SettingError):
        more["errors"] = [{"field": error.field, "message": error.reason}]
    return more


def problem_payload(error: Exception) -> dict[str, Any]:
    """Return the document that a request which ended in ``error`` would have answered."""
    problem = problem_of(error)
    if problem is INTERNAL:
        log.error("internal_error", error=repr(error), exc_info=error)
        return _document(problem, "The relay made a mistake; its log says which.")
    return _document(problem, str(error), **_more(error))


def _document(problem: Problem, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + problem.kind,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        **more,
    }


def problem_response(problem: Problem, detail: str, **more: Any) -> Response:
    """Return an HTTP response that says what happened and what to do next."""
    body = _document(problem, detail, **more)
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return Response(
        orjson.dumps(body), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def rejection_response(refusal: RequestRejectedError) -> Response:
    """Return an HTTP response that says why a request was refused."""
    response = problem_response(refusal.problem, str(refusal))
    if refusal.wait_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(refusal.wait_s)))
    if refusal.problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="seismo-relay"'
    return response


def install(app: FastAPI, client_log: ClientLog | None = None) -> None:
    """
    Give ``app`` one shape for everything that can go wrong.

    Args:
        app: whose errors are answered.
        client_log: takes our own faults, which a client may cause again and again.
    """
    client_log = client_log or ClientLog()

    async def unit_failed(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem is INTERNAL:
            client = rate_limit_key(request.client.host) if request.client else ""
            client_log.write(log.error, "internal_error", client, error=repr(error), exc_info=error)
            return problem_response(problem, "The relay made a mistake; its log says which.")
        delay_s = getattr(error, "retry_after_s", None)
        if delay_s is not None:
            problem = replace(problem, retry_after_s=math.ceil(delay_s))
        return problem_response(problem, str(error), **_more(error))

    async def hung_up(_: Request, __: Exception) -> Response:
        # Nobody reads it: the client left in the middle of its own request.
        return problem_response(CUT, "the request ended before its body did")

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [
            {"field": _field(e["loc"]), "message": str(e["msg"]).removeprefix("Value error, ")}
            for e in error.errors()
        ]
        detail = "; ".join(f"{e['field']}: {e['message']}" for e in found)
        return problem_response(INVALID, detail, errors=found)

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestRejectedError)
        return rejection_response(error)

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        kind = title.lower().replace(" ", "-")
        response = problem_response(Problem(kind, error.status_code, title), str(error.detail))
        response.headers.update(error.headers or {})
        if response.headers.get("allow", "").startswith("GET"):
            response.headers["allow"] = response.headers["allow"].replace("GET", "GET, HEAD", 1)
        return response

    known: list[type[Exception]] = [errors.MiniMateError, Exception]
    known += [kind for kind in PROBLEMS if not issubclass(kind, errors.MiniMateError)]
    for kind in known:
        app.add_exception_handler(kind, unit_failed)
    app.add_exception_handler(ClientDisconnect, hung_up)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(RequestRejectedError, refused)
    app.add_exception_handler(HTTPException, http)


def _field(place: tuple[int | str, ...]) -> str:
    """Return the name of a parameter from pydantic's place: ``("query", "tcp_port")``."""
    names = [str(part) for part in place if part not in ("query", "path", "body")]
    return ".".join(names) or "request"
