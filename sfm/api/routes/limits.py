"""
Limits over HTTP: curves, what they allow, confirmations of disputed ones, and which count where.

Every change is in the audit log, in one transaction with the change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy import Connection

from sfm.analysis.limits import Curve, LimitsError, UnknownCurveError, parse_own
from sfm.analysis.limits.answers import curve_payload, listed, value_payload, wrong_parameters
from sfm.api.middleware.authentication import principal_of
from sfm.api.routes.dependencies import (
    Nothing,
    audit_entry,
    described_problems,
    gateway_of,
    sent_json,
)
from sfm.api.schemas import limits as schemas
from sfm.api.schemas.bodies import body_of, described_body
from sfm.devices.limits import Limits
from sfm.records.limit_choices import Choice
from sfm.records.payloads import Payload
from sfm.records.roster import Roster
from sfm.store import limits as stored
from sfm.store.errors import NoSuchCurveError, NoSuchRecordError, NoSuchUnitError
from sfm.store.verdicts import load_judged_recording

__all__ = ["limits"]

READ_PROBLEMS = described_problems(404, 422, 500)
CHANGE_PROBLEMS = described_problems(404, 409, 413, 422, 500, 503)
Named = Annotated[str, Path(alias="id", max_length=64, description="The curve's name.")]
Which = Annotated[schemas.LimitsQuery, Query()]
Where = Annotated[schemas.ValueQuery, Query()]
WhichScope = Annotated[schemas.ScopeQuery, Query()]

limits = APIRouter(tags=["limits"])


async def _limits_of(request: Request) -> Limits:
    """Return the present limits, from the database if that can be read."""
    known = gateway_of(request).limits
    await known.load()
    return known


async def _change(
    request: Request,
    command: str,
    detail: Mapping[str, Any],
    function: Callable[[Connection], object],
) -> Limits:
    """Change the limits and note who did."""
    entry = audit_entry(request, "limits", command, detail)
    known = await _limits_of(request)
    await known.change(function, entry)
    return known


def _invalid(place: tuple[str, ...], message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": place, "msg": message, "type": "value_error"}])


def _shown(known: Limits, name: str) -> Payload:
    try:
        return curve_payload(known.catalogue, name)
    except UnknownCurveError as error:
        raise NoSuchCurveError(str(error)) from error


# --- verdicts ------------------------------------------------------------------------------------


@limits.get(
    "/archive/recordings/{id}/verdicts",
    response_model=schemas.VerdictsOut,
    responses=described_problems(404, 409, 422, 500, 503),
)
async def get_verdicts(
    request: Request,
    name: Annotated[
        str, Path(alias="id", pattern="^[0-9a-fA-F]{8,64}$", description="The recording's id.")
    ],
    _: Nothing,
) -> Response:
    """Whether a recording keeps to its limits: by each chosen curve, with margin and statements."""
    await _limits_of(request)
    await _roster_of(request)
    store_service = gateway_of(request).store_service
    recording, judged = await store_service.read(
        load_judged_recording, name, judge=store_service.judge
    )
    if not principal_of(request).may_use(recording["serial"]):
        raise NoSuchRecordError.of(name)
    return sent_json(
        {
            "id": recording["id"],
            "serial": recording["serial"],
            "timestamp": recording["timestamp"],
            "simulated": recording["simulated"],
            **judged.payload(),
        }
    )


# --- curves --------------------------------------------------------------------------------------


@limits.get("/limits", response_model=schemas.CurvesOut, responses=READ_PROBLEMS)
async def get_limits(request: Request, query: Which) -> Response:
    """Every limit curve, with its mark, its sources, and whether it may be used."""
    known = await _limits_of(request)
    return sent_json({"curves": listed(known.catalogue, query.region)})


@limits.get("/limits/{id}", response_model=schemas.CurveOut, responses=READ_PROBLEMS)
async def get_limit(request: Request, name: Named, _: Nothing) -> Response:
    """One curve: its values, what it applies to, its mark and sources."""
    return sent_json(_shown(await _limits_of(request), name))


@limits.get("/limits/{id}/value", response_model=schemas.ValueOut, responses=READ_PROBLEMS)
async def get_limit_value(request: Request, name: Named, query: Where) -> Response:
    """What a curve allows, in its own unit of measure, or why it has no value there."""
    known = await _limits_of(request)
    given = dict(one.split("=", 1) for one in query.set)
    try:
        return sent_json(value_payload(known.catalogue, name, query.where, given))
    except UnknownCurveError as error:
        raise NoSuchCurveError(str(error)) from error
    except ValueError as error:
        raise _invalid(("query", "where"), str(error)) from error


@limits.post(
    "/limits",
    status_code=201,
    response_model=schemas.CurveOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.CurveIn),
)
async def post_limit(request: Request, _: Nothing) -> Response:
    """Add a curve of a project, with its source, author and date. It is never changed later."""
    body = await body_of(request, schemas.CurveIn)
    try:
        curve = parse_own(body.model_dump(mode="json", exclude_unset=True))
    except LimitsError as error:
        raise _invalid(("body",), str(error)) from error
    add = partial(
        stored.add_curve, curve=curve, by=principal_of(request).name, at=datetime.now(UTC)
    )
    detail = {"curve": curve.id, "author": curve.author, "date": curve.date}
    return sent_json(_shown(await _change(request, "limit_add", detail, add), curve.id), 201)


@limits.delete("/limits/{id}", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_limit(request: Request, name: Named, _: Nothing) -> Response:
    """Remove a curve of a project that was added by mistake and is chosen nowhere."""
    remove = partial(stored.remove_curve, name=name)
    await _change(request, "limit_remove", {"curve": name}, remove)
    return Response(status_code=204)


@limits.put(
    "/limits/{id}/confirmation",
    response_model=schemas.CurveOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ConfirmationIn),
)
async def put_confirmation(request: Request, name: Named, _: Nothing) -> Response:
    """Confirm the present content of a disputed curve, by name and date; it may then be used."""
    body = await body_of(request, schemas.ConfirmationIn)
    at = datetime.now(UTC)
    day = (body.on or at.date()).isoformat()
    known = await _limits_of(request)
    digest = _shown(known, name).get("digest")
    confirm = partial(stored.confirm, name=name, by=body.by, on=day, at=at, reason=body.reason)
    detail = {"curve": name, "digest": digest, "by": body.by, "on": day, "reason": body.reason}
    return sent_json(_shown(await _change(request, "limit_confirm", detail, confirm), name))


@limits.delete("/limits/{id}/confirmation", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_confirmation(request: Request, name: Named, _: Nothing) -> Response:
    """Withdraw the confirmation of a disputed curve; it is switched off again."""
    withdraw = partial(
        stored.withdraw, name=name, by=principal_of(request).name, at=datetime.now(UTC)
    )
    await _change(request, "limit_withdraw", {"curve": name}, withdraw)
    return Response(status_code=204)


# --- choices -------------------------------------------------------------------------------------


@limits.get("/limit-choices", response_model=schemas.ChoicesOut, responses=READ_PROBLEMS)
async def get_choices(request: Request, _: Nothing) -> Response:
    """Which curves and figures count at which location, for which project, and for all."""
    known, roster = await _limits_of(request), await _roster_of(request)
    region, of_region = known.choices.region or (None, ())
    return sent_json(
        {
            "choices": [_choice_payload(one, roster) for one in known.choices.choices],
            "region": region,
            "region_curves": list(of_region),
            "damaged": list(known.damaged),
        }
    )


@limits.put(
    "/limit-choices",
    response_model=schemas.ChoiceOut,
    responses=CHANGE_PROBLEMS,
    openapi_extra=described_body(schemas.ChoiceIn),
)
async def put_choice(request: Request, _: Nothing) -> Response:
    """Choose the curves of a location, of a project, or of all units; replaces what was chosen."""
    body = await body_of(request, schemas.ChoiceIn)
    known, roster = await _limits_of(request), await _roster_of(request)
    names = tuple(dict.fromkeys(body.curves))
    chosen = [known.catalogue.get(one) for one in names if one in known.catalogue.names]
    wrong = wrong_parameters([one for one in chosen if isinstance(one, Curve)], body.parameters)
    if len(chosen) == len(names) and wrong is not None:
        raise _invalid(("body", "parameters"), wrong)
    location_id = _location_id(roster, body.location)
    choose = partial(
        stored.choose,
        location_id=location_id,
        project=body.project,
        names=names,
        results=body.results,
        parameters=body.parameters,
        by=principal_of(request).name,
        at=datetime.now(UTC),
    )
    known = await _change(request, "limit_choose", body.model_dump(exclude_none=True), choose)
    [found] = [
        one
        for one in known.choices.choices
        if (one.location_id, one.project) == (location_id, body.project)
    ]
    return sent_json(_choice_payload(found, roster))


@limits.delete("/limit-choices", status_code=204, responses=CHANGE_PROBLEMS)
async def delete_choice(request: Request, query: WhichScope) -> Response:
    """Remove a choice; that of the project, of all units, or of the region counts then."""
    roster = await _roster_of(request)
    remove = partial(
        stored.remove_choice,
        location_id=_location_id(roster, query.location),
        project=query.project,
    )
    await _change(request, "limit_unchoose", query.model_dump(exclude_none=True), remove)
    return Response(status_code=204)


async def _roster_of(request: Request) -> Roster:
    known = gateway_of(request).roster
    await known.load()
    return known.now


def _location_id(roster: Roster, name: str | None) -> int | None:
    if name is None:
        return None
    location = roster.location_named(name)
    if location is None:
        raise NoSuchUnitError(f"the roster has no location {name!r}; GET /locations lists them")
    return location.id


def _choice_payload(choice: Choice, roster: Roster) -> Payload:
    location = None if choice.location_id is None else roster.locations.get(choice.location_id)
    return {
        "scope": choice.scope,
        "location": None if location is None else location.name,
        "project": choice.project,
        "curves": list(choice.curves),
        "results": choice.results,
        "parameters": dict(choice.parameters),
        "chosen_by": choice.chosen_by,
        "chosen_at": choice.chosen_at,
    }
