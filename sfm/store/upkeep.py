"""
Upkeep of a database: check, backup, restore, vacuum. Blocking; for the command line.

A backup is one SQLite file, copied as of one instant while the relay goes on. PostgreSQL brings its
own tools for this, and the errors here name them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, select

from sfm.store import archive, audit, mirror, revisions, schema
from sfm.store.engine import SQLITE, Engines, read_url
from sfm.store.errors import (
    DamagedRecordError,
    NoSuchRecordError,
    OwnToolsError,
    RevisionError,
    StoreDamagedError,
    StoreFullError,
    StoreLostError,
)
from sfm.store.samples_at_rest import digest

OnProgress = Callable[[int, int], None]
"""Told how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check has looked at, and every fault found, as sentences that say what to do."""

    revision: str
    recordings: int
    waveforms: int
    faults: list[str]


def check(url: str, on_progress: OnProgress = lambda _done, _total: None) -> Checked:
    """
    Look at every byte that has a hash, and at what must agree. Changes nothing.

    May run beside a relay.

    Raises:
        RevisionError: the database is of another revision.
        StoreError: it cannot be read at all.
    """
    with _opened(url, read_only=True) as engines:
        faults = _file_faults(engines)
        with engines.read() as connection:
            found = revisions.revision_of(connection)
            if found != revisions.HEAD:
                raise RevisionError(
                    f"{engines.where} is of revision {found or 'none'}, this program needs "
                    f"{revisions.HEAD}; run: {revisions.UPGRADE_COMMAND}"
                )
            faults += mirror.contradictions(connection)
            verdict = audit.verify(connection)
            if verdict.why is not None:
                faults.append(f"the audit log: {verdict.why}; compare it with a backup")
            numbers = list(connection.execute(select(schema.recordings.c.id)).scalars())
            sampled = list(connection.execute(select(schema.recording_waveforms.c.id)).scalars())
        total = len(numbers) + len(sampled)
        for done, number in enumerate(numbers):
            with engines.read() as connection:
                if not archive.event(connection, number)["record_is_sound"]:
                    faults.append(
                        f"recording {number}: the unit's record is not what its hash says; "
                        "restore a backup that has it"
                    )
            on_progress(done + 1, total)
        for done, number in enumerate(sampled, len(numbers)):
            with engines.read() as connection:
                faults += _sample_faults(connection, number)
            on_progress(done + 1, total)
    return Checked(found, len(numbers), len(sampled), faults)


def backup(url: str, target: Path, on_progress: OnProgress | None = None) -> int:
    """
    Copy the database to a file, while it is in use; return the copy's size in bytes.

    The copy is read again before it is called one.

    Raises:
        OwnToolsError: it is PostgreSQL.
        StoreError: the target is there already, or a side cannot be read or written.
    """
    with _opened(url, read_only=True) as engines:
        path = _path_of(engines, "pg_dump --format=custom --file=FILE URL")
        with engines.read() as connection:
            revisions.revision_of(connection)
        revisions.copy_sqlite(path, target, on_progress)
    _sound_revision(target)
    return target.stat().st_size


def restore(url: str, source: Path, now: datetime) -> Path | None:
    """
    Put a backup in the place of the database; return where the present one is kept.

    What the units hold now is not a thing of backups: the mirror of the restored one is emptied,
    and each unit is read again at the next request.

    Raises:
        OwnToolsError: it is PostgreSQL.
        StoreInUseError: a relay has the database.
        RevisionError: the backup is of a newer program.
        StoreError: the backup is not sound, or a side cannot be read or written.
    """
    if not source.is_file():
        raise StoreLostError(f"{source}: no such file")
    with _opened(url) as engines:
        path = _path_of(engines, "pg_restore --clean --dbname=URL FILE")
        revisions.refuse_newer(str(source), _sound_revision(source))
        new = path.with_name(f"{path.name}.restoring")
        new.unlink(missing_ok=True)
        revisions.copy_sqlite(source, new)
        kept = None
        if path.exists():
            kept = path.with_name(f"{path.name}.replaced.{now:%Y%m%dT%H%M%S}")
            try:
                revisions.copy_sqlite(path, kept)
            except StoreDamagedError:
                # That is why somebody restores: keep it as it is.
                shutil.copy2(path, kept)
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        new.replace(path)
        revisions.ensure_head(engines, lambda: now)
        with engines.write() as connection:
            for table in (
                schema.cached_events,
                schema.cached_waveforms,
                schema.download_chunks,
                schema.cached_devices,
            ):
                connection.execute(delete(table))
    return kept


def vacuum(url: str) -> tuple[int, int]:
    """
    Give back the room of what is gone; return the size in bytes before and after.

    Raises:
        OwnToolsError: it is PostgreSQL.
        StoreInUseError: a relay has the database.
        StoreFullError: there is no room for the copy that SQLite makes on the way.
    """
    with _opened(url) as engines:
        path = _path_of(engines, "psql URL --command='VACUUM ANALYZE'")
        before = path.stat().st_size
        free = shutil.disk_usage(path.parent).free
        if free < 2 * before:
            raise StoreFullError(
                f"{path}: {free:,} bytes are free; a vacuum may take {2 * before:,} for a while"
            )
        connection = SQLITE.connect(str(path))
        with contextlib.closing(connection):
            connection.isolation_level = None
            connection.execute("VACUUM").close()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        return before, path.stat().st_size


@contextlib.contextmanager
def _opened(url: str, *, read_only: bool = False) -> Iterator[Engines]:
    engines = Engines(read_url(url), read_only=read_only)
    try:
        yield engines
    finally:
        engines.close()


def _path_of(engines: Engines, command: str) -> Path:
    if engines.path is None:
        raise OwnToolsError(f"{engines.where} is no file; use its own tool: {command}")
    return engines.path


def _file_faults(engines: Engines) -> list[str]:
    if not engines.is_sqlite:
        return []
    with engines.read() as connection:
        said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    faults = [
        f"{engines.where}: {sentence}; restore a backup" for sentence in said if sentence != "ok"
    ]
    return faults + [f"{engines.where}: row {row[1]} of {row[0]} points nowhere" for row in broken]


def _sample_faults(connection: Connection, number: int) -> list[str]:
    try:
        held = archive.samples(connection, waveform_id=number)
    except NoSuchRecordError:
        return [f"waveform {number} belongs to no recording; restore a backup"]
    advice = (
        "it is read again when its unit is asked for it and still holds it; or restore a backup"
    )
    faults = []
    try:
        held.counts()
    except DamagedRecordError as error:
        faults.append(f"{error}; {advice}")
    if digest(archive.image(connection, number)) != held.content_hash:
        faults.append(f"{held.what}: the unit's memory is not what its hash says; {advice}")
    return faults


def _sound_revision(path: Path) -> str:
    """Return the revision of a backup that can be read to its end."""
    url = f"sqlite:///{path.absolute()}"
    with _opened(url, read_only=True) as engines, engines.read() as connection:
        said = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        found = revisions.revision_of(connection)
    if list(said) != ["ok"] or not found:
        raise StoreDamagedError(f"{path} is no sound backup: {'; '.join(map(str, said[:3]))}")
    return found
