"""
A hash over each row: what was stored is what is read, or the row is called damaged.

The hash covers every column that is not NULL, by its name, except the row's number, the hash itself
and bytes that have a hash of their own (``UNCOVERED``). A NULL is left out, so a later revision may
add columns without new hashes. Stored text is hashed as stored and never rewritten.

A database file has no checksum of its own: one flipped bit in a peak, a project or a review is a
plausible value to SQLite and PostgreSQL alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, Select, Table
from sqlalchemy.exc import OperationalError

__all__ = [
    "UNCOVERED",
    "UNREADABLE",
    "is_sound",
    "raise_unless_unreadable",
    "read_rows",
    "row_hash",
    "with_hash",
]

HASH = "row_hash"
UNCOVERED: dict[str, frozenset[str]] = {
    # Samples are under counts_hash once unpacked, the unit's memory is under content_hash.
    "recording_waveforms": frozenset({"counts", "image"}),
    "recording_decodings": frozenset({"counts"}),
    "partial_images": frozenset({"data"}),
}
_NEVER = frozenset({"id", HASH})


def row_hash(table: str, row: Mapping[Any, Any], **belongs_to: str) -> bytes:
    """
    Return the BLAKE2b-256 of a row.

    Args:
        table: the table's name.
        row: its columns, as they are written or were read.
        belongs_to: what the row points at, by a name that means the same in every database.

    Raises:
        TypeError: a value is of no type that the tables have.
    """
    parts = [table.encode()]
    for name in sorted(belongs_to):
        _add(parts, b"@%s" % name.encode(), belongs_to[name])
    for name, encoded_name in _covered(table, tuple(row)):
        _add(parts, encoded_name, row[name])
    return blake2b(b"".join(parts), digest_size=32).digest()


@lru_cache(maxsize=256)
def _covered(table: str, names: tuple[Any, ...]) -> list[tuple[str, bytes]]:
    """Return which of a row's columns its hash covers, in their order; the same for every row."""
    skipped = _NEVER | UNCOVERED.get(table, frozenset())
    return [(name, name.encode()) for name in sorted(names) if name not in skipped]


def _add(parts: list[bytes], name: bytes, value: object) -> None:
    if value is not None:
        data = _encoded(value)
        parts += (b"%s %d " % (name, len(data)), data)


def with_hash(table: str, row: dict[str, Any], **belongs_to: str) -> dict[str, Any]:
    """Return a row to be written, its hash in it."""
    return {**row, HASH: row_hash(table, row, **belongs_to)}


def is_sound(table: str, row: Mapping[Any, Any], **belongs_to: str) -> bool:
    """Whether a row that was read is what was written."""
    stored = row[HASH]
    try:
        return isinstance(stored, bytes | memoryview) and bytes(stored) == row_hash(
            table, row, **belongs_to
        )
    except (TypeError, ValueError, OverflowError):
        return False


def _encoded(value: object) -> bytes:
    """Return a normalised value, whichever database and driver it comes from."""
    if isinstance(value, str):
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, memoryview)):  # twice as fast as with |
        return b"b" + bytes(value)
    if isinstance(value, (int, float)):  # as above
        # A whole number is the same one in a column of floats, a flag the same as its 0 or 1.
        is_whole = isinstance(value, int) or value.is_integer()
        return b"n" + (str(int(value)) if is_whole else repr(value)).encode()
    raise TypeError(f"a row has no {type(value).__name__}")


class ReadRow(NamedTuple):
    """A row by its key; ``row`` is None where its bytes are not even of their column's type."""

    key: tuple[Any, ...]
    row: RowMapping | None


def read_rows(
    connection: Connection,
    table: Table,
    query: Select[Any],
    params: Mapping[str, Any] | None = None,
) -> Iterator[ReadRow]:
    """
    Yield the rows of ``query``, one by one where a row in it cannot be read.

    Args:
        connection: inside a transaction.
        table: whose rows they are.
        query: selects at least the columns of the table's key.
        params: of the query.
    """
    key = list(table.primary_key.columns)
    try:
        found = connection.execute(query, params).mappings().all()
    except UNREADABLE as error:
        raise_unless_unreadable(error)
    else:
        yield from (ReadRow(tuple(row[c.name] for c in key), row) for row in found)
        return
    for place in connection.execute(query.with_only_columns(*key), params).all():
        # Of the rows with this key there is one, which is at no offset.
        one = query.offset(None).where(*(c == v for c, v in zip(key, place, strict=True)))
        try:
            row = connection.execute(one, params).mappings().first()
        except UNREADABLE as error:
            raise_unless_unreadable(error)
            row = None
        yield ReadRow(tuple(place), row)


UNREADABLE = (OperationalError, TypeError, ValueError, OverflowError, MemoryError)
"""What drivers and SQLAlchemy raise for a value that is not of its column's type."""


def raise_unless_unreadable(error: BaseException) -> None:
    """Raise an error again that does not mean that a row cannot be read."""
    if isinstance(error, OperationalError) and "could not decode" not in str(error.orig).lower():
        raise error
