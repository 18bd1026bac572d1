"""
What can go wrong with the store, by what to do next.

StoreError
├── RevisionError      the database is of another revision; the message has the command to run
├── StoreInUseError    another relay has this SQLite file
├── StoreBusyError     somebody else holds the write lock; it passes
├── StoreFullError     no room; free some
├── StoreDamagedError  the file is no sound database; restore a backup
├── StoreLostError     it cannot be opened or reached, or reading and writing failed
│   └── StoreReplacedError  the file was removed, renamed or replaced under the relay
├── NoSerialError      a record without a serial number; refused, not filed under a placeholder
├── NoSuchRecordError  the archive has no such record
├── AmbiguousIdError   several recordings' ids begin with the letters given
├── NoSuchTokenError   no token of that name or number that is not revoked yet
├── TokenNameTakenError another token that is not revoked has that name
├── BadCursorError     a cursor that this archive did not give
├── OwnToolsError      PostgreSQL does this by a program of its own; the message names it
├── DamagedMirrorError what was held of a unit is not what its hash says; the unit is read again
└── DamagedRecordError stored bytes are not what their hash says
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc


class StoreError(Exception):
    """The root of everything above."""

    kind = "store-failed"
    """One word for metrics and health."""


class RevisionError(StoreError):
    """The database is of another revision than this program."""

    kind = "other-revision"


class StoreInUseError(StoreError):
    """Another relay of this machine has the database file."""

    kind = "in-use"


class StoreBusyError(StoreError):
    """The write lock was not to be had in time."""

    kind = "locked"


class StoreFullError(StoreError):
    """There is no room left."""

    kind = "full"


class StoreDamagedError(StoreError):
    """The file is not a database, or not a sound one."""

    kind = "damaged"


class StoreLostError(StoreError):
    """It cannot be reached, opened, read or written."""

    kind = "lost"


class StoreReplacedError(StoreLostError):
    """The database file was removed, renamed or replaced while it was open."""

    kind = "replaced"


class NoSerialError(StoreError):
    """A record that says of no unit where it is from."""

    kind = "no-serial"


class NoSuchRecordError(StoreError):
    """The archive has no such record."""

    kind = "no-such-record"


class AmbiguousIdError(StoreError):
    """The ids of several recordings begin with the letters given."""

    kind = "ambiguous-id"


class NoSuchTokenError(StoreError):
    """There is no such token, or it was revoked already."""

    kind = "no-such-token"


class TokenNameTakenError(StoreError):
    """Another token that is not revoked has that name."""

    kind = "token-name-taken"


class BadCursorError(StoreError):
    """A cursor that no page of this archive gave."""

    kind = "bad-cursor"


class OwnToolsError(StoreError):
    """PostgreSQL does this with a program of its own; the message has the command."""

    kind = "own-tools"


class UndecodedSamplesError(StoreError):
    """The image of a recording is archived, and no decoder of ours reads its samples."""

    kind = "samples-undecoded"

    def __init__(self, message: str, recording_id: str | None = None) -> None:
        super().__init__(message)
        self.recording_id = recording_id


class DamagedRecordError(StoreError):
    """The bytes of a stored record are not what its hash says."""

    kind = "damaged-record"


class DamagedMirrorError(StoreError):
    """A row of what the database holds of a unit is not what its hash says."""

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
"""Where a driver gives no name: PostgreSQL's words, and those of older SQLite modules."""


@contextmanager
def as_store_errors(where: str) -> Iterator[None]:
    """
    Turn what SQLAlchemy and the drivers raise into errors of ours; the cause is kept.

    Programming errors (a statement that is wrong) pass as they are: they are our fault.
    """
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error, sqlalchemy.exc.ProgrammingError | sqlalchemy.exc.IntegrityError):
            raise
        raise _kind_of(error.orig)(f"{where}: {error.orig}") from error
    except UnicodeDecodeError as error:
        # SQLite names what it stumbles over, and the driver cannot read the damaged name.
        raise StoreDamagedError(f"{where}: its schema is damaged; restore a backup") from error
    except sqlalchemy.exc.TimeoutError as error:
        raise StoreBusyError(f"{where}: no connection to be had: {error}") from error
    except OSError as error:
        raise StoreLostError(f"{where}: {error}") from error


def _kind_of(error: BaseException | None) -> type[StoreError]:
    name = str(getattr(error, "sqlite_errorname", None) or "")
    for begin, kind in _BY_SQLITE_NAME.items():
        if name.startswith(begin):
            return kind
    text = str(error).lower()
    return next((kind for words, kind in _BY_TEXT if words in text), StoreLostError)
