"""Files that commands save: whole or not at all, and none replaced unasked."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sfm.cli.application import CommandError
from sfm.cli.exits import MISUSED

__all__ = ["check_folder", "refuse_missing_folder", "refuse_taken", "save", "save_bytes"]

FILE_ENDINGS = frozenset(
    f".{ending}"
    for ending in ("csv", "html", "json", "jsonl", "parquet", "pdf", "png", "txt", "xlsx", "zip")
)
"""What a new folder's name does not end in: it is meant as a file's."""


def is_folder(path: Path) -> bool:
    """Whether a path names a folder to save in, rather than a file."""
    return path.is_dir() or str(path).endswith(("/", os.sep))


def check_folder(folder: Path) -> None:
    """
    Refuse a folder to write into that is a file, or is meant as one, before anything is read.

    Raises:
        CommandError: it is a file; or it is not there, and its name ends as a file's does.
    """
    if folder.is_dir():
        return
    if folder.exists() or folder.suffix.lower() in FILE_ENDINGS:
        raise CommandError(
            f"{folder} is a file's name: give the folder to write into; the files in it get names "
            "of their own",
            MISUSED,
        )


def refuse_missing_folder(path: Path) -> None:
    """
    Refuse a file in a folder that is not there: the path of a backup or capture may be mistyped.

    Raises:
        CommandError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder {path.parent}; make it first", MISUSED)


def refuse_taken(path: Path, *, force: bool) -> None:
    """
    Refuse a file that is there already, before anything is read for it.

    Raises:
        CommandError: it is there, and ``force`` does not allow its replacement.
    """
    if not force and path.exists() and not is_folder(path):
        raise _taken(path)


def save(path: Path, name: str, data: bytes, *, force: bool) -> Path:
    """
    Write a file whole or not at all; return where it is.

    Args:
        path: the file; or a folder, which is made if it is not there.
        name: what it is called in a folder.
        data: what it contains.
        force: replace a file of that name. The old one stays until the new one is whole.

    Raises:
        CommandError: a file of that name is there, or it cannot be written.
    """
    if is_folder(path):
        path = path / name
    return save_bytes(path, data, force=force)


def save_bytes(path: Path, data: bytes, *, force: bool) -> Path:
    """
    Write a file whole or not at all; return where it is. Folders are made where they are missing.

    Raises:
        CommandError: a file of that name is there, or it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                file.write(data)
            if force:
                part.replace(path)
            else:
                os.link(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    return path


def _taken(path: Path) -> CommandError:
    return CommandError(f"{path} is there already and was not changed; --force replaces it")
