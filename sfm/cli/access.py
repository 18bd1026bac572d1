"""
Commands that manage tokens and read the audit log.

A token is created through the relay that has opened the database, because only one program may
write a SQLite file; without a relay, in the database itself. A relay that wants a token is shown
that from ``SFM_TOKEN`` or ``--token-file``.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from sfm.cli import views
from sfm.cli.application import (
    FAILED,
    MISUSED,
    CommandError,
    Json,
    app,
    handles_errors,
    out,
    print_json,
    print_note,
    print_view,
    shown_token,
)
from sfm.cli.database import (
    database_url,
    opened,
    relay_before,
)
from sfm.cli.exits import NO_RELAY, REFUSED
from sfm.cli.routing import DATABASE_DEFAULTS, Database, DatabaseOptions, no_relay, refusal
from sfm.cli.tables import Head, ListTable
from sfm.cli.views import safe_text

if TYPE_CHECKING:
    from sfm.store import AuditEntry, AuditVerdict, Store, Token
    from sfm.store.tokens import TokenCommand

__all__ = [
    "ANSWER_S",
    "COMMAND_LINE",
    "RoleName",
    "audit",
    "create",
    "list_entries",
    "list_tokens",
    "revoke",
    "token",
    "verify",
]

COMMAND_LINE = "command line"
ANSWER_S = 30.0

token = App(name="token", help="Create, list and revoke tokens.")
audit = App(name="audit", help="Show and verify the audit log.")
app.command(token)
app.command(audit)

RoleName = Literal["viewer", "operator", "admin"]


@token.command
@handles_errors
def create(
    name: str,
    *,
    role: RoleName,
    unit: Annotated[list[str] | None, Parameter(negative=())] = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Create a token and print its secret, once, alone on standard output.

    Parameters
    ----------
    name
        The owner's name, 1 to 64 characters; must not be that of another valid token.
    role
        viewer reads; operator also monitors, configures and forces reads; admin may do everything.
    unit
        Limit the token to this address or serial number. May be repeated.
    """
    units = [_unit(one) for one in unit or ()]
    if (relay := relay_before(at.database, at)) is not None:
        body = {"name": name, "role": role, "units": units}
        made = _ask(relay, at.token_file, "POST", "/tokens", json=body)
    else:
        made = _create(name, role, units, at.database)
    if as_json:
        print_json(made)
    else:
        print_note(f"Token {made['id']} ({name}, {role}, {_units(made)}). Its secret, shown once:")
        sys.stdout.write(f"{made['secret']}\n")


@token.command(name="list")
@handles_errors
def list_tokens(
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """List all tokens, including revoked ones."""
    if (relay := relay_before(at.database, at)) is not None:
        body = _ask(relay, at.token_file, "GET", "/tokens")
    else:
        from sfm.store import tokens

        with opened(at.database) as store:
            body = {"tokens": [one.payload() for one in store.read(tokens.load_all)]}
    print_view(body, _tokens_view, as_json)


@token.command
@handles_errors
def revoke(
    name_or_id: str,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Revoke a token; its secret is rejected from now on.

    Parameters
    ----------
    name_or_id
        Its name; or its number, if no valid token has that name.
    """
    if (relay := relay_before(at.database, at)) is not None:
        revoked = _revoke_through(relay, at.token_file, name_or_id)
    else:
        from sfm.store import tokens

        with _to_change(at.database) as store:
            revoked = store.write(
                tokens.revoke, name_or_id, _now(), audited=partial(_entry, "token_revoke")
            ).payload()
    if as_json:
        print_json(revoked)
    else:
        print_note(f"Token {revoked['id']} ({revoked['name']}, {revoked['role']}) is revoked.")


@audit.command(name="list")
@handles_errors
def list_entries(
    *,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1000))] = 50,
    before: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    List the entries of the audit log, newest first.

    Parameters
    ----------
    limit
        Maximum number of entries.
    before
        Only entries with a lower number.
    """
    if (relay := relay_before(at.database, at)) is not None:
        query = {"limit": limit, **({} if before is None else {"before": before})}
        body = _ask(relay, at.token_file, "GET", "/audit", params=query)
    else:
        from sfm.store import audit as audit_log

        with opened(at.database) as store:
            body = {"entries": store.read(audit_log.load_latest, limit, before)}
    print_view(body, views.audit_view, as_json)


@audit.command
@handles_errors
def verify(*, expect: str | None = None, database: Database = None, as_json: Json = False) -> None:
    """
    Verify the hash chain of the log; exit with 1 if an entry was changed.

    Entries removed from the end are detected only with --expect.

    Parameters
    ----------
    expect
        NUMBER:HASH of an entry, as printed by an earlier verify.
    """
    from sfm.store import audit as audit_log

    noted = None if expect is None else _parse_expected(expect)
    with opened(database) as store:
        verdict = store.read(audit_log.verify, noted)
    if as_json:
        print_json({name: getattr(verdict, name) for name in verdict.__slots__})
    else:
        out.print(safe_text(_verdict_sentence(verdict)), soft_wrap=True)
    if not verdict.is_sound:
        raise SystemExit(FAILED)


# --- in the database -----------------------------------------------------------------------------


def _create(name: str, role: RoleName, units: list[str], database: str | None) -> dict[str, Any]:
    from sfm.store import tokens

    try:
        with _to_change(database) as store:
            made, secret = store.write(
                tokens.create,
                name,
                role,
                units,
                _now(),
                secrets.token_bytes,
                audited=partial(_entry, "token_create"),
            )
    except ValueError as error:
        raise CommandError(str(error), MISUSED) from error
    return {**made.payload(), "secret": secret}


@contextlib.contextmanager
def _to_change(database: str | None) -> Iterator[Store]:
    """Open the database for writing; if a relay has opened it, explain --relay."""
    from sfm.store import Store
    from sfm.store.errors import StoreInUseError

    try:
        store = Store.open(database_url(database), on_upgrade=print_note)
    except StoreInUseError as error:
        raise CommandError(
            f"{error}. Through the relay, as an admin: --relay URL with SFM_TOKEN or --token-file; "
            "create the first token before the relay is started",
            REFUSED,
        ) from error
    with store:
        yield store


def _entry(command: TokenCommand, about: Token) -> AuditEntry:
    from sfm.store.tokens import token_entry

    # A person who can write to the database may do everything.
    return token_entry(
        command, about, at=_now(), actor=COMMAND_LINE, role="admin", origin=COMMAND_LINE
    )


def _now() -> datetime:
    return datetime.now(UTC)


# --- through a relay -----------------------------------------------------------------------------


def _ask(
    relay: str, token_file: Path | None, method: str, path: str, **more: Any
) -> dict[str, Any]:
    """Return the body that a relay answers with; empty where it has none."""
    import httpx

    secret = shown_token(token_file)
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    try:
        # A redirection would take the token elsewhere: none is followed.
        response = httpx.request(
            method, relay.rstrip("/") + path, headers=headers, timeout=ANSWER_S, **more
        )
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise no_relay(relay, error, "--direct uses the database itself") from error
    try:
        body: Any = response.json() if response.content else {}
    except ValueError:
        body = None
    if not isinstance(body, dict) or response.is_redirect:
        raise CommandError(
            f"{relay} answers {response.status_code}, but not as a relay does", NO_RELAY
        )
    if response.is_error:
        raise refusal(body, relay)
    return body


def _revoke_through(relay: str, token_file: Path | None, name_or_id: str) -> dict[str, Any]:
    in_use = [
        one
        for one in _ask(relay, token_file, "GET", "/tokens")["tokens"]
        if one.get("revoked_at") is None
    ]
    named = [one for one in in_use if one["name"] == name_or_id]
    numbered = [one for one in in_use if str(one["id"]) == name_or_id]
    for one in named or numbered:
        return {**one, **_ask(relay, token_file, "DELETE", f"/tokens/{one['id']}")}
    raise CommandError(f"{relay} has no token {name_or_id!r} in use; see: token list", REFUSED)


# --- texts ---------------------------------------------------------------------------------------


def _unit(text: str) -> str:
    """Return the connection key of an address; what is no address is a serial number."""
    from minimateplus.link import parse_address
    from sfm.access.names import parse_host, parse_unit
    from sfm.devices.gateway import Gateway

    with contextlib.suppress(ValueError):
        return Gateway.conn_key(parse_address(text))
    if text.isalnum():
        return text
    try:
        unit = parse_unit(text)
        return Gateway.conn_key(parse_host(unit) if isinstance(unit, str) else unit)
    except ValueError as error:
        raise CommandError(f"--unit {text}: {error}", MISUSED) from error


def _parse_expected(text: str) -> tuple[int, bytes]:
    number, _, digits = text.partition(":")
    try:
        if not (number.isascii() and number.isdigit() and len(digits) == 64):
            raise ValueError(text)
        return int(number), bytes.fromhex(digits)
    except ValueError:
        raise CommandError(
            f"--expect: expected NUMBER:HASH with 64 hex digits, got {text!r}", MISUSED
        ) from None


def _units(payload: dict[str, Any]) -> str:
    return ", ".join(payload["units"]).replace("*", "every unit") or "no unit"


def _tokens_view(body: dict[str, Any]) -> ListTable:
    table = ListTable(
        "Id",
        Head(name="Name", is_text=True, rank=0),
        Head(name="Role", rank=0),
        Head(name="Units", is_text=True),
        Head(name="Made", rank=3),
        Head(name="Revoked", rank=2),
        gap=1,
    )
    for payload in body["tokens"]:
        words = (payload["name"], payload["role"], _units(payload), payload["created_at"][:19])
        revoked = (payload.get("revoked_at") or "")[:19]
        table.add_row(str(payload["id"]), *(safe_text(word) for word in words), safe_text(revoked))
    return table


def _verdict_sentence(verdict: AuditVerdict) -> str:
    if not verdict.is_sound:
        return f"BROKEN at entry {verdict.broken}: {verdict.why}; {verdict.count:,} before it sound"
    return (
        f"{verdict.count:,} entries, each as it was written. To see later that none was cut off, "
        f"note elsewhere: {verdict.count}:{verdict.head_hash}"
    )
