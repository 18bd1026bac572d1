"""
Whether a path lies on a network share, where SQLite must not be.

SQLite's write-ahead log needs memory that all its processes share, which no network file system
gives, and its locks are broken on many (sqlite.org, "Write-Ahead Logging", and "How to corrupt",
2.1).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["NETWORK_FILE_SYSTEMS", "share_of"]

NETWORK_FILE_SYSTEMS = frozenset(
    (
        "9p",
        "afs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.sshfs",
        "glusterfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    )
)
"""Types as Linux names them in ``/proc/mounts``."""

_MOUNTS = Path("/proc/self/mounts")
_REMOTE_DRIVE = 4
"""What ``GetDriveTypeW`` says of a network drive (Windows API)."""


def share_of(path: Path, mounts: str | None = None) -> str | None:
    """
    Return what kind of network share a path lies on; ``None``: on none, as far as is known.

    Args:
        path: of a file that need not exist.
        mounts: what ``/proc/self/mounts`` contains; read, if not given.
    """
    real = Path(os.path.realpath(path))
    if sys.platform == "win32":
        return _windows_share(real)
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None  # not Linux: it is not known
    found = ""
    kind = ""
    for line in mounts.splitlines():
        _, place, type_, *_ = line.split(" ")
        # Blanks in a name are written as octal codes (fstab(5)).
        place = place.replace("\\040", " ")
        # Of two mounts on one place the later one is on top.
        if real.is_relative_to(place) and len(place) >= len(found):
            found, kind = place, type_
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def _windows_share(real: Path) -> str | None:
    if sys.platform != "win32":
        return None
    if real.drive.startswith("\\\\"):
        return "share"
    import ctypes

    is_remote = ctypes.windll.kernel32.GetDriveTypeW(f"{real.drive}\\") == _REMOTE_DRIVE
    return "network drive" if is_remote else None
