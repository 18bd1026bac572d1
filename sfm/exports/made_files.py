"""
Files that an operation made for one reader: kept for a day, also over a restart of the relay.

A file is there when its note is: the note (name, units, time, size, SHA-256) is written last and
renamed, so that a relay that was killed while it made a file has left none. ``start`` removes such
beginnings. A file is compared with its SHA-256 each time before it is sent (``opened``).
All files of one kind together take at most ``MAX_BYTES``: the oldest go first. Until
``start``, and without a database, files are in a folder that goes with the process.

They are on the host that made them, also where the database is on another one (PostgreSQL).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

import structlog

from sfm.records.payloads import Payload
from sfm.store import NO_DATABASE, default_url
from sfm.store.engine import read_url

__all__ = [
    "KEPT",
    "MAX_BYTES",
    "PART_BYTES",
    "MadeFile",
    "MadeFiles",
    "made_files_folder",
]

KEPT = timedelta(hours=24)
MAX_BYTES = 2_000_000_000
"""Of one kind of files: about ten times the reports of 200 events."""
PART_BYTES = 256 * 1024
"""Read and hashed in about a millisecond, for which the event loop may be held."""
NOTE = ".json"
BEGUN = ".part"

log = structlog.get_logger(__name__)


def made_files_folder(database_url: str | None) -> Path | None:
    """Return where a relay with this database keeps such files; ``None``: it has no database."""
    if database_url == NO_DATABASE:
        return None
    default = Path(read_url(default_url()).database or "")
    url = read_url(database_url or default_url())
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            return None
        path = Path(url.database)
        return path.with_name(f"{path.name}.files")
    # Of each database its own: another relay on this host must not take these files for its own.
    name = hashlib.blake2b(f"{url.host}:{url.port}/{url.database}".encode(), digest_size=8)
    return default.with_name(f"{name.hexdigest()}.files")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file with something of many events."""

    id: str
    """Unguessable; it is found by it."""
    name: str
    """What those who save it call it."""
    path: Path
    serials: frozenset[str]
    """Of the units in it; a token limited to others does not get it."""
    made_at: datetime
    size_bytes: int
    sha256: bytes

    def note(self) -> Payload:
        """Return what is written beside it."""
        return {
            "name": self.name,
            "serials": sorted(self.serials),
            "made_at": self.made_at.isoformat(),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256.hex(),
        }

    async def opened(self) -> IO[bytes] | None:
        """Return the file, opened at its beginning; ``None``: it is no longer what was made."""
        try:
            file = self.path.open("rb")
        except OSError:
            return None
        is_whole = False
        try:
            is_whole = await _sha256_of(file) == self.sha256
        finally:
            if not is_whole:
                file.close()
        if is_whole:
            file.seek(0)
        return file if is_whole else None


async def _sha256_of(file: IO[bytes]) -> bytes:
    """Return the SHA-256 of what can be read of a file; others are served between two parts."""
    found = hashlib.sha256()
    while part := file.read(PART_BYTES):
        found.update(part)
        await asyncio.sleep(0)
    return found.digest()


class MadeFiles:
    """
    The files of one kind. Lives as long as the relay; ``start`` and ``close`` it.

    Args:
        kind: begins the names of files and folders.
        wall: the time of day, UTC.
        max_bytes: of all files together.
        host: this machine's name.
    """

    def __init__(
        self,
        kind: str,
        wall: Callable[[], datetime],
        *,
        max_bytes: int = MAX_BYTES,
        host: str | None = None,
    ) -> None:
        self.host = host or socket.gethostname()
        self._kind = kind
        self._wall = wall
        self._max_bytes = max_bytes
        self._folder: Path | None = None
        self._is_kept = False
        self._files: dict[str, MadeFile] = {}

    def start(self, folder: Path | None) -> None:
        """
        Find the files of the relay before this one; remove what it had begun.

        Only for the one relay of a database, after it has the database.

        Args:
            folder: of ``made_files_folder``; ``None``: files go with this process.
        """
        if folder is None:
            return
        self._folder, self._is_kept = folder / self._kind, True
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            return  # no operation has made a file yet
        for path in paths:
            if path.suffix == NOTE and (file := _noted(path)) is not None:
                self._files[path.stem] = file
        known = {file.path for file in self._files.values()}
        for path in paths:
            if path not in known and path.with_suffix("") not in known:
                path.unlink(missing_ok=True)
        self._forget_old()

    def close(self) -> None:
        """Remove the files that go with this process."""
        self._files.clear()
        if self._folder is not None and not self._is_kept:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._is_kept = None, False

    def new_path(self) -> Path:
        """Return where the next file may be written; nothing is there yet."""
        self._forget_old()
        if self._folder is not None and self._is_kept:
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                where = str(self._folder)
                log.warning("made_files_go_with_the_relay", folder=where, error=str(error))
                self._folder, self._is_kept = None, False
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"seismo-relay-{self._kind}-"))
        return self._folder / f"{secrets.token_hex(16)}{BEGUN}"

    def href(self, id_: str) -> str:
        """Return where a file is found through HTTP."""
        return f"/archive/{self._kind}/{id_}"

    def result(self, file: MadeFile) -> Payload:
        """Return what the operation that made a file says of it."""
        return {
            "href": self.href(file.id),
            "file": file.name,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256.hex(),
            "host": self.host,
        }

    async def keep(self, name: str, path: Path, serials: frozenset[str]) -> MadeFile:
        """
        Keep a written file; return it, with the id under which it is found. If that fails it goes.

        Args:
            name: for those who save it.
            path: of ``new_path``.
            serials: of the units in it.
        """
        try:
            with path.open("rb") as written:
                sha256 = await _sha256_of(written)
        except BaseException:  # also if the operation is cancelled meanwhile
            _forget(path)
            raise
        return self._noted_down(name, path, serials, sha256)

    def _noted_down(
        self, name: str, path: Path, serials: frozenset[str], sha256: bytes
    ) -> MadeFile:
        id_ = secrets.token_hex(16)
        kept = path.with_name(id_)
        path.rename(kept)
        file = MadeFile(
            id=id_,
            name=name,
            path=kept,
            serials=serials,
            made_at=self._wall(),
            size_bytes=kept.stat().st_size,
            sha256=sha256,
        )
        begun = kept.with_suffix(BEGUN)
        begun.write_text(json.dumps(file.note()), "utf-8")
        begun.replace(kept.with_suffix(NOTE))
        self._files[id_] = file
        self._make_room()
        return file

    def find(self, id_: str) -> MadeFile | None:
        """Return a file; ``None``: it was never made, is older than a day, or made room."""
        self._forget_old()
        file = self._files.get(id_)
        if file is not None and not file.path.is_file():
            del self._files[id_]  # somebody removed it
            return None
        return file

    def give_up(self, file: MadeFile) -> None:
        """Remove a file that is no longer what was made."""
        log.error("made_file_differs", file=str(file.path), name=file.name)
        if file.id in self._files:
            self._remove(file.id)

    def _make_room(self) -> None:
        """Remove the oldest files until the others fit; never the newest one."""
        taken = sum(file.size_bytes for file in self._files.values())
        for id_, file in list(self._files.items())[:-1]:
            if taken <= self._max_bytes:
                return
            taken -= file.size_bytes
            self._remove(id_)

    def _forget_old(self) -> None:
        oldest = self._wall() - KEPT
        for id_, file in list(self._files.items()):
            if file.made_at < oldest:
                self._remove(id_)

    def _remove(self, id_: str) -> None:
        """Remove a file, its note first: without a note it is none."""
        path = self._files.pop(id_).path
        with contextlib.suppress(OSError):
            path.with_suffix(NOTE).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)


def _noted(note: Path) -> MadeFile | None:
    """Return the file of a note; ``None``: it is damaged, or its file is not whole."""
    path = note.with_suffix("")
    try:
        known = json.loads(note.read_text("utf-8"))
        file = MadeFile(
            id=path.name,
            name=str(known["name"]),
            path=path,
            serials=frozenset(map(str, known["serials"])),
            made_at=datetime.fromisoformat(known["made_at"]),
            size_bytes=int(known["size_bytes"]),
            sha256=bytes.fromhex(known["sha256"]),
        )
        is_whole = path.stat().st_size == file.size_bytes and file.made_at.tzinfo is not None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return file if is_whole else None
