"""
The errors of the store, by what to do next.

StoreError                  the root; derives from ``sfm.errors.SfmError``
├── NoStoreError            the settings name no database
├── WrongUrlError           the database URL cannot be used here, now or later
├── RevisionError           the database has another revision; the message names the command to run
├── StoreInUseError         another relay uses this database
├── StoreReadOnlyError      the database was opened to be read, because a relay uses it
├── StoreBusyError          another program has the write lock; it passes
├── StoreFullError          no room is left; free some
├── StoreDamagedError       the file is not a sound database; restore a backup
├── StoreLostError          the database cannot be opened, reached, read or written
│   └── StoreReplacedError  the file was removed, renamed or replaced while the relay used it
├── NoSerialError           a record without a serial number; refused, not filed under a placeholder
├── NoSuchRecordError       the archive has no such record
├── AmbiguousIdError        several recordings' ids begin with the characters given
├── NoSuchTokenError        no token has that name or number, or it is revoked
├── TokenNameTakenError     another token that is not revoked has that name
├── NoSuchUnitError         the roster has no such unit, location, route or zone
├── RosterConflictError     the roster has it already, or something that excludes it
├── NoSuchCurveError        no limit curve has that name, or nothing is chosen there
├── LimitConflictError      the curve is there already, is chosen, or needs no confirmation
├── BadCursorError          no page of this archive returned that cursor
├── OwnToolsError           PostgreSQL has a program of its own for this; the message names it
├── UndecodedSamplesError   the image is archived, but no decoder reads its samples
├── DamagedMirrorError      a unit's mirrored row does not match its hash; the unit is read again
└── DamagedRecordError      stored bytes do not match their hash
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc

from sfm.errors import SfmError

__all__ = [
    "AmbiguousIdError",
    "BadCursorError",
    "DamagedMirrorError",
    "DamagedRecordError",
    "LimitConflictError",
    "NoSerialError",
    "NoStoreError",
    "NoSuchCurveError",
    "NoSuchRecordError",
    "NoSuchTokenError",
    "NoSuchUnitError",
    "OwnToolsError",
    "RevisionError",
    "RosterConflictError",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreInUseError",
    "StoreLostError",
    "StoreReadOnlyError",
    "StoreReplacedError",
    "TokenNameTakenError",
    "UndecodedSamplesError",
    "WrongUrlError",
    "as_store_errors",
]


class StoreError(SfmError):
    """The root of the tree above."""

    kind = "store-failed"
    """One word for metrics and health."""


class WrongUrlError(StoreError):
    """The database URL cannot be used here, now or later: no relay starts with it."""

    kind = "wrong-url"


class RevisionError(StoreError):
    """The database is of another revision than this program."""

    kind = "other-revision"


class StoreInUseError(StoreError):
    """Another relay uses the database."""

    kind = "in-use"


class StoreReadOnlyError(StoreError):
    """The database was opened to be read; nothing can be written."""

    kind = "read-only"


class StoreBusyError(StoreError):
    """The write lock was not free in time."""

    kind = "locked"


class StoreFullError(StoreError):
    """There is no room left."""

    kind = "full"


class StoreDamagedError(StoreError):
    """The file is not a database, or not a sound one."""

    kind = "damaged"


class StoreLostError(StoreError):
    """The database cannot be reached, opened, read or written."""

    kind = "lost"


class StoreReplacedError(StoreLostError):
    """The database file was removed, renamed or replaced while it was open."""

    kind = "replaced"


class NoStoreError(StoreError):
    """The settings name no database."""

    kind = "none"


class NoSerialError(StoreError):
    """The record names no unit."""

    kind = "no-serial"


class NoSuchRecordError(StoreError):
    """The archive has no such record."""

    kind = "no-such-record"

    @classmethod
    def of(cls, name: str | int) -> NoSuchRecordError:
        """Return the error; the same for one that a token may not see."""
        return cls(
            f"the archive has no recording {name}; seismo-relay archive list (GET /archive/events) "
            "shows them"
        )


class AmbiguousIdError(StoreError):
    """Several recordings' ids begin with the characters given."""

    kind = "ambiguous-id"


class NoSuchTokenError(StoreError):
    """There is no such token, or it was revoked already."""

    kind = "no-such-token"


class TokenNameTakenError(StoreError):
    """Another token that is not revoked has that name."""

    kind = "token-name-taken"


class NoSuchUnitError(StoreError):
    """The roster has no such unit, location, route or zone."""

    kind = "unknown-unit"


class RosterConflictError(StoreError):
    """The roster has it already, or has something that excludes it."""

    kind = "roster-conflict"


class NoSuchCurveError(StoreError):
    """No limit curve has that name, or nothing is chosen there."""


class LimitConflictError(StoreError):
    """The curve is there already, is chosen, or needs no confirmation."""


class BadCursorError(StoreError):
    """No page of this archive returned that cursor."""

    kind = "bad-cursor"


class OwnToolsError(StoreError):
    """PostgreSQL has a program of its own for this; the message names the command."""

    kind = "own-tools"


class UndecodedSamplesError(StoreError):
    """The recording's image is archived, but no decoder reads its samples."""

    kind = "samples-undecoded"

    def __init__(self, message: str, recording_id: str | None = None) -> None:
        super().__init__(message)
        self.recording_id = recording_id


class DamagedRecordError(StoreError):
    """Stored bytes do not match their hash."""

    kind = "damaged-record"


class DamagedMirrorError(StoreError):
    """A unit's mirrored row does not match its hash."""

    kind = "damaged-mirror"


_BY_SQLITE_NAME = {
    "SQLITE_FULL": StoreFullError,
    "SQLITE_BUSY": StoreBusyError,
    "SQLITE_LOCKED": StoreBusyError,
    "SQLITE_CORRUPT": StoreDamagedError,
    "SQLITE_NOTADB": StoreDamagedError,
    "SQLITE_IOERR": StoreLostError,
    "SQLITE_CANTOPEN": StoreLostError,
    "SQLITE_READONLY": StoreLostError,
}
_BY_TEXT = (
    ("disk is full", StoreFullError),
    ("no space left", StoreFullError),
    ("database is locked", StoreBusyError),
    ("lock timeout", StoreBusyError),
    ("deadlock detected", StoreBusyError),
    ("malformed", StoreDamagedError),
    ("not a database", StoreDamagedError),
    ("could not decode to utf-8", StoreDamagedError),
)
"""For drivers that give no error name: the texts of PostgreSQL and of older SQLite modules."""


@contextmanager
def as_store_errors(where: str) -> Iterator[None]:
    """
    Translate the errors of SQLAlchemy and the drivers into ``StoreError``; the cause is kept.

    Programming errors (a wrong statement) pass unchanged: they are our fault.
    """
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error, sqlalchemy.exc.ProgrammingError | sqlalchemy.exc.IntegrityError):
            raise
        raise _kind_of(error.orig)(f"{where}: {error.orig}") from error
    except UnicodeDecodeError as error:
        # SQLite quotes the damaged name in its message, and the driver cannot decode it.
        raise StoreDamagedError(f"{where}: its schema is damaged; restore a backup") from error
    except sqlalchemy.exc.TimeoutError as error:
        raise StoreBusyError(f"{where}: no connection was free in time: {error}") from error
    except OSError as error:
        raise StoreLostError(f"{where}: {error}") from error


def _kind_of(error: BaseException | None) -> type[StoreError]:
    name = str(getattr(error, "sqlite_errorname", None) or "")
    for begin, kind in _BY_SQLITE_NAME.items():
        if name.startswith(begin):
            return kind
    text = str(error).lower()
    return next((kind for words, kind in _BY_TEXT if words in text), StoreLostError)
