"""
Limits on disk: curves of projects, confirmations of disputed curves, which curves count where.

The rule: a row that does not match its hash is not used, and is named; a curve is never changed,
because verdicts name it. All functions take a connection in a transaction of ``Store``. Those that
change something are called through ``changed``, which writes the audit entry in the same
transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select, text, update

from sfm.access.names import folded
from sfm.analysis.limits import (
    Catalogue,
    Confirmation,
    Curve,
    LimitsError,
    UnknownCurveError,
    Withheld,
    parse_own,
)
from sfm.records.limit_choices import Choice
from sfm.records.site_time import utc_text
from sfm.store import audit, schema
from sfm.store.advisory_locks import AdvisoryLock
from sfm.store.audit import AuditEntry
from sfm.store.errors import LimitConflictError, NoSuchCurveError
from sfm.store.row_hashes import is_sound, read_rows, with_hash

__all__ = [
    "StoredLimits",
    "add_curve",
    "changed",
    "choose",
    "confirm",
    "load",
    "remove_choice",
    "remove_curve",
    "withdraw",
]

curves, confirmations, choices = (
    schema.limit_curves,
    schema.limit_confirmations,
    schema.limit_choices,
)


class StoredLimits(NamedTuple):
    """All that the database has of limits."""

    catalogue: Catalogue
    choices: tuple[Choice, ...]
    damaged: tuple[str, ...]
    """Rows that do not match their hash, as sentences."""


def load(connection: Connection) -> StoredLimits:
    """Return curves, confirmations and choices; damaged rows are named and left out."""
    damaged: list[str] = []
    own: list[Curve] = []
    for row in _sound_rows(connection, curves, damaged):
        try:
            own.append(parse_own(json.loads(row["entry_json"])))
        except LimitsError as error:
            damaged.append(f"limit_curves {row['curve']}: {error}")
    confirmed: dict[str, Confirmation] = {}
    for row in _sound_rows(connection, confirmations, damaged):
        confirmed.pop(row["curve"], None)
        if row["state"] == "confirmed":
            confirmed[row["curve"]] = Confirmation(
                curve=row["curve"],
                digest=row["curve_digest"],
                by=row["confirmed_by"],
                on=row["confirmed_on"],
                reason=row["reason"],
            )
    chosen = tuple(
        Choice(
            id=row["id"],
            location_id=row["location_id"],
            project=row["project"],
            curves=tuple(json.loads(row["curves_json"])),
            results=row["results"],
            parameters=json.loads(row["parameters_json"]),
            chosen_by=row["chosen_by"],
            chosen_at=row["chosen_at"],
        )
        for row in _sound_rows(connection, choices, damaged)
    )
    return StoredLimits(Catalogue.of(own, confirmed.values()), chosen, tuple(damaged))


def changed(
    connection: Connection, function: Callable[[Connection], object], entry: AuditEntry
) -> StoredLimits:
    """
    Change limits by ``function`` and note who did; return them as they are then.

    Raises:
        StoreError: the function's own; nothing is changed then.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({AdvisoryLock.LIMITS})"))
    function(connection)
    audit.append(connection, entry)
    return load(connection)


def add_curve(connection: Connection, curve: Curve, by: str, at: datetime) -> None:
    """
    Add a curve of a project.

    Raises:
        LimitConflictError: a curve has that name.
    """
    if curve.id in load(connection).catalogue.names or _curve_row(connection, curve.id):
        raise LimitConflictError(
            f"there is a curve named {curve.id}; verdicts name curves, so give the new one "
            "another name"
        )
    row = {
        "curve": curve.id,
        "entry_json": _json(curve.entry),
        "added_by": by,
        "added_at": utc_text(at),
    }
    connection.execute(insert(curves), [with_hash("limit_curves", row)])


def remove_curve(connection: Connection, name: str) -> None:
    """
    Remove a curve of a project that was added by mistake.

    Raises:
        NoSuchCurveError: no project has a curve of that name.
        LimitConflictError: it is chosen somewhere.
    """
    if _curve_row(connection, name) is None:
        raise NoSuchCurveError(f"no project has a curve {name!r}; the program's own stay")
    if any(name in choice.curves for choice in load(connection).choices):
        raise LimitConflictError(f"{name} is chosen; choose other limits there first")
    connection.execute(delete(curves).where(curves.c.curve == name))


def confirm(
    connection: Connection, name: str, by: str, on: str, at: datetime, reason: str | None = None
) -> None:
    """
    Note that a person confirmed the present content of a disputed curve.

    Args:
        connection: a transaction that may write.
        name: of the curve.
        by: the person.
        on: the date of the confirmation, ISO 8601.
        at: now, UTC.
        reason: what convinced the person, such as the page that was read.

    Raises:
        NoSuchCurveError: there is no such curve.
        LimitConflictError: it is not disputed, or has no values.
    """
    curve = _disputed(connection, name)
    _add_confirmation(connection, curve, "confirmed", by, on, at, reason)


def withdraw(connection: Connection, name: str, by: str, at: datetime) -> None:
    """
    Note that a confirmation no longer counts; raises as ``confirm``.

    Raises:
        LimitConflictError: the curve is not confirmed.
    """
    curve = _disputed(connection, name)
    if load(connection).catalogue.confirmation_of(curve) is None:
        raise LimitConflictError(f"{name} is not confirmed")
    day = at.date().isoformat()
    _add_confirmation(connection, curve, "withdrawn", by, day, at, None)


def choose(
    connection: Connection,
    *,
    location_id: int | None,
    project: str | None,
    names: Iterable[str],
    results: Literal["vendor", "refined"],
    parameters: Mapping[str, str | float],
    by: str,
    at: datetime,
) -> None:
    """
    Choose the curves of a location, of a project, or with neither of all units.

    Raises:
        NoSuchCurveError: there is no such curve.
        LimitConflictError: it has no values, or is disputed and not confirmed.
    """
    known = load(connection).catalogue
    for name in names:
        try:
            off = known.why_off(known.get(name))
        except UnknownCurveError as error:
            raise NoSuchCurveError(str(error)) from error
        if off is not None:
            raise LimitConflictError(off.detail)
    scope = _scope(location_id, project)
    connection.execute(delete(choices).where(choices.c.scope == scope))
    row = {
        "location_id": location_id,
        "project": project,
        "scope": scope,
        "curves_json": _json(list(names)),
        "results": results,
        "parameters_json": _json(dict(parameters)),
        "chosen_by": by,
        "chosen_at": utc_text(at),
    }
    _add(connection, choices, row)


def remove_choice(connection: Connection, location_id: int | None, project: str | None) -> None:
    """
    Remove a choice; the next wider one counts then.

    Raises:
        NoSuchCurveError: nothing is chosen there.
    """
    scope = _scope(location_id, project)
    found = connection.execute(delete(choices).where(choices.c.scope == scope))
    if not found.rowcount:
        raise NoSuchCurveError("no limits are chosen there; GET /limit-choices lists what is")


def _scope(location_id: int | None, project: str | None) -> str:
    if location_id is not None:
        return f"location {location_id}"
    return "default" if project is None else f"project {folded(project)}"


def _disputed(connection: Connection, name: str) -> Curve:
    try:
        curve = load(connection).catalogue.get(name)
    except UnknownCurveError as error:
        raise NoSuchCurveError(str(error)) from error
    if isinstance(curve, Withheld):
        raise LimitConflictError(
            f"{name} has no values that could be confirmed: {curve.why}. A person who has the text "
            "can add its values as a curve of their own: seismo-relay limits add FILE"
        )
    if curve.mark != "disputed":
        raise LimitConflictError(f"{name} is marked {curve.mark} and needs no confirmation")
    return curve


def _add_confirmation(
    connection: Connection,
    curve: Curve,
    state: Literal["confirmed", "withdrawn"],
    by: str,
    on: str,
    at: datetime,
    reason: str | None,
) -> None:
    row = {
        "curve": curve.id,
        "curve_digest": curve.digest,
        "state": state,
        "confirmed_by": by,
        "confirmed_on": on,
        "reason": reason,
        "at": utc_text(at),
    }
    _add(connection, confirmations, row)


def _add(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row and its hash, which covers the number that it gets."""
    number = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
    hashed = with_hash(table.name, row, key=str(number))
    connection.execute(
        update(table).where(table.c.id == number).values(row_hash=hashed["row_hash"])
    )


def _curve_row(connection: Connection, name: str) -> RowMapping | None:
    return connection.execute(select(curves).where(curves.c.curve == name)).mappings().first()


def _sound_rows(connection: Connection, table: Table, damaged: list[str]) -> Iterable[RowMapping]:
    [number] = table.primary_key.columns
    query = select(table).order_by(number)
    for key, row in read_rows(connection, table, query):
        of = {} if table is curves else {"key": str(key[0])}
        if row is not None and is_sound(table.name, row, **of):
            yield row
        else:
            damaged.append(f"{table.name} {key[0]}: the row does not match its hash")


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
