"""
The SQLite file itself: its lock, its identity, and how a new one comes to its name.

The lock is on the open file (flock), not on a spelling of its path: two relays that name one file
through a symbolic or hard link exclude each other. Device and inode of the path are compared with
those of the open file, because SQLite goes on writing into a file that was removed or renamed, and
nothing that is written there survives the process.

The descriptor stays open for as long as SQLite has the file: closing any descriptor of a file drops
every POSIX lock that this process has on it, SQLite's included (sqlite.org, "How to corrupt", 2.2).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from sfm.store.errors import StoreDamagedError, StoreInUseError, StoreLostError, StoreReplacedError

__all__ = ["DatabaseFile", "is_locked", "not_an_archive", "sync_folder"]

if sys.platform == "win32":
    import msvcrt

    FAR_BYTE = 2**62
    """Beyond every byte that SQLite locks."""

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, FAR_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DatabaseFile:
    """
    A SQLite file that only this process may write. Lives as long as its engines; ``close`` it.

    Where there is no file yet, one is begun under a temporary name; ``publish`` gives it its own
    once it is whole. So a file under the real name that is empty or foreign is always a fault.

    Args:
        path: of the file.

    Raises:
        StoreInUseError: another relay or command has the file, or is making it now.
        StoreLostError: its folder cannot be made, or the file not be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._real = Path(os.path.realpath(path))
        self.is_new = self._is_closed = False
        try:
            self._real.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._descriptor = self._locked(path, os.O_RDWR)
            except FileNotFoundError:
                self.is_new = True
                self._descriptor = self._locked(self._temporary, os.O_RDWR | os.O_CREAT)
                os.ftruncate(self._descriptor, 0)
                for end in ("-wal", "-shm", "-journal"):
                    Path(f"{self._temporary}{end}").unlink(missing_ok=True)
        except OSError as error:
            raise StoreLostError(f"{path}: {error.strerror or error}; check its folder") from error
        if not self.is_new:
            # Left by a process that was killed while it made a file.
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    @property
    def location(self) -> Path:
        """Where the file is now."""
        return self._temporary if self.is_new else self.path

    @property
    def _temporary(self) -> Path:
        return self._real.with_name(f"{self._real.name}.creating")

    def check(self) -> None:
        """
        Return if the path still names the open file.

        Raises:
            StoreReplacedError: it names another file, or none.
        """
        if self._is_closed or not _is_same(self._descriptor, self.location):
            state = "replaced by another file" if os.path.lexists(self.location) else "removed"
            raise StoreReplacedError(
                f"{self.location} was {state} while the relay had it open, so nothing is archived "
                "now. Move the database file back under this name, and the relay goes on; or "
                "restart the relay to use what is there, and lose what was read in between"
            )

    def publish(self) -> None:
        """
        Give a new file, which is not open in SQLite now, its own name.

        Raises:
            StoreInUseError: another program put a file there meanwhile.
            StoreLostError: it cannot be put there.
        """
        assert self.is_new
        try:
            os.fsync(self._descriptor)
            try:
                os.link(self._temporary, self._real)  # unlike a rename, replaces nothing
            except (FileExistsError, FileNotFoundError):
                raise
            except OSError:  # a file system without hard links
                if os.path.lexists(self._real):
                    raise FileExistsError from None
                self._temporary.rename(self._real)
            self._temporary.unlink(missing_ok=True)
            sync_folder(self._real.parent)
        except (FileExistsError, FileNotFoundError) as error:
            raise StoreInUseError(
                f"{self.path} was made by another relay at the same time; start this one again, "
                "with a database of its own"
            ) from error
        except OSError as error:
            raise StoreLostError(f"{self.path}: {error.strerror or error}") from error
        self.is_new = False

    def close(self) -> None:
        """Let others have the file; a new one that never came to its name is removed."""
        if self.is_new and not self._is_closed:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        if not self._is_closed:
            self._is_closed = True
            os.close(self._descriptor)

    def _locked(self, path: Path, flags: int) -> int:
        while True:
            # Only this user may read records, until the file's mode is changed by hand.
            descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                _try_lock(descriptor)
            except (BlockingIOError, PermissionError):
                os.close(descriptor)
                raise StoreInUseError(
                    f"{self.path} is in use by another seismo-relay program{_holder(path)}: ask "
                    "through it if it is a relay, wait until it ends if it is a command, or set "
                    "SFM_DATABASE_URL to another file or to PostgreSQL"
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            if _is_same(descriptor, path):
                return descriptor
            # Replaced between opening and locking, as a restore does: the lock is on the old one.
            os.close(descriptor)


def _holder(path: Path) -> str:
    """Return which process has the lock, where the system tells (Linux: /proc/locks, proc(5))."""
    try:
        entry = path.stat()
        named = f"{os.major(entry.st_dev):02x}:{os.minor(entry.st_dev):02x}:{entry.st_ino}"
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            words = line.split()
            if "FLOCK" in words and "->" not in words and named in words:
                pid = int(words[words.index("FLOCK") + 3])
                since = _started_at(pid).isoformat(timespec="seconds")
                return f" (process {pid} on host {socket.gethostname()}, running since {since})"
    except (OSError, ValueError, IndexError, AttributeError):  # another system, or gone meanwhile
        pass
    return ""


def _started_at(pid: int) -> datetime:
    """Return when a process was started (proc(5): ``starttime``, in ticks since the boot)."""
    words = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    lines = Path("/proc/stat").read_text("ascii").splitlines()
    booted_s = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return datetime.fromtimestamp(booted_s + int(words[19]) / os.sysconf("SC_CLK_TCK"), UTC)


def is_locked(path: Path) -> bool:
    """
    Whether a process has the file for writing. Not for a process that has it open in SQLite.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        _try_lock(descriptor)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False


def not_an_archive(path: Path) -> StoreDamagedError:
    """Return the error for a file that is no archive and has the archive's name."""
    what = "is empty (0 bytes)" if path.stat().st_size == 0 else "is a database of another program"
    return StoreDamagedError(
        f"{path} {what}. A new archive is made only where there is no file. Move it away "
        f"(mv '{path}' '{path}.old') or restore a backup (seismo-relay db restore FILE); the relay "
        "then goes on by itself"
    )


def sync_folder(folder: Path) -> None:
    """Make a change of names in a folder durable."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    entry = os.fstat(descriptor)
    try:
        named = path.stat()
    except OSError:
        return False
    return (entry.st_dev, entry.st_ino) == (named.st_dev, named.st_ino)
