"""Commands that maintain the database: upgrade, check, backup, restore, vacuum."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from sfm.cli.application import (
    FAILED,
    CommandError,
    Json,
    app,
    err,
    handles_errors,
    out,
    progress_bar,
)
from sfm.cli.exits import MISUSED
from sfm.cli.files import refuse_missing_folder
from sfm.cli.routing import Database, RelayOptions, relay_of
from sfm.cli.views import safe_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sfm.analysis.limits import Catalogue
    from sfm.records.limit_choices import LimitChoices
    from sfm.records.roster import Roster
    from sfm.records.verdicts import Judge
    from sfm.store import Store

__all__ = [
    "Bar",
    "backup",
    "check",
    "database_url",
    "db",
    "judge_of",
    "limits_of",
    "opened",
    "relay_before",
    "restore",
    "roster_of",
    "upgrade",
    "vacuum",
]

db = App(name="db", help="Upgrade, check, back up and restore the database.")
app.command(db)


def database_url(given: str | None) -> str:
    """Return the URL of the given database, else that of the settings, else the default."""
    from sfm.cli.configuration import load_settings
    from sfm.store import NO_DATABASE, default_url
    from sfm.store.errors import NoStoreError

    url = given or load_settings().database_url or default_url()
    if url == NO_DATABASE:
        raise NoStoreError("no database: SFM_DATABASE_URL is none; give one with --database")
    return url


@db.command
@handles_errors
def upgrade(*, database: Database = None) -> None:
    """Upgrade the database to this program's revision; SQLite: after a copy beside it."""
    from sfm.store import migrations
    from sfm.store.engine import Engines, read_url

    engines = Engines(read_url(database_url(database)), is_relay=True)
    try:
        with engines.write() as connection:
            found = migrations.revision_of(connection)
        if found == migrations.HEAD:
            out.print(safe_text(f"{engines.where} already has revision {found}"))
            return
        copy = None
        if engines.is_sqlite and found != migrations.EMPTY:
            copy = migrations.copy_before_upgrade(engines, found, datetime.now(UTC))
        migrations.upgrade(engines)
        out.print(
            safe_text(
                f"{engines.where}: revision {found or 'none'} to {migrations.HEAD}"
                + (f"; the copy from before is {copy}" if copy else "")
            )
        )
    finally:
        engines.close()


@db.command
@handles_errors
def check(*, database: Database = None, as_json: Json = False) -> None:
    """Verify every hash and every consistency rule; change nothing."""
    from sfm.store import maintenance

    with Bar("checking") as report:
        checked = maintenance.check(database_url(database), report)
    if as_json:
        facts = {name: getattr(checked, name) for name in checked.__slots__}
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        for fault in checked.faults:
            out.print(safe_text(fault), soft_wrap=True)
        out.print(
            safe_text(
                f"revision {checked.revision}: {checked.recordings:,} recordings and "
                f"{checked.waveforms:,} waveforms checked, {len(checked.faults)} faults"
            )
        )
    if checked.faults:
        raise SystemExit(FAILED)


@db.command
@handles_errors
def backup(file: Path, *, database: Database = None) -> None:
    """
    Copy the database to a file, as of one instant, while the relay runs.

    Parameters
    ----------
    file
        The new file; must not exist yet.
    """
    from sfm.store import maintenance

    refuse_missing_folder(file)
    with Bar("copying") as report:
        size = maintenance.backup(database_url(database), file, report)
    out.print(safe_text(f"{file}: {size:,} bytes, verified"))


@db.command
@handles_errors
def restore(file: Path, *, database: Database = None) -> None:
    """
    Replace the database by a backup; the old one is kept beside it. Stop the relay first.

    Parameters
    ----------
    file
        The backup.
    """
    from sfm.store import maintenance

    url = database_url(database)
    kept = maintenance.restore(url, file, datetime.now(UTC))
    out.print(safe_text(f"restored from {file}; each unit is read again at its next request"))
    if kept is not None:
        out.print(safe_text(f"the database from before is {kept}"))


@db.command
@handles_errors
def restored(*, database: Database = None) -> None:
    """
    Run this once after pg_restore, before the relay starts: units begin new epochs.

    A unit may have been erased since the backup. What is in it now is read again, under an epoch
    number that no answer had before.
    """
    from sfm.store import maintenance

    maintenance.begin_after_restore(database_url(database))
    out.print("each unit is read again at its next request, in a new epoch")


@db.command
@handles_errors
def vacuum(*, database: Database = None) -> None:
    """Return the space of deleted data to the disk. Stop the relay first."""
    from sfm.store import maintenance

    before, after = maintenance.vacuum(database_url(database))
    out.print(safe_text(f"{before:,} bytes before, {after:,} bytes now"))


def relay_before(database: str | None, at: RelayOptions) -> str | None:
    """
    Return the relay that uses the database for this command; ``None``: the command does.

    A database that is named is used without a relay, and so is that of the settings with
    ``--direct``: its lock keeps a relay and this command apart.
    """
    if database is not None and at.relay is not None:
        raise CommandError("--relay and --database exclude each other", MISUSED)
    if database is not None or (at.direct and at.relay is None):
        return None
    return relay_of(at, instead="the database")


def opened(database: str | None) -> Store:
    """Return the database, opened read-only; a relay may use it at the same time."""
    from sfm.store import Store

    return Store.open(database_url(database), read_only=True)


def roster_of(store: Store) -> Roster:
    """Return the roster as a relay with this database and these settings would have it."""
    from sfm.cli.configuration import load_settings
    from sfm.records.roster import Seeds
    from sfm.store import roster

    return store.read(roster.load).with_seeds(Seeds.of(load_settings())).roster


def limits_of(store: Store) -> tuple[Catalogue, LimitChoices]:
    """Return curves and choices as a relay with this database and these settings would have."""
    from sfm.cli.configuration import load_settings
    from sfm.records.limit_choices import LimitChoices, region_curves
    from sfm.store import limits

    stored = store.read(limits.load)
    region = region_curves(load_settings().region)
    return stored.catalogue, LimitChoices(stored.choices, region, stored.damaged)


def judge_of(store: Store) -> Judge:
    """Return the judge that a relay with this database and these settings would have."""
    from sfm.records.verdicts import Judge

    return Judge(*limits_of(store), roster_of(store))


class Bar:
    """A progress bar, on a terminal only. As a context manager it is the function to report to."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        if err.is_terminal:
            self._bar = progress_bar()
            self._bar.start()
            self._task = self._bar.add_task(self._doing, total=None)
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        if self._bar is not None and self._task is not None:
            figure = f"{done:,} of {total:,}"
            self._bar.update(self._task, completed=done, total=total, figure=figure)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
