"""Sessions, tokens and the audit log over HTTP."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sfm.access.principal import Principal
from sfm.access.sessions import COOKIE, SESSION_S, Session, Sessions
from sfm.api.middleware.authentication import Authentication, principal_of
from sfm.api.routes.dependencies import Nothing, described_problems, gateway_of
from sfm.api.schemas.bodies import body_of, described_body
from sfm.store import audit, tokens
from sfm.store.audit import AuditEntry
from sfm.store.tokens import LONGEST_NAME, LONGEST_UNIT, Token, TokenCommand, token_entry

__all__ = ["AuditQuery", "accounts"]

TOKEN_PROBLEMS = described_problems(404, 409, 413, 422, 500, 503)
MAX_ID = 2**63 - 1

accounts = APIRouter(tags=["access"])


class SessionIn(BaseModel):
    """A token, to be kept by the relay for this browser."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200, description="As printed by seismo-relay token create.")


class SessionOut(BaseModel):
    """The principal of a request."""

    name: str = Field(description="local: this machine, no token needed.")
    role: Literal["viewer", "operator", "admin"] | None = Field(
        description="null: no token was given, and one is required."
    )
    units: list[str] = Field(description="What the token is limited to; `*`: all units.")
    csrf: str | None = Field(
        description="To send as X-CSRF-Token with each request that changes something; null: none."
    )
    ends_at: str | None = Field(description="UTC, by the relay's clock.")


class TokenIn(BaseModel):
    """Name, role and units of a new token."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f0-9][^\x00-\x1f\x7f-\x9f]*$",
        description="For people; no number.",
    )
    role: Literal["viewer", "operator", "admin"]
    units: list[Annotated[str, Field(min_length=1, max_length=LONGEST_UNIT)]] = Field(
        [],
        max_length=100,
        description="Serial numbers, and routes (route:tcp:10.0.0.5:12345) for whatever unit "
        "answers there; `*`, or none: all units.",
    )

    @field_validator("name", "units")
    @classmethod
    def _can_be_printed(cls, value: str | list[str]) -> str | list[str]:
        if not all(text.isprintable() for text in ([value] if isinstance(value, str) else value)):
            raise ValueError("must contain only printable characters")
        return value


class TokenOut(BaseModel):
    """A token, without its secret."""

    id: int
    name: str
    role: Literal["viewer", "operator", "admin"]
    units: list[str]
    created_at: str
    revoked_at: str | None


class NewTokenOut(TokenOut):
    """A new token, and its secret."""

    secret: str = Field(description="Returned once; the relay stores only a digest.")


class TokensOut(BaseModel):
    """Every token, revoked ones too."""

    tokens: list[TokenOut]


class AuditQuery(BaseModel):
    """Which entries."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1000, description="How many, the latest first.")] = 100
    before: Annotated[
        int | None, Field(ge=1, le=MAX_ID, description="Only entries before that number.")
    ] = None


class AuditEntryOut(BaseModel):
    """One entry of the audit log."""

    number: int
    at: str
    actor: str
    role: str
    origin: str
    unit: str | None
    serial: str | None
    command: str
    phase: Literal["begun", "ended", "done"]
    of: int | None = Field(description="Of ended: the entry that it began with.")
    outcome: Literal["begun", "done", "refused", "failed", "unknown"]
    detail: dict[str, Any]
    previous_hash: str = Field(description="Of the entry before; zeros: this is the first.")
    hash: str = Field(description="Over this entry and the hash of the one before.")


class AuditOut(BaseModel):
    """A page of the audit log."""

    entries: list[AuditEntryOut]


def _send(body: Any, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), status, headers, "application/json")


def authentication_of(request: Request) -> Authentication:
    """Return the authentication middleware of the application."""
    guard: Authentication = request.app.state.guard
    return guard


def _sessions_of(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def _session_of(request: Request) -> Session | None:
    return _sessions_of(request).of_cookie(request.headers.get("cookie", "").encode("latin-1"))


def _who(principal: Principal, session: Session | None, left_s: float | None) -> dict[str, Any]:
    ends = None if left_s is None else datetime.now(UTC) + timedelta(seconds=left_s)
    return {
        "name": principal.name,
        "role": principal.role.value if principal.name else None,
        "units": sorted(principal.units),
        "csrf": None if session is None else session.csrf,
        "ends_at": None if ends is None else ends.isoformat(timespec="seconds"),
    }


@accounts.get("/session", response_model=SessionOut, responses=described_problems(401, 422, 500))
async def get_session(request: Request, _: Nothing) -> Response:
    """The principal of this request and its role."""
    session, principal = _session_of(request), principal_of(request)
    if session is not None and principal.token_id != session.token_id:
        session = None
    left_s = None if session is None else _sessions_of(request).left_s(session)
    return _send(_who(principal, session, left_s))


@accounts.post(
    "/session",
    response_model=SessionOut,
    responses=described_problems(401, 413, 422, 500),
    openapi_extra=described_body(SessionIn),
)
async def post_session(request: Request, _: Nothing) -> Response:
    """Begin a session of this browser with a token."""
    shown = await body_of(request, SessionIn)
    origin = principal_of(request).origin
    token = await authentication_of(request).tokens.of_secret(shown.token, origin)
    session = _sessions_of(request).begin(token.id)
    response = _send(
        _who(authentication_of(request).principal_for(token, origin), session, SESSION_S)
    )
    response.set_cookie(
        COOKIE,
        session.id,
        max_age=int(SESSION_S),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@accounts.delete("/session", status_code=204, responses=described_problems(401, 422, 500))
async def delete_session(request: Request, _: Nothing) -> Response:
    """End the session of this browser."""
    session = _session_of(request)
    if session is not None:
        _sessions_of(request).end(session)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


@accounts.get("/tokens", response_model=TokensOut, responses=described_problems(404, 422, 500, 503))
async def get_tokens(request: Request, _: Nothing) -> Response:
    """Every token, revoked ones too; never a secret."""
    found = await gateway_of(request).store_service.read(tokens.load_all)
    return _send({"tokens": [token.payload() for token in found]})


@accounts.post(
    "/tokens",
    status_code=201,
    response_model=NewTokenOut,
    responses=TOKEN_PROBLEMS,
    openapi_extra=described_body(TokenIn),
)
async def post_token(request: Request, _: Nothing) -> Response:
    """Create a token; its secret is returned once."""
    wanted = await body_of(request, TokenIn)
    now, entry = datetime.now(UTC), partial(_entry, request, "token_create")
    token, secret = await gateway_of(request).store_service.write(
        tokens.create,
        wanted.name,
        wanted.role,
        wanted.units,
        now,
        secrets.token_bytes,
        audited=entry,
    )
    return _send(token.payload() | {"secret": secret}, 201)


@accounts.delete("/tokens/{id}", response_model=TokenOut, responses=TOKEN_PROBLEMS)
async def delete_token(
    request: Request,
    number: Annotated[int, Path(alias="id", ge=1, le=MAX_ID, description="Of the token.")],
    _: Nothing,
) -> Response:
    """Revoke a token; its sessions end at once."""
    now, entry = datetime.now(UTC), partial(_entry, request, "token_revoke")
    token = await gateway_of(request).store_service.write(tokens.revoke, number, now, audited=entry)
    authentication_of(request).tokens.forget(token.id)
    return _send(token.payload())


@accounts.get("/audit", response_model=AuditOut, responses=described_problems(404, 422, 500, 503))
async def get_audit(request: Request, query: Annotated[AuditQuery, Query()]) -> Response:
    """Entries of the audit log: who sent which command to which unit; the latest first."""
    store_service = gateway_of(request).store_service
    entries = await store_service.read(audit.load_latest, query.limit, query.before)
    return _send({"entries": entries})


def _entry(request: Request, command: TokenCommand, token: Token) -> AuditEntry:
    principal = principal_of(request)
    return token_entry(
        command,
        token,
        at=datetime.now(UTC),
        actor=principal.name,
        role=principal.role.value,
        origin=principal.origin,
    )
