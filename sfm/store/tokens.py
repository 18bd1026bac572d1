"""
Tokens: who may read through the relay, and who may command units.

The rule: a secret is shown once, when its token is made, and is not stored; the store has
its BLAKE2b digest. A secret of 256 random bits needs no slow hash: there is nothing to guess.

A secret reads ``sfm_<id>_<43 letters>``: the number of its token, so that one row is looked up and
one digest compared, in constant time; and 32 random bytes in URL-safe base64 without padding.

A name is one token's until that is revoked. Rows are never removed: the audit log names them.

All functions with a connection take one inside a transaction of ``Store``.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

import orjson
from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from sfm.access.names import EVERY_UNIT, route_name
from sfm.records.digests import digest
from sfm.records.payloads import Payload
from sfm.records.site_time import utc_text
from sfm.store import audit, schema
from sfm.store.audit import AuditEntry
from sfm.store.errors import DamagedRecordError, NoSuchTokenError, TokenNameTakenError
from sfm.store.row_hashes import is_sound, read_rows, with_hash
from sfm.store.statements import json_text

__all__ = [
    "LONGEST_NAME",
    "LONGEST_UNIT",
    "ROLES",
    "RoleName",
    "Token",
    "TokenCommand",
    "create",
    "load",
    "load_all",
    "number_of",
    "revoke",
    "token_entry",
]

table = schema.tokens

RoleName = Literal["viewer", "operator", "admin"]
ROLES: tuple[RoleName, ...] = get_args(RoleName)
ROUTE_KINDS = ("tcp:", "serial:")
"""What keys of routes begin with."""
SECRET_BYTES = 32
LONGEST_NAME = 64
LONGEST_UNIT = 255
"""A host name has at most 253 letters (RFC 1035); a unit's own serial number far fewer."""

# Eighteen digits are below what a column takes.
_SECRET = re.compile(r"sfm_([1-9][0-9]{0,17})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: without its secret."""

    id: int
    name: str
    role: RoleName
    units: tuple[str, ...]
    """Serial numbers, and routes as ``route:KEY``; ``*``: every unit."""
    created_at: datetime
    revoked_at: datetime | None
    digest: bytes
    """BLAKE2b of the whole secret, 32 bytes."""
    is_damaged: bool = False
    """Whether its row does not match its hash; the other fields then grant nothing."""

    def is_of(self, secret: str) -> bool:
        """
        Whether the secret is this token's and the token is not revoked. Never raises.

        Takes the same time however much of the secret is right.
        """
        if self.revoked_at is not None or number_of(secret) != self.id:
            return False
        return hmac.compare_digest(digest(secret.encode()), self.digest)

    def payload(self) -> Payload:
        """Return it as plain values, without its digest."""
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "units": list(self.units),
            "created_at": utc_text(self.created_at),
            "revoked_at": None if self.revoked_at is None else utc_text(self.revoked_at),
        }


def number_of(secret: str) -> int | None:
    """
    Return the token number in a secret; ``None`` if it is no secret.

    >>> number_of("sfm_7_" + "A" * 43)
    7
    >>> number_of("rubbish") is None
    True
    """
    match = _SECRET.fullmatch(secret)
    return None if match is None else int(match[1])


def create(
    connection: Connection,
    name: str,
    role: RoleName,
    units: Sequence[str],
    at: datetime,
    secret_bytes: Callable[[int], bytes],
    *,
    audited: Callable[[Token], AuditEntry] | None = None,
) -> tuple[Token, str]:
    """
    Create a token; return it and its secret, which is stored nowhere.

    Args:
        connection: a transaction that may write.
        name: 1 to 64 printable letters; no other token in use may have it.
        role: ``viewer``, ``operator`` or ``admin``.
        units: serial numbers, and keys of routes with or without ``route:``; ``*``, or none: every
            unit.
        at: the time of day, UTC.
        secret_bytes: the source of the secret; ``secrets.token_bytes``.
        audited: returns the audit entry, which is saved in the same transaction.

    Raises:
        TokenNameTakenError: another token that is not revoked has that name.
        ValueError: a name, role or unit that cannot be one, or too little chance.
    """
    _check(name, role, units)
    named = [route_name(one) if one.startswith(ROUTE_KINDS) else one for one in units]
    row = {
        "name": name,
        "role": role,
        "units_json": json_text(list(dict.fromkeys(named)) or [EVERY_UNIT]),
        "digest": b"",  # of no secret; the number is in the secret and is not known yet
        "created_at": utc_text(at),
    }
    try:
        number = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
    except IntegrityError as error:
        raise TokenNameTakenError(
            f"a token named {name!r} is there already; take another name, or revoke that one first"
        ) from error
    chance = secret_bytes(SECRET_BYTES)
    if len(chance) != SECRET_BYTES:
        raise ValueError(f"a secret: expected {SECRET_BYTES} random bytes, got {len(chance)}")
    secret = f"sfm_{number}_{base64.urlsafe_b64encode(chance).decode('ascii').rstrip('=')}"
    row["digest"] = digest(secret.encode())
    connection.execute(update(table).where(table.c.id == number).values(with_hash("tokens", row)))
    found = load(connection, number)
    assert found is not None
    if audited is not None:
        audit.append(connection, audited(found))
    return found, secret


def load_all(connection: Connection) -> list[Token]:
    """Return all tokens, the revoked ones too, in the order in which they were made."""
    query = select(table).order_by(table.c.id)
    return [
        _token_or_damaged(number, row) for (number,), row in read_rows(connection, table, query)
    ]


def load(connection: Connection, number: int) -> Token | None:
    """
    Return a token, revoked or not.

    Raises:
        DamagedRecordError: its row does not match its hash: its permissions are unknown.
    """
    for _, row in read_rows(connection, table, select(table).where(table.c.id == number)):
        if row is None or row["id"] != number or not is_sound("tokens", row):
            raise DamagedRecordError(
                f"token {number}: its row does not match its hash; make a new one and revoke "
                f"this one: seismo-relay token revoke {number}"
            )
        return _token(row)
    return None


def revoke(
    connection: Connection,
    name_or_id: str | int,
    at: datetime,
    *,
    audited: Callable[[Token], AuditEntry] | None = None,
) -> Token:
    """
    Revoke a token; return it. ``audited`` as with ``create``.

    Text is a name; if no token in use has that name, digits are a number.

    Raises:
        NoSuchTokenError: there is none, or it was revoked before.
    """
    found = _in_use(connection, name_or_id)
    if found is None:
        raise NoSuchTokenError(
            f"there is no token {name_or_id!r}, or it was revoked before; "
            "the list of tokens names those that are in use"
        )
    if found.is_damaged:
        # Its former content is unknown: the new row says so and grants nothing.
        values = {
            "name": found.name,
            "role": found.role,
            "units_json": json_text([]),
            "digest": b"",
            "created_at": utc_text(found.created_at),
        }
    else:
        stored = select(table).where(table.c.id == found.id)
        values = dict(connection.execute(stored).mappings().one())
    values["revoked_at"] = utc_text(at)
    connection.execute(
        update(table).where(table.c.id == found.id).values(with_hash("tokens", values))
    )
    revoked = load(connection, found.id)
    assert revoked is not None
    if audited is not None:
        audit.append(connection, audited(revoked))
    return revoked


def _in_use(connection: Connection, name_or_id: str | int) -> Token | None:
    """Return the unrevoked token of a name or number, its row locked."""
    query = select(table).with_for_update()
    numbers: list[int] = []
    if isinstance(name_or_id, str):
        if name_or_id.isprintable():
            named = select(table.c.id).where(
                table.c.name == name_or_id, table.c.revoked_at.is_(None)
            )
            numbers = list(connection.execute(named).scalars())
        if not numbers and re.fullmatch(r"[0-9]{1,18}", name_or_id):
            name_or_id = int(name_or_id)
    if isinstance(name_or_id, int) and 0 < name_or_id < 10**18:
        numbers = [name_or_id]
    for number in numbers:
        for _, row in read_rows(connection, table, query.where(table.c.id == number)):
            found = _token_or_damaged(number, row)
            if found.revoked_at is None:
                return found
    return None


def _check(name: str, role: str, units: Sequence[str]) -> None:
    if not (1 <= len(name) <= LONGEST_NAME and name.isprintable()):
        raise ValueError(f"name: expected 1 to {LONGEST_NAME} printable letters, got {name!r}")
    if role not in ROLES:
        raise ValueError(f"role: expected one of {', '.join(ROLES)}, got {role!r}")
    if isinstance(units, str):
        raise ValueError(f"units: expected several texts, got one: {units!r}")
    for unit in units:
        if not (1 <= len(unit) <= LONGEST_UNIT and unit.isprintable()):
            raise ValueError(
                "units: expected serial numbers, or routes such as route:tcp:10.0.0.5:12345, "
                f"got {unit!r}"
            )


def _token_or_damaged(number: int, row: RowMapping | None) -> Token:
    if row is not None and is_sound("tokens", row):
        return _token(row)
    return Token(
        id=number,
        name=f"damaged token {number}",
        role="viewer",
        units=(),
        created_at=datetime.fromtimestamp(0, UTC),
        revoked_at=None,
        digest=b"",
        is_damaged=True,
    )


def _token(row: RowMapping) -> Token:
    revoked_at = row["revoked_at"]
    return Token(
        id=row["id"],
        name=row["name"],
        role=row["role"],
        units=tuple(orjson.loads(row["units_json"])),
        created_at=datetime.fromisoformat(row["created_at"]),
        revoked_at=None if revoked_at is None else datetime.fromisoformat(revoked_at),
        digest=bytes(row["digest"]),
    )


TokenCommand = Literal["token_create", "token_revoke"]


def token_entry(
    command: TokenCommand, token: Token, *, at: datetime, actor: str, role: str, origin: str
) -> AuditEntry:
    """Return the audit entry for a token that was created or revoked, from any interface."""
    about = {"id": token.id, "name": token.name, "role": token.role, "units": list(token.units)}
    return AuditEntry(
        at=at,
        actor=actor,
        role=role,
        origin=origin,
        command=command,
        outcome="done",
        detail=about,
    )
