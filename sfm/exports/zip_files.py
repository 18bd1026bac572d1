"""Events as files in one ZIP; made in the worker process, which needs no database for it."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path

from sfm.exports.event import ExportedEvent, Style
from sfm.exports.formats import exported_file
from sfm.exports.names import FormatName

__all__ = ["add_to_zip"]


def add_to_zip(
    path: Path, event: ExportedEvent, format_name: FormatName, style: Style, now: datetime
) -> None:
    """
    Add one event's file to a ZIP, which is made if it is not there.

    Two recordings may have one name (a second record under the same stamp): the later one gets a
    number.

    Raises:
        ExportError: as ``exported_file``; the ZIP stays as it was.
    """
    made = exported_file(event, format_name, style)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        taken, name, number = set(file.namelist()), made.name, 2
        stem, _, ending = made.name.rpartition(".")
        while name in taken:
            name, number = f"{stem}_{number}.{ending}", number + 1
        entry = zipfile.ZipInfo(name, now.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, made.data)
