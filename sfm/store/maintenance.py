"""
Maintenance of a database: check, backup, restore, vacuum. Blocking; for the command line.

A backup is one SQLite file, copied as of one instant while the relay runs. PostgreSQL has tools of
its own for this, and the errors here name them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select

from sfm.records.digests import has_digest
from sfm.store import archive, audit, migrations, mirror_rows, mirrored_lists, schema
from sfm.store.database import Store
from sfm.store.database_file import DatabaseFile, sync_folder
from sfm.store.engine import SQLITE, Engines, quoted, read_url
from sfm.store.errors import (
    DamagedRecordError,
    NoSuchRecordError,
    OwnToolsError,
    RevisionError,
    StoreDamagedError,
    StoreFullError,
    StoreLostError,
)
from sfm.store.row_hashes import UNCOVERED, UNREADABLE, is_sound, raise_unless_unreadable, read_rows

__all__ = ["backup", "begin_after_restore", "check", "count_rows", "restore", "vacuum"]

UNSEEN_EPOCHS = 1000
"""
How far beyond a restored database each unit begins: further than any unit can have been erased
since its backup, where the database that it replaced is gone.
"""

OnProgress = Callable[[int, int], None]
"""Receives how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check covered, and every fault that it found, each with what to do next."""

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
            found = migrations.revision_of(connection)
            if found != migrations.HEAD:
                raise RevisionError(
                    f"{engines.where} is of revision {found or 'none'}, this program needs "
                    f"{migrations.HEAD}; run: {migrations.UPGRADE_COMMAND}"
                )
            migrations.check_schema(engines.where, connection)
            faults += mirrored_lists.contradictions(connection)
            faults += _audit_faults(connection)
            for table, advice in ADVICE.items():
                faults += _row_faults(connection, schema.metadata.tables[table], advice)
            faults += _partial_faults(connection)
            numbers = list(connection.execute(select(schema.recordings.c.id)).scalars())
            sampled = list(connection.execute(select(schema.recording_waveforms.c.id)).scalars())
        total = len(numbers) + len(sampled)
        for done, number in enumerate(numbers):
            with engines.read() as connection:
                try:
                    archive.recording_numbered(connection, number)
                except DamagedRecordError as error:
                    faults.append(f"{error}; restore a backup that has it")
                except NoSuchRecordError:
                    faults.append(f"recording number {number} is in an index and in no row")
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
        path = _path_of(url, "pg_dump --format=custom --file=FILE URL")
        with engines.read() as connection:
            migrations.revision_of(connection)
        migrations.copy_sqlite(path, target, on_progress)
    _sound_revision(target)
    return target.stat().st_size


def restore(url: str, source: Path, now: datetime) -> Path | None:
    """
    Put a backup in the place of the database; return where the present one is kept.

    The backup is made ready under another name and takes its place in one step. What the units have
    in memory now is not part of a backup: the restored mirror is emptied, and each unit is read
    again at the next request, in an epoch that neither database has seen.

    Raises:
        OwnToolsError: it is PostgreSQL.
        StoreInUseError: a relay has the database.
        RevisionError: the backup is of a newer program.
        StoreError: the backup is not sound, or a side cannot be read or written.
    """
    if not source.is_file():
        raise StoreLostError(f"{source}: no such file")
    path = _path_of(url, "pg_restore --clean --dbname=URL FILE, then seismo-relay db restored")
    with _locked(path):
        migrations.refuse_newer(str(source), _sound_revision(source))
        new = path.with_name(f"{path.name}.restoring")
        new.unlink(missing_ok=True)
        migrations.copy_sqlite(source, new)
        with _opened(f"sqlite:///{new.absolute()}") as engines:
            migrations.upgrade(engines)
            with engines.write() as connection:
                mirror_rows.begin_beyond(connection, _epochs_in(path))
        kept = None
        if path.exists():
            kept = path.with_name(f"{path.name}.replaced.{now:%Y%m%dT%H%M%S}")
            try:
                migrations.copy_sqlite(path, kept)
            except StoreDamagedError:
                # A damaged file is the usual reason to restore: keep it unchanged.
                shutil.copy2(path, kept)
        _put_in_place(new, path)
    return kept


def begin_after_restore(url: str) -> None:
    """
    Do for a database that its own tools restored what ``restore`` does for a file.

    What units were erased since the backup is in no database any more, so each unit begins far
    beyond the epochs that the backup has. Otherwise a number that answers had after the backup
    would come again for another memory.

    Raises:
        StoreInUseError: a relay has the database.
        RevisionError: it is of another revision; upgrade it first.
        StoreError: it cannot be read or written.
    """
    with Store.open(url, is_relay=True) as store:
        store.write(mirror_rows.begin_beyond, {}, by=UNSEEN_EPOCHS)


def _epochs_in(path: Path) -> dict[str, int]:
    """Return the highest epoch of each unit in a database that may be damaged, or of old."""
    highest: dict[str, int] = {}
    queries = (
        "SELECT serial, max(epoch) FROM recordings GROUP BY serial",
        "SELECT substr(unit_id, 6), epoch FROM cached_devices WHERE unit_id LIKE 'unit:%'",
    )
    if not path.exists():
        return highest
    with contextlib.closing(SQLITE.connect(path)) as connection:
        for query in queries:
            with contextlib.suppress(SQLITE.Error):
                for serial, epoch in connection.execute(query):
                    if isinstance(serial, str) and isinstance(epoch, int):
                        highest[serial] = max(epoch, highest.get(serial, 0))
    return highest


def vacuum(url: str) -> tuple[int, int]:
    """
    Give back the room of what is gone; return the size in bytes before and after.

    A copy without gaps is written beside the file and takes its place. (A VACUUM in place holds the
    whole database in memory where SQLite was built to keep temporary files there.)

    Raises:
        OwnToolsError: it is PostgreSQL.
        StoreInUseError: a relay has the database.
        StoreFullError: there is no room for the copy.
        StoreError: the database cannot be read to its end.
    """
    path = _path_of(url, "psql URL --command='VACUUM ANALYZE'")
    if not path.exists():
        raise StoreLostError(f"{path}: no such file")
    with _locked(path):
        before = path.stat().st_size
        wal = path.with_name(f"{path.name}-wal")
        needed = before + (wal.stat().st_size if wal.exists() else 0)
        free = shutil.disk_usage(path.parent).free
        if free < needed:
            raise StoreFullError(
                f"{path}: {free:,} bytes are free, and its copy may take {needed:,}; make room"
            )
        new = path.with_name(f"{path.name}.vacuum")
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, path.stat().st_mode & 0o777))
        try:
            with contextlib.closing(
                SQLITE.connect(f"file:{quoted(path)}?mode=rw", uri=True)
            ) as connection:
                connection.isolation_level = None
                connection.execute("VACUUM INTO ?", (str(new),)).close()
        except SQLITE.DatabaseError as error:
            new.unlink(missing_ok=True)
            full = "full" in str(error).lower()
            raise (StoreFullError if full else StoreDamagedError)(f"{path}: {error}") from error
        with new.open("rb") as written:
            os.fsync(written.fileno())
        _put_in_place(new, path)
        return before, path.stat().st_size


def _put_in_place(new: Path, path: Path) -> None:
    """Let a file that is whole take the database's name."""
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    new.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep every relay away from the file, or from its name while there is none."""
    file = DatabaseFile(path)
    try:
        yield
    finally:
        file.close()


@contextlib.contextmanager
def _opened(url: str, *, read_only: bool = False) -> Iterator[Engines]:
    engines = Engines(read_url(url), read_only=read_only)
    try:
        yield engines
    finally:
        engines.close()


def _path_of(url: str, command: str) -> Path:
    known = read_url(url)
    if known.get_backend_name() != "sqlite" or known.database in (None, "", ":memory:"):
        where = known.render_as_string(hide_password=True)
        raise OwnToolsError(f"{where} is no file; use its own tool: {command}")
    return Path(str(known.database)).resolve()  # what a link names is replaced, not the link


def _file_faults(engines: Engines) -> list[str]:
    if not engines.is_sqlite:
        return []
    with engines.read() as connection:
        result = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    faults = [
        f"{engines.where}: {sentence}; restore a backup" for sentence in result if sentence != "ok"
    ]
    return faults + [f"{engines.where}: row {row[1]} of {row[0]} points nowhere" for row in broken]


READ_AGAIN = "it is read again when it is requested and its unit still has it; or restore a backup"
ADVICE = {
    "analyses": "it is computed again when it is asked for",
    "findings": "restore a backup that has it",
    "reviews": "restore a backup that has it",
    "entered_facts": "restore a backup that has it",
    "cached_devices": "it is dropped, and the unit read again, when it is asked for",
    "cached_events": "it is dropped, and the unit read again, when it is asked for",
    "cached_waveforms": "it is read again from its unit when it is asked for",
    "download_chunks": "it is read again from its unit when it is asked for",
    "walks": "it is dropped, and the unit read again, when it is asked for",
    "walked_events": "it is dropped, and the unit read again, when it is asked for",
    "unproven_recordings": "recordings are called unproven until their unit is listed again",
    "volatile_record_bytes": "it is found again when its unit is read",
    "recording_decodings": "stop the relay and run: seismo-relay archive decode",
    "recording_downloads": "download the event once more with force=true",
    "partial_images": "restore a backup that has it",
    "operations": "check the unit itself and the audit log",
    "tokens": "make a new token and revoke this one",
    "units": "restore a backup that has it",
    "locations": "restore a backup that has it",
    "unit_places": "restore a backup that has it; until then no time zone is applied",
    "routes": "restore a backup that has it",
    "meetings": "it is written anew when a unit answers over that route",
    "zones": "restore a backup that has it; until then no time zone is applied",
    "limit_curves": "add the curve again from its file under another name",
    "limit_confirmations": "confirm the curve again",
    "limit_choices": "choose the limits again",
}
"""Tables whose rows have a hash and nothing beyond it to check, and what to do about a fault."""


_OF_IMAGE = ("image", schema.recording_waveforms.c.content_hash)
PARENTS: dict[str, tuple[str, Column[Any]]] = {
    "unproven_recordings": ("recording", schema.recordings.c.public_id),
    "entered_facts": ("recording", schema.recordings.c.public_id),
    "recording_decodings": _OF_IMAGE,
    "recording_downloads": _OF_IMAGE,
    "analyses": _OF_IMAGE,
    "operations": ("key", schema.operations.c.id),
    # Other rows point at these by their numbers.
    **{
        table.name: ("key", table.c.id)
        for table in (
            schema.locations,
            schema.unit_places,
            schema.routes,
            schema.zones,
            schema.limit_confirmations,
            schema.limit_choices,
        )
    },
}
"""What the hash of a row covers beside it, or of the row that it points at, and by which name."""


def _row_faults(connection: Connection, table: Table, advice: str) -> Iterator[str]:
    columns = [c for c in table.c if c.name not in UNCOVERED.get(table.name, ())]
    query = select(*columns)
    label, parent = PARENTS.get(table.name, ("", None))
    if parent is not None:
        query = query.add_columns(parent.label("parent"))
        if parent.table is not table:
            query = query.outerjoin_from(table, parent.table)
    for key, row in read_rows(connection, table, query):
        if row is not None:
            entry = {c.name: row[c.name] for c in columns}
            of = {} if parent is None else {label: _plain(row["parent"])}
            if is_sound(table.name, entry, **of):
                continue
        named = " ".join(map(str, key))
        yield f"{table.name} {named}: the row does not match its hash; {advice}"


def _plain(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)


def _partial_faults(connection: Connection) -> Iterator[str]:
    table = schema.partial_images
    for number in connection.execute(select(table.c.id)).scalars().all():
        for _, row in read_rows(connection, table, select(table).where(table.c.id == number)):
            if row is None or not has_digest(row["data"], row["data_hash"]):
                advice = ADVICE["partial_images"]
                yield f"beginning of an image, number {number}: its bytes are damaged; {advice}"


def _audit_faults(connection: Connection) -> list[str]:
    advice = "compare it with a backup"
    try:
        verdict = audit.verify(connection)
    except UNREADABLE as error:
        raise_unless_unreadable(error)
        return [f"the audit log: an entry cannot be read; {advice}"]
    return [] if verdict.why is None else [f"the audit log: {verdict.why}; {advice}"]


def _sample_faults(connection: Connection, number: int) -> list[str]:
    try:
        entry = archive.samples_numbered(connection, waveform_id=number)
        entered, _ = archive.entered_waveform(connection, number)
    except NoSuchRecordError:
        return [f"waveform {number} belongs to no recording; restore a backup"]
    except DamagedRecordError as error:
        return [f"waveform {number}: {error}; {READ_AGAIN}"]
    advice = READ_AGAIN
    faults = []
    try:
        entered.counts()
        entry.counts()
    except DamagedRecordError as error:
        faults.append(f"{error}; {advice}")
    try:
        archive.load_image(connection, number)
    except DamagedRecordError:
        faults.append(f"{entry.what}: the unit's memory does not match its hash; {advice}")
    return faults


def _sound_revision(path: Path) -> str:
    """Return the revision of a backup that can be read to its end."""
    url = f"sqlite:///{path.absolute()}"
    with _opened(url, read_only=True) as engines, engines.read() as connection:
        result = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        found = migrations.revision_of(connection)
    if list(result) != ["ok"] or not found:
        raise StoreDamagedError(f"{path} is no sound backup: {'; '.join(map(str, result[:3]))}")
    return found


def count_rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in schema.metadata.tables.items()
    }
