"""
Revisions of the database: which one it is of, and how it comes to this program's.

``HEAD`` is held against the newest file under ``migrations/versions`` by a test, so that a start
with a database of the right revision does without Alembic, which takes a tenth of a second to load.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from sfm.store import schema
from sfm.store.advisory_locks import AdvisoryLock
from sfm.store.database_file import not_an_archive, sync_folder
from sfm.store.engine import BUSY_S, SQLITE, Engines, quoted
from sfm.store.errors import RevisionError, StoreBusyError, StoreDamagedError, StoreLostError

__all__ = [
    "BEFORE_REVISIONS",
    "EMPTY",
    "HEAD",
    "UPGRADE_COMMAND",
    "check_schema",
    "copy_before_upgrade",
    "copy_sqlite",
    "ensure_head",
    "refuse_newer",
    "revision_of",
    "upgrade",
]

HEAD = "0015"
EMPTY = ""
"""The revision of a database with nothing of ours in it."""
PAGES_AT_ONCE = 1024
"""Pages that are copied in one step; between two steps the source is locked for nobody."""
BEFORE_REVISIONS = "unnumbered"
"""Of one from before revisions were numbered."""
UPGRADE_COMMAND = "seismo-relay db upgrade"


def revision_of(connection: Connection) -> str:
    """Return the database's revision."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None:
            return str(found)
    return BEFORE_REVISIONS if tables & set(schema.metadata.tables) else EMPTY


def ensure_head(engines: Engines, now: Callable[[], datetime]) -> str | None:
    """
    Bring the database to ``HEAD`` if that is ours to do; return a sentence on what was done.

    A SQLite file is upgraded after a copy was made beside it. PostgreSQL may be others' as well:
    there only an empty database is filled. A new SQLite file comes to its name when it is whole.

    Raises:
        RevisionError: it is of another revision and not ours to change; says what to run.
        StoreDamagedError: a file with nothing of ours stands where the archive should be.
    """
    # Reading first: a file that turns out to be somebody else's stays as it is to the byte.
    with engines.write() if engines.is_new else engines.read() as connection:
        found = revision_of(connection)
        if found == HEAD:
            check_schema(engines.where, connection)
            return None
    if found == EMPTY:
        if engines.path is not None and not engines.is_new:
            raise not_an_archive(engines.path)
        upgrade(engines)
        return None
    refuse_newer(engines.where, found)
    if not engines.is_sqlite:
        raise RevisionError(
            f"{engines.where} is of revision {found}, this program needs {HEAD}; make a backup, "
            f"stop every relay on it, and run: {UPGRADE_COMMAND}"
        )
    copy = copy_before_upgrade(engines, found, now())
    upgrade(engines)
    return f"{engines.where} was upgraded from revision {found} to {HEAD}; a copy is {copy}"


def check_schema(where: str, connection: Connection) -> None:
    """
    Return if the tables of a SQLite file are declared as this program's; PostgreSQL guards its own.

    SQLite keeps its schema as text in the file, and a flipped letter in it passes every check of
    its own: a column of another type, which some drivers cannot even read.

    Raises:
        StoreDamagedError: they are not.
    """
    if connection.dialect.name != "sqlite":
        return
    for name, table in schema.metadata.tables.items():
        wanted = {c.name: c.type.compile(connection.dialect) for c in table.c}
        try:
            rows = connection.exec_driver_sql(f"PRAGMA table_info({name})").mappings().all()
            found = {row["name"]: row["type"] for row in rows}
        except UnicodeDecodeError:
            found = {}
        if found != wanted:
            raise StoreDamagedError(
                f"{where}: table {name} is not declared as this program's; the file is damaged: "
                "restore a backup"
            )


def upgrade(engines: Engines, revision: str = "head") -> None:
    """
    Run the migrations up to ``revision``, all or nothing.

    A backup of a SQLite file that runs meanwhile has all of it or nothing. One of PostgreSQL has
    the tables locked until it ends; it is not waited for, since it can take hours.

    Raises:
        RevisionError: a newer program made this database.
        StoreBusyError: another program uses it; nothing was changed.
    """
    from alembic import command
    from alembic.config import Config

    config, folder = Config(), Path(__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    try:
        with engines.write() as connection:
            if not engines.is_sqlite:
                # Two relays that start at once must not both fill it.
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({AdvisoryLock.UPGRADE})"))
                connection.execute(text(f"SET LOCAL lock_timeout = {int(BUSY_S * 1000)}"))
            refuse_newer(engines.where, revision_of(connection))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except StoreBusyError as error:
        raise StoreBusyError(
            f"{engines.where} was not upgraded and not changed, because another program uses it: "
            f"wait until a running backup has ended, stop every relay on it, and run "
            f"{UPGRADE_COMMAND} again ({error})"
        ) from error
    engines.publish()


def copy_before_upgrade(engines: Engines, found: str, at: datetime) -> Path:
    """Return a copy of the SQLite file, made beside it under a name that says what it is."""
    assert engines.path is not None
    path = engines.path.with_name(f"{engines.path.name}.revision-{found}.{at:%Y%m%dT%H%M%S}.backup")
    copy_sqlite(engines.path, path)
    return path


def copy_sqlite(
    source: Path, target: Path, on_progress: Callable[[int, int], None] | None = None
) -> None:
    """
    Copy a SQLite database, in use or not, as of one instant, and make the copy durable.

    Args:
        source: the file; its WAL is read with it.
        target: must not be there yet; it appears under its name when it is whole.
        on_progress: called with pages done and pages in all.

    Raises:
        StoreLostError: the target is there, or cannot be written.
        StoreDamagedError: the source cannot be read to its end.
    """
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        raise StoreLostError(f"{target} is there already; name a file that is not")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_RDWR, 0o600))
        with (
            contextlib.closing(SQLITE.connect(f"file:{quoted(source)}?mode=ro", uri=True)) as entry,
            contextlib.closing(SQLITE.connect(str(part))) as copy,
        ):

            def report(_: int, remaining: int, total: int) -> None:
                if on_progress is not None:
                    on_progress(total - remaining, total)

            entry.backup(copy, pages=PAGES_AT_ONCE, progress=report, sleep=0.0)
            copy.execute("PRAGMA journal_mode=DELETE").close()
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StoreLostError(f"{target}: {error.strerror or error}") from error
    except SQLITE.DatabaseError as error:
        part.unlink(missing_ok=True)
        raise StoreDamagedError(f"{source} cannot be copied to {target}: {error}") from error


def refuse_newer(where: str, found: str) -> None:
    """
    Return if this program knows that revision.

    Raises:
        RevisionError: a newer program made it.
    """
    if found not in (EMPTY, BEFORE_REVISIONS) and found > HEAD:
        raise RevisionError(
            f"{where} is of revision {found}, made by a newer seismo-relay; this one knows "
            f"{HEAD}: run the newer program, or restore a backup of before"
        )
