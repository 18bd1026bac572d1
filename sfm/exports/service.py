"""
``Exports``: many recordings as one ZIP, made in the worker process, event by event.

A recording that cannot be exported keeps no other back: it is named with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from sfm.devices.analyses import Analyses
from sfm.devices.operations import Report
from sfm.exports.errors import UnwritableEventError
from sfm.exports.event import ExportedEvent, Style
from sfm.exports.made_files import MadeFiles
from sfm.exports.names import FormatName
from sfm.exports.zip_files import add_to_zip
from sfm.records.payloads import Payload
from sfm.records.roster import Roster
from sfm.store import Wanted
from sfm.store.archive import load_page, load_samples
from sfm.store.errors import (
    AmbiguousIdError,
    DamagedRecordError,
    NoSuchRecordError,
    UndecodedSamplesError,
)
from sfm.store.service import StoreService

__all__ = ["MAX_EVENTS", "Exports", "Selection"]

MAX_EVENTS = 200
"""Of one request: the worker process has one turn for all."""
KIND = "exports"
OF_ONE_RECORDING = (
    AmbiguousIdError,
    DamagedRecordError,
    NoSuchRecordError,
    UndecodedSamplesError,
    UnwritableEventError,
)
"""Errors that concern one recording; any other ends the whole export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which recordings: those named, or a page of those that match."""

    recordings: Sequence[str] | None
    wanted: Wanted
    cursor: str | None = None


class _Chosen(NamedTuple):
    names: list[str]
    next_cursor: str | None


class Exports:
    """
    Exports of many recordings. Lives as long as the relay; ``close`` it.

    Args:
        store_service: has the archive.
        analyses: has the worker process.
        wall: the time of day, UTC.
    """

    def __init__(
        self, store_service: StoreService, analyses: Analyses, *, wall: Callable[[], datetime]
    ) -> None:
        self._store_service = store_service
        self._worker = analyses.worker
        self._wall = wall
        self.files = MadeFiles(KIND, wall)

    def close(self) -> None:
        """Remove the files that go with this process."""
        self.files.close()

    async def of_many(
        self, selection: Selection, format_name: FormatName, style: Style, report: Report
    ) -> Payload:
        """
        Make a ZIP with a file for each recording; return where it is, and what failed.

        Args:
            selection: which recordings; at most ``MAX_EVENTS`` of those that match.
            format_name: of the files.
            style: units of measure, decimal sign.
            report: receives each step.

        Raises:
            NoStoreError: there is no archive.
            StoreError: the database failed.
            UnwritableEventError: no recording matches or could be exported.
            MissingExtraError: the format needs a package that is not installed.
            WorkerError, WorkerBusyError: the files could not be made.
        """
        chosen = await self._chosen(selection)
        path, now = self.files.new_path(), self._wall()
        try:
            serials, failed = await self._write(path, chosen.names, format_name, style, report)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        report("events", len(chosen.names), len(chosen.names))
        if len(failed) == len(chosen.names):
            why = failed[0]["detail"] if failed else "none matches"
            raise UnwritableEventError(
                f"none of {len(chosen.names)} recordings was exported: {why}"
            )
        file = await self.files.keep(f"exports_{now:%Y-%m-%dT%H-%M-%S}.zip", path, serials)
        return {
            **self.files.result(file),
            "exported": len(chosen.names) - len(failed),
            "failed": failed,
            "next_cursor": chosen.next_cursor,
        }

    async def _write(
        self,
        path: Path,
        names: Sequence[str],
        format_name: FormatName,
        style: Style,
        report: Report,
    ) -> tuple[frozenset[str], list[Payload]]:
        """Write each recording's file into a ZIP; return the serial numbers, and what failed."""
        serials: set[str] = set()
        failed: list[Payload] = []
        for number, name in enumerate(names):
            report("events", number, len(names))
            try:
                load = partial(_load, name, self._store_service.zones)
                event = await self._store_service.read(load)
                await self._worker.run(add_to_zip, path, event, format_name, style, self._wall())
            except OF_ONE_RECORDING as error:
                failed.append({"recording": name, "detail": str(error)})
                continue
            serials.add(event.serial or "")
        return frozenset(serials), failed

    async def _chosen(self, selection: Selection) -> _Chosen:
        if selection.recordings is not None:
            return _Chosen(list(dict.fromkeys(selection.recordings)), None)
        page = await self._store_service.read(
            load_page, selection.wanted, selection.cursor, MAX_EVENTS
        )
        return _Chosen([row["id"] for row in page.rows], page.next_cursor)


def _load(name: str, zones: Roster, connection: Connection) -> ExportedEvent:
    return ExportedEvent.of_samples(load_samples(connection, name), zones)
