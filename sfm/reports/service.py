"""
``Reports``: the reports of a relay: of a recording, of a live event, and of many at once.

What is known of an event is gathered here; the page itself is set in the worker process, because it
takes longer than the event loop may be held. Reports of many events are kept as one file for a day
(``sfm.exports.made_files``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sfm.analysis.limits import Catalogue
from sfm.devices.analyses import Analyses
from sfm.devices.answer import Answer
from sfm.devices.gateway import Gateway
from sfm.devices.limits import Limits
from sfm.devices.operations import Report as Progress
from sfm.exports.made_files import MadeFiles
from sfm.records.payloads import Payload
from sfm.reports.errors import ReportError
from sfm.reports.gathering import Surroundings, answer_subject, archived_as, load_subject
from sfm.reports.printing import many_name, options_of
from sfm.reports.subject import Options, Subject
from sfm.reports.typesetting import (
    add_report,
    event_chart,
    event_report,
    file_stem,
    write_reports,
)
from sfm.reports.wish import Form, Wish
from sfm.store import StoreError
from sfm.store.errors import NoStoreError

__all__ = ["MAX_EVENTS", "Reports", "SetReport"]

MAX_EVENTS = 200
"""Of one request (the worker process has one turn for all)."""
_Loaded = tuple[Subject, Payload | None]


class SetReport(NamedTuple):
    """A report as a file."""

    name: str
    """Serial number, time and key, with the ending."""
    data: bytes


class Reports:
    """
    Reports of events. Lives as long as the relay; ``close`` it.

    Args:
        gateway: has units, archive, roster, limits and settings.
        analyses: has the worker process.
        wall: the time of day, UTC.
        version: of the program, printed on every page.
    """

    def __init__(
        self, gateway: Gateway, analyses: Analyses, *, wall: Callable[[], datetime], version: str
    ) -> None:
        self._gateway = gateway
        self._worker = analyses.worker
        self._wall = wall
        self._version = version
        self.files = MadeFiles("reports", wall)
        """Of many events."""

    def close(self) -> None:
        """Remove the files of many events that go with this process."""
        self.files.close()

    async def of_recording(self, name: str, wish: Wish, content: bytes | None = None) -> SetReport:
        """
        Return the report of a recording.

        Args:
            name: of the recording.
            wish: how it is printed.
            content: hash of its samples, if the unit returned several contents; the first if not
                given.

        Raises:
            NoStoreError: there is no archive.
            NoSuchRecordError, AmbiguousIdError, DamagedRecordError, UndecodedSamplesError: as
                ``load_subject``.
            ReportError: it cannot be printed as it was asked for.
            WorkerError, WorkerBusyError: it could not be made.
        """
        return await self._set(await self._load(name, wish, content), wish)

    async def chart_of_recording(
        self, name: str, wish: Wish, content: bytes | None = None
    ) -> Payload:
        """Return the chart of a recording's report; raises as ``of_recording``."""
        return await self._chart(await self._load(name, wish, content), wish)

    async def chart_of_answer(self, answer: Answer, known: Answer | None, wish: Wish) -> Payload:
        """Return the chart of a live event's report; arguments and errors as of ``of_answer``."""
        return await self._chart(await self._live(answer, known, wish), wish)

    async def of_answer(self, answer: Answer, known: Answer | None, wish: Wish) -> SetReport:
        """
        Return the report of a live event: of its recording, if it is in the archive by now.

        Args:
            answer: with its waveform.
            known: the unit's identity, if it is cached; of a recording the database has it.
            wish: how it is printed.

        Raises:
            ReportError, WorkerError, WorkerBusyError: as ``of_recording``.
        """
        return await self._set(await self._live(answer, known, wish), wish)

    async def _live(self, answer: Answer, known: Answer | None, wish: Wish) -> _Loaded:
        """Load a live event's recording, if it is in the archive by now; else the event itself."""
        origin, event = answer.provenance, answer.value
        info = None if known is None or known.provenance.serial != origin.serial else known.value
        store = self._gateway.store_service
        try:
            recording = await store.read(
                archived_as, origin.serial or "", event["waveform_key"], event["timestamp"]
            )
            if recording is not None:
                return await self._load(recording, wish)
        except NoStoreError:
            pass
        except StoreError:
            if not store.problem_kind:
                raise
        subject = answer_subject(answer, around=await self._around(), wish=wish, info=info)
        return subject, None

    async def of_many(
        self, names: Sequence[str], form: Form, wish: Wish, progress: Progress
    ) -> Payload:
        """
        Make one file of the reports of many recordings; return where it is, and what failed.

        A ZIP has a PDF for each event and no gap where one failed; one PDF has a page for each.

        Raises:
            ReportError: none could be made.
            NoStoreError, WorkerError, WorkerBusyError: as ``of_recording``.
        """
        failed: list[Payload] = []
        made: list[tuple[str, _Loaded]] = []
        for name in names:
            try:
                made.append((name, await self._load(name, wish)))
            except NoStoreError:
                raise
            except StoreError as error:
                failed.append({"recording": name, "detail": str(error)})
        if not made:
            raise ReportError(f"none of {len(names)} reports could be made: {failed[0]['detail']}")
        options = self._options(wish)
        path = self.files.new_path()
        try:
            if form == "pdf":
                progress("events", 0, len(made))
                subjects = [loaded for _, loaded in made]
                await self._worker.run(write_reports, path, subjects, options)
            else:
                await self._zip(path, [loaded for _, loaded in made], options, progress)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        progress("events", len(made), len(made))
        serials = frozenset(subject.event.serial or "" for _, (subject, _) in made)
        file = await self.files.keep(many_name(options, form), path, serials)
        return {
            **self.files.result(file),
            "reports": len(made),
            "failed": failed,
        }

    async def _zip(
        self, path: Path, loaded: Sequence[_Loaded], options: Options, progress: Progress
    ) -> None:
        for number, (subject, stored) in enumerate(loaded, 1):
            progress("events", number - 1, len(loaded))
            await self._worker.run(add_report, path, number, subject, options, stored)

    async def _set(self, loaded: _Loaded, wish: Wish) -> SetReport:
        subject, stored = loaded
        data = await self._worker.run(event_report, subject, self._options(wish), stored)
        return SetReport(f"{file_stem(subject)}.pdf", data)

    async def _chart(self, loaded: _Loaded, wish: Wish) -> Payload:
        subject, stored = loaded
        return await self._worker.run(event_chart, subject, self._options(wish), stored)

    async def _load(self, name: str, wish: Wish, content: bytes | None = None) -> _Loaded:
        around = await self._around()
        load = partial(load_subject, around=around, wish=wish, content=content)
        return await self._gateway.store_service.read(load, name)

    async def _around(self) -> Surroundings:
        limits: Limits = self._gateway.limits
        await limits.load()
        catalogue: Catalogue = limits.catalogue
        return Surroundings(
            roster=self._gateway.store_service.zones,
            catalogue=catalogue,
            choices=limits.choices,
        )

    def _options(self, wish: Wish) -> Options:
        return options_of(self._gateway.settings, wish, self._wall(), self._version)
