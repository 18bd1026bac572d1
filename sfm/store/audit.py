"""
The audit log: who sent which command to which unit, when, from where, and its outcome.

The rule: entries are added and never changed, and each is chained by hash to the one before, so
that a change, a removal, an insertion or another order of what is inside is found and named.

The chain, exactly. Entries are numbered 1, 2, 3 without gaps. An entry's hash is BLAKE2b with a
digest of 32 bytes over ``previous_hash`` (the 32 bytes of the hash of the entry before; 32 zero
bytes for the first) followed by the canonical JSON of these members: ``actor``, ``at``,
``command``, ``detail``, ``number``, ``of``, ``origin``, ``outcome``, ``phase``, ``role``,
``serial``, ``unit``. All are text as stored, except ``number`` and ``of``, which are
integers; what is not given is ``null``. ``detail`` is the *text* of the detail's own canonical
JSON, so that no program's reading of numbers matters. Canonical means (RFC 8259):
members in the order of their names, no space between tokens, ``"`` and ``\\`` behind a ``\\``, and
what is not printable ASCII escaped as ``\\b \\f \\n \\r \\t`` where such an escape exists, else as
``\\uXXXX`` in lower-case hex, with a surrogate pair beyond U+FFFF. It is what Python's
``json.dumps(members, sort_keys=True, separators=(",", ":"))`` writes.

What it cannot show: the log's end cut off, or the whole of it rewritten by a person who can
write to the database. That is seen only against a number and hash noted elsewhere, before.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, insert, select, text, type_coerce
from sqlalchemy.types import NullType

from sfm.records.digests import digest
from sfm.records.payloads import Payload
from sfm.records.site_time import utc_text
from sfm.store import schema
from sfm.store.advisory_locks import AdvisoryLock
from sfm.store.cursors import check_page_size
from sfm.store.row_hashes import read_rows

__all__ = [
    "BEFORE_THE_FIRST",
    "AuditEntry",
    "AuditVerdict",
    "append",
    "hash_of",
    "load_latest",
    "table",
    "verify",
]

table = schema.audit

Phase = Literal["begun", "ended", "done"]
OutcomeWord = Literal["begun", "done", "refused", "failed", "unknown"]
BEFORE_THE_FIRST = bytes(32)
AT_ONCE = 500
"""Rows fetched together where the whole log is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What is to be written down. What does not print is written as its escape."""

    at: datetime
    """When, by the relay's wall clock; with its zone."""
    actor: str
    role: str
    origin: str
    """From which address, or ``command line``."""
    unit: str | None = None
    """Connection key."""
    serial: str | None = None
    command: str
    phase: Phase = "done"
    """``begun`` before the first byte went out, ``ended`` after; ``done``: one entry for both."""
    of: int | None = None
    """Number of the entry for the beginning."""
    outcome: OutcomeWord
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What was asked and what changed, as values that JSON has."""

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"at: expected an instant with its zone, got {self.at}")


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Result of verifying the whole chain."""

    count: int
    """Entries that are sound, from the first on."""
    head_hash: str
    """Hash of the last of them, hex: note it elsewhere, together with ``count``."""
    broken: int | None = None
    """Number of the first entry that is not as it was written."""
    why: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.broken is None


def append(connection: Connection, entry: AuditEntry) -> int:
    """
    Add an entry; return its number.

    Writers are serialised by SQLite's write lock, or by an advisory lock of PostgreSQL.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({AdvisoryLock.AUDIT})"))
    last = connection.execute(
        select(table.c.number, table.c.hash).order_by(table.c.number.desc()).limit(1)
    ).first()
    number, previous = (1, BEFORE_THE_FIRST) if last is None else (last[0] + 1, bytes(last[1]))
    row = {
        "number": number,
        "at": utc_text(entry.at),
        "actor": _printable(entry.actor),
        "role": _printable(entry.role),
        "origin": _printable(entry.origin),
        "unit": None if entry.unit is None else _printable(entry.unit),
        "serial": None if entry.serial is None else _printable(entry.serial),
        "command": _printable(entry.command),
        "phase": entry.phase,
        "of": entry.of,
        "outcome": entry.outcome,
        "detail_json": canonical_json(entry.detail),
    }
    chained = {**row, "previous_hash": previous, "hash": hash_of(row, previous)}
    connection.execute(insert(table), [chained])
    return number


def load_latest(connection: Connection, limit: int, before: int | None = None) -> list[Payload]:
    """
    Return entries, newest first: at most ``limit``, of those numbered below ``before``.

    Raises:
        ValueError: ``limit`` is not 1 to 1000.
    """
    check_page_size(limit)
    query = select(table).order_by(table.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.number < before)
    found = []
    for (number,), row in read_rows(connection, table, query):
        found.append(
            _payload(row if row is not None and _is_readable(row) else _unreadable(number))
        )
    return found


def verify(connection: Connection, expect: tuple[int, bytes] | None = None) -> AuditVerdict:
    """
    Go through the whole chain, a piece at a time, up to the first entry that is broken.

    A log whose end was cut off, or that was rewritten as a whole, has a sound chain: that is seen
    only against ``expect``, which was noted elsewhere (``AuditVerdict.count``, ``head_hash``).

    Args:
        connection: one consistent view.
        expect: number and hash of an entry as noted elsewhere before; it must still be there.
    """
    count, previous = 0, BEFORE_THE_FIRST
    with contextlib.closing(_rows(connection)) as rows:
        for row in rows:
            why = _fault(row, count + 1, previous)
            if why is None and expect is not None and row["number"] == expect[0]:
                why = _unexpected(row["hash"], expect)
            if why is not None:
                return AuditVerdict(count, previous.hex(), count + 1, why)
            count, previous = count + 1, row["hash"]
    if expect is not None and expect[0] > count:
        why = f"the log ends at {count}, but entry {expect[0]} was noted: its end was cut off"
        return AuditVerdict(count, previous.hex(), count + 1, why)
    return AuditVerdict(count, previous.hex())


def canonical_json(value: object) -> str:
    """
    Return plain values as the one JSON text that the chain knows; see the top.

    Raises:
        TypeError: a value that JSON does not have.
        ValueError: a number that JSON does not have.
    """
    if isinstance(value, Mapping):
        value = dict(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_of(row: Mapping[Any, Any], previous: bytes) -> bytes:
    """Return the hash of an entry, given as its row, behind the one whose hash is ``previous``."""
    members = {
        "detail" if c.name == "detail_json" else c.name: row[c.name]
        for c in table.c
        if c.name not in ("previous_hash", "hash")
    }
    return digest(previous + canonical_json(members).encode("ascii"))


def _rows(connection: Connection) -> Generator[RowMapping, None, None]:
    # As the driver returns them: a SQLite column may contain a value of any type.
    columns = [type_coerce(c, NullType()).label(c.name) for c in table.c]
    query = select(*columns).order_by(table.c.number)
    # Who stops in the middle closes the cursor of the database too.
    with connection.execute(query, execution_options={"yield_per": AT_ONCE}) as found:
        yield from found.mappings()


def _fault(row: RowMapping, number: int, previous: bytes) -> str | None:
    """Return what is wrong with a row that should be of that number; ``None``: nothing."""
    if row["number"] != number:
        return f"entry {number} is missing; behind {number - 1} comes {row['number']}"
    if row["previous_hash"] != previous:
        return f"entry {number} does not follow the entry before it: removed, moved or forked"
    try:
        expected = hash_of(row, previous)
    except (TypeError, ValueError):
        return f"entry {number} contains a value that no entry is written with"
    if row["hash"] != expected:
        return f"entry {number} does not match its hash: it was changed"
    return None


def _unexpected(found: bytes, expect: tuple[int, bytes]) -> str | None:
    if found == expect[1]:
        return None
    return (
        f"entry {expect[0]} has the hash {found.hex()}, but {expect[1].hex()} was noted: "
        "the log was rewritten"
    )


def _payload(row: Mapping[Any, Any]) -> Payload:
    try:
        detail = json.loads(row["detail_json"])
    except (TypeError, ValueError):
        detail = {"unreadable": str(row["detail_json"])}
    if not _is_itself(row):
        detail = {"damaged": "this entry does not match its hash; run db check", "was": detail}
    return {
        **{str(c.name): row[c.name] for c in table.c if c.name != "detail_json"},
        "detail": detail,
        "previous_hash": bytes(row["previous_hash"]).hex(),
        "hash": bytes(row["hash"]).hex(),
    }


def _is_readable(row: Mapping[Any, Any]) -> bool:
    """Whether every value has its column's type; SQLite returns whatever is stored."""
    for column in table.c:
        value, wanted = row[column.name], column.type.python_type
        if isinstance(value, memoryview):
            value = bytes(value)
        if value is None and not column.nullable:
            return False
        if value is not None and not isinstance(value, wanted):
            return False
    return True


def _unreadable(number: int) -> dict[str, Any]:
    """Return what is shown for an entry whose bytes cannot be read."""
    texts: dict[str, Any] = {c.name: "" for c in table.c}
    none = {"of": None, "unit": None, "serial": None, "hash": b"", "previous_hash": b""}
    known = {"number": number, "phase": "ended", "outcome": "unknown", "detail_json": "{}"}
    return texts | none | known


def _is_itself(row: Mapping[Any, Any]) -> bool:
    """Whether an entry matches its own hash; ``verify`` checks its place in the chain."""
    try:
        return bool(bytes(row["hash"]) == hash_of(row, bytes(row["previous_hash"])))
    except (TypeError, ValueError):
        return False


def _printable(text_in: str) -> str:
    """Return text that every database and terminal accepts: the log contains foreign text."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text_in)
