"""
One error shape for all of the API: problem details (RFC 9457), ``application/problem+json``.

``PROBLEMS`` maps every error of ``minimateplus`` and of ``sfm.store`` to its problem; tests prove
the table complete. The status tells the client which side failed and whether a retry can help:

======  ==========================================================================
401     a token is required, or the given one is wrong
403     the token does not permit it, or the egress policy forbids the address
404     there is no such event, record, token or route, or no archive at all
409     the command does not match the unit (``reason``), or the token name is taken
412     the slot contains another event than ``If-Match`` names
400     not a valid HTTP request, or its length is given twice
405     the route exists, but not for this method
413     the body is too large; 414 the query, 431 the headers
422     a parameter is invalid; ``errors`` names each
429     too many requests; ``Retry-After`` gives the delay
502     the reply is not that of a MiniMate Plus
501     a package that this needs is not installed
503     unreachable, busy, changing, or the database fails; ``Retry-After`` gives the delay
504     the unit did not reply in time; with ``outcome: unknown`` a command had been sent
500     internal error, or a stored record is damaged
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
from sfm.devices.fetch import FetchIncompleteError
from sfm.devices.gateway import NotCachedError
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.errors import SfmError
from sfm.exports.errors import ExportError, MissingExtraError, UnwritableEventError
from sfm.logs import ClientLog
from sfm.reports.errors import NoTypesetterError, ReportError
from sfm.store import errors as store_errors
from sfm.store.errors import NoStoreError
from sfm.worker import WorkerBusyError, WorkerError

__all__ = [
    "GONE",
    "MEDIA_TYPE",
    "NOT_ALLOWED",
    "NOT_FOUND",
    "PROBLEMS",
    "STORE_FAILED",
    "TOO_LARGE",
    "UNKNOWN",
    "OtherEventError",
    "Problem",
    "RequestRejectedError",
    "TooLargeError",
    "install",
    "problem_of",
    "problem_payload",
    "problem_response",
    "rejection_response",
]


class OtherEventError(SfmError):
    """The slot contains another event than the reader's ``If-Match`` names."""


class TooLargeError(SfmError):
    """The body of a request exceeds the limit."""


class RequestRejectedError(SfmError):
    """
    Reject a request with a problem, before any work is done for it.

    Args:
        problem: its kind, status and title.
        detail: what happened, and what to do next.
        wait_s: the delay after which a retry may help, s.
    """

    def __init__(self, problem: Problem, detail: str, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.problem = problem
        self.wait_s = wait_s


MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:seismo-relay:problem:"
INTERNAL_DETAIL = "The relay failed on this request; its log has the details."
RETRY_AFTER_S = 5
RETRY_STORE_S = 60
"""Where a person must act first; the relay itself retries the database."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: its name, status, title, and the delay before a retry."""

    kind: str
    status: int
    title: str
    retry_after_s: int | None = None


INTERNAL = Problem("internal", 500, "Internal error")
CUT = Problem("request-incomplete", 400, "The request is incomplete")
INVALID = Problem("invalid-parameter", 422, "Invalid parameter")
UNKNOWN = Problem("outcome-unknown", 502, "The command's outcome is unknown")
LINK_LOST = Problem("link-lost", 503, "The link to the unit was lost", RETRY_AFTER_S)
SILENT = Problem("unit-silent", 504, "The unit did not reply in time")
STORE_FAILED = Problem("store-failed", 503, "The database is not available", RETRY_STORE_S)
GONE = Problem("gone", 410, "This path is no longer served")
NOT_FOUND = Problem("not-found", 404, "Not Found")
NOT_ALLOWED = Problem("not-allowed", 403, "The token does not permit this request")
TOO_LARGE = Problem("too-large", 413, "The request body is too large")
UNIT_FAILED = Problem("unit-failed", 502, "The unit failed")

EXTRA_MISSING = Problem("extra-missing", 501, "A package is not installed")
UNDECODED = Problem("samples-undecoded", 502, "The event's samples cannot be decoded")

PROBLEMS: dict[type[Exception], Problem] = {
    errors.ConnectTimeoutError: SILENT,
    errors.ConnectError: Problem(
        "unit-unreachable", 503, "The unit cannot be reached", RETRY_AFTER_S
    ),
    errors.LinkClosedError: LINK_LOST,
    errors.LinkError: LINK_LOST,
    errors.ReplyTimeoutError: SILENT,
    errors.DeadlineError: Problem("deadline-exceeded", 504, "The read exceeded its deadline"),
    errors.KeyChainError: Problem(
        "key-chain-damaged", 502, "The unit's chain of event keys is damaged"
    ),
    errors.SampleDecodeError: UNDECODED,
    errors.DuplicateReplyError: Problem("duplicate-reply", 502, "The unit's reply arrived twice"),
    errors.LineSharedError: Problem(
        "line-shared", 502, "Another program is using the unit's connection"
    ),
    errors.RemoteProtocolError: Problem("not-a-unit", 502, "The unit's reply is invalid"),
    errors.NoSuchEventError: Problem("no-such-event", 404, "There is no such event"),
    errors.MemoryChangedError: Problem("memory-changing", 503, "The unit's memory is changing", 2),
    errors.RecordDiffersError: Problem("memory-changing", 503, "The unit's memory is changing", 2),
    errors.NotWritableError: Problem(
        "not-writable", 502, "The unit does not show where it stores the setting"
    ),
    errors.OutcomeUnknownError: UNKNOWN,
    errors.ReadBackError: Problem(
        "read-back-mismatch", 502, "The unit's values differ from those written"
    ),
    errors.UnitError: UNIT_FAILED,
    errors.CaptureError: Problem("bad-capture", 502, "The capture has no reply to this request"),
    errors.LocalProtocolError: INTERNAL,
    errors.SampleRangeError: INTERNAL,
    errors.SettingError: INVALID,
    errors.MiniMateError: INTERNAL,
    BusyError: Problem("busy", 503, "The unit is busy", RETRY_AFTER_S),
    BackingOffError: Problem(
        "backing-off", 503, "The unit failed repeatedly; the relay is backing off", RETRY_AFTER_S
    ),
    ListIncompleteError: Problem(
        "list-incomplete", 503, "The event list is not complete yet", RETRY_AFTER_S
    ),
    FetchIncompleteError: Problem(
        "fetch-incomplete", 503, "Not every event could be fetched", RETRY_AFTER_S
    ),
    NotCachedError: Problem("not-cached", 504, "Not in the cache"),
    WorkerBusyError: Problem(
        "computing-busy", 503, "Too many computations are waiting", RETRY_AFTER_S
    ),
    WorkerError: Problem("computing-failed", 503, "The computation failed", RETRY_AFTER_S),
    ReportError: Problem("report-impossible", 422, "The report cannot be made as asked for"),
    ForbiddenAddressError: Problem(
        "forbidden-address", 403, "Connecting to this address is not permitted"
    ),
    ForbiddenUnitError: NOT_ALLOWED,
    CommandConflictError: Problem(
        "command-conflict", 409, "The command does not match the unit's state"
    ),
    NotMonitoringError: Problem("not-monitoring", 409, "The unit did not start monitoring"),
    OtherEventError: Problem("event-mismatch", 412, "The slot contains another event"),
    MissingExtraError: EXTRA_MISSING,
    NoTypesetterError: EXTRA_MISSING,
    UnwritableEventError: Problem(
        "unwritable-event", 409, "The format cannot state what is known of the event"
    ),
    ExportError: INVALID,
    ShuttingDownError: Problem("shutting-down", 503, "The relay is shutting down", RETRY_AFTER_S),
    TooLargeError: TOO_LARGE,
    NoStoreError: Problem("no-archive", 404, "This relay has no archive"),
    store_errors.NoSuchRecordError: Problem("no-such-record", 404, "There is no such record"),
    store_errors.NoSuchTokenError: Problem("no-such-token", 404, "There is no such token"),
    store_errors.TokenNameTakenError: Problem(
        "token-name-taken", 409, "Another token has this name"
    ),
    store_errors.NoSuchUnitError: Problem(
        "unknown-unit", 404, "The roster has no such unit or location"
    ),
    store_errors.RosterConflictError: Problem(
        "roster-conflict", 409, "The roster does not admit this"
    ),
    store_errors.NoSuchCurveError: Problem(
        "unknown-curve", 404, "There is no such limit curve or choice"
    ),
    store_errors.LimitConflictError: Problem(
        "limit-conflict", 409, "The limit curve does not admit this"
    ),
    store_errors.UndecodedSamplesError: UNDECODED,
    store_errors.DamagedRecordError: Problem(
        "damaged-record", 503, "A stored record is damaged", RETRY_STORE_S
    ),
    store_errors.DamagedMirrorError: Problem(
        "damaged-record", 503, "A stored record is damaged", RETRY_STORE_S
    ),
    store_errors.AmbiguousIdError: Problem("ambiguous-id", 409, "Several recordings match this id"),
    # Refused before the archive is asked, as every parameter is.
    store_errors.BadCursorError: INVALID,
    store_errors.NoSerialError: UNIT_FAILED,
    store_errors.StoreBusyError: Problem(
        "store-busy", 503, "Another program has locked the database", RETRY_AFTER_S
    ),
    store_errors.StoreFullError: Problem(
        "store-full", 503, "The database's disk is full", RETRY_STORE_S
    ),
    store_errors.StoreDamagedError: Problem(
        "store-damaged", 503, "The database is damaged", RETRY_STORE_S
    ),
    store_errors.StoreLostError: STORE_FAILED,
    store_errors.StoreReplacedError: Problem(
        "store-replaced", 503, "The database file was removed or replaced", RETRY_STORE_S
    ),
    store_errors.StoreInUseError: STORE_FAILED,
    store_errors.StoreReadOnlyError: STORE_FAILED,
    store_errors.RevisionError: STORE_FAILED,
    store_errors.WrongUrlError: STORE_FAILED,
    store_errors.StoreError: STORE_FAILED,
    store_errors.OwnToolsError: STORE_FAILED,
}
"""The problem of each error type; other errors use that of their nearest ancestor."""


def problem_of(error: Exception) -> Problem:
    """Return the problem of an error, by its own type or its nearest ancestor's."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            problem = PROBLEMS[kind]
            too_late = isinstance(error.__cause__, errors.ReplyTimeoutError | errors.DeadlineError)
            return replace(problem, status=504) if problem is UNKNOWN and too_late else problem
    return INTERNAL


def _more(error: Exception) -> dict[str, Any]:
    """Return the members of a problem document beside the standard ones."""
    more: dict[str, Any] = {}
    if (outcome := getattr(error, "outcome", None)) is not None:
        more["outcome"] = outcome
    if isinstance(error, ListIncompleteError):
        more |= {"walked": error.walked, "estimate_s": error.estimate_s}
    if (diagnosis := getattr(error, "diagnosis", None)) is not None:
        more["diagnosis"] = diagnosis
    if isinstance(error, CommandConflictError):
        more |= {"reason": error.reason, **error.facts}
        if error.reason == "not-archived":
            more["fetch"] = "/device/fetch"
    if isinstance(error, FetchIncompleteError):
        more["result"] = error.result
    if isinstance(error, NotMonitoringError):
        more |= error.seen
    if isinstance(error, errors.SampleDecodeError | store_errors.UndecodedSamplesError):
        name = error.recording_id
        more["image"] = None if name is None else f"/archive/recordings/{name}/image"
    if isinstance(error, errors.SettingError):
        more["errors"] = [{"field": error.field, "message": error.reason}]
    return more


def problem_payload(error: Exception) -> dict[str, Any]:
    """Return the problem document that a request would answer for ``error``."""
    problem = problem_of(error)
    if problem is INTERNAL:
        log.error("internal_error", error=repr(error), exc_info=error)
        return _document(problem, INTERNAL_DETAIL)
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
    """Return the HTTP response for a problem."""
    body = _document(problem, detail, **more)
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return Response(
        orjson.dumps(body), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def rejection_response(rejection: RequestRejectedError) -> Response:
    """Return the HTTP response for a rejected request."""
    response = problem_response(rejection.problem, str(rejection))
    if rejection.wait_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(rejection.wait_s)))
    if rejection.problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="seismo-relay"'
    return response


def install(app: FastAPI, client_log: ClientLog | None = None) -> None:
    """
    Answer every error of ``app`` with a problem document.

    Args:
        app: whose errors are answered.
        client_log: where internal errors are logged; limits what one client can write.
    """
    app.state.client_log = client_log or ClientLog()
    known: list[type[Exception]] = [errors.MiniMateError, Exception]
    known += [kind for kind in PROBLEMS if not issubclass(kind, errors.MiniMateError)]
    for kind in known:
        app.add_exception_handler(kind, _answer_error)
    app.add_exception_handler(ClientDisconnect, _answer_disconnect)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(RequestRejectedError, _answer_rejected)
    app.add_exception_handler(HTTPException, _answer_http)


async def _answer_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is INTERNAL:
        client = rate_limit_key(request.client.host) if request.client else ""
        client_log: ClientLog = request.app.state.client_log
        client_log.write(log.error, "internal_error", client, error=repr(error), exc_info=error)
        return problem_response(problem, INTERNAL_DETAIL)
    delay_s = getattr(error, "retry_after_s", None)
    if delay_s is not None:
        problem = replace(problem, retry_after_s=math.ceil(delay_s))
    return problem_response(problem, str(error), **_more(error))


async def _answer_disconnect(_: Request, __: Exception) -> Response:
    # Nobody reads it: the client disconnected while it sent its request.
    return problem_response(CUT, "the connection ended before the request body was complete")


async def _answer_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [
        {"field": _field(e["loc"]), "message": str(e["msg"]).removeprefix("Value error, ")}
        for e in error.errors()
    ]
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in found)
    return problem_response(INVALID, detail, errors=found)


async def _answer_rejected(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRejectedError)
    return rejection_response(error)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    kind = title.lower().replace(" ", "-")
    response = problem_response(Problem(kind, error.status_code, title), str(error.detail))
    response.headers.update(error.headers or {})
    if response.headers.get("allow", "").startswith("GET"):
        response.headers["allow"] = response.headers["allow"].replace("GET", "GET, HEAD", 1)
    return response


def _field(place: tuple[int | str, ...]) -> str:
    """Return the name of a parameter from pydantic's place: ``("query", "tcp_port")``."""
    names = [str(part) for part in place if part not in ("query", "path", "body")]
    return ".".join(names) or "request"
