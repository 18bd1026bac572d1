"""Commands for whoever keeps the database: upgrade, check, backup, restore, vacuum."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from sfm.cli.application import FAILED, Json, app, err, handles_errors, out, progress_bar
from sfm.cli.views import said
from sfm.settings import Settings
from sfm.store import NO_DATABASE, Store, StoreError, default_url

Database = Annotated[
    str | None,
    Parameter(help="sqlite:////path/to/file or postgresql://... [default: SFM_DATABASE_URL]."),
]

db = App(name="db", help="Upgrade, check, back up and restore the database.")
app.command(db)


def database_url(given: str | None) -> str:
    """Return the database that is meant."""
    url = given or Settings().database_url or default_url()
    if url == NO_DATABASE:
        raise StoreError("there is no database: SFM_DATABASE_URL is none; name one with --database")
    return url


@db.command
@handles_errors
def upgrade(*, database: Database = None) -> None:
    """Bring the database to this program's revision, after a copy was made beside it (SQLite)."""
    from sfm.store import migrations
    from sfm.store.engine import Engines, read_url

    engines = Engines(read_url(database_url(database)))
    try:
        with engines.write() as connection:
            found = migrations.revision_of(connection)
        if found == migrations.HEAD:
            out.print(said(f"{engines.where} is of revision {found} already"))
            return
        copy = None
        if engines.is_sqlite and found != migrations.EMPTY:
            copy = migrations.copy_before_upgrade(engines, found, datetime.now(UTC))
        migrations.upgrade(engines)
        out.print(
            said(
                f"{engines.where}: revision {found or 'none'} to {migrations.HEAD}"
                + (f"; a copy of before is {copy}" if copy else "")
            )
        )
    finally:
        engines.close()


@db.command
@handles_errors
def check(*, database: Database = None, as_json: Json = False) -> None:
    """Look at every byte that has a hash, and at what must agree; changes nothing."""
    from sfm.store import maintenance

    with Bar("checking") as told:
        checked = maintenance.check(database_url(database), told)
    if as_json:
        facts = {name: getattr(checked, name) for name in checked.__slots__}
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        for fault in checked.faults:
            out.print(said(fault), soft_wrap=True)
        out.print(
            said(
                f"revision {checked.revision}: {checked.recordings:,} recordings and "
                f"{checked.waveforms:,} waveforms looked at, {len(checked.faults)} faults"
            )
        )
    if checked.faults:
        raise SystemExit(FAILED)


@db.command
@handles_errors
def backup(file: Path, *, database: Database = None) -> None:
    """
    Copy the database to a file, as of one instant, while the relay goes on.

    Parameters
    ----------
    file
        Where to; must not be there yet.
    """
    from sfm.store import maintenance

    with Bar("copying") as told:
        size = maintenance.backup(database_url(database), file, told)
    out.print(said(f"{file}: {size:,} bytes, read again and sound"))


@db.command
@handles_errors
def restore(file: Path, *, database: Database = None) -> None:
    """
    Put a backup in the place of the database, which is kept beside it. Stop the relay first.

    Parameters
    ----------
    file
        A backup.
    """
    from sfm.store import maintenance

    url = database_url(database)
    kept = maintenance.restore(url, file, datetime.now(UTC))
    out.print(said(f"restored from {file}; every unit is read again at its next request"))
    if kept is not None:
        out.print(said(f"what was there before is {kept}"))


@db.command
@handles_errors
def vacuum(*, database: Database = None) -> None:
    """Give back the room of what is gone. Stop the relay first."""
    from sfm.store import maintenance

    before, after = maintenance.vacuum(database_url(database))
    out.print(said(f"{before:,} bytes before, {after:,} bytes now"))


def opened(database: str | None) -> Store:
    """Return the database, opened read-only; a relay may use it at the same time."""
    return Store.open(database_url(database), read_only=True)


class Bar:
    """A progress bar, where somebody looks."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._bar: Any = None

    def __enter__(self) -> Any:
        if not err.is_terminal:
            return lambda _done, _total: None
        self._bar = progress_bar()
        self._bar.start()
        task = self._bar.add_task(self._doing, total=None)

        def told(done: int, total: int) -> None:
            figure = f"{done:,} of {total:,}"
            self._bar.update(task, completed=done, total=total, figure=figure)

        return told

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
